//! The four transaction machines of RFC 3261 section 17, with the Accepted state of RFC 6026.
//!
//! A machine is a value of a few bits. It knows neither messages nor sockets nor the time: it is told what
//! happened ([`Happened`]) and answers with its next state and the one thing to do about it ([`Effect`]).
//! Which timers run follows from the state alone ([`Timers`]), so no flag can disagree with it. Messages,
//! deadlines and addresses belong to the store that keeps the machine (`endpoint`).

use std::time::Duration;

/// RFC 3261 section 17.1.1.1: the estimate of a round trip.
pub const T1: Duration = Duration::from_millis(500);
/// The longest pause between two copies of a non-INVITE request or of an INVITE's final response.
pub const T2: Duration = Duration::from_secs(4);
/// How long the network may keep a message.
pub const T4: Duration = Duration::from_secs(5);
/// How long a transaction is tried before it is given up: 64 times T1, 32 s.
pub const T1_TIMES_64: Duration = Duration::from_secs(32);
/// RFC 3261 section 17.1.1.2: timer D is at least 32 s over UDP.
const AT_LEAST_32_S: Duration = Duration::from_secs(32);

/// The timers of RFC 3261 table 4, with L and M of RFC 6026.
///
/// | timer | machine | runs while | over UDP | over TCP | when it fires |
/// |---|---|---|---|---|---|
/// | A | INVITE client | calling | T1, doubling | – | send the INVITE again |
/// | B | INVITE client | calling | 64 T1 | 64 T1 | give up: timeout |
/// | D | INVITE client | completed | 32 s | 0 | forget |
/// | E | other client | trying, proceeding | T1, doubling to T2 | – | send the request again |
/// | F | other client | trying, proceeding | 64 T1 | 64 T1 | give up: timeout |
/// | G | INVITE server | completed | T1, doubling to T2 | – | send the response again |
/// | H | INVITE server | completed | 64 T1 | 64 T1 | give up: no ACK came |
/// | I | INVITE server | confirmed | T4 | 0 | forget |
/// | J | other server | completed | 64 T1 | 0 | forget |
/// | K | other client | completed | T4 | 0 | forget |
/// | L | INVITE server | accepted | 64 T1 | 64 T1 | forget |
/// | M | INVITE client | accepted | 64 T1 | 64 T1 | forget |
///
/// Timer C belongs to proxies; the session has its own guard for a callee that rings for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the letters are the RFC's names; the table above says what each is")]
pub enum Timer {
    A,
    B,
    D,
    E,
    F,
    G,
    H,
    I,
    J,
    K,
    L,
    M,
}

impl Timer {
    /// How long the timer runs when it is first set. Zero means that its work is done at once.
    pub fn first(self, reliable: bool) -> Duration {
        match self {
            Timer::A | Timer::E | Timer::G => T1,
            Timer::B | Timer::F | Timer::H | Timer::L | Timer::M => T1_TIMES_64,
            Timer::D | Timer::I | Timer::J | Timer::K if reliable => Duration::ZERO,
            Timer::D => AT_LEAST_32_S,
            Timer::I | Timer::K => T4,
            Timer::J => T1_TIMES_64,
        }
    }

    /// The pause after `last`, for the timers that send again.
    pub fn again(self, last: Duration) -> Duration {
        match self {
            // RFC 3261 section 17.1.1.2: timer A doubles and only timer B ends it.
            Timer::A => last * 2,
            _ => (last * 2).min(T2),
        }
    }
}

/// The timers that run in a state: one that sends again (only where the transport may lose), one that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timers {
    /// A, E or G with its first pause.
    pub resend: Option<(Timer, Duration)>,
    /// The timer that ends the state.
    pub end: Option<Timer>,
}

impl Timers {
    const NONE: Timers = Timers { resend: None, end: None };

    fn new(resend: Option<(Timer, Duration)>, end: Timer, reliable: bool) -> Timers {
        Timers { resend: if reliable { None } else { resend }, end: Some(end) }
    }
}

