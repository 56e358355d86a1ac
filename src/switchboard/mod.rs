//! The switchboard: live calls by id, what is asked of them, what they answer.
//!
//! One task owns every live call. Doors report to it, the API asks at its [`desk`], the bridge
//! tells it of digits and lost media; each is handed to the [`Call`](crate::call::Call) it
//! concerns, and what the call wants done is carried to the door, the bridge and the journal.
//!
//! ```text
//!   doors ──Report──┐                      ┌──Order──> doors
//!   API ───Asked────┼──> one call ────────> ┼──Hearing─> bridge
//!   bridge ─────────┘    (pure)            └──Event──> journal
//! ```
//!
//! A panic while a call is handled ends that call and no other.

mod admission;
mod card;
mod consult;
mod cost;
pub mod desk;
mod doors;
mod early;
pub mod gate;
mod history;
mod live;
mod look;
mod refer;
mod screen;
mod standby;
#[cfg(test)]
mod stories;
mod supervise;
mod told;
mod toll;
mod transfer;
mod ways;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use sbc_config::{Config, TrunkId};
use tokio::sync::{mpsc, watch};

use crate::bridge::{Bridge, BridgeEvent};
use crate::call::door::{Caller, MediaEnd, Order, Report};
use crate::call::{
    CallId, Cause, Coaching, Command, CommandError, ConsultId, Input, LegAction, LegEnd, LegEvent, LegId,
    Output, SupervisionId,
};
use crate::observe::{Journal, metrics as names};

use admission::Pace;
use desk::{Answer, Asked, Request};
pub use doors::DoorOrders;
use doors::Doors;
use gate::{Clearing, Gate, Ruling};
use live::{Leg, Live};
pub use look::{Checked, Looked, look};
use standby::Standby;
use ways::Pending;

/// Reports waiting to be handled; a door that finds the queue full waits, and its sockets with it.
pub const REPORTS_MAX: usize = 4096;

/// Orders waiting for a door. A door that is this far behind is broken, and the leg is ended here.
pub const ORDERS_MAX: usize = 16 * 1024;

/// Events of the bridge waiting to be handled.
pub const BRIDGE_EVENTS_MAX: usize = 4096;

/// How long an order may wait to be seen by a media thread, together with what else comes until then. A call
/// that is set up gives six or eight of them within a few milliseconds; nobody hears two.
const ANNOUNCED_WITHIN: Duration = Duration::from_millis(2);

/// Reports and events handled in one go, before others have their turn.
const BURST_MAX: usize = 64;

/// Everything the switchboard is connected to.
pub struct Lines {
    /// What doors report.
    pub reports: mpsc::Receiver<Report>,
    /// Orders to the doors that are open.
    pub doors: DoorOrders,
    /// The way to the prerequisite engine.
    pub gate: Gate,
    /// What it says.
    pub rulings: mpsc::Receiver<Ruling>,
    /// Turns true when no new calls are taken any more.
    pub draining: watch::Sender<bool>,
    /// What the API asks.
    pub asked: mpsc::Receiver<Asked>,
    /// What the bridge tells.
    pub bridge_events: mpsc::Receiver<BridgeEvent>,
    /// The bridge.
    pub bridge: Bridge,
    /// Where news and records go.
    pub journal: Arc<dyn Journal>,
    /// The configuration in force.
    pub config: Arc<ArcSwap<Config>>,
    /// Turns true when the process stops: every call is hung up, and the switchboard returns when
    /// the last is recorded.
    pub stop: watch::Receiver<bool>,
}

/// The live calls and all that is known of them.
pub struct Switchboard {
    calls: HashMap<CallId, Live>,
    /// Which call a leg belongs to.
    by_leg: HashMap<LegId, CallId>,
    /// Which call a supervision is on.
    by_supervision: HashMap<SupervisionId, CallId>,
    /// Which call a consult is on.
    by_consult: HashMap<ConsultId, CallId>,
    /// Supervisors on the line between two calls of the agent they follow.
    standby: HashMap<SupervisionId, Standby>,
    /// When which call wants to be told the time.
    timers: BTreeSet<(Instant, CallId)>,
    /// Calls that are over and wait for the figures of their media, to be recorded.
    closing: HashMap<CallId, Closing>,
    /// Supervisors on the line, in a call or between two.
    on_line: HashSet<SupervisionId>,
    /// Legs on each trunk, for its channel limit. None stands for no leg.
    channels: HashMap<TrunkId, usize>,
    pace: Pace,
    tolls: toll::Tolls,
    draining: bool,
    doors: Doors,
    gate: Gate,
    /// Legs that are dialled when the engine allows it.
    clearing: Clearing,
    /// Requests that are answered when the engine has.
    pending: HashMap<u64, Pending>,
    bridge: Bridge,
    journal: Arc<dyn Journal>,
    config: Arc<ArcSwap<Config>>,
}

