//! Whose datagram it is. Pure, and the same work however many legs there are.
//!
//! ```text
//!   first octet (RFC 7983)
//!     0..=3     STUN   a check: by our user name fragment in it. An answer: by the number we began the check with
//!     20..=63   DTLS ─┐
//!     128..=191 RTP  ─┴─ by where it comes from, once the leg's far end has proved itself there
//!     others    nobody's
//! ```

use std::collections::HashMap;

use crate::call::LegId;

use super::place::Place;

/// What a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// STUN.
    Stun,
    /// DTLS.
    Dtls,
    /// SRTP or SRTCP.
    Media,
}

impl Kind {
    /// By its first octet. `None` if it is nothing we know.
    pub fn of(octets: &[u8]) -> Option<Kind> {
        match octets.first()? {
            0..=3 => Some(Kind::Stun),
            20..=63 => Some(Kind::Dtls),
            128..=191 => Some(Kind::Media),
            _ => None,
        }
    }
}

/// Which leg is where.
#[derive(Debug, Default)]
pub struct Mux {
    by_ufrag: HashMap<String, LegId>,
    by_number: HashMap<u32, LegId>,
    by_address: HashMap<Place, LegId>,
    legs: HashMap<LegId, Known>,
}

/// What leads to a leg.
#[derive(Debug)]
struct Known {
    ufrag: String,
    number: u32,
    addresses: Vec<Place>,
}

impl Mux {
    /// A leg is reached by checks with this user name fragment, and begins its own with this number.
    pub fn add(&mut self, leg: LegId, ufrag: &str, number: u32) {
        self.by_ufrag.insert(ufrag.to_owned(), leg);
        self.by_number.insert(number, leg);
        self.legs.insert(leg, Known { ufrag: ufrag.to_owned(), number, addresses: Vec::new() });
    }

    /// Its checks have another name from now on.
    pub fn rename(&mut self, leg: LegId, ufrag: &str) {
        let Some(known) = self.legs.get_mut(&leg) else { return };
        let old = std::mem::replace(&mut known.ufrag, ufrag.to_owned());
        self.by_ufrag.remove(&old);
        self.by_ufrag.insert(ufrag.to_owned(), leg);
    }

    /// Whether a number is some leg's.
    pub fn has_number(&self, number: u32) -> bool {
        self.by_number.contains_key(&number)
    }

    /// The leg's far end has proved itself at this address. One address is one browser's: whoever proved itself there
    /// before has gone.
    pub fn proved(&mut self, leg: LegId, at: Place) {
        let Some(known) = self.legs.get_mut(&leg) else { return };
        if !known.addresses.contains(&at) {
            known.addresses.push(at);
        }
        if let Some(before) = self.by_address.insert(at, leg).filter(|before| *before != leg)
            && let Some(known) = self.legs.get_mut(&before)
        {
            known.addresses.retain(|known| *known != at);
        }
    }

    /// It does not count there any more.
    pub fn gone(&mut self, leg: LegId, at: Place) {
        let Some(known) = self.legs.get_mut(&leg) else { return };
        known.addresses.retain(|known| *known != at);
        if self.by_address.get(&at) == Some(&leg) {
            self.by_address.remove(&at);
        }
    }

    /// The leg is over.
    pub fn remove(&mut self, leg: LegId) {
        let Some(known) = self.legs.remove(&leg) else { return };
        self.by_ufrag.remove(&known.ufrag);
        self.by_number.remove(&known.number);
        for at in known.addresses {
            self.by_address.remove(&at);
        }
    }

    /// Whose datagram this is, as far as can be said before anything is proved.
    pub fn find(&self, kind: Kind, octets: &[u8], from: Place) -> Option<LegId> {
        match kind {
            Kind::Stun => self.find_stun(octets),
            Kind::Dtls | Kind::Media => self.by_address.get(&from).copied(),
        }
    }

