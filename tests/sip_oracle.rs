//! Our reader against `rsip`'s, over what `rsip` accepts.
//!
//! `rsip` 0.4 knows no folding, compact forms, IPv6, `tel:` or unknown methods and cuts URI parameters at `:` and `/`;
//! the generator stays inside what both can say, so every difference is somebody's fault.

use bytes::Bytes;
use proptest::prelude::*;
use rsip::headers::{ToTypedHeader, UntypedHeader};
use rsip::message::HeadersExt;
use sidetone::sip::message::{Message, Name};

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_readers_find_the_same_in_a_request(request in request()) {
        let theirs = rsip::Request::try_from(request.text().as_bytes()).expect("the generator stays inside rsip");
        let Message::Request(ours) = read(&request.text())? else { panic!("not a request") };

        prop_assert_eq!(ours.method().as_str(), theirs.method().to_string());
        prop_assert_eq!(ours.uri().as_str(), theirs.uri().to_string());
        prop_assert_eq!(ours.uri().user(), theirs.uri().user());
        prop_assert_eq!(ours.uri().host().map(|h| h.to_string()), Some(theirs.uri().host().to_string()));
        prop_assert_eq!(ours.uri().port(), theirs.uri().port().map(|port| *port.value()));
        prop_assert_eq!(&ours.body()[..], &theirs.body()[..]);
        same_headers(ours.headers(), &theirs)?;
    }

    #[test]
    fn both_readers_find_the_same_in_a_response(response in response()) {
        let theirs = rsip::Response::try_from(response.as_bytes()).expect("the generator stays inside rsip");
        let Message::Response(ours) = read(&response)? else { panic!("not a response") };

        prop_assert_eq!(ours.status().as_u16(), theirs.status_code().code());
        prop_assert_eq!(&ours.body()[..], &theirs.body()[..]);
        same_headers(ours.headers(), &theirs)?;
    }
}

fn read(text: &str) -> Result<Message, TestCaseError> {
    Message::parse_datagram(Bytes::copy_from_slice(text.as_bytes()))
        .and_then(Message::validated)
        .map_err(|e| TestCaseError::fail(format!("{e}: {text}")))
}

fn same_headers(
    ours: &sidetone::sip::message::Headers,
    theirs: &impl HeadersExt,
) -> Result<(), TestCaseError> {
    let theirs_in_order: Vec<String> = theirs.headers().iter().map(|header| header.to_string()).collect();
    let ours_in_order: Vec<String> = ours
        .iter()
        .map(|(_, name, value)| {
            format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(&value))
        })
        .collect();
    prop_assert_eq!(ours_in_order, theirs_in_order);

    let from = theirs.from_header().unwrap().typed().unwrap();
    let our_from = ours.from().unwrap();
    prop_assert_eq!(our_from.uri.as_str(), from.uri.to_string());
    prop_assert_eq!(our_from.tag().map(|t| t.to_string()), from.tag().map(|t| t.value().to_string()));
    let display = from.display_name.as_ref().map(|name| name.trim_matches('"').to_owned());
    prop_assert_eq!(our_from.display_name().map(|n| n.to_string()), display.filter(|name| !name.is_empty()));

    let to = theirs.to_header().unwrap().typed().unwrap();
    prop_assert_eq!(ours.to().unwrap().uri.to_string(), to.uri.to_string());

    let via = theirs.via_header().unwrap().typed().unwrap();
    let our_via = ours.top_via().unwrap();
    prop_assert_eq!(our_via.transport.to_string(), via.transport.to_string());
    prop_assert_eq!(our_via.host.to_string(), via.uri.host().to_string());
    prop_assert_eq!(our_via.port, via.uri.port().map(|port| *port.value()));
    prop_assert_eq!(our_via.branch().map(|b| b.to_string()), via.branch().map(|b| b.value().to_string()));

    let cseq = theirs.cseq_header().unwrap().typed().unwrap();
    let our_cseq = ours.cseq().unwrap();
    prop_assert_eq!((our_cseq.number, our_cseq.method.to_string()), (cseq.seq, cseq.method.to_string()));
    prop_assert_eq!(ours.call_id().unwrap().to_string(), theirs.call_id_header().unwrap().value());

    let contact = theirs.contact_header().unwrap().typed().unwrap();
    prop_assert_eq!(ours.contact().unwrap().unwrap().uri.to_string(), contact.uri.to_string());
    prop_assert_eq!(ours.list(Name::Contact).count(), 1);
    Ok(())
}

#[derive(Debug, Clone)]
struct Written {
    method: String,
    uri: String,
    tail: Tail,
}

