//! Voicemail: whoever answers as an expert or a target is listened to for a moment, and a suspicion is told.

use std::time::Instant;

use sidetone_media::answer::Heard;

use crate::bridge::Listen;
use crate::call::{CallEvent, CallId, Input, LegEvent, LegId, Presence, Role, Screening, VoicemailSign};

use super::Switchboard;
use super::desk::{Answer, TransferOutcome};

impl Switchboard {
    /// Somebody answers: an expert or the target of a transfer is listened to.
    pub(super) fn screen(&mut self, call: CallId, leg: LegId) {
        let voicemail = self.config.load().voicemail;
        let Some(live) = self.calls.get_mut(&call).filter(|_| voicemail.listens()) else { return };
        let mut seats = live.call.parties().iter().map(|party| party.seat());
        let Some(seat) = seats.find(|seat| seat.leg == leg) else { return };
        if !matches!(seat.presence, Presence::Ringing | Presence::Early) {
            return;
        }
        let is_target = live.call.transferring().is_some_and(|(_, target)| target == leg);
        if is_target {
            live.screening = Some(leg);
        } else if !matches!(seat.role, Role::Expert { .. }) {
            return;
        }
        self.bridge.listen(call, leg, Listen { speech: voicemail.speech, most: voicemail.listen });
    }

    /// What was heard.
    pub(super) fn screened(&mut self, now: Instant, call: CallId, leg: LegId, heard: Heard) {
        let screening = match heard {
            Heard::Nothing => Screening::Nothing,
            Heard::LongSpeech => Screening::Voicemail(VoicemailSign::LongSpeech),
            Heard::Beep => Screening::Voicemail(VoicemailSign::Beep),
        };
        self.drive(now, call, |c| c.handle(now, Input::Leg(leg, LegEvent::Screened(screening))));
        self.no_more_screened(call, leg);
    }

    /// Nobody listens to this leg any more: whoever waited for that is told that it is connected.
    pub(super) fn no_more_screened(&mut self, call: CallId, leg: LegId) {
        let Some(live) = self.calls.get_mut(&call).filter(|live| live.screening == Some(leg)) else { return };
        live.screening = None;
        // A transfer that is under way still tells of itself.
        if live.call.transferring().is_none()
            && let Some(answer) = live.transferring.take()
        {
            // A caller who no longer waits has gone.
            let _gone = answer.send(Ok(Answer::Transfer(Some(TransferOutcome::Connected))));
        }
    }

    /// Whether the outcome of a transfer that is done waits for what is heard of its target.
    pub(super) fn waits_for_screening(&self, call: CallId, event: &CallEvent) -> bool {
        let CallEvent::TransferCompleted { target, .. } = event else { return false };
        self.calls.get(&call).is_some_and(|live| live.screening == Some(*target))
    }
}
