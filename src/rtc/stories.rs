//! Stories of the pure machines, in virtual time.
//!
//! The far end is played here: its STUN is written with `rtc`'s messages, its DTLS is our own. A far end that shares
//! nothing with us plays in `tests/rtc`, on sockets.

mod door;
mod ice;
mod peer;

use std::net::SocketAddr;
use std::time::Duration;

use ::rtc::crypto::RTCCryptoProvider as _;
use ::rtc::crypto::providers::AwsLcRsProvider;
use ::rtc::stun::attributes::{ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME, AttrType};
use ::rtc::stun::fingerprint::FINGERPRINT;
use ::rtc::stun::integrity::MessageIntegrity;
use ::rtc::stun::message::{
    BINDING_REQUEST, BINDING_SUCCESS, Message, MessageType, Setter as _, TransactionId,
};

use super::ice::Credentials;
use super::place::Place;

/// The pause between two packets of sound: stories go on in steps of it.
const STEP: Duration = Duration::from_millis(20);

/// The browser's.
const PASSWORD: &str = "abcdefghijklmnopqrstuvwx";

fn theirs() -> Credentials {
    Credentials { ufrag: "them".to_owned(), pwd: PASSWORD.to_owned() }
}

fn place(at: &str) -> Place {
    Place::from(at.parse::<SocketAddr>().unwrap())
}

/// Where the browser is at first.
fn home() -> Place {
    place("192.0.2.5:61000")
}

/// Where it is when it has changed its network.
fn away() -> Place {
    place("203.0.113.9:40000")
}

fn stranger() -> Place {
    place("198.51.100.66:666")
}

type Attributes<'a> = &'a [(AttrType, &'a [u8])];

/// A STUN message: what is before its integrity, which is under `password`, and what is behind.
fn stun(
    class: MessageType,
    id: TransactionId,
    password: &str,
    before: Attributes<'_>,
    behind: Attributes<'_>,
) -> Vec<u8> {
    let crypto = AwsLcRsProvider::new();
    let mut message = Message::new();
    message.write_header();
    class.add_to(&mut message).unwrap();
    id.add_to(&mut message).unwrap();
    before.iter().for_each(|(kind, value)| message.add(*kind, value));
    MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), crypto.crypto())
        .add_to(&mut message)
        .unwrap();
    behind.iter().for_each(|(kind, value)| message.add(*kind, value));
    FINGERPRINT.add_to(&mut message).unwrap();
    message.raw
}

/// The checks of a browser. Each has a number of its own, as RFC 8489 section 6 wants it.
#[derive(Clone)]
struct Checks {
    user: String,
    password: String,
    count: u32,
}

impl Checks {
    /// Towards us.
    fn of(ours: &Credentials) -> Checks {
        Checks { user: format!("{}:them", ours.ufrag), password: ours.pwd.clone(), count: 0 }
    }

    fn plain(&mut self) -> Vec<u8> {
        self.with(1, &[])
    }

    fn nominating(&mut self) -> Vec<u8> {
        self.nominating_at(1)
    }

    fn nominating_at(&mut self, priority: u32) -> Vec<u8> {
        self.with(priority, &[(ATTR_USE_CANDIDATE, &[])])
    }

    fn with(&mut self, priority: u32, more: Attributes<'_>) -> Vec<u8> {
        let priority = priority.to_be_bytes();
        let all = [&[(ATTR_USERNAME, self.user.as_bytes()), (ATTR_PRIORITY, &priority[..])][..], more];
        let (all, password) = (all.concat(), self.password.clone());
        let mut id = TransactionId([0; 12]);
        id.0[..4].copy_from_slice(&self.count.to_be_bytes());
        self.count += 1;
        stun(BINDING_REQUEST, id, &password, &all, &[])
    }
}

fn is_check(octets: &[u8]) -> bool {
    octets.starts_with(&[0, 1])
}

/// What a browser with this password says to a check of ours.
fn answer(check: &[u8], password: &str) -> Vec<u8> {
    assert!(is_check(check), "{check:?}");
    stun(BINDING_SUCCESS, TransactionId(check[8..20].try_into().unwrap()), password, &[], &[])
}
