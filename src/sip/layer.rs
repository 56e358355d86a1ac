//! The transaction layer: every running transaction with its timers, and what to send when one fires.
//!
//! Transactions are found by hash, timers by heap, so a message or a timer costs the same with ten calls as with ten
//! thousand. A transaction keeps only what it may have to send again.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::alarm::Alarms;
use super::flow::{ConnectionId, Destination, TlsWay};
use super::slack::Slack;
use super::transaction::{
    Class, Effect, Happened, InviteClient, InviteServer, Machine, OtherClient, OtherServer, Timer,
};

/// A client transaction: the random part of our branch, and the method's kind, because a CANCEL carries
/// the branch of the INVITE it cancels (RFC 3261 section 9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ClientId {
    pub(super) branch: u64,
    pub(super) kind: Kind,
}

/// The methods that transactions tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Invite,
    Cancel,
    Other,
}

/// A server transaction, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ServerId(u64);

/// What the layer tells its user of its own accord.
#[derive(Debug)]
pub(super) enum Notice<C, S> {
    /// No final answer came to our request.
    ClientTimedOut(ClientId, C),
    /// Our request could not be delivered.
    ClientUnreachable(ClientId, C),
    /// Our response could not be delivered, or no ACK came to our refusal.
    ServerFailed(S),
}

/// All transactions. `C` says whose errand a client transaction is, `S` whose call a server transaction is.
#[derive(Debug)]
pub(super) struct Layer<C, S> {
    clients: HashMap<ClientId, Client<C>>,
    servers: HashMap<ServerId, Server<S>>,
    /// RFC 3261 section 17.2.3: branch, sent-by and method find a server transaction.
    by_key: HashMap<Box<[u8]>, ServerId>,
    /// RFC 3261 section 8.2.2.2: From tag, Call-ID and CSeq find a request that came by two ways.
    by_origin: HashMap<Box<[u8]>, ServerId>,
    client_slack: Slack,
    /// Of `servers`, `by_key` and `by_origin`.
    server_slack: [Slack; 3],
    alarms: Alarms<(Who, Which)>,
    servers_opened: u64,
    /// Messages to put on the wire, oldest first.
    pub(super) out: VecDeque<(Destination, Bytes)>,
    /// Where requests went as datagrams after all, since somebody looked last.
    pub(super) fell_back: Vec<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Client(ClientId),
    Server(ServerId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Resend,
    End,
}

#[derive(Debug)]
struct Client<C> {
    machine: Machine,
    to: Destination,
    /// The request while it may be sent again; then the ACK to a refusal while that may.
    wire: Bytes,
    /// The request as it goes out if that way turns out to be none.
    instead: Option<Box<(Destination, Bytes)>>,
    owner: C,
    clock: Clock,
}

#[derive(Debug)]
struct Server<S> {
    machine: Machine,
    to: Destination,
    key: Box<[u8]>,
    origin: Option<Box<[u8]>>,
    /// The last response sent.
    wire: Bytes,
    owner: Option<S>,
    clock: Clock,
}

/// The deadlines that count; entries of the heap that differ from them are stale.
#[derive(Debug, Default)]
struct Clock {
    resend: Option<(Timer, Instant, Duration)>,
    end: Option<(Timer, Instant)>,
    /// Nobody waits for the answer beyond this.
    abandoned: Option<Instant>,
}

impl<C: Copy, S: Copy> Layer<C, S> {
    pub(super) fn new() -> Self {
        Layer {
            clients: HashMap::new(),
            servers: HashMap::new(),
            by_key: HashMap::new(),
            by_origin: HashMap::new(),
            client_slack: Slack::default(),
            server_slack: Default::default(),
            alarms: Alarms::default(),
            servers_opened: 0,
            out: VecDeque::new(),
            fell_back: Vec::new(),
        }
    }

    /// How many transactions are kept.
    pub(super) fn len(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    /// True when nothing at all is kept: no transaction, no index entry, no timer.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0 && self.by_key.is_empty() && self.by_origin.is_empty() && self.alarms.is_empty()
    }

