//! The session timer: what is agreed, by whom it is refreshed, and the UPDATE that does it (RFC 4028, RFC 3311).

use std::time::{Duration, Instant};

use super::Established;
use crate::sip::build::{RequestBuilder, ResponseBuilder};
use crate::sip::header::{Name, Refresher, SessionExpires};
use crate::sip::hub::{Hub, Question};
use crate::sip::message::{Headers, StatusCode};
use crate::sip::session::{Common, Ring, SessionTimers, sdp_of};

/// A session timer both sides agreed on.
#[derive(Debug, Clone, Copy)]
pub(in crate::sip::session) struct Agreed {
    seconds: u32,
    we_refresh: bool,
    /// For our response: who refreshes, in its words.
    refresher: Refresher,
    peer_supports: bool,
}

impl Agreed {
    /// Adds the headers of RFC 4028 section 9 to a 2xx.
    pub(in crate::sip::session) fn write(&self, response: ResponseBuilder) -> ResponseBuilder {
        let value = SessionExpires { seconds: self.seconds, refresher: Some(self.refresher) };
        let response = response.header(Name::SessionExpires, value.to_string());
        // Only a caller that knows the extension can be required to refresh.
        let required = self.peer_supports && self.refresher == Refresher::Uac;
        if required { response.header(Name::Require, "timer") } else { response }
    }
}

impl Established {
    pub(super) fn too_brief(&self, headers: &Headers) -> Option<u32> {
        too_brief(self.timers, headers)
    }

    /// An UPDATE (RFC 3311). It may refresh the session; media is changed by re-INVITE, as we told nobody otherwise.
    pub(super) fn on_update(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        question: &Question,
    ) {
        let tag = common.tag_text();
        if !matches!(sdp_of(question.headers(), question.request.body()), Ok(None)) {
            return hub.answer(now, question, StatusCode::NOT_ACCEPTABLE_HERE, &tag);
        }
        if let Some(min) = self.too_brief(question.headers()) {
            return hub.answer_too_brief(now, question, &tag, min);
        }
        self.dialog.refresh_target(question.headers());
        let response = self.welcome(common, hub, question, StatusCode::OK);
        let agreed = Established::agree(self.timers, question.headers(), self.refresh);
        let response = match &agreed {
            Some(agreed) => agreed.write(response),
            None => response,
        };
        hub.respond(now, question, response);
        self.keep_timer(common, hub, now, agreed);
    }

    pub(super) fn lengthen(&mut self, headers: &Headers) -> bool {
        match (headers.min_se(), &mut self.refresh) {
            (Ok(Some(min)), Some(agreed)) if min > agreed.seconds => {
                agreed.seconds = min;
                true
            }
            _ => false,
        }
    }

    /// What we answer to a request's Session-Expires (RFC 4028 section 9). `before` is what was agreed so far.
    pub(in crate::sip::session) fn agree(
        timers: Option<SessionTimers>,
        headers: &Headers,
        before: Option<Agreed>,
    ) -> Option<Agreed> {
        let timers = timers?;
        let peer_supports =
            headers.has_token(Name::Supported, "timer") || headers.has_token(Name::Require, "timer");
        let asked = headers.session_expires().ok().flatten();
        // A peer that does not know the extension, and nobody on the way who asks for it: no timer.
        if !peer_supports && asked.is_none() {
            return None;
        }
        let floor = headers.min_se().ok().flatten().unwrap_or(0).max(timers.min);
        let seconds = match &asked {
            Some(asked) => asked.seconds.min(timers.interval).max(floor),
            None => timers.interval.max(floor),
        };
        let refresher = match (asked.as_ref().and_then(|asked| asked.refresher), &asked, before) {
            (Some(said), _, _) => said,
            (None, _, Some(before)) if before.we_refresh => Refresher::Uas,
            (None, Some(_), _) if peer_supports => Refresher::Uac,
            _ => Refresher::Uas,
        };
        Some(Agreed { seconds, we_refresh: refresher == Refresher::Uas, refresher, peer_supports })
    }

    /// Reads the Session-Expires of a 2xx to a request of ours and sets the timers.
    pub(in crate::sip::session) fn start_timer(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        headers: &Headers,
        we_asked: bool,
    ) {
        let agreed =
            headers.session_expires().ok().flatten().filter(|_| we_asked && self.timers.is_some()).map(
                |expires| {
                    let refresher = expires.refresher.unwrap_or(Refresher::Uac);
                    let we_refresh = refresher == Refresher::Uac;
                    // A peer that answers less than the minimum of RFC 4028 would have us refresh without pause.
                    let seconds = expires.seconds.max(MIN_SESSION_SECONDS);
                    Agreed { seconds, we_refresh, refresher, peer_supports: true }
                },
            );
        self.keep_timer(common, hub, now, agreed);
    }

    pub(in crate::sip::session) fn keep_timer(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        agreed: Option<Agreed>,
    ) {
        self.refresh = agreed;
        common.stop(Ring::Refresh);
        common.stop(Ring::Expire);
        let Some(agreed) = agreed else { return };
        let seconds = u64::from(agreed.seconds);
        if agreed.we_refresh {
            common.set(hub, Ring::Refresh, now + Duration::from_secs(seconds / 2));
        }
        // RFC 4028 section 10: BYE a little before the end, so that it still finds the dialog.
        let early = (seconds / 3).min(32);
        common.set(hub, Ring::Expire, now + Duration::from_secs(seconds - early));
    }
}

/// RFC 4028 section 4: the smallest interval there is.
const MIN_SESSION_SECONDS: u32 = 90;

/// RFC 4028 section 9: the Min-SE of a 422, when a caller that knows the extension asks for too short an interval.
pub(in crate::sip) fn too_brief(timers: Option<SessionTimers>, headers: &Headers) -> Option<u32> {
    let timers = timers?;
    let asked = headers.session_expires().ok().flatten()?;
    (asked.seconds < timers.min && headers.has_token(Name::Supported, "timer")).then_some(timers.min)
}

pub(super) fn with_timer(
    request: RequestBuilder,
    refresh: Option<Agreed>,
    timers: Option<SessionTimers>,
) -> RequestBuilder {
    let (Some(agreed), Some(timers)) = (refresh, timers) else { return request };
    let refresher = if agreed.we_refresh { Refresher::Uac } else { Refresher::Uas };
    let value = SessionExpires { seconds: agreed.seconds, refresher: Some(refresher) };
    request.header(Name::SessionExpires, value.to_string()).header(Name::MinSe, timers.min.to_string())
}
