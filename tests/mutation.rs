//! Every reader of the SIP door, and those of browsers' descriptions, against octets gone wrong: no panic, bounded work, and what was read writes back.
//!
//! Seeded and repeatable. A failure prints the round; the same round gives the same octets again.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sidetone::rtc::dtls::Identity;
use sidetone::rtc::ice::{Credentials, PATHS_MAX};
use sidetone::rtc::sdp::{Answer, Fragment, Here, OFFER_BYTES_MAX, Offer, SOURCES_MAX, Way};
use sidetone::sip::build::ResponseBuilder;
use sidetone::sip::digest::{Algorithm, Challenge, Ha1, Server};
use sidetone::sip::frame::{Framed, Framer};
use sidetone::sip::header::{AuthValue, Contacts, Method, NameAddr, Params, Replaces, Via, split_list};
use sidetone::sip::message::{Headers, MAX_MESSAGE_BYTES, MAX_VIAS, Message, Name, ParseError};
use sidetone::sip::offer::{Capabilities, LocalSession, accept_answer, answer, offer};
use sidetone::sip::sdes::{Crypto, OwnKeys, Protection};
use sidetone::sip::sdp::{Direction, Sdp};
use sidetone::sip::uri::Uri;
use sidetone_media::codec::Codec;
use sidetone_media::srtp::{MAX_RTCP_TRAILER_BYTES, MasterKey, Open, Seal, Suite};

/// Mutations per test; a few seconds for all of them on one slow core.
const ROUNDS: u64 = 30_000;
/// No reader may need longer for one message, however hostile; thousands of times what a usual one takes.
const LONGEST: Duration = Duration::from_secs(2);

#[test]
fn messages_gone_wrong_are_read_or_refused() {
    let seeds = messages();
    each_round(&seeds, |raw| {
        for read in [Message::parse_datagram, Message::parse_stream] {
            match read(raw.clone()).and_then(Message::validated) {
                Ok(message) => read_everything(&message),
                Err(ParseError::Reject(rejected)) => {
                    assert_ne!(rejected.method, Method::Ack);
                    let answer = ResponseBuilder::to_rejected(&rejected, "192.0.2.1:5060".parse().unwrap());
                    let answer = answer.to_tag("t").build();
                    // The only thing that may stand in the way is size: the answer repeats what the request held.
                    assert!(answer.is_ok() || raw.len() > MAX_MESSAGE_BYTES / 2, "{answer:?}");
                    read_all_headers(&rejected.headers);
                }
                Err(ParseError::Drop(_)) => {}
            }
        }
    });
}

#[test]
fn streams_gone_wrong_lose_no_octet_and_hold_no_more_than_their_limit() {
    let seeds = messages();
    let mut random = Random(7);
    each_round(&seeds, |raw| {
        let stream = [&raw[..], &seeds[random.below(seeds.len())], b"\r\n\r\n", raw].concat();
        let mut framer = Framer::new();
        let (mut octets, mut broken, mut at) = (0, false, 0);
        while at < stream.len() {
            let end = (at + 1 + random.below(700)).min(stream.len());
            framer.push(&stream[at..end]);
            at = end;
            while let Some(framed) = framer.next() {
                assert!(!broken, "nothing may follow a broken frame");
                octets += match framed {
                    Framed::Message(message) => {
                        assert!(message.len() <= MAX_MESSAGE_BYTES);
                        let _ = Message::parse_stream(message.clone());
                        message.len()
                    }
                    Framed::Ping | Framed::Pong => 2,
                    Framed::Broken { head, .. } => {
                        broken = true;
                        head.len()
                    }
                };
            }
        }
        assert!(octets <= stream.len());
    });
}

