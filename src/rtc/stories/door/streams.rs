//! Browsers that come by a connection, and whoever else opens one.

use super::*;
use crate::random::Random;
use crate::rtc::frame::PACKET_BYTES_MAX;
use crate::rtc::streams::PROOF_WITHIN;

/// A configuration in which so many connections may be open.
fn with_connections(most: usize) -> String {
    CONFIG
        .replace("[webrtc]\n", &format!("[webrtc]\ntcp = \"127.0.0.1:7000\"\ntcp_connections_max = {most}\n"))
}

#[test]
fn a_browser_without_datagrams_talks_over_a_connection() {
    let mut stage = Stage::new();
    let to = Purpose::Call("100".to_owned());
    let mut browser = stage.offers(0, Role::Passive, &wendy(), to).unwrap();
    let stream = stage.connects_to(&mut browser);
    stage.connects(&mut browser);
    let leg = browser.leg;
    stage.order(leg, LegAction::Answer);
    assert_eq!(stage.reports(leg), ["Incoming", "Agreed", "Answered"]);
    assert_eq!(stage.targets, [(leg, Some(browser.at))]);
    // Three packets in one read, and one in many.
    let sound: Vec<_> = (0..3).map(|_| browser.speaks()).collect();
    let stuck: Vec<u8> = sound.iter().flat_map(|packet| framed(packet)).collect();
    let came: Vec<_> = sound.iter().map(|packet| (leg, packet.clone())).collect();
    assert_eq!(stage.reads(stream, &stuck), came);
    let torn: Vec<_> = stuck.chunks(5).flat_map(|piece| stage.reads(stream, piece)).collect();
    assert_eq!(torn, came);
    let forged = [&[0x80, 0, 0, 1, 0, 0, 0, 0][..], &[0x77; 100]].concat();
    assert_eq!(stage.comes(browser.at, &forged), None, "its sources are those of its description here, too");
    stage.lasts(PROOF_WITHIN * 3);
    assert_eq!(stage.closed, [], "it has proved itself");
    stage.order(leg, LegAction::HangUp(Cause::Normal));
    assert!(
        stage.sent.iter().any(|(to, octets)| *to == browser.at && octets[0] == 21),
        "a last word, and then"
    );
    assert_eq!((&stage.closed[..], stage.door.remembered()), (&[stream][..], 0));
}

#[test]
fn a_connection_that_breaks_leaves_the_call_and_the_next_one_takes_it_up() {
    let mut stage = Stage::new();
    let mut browser = stage.in_call(0);
    let leg = browser.leg;
    let first = stage.connects_to(&mut browser);
    stage.proves(&mut browser);
    stage.lasts(Duration::from_secs(1));
    assert_eq!(stage.targets.last(), Some(&(leg, Some(browser.at))));
    stage.told.clear();
    stage.door.ended(stage.now, first);
    stage.drain();
    assert_eq!(stage.targets.last(), Some(&(leg, None)), "nothing is written to what is closed");
    stage.door.ended(stage.now, first);
    let second = stage.connects_to(&mut browser);
    assert_ne!(first, second, "the same address, another place");
    stage.proves(&mut browser);
    assert_eq!(stage.targets.last(), Some(&(leg, Some(browser.at))));
    let sound = browser.speaks();
    assert_eq!(stage.comes(browser.at, &sound), Some(leg));
    // Back to datagrams; the connection is of no more use when it has been silent for a while.
    browser.at = nth(0);
    stage.proves(&mut browser);
    stage.lasts(Duration::from_secs(1));
    assert_eq!(stage.targets.last(), Some(&(leg, Some(nth(0)))));
    for _ in 0..4 {
        stage.lasts(Duration::from_secs(10));
        stage.proves(&mut browser);
    }
    assert_eq!((&stage.closed[..], stage.door.streams()), (&[second][..], 0));
    assert_eq!(stage.reports(leg), Vec::<String>::new(), "the switchboard need not know of any of it");
}

