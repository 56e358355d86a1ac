//! From whom a call was diverted, and why: `History-Info` (RFC 7044, and RFC 4244 as Microsoft writes it) and `Diversion`
//! (RFC 5806), each turned into the other as RFC 7544 says.
//!
//! Both are headers like any other: they are believed of a trunk whose setting says so, and told to one whose setting says
//! so. A number that is private goes to a network that may know it (RFC 3325 section 5) and to nobody else; of all others
//! such a diversion is told without it, for that there was one decides what a call costs and who may call.

use bytes::Bytes;
use sbc_config::{CallerIdentity, Direction, NumberRule, Privacy, Trunk};

use super::header::{Name, NameAddr, Params, trim};
use super::identity::{self, number_in};
use super::message::{Headers, Request};
use super::text::Text;
use super::uri::{Host, Uri, unescape};
use crate::call::journey::{Diversion, Diverted};

/// Values that are looked at. A call that was sent on more often goes round.
const VALUES_MAX: usize = 32;

/// Diversions that are kept: the telephone network's own count ends at five (Q.732.2). The first and the latest are what
/// anybody asks for, so what is between them is told by its number alone.
const KEPT_MAX: usize = 5;

/// The words of RFC 5806 section 4, with the `cause` of RFC 4458 that RFC 7544 section 6 puts beside each.
const WORDS: [(Diverted, &str, u16); 11] = [
    (Diverted::Unconditional, "unconditional", 302),
    (Diverted::UserBusy, "user-busy", 486),
    (Diverted::NoAnswer, "no-answer", 408),
    (Diverted::Unavailable, "unavailable", 503),
    (Diverted::Deflection, "deflection", 480),
    (Diverted::Unknown, "unknown", 404),
    (Diverted::DoNotDisturb, "do-not-disturb", 404),
    (Diverted::FollowMe, "follow-me", 404),
    (Diverted::Away, "away", 404),
    (Diverted::TimeOfDay, "time-of-day", 404),
    (Diverted::OutOfService, "out-of-service", 404),
];

/// What is believed of the diversions of a call over a trunk, the first of them first, in our numbers.
pub(super) fn read(request: &Request, trunk: &Trunk) -> Vec<Diversion> {
    let headers = request.headers();
    let mut found = Vec::new();
    if trunk.diversion_in.has_history() {
        found = histories(headers, number_in(request.uri()).as_deref());
    }
    if found.is_empty() && trunk.diversion_in.has_diversion() {
        found = diversions(headers);
    }
    for diversion in &mut found {
        diversion.number = NumberRule::apply_all(&trunk.numbers_in, Direction::In, &diversion.number);
    }
    shorten(&mut found);
    found
}

/// The header lines that tell a trunk from whom the call to `target` was diverted.
pub(super) fn lines(
    trunk: &Trunk,
    diversions: &[Diversion],
    target: &Uri,
    (host, port): (&Host, Option<u16>),
) -> Vec<(String, Bytes)> {
    let mut lines = Vec::new();
    let told: Vec<Told<'_>> = diversions
        .iter()
        .filter_map(|diversion| {
            let number = Some(&diversion.number).filter(|_| !diversion.private || may_know(trunk));
            let number = number.and_then(|number| identity::outward_number(trunk, number));
            let by = match number {
                Some(number) => NameAddr::new(identity::number_at(&number, host, port)?),
                None => identity::anonymous()?,
            };
            Some(Told { by, diversion })
        })
        .collect();
    if trunk.diversion_out.has_diversion() {
        // RFC 5806 section 5: the latest stands on top.
        let name = Name::Diversion.as_str();
        lines.extend(told.iter().rev().map(|told| (name.to_owned(), told.as_diversion())));
    }
    if trunk.diversion_out.has_history() && !told.is_empty() {
        lines.push((Name::HistoryInfo.as_str().to_owned(), Bytes::from(as_history(&told, target))));
    }
    lines
}