#[test]
fn uris_gone_wrong_come_back_octet_by_octet() {
    let seeds = texts(&[
        "sip:alice:pw@[2001:db8::1]:5061;transport=tls;lr;x-m=8:orgid:aa/1?Subject=a%20b&Priority=urgent",
        "sips:%00%zz@example.com;user=phone",
        "tel:+1-(555)-0100;phone-context=example.com;ext=12",
        "urn:service:sos",
    ]);
    each_round(&seeds, |raw| {
        let Ok(uri) = Uri::parse(raw.clone()) else { return };
        assert_eq!(uri.as_str().as_bytes(), &raw[..]);
        assert!(uri.equivalent(&uri), "{uri}");
        assert_eq!(uri.to_string().parse::<Uri>().as_ref(), Ok(&uri));
        let _ = (uri.user_unescaped(), uri.host(), uri.headers().count(), uri.params().count());
        assert_eq!(uri.without_headers().headers_part(), None);
        if uri.is_sip()
            && let Ok(more) = uri.with_param("added\r\n", Some("a;b\r\nc"))
        {
            assert!(more.param("added%0D%0A").is_some(), "{more}");
        }
    });
}

#[test]
fn header_values_gone_wrong_write_back_what_was_read() {
    let seeds = texts(&[
        "\"A. G. \\\"Bell\\\"\" <sip:a.g.bell@bell-tel.com;x=y>;tag=a48s;q=\"0.7,1\"",
        "M\u{fc}ller<sip:m@example.com>;expires=60",
        "sip:+12125551212@server.phone2net.com;tag=887s",
        "SIP / 2.0 / UDP [2001:db8::9:1]:5060 ;branch=z9hG4bK87a;received=192.0.2.1;rport=9;ttl=1, SIP/2.0/TLS a",
        "425928@bobster.example.org;to-tag=7743;from-tag=6472;early-only",
        ";a=b;c;d=\"e\\\"f\";g = h",
    ]);
    each_round(&seeds, |raw| {
        for piece in split_list(raw) {
            if let Ok(address) = NameAddr::parse(piece.clone()) {
                let again = NameAddr::parse(address.to_bytes()).unwrap_or_else(|e| panic!("{address}: {e}"));
                assert_eq!(again, address);
                let _ = (address.display_name(), address.tag());
            }
            if let Ok(via) = Via::parse(piece.clone()) {
                let seen = via.seen_from("198.51.100.1:7".parse().unwrap());
                let written = seen.to_string();
                // A Latin-1 value inside quotes is replaced on the way out; it still must read.
                let again =
                    Via::parse(Bytes::from(written.clone())).unwrap_or_else(|e| panic!("{written}: {e}"));
                assert_eq!((again.host, again.port), (seen.host, seen.port));
                let _ = (via.branch(), via.received(), via.rport(), via.maddr(), via.transaction_branch());
            }
            if let Ok(replaces) = Replaces::parse(piece.clone()) {
                assert!(!replaces.call_id.is_empty());
            }
        }
        if let Ok(params) = Params::parse(raw.clone()) {
            let names: Vec<_> = params.iter().map(|(name, _)| name.to_owned()).collect();
            assert!(names.iter().all(|name| params.has(name) && !params.without(name).has(name)));
        }
    });
}

