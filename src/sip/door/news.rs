//! What a session tells, as news of its leg.

use std::time::Instant;

use bytes::Bytes;

use super::{Door, internal, unacceptable};
use crate::call::door::{AgreedMedia, Correlation, Report};
use crate::call::{LegEnd, LegEvent, LegId, Screening, VoicemailSign};
use crate::sip::endpoint::Output;
use crate::sip::leg::{Leg, NoAgreement, end_of};
use crate::sip::names::Place;
use crate::sip::names::ask::Word;
use crate::sip::session::{SessionEvent, SessionId};
use crate::sip::text::Text;

impl Door {
    /// Takes in everything the endpoint has to say.
    pub(super) fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Transmit { to, bytes } => self.wire.push_back((to, bytes)),
                Output::Incoming(incoming) => self.incoming(now, *incoming),
                Output::Event(session, event) => self.session_event(now, session, event),
                Output::Outcome(id, outcome) => self.trunk_answered(now, id, outcome),
                Output::Told(id, told) => self.registrar_told(now, id, &told),
                Output::Registered(change) => {
                    tracing::debug!(user = change.user, contacts = change.bindings, "registered");
                }
            }
        }
    }

    fn session_event(&mut self, now: Instant, session: SessionId, event: SessionEvent) {
        let Some(id) = self.by_session.get(&session).copied() else { return };
        if let Err(end) = self.leg_event(now, id, event) {
            self.end_leg(now, id, end);
        }
    }

    fn leg_event(&mut self, now: Instant, id: LegId, event: SessionEvent) -> Result<(), LegEnd> {
        let Some(leg) = self.legs.get_mut(&id) else { return Ok(()) };
        let session = leg.session;
        match event {
            SessionEvent::Provisional { status, sdp: None, .. } => {
                if matches!(status, 180 | 183) {
                    self.rings(id);
                }
            }
            SessionEvent::Provisional { status, sdp: Some(sdp), fork, .. } => {
                self.early_media(id, status, fork, &sdp);
            }
            SessionEvent::Answered { sdp: Some(sdp), voicemail, .. } => {
                let media = leg.answered(&sdp).map_err(unacceptable)?;
                self.agreed(id, media);
                self.answered(now, id);
                self.announced(id, voicemail);
            }
            SessionEvent::Answered { sdp: None, fork, voicemail, .. } => {
                let media = leg.answered_early(&fork).map_err(unacceptable)?;
                self.agreed(id, media);
                self.answered(now, id);
                self.announced(id, voicemail);
            }
            SessionEvent::Acked { sdp: Some(sdp) } => match leg.answered(&sdp) {
                Ok(media) => self.agreed_anew(id, media),
                // In a session that has media already, that goes on.
                Err(error) if leg.has_agreed() => {
                    tracing::info!(leg = %id, %error, "answer in an ACK not usable");
                }
                Err(error) => return Err(unacceptable(error)),
            },
            // Our offer went out with the 200 and nobody answered it: there will be no media.
            SessionEvent::Acked { sdp: None } if !leg.has_agreed() => {
                return Err(unacceptable(NoAgreement::Nothing));
            }
            SessionEvent::Acked { sdp: None } => {}
            SessionEvent::Reinvited { offer: Some(offer) } => {
                let answer = match leg.reoffered(&offer) {
                    Ok((answer, media, hold)) => {
                        self.agreed(id, media);
                        self.reports.extend(hold.map(|event| Report::Leg(id, event)));
                        Ok(answer)
                    }
                    // RFC 3261 section 14.2: refused, and the session stays as it was.
                    Err(error) => {
                        tracing::info!(leg = %id, %error, "re-INVITE refused");
                        Err(488)
                    }
                };
                self.endpoint.answer_reinvite(now, session, answer).map_err(internal)?;
            }
            SessionEvent::Reinvited { offer: None } => {
                let offer = leg.reoffer().map_err(internal)?;
                self.endpoint.answer_reinvite(now, session, Ok(offer)).map_err(internal)?;
            }
            SessionEvent::ReinviteAnswered { sdp: Some(sdp), is_answer: true } => {
                match leg.answered(&sdp) {
                    // A telephone that held while we did is found still holding when we resume.
                    Ok(media) => self.agreed_anew(id, media),
                    // The old agreement stands: a telephone that garbles an answer still talks.
                    Err(error) => tracing::info!(leg = %id, %error, "answer to our re-INVITE not usable"),
                }
            }
            SessionEvent::ReinviteAnswered { .. } => {}
            SessionEvent::ReinviteFailed { status } => {
                tracing::info!(leg = %id, status, "re-INVITE refused; the hold goes on without it");
            }
            SessionEvent::Referred(asked) => self.referred(now, id, &asked),
            SessionEvent::Ended(ended) if self.goes_on(now, id, &ended) => {}
            SessionEvent::Ended(ended) => {
                let leg = self.legs.remove(&id);
                self.target_ended(leg.and_then(|leg| leg.referred_by), ended.status);
                self.by_session.remove(&session);
                self.report(Report::Leg(id, LegEvent::Ended(end_of(&ended))));
            }
        }
        Ok(())
    }

    /// A description before the answer. One that nobody can play is no reason to end a call that may yet be answered.
    fn early_media(&mut self, id: LegId, status: u16, fork: Text, sdp: &Bytes) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let agreed = leg.early_answered(fork, sdp);
        if status == 180 || leg.early_means_ringing {
            self.rings(id);
        }
        match agreed {
            Ok((media, first)) => {
                self.agreed(id, media);
                if first {
                    self.report(Report::Leg(id, LegEvent::EarlyMedia));
                }
            }
            Err(error) => tracing::info!(leg = %id, %error, "early media not usable"),
        }
    }

    /// Tells what the far end has answered to an offer of ours, and whether it holds with that.
    fn agreed_anew(&mut self, id: LegId, media: AgreedMedia) {
        let hold = self.legs.get_mut(&id).and_then(Leg::hold_change);
        self.agreed(id, media);
        self.reports.extend(hold.map(|event| Report::Leg(id, event)));
    }

    /// Tells what is agreed, if that is news: a refresh of the session is none.
    pub(super) fn agreed(&mut self, id: LegId, media: AgreedMedia) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if leg.told.as_ref() != Some(&media) {
            leg.told = Some(media.clone());
            self.report(Report::Agreed(id, Box::new(media)));
        }
    }

    /// Tells that the leg is answered, and if it came up on hold, of that.
    pub(super) fn answered(&mut self, now: Instant, id: LegId) {
        self.was_taken(now, id);
        if let Some(leg) = self.legs.get(&id) {
            self.meet_route(now, leg.session);
        }
        self.report(Report::Leg(id, LegEvent::Answered));
        let session = self.legs.get(&id).filter(|leg| leg.trunk.is_some()).map(|leg| leg.session);
        if let Some((call_id, contact)) = session.and_then(|session| self.endpoint.dialog(session)) {
            let peer_key = crate::sip::teams::correlation(contact).map(|key| key.to_string());
            let correlation = Correlation { connection: call_id.to_owned(), peer_key };
            self.report(Report::Correlated(id, correlation));
        }
        let hold = self.legs.get_mut(&id).and_then(Leg::hold_change);
        self.reports.extend(hold.map(|event| Report::Leg(id, event)));
    }

    /// Tells that the far end's network says who took the call, if it was a mailbox.
    fn announced(&mut self, id: LegId, voicemail: bool) {
        if voicemail {
            let screening = Screening::Voicemail(VoicemailSign::Signalled);
            self.report(Report::Leg(id, LegEvent::Screened(screening)));
        }
    }

    /// Tells that the far end alerts, once.
    fn rings(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if !std::mem::replace(&mut leg.rang, true) {
            self.report(Report::Leg(id, LegEvent::Ringing));
        }
    }

    /// The way into this session's dialog leads by a name: it is asked for now, so that it is known when we go there.
    pub(super) fn meet_route(&mut self, now: Instant, session: SessionId) {
        let Some((host, port, transport)) = self.endpoint.way_back(session) else { return };
        if host.ip().is_some() {
            return;
        }
        let host = host.to_string().to_ascii_lowercase().into();
        let place = Place { host, port: Some(port), transport: Some(transport) };
        if self.met.meet(now, &place) {
            self.words.push_back(Word::Met(place));
        }
    }
}
