//! What a leg is told: answers to what was asked, events in any order, its stream, and the time.

use std::time::Instant;

use sbc_config::AcsId;

use crate::call::door::Report;
use crate::call::{Cause, LegEnd, LegEvent, LegId};

use super::super::callback::{Event, Happened};
use super::super::cause::cause_of;
use super::super::operation::Operation;
use super::super::wire::{CallConnection, Streaming};
use super::{
    Asking, Door, Failure, LOOK_AFTER, SEEN_MAX, STREAM_PAUSE, STREAM_TRIES_MAX, State, Stream, Wanted, Why,
};

impl Door {
    /// What came of an operation.
    pub fn done(
        &mut self,
        now: Instant,
        resource: &AcsId,
        id: LegId,
        why: Why,
        answer: Result<CallConnection, Failure>,
    ) {
        if let (Why::Answer | Why::Dial, Ok(said)) = (why, &answer) {
            if !self.legs.contains_key(&id) {
                return self.end_unwanted(resource, id, &said.call_connection_id);
            }
            self.learn(id, &said.call_connection_id, said.correlation_id.as_deref());
        }
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let is_taken = answer.is_ok();
        match (why, answer) {
            (Why::Answer | Why::Dial, Ok(_)) => {
                if matches!(leg.state, State::Asked) {
                    leg.look_at = Some(now + LOOK_AFTER);
                    if why == Why::Dial {
                        // ACS does not tell when it rings; from here on it tries to.
                        self.report(Report::Leg(id, LegEvent::Ringing));
                    }
                }
                self.terminate(id);
            }
            // Events have told that it was done, whatever became of the answer.
            (Why::Answer | Why::Dial, Err(_)) if leg.names.connection.is_some() => {
                tracing::info!(leg = %id, "ACS has done what it does not say it did");
                if matches!(leg.state, State::Asked) {
                    leg.look_at = Some(now);
                }
            }
            (Why::Answer | Why::Dial, Err(failure)) if matches!(leg.state, State::Ending { .. }) => {
                self.end_as_wanted(id, failure.detail);
            }
            (Why::Answer, Err(failure)) if failure.is_gone => {
                // Nobody tells us when a caller gives up before we answer: this is how we learn it.
                let detail = failure.detail;
                self.end(id, LegEnd { cause: Cause::Cancelled, detail });
            }
            (Why::Answer | Why::Dial, Err(failure)) => {
                self.end(id, LegEnd { cause: failure.cause, detail: failure.detail });
            }
            (Why::Look, Ok(said)) => self.looked(now, id, &said),
            (Why::Look, Err(failure)) if failure.is_gone => {
                self.disconnected(id, LegEnd { cause: Cause::Normal, detail: failure.detail });
            }
            (Why::Look, Err(_)) => leg.look_at = Some(now + LOOK_AFTER),
            (Why::Terminate, Ok(_)) => self.end_as_wanted(id, String::new()),
            (Why::Terminate, Err(failure)) => {
                if !failure.is_gone {
                    tracing::warn!(leg = %id, "ACS did not end a call");
                    // In ACS's words, which may name people.
                    tracing::debug!(leg = %id, detail = failure.detail, "because");
                }
                self.end_as_wanted(id, failure.detail);
            }
            (Why::Reject, _) | (Why::Aside | Why::Digits, Ok(_)) => {}
            (Why::Aside | Why::Digits, Err(failure)) if failure.is_gone => leg.look_at = Some(now),
            (Why::Aside | Why::Digits, Err(failure)) => {
                tracing::info!(leg = %id, "ACS did not do what a leg can do without");
                tracing::debug!(leg = %id, detail = failure.detail, "because");
            }
        }
        if let (Why::Digits, Some(leg)) = (why, self.legs.get_mut(&id)) {
            leg.keys.answered(now, is_taken);
            self.send_next_digits(id);
        }
        self.arm(id);
    }

    /// A call is up that nobody waits for any more: its leg ended while ACS was being asked for it.
    fn end_unwanted(&mut self, resource: &AcsId, leg: LegId, connection: &str) {
        if connection.is_empty() {
            return;
        }
        tracing::info!(%leg, "a call came up after its leg had ended; it is ended, too");
        let (resource, connection) = (resource.clone(), connection.to_owned());
        let operation = Operation::Terminate { connection };
        self.wanted.push_back(Wanted::Ask(Box::new(Asking {
            leg,
            resource,
            why: Why::Terminate,
            operation,
        })));
    }