#[test]
fn descriptions_gone_wrong_write_back_what_was_read() {
    let teams = Message::parse_datagram(teams_invite()).unwrap();
    let mut seeds = texts(&[
        "v=0\r\no=- 1 2 IN IP6 ::1\r\ns=-\r\nc=IN IP6 ::1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 9 8 0 13 101\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=rtcp:4001 IN IP6 ::1\r\na=sendonly\r\n",
        "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/SAVP 0\r\n\
         a=crypto:0 AES_CM_128_HMAC_SHA1_32 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^31\r\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^31\r\n",
        "v=0\no=a 1 1 IN IP4 0.0.0.0\nc=IN IP4 0.0.0.0\nm=audio 1 RTP/AVP 0\nm=video 0 RTP/AVP 31\n",
    ]);
    seeds.push(teams.body().clone());
    let capabilities = Capabilities {
        codecs: Codec::ALL.to_vec(),
        telephone_event: Some(101),
        comfort_noise: true,
        ptime: 20,
        rtp: "192.0.2.1:4000".parse().unwrap(),
        protection: Protection::IfWanted(OwnKeys::new([1; 32], Suite::ALL.to_vec())),
        rtcp_mux: true,
        direction: Direction::SendRecv,
    };
    let offered = offer(&capabilities, &mut LocalSession::new(1));
    each_round(&seeds, |raw| {
        let Ok(sdp) = Sdp::parse(raw) else { return };
        let written = sdp.to_string();
        let again = Sdp::parse(written.as_bytes()).unwrap_or_else(|e| panic!("{written}: {e}"));
        assert_eq!(again.media.len(), sdp.media.len(), "{written}");
        let _ = accept_answer(&offered, &sdp);
        let mut session = LocalSession::new(2);
        if let Ok((said, agreed)) = answer(&sdp, &capabilities, None, &mut session) {
            assert_eq!(said.media.len(), sdp.media.len());
            assert_eq!(said.media.iter().filter(|m| m.port != 0).count(), 1);
            assert!(agreed.remote_rtp.is_some() || !agreed.direction.sends());
            let accepted = said.media.iter().find(|m| m.port != 0).is_some_and(|m| m.cryptos().count() == 1);
            assert_eq!(agreed.keys.is_some(), accepted, "{said}");
            assert!(Sdp::parse(&said.to_bytes()).is_ok(), "{said}");
            let later = offer(&capabilities, &mut session);
            assert_eq!(later.media.len(), sdp.media.len());
        }
    });
}

#[test]
fn keys_gone_wrong_are_refused_or_a_key_of_the_right_length() {
    let seeds = texts(&[
        "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 FEC_ORDER=FEC_SRTP",
        "0 AES_CM_128_HMAC_SHA1_32 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|1048576 WSH=64 -x=1",
        "2 AEAD_AES_128_GCM inline:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYg==|2^31",
    ]);
    each_round(&seeds, |raw| {
        let Ok(text) = std::str::from_utf8(raw) else { return };
        if let Ok(crypto) = Crypto::parse(text) {
            assert_eq!(crypto.key.keying().len(), crypto.key.suite().keying_bytes());
            assert!(crypto.key.keying()[..16].iter().any(|octet| *octet != 0));
        }
    });
}

#[test]
fn offers_of_browsers_gone_wrong_are_refused_or_answered() {
    let identity = Identity::new().unwrap();
    let fingerprint = identity.fingerprint();
    let ice = Credentials { ufrag: "wxyz".into(), pwd: "0123456789012345678901".into() };
    let at = Here { udp: "203.0.113.7:7000".parse().unwrap(), tcp: Some("203.0.113.8:443".parse().unwrap()) };
    let seeds = texts(&[
        &format!(
            "v=0\r\no=- 4611 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
             m=audio 61000 UDP/TLS/RTP/SAVPF 111 9 0 110\r\nc=IN IP4 192.0.2.5\r\n\
             a=candidate:1 1 udp 2122260223 192.0.2.5 61000 typ host\r\na=ice-ufrag:abcd\r\n\
             a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:{fingerprint}\r\na=setup:actpass\r\na=mid:0\r\n\
             a=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
             a=rtpmap:110 telephone-event/48000\r\na=ssrc:2345678901 cname:xyz\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n"
        ),
        "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
         a=candidate:1 1 udp 1 2001:db8::9 4000 typ host\r\na=end-of-candidates\r\n",
    ]);
    assert!(Offer::read(std::str::from_utf8(&seeds[0]).unwrap()).is_ok());
    let mut read = 0;
    each_round(&seeds, |raw| {
        let text = String::from_utf8_lossy(raw);
        if let Some(fragment) = Fragment::read(&text) {
            assert!(fragment.candidates.len() <= PATHS_MAX);
        }
        let Ok(offer) = Offer::read(&text) else { return };
        read += 1;
        assert!(offer.candidates.len() <= PATHS_MAX && offer.sources.len() <= SOURCES_MAX);
        let formats = &offer.formats;
        let (way, source) = (Way { ice: &ice, at }, (7, "leg_7"));
        let answer = Answer { way, fingerprint, formats, ptime_ms: 20, session: 7, source }.write(&offer);
        let sections = text.split('\n').filter(|line| line.starts_with("m=")).count();
        assert_eq!(answer.split("\r\n").filter(|line| line.starts_with("m=")).count(), sections, "{text}");
        assert!(answer.len() <= 2 * OFFER_BYTES_MAX);
    });
    assert!(read > 1000, "the mutations reach what is behind the first line: {read}");
}

