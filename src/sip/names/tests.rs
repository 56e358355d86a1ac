//! Names and addresses in virtual time, and the order of servers.

use super::*;

fn arc(text: &str) -> Arc<str> {
    text.into()
}

fn question(name: &str, kind: Kind) -> Question {
    Question { name: arc(name), kind }
}

fn srv(priority: u16, weight: u16, target: &str) -> Record {
    Record::Srv { priority, weight, port: 5070, target: arc(target) }
}

fn naptr(order: u16, preference: u16, service: &str, replacement: &str) -> Record {
    Record::Naptr { order, preference, service: service.into(), replacement: arc(replacement) }
}

fn ip(text: &str) -> Record {
    Record::Ip(text.parse().unwrap())
}

fn settings(servers: &[SocketAddr], overrides: &[(&str, &str)]) -> Dns {
    let overrides = overrides.iter().map(|(name, ip)| (arc(name), vec![ip.parse().unwrap()]));
    Dns {
        servers: servers.to_vec(),
        timeout: Duration::from_secs(3),
        stale_max: Duration::from_secs(86_400),
        overrides: overrides.collect(),
    }
}

fn table(overrides: &[(&str, &str)]) -> Names {
    Names::new(&settings(&[], overrides))
}

fn place(host: &str, port: Option<u16>, transport: Option<Transport>) -> Place {
    Place { host: arc(host), port, transport }
}

/// A table that was told all this for a minute, and that nothing else exists.
fn told(now: Instant, places: &[Place], said: &[(&str, Kind, Vec<Record>)]) -> Names {
    let mut names = table(&[]);
    loop {
        let open = names.open(now, places);
        if open.is_empty() {
            return names;
        }
        for question in open {
            let records =
                said.iter().find(|(name, kind, _)| *name == &*question.name && *kind == question.kind);
            let records = records.map(|(_, _, records)| records.clone()).unwrap_or_default();
            names.learn(now, question, Heard::Records(records, Duration::from_secs(60)));
        }
    }
}

fn found(names: &Names, place: &Place) -> Vec<String> {
    found_at(Instant::now(), names, place)
}

fn found_at(now: Instant, names: &Names, place: &Place) -> Vec<String> {
    let found = names.find(now, place, &mut Random::new([1; 32]));
    found.iter().map(|found| format!("{} {}", found.transport.name(), found.at)).collect()
}

#[test]
fn a_name_with_a_port_is_asked_for_addresses_only() {
    let now = Instant::now();
    let at = place("sbc.example.net", Some(5080), None);
    let said = [
        ("sbc.example.net", Kind::A, vec![ip("192.0.2.1"), ip("192.0.2.2")]),
        ("sbc.example.net", Kind::Aaaa, vec![ip("2001:db8::1")]),
        ("_sip._udp.sbc.example.net", Kind::Srv, vec![srv(1, 1, "elsewhere.example.net")]),
    ];
    let names = told(now, std::slice::from_ref(&at), &said);
    assert_eq!(found(&names, &at), ["UDP 192.0.2.1:5080", "UDP 192.0.2.2:5080", "UDP [2001:db8::1]:5080"]);
}

#[test]
fn a_name_with_a_transport_is_asked_for_that_service_and_without_one_for_itself() {
    let now = Instant::now();
    let at = place("example.net", None, Some(Transport::Tcp));
    let a = ("a.example.net", Kind::A, vec![ip("192.0.2.1")]);
    let host = ("example.net", Kind::A, vec![ip("192.0.2.9")]);
    let service = ("_sip._tcp.example.net", Kind::Srv, vec![srv(1, 1, "a.example.net")]);
    let with = told(now, std::slice::from_ref(&at), &[a.clone(), host.clone(), service]);
    assert_eq!(found(&with, &at), ["TCP 192.0.2.1:5070"]);
    let without = told(now, std::slice::from_ref(&at), &[a.clone(), host.clone()]);
    assert_eq!(found(&without, &at), ["TCP 192.0.2.9:5060"]);
    // RFC 2782: a lone "." says that the service is decidedly not there.
    let closed = ("_sip._tcp.example.net", Kind::Srv, vec![srv(0, 0, "")]);
    let closed = told(now, std::slice::from_ref(&at), &[a, host, closed]);
    assert!(found(&closed, &at).is_empty());
}