    // --- our requests

    /// Sends a request and starts its transaction. `instead` is where it goes, and in what words, if `to` cannot be reached.
    pub(super) fn request(
        &mut self,
        now: Instant,
        id: ClientId,
        to: Destination,
        wire: Bytes,
        instead: Option<(Destination, Bytes)>,
        owner: C,
    ) {
        let machine = match id.kind {
            Kind::Invite => Machine::InviteClient(InviteClient::Calling),
            Kind::Cancel | Kind::Other => Machine::OtherClient(OtherClient::Trying),
        };
        self.out.push_back((to, wire.clone()));
        let instead = instead.map(Box::new);
        let mut client = Client { machine, to, wire, instead, owner, clock: Clock::default() };
        client.clock.arm(now, machine, to, Who::Client(id), &mut self.alarms);
        self.clients.insert(id, client);
    }

    /// Whose errand a client transaction is.
    pub(super) fn client(&self, id: ClientId) -> Option<C> {
        self.clients.get(&id).map(|client| client.owner)
    }

    /// A response came. True when the user must see it. `ack` makes the ACK to a refusal from our request.
    pub(super) fn response(
        &mut self,
        now: Instant,
        id: ClientId,
        status: u16,
        ack: impl FnOnce(&Bytes) -> Option<Bytes>,
    ) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        client.instead = None; // the way is one
        let effect = client.machine.step(Happened::Response(Class::of(status)));
        match effect {
            Effect::PassAndAck => {
                if let Some(ack) = ack(&client.wire) {
                    self.out.push_back((client.to, ack.clone()));
                    client.wire = ack;
                }
            }
            Effect::AckAgain => self.out.push_back((client.to, client.wire.clone())),
            _ => {}
        }
        // What will not be sent again is not kept: the request of an accepted INVITE and of a finished errand.
        if matches!(
            client.machine,
            Machine::InviteClient(InviteClient::Accepted) | Machine::OtherClient(OtherClient::Completed)
        ) {
            client.wire = Bytes::new();
        }
        self.settle_client(now, id);
        matches!(effect, Effect::Pass | Effect::PassAndAck)
    }

