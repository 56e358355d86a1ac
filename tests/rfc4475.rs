//! The torture messages of RFC 4475, written anew from its descriptions, with a verdict each.
//!
//! A verdict is what reading and checking alone decide. What policy decides further on (405 for a method, 403 for a
//! registration) begins with `Accepted`; the row's last part then says what that policy must be able to read.

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use sidetone::sip::build::ResponseBuilder;
use sidetone::sip::header::Contacts;
use sidetone::sip::message::{Headers, Message, Method, Name, ParseError, Request, Response};
use sidetone::sip::offer::{Capabilities, LocalSession, OfferError, accept_answer, answer, offer};
use sidetone::sip::sdes::Protection;
use sidetone::sip::sdp::{Direction, Sdp};
use sidetone_media::codec::Codec;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Answered(u16),
    Dropped,
}

use Verdict::{Accepted, Answered, Dropped};

/// Section of RFC 4475, name of the message, verdict.
const TABLE: [(&str, &str, Verdict); 49] = [
    ("3.1.1.1", "wsinv", Accepted),
    ("3.1.1.2", "intmeth", Accepted),
    ("3.1.1.3", "esc01", Accepted),
    ("3.1.1.4", "escnull", Accepted),
    ("3.1.1.5", "esc02", Accepted),
    ("3.1.1.6", "lwsdisp", Accepted),
    ("3.1.1.7", "longreq", Accepted),
    ("3.1.1.8", "dblreq", Accepted),
    ("3.1.1.9", "semiuri", Accepted),
    ("3.1.1.10", "transports", Accepted),
    ("3.1.1.11", "mpart01", Accepted),
    ("3.1.1.12", "unreason", Accepted),
    ("3.1.1.13", "noreason", Accepted),
    ("3.1.2.1", "badinv01", Answered(400)),
    ("3.1.2.2", "clerr", Answered(400)),
    ("3.1.2.3", "ncl", Answered(400)),
    ("3.1.2.4", "scalar02", Answered(400)),
    ("3.1.2.5", "scalarlg", Dropped),
    ("3.1.2.6", "quotbal", Answered(400)),
    ("3.1.2.7", "ltgtruri", Answered(400)),
    ("3.1.2.8", "lwsruri", Answered(400)),
    ("3.1.2.9", "lwsstart", Answered(400)),
    ("3.1.2.10", "trws", Answered(400)),
    ("3.1.2.11", "escruri", Answered(400)),
    // Nobody here reads Date.
    ("3.1.2.12", "baddate", Accepted),
    ("3.1.2.13", "regbadct", Answered(400)),
    // A common slip whose sense is plain.
    ("3.1.2.14", "badaspec", Accepted),
    // Only one value is legal there, so the comma can be nothing but part of the name.
    ("3.1.2.15", "baddn", Accepted),
    ("3.1.2.16", "badvers", Answered(505)),
    ("3.1.2.17", "mismatch01", Answered(400)),
    ("3.1.2.18", "mismatch02", Answered(400)),
    ("3.1.2.19", "bigcode", Dropped),
    ("3.2.1", "badbranch", Accepted),
    ("3.3.1", "insuf", Answered(400)),
    ("3.3.2", "unkscm", Answered(416)),
    ("3.3.3", "novelsc", Answered(416)),
    ("3.3.4", "unksm2", Accepted),
    ("3.3.5", "bext01", Accepted),
    ("3.3.6", "invut", Accepted),
    ("3.3.7", "regaut01", Accepted),
    ("3.3.8", "multi01", Answered(400)),
    ("3.3.9", "mcl01", Answered(400)),
    ("3.3.10", "bcast", Accepted),
    ("3.3.11", "zeromf", Accepted),
    ("3.3.12", "cparam01", Accepted),
    ("3.3.13", "cparam02", Accepted),
    ("3.3.14", "regescrt", Accepted),
    ("3.3.15", "sdp01", Accepted),
    ("3.4.1", "inv2543", Accepted),
];

#[test]
fn every_message_gets_its_verdict() {
    for (section, name, expected) in TABLE {
        let verdict = verdict(&ours(name));
        assert_eq!(verdict, expected, "{name}, section {section}");
    }
}