#[test]
fn a_bare_name_is_asked_what_it_speaks_in_the_order_it_prefers() {
    let now = Instant::now();
    let at = place("example.net", None, None);
    let said = [
        (
            "example.net",
            Kind::Naptr,
            vec![
                naptr(20, 1, "SIP+D2U", "_sip._udp.example.net"),
                naptr(10, 2, "SIP+D2T", "_sip._tcp.example.net"),
                naptr(10, 1, "SIP+D2W", "_sip._ws.example.net"),
            ],
        ),
        ("_sip._udp.example.net", Kind::Srv, vec![srv(1, 1, "u.example.net")]),
        ("_sip._tcp.example.net", Kind::Srv, vec![srv(1, 1, "t.example.net")]),
        ("u.example.net", Kind::A, vec![ip("192.0.2.1")]),
        ("t.example.net", Kind::A, vec![ip("192.0.2.2")]),
    ];
    let names = told(now, std::slice::from_ref(&at), &said);
    assert_eq!(found(&names, &at), ["TCP 192.0.2.2:5070", "UDP 192.0.2.1:5070"]);
    // Without NAPTR the services are looked for; without any the host itself answers.
    let names = told(now, std::slice::from_ref(&at), &said[1..]);
    assert_eq!(found(&names, &at), ["UDP 192.0.2.1:5070", "TCP 192.0.2.2:5070"]);
    let names = told(now, std::slice::from_ref(&at), &[("example.net", Kind::A, vec![ip("192.0.2.3")])]);
    assert_eq!(found(&names, &at), ["UDP 192.0.2.3:5060"]);
}

#[test]
fn priorities_are_kept_and_weights_are_shares() {
    let records = [srv(10, 60, "a"), srv(10, 20, "b"), srv(10, 0, "z"), srv(20, 0, "last")];
    let mut random = Random::new([9; 32]);
    let mut first = HashMap::new();
    for _ in 0..8000 {
        let order = in_order(&records, Some(&mut random));
        assert_eq!(&*order[3].0, "last");
        *first.entry(order[0].0.clone()).or_insert(0) += 1;
    }
    let share = |name: &str| first.get(name).copied().unwrap_or(0);
    assert!((5500..6300).contains(&share("a")), "{first:?}");
    assert!((1700..2400).contains(&share("b")), "{first:?}");
    // One in 81: not none.
    assert!((50..180).contains(&share("z")), "{first:?}");
}

#[test]
fn an_answer_is_good_for_its_time_to_live_and_an_old_one_serves_while_nobody_answers() {
    let start = Instant::now();
    let at = place("sbc.example.net", Some(5060), None);
    let asked = std::slice::from_ref(&at);
    let mut names = told(start, asked, &[("sbc.example.net", Kind::A, vec![ip("192.0.2.1")])]);
    assert!(names.open(start + Duration::from_secs(29), asked).is_empty());
    // That it has no AAAA is believed for half as long as the record it has.
    let later = start + Duration::from_secs(31);
    assert_eq!(names.open(later, asked), [question("sbc.example.net", Kind::Aaaa)]);

    let later = start + Duration::from_secs(61);
    assert_eq!(names.open(later, asked).len(), 2);
    names.learn(later, question("sbc.example.net", Kind::A), Heard::Failed);
    names.learn(later, question("sbc.example.net", Kind::Aaaa), Heard::Failed);
    assert_eq!(found(&names, &at), ["UDP 192.0.2.1:5060"], "old, and better than none");
    assert!(names.open(later + Duration::from_secs(29), asked).is_empty(), "a dead server is not hammered");

    let day = Duration::from_secs(60 + 86_400);
    assert!(!found_at(start + day - Duration::from_secs(1), &names, &at).is_empty());
    assert!(found_at(start + day, &names, &at).is_empty(), "so old that it leads to a stranger");

    let much_later = later + Duration::from_secs(30);
    for kind in [Kind::A, Kind::Aaaa] {
        let nothing = Heard::Records(Vec::new(), Duration::ZERO);
        names.learn(much_later, question("sbc.example.net", kind), nothing);
    }
    assert!(found(&names, &at).is_empty(), "a server that says there is no such name is believed");
    assert_eq!(names.next(asked), Some(much_later + TTL_MIN));
}

#[test]
fn a_doubted_name_is_asked_for_at_once_and_serves_meanwhile() {
    let now = Instant::now();
    let at = place("example.net", None, Some(Transport::Udp));
    let said = [
        ("_sip._udp.example.net", Kind::Srv, vec![srv(1, 1, "a.example.net")]),
        ("a.example.net", Kind::A, vec![ip("192.0.2.1")]),
    ];
    let asked = std::slice::from_ref(&at);
    let mut names = told(now, asked, &said);
    assert!(names.open(now, asked).is_empty());
    names.doubt(now, "example.net");
    let open = names.open(now, asked);
    assert!(open.contains(&question("_sip._udp.example.net", Kind::Srv)));
    assert!(open.contains(&question("a.example.net", Kind::A)));
    assert_eq!(found(&names, &at), ["UDP 192.0.2.1:5070"]);
}