/// What befell a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// Client: a response came; server: the user sent one. Sorted by its class.
    Response(Class),
    /// Server: the same request came once more.
    Retransmission,
    /// Server of an INVITE: the ACK to a refusal came.
    Ack,
    /// A timer of this machine fired.
    Fired(Timer),
    /// The transport could not deliver.
    TransportFailed,
}

/// What a status means to a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 1xx
    Provisional,
    /// 2xx
    Success,
    /// 3xx to 6xx
    Failure,
}

impl Class {
    /// The class of a status code.
    pub fn of(status: u16) -> Class {
        match status {
            0..200 => Class::Provisional,
            200..300 => Class::Success,
            _ => Class::Failure,
        }
    }
}

/// The one thing to do after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: absorbed.
    Nothing,
    /// Send the last request (client) or the last response (server) again.
    SendAgain,
    /// Client: give the response to the user. Server: put the user's response on the wire.
    Pass,
    /// Client of an INVITE: give the refusal to the user and acknowledge it.
    PassAndAck,
    /// Client of an INVITE: the refusal came again; only acknowledge it.
    AckAgain,
    /// Tell the user that no answer (client) or no ACK (server) came in time.
    TimedOut,
    /// Tell the user that the transport failed.
    Unreachable,
}

/// The client side of an INVITE (RFC 3261 figure 5, RFC 6026 figure 5).
///
/// ```text
///            INVITE sent
///                |        A fires: send again
///                v        B fires or transport error: tell the user -> Terminated
///   300-699  +---------+ 2xx
///  +---------| Calling |-------------------+
///  |         +---------+                   |
///  |             | 1xx                     |
///  |             v                         v
///  | 300-699 +------------+  2xx     +----------+  further 2xx: pass up,
///  |<--------| Proceeding |--------->| Accepted |  the user acknowledges
///  |         +------------+          +----------+
///  v           1xx: pass up                | M fires
/// +-----------+                            v
/// | Completed |  D fires           +------------+
/// |  ACK sent |------------------->| Terminated |
/// +-----------+                    +------------+
///   300-699 again: ACK again
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "drawn above")]
pub enum InviteClient {
    Calling,
    Proceeding,
    Accepted,
    Completed,
    Terminated,
}

impl InviteClient {
    /// The next state and what to do.
    pub fn step(self, happened: Happened) -> (InviteClient, Effect) {
        use Class::*;
        use Happened::*;
        use InviteClient::*;
        match (self, happened) {
            (Calling, Fired(Timer::A)) => (Calling, Effect::SendAgain),
            // Once a provisional response has come B runs only if the user has given up waiting.
            (Calling | Proceeding, Fired(Timer::B)) => (Terminated, Effect::TimedOut),
            (Calling | Proceeding, Response(Provisional)) => (Proceeding, Effect::Pass),
            (Calling | Proceeding | Accepted, Response(Success)) => (Accepted, Effect::Pass),
            (Calling | Proceeding, Response(Failure)) => (Completed, Effect::PassAndAck),
            (Completed, Response(Failure)) => (Completed, Effect::AckAgain),
            (Completed, Fired(Timer::D)) | (Accepted, Fired(Timer::M)) => (Terminated, Effect::Nothing),
            // RFC 6026 section 8.4: the user has its final answer by now; a lost ACK is found by its repeat.
            (Completed, TransportFailed) => (Terminated, Effect::Nothing),
            (Calling | Proceeding, TransportFailed) => (Terminated, Effect::Unreachable),
            (state, _) => (state, Effect::Nothing),
        }
    }

    /// The timers that run in this state.
    pub fn timers(self, reliable: bool) -> Timers {
        match self {
            InviteClient::Calling => Timers::new(Some((Timer::A, T1)), Timer::B, reliable),
            InviteClient::Accepted => Timers::new(None, Timer::M, reliable),
            InviteClient::Completed => Timers::new(None, Timer::D, reliable),
            InviteClient::Proceeding | InviteClient::Terminated => Timers::NONE,
        }
    }
}