/// Everything behind the start line.
#[derive(Debug, Clone)]
struct Tail {
    via: (String, String, Option<u16>, String),
    from: (Option<String>, String, String),
    to: (String, Option<String>),
    call_id: String,
    cseq: u32,
    contact: String,
    others: Vec<(String, String)>,
    body: String,
}

impl Written {
    fn text(&self) -> String {
        format!("{} {} SIP/2.0\r\n{}", self.method, self.uri, self.tail.text(&self.method))
    }
}

impl Tail {
    fn text(&self, method: &str) -> String {
        let (transport, host, port, branch) = &self.via;
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let (name, from, tag) = &self.from;
        let name = name.as_ref().map(|name| format!("\"{name}\" ")).unwrap_or_default();
        let to_tag = self.to.1.as_ref().map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let others: String = self.others.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!(
            "Via: SIP/2.0/{transport} {host}{port};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
             From: {name}<{from}>;tag={tag}\r\nTo: <{}>{to_tag}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\n\
             Contact: <{}>\r\n{others}Content-Length: {}\r\n\r\n{}",
            self.to.0,
            self.call_id,
            self.cseq,
            self.contact,
            self.body.len(),
            self.body
        )
    }
}

fn request() -> impl Strategy<Value = Written> {
    let method = prop::sample::select(vec![
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "OPTIONS",
        "REGISTER",
        "PRACK",
        "UPDATE",
        "INFO",
        "REFER",
        "NOTIFY",
        "SUBSCRIBE",
        "MESSAGE",
        "PUBLISH",
    ]);
    (method, uri(), tail()).prop_map(|(method, uri, tail)| Written { method: method.into(), uri, tail })
}

fn response() -> impl Strategy<Value = String> {
    let status = prop::sample::select(vec![
        "100 Trying",
        "180 Ringing",
        "183 Session Progress",
        "200 OK",
        "302 Moved Temporarily",
        "404 Not Found",
        "486 Busy Here",
        "503 Service Unavailable",
        "603 Decline",
    ]);
    (status, tail()).prop_map(|(status, tail)| format!("SIP/2.0 {status}\r\n{}", tail.text("INVITE")))
}

fn tail() -> impl Strategy<Value = Tail> {
    let via = (prop::sample::select(vec!["UDP", "TCP", "TLS"]), host(), port(), "[a-zA-Z0-9]{1,20}")
        .prop_map(|(transport, host, port, branch)| (transport.to_owned(), host, port, branch));
    let display = prop::option::of("[A-Za-z][A-Za-z0-9 ]{0,15}[A-Za-z0-9]");
    let others = prop::collection::vec(
        (
            prop::sample::select(vec!["User-Agent", "X-MS-FMC", "Subject", "P-Charging", "Organization"]),
            "[a-zA-Z0-9][a-zA-Z0-9 ;,=:/._-]{0,40}[a-zA-Z0-9]",
        ),
        0..6,
    );
    let others =
        others.prop_map(|all| all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    (
        via,
        (display, uri(), "[a-zA-Z0-9.]{1,16}"),
        (uri(), prop::option::of("[a-zA-Z0-9.]{1,16}")),
        "[a-zA-Z0-9]{1,20}@[a-z]{1,10}",
        0u32..1 << 31,
        uri(),
        others,
        "[ -~]{0,60}",
    )
        .prop_map(|(via, from, to, call_id, cseq, contact, others, body)| Tail {
            via,
            from,
            to,
            call_id,
            cseq,
            contact,
            others,
            body,
        })
}

fn uri() -> impl Strategy<Value = String> {
    let params = prop::collection::vec(("[a-wyz]{3,6}", prop::option::of("[a-zA-Z0-9.-]{1,8}")), 0..4);
    (
        prop::sample::select(vec!["sip", "sips"]),
        // rsip takes a user part that is no word, like a lone dot, for a host.
        prop::option::of("[a-zA-Z0-9][a-zA-Z0-9_-]{0,11}"),
        host(),
        port(),
        params,
    )
        .prop_map(|(scheme, user, host, port, params)| {
            let user = user.map(|user| format!("{user}@")).unwrap_or_default();
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            let params: String = params
                .into_iter()
                // Names rsip gives a meaning to are written back in its own spelling.
                .map(|(name, value)| match value {
                    Some(value) => format!(";x-{name}={value}"),
                    None => format!(";x-{name}"),
                })
                .collect();
            format!("{scheme}:{user}{host}{port}{params}")
        })
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9]{0,8}(\\.[a-z]{2,6}){1,2}",
        any::<[u8; 4]>().prop_map(|ip| std::net::Ipv4Addr::from(ip).to_string()),
    ]
}

fn port() -> impl Strategy<Value = Option<u16>> {
    prop::option::of(1u16..)
}