/// A second set, of other authors, may lie beside the checkout; where it does, it must get the same verdicts.
#[test]
fn another_rendering_of_the_messages_gets_the_same_verdicts() {
    let Ok(folder) = std::env::var("SIDETONE_RFC4475") else { return };
    for (section, name, expected) in TABLE {
        let path = Path::new(&folder).join(format!("{name}.dat"));
        let raw = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        // That copy of `baddn` ends without an empty line, which alone is worth 400.
        let cut = !raw.windows(4).any(|w| w == b"\r\n\r\n");
        let expected = if cut { Answered(400) } else { expected };
        assert_eq!(verdict(&Bytes::from(raw)), expected, "{name}, section {section}");
    }
}

#[test]
fn every_refused_request_can_be_answered_in_wellformed_words() {
    let source: SocketAddr = "203.0.113.9:5099".parse().unwrap();
    for (_, name, expected) in TABLE {
        let Answered(status) = expected else { continue };
        let Err(ParseError::Reject(rejected)) = read(&ours(name)) else { panic!("{name}") };
        let built = ResponseBuilder::to_rejected(&rejected, source).to_tag("t").build().unwrap();
        assert_eq!(built.status().as_u16(), status, "{name}");
        assert!(!built.reason().is_empty(), "{name}");
        assert!(built.headers().get(Name::Via).is_some(), "{name}");
    }
}

#[test]
fn the_reason_names_what_is_missing() {
    let Err(ParseError::Reject(rejected)) = read(&ours("insuf")) else { panic!("insuf") };
    assert_eq!(rejected.reason, "Missing From Header");
}