/// Whether private numbers may be told to a trunk: to a network that is told the numbers behind withheld ones.
fn may_know(trunk: &Trunk) -> bool {
    trunk.privacy == Privacy::Id && trunk.caller_identity != CallerIdentity::From
}

/// A diversion as a trunk hears of it.
struct Told<'a> {
    by: NameAddr,
    diversion: &'a Diversion,
}

impl Told<'_> {
    fn as_diversion(&self) -> Bytes {
        let (word, _) = words_of(self.diversion.reason);
        let by = self.by.clone().with_param("reason", Some(word));
        let by = by.with_param("counter", Some(&self.diversion.count.to_string()));
        match self.diversion.private {
            true => by.with_param("privacy", Some("full")).to_bytes(),
            false => by.to_bytes(),
        }
    }
}

/// One line for all of them and the target. Each entry but the first is the child of the one before it, and says by `cause`
/// why that one was left; RFC 4244, which is what Microsoft reads, looks for the Reason at the one who was left.
fn as_history(told: &[Told<'_>], target: &Uri) -> String {
    let mut index = "1".to_owned();
    let mut line = String::new();
    let mut came_by: Option<(String, u16)> = None;
    let mut add = |uri: &Uri, headers: &str, from: &mut Option<(String, u16)>| {
        let (uri, parent) = match from.take() {
            None => (uri.clone(), String::new()),
            Some((parent, cause)) => {
                let cause = cause.to_string();
                let uri = uri.with_param("cause", Some(&cause)).unwrap_or_else(|_| uri.clone());
                index.push_str(".1");
                (uri, format!(";mp={parent}"))
            }
        };
        if !line.is_empty() {
            line.push_str(", ");
        }
        line.push_str(&format!("<{uri}{headers}>;index={index}{parent}"));
        index.clone()
    };
    for told in told {
        let (_, cause) = words_of(told.diversion.reason);
        let privacy = if told.diversion.private { "Privacy=history&" } else { "" };
        let headers = format!("?{privacy}Reason=SIP%3Bcause%3D{cause}");
        let at = add(&told.by.uri, &headers, &mut came_by);
        came_by = Some((at, cause));
    }
    add(&target.without_headers(), "", &mut came_by);
    line
}

fn words_of(reason: Diverted) -> (&'static str, u16) {
    let known = WORDS.iter().find(|(of, _, _)| *of == reason);
    known.map_or(("unknown", 404), |(_, word, cause)| (word, *cause))
}

/// Leaves the first and the latest ones, and counts what stood between.
fn shorten(found: &mut Vec<Diversion>) {
    if found.len() <= KEPT_MAX {
        return;
    }
    let between = found.drain(1..=found.len() - KEPT_MAX);
    let left_out = between.fold(0u8, |sum, diversion| sum.saturating_add(diversion.count));
    if let Some(next) = found.get_mut(1) {
        next.count = next.count.saturating_add(left_out);
    }
}

fn diversions(headers: &Headers) -> Vec<Diversion> {
    let values = headers.list(Name::Diversion).take(VALUES_MAX);
    let mut found: Vec<Diversion> = values.filter_map(diversion).collect();
    found.reverse();
    found
}

fn diversion(value: Bytes) -> Option<Diversion> {
    let by = NameAddr::parse(value).ok()?;
    let word = by.params.value("reason");
    let word = word.as_deref().map(|word| word.trim_matches('"')).unwrap_or_default();
    let known = WORDS.iter().find(|(_, known, _)| word.eq_ignore_ascii_case(known));
    let hides = |word: &str| ["full", "uri"].iter().any(|hides| word.eq_ignore_ascii_case(hides));
    Some(Diversion {
        number: number_in(&by.uri)?,
        reason: known.map_or(Diverted::Unknown, |(reason, _, _)| *reason),
        private: by.params.value("privacy").is_some_and(|word| hides(&word)),
        count: by.params.value("counter").and_then(|count| count.parse().ok()).unwrap_or(1).max(1),
    })
}

/// One entry of History-Info.
struct Entry {
    number: String,
    /// Why the call has come to it (RFC 4458, in its URI).
    cause: Option<u16>,
    /// How its own try ended (RFC 3326, escaped in its URI).
    reason: Option<u16>,
    private: bool,
    index: Option<Text>,
    /// The entry whose place it takes.
    from: Option<Text>,
}

fn histories(headers: &Headers, dialled: Option<&str>) -> Vec<Diversion> {
    // RFC 7044 section 10.1.2: asked of the message, it is asked of every entry.
    let all_private = headers.text(Name::Privacy).is_some_and(|said| hides_history(&said));
    let entries: Vec<Entry> =
        headers.list(Name::HistoryInfo).take(VALUES_MAX).filter_map(|value| entry(&value)).collect();
    let mut found = Vec::new();
    for (at, left) in entries.iter().enumerate() {
        let later = entries.iter().skip(at + 1);
        let is_child =
            |later: &&Entry| later.from.is_some() && later.from == left.index && later.cause.is_some();
        let child = later.clone().find(is_child);
        let next = child.or_else(|| later.clone().next().filter(|next| next.from.is_none()));
        let cause = next.and_then(|next| next.cause).map(reason_of_cause);
        let Some(reason) = cause.or(left.reason.map(reason_of_status)) else { continue };
        // The last entry is where the call goes now.
        if Some(&*left.number) != dialled {
            let (number, private) = (left.number.clone(), left.private || all_private);
            found.push(Diversion { number, reason, private, count: 1 });
        }
    }
    found
}

/// Reads an entry by hand: in older builds of Microsoft's the Reason in the URI is not escaped, and then it is no URI.
fn entry(value: &Bytes) -> Option<Entry> {
    let open = value.iter().position(|octet| *octet == b'<')? + 1;
    let close = open + value.get(open..)?.iter().position(|octet| *octet == b'>')?;
    let inside = value.slice(open..close);
    let cut = inside.iter().position(|octet| *octet == b'?').unwrap_or(inside.len());
    let uri = Uri::parse(trim(&inside.slice(..cut))).ok()?;
    let said = unescape(&String::from_utf8_lossy(&inside.slice(cut..))).to_ascii_lowercase();
    let params = Params::parse(value.slice(close + 1..)).ok()?;
    let mut parts = said.split(['?', '&']);
    let reason = parts.clone().find_map(|part| part.strip_prefix("reason=")?.trim().strip_prefix("sip"));
    Some(Entry {
        number: number_in(&uri)?,
        cause: uri.param("cause").flatten().and_then(|cause| cause.parse().ok()),
        reason: reason.and_then(cause_in),
        private: parts.any(|part| part.strip_prefix("privacy=").is_some_and(hides_history)),
        index: params.value("index"),
        from: params.value("mp").or_else(|| params.value("rc")),
    })
}

fn hides_history(said: &str) -> bool {
    let mut words = said.split([';', ',']).map(str::trim);
    words.any(|word| ["history", "header", "session"].iter().any(|hides| word.eq_ignore_ascii_case(hides)))
}

fn cause_in(reason: &str) -> Option<u16> {
    let digits = reason.split_once("cause=")?.1.trim_start();
    let end = digits.bytes().position(|octet| !octet.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

/// RFC 4458 section 2, RFC 7544 section 6.
fn reason_of_cause(cause: u16) -> Diverted {
    match cause {
        302 => Diverted::Unconditional,
        486 => Diverted::UserBusy,
        408 => Diverted::NoAnswer,
        480 | 487 => Diverted::Deflection,
        503 => Diverted::Unavailable,
        _ => Diverted::Unknown,
    }
}

/// How the try that was left ended. Microsoft's 496 is its busy, and 480 its nobody there.
fn reason_of_status(status: u16) -> Diverted {
    match status {
        302 => Diverted::Unconditional,
        486 | 496 | 600 => Diverted::UserBusy,
        408 | 480 => Diverted::NoAnswer,
        503 => Diverted::Unavailable,
        _ => Diverted::Unknown,
    }
}

#[cfg(test)]
mod tests;