/// How long far ends may take to let go when the gateway stops. One that never answers must not cost a call its record.
pub const HANGING_UP_MAX: Duration = Duration::from_secs(3);

/// How long a call's record waits for the figures of its media.
const MEASURED_MAX: Duration = Duration::from_secs(2);

/// A call that is over but not recorded yet.
struct Closing {
    live: Live,
    cause: Cause,
    by: Option<LegId>,
    until: Instant,
}

/// Runs the switchboard until it is stopped or the doors are gone.
pub async fn run(lines: Lines) {
    let Lines {
        mut reports,
        doors,
        gate,
        mut rulings,
        draining,
        mut asked,
        mut bridge_events,
        bridge,
        journal,
        config,
        mut stop,
    } = lines;
    let mut board = Switchboard::new(Doors::new(doors, draining), gate, bridge, journal, config);
    let mut stopping = false;
    let mut give_up_at: Option<Instant> = None;
    let mut announce: Option<Instant> = None;
    loop {
        if stopping && board.is_empty() {
            board.bridge.announce();
            return;
        }
        if announce.is_none() && board.bridge.is_unannounced() {
            announce = Some(Instant::now() + ANNOUNCED_WITHIN);
        }
        let wake = board.next_timer().into_iter().chain(announce).min();
        tokio::select! {
            report = reports.recv() => match report {
                Some(report) => {
                    let now = Instant::now();
                    board.report(now, report);
                    let more = std::iter::from_fn(|| reports.try_recv().ok()).take(BURST_MAX);
                    more.for_each(|report| board.report(now, report));
                }
                None => return, // the doors are gone: nothing can happen any more
            },
            Some(asked) = asked.recv() => board.asked(Instant::now(), asked),
            Some(ruling) = rulings.recv() => board.ruled(Instant::now(), ruling),
            Some(event) = bridge_events.recv() => {
                let now = Instant::now();
                board.bridge_event(now, event);
                let more = std::iter::from_fn(|| bridge_events.try_recv().ok()).take(BURST_MAX);
                more.for_each(|event| board.bridge_event(now, event));
            }
            () = sleep_until(wake) => {
                let now = Instant::now();
                if announce.is_some_and(|at| at <= now) {
                    announce = None;
                    board.bridge.announce();
                }
                board.timers(now);
            }
            () = sleep_until(give_up_at) => {
                give_up_at = None;
                board.give_up(Instant::now());
            }
            // An error means that whoever could stop us is gone, and is as good as being told.
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                give_up_at = Some(Instant::now() + HANGING_UP_MAX);
                board.stop(Instant::now());
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

impl Switchboard {
    fn new(
        doors: Doors,
        gate: Gate,
        bridge: Bridge,
        journal: Arc<dyn Journal>,
        config: Arc<ArcSwap<Config>>,
    ) -> Switchboard {
        Switchboard {
            calls: HashMap::new(),
            by_leg: HashMap::new(),
            by_supervision: HashMap::new(),
            by_consult: HashMap::new(),
            standby: HashMap::new(),
            timers: BTreeSet::new(),
            closing: HashMap::new(),
            on_line: HashSet::new(),
            channels: HashMap::new(),
            pace: Pace::default(),
            tolls: toll::Tolls::default(),
            draining: false,
            doors,
            gate,
            clearing: HashMap::new(),
            pending: HashMap::new(),
            bridge,
            journal,
            config,
        }
    }

    /// The process stops: nobody is let in any more, and nobody is left in a call that is dead.
    fn stop(&mut self, now: Instant) {
        self.draining = true;
        self.doors.drain();
        for id in self.calls.keys().copied().collect::<Vec<_>>() {
            // One that is over already needs no ending.
            let _over = self.command(now, id, Command::HangUp(Cause::ShuttingDown));
        }
        for id in self.standby.keys().copied().collect::<Vec<_>>() {
            self.release_standby(id, Cause::ShuttingDown);
        }
    }

    /// Records what is not over yet as it is, and waits for nobody any more.
    fn give_up(&mut self, now: Instant) {
        for id in self.calls.keys().copied().collect::<Vec<_>>() {
            tracing::warn!(%id, "not everybody answered the hang-up; the call is recorded without");
            let ending = self.calls.get(&id).and_then(|live| live.call.ending());
            let (cause, by) = ending.unwrap_or((Cause::ShuttingDown, None));
            self.over(now, id, cause, by);
        }
        self.standby.clear();
        for id in self.closing.keys().copied().collect::<Vec<_>>() {
            self.close_record(id);
        }
    }

    /// Whether no call is up and none waits for its record.
    fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.standby.is_empty() && self.closing.is_empty()
    }

    fn report(&mut self, now: Instant, report: Report) {
        match report {
            Report::Incoming(incoming) => {
                self.doors.came(&incoming);
                self.incoming(now, incoming);
            }
            Report::Leg(leg, event) => {
                self.leg_event(now, leg, event);
            }
            Report::Refers { leg, to } => self.refers(now, leg, &to),
            Report::Joins { leg, with } => self.joins(now, leg, with),
            Report::Agreed(leg, media) => {
                if let Some(call) = self.by_leg.get(&leg).copied() {
                    self.agreed(call, leg, &media);
                } else {
                    self.standby_agreed(leg, &media);
                }
            }
            Report::Correlated(leg, correlation) => {
                let call = self.by_leg.get(&leg).copied();
                let live = call.and_then(|call| self.calls.get_mut(&call));
                if let Some(known) = live.and_then(|live| live.leg_mut(leg)) {
                    known.correlation = Some(correlation);
                }
            }
            Report::Trunk { trunk, up, detail } => self.tell_trunk(&trunk, up, &detail),
        }
    }

    fn leg_event(&mut self, now: Instant, leg: LegId, event: LegEvent) {
        self.tell_browser(leg, &event);
        if matches!(event, LegEvent::Ended(_)) {
            self.doors.gone(leg);
        }
        let Some(call) = self.by_leg.get(&leg).copied() else {
            return self.standby_leg_event(leg, &event);
        };
        self.proves(call, leg, &event);
        if let Some(live) = self.calls.get_mut(&call) {
            live.note(leg, &event);
        }
        if event == LegEvent::EarlyMedia && self.waits_for_sound(call, leg) {
            return;
        }
        if event == LegEvent::Answered {
            self.bridge.answered(call, leg);
            self.screen(call, leg);
        }
        if matches!(event, LegEvent::Ended(_)) {
            self.no_more_screened(call, leg);
            self.clearing.remove(&leg);
            self.by_leg.remove(&leg);
            self.bridge.close(call, leg);
            self.note_toll(call, leg);
            let known = self.calls.get_mut(&call).and_then(|live| live.leg_mut(leg));
            let channel = known.and_then(|known| known.channel.take());
            self.leave_trunk(channel);
        }
        self.drive(now, call, |c| c.handle(now, Input::Leg(leg, event)));
    }

    fn agreed(&mut self, call: CallId, leg: LegId, media: &crate::call::door::AgreedMedia) {
        let Some(live) = self.calls.get_mut(&call) else { return };
        live.agreed(leg, media);
        let consume_digits = live.is_supervisor(leg);
        self.bridge.agree(call, leg, media.clone(), consume_digits);
    }

    fn bridge_event(&mut self, now: Instant, event: BridgeEvent) {
        match event {
            BridgeEvent::Digit { call, leg, digit } => {
                self.drive(now, call, |c| c.handle(now, Input::Leg(leg, LegEvent::Digit(digit))));
            }
            BridgeEvent::MediaTimeout { call, leg } => {
                if self.standby_lost_media(leg) {
                    return;
                }
                self.drive(now, call, |c| c.handle(now, Input::Leg(leg, LegEvent::MediaLost)));
            }
            BridgeEvent::MediaMissing { call, leg, missing } => self.media_missing(call, leg, missing),
            BridgeEvent::HearingApplied { call, generation } => self.applied(call, generation),
            BridgeEvent::Quality { call, leg, quality, is_news } => self.sounds(call, leg, quality, is_news),
            BridgeEvent::Closed { call, leg, quality } => self.quality(call, leg, quality),
            BridgeEvent::CallFailed { call } if self.calls.contains_key(&call) => {
                self.fail(now, call, "its media failed");
            }
            BridgeEvent::CallFailed { call } => self.standby_failed(call),
            BridgeEvent::FirstMedia { call, leg } => self.first_media(now, call, leg),
            BridgeEvent::Screened { call, leg, heard } => self.screened(now, call, leg, heard),
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn timers(&mut self, now: Instant) {
        while let Some((at, call)) = self.timers.first().copied() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            match self.calls.get_mut(&call) {
                Some(live) => live.timer = None,
                None => self.close_record(call),
            }
            self.drive(now, call, |c| c.handle(now, Input::Timeout));
        }
    }

    /// Carries out a command on a call and everything that follows from it.
    fn command(&mut self, now: Instant, call: CallId, command: Command) -> Result<(), CommandError> {
        let joins = matches!(command, Command::Supervise(_) | Command::Consult(_));
        if joins && self.calls.get(&call).is_some_and(|live| live.emergency) {
            return Err(CommandError::Emergency);
        }
        let mut done = Err(CommandError::Over);
        self.drive(now, call, |c| done = c.command(now, command));
        done
    }

    /// Lets a call handle something and carries out what it wants. A panic ends that call alone.
    fn drive(&mut self, now: Instant, id: CallId, step: impl FnOnce(&mut crate::call::Call)) {
        let Some(live) = self.calls.get_mut(&id) else { return };
        if catch_unwind(AssertUnwindSafe(|| step(&mut live.call))).is_err() {
            return self.fail(now, id, "a defect in call handling");
        }
        self.carry_out(now, id);
    }

    fn carry_out(&mut self, now: Instant, id: CallId) {
        while let Some(live) = self.calls.get_mut(&id) {
            let Some(output) = live.call.poll() else { break };
            match output {
                Output::Leg(leg, action) => self.order(now, id, leg, action),
                Output::Clear(leg, user) => self.clear(now, id, leg, user),
                Output::Hearing(generation, hearing) => self.bridge.set_hearing(id, generation, hearing),
                Output::Event(event) => {
                    self.tell(now, id, &event);
                    self.answer_transfer(id, &event);
                }
                Output::Keep(supervision) => self.keep(id, supervision),
                Output::Over(cause, by) => return self.over(now, id, cause, by),
            }
        }
        self.rearm(id);
    }

    fn rearm(&mut self, id: CallId) {
        let Some(live) = self.calls.get_mut(&id) else { return };
        let wanted = live.call.poll_timeout();
        if wanted == live.timer {
            return;
        }
        if let Some(old) = live.timer.take() {
            self.timers.remove(&(old, id));
        }
        if let Some(at) = wanted {
            self.timers.insert((at, id));
        }
        live.timer = wanted;
    }

    /// Sends an action to the leg's door, with our end of its media where the action needs one.
    fn order(&mut self, now: Instant, id: CallId, leg: LegId, action: LegAction) {
        if let LegAction::HangUp(cause) = action
            && self.gives_up_clearing(now, leg, cause)
        {
            return;
        }
        let Some(live) = self.calls.get_mut(&id) else { return };
        if let LegAction::Dial(target) = &action {
            self.clearing.remove(&leg);
            live.dialled(leg, target, SystemTime::now(), cost::Path::to(&self.config.load(), target));
            self.doors.goes(leg, target, &self.config.load());
            self.by_leg.insert(leg, id);
            if let Some(trunk) = target.trunk()
                && let Some((cause, reason)) = self.over_limit_to_trunk(now, id, leg, target, trunk)
            {
                let detail = format!("{reason} of trunk {trunk}");
                return self.refuse_leg(now, leg, cause, detail);
            }
        }
        let action = match action {
            LegAction::Alert if self.wants_tone(id) => LegAction::OpenEarly,
            LegAction::SendDigits(digits) if !self.doors.takes_digits(leg) => {
                return digits.chars().for_each(|digit| self.bridge.send_digit(id, leg, digit));
            }
            other => other,
        };
        let needs_media = matches!(action, LegAction::Dial(_) | LegAction::OpenEarly | LegAction::Answer);
        let media = match needs_media.then(|| self.media_end(id, leg)) {
            Some(Err(detail)) => return self.refuse_leg(now, leg, Cause::Congestion, detail),
            Some(Ok(end)) => Some(end),
            None => None,
        };
        let Some(live) = self.calls.get(&id) else { return };
        let order = Order {
            leg,
            media,
            prefer: live.codecs_of_others(leg),
            caller: match &action {
                LegAction::Dial(target) => {
                    let fixed = live.emergency_caller(&self.config.load(), target);
                    let caller = fixed.unwrap_or_else(|| live.caller_for(leg));
                    Some(Caller { journey: live.journey_on(), ..caller })
                }
                _ => None,
            },
            card: match &action {
                LegAction::Dial(target) => live.card_for(&self.config.load(), leg, target),
                _ => None,
            },
            action,
        };
        if self.doors.order(order).is_err() {
            tracing::error!(%id, %leg, "the door does not take orders; ending the leg");
            self.leg_event(now, leg, LegEvent::Ended(LegEnd::of(Cause::Internal)));
        }
    }

    /// Why a number may not be dialled over a trunk now. A call to an emergency service always may.
    fn over_limit_to_trunk(
        &mut self,
        now: Instant,
        id: CallId,
        leg: LegId,
        target: &crate::call::Target,
        trunk: &TrunkId,
    ) -> Option<toll::Refused> {
        let (tenant, emergency) = self.calls.get(&id).map(|live| (live.tenant.clone(), live.emergency))?;
        if emergency {
            self.occupy(id, leg, trunk);
            return None;
        }
        let config = self.config.load_full();
        let refused = target.number().and_then(|number| self.toll(now, &config, trunk, number));
        let refused = refused.or_else(|| {
            let full = !self.take_channel(id, leg, trunk);
            full.then_some((Cause::Congestion, "channels_max"))
        });
        if let Some((_, reason)) = refused {
            self.tell_toll("trunk.refused", &tenant, Some(id), trunk, reason);
        }
        refused
    }

    /// Gives the leg a channel of its trunk. False when the trunk has none left.
    fn take_channel(&mut self, id: CallId, leg: LegId, trunk: &TrunkId) -> bool {
        if self.is_trunk_full(&self.config.load(), trunk) {
            return false;
        }
        self.occupy(id, leg, trunk);
        true
    }

    fn occupy(&mut self, id: CallId, leg: LegId, trunk: &TrunkId) {
        if let Some(known) = self.calls.get_mut(&id).and_then(|live| live.leg_mut(leg)) {
            known.channel = Some(trunk.clone());
            *self.channels.entry(trunk.clone()).or_default() += 1;
        }
    }

    fn is_trunk_full(&self, config: &Config, trunk: &TrunkId) -> bool {
        let most = config.trunk(trunk).and_then(|trunk| trunk.channels_max);
        most.is_some_and(|most| self.channels.get(trunk).is_some_and(|up| *up >= most))
    }

    fn leave_trunk(&mut self, trunk: Option<TrunkId>) {
        let Some(trunk) = trunk else { return };
        if let std::collections::hash_map::Entry::Occupied(mut up) = self.channels.entry(trunk) {
            match up.get() {
                0 | 1 => drop(up.remove()),
                _ => *up.get_mut() -= 1,
            }
        }
    }

    fn media_end(&mut self, id: CallId, leg: LegId) -> Result<MediaEnd, String> {
        let live = self.calls.get_mut(&id).ok_or("the call is gone")?;
        let Leg { media, .. } = live.leg_mut(leg).ok_or("the leg is gone")?;
        if let Some(end) = media {
            return Ok(*end);
        }
        let opened =
            if self.doors.is_wired(leg) { self.bridge.open_wire(id, leg) } else { self.bridge.open(id, leg) };
        let opened = opened.map_err(|error| error.to_string())?;
        let end = MediaEnd { rtp: opened.rtp };
        *media = Some(end);
        Ok(end)
    }

    /// A leg that may not be, or cannot have media, is ended here and at its door.
    fn refuse_leg(&mut self, now: Instant, leg: LegId, cause: Cause, detail: String) {
        tracing::warn!(%leg, detail, "a limit is reached; the leg is refused");
        let hang_up = Order {
            leg,
            action: LegAction::HangUp(cause),
            media: None,
            prefer: Vec::new(),
            caller: None,
            card: None,
        };
        // A door that takes no orders knows nothing of this leg, or is being stopped.
        let _unreachable = self.doors.order(hang_up);
        self.leg_event(now, leg, LegEvent::Ended(LegEnd { cause, detail }));
    }

    /// Ends a call whose handling failed: its people are let go, its ports and records closed.
    fn fail(&mut self, now: Instant, id: CallId, what: &str) {
        let Some(live) = self.calls.remove(&id) else { return };
        tracing::error!(%id, what, "the call is ended");
        if let Some(at) = live.timer {
            self.timers.remove(&(at, id));
        }
        for leg in live.legs() {
            self.by_leg.remove(&leg);
            let order = Order {
                leg,
                action: LegAction::HangUp(Cause::Internal),
                media: None,
                prefer: Vec::new(),
                caller: None,
                card: None,
            };
            if self.doors.order(order).is_err() {
                tracing::error!(%id, %leg, "could not hang up");
            }
        }
        self.tell_failed(&live);
        self.finish(now, live, Cause::Internal, None);
    }

    fn over(&mut self, now: Instant, id: CallId, cause: Cause, by: Option<LegId>) {
        let Some(live) = self.calls.remove(&id) else { return };
        if let Some(at) = live.timer {
            self.timers.remove(&(at, id));
        }
        for leg in live.legs() {
            // One that went over into another call is in that.
            if self.by_leg.get(&leg) == Some(&id) {
                self.by_leg.remove(&leg);
            }
        }
        self.finish(now, live, cause, by);
    }

    fn finish(&mut self, now: Instant, mut live: Live, cause: Cause, by: Option<LegId>) {
        let id = live.id;
        self.by_supervision.retain(|_, call| *call != id);
        self.by_consult.retain(|_, call| *call != id);
        self.bridge.close_call(id);
        for leg in &mut live.legs {
            self.leave_trunk(leg.channel.take());
        }
        let waiting = std::mem::take(&mut live.waiting).into_iter().map(|waiting| waiting.answer);
        for answer in waiting.chain(live.transferring.take()) {
            // A caller who no longer waits has gone.
            let _gone = answer.send(Err(told::conflict(CommandError::Over)));
        }
        metrics::gauge!(names::CALLS_LIVE).set(self.calls.len() as f64);
        metrics::counter!(names::CALLS_ENDED, "cause" => told::cause_label(cause)).increment(1);
        let until = now + MEASURED_MAX;
        let measured = live.is_measured();
        self.timers.insert((until, id));
        self.closing.insert(id, Closing { live, cause, by, until });
        if measured {
            self.close_record(id);
        }
    }

    fn asked(&mut self, now: Instant, asked: Asked) {
        let Asked { principal: who, request, answer } = asked;
        let reply = match request {
            // These wait for the bridge, or for a telephone, and answer later.
            Request::Transfer(wanted) => return self.transfer(now, who, wanted, answer),
            Request::Consult(wanted) => return self.consult(now, who, wanted, answer),
            Request::Audio(call) => return self.audio(&who, call, answer),
            Request::SwitchRole(id, role) => return self.switch_role(now, &who, id, role, answer),
            Request::TakeOver(id) => return self.switch_role(now, &who, id, Coaching::TakenOver, answer),

            Request::ListCalls => Ok(Answer::Calls(self.list(&who))),
            Request::GetCall(call) => self.view(&who, call).map(Answer::Call),
            Request::Originate { agent, to, trunk } => self.originate(now, &who, &agent, &to, trunk),
            Request::HangUp(call) => self.hang_up(now, &who, call),
            Request::Leg { call, leg, act } => self.leg_act(now, &who, call, leg, act),
            Request::Supervise(wanted) => self.supervise(now, &who, wanted),
            Request::GetSupervision(id) => self.supervision(&who, id).map(Answer::Supervision),
            Request::ListSupervisions(call) => self.supervisions(&who, call).map(Answer::Supervisions),
            Request::EndSupervision(id) => self.end_supervision(now, &who, id),
            Request::GetConsult(id) => self.consult_view(&who, id).map(Answer::Consult),
            Request::SpeakTo(id, to) => self.speak_to(now, &who, id, to),
            Request::CompleteConsult(id) => {
                self.end_consult(now, &who, id, Command::CompleteConsult(id), "complete_consult")
            }
            Request::CancelConsult(id) => {
                self.end_consult(now, &who, id, Command::CancelConsult(id), "cancel_consult")
            }
            Request::Drain => self.drain(&who),
        };
        // A caller who no longer waits has gone; what was asked is done all the same.
        let _gone = answer.send(reply);
    }
}