/// The client side of every other request (RFC 3261 figure 6).
///
/// ```text
///          request sent
///               |       E fires: send again
///               v       F fires or transport error: tell the user -> Terminated
///  200-699 +--------+
///  +-------| Trying |
///  |       +--------+
///  |            | 1xx: pass up
///  |            v
///  | 200-699 +------------+  1xx: pass up; E fires (every T2): send again
///  |<--------| Proceeding |  F fires or transport error: tell the user -> Terminated
///  | pass up +------------+
///  v
/// +-----------+  K fires  +------------+
/// | Completed |---------->| Terminated |
/// +-----------+           +------------+
///   responses: absorbed
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "drawn above")]
pub enum OtherClient {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

impl OtherClient {
    /// The next state and what to do.
    pub fn step(self, happened: Happened) -> (OtherClient, Effect) {
        use Class::*;
        use Happened::*;
        use OtherClient::*;
        match (self, happened) {
            (Trying | Proceeding, Fired(Timer::E)) => (self, Effect::SendAgain),
            (Trying | Proceeding, Fired(Timer::F)) => (Terminated, Effect::TimedOut),
            (Trying | Proceeding, TransportFailed) => (Terminated, Effect::Unreachable),
            (Trying | Proceeding, Response(Provisional)) => (Proceeding, Effect::Pass),
            (Trying | Proceeding, Response(Success | Failure)) => (Completed, Effect::Pass),
            (Completed, Fired(Timer::K)) => (Terminated, Effect::Nothing),
            (state, _) => (state, Effect::Nothing),
        }
    }

    /// The timers that run in this state.
    pub fn timers(self, reliable: bool) -> Timers {
        match self {
            OtherClient::Trying => Timers::new(Some((Timer::E, T1)), Timer::F, reliable),
            // RFC 3261 section 17.1.2.2: once a provisional response has come, E is T2.
            OtherClient::Proceeding => Timers::new(Some((Timer::E, T2)), Timer::F, reliable),
            OtherClient::Completed => Timers::new(None, Timer::K, reliable),
            OtherClient::Terminated => Timers::NONE,
        }
    }
}

/// The server side of an INVITE (RFC 3261 figure 7, RFC 6026 figure 7).
///
/// ```text
///         INVITE came, 100 sent
///                 |
///                 v        INVITE again: send the last response again
///           +------------+ 1xx from the user: send
///           | Proceeding |
///           +------------+
///  300-699 sent |    | 2xx sent
///        +------+    +---------------+
///        v                           v
///  +-----------+               +----------+  INVITE again: absorbed (the user repeats
///  | Completed |               | Accepted |  its 2xx until the ACK comes)
///  +-----------+               +----------+  2xx from the user: send
///   G fires, INVITE again:           | L fires
///     send again                     v
///   ACK |    | H fires         +------------+
///       |    +---- tell ------>| Terminated |
///       v                      +------------+
///  +-----------+  I fires            ^
///  | Confirmed |---------------------+
///  +-----------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "drawn above")]
pub enum InviteServer {
    Proceeding,
    Accepted,
    Completed,
    Confirmed,
    Terminated,
}

impl InviteServer {
    /// The next state and what to do.
    pub fn step(self, happened: Happened) -> (InviteServer, Effect) {
        use Class::*;
        use Happened::*;
        use InviteServer::*;
        match (self, happened) {
            (Proceeding, Retransmission) => (Proceeding, Effect::SendAgain),
            (Proceeding, Response(Provisional)) => (Proceeding, Effect::Pass),
            (Proceeding | Accepted, Response(Success)) => (Accepted, Effect::Pass),
            (Proceeding, Response(Failure)) => (Completed, Effect::Pass),
            (Completed, Retransmission | Fired(Timer::G)) => (Completed, Effect::SendAgain),
            (Completed, Ack) => (Confirmed, Effect::Nothing),
            (Completed, Fired(Timer::H)) => (Terminated, Effect::TimedOut),
            (Confirmed, Fired(Timer::I)) | (Accepted, Fired(Timer::L)) => (Terminated, Effect::Nothing),
            // RFC 6026 section 7.1: an error on the way of a response is told, and the state stays.
            (Proceeding | Completed, TransportFailed) => (self, Effect::Unreachable),
            (state, _) => (state, Effect::Nothing),
        }
    }

