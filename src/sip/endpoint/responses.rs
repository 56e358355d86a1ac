//! A response comes to a request of ours, or none (RFC 3261 section 8.1.3).

use std::time::{Duration, Instant};

use super::{Endpoint, OptionsOutcome, Output, Told, parse_hex};
use crate::sip::header::{MAGIC_COOKIE, Method, Name};
use crate::sip::hub::{Errand, hop_by_hop};
use crate::sip::layer::{ClientId, Kind, Notice};
use crate::sip::message::Response;
use crate::sip::session::{How, SessionId};

impl Endpoint {
    pub(super) fn on_response(&mut self, now: Instant, response: &Response) {
        let headers = response.headers();
        let (Ok(via), Ok(cseq)) = (headers.top_via(), headers.cseq()) else { return };
        let branch = via.branch();
        let Some(branch) = branch.as_deref().and_then(|b| b.strip_prefix(MAGIC_COOKIE)).and_then(parse_hex)
        else {
            return;
        };
        let kind = match cseq.method {
            Method::Invite => Kind::Invite,
            Method::Cancel => Kind::Cancel,
            _ => Kind::Other,
        };
        let id = ClientId { branch, kind };
        let Some(errand) = self.hub.layer.client(id) else { return };
        let status = response.status().as_u16();
        let to = headers.get(Name::To);
        let pass = self
            .hub
            .layer
            .response(now, id, status, |invite| hop_by_hop(invite, Method::Ack, to, |request| request));
        if !pass {
            return;
        }
        match errand {
            Errand::Session(session) => {
                self.with(session, |session, hub| session.on_response(hub, now, id, response));
            }
            Errand::Options(options) if status >= 200 => {
                if let Some(asked) = self.options.remove(&options) {
                    let round_trip = now.saturating_duration_since(asked);
                    let retry_after = response.headers().retry_after().ok().flatten();
                    let retry_after = retry_after.map(|s| Duration::from_secs(u64::from(s)));
                    let outcome = OptionsOutcome::Answered { status, round_trip, retry_after };
                    self.hub.events.push_back(Output::Outcome(options, outcome));
                }
            }
            Errand::Ask(ask) if status >= 200 => {
                self.hub.events.push_back(Output::Told(ask, Told::Answered(response.clone())));
            }
            Errand::Options(_) | Errand::Ask(_) | Errand::Nobody => {}
        }
    }

    pub(super) fn on_notice(&mut self, now: Instant, notice: Notice<Errand, SessionId>) {
        let (id, errand, how) = match notice {
            Notice::ClientTimedOut(id, errand) => (id, errand, How::NoAnswer),
            Notice::ClientUnreachable(id, errand) => (id, errand, How::Unreachable),
            // The refusal was not acknowledged: the session has ended long ago.
            Notice::ServerFailed(_) => return,
        };
        match errand {
            Errand::Session(session) => {
                self.with(session, |session, hub| session.on_silence(hub, now, id, how));
            }
            Errand::Options(options) => {
                if self.options.remove(&options).is_some() {
                    let outcome = match how {
                        How::Unreachable => OptionsOutcome::Unreachable,
                        _ => OptionsOutcome::TimedOut,
                    };
                    self.hub.events.push_back(Output::Outcome(options, outcome));
                }
            }
            Errand::Ask(ask) => {
                let told = if how == How::Unreachable { Told::NoWay } else { Told::Silence };
                self.hub.events.push_back(Output::Told(ask, told));
            }
            Errand::Nobody => {}
        }
    }
}
