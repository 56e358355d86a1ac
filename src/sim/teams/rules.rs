//! Microsoft's rules, as its documentation, its error codes and other people's traces tell them.
//!
//! The reading here is its own, by lines and words: what the gateway wrote is judged without the gateway's readers
//! of headers and descriptions, so that a mistake in them cannot hide itself.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::sdp::Theirs;
use crate::sip::message::Request;

/// The suite that Microsoft speaks.
pub(super) const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

/// A rule that a message broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub rule: Rule,
    /// What is wrong, with the words that are.
    pub detail: String,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident $status:expr, $code:literal;)*) => {
        /// A rule for messages to Microsoft.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule {$(
            $(#[$doc])*
            $name,
        )*}

        impl Rule {
            /// The status that a request which breaks it is refused with, and Microsoft's own code. `None` where
            /// Microsoft goes on and the harm shows later.
            pub fn refusal(self) -> Option<(u16, u32)> {
                match self {$(Self::$name => $status.map(|status| (status, $code)),)*}
            }
        }
    };
}

rules! {
    /// OPTIONS and INVITE have a Contact; without it and without Record-Route there is nobody to look up.
    ContactMissing Some(403_u16), 510532;
    /// The host of the Contact is a paired name, never an address.
    ContactNotPaired Some(403_u16), 510532;
    /// A Record-Route, if there is one, names what the Contact names.
    RecordRouteDiffers Some(403_u16), 510532;
    /// UPDATE, INFO, PRACK, REFER and the like are not in Microsoft's Allow.
    MethodNotAllowed Some(405_u16), 540405;
    /// A Replaces header is refused since April 2022.
    ReplacesSent Some(403_u16), 540403;
    /// No extension may be required but timer.
    ExtensionRequired Some(420_u16), 540420;
    /// An INVITE has an offer.
    OfferMissing Some(400_u16), 540400;
    /// `sips:` is not spoken.
    SipsUsed Some(400_u16), 540400;
    /// The opaque bytes of Refer-To and Referred-By come back as they were sent.
    OpaqueAltered Some(400_u16), 540400;
    /// The profile is RTP/SAVP.
    NotSecure Some(488_u16), 531000;
    /// One crypto line has the suite, a lifetime of 2^31 and no MKI.
    NoUsableKey Some(488_u16), 531000;
    /// PCMU, PCMA or G.722 is offered.
    NoCodec Some(488_u16), 531000;
    /// The connection address is a real one, on hold as well.
    AddressNull Some(488_u16), 531052;
    /// Hold is inactive; sendonly and recvonly are not understood.
    DirectionNotUnderstood Some(488_u16), 531000;
    /// The request goes along the Record-Route, to the Contact as it was given.
    NotAlongTheRoute Some(481_u16), 540481;
    /// The number called is +E.164 with `user=phone`; otherwise Microsoft guesses.
    NotANumber None::<u16>, 0;
    /// From names us by our paired name.
    FromNotPaired None::<u16>, 0;
    /// Via names us by our paired name.
    ViaNotPaired None::<u16>, 0;
    /// Allow says what we can; without it REFER never comes.
    AllowMissing None::<u16>, 0;
    /// `X-MS-SBC` says who we are.
    SbcUnnamed None::<u16>, 0;
    /// Nothing of WebRTC is left in the description.
    IceLeftOver None::<u16>, 0;
}

/// What the proxy knows when it judges.
#[derive(Debug, Default)]
pub struct Known {
    /// The paired names, in lower case.
    pub paired: Vec<String>,
    /// Refer-To and Referred-By that were sent and not yet come back, by the URI in Refer-To.
    pub referred: HashMap<String, String>,
}