#[test]
fn protected_packets_gone_wrong_are_never_opened() {
    for suite in Suite::ALL {
        let keying: Vec<u8> = (1..=suite.keying_bytes() as u8).collect();
        let key = MasterKey::new(suite, &keying).unwrap();
        let mut seal = Seal::new(&key);
        let mut sealed = |plain: &[u8], is_rtcp: bool| {
            let mut octets = plain.to_vec();
            octets.resize(plain.len() + MAX_RTCP_TRAILER_BYTES, 0);
            let seal = if is_rtcp { Seal::rtcp } else { Seal::rtp }(&mut seal, &mut octets, plain.len());
            octets.truncate(seal.unwrap());
            Bytes::from(octets)
        };
        let mut extended =
            vec![0x92, 0, 0, 2, 0, 0, 0, 9, 1, 2, 3, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0, 1];
        extended.extend([7; 40]);
        let plain = [&[0x80, 0, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4][..], &[5; 160]].concat();
        let report = [&[0x80, 201, 0, 1, 1, 2, 3, 4][..], &[0x81, 202, 0, 1, 1, 2, 3, 4]].concat();
        let seeds = vec![sealed(&plain, false), sealed(&extended, false), sealed(&report, true)];
        let mut open = Open::new(&key);
        each_round(&seeds, |raw| {
            // What a mutation left as it was, or cut back to it, may be opened; nothing else.
            let is_whole = seeds.iter().any(|seed| *seed == raw);
            let opened = open.rtp(&mut raw.to_vec()).is_ok() | open.rtcp(&mut raw.to_vec()).is_ok();
            assert!(is_whole || !opened);
        });
    }
}

#[test]
fn credentials_gone_wrong_are_never_believed() {
    let now = Instant::now();
    let mut server = Server::new("example.com", vec![Algorithm::Sha256, Algorithm::Md5], [3; 32], now);
    let challenges: Vec<Bytes> = server.challenges(now, true).into_iter().map(Bytes::from).collect();
    let parsed: Vec<_> = challenges.iter().filter_map(|c| AuthValue::parse(c.clone()).ok()).collect();
    let mut seeds = challenges;
    for _ in 0..3 {
        // A wrong password to begin with: nothing made of it may pass.
        let mut challenge = Challenge::choose(&parsed).unwrap();
        seeds.push(challenge.answer("alice", "wrong", &Method::Invite, "sip:example.com", "c"));
    }
    seeds.extend(texts(&["NoOneKnowsThisScheme opaque-data=here", "Digest ,,realm=\"example.com\",nc=\"\\"]));
    let find = |_: &str, algorithm| Some(Ha1::new(algorithm, "alice", "example.com", "right"));
    each_round(&seeds, |raw| {
        let Ok(value) = AuthValue::parse(raw.clone()) else { return };
        let values = [value];
        assert!(server.check(&values, &Method::Invite, "sip:example.com", now, find).is_err());
        if let Some(mut challenge) = Challenge::choose(&values) {
            let answer = challenge.answer("a\"\r\nb", "p", &Method::Invite, "sip:example.com", "c\r\n");
            assert!(!answer.iter().any(|b| matches!(b, b'\r' | b'\n')), "{answer:?}");
        }
    });
}

