//! Who calls: what a trunk says of it, and what we say to a trunk (RFC 3323, RFC 3325).
//!
//! `From` is what the caller shows, and anybody may write anything there. The number that a network vouches for stands where
//! `caller_identity` of the trunk says, and is read from there alone: without that setting it is a stranger's word.

use std::sync::Arc;

use bytes::Bytes;
use sbc_config::{CallerIdentity, Dialect, Direction, NumberRule, Privacy, Trunk};

use super::diversion;
use super::header::{Name, NameAddr};
use super::hub::MAX_FORWARDS;
use super::location;
use super::message::{Headers, Request};
use super::passport;
use super::uri::{Host, Uri};
use crate::call::context::Context;
use crate::call::door::Caller;
use crate::call::journey::Journey;

/// What stands in place of a number that is withheld.
const ANONYMOUS: &str = "anonymous";

/// RFC 3323 section 4.1.1.3, as RFC 3325 section 9.2 and everybody since write it.
const ANONYMOUS_FROM: &str = "sip:anonymous@anonymous.invalid";

/// `Remote-Party-ID`, which never became a standard.
const REMOTE_PARTY_ID: &str = "Remote-Party-ID";

/// RFC 8496 section 4.
const CHARGE_INFO: &str = "P-Charge-Info";

/// Who calls over a trunk, in our numbers.
pub(super) fn caller(request: &Request, trunk: &Trunk) -> Caller {
    let headers = request.headers();
    let ours = |number: String| NumberRule::apply_all(&trunk.numbers_in, Direction::In, &number);
    let from = headers.from().ok();
    let vouched = vouched(headers, trunk.caller_identity);
    let asserted = vouched.as_ref().and_then(|said| number_in(&said.uri)).map(ours);
    let journey = Journey {
        diversions: diversion::read(request, trunk),
        passport: passport::passport(headers),
        verstat: vouched.as_ref().or(from.as_ref()).and_then(|said| passport::verstat(&said.uri)),
        ..journey(request)
    };
    let journey = Arc::new(journey);
    let context = context(headers, trunk);
    let from_number = from.as_ref().and_then(|from| number_in(&from.uri));
    if is_withheld(headers, from.as_ref(), vouched.as_ref()) {
        let asserted = asserted.or(from_number.filter(|n| !n.eq_ignore_ascii_case(ANONYMOUS)).map(ours));
        let number = ANONYMOUS.to_owned();
        return Caller { number, name: None, asserted, private: true, journey, context };
    }
    let name = |said: &Option<NameAddr>| Some(said.as_ref()?.display_name()?.to_string());
    let from_number = from_number.map(ours);
    // A carrier's caller may write anything in From. In Microsoft's it is what the tenant's policy shows, the caller of a call
    // that was forwarded for one, and what it vouches for is who is billed.
    let number = match trunk.dialect {
        Dialect::Microsoft => from_number.or_else(|| asserted.clone()),
        Dialect::Standard => asserted.clone().or(from_number),
    };
    Caller {
        number: number.unwrap_or_else(|| ANONYMOUS.to_owned()),
        name: match trunk.dialect {
            Dialect::Microsoft => name(&from),
            Dialect::Standard => name(&vouched).or_else(|| name(&from)),
        },
        asserted,
        private: false,
        journey,
        context,
    }
}

/// Where the call has been, as its INVITE tells.
pub(super) fn journey(request: &Request) -> Journey {
    // RFC 7332 section 3: what goes on may pass one fewer. Nobody needs more than we give a call that begins here.
    let left = request.headers().max_forwards().ok().flatten();
    let hops = left.map(|left| left.saturating_sub(1).min(MAX_FORWARDS));
    Journey { hops, location: location::read(request), ..Journey::default() }
}