    /// The timers that run in this state.
    pub fn timers(self, reliable: bool) -> Timers {
        match self {
            InviteServer::Completed => Timers::new(Some((Timer::G, T1)), Timer::H, reliable),
            InviteServer::Confirmed => Timers::new(None, Timer::I, reliable),
            InviteServer::Accepted => Timers::new(None, Timer::L, reliable),
            InviteServer::Proceeding | InviteServer::Terminated => Timers::NONE,
        }
    }
}

/// The server side of every other request (RFC 3261 figure 8).
///
/// ```text
///        request came
///             |            request again: absorbed
///             v
///        +--------+ 1xx sent  +------------+  request again: send the last
///        | Trying |---------->| Proceeding |  response again; 1xx: send
///        +--------+           +------------+
///             | 200-699 sent        | 200-699 sent
///             +---------+-----------+
///                       v
///                 +-----------+  request again: send again
///                 | Completed |  further final responses: dropped
///                 +-----------+
///                       | J fires
///                       v
///                 +------------+
///                 | Terminated |
///                 +------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "drawn above")]
pub enum OtherServer {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

impl OtherServer {
    /// The next state and what to do.
    pub fn step(self, happened: Happened) -> (OtherServer, Effect) {
        use Class::*;
        use Happened::*;
        use OtherServer::*;
        match (self, happened) {
            (Trying | Proceeding, Response(Provisional)) => (Proceeding, Effect::Pass),
            (Trying | Proceeding, Response(Success | Failure)) => (Completed, Effect::Pass),
            (Proceeding | Completed, Retransmission) => (self, Effect::SendAgain),
            (Completed, Fired(Timer::J)) => (Terminated, Effect::Nothing),
            (Proceeding | Completed, TransportFailed) => (Terminated, Effect::Unreachable),
            (state, _) => (state, Effect::Nothing),
        }
    }

    /// The timers that run in this state.
    pub fn timers(self, reliable: bool) -> Timers {
        match self {
            OtherServer::Completed => Timers::new(None, Timer::J, reliable),
            OtherServer::Trying | OtherServer::Proceeding | OtherServer::Terminated => Timers::NONE,
        }
    }
}

/// Any of the four machines, so that one store keeps them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "one variant for each machine")]
pub enum Machine {
    InviteClient(InviteClient),
    OtherClient(OtherClient),
    InviteServer(InviteServer),
    OtherServer(OtherServer),
}

impl Machine {
    /// Takes a step and says what to do.
    pub fn step(&mut self, happened: Happened) -> Effect {
        fn set<S>(state: &mut S, (next, effect): (S, Effect)) -> Effect {
            *state = next;
            effect
        }
        match self {
            Machine::InviteClient(s) => set(s, s.step(happened)),
            Machine::OtherClient(s) => set(s, s.step(happened)),
            Machine::InviteServer(s) => set(s, s.step(happened)),
            Machine::OtherServer(s) => set(s, s.step(happened)),
        }
    }

    /// The timers that run in the present state.
    pub fn timers(self, reliable: bool) -> Timers {
        match self {
            Machine::InviteClient(s) => s.timers(reliable),
            Machine::OtherClient(s) => s.timers(reliable),
            Machine::InviteServer(s) => s.timers(reliable),
            Machine::OtherServer(s) => s.timers(reliable),
        }
    }

    /// True for a request of ours to which no answer at all has come.
    pub fn is_unheard(self) -> bool {
        matches!(
            self,
            Machine::InviteClient(InviteClient::Calling) | Machine::OtherClient(OtherClient::Trying)
        )
    }