#[test]
fn hostile_repetition_costs_linear_time() {
    let head = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
        Call-ID: 1\r\nCSeq: 1 OPTIONS\r\n";
    let units = [
        ",",
        ";",
        "\"",
        "\\",
        "<",
        ">",
        ";a",
        ";a=\"",
        ",a",
        "\"\\\"",
        "\r\n ",
        " ",
        "=",
        "%",
        "<sip:a@b>,",
        "a=\"b\",",
        "(",
        "[",
    ];
    for unit in units {
        for name in
            ["Via", "Contact", "Route", "To", "Require", "Authorization", "Reason", "Supported", "X-Other"]
        {
            let filler = unit.repeat(15_000 / unit.len());
            let raw = Bytes::from(format!("{head}{name}: {filler}\r\n\r\n"));
            let started = Instant::now();
            if let Ok(message) = Message::parse_datagram(raw.clone()) {
                read_everything(&message);
                let _ = message.validated();
            }
            let _ = Sdp::parse(&raw);
            assert!(started.elapsed() < LONGEST, "{name}: {unit:?} took {:?}", started.elapsed());
        }
    }
    let crowded = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n".to_owned()
        + &format!("m=audio 1 RTP/AVP{}\r\n", " 96".repeat(200)).repeat(10)
        + &"a=rtpmap:97 X/1\r\n".repeat(400);
    let started = Instant::now();
    let sdp = Sdp::parse(crowded.as_bytes()).unwrap();
    let _ = accept_answer(&sdp, &sdp);
    assert!(started.elapsed() < LONGEST);
}

#[test]
fn one_octet_at_a_time_costs_the_framer_linear_time() {
    let stream = "a".repeat(MAX_MESSAGE_BYTES - 1);
    let mut framer = Framer::new();
    let started = Instant::now();
    for octet in stream.as_bytes().chunks(1) {
        framer.push(octet);
        assert_eq!(framer.next(), None);
    }
    assert!(started.elapsed() < LONGEST, "{:?}", started.elapsed());
}

fn read_everything(message: &Message) {
    assert!(message.body().len() <= MAX_MESSAGE_BYTES);
    let headers = message.headers();
    read_all_headers(headers);
    if let Message::Request(request) = message
        && let Ok(answer) = ResponseBuilder::new(
            request,
            sidetone::sip::message::StatusCode::RINGING,
            "192.0.2.1:5060".parse().unwrap(),
        )
        .to_tag("t")
        .record_routes(request)
        .build()
    {
        assert_eq!(answer.headers().list(Name::Via).count(), headers.list(Name::Via).count());
    }
    let _ = Sdp::parse(message.body());
}

fn read_all_headers(headers: &Headers) {
    for (_, _, value) in headers.iter() {
        assert!(!value.iter().any(|b| matches!(b, b'\r' | b'\n')), "{value:?}");
    }
    if let Ok(vias) = headers.vias() {
        assert!(vias.len() <= MAX_VIAS);
    }
    if let Ok(Contacts::List(list)) = headers.contacts() {
        let _: Vec<_> = list.iter().map(|c| (c.display_name(), c.uri.user_unescaped())).collect();
    }
    let _ = (headers.from(), headers.to(), headers.call_id(), headers.cseq(), headers.max_forwards());
    let _ = (headers.content_length(), headers.content_type(), headers.routes(), headers.record_routes());
    let _ = (
        headers.refer_to(),
        headers.referred_by(),
        headers.rseq(),
        headers.rack(),
        headers.session_expires(),
    );
    let _ =
        (headers.min_se(), headers.expires(), headers.retry_after(), headers.reasons(), headers.replaces());
    let _ = (headers.event(), headers.subscription_state(), headers.name_addrs(Name::PAssertedIdentity));
    for name in [Name::Require, Name::Supported, Name::Allow] {
        let _ = headers.tokens(name);
    }
    for name in [Name::Authorization, Name::ProxyAuthorization, Name::WwwAuthenticate] {
        if let Ok(values) = headers.auth(name) {
            let _: Vec<_> = values.iter().map(|v| (v.item("nonce"), v.count("realm"))).collect();
        }
    }
}