    fn looked(&mut self, now: Instant, id: LegId, said: &CallConnection) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let is = |state: &str| said.call_connection_state.eq_ignore_ascii_case(state);
        if is("disconnected") {
            let detail = "ACS: disconnected".to_owned();
            return self.disconnected(id, LegEnd { cause: Cause::Normal, detail });
        }
        match leg.state {
            State::Asked if is("connected") => self.up(id),
            State::Asked => leg.look_at = Some(now + LOOK_AFTER),
            State::Offered(_) | State::Up | State::Ending { .. } => {}
        }
    }

    /// An event of ACS at a leg's own address.
    pub fn event(&mut self, now: Instant, resource: &AcsId, id: LegId, event: Event) {
        let Some(leg) = self.legs.get_mut(&id) else {
            // It has ended, and stragglers come.
            if event.happened == Happened::Connected {
                self.end_unwanted(resource, id, &event.connection);
            }
            return;
        };
        // Two connections of one call may send to one address: a leg is one of them.
        let foreign = leg.names.connection.as_deref().is_some_and(|known| known != event.connection);
        if foreign || leg.seen.contains(&event.id) {
            return;
        }
        if leg.seen.len() >= SEEN_MAX {
            leg.seen.pop_front();
        }
        leg.seen.push_back(event.id);
        self.learn(id, &event.connection, Some(&event.correlation));
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let (code, subcode) = event.result.codes();
        let end = || LegEnd { cause: cause_of(code, subcode), detail: event.result.verbatim() };
        match event.happened {
            Happened::Connected => match leg.state {
                State::Asked => self.up(id),
                State::Ending { .. } => self.terminate(id),
                State::Offered(_) | State::Up => {}
            },
            Happened::Disconnected => self.disconnected(id, end()),
            Happened::AnswerFailed | Happened::CreateFailed | Happened::ConnectFailed => {
                let end = end();
                // What failed did not end normally, whatever the code says.
                let cause = if end.cause == Cause::Normal { Cause::Unreachable } else { end.cause };
                self.disconnected(id, LegEnd { cause, ..end });
            }
            Happened::Participants { .. } => {
                // Whoever is in a call that we have asked for is proof that it is up, or will be; the event that says
                // so may be lost.
                if matches!(leg.state, State::Asked) {
                    leg.look_at = Some(leg.look_at.map_or(now, |at| at.min(now + LOOK_AFTER)));
                }
                self.terminate(id);
            }
            Happened::Tone { sequence, digit } => {
                let pressed = leg.keys.pressed(now, sequence, digit);
                self.press(id, pressed);
            }
            Happened::DigitsPlayed => {
                leg.keys.played();
                self.send_next_digits(id);
            }
            Happened::StreamingFailed(detail) => {
                tracing::info!(leg = %id, "a media stream failed");
                tracing::debug!(leg = %id, detail, "because");
                self.stream_failed(now, id);
            }
            Happened::StreamingStarted | Happened::StreamingStopped => {}
            Happened::Other(_) | Happened::Unknown(_) => {}
        }
        self.arm(id);
    }

    fn press(&mut self, id: LegId, digits: Vec<char>) {
        self.wanted.extend(digits.into_iter().map(|digit| Wanted::Press(id, digit)));
    }

    fn disconnected(&mut self, id: LegId, end: LegEnd) {
        let Some(leg) = self.legs.get(&id) else { return };
        match leg.state {
            State::Ending { .. } => self.end_as_wanted(id, end.detail),
            // Nobody answered a call of ours, or a caller gave up while we answered: ACS calls both a normal end.
            State::Asked if end.cause == Cause::Normal => {
                let cause = if leg.is_dialled { Cause::NoAnswer } else { Cause::Cancelled };
                self.end(id, LegEnd { cause, ..end });
            }
            State::Offered(_) | State::Asked | State::Up => self.end(id, end),
        }
    }

    /// Something happened to a leg's stream.
    pub fn stream(&mut self, now: Instant, id: LegId, what: Stream) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        match what {
            Stream::Opened => {
                leg.stream_tries = 0;
                leg.stream_at = None;
            }
            // ACS dials anew by itself. If it does not, the call may be over without our knowing.
            Stream::Lost if matches!(leg.state, State::Up) => leg.look_at = Some(now + LOOK_AFTER),
            Stream::Lost => {}
            Stream::Key(digit) => self.send_digits(id, &digit.to_string()),
        }
        self.arm(id);
    }

    fn stream_failed(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if !matches!(leg.state, State::Up | State::Asked) {
            return;
        }
        if leg.stream_tries >= STREAM_TRIES_MAX {
            return self.hang_up(now, id, Cause::MediaTimeout);
        }
        leg.stream_at = Some(now + STREAM_PAUSE * 2u32.pow(leg.stream_tries));
        leg.stream_tries += 1;
    }

    /// Lets due timers fire.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.alarms.pop_due(now) {
            let Some(leg) = self.legs.get_mut(&id) else { continue };
            if leg.end_at.is_some_and(|at| at <= now) {
                leg.end_at = None;
                match leg.state {
                    State::Ending { .. } => self.end_as_wanted(id, "ACS did not confirm".into()),
                    _ => self.end(id, LegEnd { cause: Cause::Cancelled, detail: "it rang out".into() }),
                }
                continue;
            }
            let connection = leg.names.connection.clone();
            let pressed = leg.keys.handle_timeout(now);
            if leg.stream_at.is_some_and(|at| at <= now) {
                leg.stream_at = None;
                if let Some(connection) = connection.clone() {
                    let body = Streaming::default();
                    self.ask(id, Why::Aside, Operation::StartStreaming { connection, body });
                }
            }
            self.press(id, pressed);
            self.send_next_digits(id);
            let Some(leg) = self.legs.get_mut(&id) else { continue };
            if leg.look_at.is_some_and(|at| at <= now) {
                // Without a name there is nothing to look at; the request's own time limit decides.
                leg.look_at = None;
                if let Some(connection) = connection {
                    self.ask(id, Why::Look, Operation::Get { connection });
                }
            }
            self.arm(id);
        }
    }
}