#[test]
fn wsinv_reads_through_folding_and_odd_blanks() {
    let headers = headers("wsinv");
    assert_eq!(headers.to().unwrap().tag().unwrap(), "71aa02");
    let from = headers.from().unwrap();
    assert_eq!(from.display_name().unwrap(), r#"A. Turing \""#);
    assert_eq!(from.tag().unwrap(), "enig42");
    assert_eq!(headers.max_forwards(), Ok(Some(31)));
    let cseq = headers.cseq().unwrap();
    assert_eq!((cseq.number, cseq.method), (77, Method::Invite));
    let vias: Vec<_> = headers.vias().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(vias.len(), 3);
    assert!(vias[0].starts_with("SIP/2.0/UDP 198.51.100.2"), "{vias:?}");
    assert_eq!(headers.vias().unwrap()[2].branch().unwrap(), "z9hG4bKown2");
    assert_eq!(headers.top_via().unwrap().transaction_branch(), None);
    assert!(headers.routes().unwrap()[0].uri.is_loose_router());
    assert_eq!(headers.get_named("brandnewthing").unwrap(), "one value carried on over here");
    assert_eq!(headers.get(Name::Subject).unwrap(), "");
    let contact = headers.contact().unwrap().unwrap();
    assert_eq!(contact.params.value("fresh").unwrap(), "thing");
    assert_eq!(contact.params.value("q").unwrap(), "0.75");
}

#[test]
fn intmeth_keeps_every_strange_octet() {
    let request = request("intmeth");
    assert_eq!(request.method().as_str(), "Strange.Verb_9-*+`%~'");
    assert_eq!(request.uri().user(), Some("who's.there(!)~*&=+$,;?/"));
    assert_eq!(request.uri().password(), Some("pa&ss=w+or$d,!"));
    assert_eq!(request.headers().to().unwrap().display_name().unwrap(), "BEL \x07 NUL \0 DEL \x7f");
    assert_eq!(request.headers().from().unwrap().params.value("odd'~+*_!.-%").unwrap(), "подпись");
}

#[test]
fn escapes_are_neither_undone_too_early_nor_in_the_wrong_place() {
    let esc01 = request("esc01");
    assert_eq!(esc01.uri().host().unwrap().to_string(), "example.net");
    assert_eq!(esc01.uri().user_unescaped().unwrap(), "sips:grace@example.org");
    let Contacts::List(nulls) = headers("escnull").contacts().unwrap() else { panic!("star") };
    assert!(!nulls[0].uri.equivalent(&nulls[1].uri));
    let esc02 = request("esc02");
    assert_eq!(esc02.method().as_str(), "IN%56ITE%20");
    assert_eq!(esc02.headers().all(Name::Contact).count(), 2);
}

#[test]
fn dblreq_is_one_request_and_mpart01_keeps_its_octets() {
    let Message::Request(first) = read(&ours("dblreq")).unwrap() else { panic!("response") };
    assert_eq!((first.method(), first.body().len()), (&Method::Register, 0));
    let mail = request("mpart01");
    let binary: Vec<u8> = (0..180u32).map(|i| ((7 * i + 13) % 256) as u8).collect();
    assert!(mail.body().windows(180).any(|w| w == binary));
    assert_eq!(mail.headers().content_type().unwrap().unwrap().params.value("boundary").unwrap(), "cut9");
}

#[test]
fn long_values_and_many_hops_are_not_cut() {
    let headers = headers("longreq");
    assert_eq!(headers.vias().unwrap().len(), 34);
    assert_eq!(headers.from().unwrap().tag().unwrap().len(), 200);
    assert_eq!(headers.to().unwrap().uri.params().count(), 3);
}

#[test]
fn semicolons_belong_to_the_user_and_unknown_transports_to_their_hop() {
    assert_eq!(request("semiuri").uri().user(), Some("grace;line=a%40example.net"));
    let transports: Vec<_> =
        headers("transports").vias().unwrap().iter().map(|via| via.transport.to_string()).collect();
    assert_eq!(transports, ["UDP", "SCTP", "TLS", "PIGEON", "TCP"]);
}

#[test]
fn reason_phrases_may_be_foreign_or_absent() {
    assert_eq!(response("unreason").reason(), "= 3**2 + 4**2 пять в квадрате");
    assert_eq!(response("noreason").reason(), "");
}

#[test]
fn a_bare_magic_cookie_identifies_no_transaction() {
    assert_eq!(headers("badbranch").top_via().unwrap().transaction_branch(), None);
}

#[test]
fn what_later_policy_needs_is_readable() {
    assert_eq!(headers("bext01").tokens(Name::Require).unwrap(), ["noSuchThing", "norThisOne"]);
    assert!(!headers("invut").content_type().unwrap().unwrap().is_sdp());
    let scheme = headers("regaut01").auth(Name::Authorization).unwrap();
    assert!(!scheme[0].is_digest());
    assert_eq!(headers("zeromf").max_forwards(), Ok(Some(0)));
    let contact = |name: &str| headers(name).contact().unwrap().unwrap();
    assert!(contact("cparam01").params.has("mystery") && !contact("cparam02").params.has("mystery"));
    assert_eq!(contact("cparam02").uri.param("mystery"), Some(None));
    assert_eq!(
        contact("regescrt").uri.headers().next(),
        Some(("Route".into(), "<sip:relay.example.org>".into()))
    );
    assert_eq!(headers("sdp01").get(Name::Accept).unwrap(), "text/nobody-reads-this");
    assert_eq!(headers("inv2543").from().unwrap().tag(), None);
}

#[test]
fn a_description_cannot_aim_our_packets_at_everybody() {
    let capabilities = Capabilities {
        codecs: vec![Codec::Pcma],
        telephone_event: None,
        comfort_noise: false,
        ptime: 20,
        rtp: "192.0.2.1:4000".parse().unwrap(),
        rtcp_mux: false,
        protection: Protection::Never,
        direction: Direction::SendRecv,
    };
    let offered = offer(&capabilities, &mut LocalSession::new(1));
    let aimed = Sdp::parse(response("bcast").body()).unwrap();
    assert_eq!(accept_answer(&offered, &aimed), Err(OfferError::Address));
    let usual = Sdp::parse(request("baddate").body()).unwrap();
    assert!(answer(&usual, &capabilities, None, &mut LocalSession::new(1)).is_ok());
}

fn ours(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/rfc4475/{name}.dat"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).into()
}

fn read(raw: &Bytes) -> Result<Message, ParseError> {
    Message::parse_datagram(raw.clone())?.validated()
}

fn verdict(raw: &Bytes) -> Verdict {
    match read(raw) {
        Ok(_) => Accepted,
        Err(ParseError::Reject(rejected)) => Answered(rejected.status.as_u16()),
        Err(ParseError::Drop(_)) => Dropped,
    }
}

fn request(name: &str) -> Request {
    match read(&ours(name)) {
        Ok(Message::Request(request)) => request,
        other => panic!("{name}: {other:?}"),
    }
}

fn response(name: &str) -> Response {
    match read(&ours(name)) {
        Ok(Message::Response(response)) => response,
        other => panic!("{name}: {other:?}"),
    }
}

fn headers(name: &str) -> Headers {
    read(&ours(name)).unwrap_or_else(|e| panic!("{name}: {e}")).headers().clone()
}
