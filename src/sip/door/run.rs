//! The one task that gives the door its sockets and a clock.

use std::time::{Duration, Instant};

use super::{Door, Wanted};
use crate::call::door::{Order, Report};
use crate::sip::names::ask::Word;
use crate::sip::transport::Arrival;

/// Messages and orders handled in one go, before what they bring about is sent.
const BURST_MAX: usize = 64;

/// How long registrars may take to answer the good-bye of a gateway that stops: with a challenge, two round trips.
const LEAVING_MAX: Duration = Duration::from_secs(1);

/// Runs the door on its sockets until the switchboard is gone, and registrars know that we are.
pub async fn run(
    mut door: Door,
    mut wires: crate::sip::transport::Wires,
    mut orders: tokio::sync::mpsc::Receiver<Order>,
    reports: tokio::sync::mpsc::Sender<Report>,
    words: tokio::sync::mpsc::Sender<Word>,
    mut draining: tokio::sync::watch::Receiver<bool>,
) {
    let mut drained = false;
    let mut leave_by = None;
    loop {
        while let Some(wanted) = door.poll() {
            match wanted {
                Wanted::Transmit(to, octets) => wires.send(to, door.outward(&to), octets),
                Wanted::Close(connection) => wires.close(connection),
                Wanted::Tell(word) => {
                    // A full queue means that somebody is at it. A doubt is looked into within the half minute anyway, and
                    // without the address of a name requests go where their dialog began.
                    let _heard = words.try_send(word);
                }
                // Waiting here slows the sockets down, which is what a full switchboard needs.
                Wanted::Report(report) => {
                    if reports.send(report).await.is_err() && leave_by.is_none() {
                        return;
                    }
                }
            }
        }
        if leave_by.is_some() && !door.is_leaving() {
            return;
        }
        let wake = door.poll_timeout();
        tokio::select! {
            arrival = wires.next() => {
                let now = Instant::now();
                let first = std::iter::once(arrival);
                for arrival in first.chain(std::iter::from_fn(|| wires.arrived()).take(BURST_MAX)) {
                    survive(|| match arrival {
                        Arrival::Message(peer, message) => door.receive(now, peer, message),
                        Arrival::Broken(peer, head) => door.receive_last(now, peer, head),
                        Arrival::Secured(peer, verified) => door.secured(peer, verified),
                        Arrival::Gone(connection, to) => door.gone(now, connection, to),
                        Arrival::Unreachable(to) => door.unreachable(now, to),
                    });
                }
            }
            order = orders.recv(), if leave_by.is_none() => match order {
                Some(order) => {
                    let now = Instant::now();
                    let more = std::iter::from_fn(|| orders.try_recv().ok()).take(BURST_MAX);
                    std::iter::once(order).chain(more).for_each(|order| survive(|| door.order(now, order)));
                }
                None => {
                    leave_by = Some(Instant::now() + LEAVING_MAX);
                    if !std::mem::replace(&mut drained, true) {
                        survive(|| door.take_no_more(Instant::now()));
                    }
                }
            },
            () = sleep_until(leave_by), if leave_by.is_some() => return,
            // An error means that nobody is left who could say so; then the orders end as well.
            _ = draining.wait_for(|draining| *draining), if !drained => {
                drained = true;
                survive(|| door.take_no_more(Instant::now()));
            }
            () = sleep_until(wake) => survive(|| door.handle_timeout(Instant::now())),
        }
    }
}

/// A defect met while one message is handled must not take the door from everybody.
fn survive(step: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(step)).is_err() {
        tracing::error!("a defect in the SIP door; what it was doing is lost, the door goes on");
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