#[test]
fn a_connection_that_proves_nothing_is_cut_off() {
    let mut stage = Stage::new();
    let mut browser = stage.in_call(0);
    stage.sent.clear();
    let before = (stage.door.remembered(), stage.door.poll_timeout());
    let wrong =
        Checks { password: "a password that is wrong".to_owned(), ..browser.checks.clone() }.nominating();
    let nobodys = Checks { user: "nobody:them".to_owned(), ..browser.checks.clone() }.nominating();
    let sound = browser.speaks();
    // What is nobody's on a connection that is nobody's ends it at once.
    let too_long = (PACKET_BYTES_MAX as u16 + 1).to_be_bytes();
    for octets in
        [framed(&nobodys), framed(&sound), framed(&hello()), framed(b"GET / HTTP/1.1"), too_long.to_vec()]
    {
        let place = stage.accepts(stranger()).unwrap();
        assert_eq!(stage.reads(place.stream.unwrap(), &octets), []);
        assert_eq!(stage.closed.pop(), place.stream, "{octets:?}");
    }
    // A name that was overheard, an empty packet, half a length or nothing at all have their time, and no answer.
    let mut idle: Vec<StreamId> = Vec::new();
    for octets in [framed(&wrong), framed(&[]), vec![0], Vec::new()] {
        let id = stage.accepts(stranger()).unwrap().stream.unwrap();
        assert_eq!(stage.reads(id, &octets), []);
        idle.push(id);
    }
    assert_eq!(stage.reads(idle[0], &framed(&sound)), [], "nor is there sound before a proof");
    stage.lasts(PROOF_WITHIN - STEP);
    assert_eq!(stage.closed, []);
    stage.lasts(STEP);
    assert_eq!(stage.closed, idle);
    assert_eq!(stage.sent.iter().filter(|(to, _)| to.stream.is_some()).count(), 0, "strangers hear nothing");
    assert_eq!(stage.door.remembered(), before.0);
    assert_eq!(stage.comes(browser.at, &sound), Some(browser.leg));
}

#[test]
fn a_connection_speaks_of_one_leg() {
    let mut stage = Stage::new();
    let mut one = stage.in_call(0);
    let mut other = stage.calls(1);
    let stream = stage.connects_to(&mut one);
    stage.proves(&mut one);
    stage.closed.clear();
    let check = other.checks.nominating();
    stage.reads(stream, &framed(&check));
    assert_eq!(stage.closed, [stream]);
    let sound = other.speaks();
    assert_eq!(stage.comes(other.at, &sound), Some(other.leg), "who was spoken of has lost nothing");
}

#[test]
fn a_flood_of_connections_pushes_itself_out_and_nobody_else() {
    const MOST: usize = 8;
    let mut stage = Stage::with(&with_connections(MOST));
    let mut browser = stage.in_call(0);
    let own = stage.connects_to(&mut browser);
    stage.proves(&mut browser);
    let before = stage.door.remembered();
    for _ in 0..10_000 {
        let id = stage.accepts(stranger()).unwrap().stream.unwrap();
        stage.reads(id, &[0]);
    }
    assert_eq!((stage.door.streams(), stage.door.remembered()), (MOST, before + MOST - 1));
    assert_eq!(stage.closed.len(), 10_000 - (MOST - 1));
    assert!(!stage.closed.contains(&own));
    let sound = browser.speaks();
    assert_eq!(stage.comes(browser.at, &sound), Some(browser.leg));
    // The newest of them is a browser, and as good as any.
    let mut second = stage.calls(1);
    stage.connects_to(&mut second);
    stage.proves(&mut second);
    let sound = second.speaks();
    assert_eq!(stage.comes(second.at, &sound), Some(second.leg));

    // Who has proved themselves make no room for anybody.
    for _ in 2..MOST {
        stage.connects_to(&mut browser);
        stage.proves(&mut browser);
    }
    assert_eq!(stage.accepts(stranger()), None);
    assert_eq!(stage.door.streams(), MOST);
}

#[test]
fn noise_on_a_connection_ends_it_or_says_nothing() {
    let mut stage = Stage::new();
    let mut browser = stage.in_call(0);
    let mut random = Random::new([9; 32]);
    let mut noise = |most: u64| -> Vec<u8> { (0..random.below(most)).map(|_| random.bits() as u8).collect() };
    let before = stage.door.remembered();
    let (mut cut, mut bound) = (0, 0);
    for round in 0..400 {
        let id = stage.accepts(stranger()).unwrap().stream.unwrap();
        // Every other one begins as a browser does, with a check that was overheard in part.
        if round % 2 == 0 {
            let mut check = browser.checks.plain();
            let end = check.len() - 4;
            check[end] ^= 0xff;
            stage.reads(id, &framed(&check));
            bound += usize::from(!stage.closed.contains(&id));
        }
        for _ in 0..8 {
            let (begins, rest) = ([22, 0x80, 0, 1][round % 4], noise(300));
            stage.reads(id, &framed(&[&[begins][..], &rest].concat()));
            stage.reads(id, &noise(40));
        }
        cut += usize::from(stage.closed.contains(&id));
        stage.door.ended(stage.now, id);
        stage.drain();
        stage.closed.clear();
        assert_eq!(stage.door.remembered(), before);
    }
    assert_eq!(bound, 200, "a name is enough to have one's time");
    assert!((200..=400).contains(&cut), "{cut}");
    let sound = browser.speaks();
    assert_eq!(stage.comes(browser.at, &sound), Some(browser.leg));
}
