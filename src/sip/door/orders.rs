//! What the switchboard orders, carried out in a leg's session.

use std::time::{Duration, Instant};

use sidetone_media::codec::Codec;

use super::{Door, internal, unacceptable};
use crate::call::door::Order;
use crate::call::{Cause, LegAction, LegEnd, LegId};
use crate::sip::session::Refusal;

/// Retry-After of a refusal for want of capacity, in seconds.
const RETRY_AFTER_S: u64 = 5;

impl Door {
    /// Carries out an order of the switchboard. What cannot be done ends the leg.
    pub fn order(&mut self, now: Instant, order: Order) {
        let leg = order.leg;
        if let Err(end) = self.carry_out(now, order) {
            self.end_leg(now, leg, end);
        }
        self.drain(now);
    }

    fn carry_out(&mut self, now: Instant, order: Order) -> Result<(), LegEnd> {
        let id = order.leg;
        if let LegAction::Dial(target) = &order.action {
            return self.dial(now, id, target, &order);
        }
        let Some(leg) = self.legs.get_mut(&id) else { return Ok(()) }; // it has ended meanwhile
        leg.set_media(order.media);
        let session = leg.session;
        match order.action {
            LegAction::Dial(_) => Ok(()),
            // It hears us already, or has been told already.
            LegAction::Alert if leg.early || std::mem::replace(&mut leg.alerted, true) => Ok(()),
            LegAction::Alert => self.endpoint.ring(now, session).map_err(internal),
            LegAction::OpenEarly => self.open_early(now, id, &order.prefer),
            LegAction::Answer => self.answer(now, id, &order.prefer),
            LegAction::Hold | LegAction::Resume => {
                let offer = leg.hold(order.action == LegAction::Hold).map_err(internal)?;
                self.endpoint.reinvite(now, session, Some(offer)).map_err(internal)
            }
            LegAction::SendDigits(_) => Ok(()), // digits travel as media, which the bridge sends
            LegAction::Refer(news) => {
                self.refer_news(now, id, news);
                Ok(())
            }
            LegAction::HangUp(cause) => {
                self.hang_up(now, id, cause);
                Ok(())
            }
        }
    }

    fn open_early(&mut self, now: Instant, id: LegId, prefer: &[Codec]) -> Result<(), LegEnd> {
        let Some(leg) = self.legs.get_mut(&id) else { return Ok(()) };
        // One 18x to a carrier: it that has been told 180 makes a tone of its own, and a 183 after that ends it in some
        // networks and is a second ringing in others. Whoever is to hear what comes before the answer gets 183 from the
        // beginning, which `ringback = "tone"` does. A telephone takes both.
        if leg.early || leg.alerted && leg.trunk.is_some() {
            return Ok(());
        }
        if !leg.has_their_offer() {
            // Without an offer, early media would need a reliable response to carry ours. Ringing
            // is the truth and needs nothing.
            if std::mem::replace(&mut leg.alerted, true) {
                return Ok(());
            }
            return self.endpoint.ring(now, leg.session).map_err(internal);
        }
        let (sdp, media) = leg.answer(prefer).map_err(unacceptable)?;
        leg.early = true;
        let (session, reliable) = (leg.session, leg.reliable);
        self.agreed(id, media);
        self.endpoint.progress(now, session, 183, Some(sdp), reliable).map_err(internal)
    }

    fn answer(&mut self, now: Instant, id: LegId, prefer: &[Codec]) -> Result<(), LegEnd> {
        let Some(leg) = self.legs.get_mut(&id) else { return Ok(()) };
        if !leg.unanswered {
            return Ok(()); // once is enough
        }
        let (sdp, media) = if leg.has_their_offer() {
            let (sdp, media) = leg.answer(prefer).map_err(unacceptable)?;
            (sdp, Some(media))
        } else if leg.early {
            (leg.said().unwrap_or_default(), None)
        } else {
            (leg.offer(prefer).map_err(internal)?, None)
        };
        leg.unanswered = false;
        let session = leg.session;
        if let Some(media) = media {
            self.agreed(id, media);
        }
        self.endpoint.accept(now, session, sdp).map_err(internal)?;
        self.answered(now, id);
        Ok(())
    }

    /// Ends a leg as its state asks for: refusal, CANCEL or BYE.
    pub(super) fn hang_up(&mut self, now: Instant, id: LegId, cause: Cause) {
        let Some(leg) = self.legs.get(&id) else { return };
        let reason = format!("Q.850;cause={}", cause.q850());
        let done = if leg.unanswered {
            let (status, _) = cause.sip_status();
            let retry_after = (status == 503).then(|| Duration::from_secs(RETRY_AFTER_S));
            let refusal = Refusal { status, reasons: vec![reason], retry_after, headers: Vec::new() };
            self.endpoint.reject(now, leg.session, &refusal)
        } else {
            self.endpoint.hang_up(now, leg.session, &[reason])
        };
        if let Err(error) = done {
            // The session ended by itself in the meantime; its end is on its way to the switchboard.
            tracing::debug!(leg = %id, %error, "hanging up");
        }
    }
}