#[test]
fn what_the_configuration_says_of_a_name_is_asked_of_nobody() {
    let names = table(&[("sip.example.net", "127.0.0.1"), ("sip2.example.net", "2001:db8::2")]);
    let places = [
        place("sip.example.net", Some(5061), Some(Transport::Tcp)),
        place("sip2.example.net", Some(5061), Some(Transport::Tcp)),
        place("sip2.example.net", None, None),
    ];
    assert!(names.open(Instant::now(), &places).is_empty());
    let all: Vec<_> = places.iter().flat_map(|place| found(&names, place)).collect();
    assert_eq!(all, ["TCP 127.0.0.1:5061", "TCP [2001:db8::2]:5061", "UDP [2001:db8::2]:5060"]);
}

#[test]
fn what_nobody_needs_is_forgotten_and_the_table_is_bounded() {
    let now = Instant::now();
    let at = place("a.example.net", Some(5060), None);
    let mut names =
        told(now, std::slice::from_ref(&at), &[("a.example.net", Kind::A, vec![ip("192.0.2.1")])]);
    for i in 0..MAX_ANSWERS + 10 {
        names.learn(now, question(&format!("{i}.example.org"), Kind::A), Heard::Failed);
    }
    assert_eq!(names.answers.len(), MAX_ANSWERS);
    names.keep_only(std::slice::from_ref(&at));
    assert_eq!(names.answers.len(), 2);
    let many = (0..255).map(|i| ip(&format!("192.0.2.{i}"))).collect();
    names.learn(now, question("a.example.net", Kind::A), Heard::Records(many, Duration::from_secs(60)));
    assert_eq!(found(&names, &at).len(), MAX_FOUND);
}

/// On real sockets, against a name server of the test's own.
mod on_the_wire {
    use arc_swap::ArcSwap;
    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, NAPTR, SRV};
    use hickory_resolver::proto::rr::{Name, RData, Record as Wire, RecordType};
    use tokio::net::UdpSocket;
    use tokio::sync::watch;

    use super::super::ask::{Asker, refresh};
    use super::*;

    const ZONE: &[(&str, RecordType)] = &[
        ("example.net.", RecordType::NAPTR),
        ("_sip._udp.example.net.", RecordType::SRV),
        ("a.example.net.", RecordType::A),
        ("b.example.net.", RecordType::A),
    ];

    fn data(name: &str, kind: RecordType) -> Vec<RData> {
        let dns = |text: &str| Name::from_ascii(text).unwrap();
        match (name, kind) {
            ("example.net.", RecordType::NAPTR) => {
                let none = || Vec::new().into_boxed_slice();
                let (flags, service) = (b"s".to_vec().into(), b"SIP+D2U".to_vec().into());
                let next = dns("_sip._udp.example.net.");
                vec![RData::NAPTR(NAPTR::new(1, 1, flags, service, none(), next))]
            }
            ("_sip._udp.example.net.", _) => vec![
                RData::SRV(SRV::new(20, 1, 5072, dns("B.example.net."))),
                RData::SRV(SRV::new(10, 1, 5071, dns("a.example.net."))),
            ],
            ("a.example.net.", _) => vec![RData::A(A::new(192, 0, 2, 1))],
            _ => vec![RData::A(A::new(192, 0, 2, 2))],
        }
    }

    /// Answers from the zone while `well`, and with SERVFAIL when not.
    async fn name_server(socket: UdpSocket, well: watch::Receiver<bool>) {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let question = Message::from_vec(&buffer[..length]).unwrap();
            let query = question.queries[0].clone();
            let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
            answer.add_query(query.clone());
            let name = query.name().to_ascii().to_ascii_lowercase();
            if !*well.borrow() {
                answer.metadata.response_code = ResponseCode::ServFail;
            } else if ZONE.contains(&(&name, query.query_type())) {
                for data in data(&name, query.query_type()) {
                    answer.add_answer(Wire::from_rdata(query.name().clone(), 1, data));
                }
            }
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_domain_is_followed_to_its_addresses_and_they_outlive_the_server() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let (wellness, well) = watch::channel(true);
        let server = tokio::spawn(name_server(socket, well));
        let places = [place("example.net", None, None)];
        let names = ArcSwap::from_pointee(table(&[]));
        let asker = Asker::new(&settings(&[at], &[]));

        let next = refresh(&places, &names, &asker).await;
        let known = found(&names.load(), &places[0]);
        assert_eq!(known, ["UDP 192.0.2.1:5071", "UDP 192.0.2.2:5072"]);
        assert!(next.is_some());

        wellness.send_replace(false);
        let mut doubted = Names::clone(&names.load());
        doubted.doubt(Instant::now(), "example.net");
        names.store(Arc::new(doubted));
        refresh(&places, &names, &asker).await;
        assert_eq!(found(&names.load(), &places[0]), known, "the server is ill, its last word stands");
        server.abort();
    }
}