    /// Nobody waits for a request any longer: if it finds no way, no other is tried.
    pub(super) fn no_other_way(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.instead = None;
        }
    }

    /// Puts an end to an INVITE whose answer nobody waits for any longer: what comes within 64*T1 is still
    /// acknowledged. Without this, a peer that said 100 and fell silent would keep the transaction for ever.
    pub(super) fn abandon(&mut self, now: Instant, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.clock.abandoned.is_none() {
            client.clock.abandoned = Some(now + Timer::B.first(true));
            self.settle_client(now, id);
        }
    }

    /// Ends a client transaction whose answer nobody waits for any longer.
    pub(super) fn forget_client(&mut self, id: ClientId) {
        if self.clients.remove(&id).is_some() {
            self.client_slack.removed(&mut self.clients);
        }
    }

    // --- their requests

    /// The transaction to which a request belongs.
    pub(super) fn server(&self, key: &[u8]) -> Option<ServerId> {
        self.by_key.get(key).copied()
    }

    /// Whose call a server transaction is.
    pub(super) fn server_owner(&self, id: ServerId) -> Option<S> {
        self.servers.get(&id)?.owner
    }

    /// True when the same request is already being answered under another branch.
    pub(super) fn is_merged(&self, origin: &[u8]) -> bool {
        self.by_origin.contains_key(origin)
    }

    /// Starts the transaction of a request that came.
    pub(super) fn open(
        &mut self,
        key: Box<[u8]>,
        origin: Option<Box<[u8]>>,
        invite: bool,
        to: Destination,
    ) -> ServerId {
        self.servers_opened += 1;
        let id = ServerId(self.servers_opened);
        let machine = if invite {
            Machine::InviteServer(InviteServer::Proceeding)
        } else {
            Machine::OtherServer(OtherServer::Trying)
        };
        self.by_key.insert(key.clone(), id);
        if let Some(origin) = &origin {
            self.by_origin.insert(origin.clone(), id);
        }
        let clock = Clock::default();
        self.servers.insert(id, Server { machine, to, key, origin, wire: Bytes::new(), owner: None, clock });
        id
    }

    /// Says whose call a server transaction is.
    pub(super) fn own(&mut self, id: ServerId, owner: S) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.owner = Some(owner);
        }
    }

    /// The same request came again.
    pub(super) fn repeated(&mut self, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        if server.machine.step(Happened::Retransmission) == Effect::SendAgain && !server.wire.is_empty() {
            self.out.push_back((server.to, server.wire.clone()));
        }
    }

    /// The ACK to a refusal came. False when the transaction awaits none (the ACK belongs to a 2xx then).
    pub(super) fn acknowledged(&mut self, now: Instant, id: ServerId) -> bool {
        let Some(server) = self.servers.get_mut(&id) else { return false };
        let before = server.machine;
        server.machine.step(Happened::Ack);
        let taken =
            server.machine != before || matches!(before, Machine::InviteServer(InviteServer::Confirmed));
        if taken {
            server.wire = Bytes::new();
            self.settle_server(now, id);
        }
        taken
    }

    /// Sends a response. Nothing happens when the transaction already had its final one.
    pub(super) fn respond(&mut self, now: Instant, id: ServerId, status: u16, wire: Bytes) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        if server.machine.step(Happened::Response(Class::of(status))) != Effect::Pass {
            return;
        }
        self.out.push_back((server.to, wire.clone()));
        // The user repeats its own 2xx until the ACK comes (RFC 3261 section 13.3.1.4).
        server.wire = match server.machine {
            Machine::InviteServer(InviteServer::Accepted) => Bytes::new(),
            // A final answer is kept for 32 s: without the room that its writing left over.
            Machine::InviteServer(InviteServer::Completed) | Machine::OtherServer(_) => {
                Bytes::copy_from_slice(&wire)
            }
            _ => wire,
        };
        self.settle_server(now, id);
    }

    /// Where the responses of a transaction go.
    pub(super) fn response_path(&self, id: ServerId) -> Option<Destination> {
        self.servers.get(&id).map(|server| server.to)
    }

    /// As whom and to whom a TLS connection for the responses is opened when that of the request is gone.
    pub(super) fn reopened_by(&mut self, id: ServerId, tls: TlsWay) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.to.tls = Some(tls);
        }
    }

    /// Our request as it was sent, while the transaction keeps it.
    pub(super) fn sent(&self, id: ClientId) -> Option<(Destination, Bytes)> {
        self.clients.get(&id).filter(|client| !client.wire.is_empty()).map(|c| (c.to, c.wire.clone()))
    }

    // --- time and trouble

    /// The next deadline.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.alarms.next()
    }

    /// Lets the next due timer fire. Call until it gives `None`.
    pub(super) fn fire(&mut self, now: Instant) -> Option<Notice<C, S>> {
        while let Some((at, (who, which))) = self.alarms.pop_due(now) {
            let notice = match who {
                Who::Client(id) => self.fire_client(now, at, id, which),
                Who::Server(id) => self.fire_server(now, at, id, which),
            };
            if notice.is_some() {
                return notice;
            }
        }
        None
    }

    /// Drops stale timers. Call when a message or a timer has been worked off.
    pub(super) fn tidy(&mut self) {
        let (clients, servers) = (&self.clients, &self.servers);
        self.alarms.tidy(|at, (who, which)| match who {
            Who::Client(id) => clients.get(&id).is_some_and(|client| client.clock.due(which) == Some(at)),
            Who::Server(id) => servers.get(&id).is_some_and(|server| server.clock.due(which) == Some(at)),
        });
    }

    /// The transport could not deliver to `to`: every request still waiting for an answer from there has
    /// failed. This looks at all transactions; a broken path is rare.
    pub(super) fn transport_failed(&mut self, now: Instant, to: Destination) -> Vec<Notice<C, S>> {
        let same = |other: Destination| match (to.connection, other.connection) {
            (Some(a), Some(b)) => a == b,
            _ => to.transport == other.transport && to.remote == other.remote && to.tls == other.tls,
        };
        let mut clients: Vec<ClientId> =
            self.clients.iter().filter(|(_, client)| same(client.to)).map(|(id, _)| *id).collect();
        let mut servers: Vec<ServerId> =
            self.servers.iter().filter(|(_, server)| same(server.to)).map(|(id, _)| *id).collect();
        clients.sort_unstable();
        servers.sort_unstable();
        let mut notices = Vec::new();
        for id in clients {
            if self.goes_instead(now, id) {
                continue;
            }
            let Some(client) = self.clients.get_mut(&id) else { continue };
            if client.machine.step(Happened::TransportFailed) == Effect::Unreachable {
                notices.push(Notice::ClientUnreachable(id, client.owner));
            }
            self.settle_client(now, id);
        }
        for id in servers {
            let Some(server) = self.servers.get_mut(&id) else { continue };
            if server.machine.step(Happened::TransportFailed) == Effect::Unreachable
                && let Some(owner) = server.owner
            {
                notices.push(Notice::ServerFailed(owner));
            }
            self.settle_server(now, id);
        }
        notices
    }

    /// A connection that stood is gone; `to` is where it was the way. A request that had no answer at all may never have
    /// arrived, and fails. Where the peer has shown that it has the request, its further answers may come by another
    /// connection (RFC 3261 section 18.2.2), and ours to it go by a new one.
    pub(super) fn connection_gone(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        to: Option<Destination>,
    ) -> Vec<Notice<C, S>> {
        let over = |other: Destination| match other.connection {
            Some(named) => named == connection,
            None => to.is_some_and(|to| {
                to.transport == other.transport && to.remote == other.remote && to.tls == other.tls
            }),
        };
        let lost = self.clients.iter().filter(|(_, client)| over(client.to) && client.machine.is_unheard());
        let mut lost: Vec<ClientId> = lost.map(|(id, _)| *id).collect();
        lost.sort_unstable();
        let mut notices = Vec::new();
        for id in lost {
            if self.goes_instead(now, id) {
                continue;
            }
            let Some(client) = self.clients.get_mut(&id) else { continue };
            if client.machine.step(Happened::TransportFailed) == Effect::Unreachable {
                notices.push(Notice::ClientUnreachable(id, client.owner));
            }
            self.settle_client(now, id);
        }
        notices
    }

    /// A request that found no way is sent by its other one, if it has one: its transaction begins anew.
    fn goes_instead(&mut self, now: Instant, id: ClientId) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        let Some(instead) = client.instead.take().filter(|_| client.machine.is_unheard()) else {
            return false;
        };
        (client.to, client.wire) = *instead;
        client.clock = Clock { abandoned: client.clock.abandoned, ..Clock::default() };
        self.fell_back.push(client.to.remote);
        self.out.push_back((client.to, client.wire.clone()));
        client.clock.arm(now, client.machine, client.to, Who::Client(id), &mut self.alarms);
        true
    }

    fn fire_client(&mut self, now: Instant, at: Instant, id: ClientId, which: Which) -> Option<Notice<C, S>> {
        let client = self.clients.get_mut(&id)?;
        let timer = client.clock.ring(at, which)?;
        let owner = client.owner;
        let effect = client.machine.step(Happened::Fired(timer));
        if effect == Effect::SendAgain {
            self.out.push_back((client.to, client.wire.clone()));
            client.clock.again(now, Who::Client(id), &mut self.alarms);
        }
        self.settle_client(now, id);
        (effect == Effect::TimedOut).then_some(Notice::ClientTimedOut(id, owner))
    }

    fn fire_server(&mut self, now: Instant, at: Instant, id: ServerId, which: Which) -> Option<Notice<C, S>> {
        let server = self.servers.get_mut(&id)?;
        let timer = server.clock.ring(at, which)?;
        let owner = server.owner;
        let effect = server.machine.step(Happened::Fired(timer));
        if effect == Effect::SendAgain {
            self.out.push_back((server.to, server.wire.clone()));
            server.clock.again(now, Who::Server(id), &mut self.alarms);
        }
        self.settle_server(now, id);
        if effect == Effect::TimedOut { owner.map(Notice::ServerFailed) } else { None }
    }

    /// Sets the timers of the state just reached, and forgets a transaction that is over.
    fn settle_client(&mut self, now: Instant, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.clock.arm(now, client.machine, client.to, Who::Client(id), &mut self.alarms) {
            self.forget_client(id);
        }
    }

    fn settle_server(&mut self, now: Instant, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        if server.clock.arm(now, server.machine, server.to, Who::Server(id), &mut self.alarms)
            && let Some(server) = self.servers.remove(&id)
        {
            let [servers, by_key, by_origin] = &mut self.server_slack;
            servers.removed(&mut self.servers);
            self.by_key.remove(&server.key);
            by_key.removed(&mut self.by_key);
            if let Some(origin) = server.origin {
                self.by_origin.remove(&origin);
                by_origin.removed(&mut self.by_origin);
            }
        }
    }
}