/// What the caller's system gives along (RFC 7433), where the trunk says that it is taken.
fn context(headers: &Headers, trunk: &Trunk) -> Option<Arc<Context>> {
    if !trunk.context_headers.is_in() {
        return None;
    }
    let text = |(_, name, value): (Name, &[u8], Bytes)| {
        let (name, value) = (std::str::from_utf8(name).ok()?, std::str::from_utf8(&value).ok()?);
        Some((name.to_owned(), value.to_owned()))
    };
    let lines: Vec<(String, String)> = headers.iter().filter_map(text).collect();
    Context::of(lines.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// What goes along with a call, as header lines of at most so many octets.
pub(super) fn context_lines(context: &Context, octets_max: usize) -> Vec<(String, Bytes)> {
    let mut room = octets_max;
    let fits = |(name, value): &(&str, &str)| {
        let octets = name.len() + value.len();
        let fits = octets <= room;
        room -= if fits { octets } else { 0 };
        fits
    };
    let line = |(name, value): (&str, &str)| (name.to_owned(), Bytes::copy_from_slice(value.as_bytes()));
    context.headers().filter(fits).map(line).collect()
}

/// What was dialled over a trunk, in our numbers. `registered` is the name that calls come to where we register: behind it,
/// the number that was dialled stands in To.
pub(super) fn dialled(request: &Request, trunk: &Trunk, registered: Option<&str>) -> String {
    let named = number_in(request.uri()).unwrap_or_default();
    let to = request.headers().to().ok().and_then(|to| number_in(&to.uri));
    let number = if registered == Some(&named) { to.unwrap_or(named) } else { named };
    NumberRule::apply_all(&trunk.numbers_in, Direction::In, &number)
}

/// The user part, and of a telephone's number the number alone: networks write what they know of it behind a semicolon
/// (RFC 3261 section 19.1.6: `;verstat=`, `;npdi`, `;cpc=`).
pub(super) fn number_in(uri: &Uri) -> Option<String> {
    let user = uri.user_unescaped()?;
    match user.split_once(';') {
        Some((number, _)) if is_dialled(number) => Some(number.to_owned()),
        _ => Some(user),
    }
}

/// Digits as people dial them, with what they may stand between (RFC 3966 section 3).
fn is_dialled(text: &str) -> bool {
    text.bytes().any(|octet| octet.is_ascii_digit())
        && text.bytes().all(|octet| octet.is_ascii_digit() || b"+*#-.()".contains(&octet))
}

fn vouched(headers: &Headers, identity: CallerIdentity) -> Option<NameAddr> {
    // RFC 3325 section 9.1: there may be two, a SIP URI and a telephone number, in either order.
    let first = |name| {
        let all = headers.name_addrs(name).ok()?;
        let number = all.iter().find(|said| number_in(&said.uri).is_some_and(|number| is_dialled(&number)));
        number.or(all.first()).cloned()
    };
    match identity {
        CallerIdentity::From => None,
        CallerIdentity::PAssertedIdentity => first(Name::PAssertedIdentity),
        CallerIdentity::PPreferredIdentity => first(Name::PPreferredIdentity),
        CallerIdentity::RemotePartyId => NameAddr::parse(headers.get_named(REMOTE_PARTY_ID)?).ok(),
    }
}

/// Whether the caller is not to be shown.
fn is_withheld(headers: &Headers, from: Option<&NameAddr>, vouched: Option<&NameAddr>) -> bool {
    // RFC 3323 section 4.2: values are separated by semicolons, and `none` asks for nothing to be hidden.
    let asked = headers.text(Name::Privacy).is_some_and(|privacy| {
        let mut words = privacy.split([';', ',']).map(str::trim);
        words.any(|word| ["id", "user", "header"].iter().any(|hides| word.eq_ignore_ascii_case(hides)))
    });
    let full = |said: &NameAddr| said.params.value("privacy").is_some_and(|p| p.eq_ignore_ascii_case("full"));
    let nobody = |from: &NameAddr| {
        let host = from.uri.host().map(|host| host.to_string());
        host.is_some_and(|host| host.eq_ignore_ascii_case("anonymous.invalid"))
            || from.uri.user().is_some_and(|user| user.eq_ignore_ascii_case(ANONYMOUS))
    };
    asked || vouched.is_some_and(full) || from.is_some_and(nobody)
}

/// The caller as a trunk writes numbers. Names and extensions are none.
pub(super) fn outward(trunk: &Trunk, caller: Caller) -> Caller {
    let theirs = |number: String| outward_number(trunk, &number).unwrap_or(number);
    Caller { number: theirs(caller.number), asserted: caller.asserted.map(theirs), ..caller }
}

/// A number of a caller's side as the trunk writes it; `None` for what is no number.
pub(super) fn outward_number(trunk: &Trunk, number: &str) -> Option<String> {
    let out = || NumberRule::apply_all(&trunk.caller_numbers_out, Direction::Out, number);
    is_number(number).then(out)
}

/// The From of a caller who is not shown.
pub(super) fn anonymous() -> Option<NameAddr> {
    let uri = Uri::parse(Bytes::from_static(ANONYMOUS_FROM.as_bytes())).ok()?;
    Some(NameAddr::new(uri).with_display("Anonymous"))
}

/// The header lines that tell a trunk the number behind a caller, with us as the network that vouches for it.
pub(super) fn lines(trunk: &Trunk, caller: &Caller, host: &Host, port: Option<u16>) -> Vec<(String, Bytes)> {
    let mut lines = Vec::new();
    let told = !caller.private || trunk.privacy == Privacy::Id;
    let number = caller.asserted.as_deref().unwrap_or(&caller.number);
    if told && is_number(number) {
        let identity = number_at(number, host, port).map(NameAddr::new);
        let identity = identity.map(|identity| match caller.name.as_deref().filter(|_| !caller.private) {
            Some(name) => identity.with_display(name),
            None => identity,
        });
        let line = |name: &str, identity: &NameAddr| (name.to_owned(), identity.to_bytes());
        lines.extend(identity.and_then(|identity| match trunk.caller_identity {
            CallerIdentity::From => None,
            CallerIdentity::PAssertedIdentity => Some(line(Name::PAssertedIdentity.as_str(), &identity)),
            CallerIdentity::PPreferredIdentity => Some(line(Name::PPreferredIdentity.as_str(), &identity)),
            CallerIdentity::RemotePartyId => {
                let privacy = if caller.private { "full" } else { "off" };
                let identity = identity.with_param("party", Some("calling"));
                let identity = identity.with_param("screen", Some("yes"));
                Some(line(REMOTE_PARTY_ID, &identity.with_param("privacy", Some(privacy))))
            }
        }));
    }
    if caller.private && told {
        lines.push((Name::Privacy.as_str().to_owned(), Bytes::from_static(b"id")));
    }
    lines
}

/// The header line that tells a trunk who is charged for a call (RFC 8496), where it says who.
pub(super) fn charge(trunk: &Trunk, host: &Host, port: Option<u16>) -> Option<(String, Bytes)> {
    let number = trunk.charge_to.as_ref()?;
    let charged = NameAddr::new(number_at(&number.to_string(), host, port)?);
    Some((CHARGE_INFO.to_owned(), charged.to_bytes()))
}

/// A number at a host, marked as one where it is international.
pub(super) fn number_at(number: &str, host: &Host, port: Option<u16>) -> Option<Uri> {
    let uri = Uri::sip(Some(number), host, port).ok()?;
    if number.starts_with('+') { uri.with_param("user", Some("phone")).ok() } else { Some(uri) }
}

/// Whether it can be vouched for: extensions and names of people mean nothing outside the house.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    digits.len() > 2 && digits.bytes().all(|b| b.is_ascii_digit())
}