    /// True when nothing is left to do and the transaction can be forgotten.
    pub fn is_over(self) -> bool {
        matches!(
            self,
            Machine::InviteClient(InviteClient::Terminated)
                | Machine::OtherClient(OtherClient::Terminated)
                | Machine::InviteServer(InviteServer::Terminated)
                | Machine::OtherServer(OtherServer::Terminated)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    /// Every transition of every machine that does something, in one table that a reader can hold
    /// against the RFC's figures.
    #[test]
    fn the_whole_table_is_as_the_rfc_draws_it() {
        use Class::*;
        let events = [
            ("1xx", Happened::Response(Provisional)),
            ("2xx", Happened::Response(Success)),
            ("3-6xx", Happened::Response(Failure)),
            ("again", Happened::Retransmission),
            ("ACK", Happened::Ack),
            ("A", Happened::Fired(Timer::A)),
            ("B", Happened::Fired(Timer::B)),
            ("D", Happened::Fired(Timer::D)),
            ("E", Happened::Fired(Timer::E)),
            ("F", Happened::Fired(Timer::F)),
            ("G", Happened::Fired(Timer::G)),
            ("H", Happened::Fired(Timer::H)),
            ("I", Happened::Fired(Timer::I)),
            ("J", Happened::Fired(Timer::J)),
            ("K", Happened::Fired(Timer::K)),
            ("L", Happened::Fired(Timer::L)),
            ("M", Happened::Fired(Timer::M)),
            ("broken", Happened::TransportFailed),
        ];
        let machines = [
            Machine::InviteClient(InviteClient::Calling),
            Machine::InviteClient(InviteClient::Proceeding),
            Machine::InviteClient(InviteClient::Accepted),
            Machine::InviteClient(InviteClient::Completed),
            Machine::InviteClient(InviteClient::Terminated),
            Machine::OtherClient(OtherClient::Trying),
            Machine::OtherClient(OtherClient::Proceeding),
            Machine::OtherClient(OtherClient::Completed),
            Machine::OtherClient(OtherClient::Terminated),
            Machine::InviteServer(InviteServer::Proceeding),
            Machine::InviteServer(InviteServer::Accepted),
            Machine::InviteServer(InviteServer::Completed),
            Machine::InviteServer(InviteServer::Confirmed),
            Machine::InviteServer(InviteServer::Terminated),
            Machine::OtherServer(OtherServer::Trying),
            Machine::OtherServer(OtherServer::Proceeding),
            Machine::OtherServer(OtherServer::Completed),
            Machine::OtherServer(OtherServer::Terminated),
        ];
        let mut table = String::new();
        for machine in machines {
            for (name, event) in events {
                let mut next = machine;
                let effect = next.step(event);
                if next != machine || effect != Effect::Nothing {
                    writeln!(table, "{machine:?} + {name} -> {next:?}, {effect:?}").unwrap();
                }
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn an_invite_over_udp_is_sent_seven_times_in_32_seconds() {
        let timers = InviteClient::Calling.timers(false);
        let (timer, mut pause) = timers.resend.unwrap();
        let (mut at, mut copies) = (pause, 1);
        while at < timers.end.unwrap().first(false) {
            copies += 1;
            pause = timer.again(pause);
            at += pause;
        }
        assert_eq!(copies, 7); // RFC 3261 section 17.1.1.2 counts seven
    }

    #[test]
    fn a_request_that_is_no_invite_is_sent_eleven_times_in_32_seconds() {
        let timers = OtherClient::Trying.timers(false);
        let (timer, mut pause) = timers.resend.unwrap();
        let (mut at, mut copies) = (pause, 1);
        while at < timers.end.unwrap().first(false) {
            copies += 1;
            pause = timer.again(pause);
            at += pause;
        }
        assert_eq!(copies, 11); // 0, 0.5, 1.5, 3.5, then every 4 s: RFC 3261 section 17.1.2.2
    }

    #[test]
    fn a_reliable_transport_sends_nothing_twice_and_forgets_at_once() {
        for timers in [
            InviteClient::Calling.timers(true),
            OtherClient::Trying.timers(true),
            InviteServer::Completed.timers(true),
        ] {
            assert_eq!(timers.resend, None);
        }
        for timer in [Timer::D, Timer::I, Timer::J, Timer::K] {
            assert_eq!(timer.first(true), Duration::ZERO);
            assert_ne!(timer.first(false), Duration::ZERO);
        }
    }
}