/// Gives `check` every seed as it is, then mutations of them.
fn each_round(seeds: &[Bytes], mut check: impl FnMut(&Bytes)) {
    seeds.iter().for_each(&mut check);
    for round in 0..ROUNDS {
        let mut random = Random(round);
        let raw = Bytes::from(mutate(seeds, &mut random));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&raw)));
        if let Err(panic) = outcome {
            eprintln!("round {round}: {:?}", String::from_utf8_lossy(&raw));
            std::panic::resume_unwind(panic);
        }
    }
}

/// One to four changes to one seed.
fn mutate(seeds: &[Bytes], random: &mut Random) -> Vec<u8> {
    const TELLING: &[u8] = b"\r\n\0\t \"\\<>;,:=@%[]()/?&#'0919\x7f\x80\xff-.";
    let mut raw = seeds[random.below(seeds.len())].to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(raw.len() + 1);
        let end = (at + random.below(24)).min(raw.len());
        match random.below(8) {
            0 => raw.truncate(at),
            1 => drop(raw.drain(at..end)),
            2 => raw.insert(at, TELLING[random.below(TELLING.len())]),
            3 if at < raw.len() => raw[at] = TELLING[random.below(TELLING.len())],
            4 if at < raw.len() => raw[at] = random.next() as u8,
            5 => {
                let piece = raw[at..end].repeat(1 + random.below(40));
                raw.splice(at..at, piece);
            }
            6 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                raw.truncate(at);
                raw.extend_from_slice(&other[from..]);
            }
            _ => {
                // A line of one seed between the lines of another.
                let other = &seeds[random.below(seeds.len())];
                let lines: Vec<&[u8]> = other.split_inclusive(|b| *b == b'\n').collect();
                let line = lines.get(random.below(lines.len().max(1))).copied().unwrap_or_default().to_vec();
                let start = raw[..at].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
                raw.splice(start..start, line);
            }
        }
    }
    raw
}

fn messages() -> Vec<Bytes> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rfc4475");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "dat"));
    paths.sort();
    let mut all: Vec<Bytes> = paths.iter().map(|path| std::fs::read(path).unwrap().into()).collect();
    assert_eq!(all.len(), 49);
    all.push(teams_invite());
    all.extend(texts(&[
        "NOTIFY sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP [::1];branch=z9hG4bK1\r\nf: <sip:a@b>;tag=1\r\nt: <sip:b@c>;tag=2\r\n\
         i: 1\r\nCSeq: 2 NOTIFY\r\no: refer;id=1\r\nSubscription-State: terminated;reason=noresource;retry-after=3\r\n\
         RAck: 1 2 INVITE\r\nRSeq: 4\r\nReason: Q.850;cause=16;text=\"a, b\", SIP;cause=200\r\nx: 90;refresher=uac\r\n\
         Replaces: 1;to-tag=a;from-tag=b\r\nRetry-After: 18000 (later);duration=3600\r\n\
         WWW-Authenticate: Digest realm=\"a\",nonce=\"b\",qop=\"auth,auth-int\",algorithm=MD5\r\nl: 14\r\n\r\nSIP/2.0 200 OK",
    ]));
    all
}

fn teams_invite() -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/teams-invite.sip");
    std::fs::read(path).unwrap().into()
}

fn texts(all: &[&str]) -> Vec<Bytes> {
    all.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect()
}

/// SplitMix64: small, and every seed is a good one.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}