/// Every rule that a request outside a dialog breaks, those that refuse it first.
pub fn judge_first(request: &Request, known: &Known) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut note = |rule, detail: String| broken.push(Broken { rule, detail });
    let method = request.method().as_str();
    let header =
        |name| request.headers().get_named(name).map(|value| String::from_utf8_lossy(&value).into_owned());
    if !["OPTIONS", "INVITE"].contains(&method) {
        note(Rule::MethodNotAllowed, method.to_owned());
        return broken;
    }
    let paired = |host: &str| known.paired.iter().any(|name| name.eq_ignore_ascii_case(host));
    match header("Contact") {
        None => note(Rule::ContactMissing, method.to_owned()),
        Some(contact) => {
            let host = host_of(&contact);
            if !paired(host) {
                note(Rule::ContactNotPaired, contact.clone());
            }
            if let Some(route) = header("Record-Route")
                && !host_of(&route).eq_ignore_ascii_case(host)
            {
                note(Rule::RecordRouteDiffers, route);
            }
        }
    }
    let line = request.uri().as_str();
    for uri in [Some(line.to_owned()), header("Contact"), header("From"), header("To")].into_iter().flatten()
    {
        if uri.to_ascii_lowercase().contains("sips:") {
            note(Rule::SipsUsed, uri);
        }
    }
    if header("Replaces").is_some() {
        note(Rule::ReplacesSent, method.to_owned());
    }
    for required in header("Require").iter().flat_map(|value| value.split(',')).map(str::trim) {
        if required != "timer" {
            note(Rule::ExtensionRequired, required.to_owned());
        }
    }
    if method == "INVITE" {
        let referred = known.referred.get(line);
        let looks_referred = line.contains(";x-m=") || header("Referred-By").is_some();
        match referred {
            Some(by) if header("Referred-By").as_deref() != Some(by) => {
                note(Rule::OpaqueAltered, format!("Referred-By: {:?}", header("Referred-By")));
            }
            None if looks_referred => note(Rule::OpaqueAltered, line.to_owned()),
            _ => {}
        }
        let user = line.split_once(':').and_then(|(_, rest)| rest.split_once('@')).map(|(user, _)| user);
        let number = user.is_some_and(|user| user.starts_with('+') && line.contains(";user=phone"));
        if !number && referred.is_none() {
            note(Rule::NotANumber, line.to_owned());
        }
        match Theirs::read(request.body()) {
            None => note(Rule::OfferMissing, String::new()),
            Some(sdp) => judge_sdp(&sdp, &mut note),
        }
    }
    if header("From").is_some_and(|from| !paired(host_of(&from))) {
        note(Rule::FromNotPaired, header("From").unwrap_or_default());
    }
    if header("Via").is_some_and(|via| !paired(via_host(&via))) {
        note(Rule::ViaNotPaired, header("Via").unwrap_or_default());
    }
    if header("Allow").is_none() {
        note(Rule::AllowMissing, method.to_owned());
    }
    if header("X-MS-SBC").is_none() {
        note(Rule::SbcUnnamed, method.to_owned());
    }
    broken.sort_by_key(|broken| broken.rule.refusal().is_none());
    broken
}

/// Every rule that a request within a dialog breaks. `contact` and `routes` are what we gave for it.
pub fn judge_within(request: &Request, contact: &str, routes: &[String]) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut note = |rule, detail: String| broken.push(Broken { rule, detail });
    let method = request.method().as_str();
    if !["INVITE", "ACK", "BYE", "CANCEL", "NOTIFY", "OPTIONS"].contains(&method) {
        note(Rule::MethodNotAllowed, method.to_owned());
        return broken;
    }
    let line = request.uri().as_str();
    if method != "CANCEL" && line != contact {
        note(Rule::NotAlongTheRoute, format!("{method} {line}"));
    }
    let went: Vec<_> =
        request.headers().all_named("Route").map(|v| String::from_utf8_lossy(&v).into_owned()).collect();
    let went = went.join(", ");
    if method != "CANCEL" && routes.iter().any(|route| !went.contains(route)) {
        note(Rule::NotAlongTheRoute, format!("{method} with Route {went:?}"));
    }
    if method == "INVITE"
        && let Some(sdp) = Theirs::read(request.body())
    {
        judge_sdp(&sdp, &mut note);
    }
    broken
}

fn judge_sdp(sdp: &Theirs, note: &mut impl FnMut(Rule, String)) {
    if sdp.profile != "RTP/SAVP" {
        note(Rule::NotSecure, sdp.profile.clone());
    } else if sdp.key(SUITE).is_none() {
        note(Rule::NoUsableKey, format!("{} crypto lines", sdp.crypto.len()));
    }
    if sdp.codec().is_none() {
        note(Rule::NoCodec, sdp.payloads.join(" "));
    }
    if sdp.address.is_none_or(|address: SocketAddr| address.ip().is_unspecified()) {
        note(Rule::AddressNull, "0.0.0.0".to_owned());
    }
    if ["sendonly", "recvonly"].contains(&sdp.direction.as_str()) {
        note(Rule::DirectionNotUnderstood, sdp.direction.clone());
    }
    if sdp.webrtc {
        note(Rule::IceLeftOver, "candidates, ufrag or fingerprint".to_owned());
    }
}

/// The host in a header or URI: after the `@` of the URI, or after the scheme.
pub(super) fn host_of(text: &str) -> &str {
    let uri = text.split_once('<').map_or(text, |(_, rest)| rest);
    let uri = uri.split(['>', ',']).next().unwrap_or_default();
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let rest = rest.split([';', '?']).next().unwrap_or_default();
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((v6, _)) => v6,
        None => host.split(':').next().unwrap_or_default(),
    }
}

fn via_host(via: &str) -> &str {
    let sent_by = via.split_whitespace().nth(1).unwrap_or_default();
    let sent_by = sent_by.split(';').next().unwrap_or_default();
    sent_by.rsplit_once(':').map_or(sent_by, |(host, _)| host)
}