impl Clock {
    /// Sets what the machine's state asks for and leaves what already runs. True when the transaction is over.
    fn arm(
        &mut self,
        now: Instant,
        machine: Machine,
        to: Destination,
        who: Who,
        alarms: &mut Alarms<(Who, Which)>,
    ) -> bool {
        if machine.is_over() {
            return true;
        }
        let reliable = to.transport.is_reliable();
        let timers = machine.timers(reliable);
        match timers.resend {
            None => self.resend = None,
            Some((timer, first)) => {
                // Entering Proceeding, timer E goes on with a longer pause; it is not started afresh.
                let runs = self.resend.is_some_and(|(running, _, _)| running == timer);
                if !runs {
                    self.resend = Some((timer, now + first, first));
                    alarms.set(now + first, (who, Which::Resend));
                } else if let Some((_, _, pause)) = &mut self.resend {
                    *pause = first.max(*pause);
                }
            }
        }
        match timers.end {
            None => {
                let until = self.abandoned.filter(|_| matches!(machine, Machine::InviteClient(_)));
                if let Some(until) = until.filter(|until| self.end != Some((Timer::B, *until))) {
                    alarms.set(until, (who, Which::End));
                }
                self.end = until.map(|until| (Timer::B, until));
            }
            Some(timer) if self.end.is_some_and(|(running, _)| running == timer) => {}
            Some(timer) => {
                let runs = timer.first(reliable);
                if runs.is_zero() {
                    return true; // RFC 3261: a timer of zero sends the machine straight to Terminated
                }
                self.end = Some((timer, now + runs));
                alarms.set(now + runs, (who, Which::End));
            }
        }
        false
    }

    fn due(&self, which: Which) -> Option<Instant> {
        match which {
            Which::Resend => self.resend.map(|(_, at, _)| at),
            Which::End => self.end.map(|(_, at)| at),
        }
    }

    /// The timer that rang, unless the entry was stale.
    fn ring(&self, at: Instant, which: Which) -> Option<Timer> {
        if self.due(which)? != at {
            return None;
        }
        match which {
            Which::Resend => self.resend.map(|(timer, _, _)| timer),
            Which::End => self.end.map(|(timer, _)| timer),
        }
    }

    fn again(&mut self, now: Instant, who: Who, alarms: &mut Alarms<(Who, Which)>) {
        if let Some((timer, at, pause)) = &mut self.resend {
            *pause = timer.again(*pause);
            *at = now + *pause;
            alarms.set(*at, (who, Which::Resend));
        }
    }
}