    fn find_stun(&self, octets: &[u8]) -> Option<LegId> {
        let [_, _, _, _, _, _, _, _, n0, n1, n2, n3] = octets.first_chunk()?;
        match user_name(octets)? {
            Some(name) => {
                let ours = name.split(|octet| *octet == b':').next()?;
                self.by_ufrag.get(std::str::from_utf8(ours).ok()?).copied()
            }
            None => self.by_number.get(&u32::from_be_bytes([*n0, *n1, *n2, *n3])).copied(),
        }
    }

    /// How much is remembered, of all kinds.
    pub fn len(&self) -> usize {
        self.legs.len() + self.by_ufrag.len() + self.by_number.len() + self.by_address.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The USERNAME of a STUN message that is a request; `Some(None)` for an answer. `None` if it is neither.
fn user_name(octets: &[u8]) -> Option<Option<&[u8]>> {
    const REQUEST: [u8; 2] = [0x00, 0x01];
    const SUCCESS: [u8; 2] = [0x01, 0x01];
    const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    const USERNAME: u16 = 0x0006;
    let ([k0, k1, _, _, cookie @ ..], _) = octets.split_first_chunk::<8>()?;
    if *cookie != COOKIE {
        return None;
    }
    match [*k0, *k1] {
        SUCCESS => return Some(None),
        REQUEST => {}
        _ => return None,
    }
    let mut rest = octets.get(20..)?;
    // Each turn takes four octets at least, of a datagram that has few.
    while let Some(([t0, t1, l0, l1], value)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if u16::from_be_bytes([*t0, *t1]) == USERNAME {
            return Some(Some(value.get(..length)?));
        }
        rest = value.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::rtc::place::StreamId;

    fn check(name: &str) -> Vec<u8> {
        let mut octets = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        octets.extend([9; 12]);
        octets.extend([0x80, 0x22, 0, 3, 1, 2, 3, 0]); // another attribute, padded
        octets.extend([0, 6, 0, name.len() as u8]);
        octets.extend(name.bytes());
        octets
    }

    #[test]
    fn a_datagram_finds_its_leg_by_name_number_or_address() {
        let (mut mux, leg) = (Mux::default(), LegId(7));
        let at = Place::from(SocketAddr::from(([192, 0, 2, 5], 4000)));
        mux.add(leg, "ours", 0x0102_0304);
        assert_eq!(mux.find(Kind::Stun, &check("ours:theirs"), at), Some(leg));
        assert_eq!(mux.find(Kind::Stun, &check("other:theirs"), at), None);
        assert_eq!(mux.find(Kind::Stun, &check("theirs:ours"), at), None);
        let mut answer = vec![1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4];
        answer.extend([0; 8]);
        assert_eq!(mux.find(Kind::Stun, &answer, at), Some(leg));
        assert_eq!(mux.find(Kind::Media, &[0x80; 40], at), None, "nobody has proved anything there");
        mux.proved(leg, at);
        assert_eq!(mux.find(Kind::Media, &[0x80; 40], at), Some(leg));
        let stream = Place { stream: Some(StreamId(1)), ..at };
        assert_eq!(
            mux.find(Kind::Media, &[0x80; 40], stream),
            None,
            "a connection from there is another place"
        );
        mux.rename(leg, "anew");
        assert_eq!(mux.find(Kind::Stun, &check("ours:theirs"), at), None);
        assert_eq!(mux.find(Kind::Stun, &check("anew:theirs"), at), Some(leg));
        mux.remove(leg);
        assert!(mux.is_empty());
    }

    #[test]
    fn garbage_is_nobodys() {
        let mux = Mux::default();
        let at = Place::from(SocketAddr::from(([192, 0, 2, 5], 4000)));
        let good = check("ours:theirs");
        for length in 0..good.len() {
            assert_eq!(mux.find(Kind::Stun, &good[..length], at), None);
        }
        assert_eq!(Kind::of(&[]), None);
        assert_eq!(Kind::of(&[70]), None);
        assert_eq!((Kind::of(&[22]), Kind::of(&[0x80])), (Some(Kind::Dtls), Some(Kind::Media)));
    }
}
