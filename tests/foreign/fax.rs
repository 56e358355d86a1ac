//! A fax machine behind a carrier, as SIPp plays it: T.38 is refused, and the call stays a voice call.

use std::time::Duration;

use sidetone::sim::phone::{Options, Phone};
use sidetone::sim::voice::Voice;

use super::support::gateway::Gateway;
use super::support::house::{CARRIER_IP, House};
use super::support::sipp::{ONCE, Sipp};
use super::support::{capture, may_play_captures, program};

const NUMBER: &str = "+15550100";

/// What is heard of the machine before it asks for T.38, and after it was refused.
const BEFORE_HZ: f64 = 1100.0;
const AFTER_HZ: f64 = 2100.0;

/// Two seconds of each.
const PACKETS: u16 = 100;

/// A tone of -20 dBFS that arrives is louder than this.
const HEARD_DBFS: f64 = -26.0;

/// Packets that are judged at a time: 400 ms.
const A_WHILE: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t38_is_refused_with_488_and_the_voice_goes_on() -> Result<(), Box<dyn std::error::Error>> {
    if program("sipp", "sip-tester").is_none() || !may_play_captures() {
        return Ok(());
    }
    let house = House::new().person_registers("alice", "agent").person_registers("sam", "supervisor").number(
        "main",
        NUMBER,
        &["alice"],
        "",
    );
    let gateway = Gateway::start(&house);
    let alice = Phone::start(Options {
        server: Some(gateway.sip),
        password: Some("alice-trial-password".to_owned()),
        voice: Voice::Silence,
        ..Options::new("alice")
    })
    .await?;
    alice.register(Duration::from_secs(300)).await?;
    capture::write_tone(&gateway.dir().join("before.pcap"), BEFORE_HZ, 0, PACKETS);
    // One line of packets: what began anew would be taken for old.
    capture::write_tone(&gateway.dir().join("after.pcap"), AFTER_HZ, PACKETS + 50, PACKETS);
    let carrier = Sipp::carrier(gateway.dir(), "carrier_wants_to_fax", CARRIER_IP, gateway.sip, NUMBER, ONCE);
    alice.talking().await?;
    let ear = alice.ear().await?;
    // The scenario fails unless the answer to T.38 is 488 and the BYE is answered 200.
    tokio::task::spawn_blocking(move || carrier.went_well()).await?;
    let end = alice.over().await?;
    assert_eq!(end.status, None, "{end:?}");

    // One tone and then the other, each for a stretch: what came after the refusal came through.
    let stretches: Vec<_> =
        (0..ear.count() / A_WHILE).map(|n| ear.between(n * A_WHILE..(n + 1) * A_WHILE)).collect();
    let first = |hz: f64| stretches.iter().position(|clip| clip.level_of(hz) > HEARD_DBFS);
    let (before, after) = (first(BEFORE_HZ), first(AFTER_HZ));
    assert!(before.is_some() && before < after, "{before:?} {after:?} of {} stretches", stretches.len());
    let last = stretches.iter().rposition(|clip| clip.level_of(BEFORE_HZ) > HEARD_DBFS);
    assert!(last < after, "they do not overlap");
    Ok(())
}
