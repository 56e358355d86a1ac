//! Offers and answers, line by line.

use sidetone_media::srtp::Suite;

use super::*;

fn capabilities() -> Capabilities {
    Capabilities {
        codecs: vec![Codec::G722, Codec::Pcma, Codec::Pcmu],
        telephone_event: Some(101),
        comfort_noise: true,
        ptime: 20,
        rtp: "192.0.2.10:4000".parse().unwrap(),
        rtcp_mux: false,
        direction: Direction::SendRecv,
        protection: Protection::Never,
    }
}

fn sdp(rest: &str) -> Sdp {
    let text = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n{rest}");
    Sdp::parse(text.as_bytes()).unwrap()
}

fn answered(rest: &str) -> Result<(Sdp, NegotiatedAudio), OfferError> {
    answer(&sdp(rest), &capabilities(), None, &mut LocalSession::new(7))
}

#[test]
fn an_offer_answered_by_ourselves_agrees_on_both_sides() {
    let offered = offer(&capabilities(), &mut LocalSession::new(1));
    let other =
        Capabilities { rtp: "[::1]:5000".parse().unwrap(), telephone_event: Some(96), ..capabilities() };
    let (said, theirs) = answer(&offered, &other, Some(Codec::Pcmu), &mut LocalSession::new(2)).unwrap();
    let ours = accept_answer(&offered, &Sdp::parse(&said.to_bytes()).unwrap()).unwrap();
    assert_eq!((ours.codec, theirs.codec), (Codec::Pcmu, Codec::Pcmu));
    assert_eq!((ours.telephone_event_send, theirs.telephone_event_receive), (Some(101), Some(101)));
    assert!(ours.comfort_noise && theirs.comfort_noise);
    assert_eq!(theirs.remote_rtp, Some("192.0.2.10:4000".parse().unwrap()));
    assert_eq!(theirs.remote_rtcp, Some("192.0.2.10:4001".parse().unwrap()));
    assert_eq!(ours.remote_rtp, Some("[::1]:5000".parse().unwrap()));
}

#[test]
fn the_offerers_order_decides_unless_a_codec_is_preferred() {
    let body = "m=audio 4000 RTP/AVP 18 8 0\r\n";
    assert_eq!(answered(body).unwrap().1.codec, Codec::Pcma);
    let preferred =
        answer(&sdp(body), &capabilities(), Some(Codec::Pcmu), &mut LocalSession::new(1)).unwrap();
    assert_eq!(preferred.1.codec, Codec::Pcmu);
    let unknown = answer(&sdp(body), &capabilities(), Some(Codec::G722), &mut LocalSession::new(1)).unwrap();
    assert_eq!(unknown.1.codec, Codec::Pcma);
}

#[test]
fn payload_types_follow_each_sides_own_numbers() {
    let said = answered(
        "m=audio 4000 RTP/AVP 97 98\r\na=rtpmap:97 g722/8000\r\na=rtpmap:98 telephone-event/8000\r\n",
    );
    let agreed = said.unwrap().1;
    assert_eq!((agreed.codec, agreed.send_payload_type, agreed.receive_payload_type), (Codec::G722, 97, 97));
    assert_eq!(agreed.telephone_event_send, Some(98));

    let offered = offer(&capabilities(), &mut LocalSession::new(1));
    let reply =
        sdp("m=audio 4000 RTP/AVP 97 98\r\na=rtpmap:97 PCMA/8000\r\na=rtpmap:98 telephone-event/8000\r\n");
    let agreed = accept_answer(&offered, &reply).unwrap();
    assert_eq!((agreed.send_payload_type, agreed.receive_payload_type), (97, 8));
    assert_eq!((agreed.telephone_event_send, agreed.telephone_event_receive), (Some(98), Some(101)));
}

#[test]
fn a_static_number_remapped_to_another_codec_is_believed() {
    let said = answered("m=audio 4000 RTP/AVP 0 8\r\na=rtpmap:0 L16/44100\r\n").unwrap();
    assert_eq!(said.1.codec, Codec::Pcma);
    assert_eq!(answered("m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/16000\r\n"), Err(OfferError::NoCodec));
}

#[test]
fn every_m_line_is_answered_and_only_the_first_usable_audio_accepted() {
    let body = "m=video 5000 RTP/AVP 31\r\nm=audio 6000 RTP/SAVP 0\r\nm=audio 4000 RTP/AVP 0\r\n\
        m=audio 4002 RTP/AVP 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
    let (said, _) = answered(body).unwrap();
    let ports: Vec<_> = said.media.iter().map(|m| (m.kind.as_str(), m.port)).collect();
    assert_eq!(ports, [("video", 0), ("audio", 0), ("audio", 4000), ("audio", 0), ("application", 0)]);
    assert_eq!(said.media[4].formats, ["webrtc-datachannel"]);
}

#[test]
fn what_cannot_be_agreed_says_why() {
    for (body, why) in [
        ("", OfferError::NoAudio),
        ("m=video 4000 RTP/AVP 31\r\n", OfferError::NoAudio),
        ("m=audio 0 RTP/AVP 0\r\n", OfferError::NoAudio),
        ("m=audio 4000 RTP/SAVP 0\r\n", OfferError::Protocol),
        ("m=audio 4000 RTP/AVP 18 101\r\n", OfferError::NoCodec),
        ("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 media.example.com\r\n", OfferError::Address),
        ("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 224.2.1.1/127\r\n", OfferError::Address),
        ("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 255.255.255.255\r\n", OfferError::Address),
    ] {
        assert_eq!(answered(body), Err(why), "{body}");
        assert_eq!(why.status().as_u16(), 488);
    }
    let offered = offer(&capabilities(), &mut LocalSession::new(1));
    for (body, why) in [
        ("", OfferError::Mismatch),
        ("m=video 4000 RTP/AVP 31\r\n", OfferError::Mismatch),
        ("m=audio 0 RTP/AVP 0\r\n", OfferError::NoAudio),
        ("m=audio 4000 RTP/SAVP 0\r\n", OfferError::Protocol),
        ("m=audio 4000 RTP/AVP 18\r\n", OfferError::NoCodec),
    ] {
        assert_eq!(accept_answer(&offered, &sdp(body)), Err(why), "{body}");
    }
}

#[test]
fn holds_old_and_new_are_understood_and_answered_in_kind() {
    let cases = [
        ("a=sendonly\r\n", Direction::RecvOnly),
        ("a=recvonly\r\n", Direction::SendOnly),
        ("a=inactive\r\n", Direction::Inactive),
        ("c=IN IP4 0.0.0.0\r\n", Direction::RecvOnly),
        ("c=IN IP4 0.0.0.0\r\na=recvonly\r\n", Direction::Inactive),
        ("", Direction::SendRecv),
    ];
    for (line, ours) in cases {
        let (said, agreed) = answered(&format!("m=audio 4000 RTP/AVP 0\r\n{line}")).unwrap();
        assert_eq!(agreed.direction, ours, "{line}");
        assert_eq!(said.direction_of(&said.media[0]), ours, "{line}");
        assert_eq!(agreed.remote_rtp.is_none(), line.contains("0.0.0.0"), "{line}");
        assert_eq!(agreed.remote_rtcp.is_none(), line.contains("0.0.0.0"), "{line}");
    }
    let holding = Capabilities { direction: Direction::SendOnly, ..capabilities() };
    let offered = offer(&holding, &mut LocalSession::new(1));
    let agreed = accept_answer(&offered, &sdp("m=audio 4000 RTP/AVP 0\r\na=recvonly\r\n")).unwrap();
    assert_eq!(agreed.direction, Direction::SendOnly);
    // A peer that ignores our hold does not lift it.
    let agreed = accept_answer(&offered, &sdp("m=audio 4000 RTP/AVP 0\r\n")).unwrap();
    assert_eq!(agreed.direction, Direction::SendOnly);
}

#[test]
fn the_version_rises_with_a_change_and_only_then() {
    let mut session = LocalSession::new(41);
    let first = offer(&capabilities(), &mut session);
    let again = offer(&capabilities(), &mut session);
    assert_eq!((first.origin.version.as_str(), again.origin.version.as_str()), ("41", "41"));
    let held = offer(&Capabilities { direction: Direction::SendOnly, ..capabilities() }, &mut session);
    assert_eq!((held.origin.session.as_str(), held.origin.version.as_str()), ("41", "42"));
    let same = offer(&Capabilities { direction: Direction::SendOnly, ..capabilities() }, &mut session);
    assert_eq!(same.origin.version, "42");
    let resumed = offer(&capabilities(), &mut session);
    assert_eq!(resumed.origin.version, "43");
}

#[test]
fn a_later_offer_keeps_the_m_lines_and_the_event_number_of_the_first_agreement() {
    let mut session = LocalSession::new(1);
    let theirs =
        sdp("m=video 5000 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 0 96\r\na=rtpmap:96 telephone-event/8000\r\n");
    answer(&theirs, &capabilities(), None, &mut session).unwrap();
    let again = offer(&capabilities(), &mut session);
    let kinds: Vec<_> = again.media.iter().map(|m| (m.kind.as_str(), m.port)).collect();
    assert_eq!(kinds, [("video", 0), ("audio", 4000)]);
    assert!(again.media[1].formats.contains(&"96".to_owned()), "{again}");
    let reply = sdp("m=video 0 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 8\r\n");
    assert_eq!(accept_answer(&again, &reply).unwrap().codec, Codec::Pcma);
}

#[test]
fn rtcp_goes_to_its_own_port_the_stated_one_or_the_shared_one() {
    let rtcp = |lines: &str| answered(&format!("m=audio 4000 RTP/AVP 0\r\n{lines}")).unwrap().1.remote_rtcp;
    let at = |text: &str| Some(text.parse::<SocketAddr>().unwrap());
    assert_eq!(rtcp(""), at("192.0.2.20:4001"));
    assert_eq!(rtcp("a=rtcp:4999\r\n"), at("192.0.2.20:4999"));
    assert_eq!(rtcp("a=rtcp:4999 IN IP4 192.0.2.21\r\n"), at("192.0.2.21:4999"));
    assert_eq!(rtcp("a=rtcp:4999 IN IP4 255.255.255.255\r\n"), None);
    assert_eq!(rtcp("a=rtcp-mux\r\n"), at("192.0.2.20:4001"), "we did not agree to share");
    let sharing = Capabilities { rtcp_mux: true, ..capabilities() };
    let (said, agreed) =
        answer(&sdp("m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\n"), &sharing, None, &mut LocalSession::new(1))
            .unwrap();
    assert!(said.media[0].rtcp_mux() && agreed.rtcp_mux);
    assert_eq!(agreed.remote_rtcp, at("192.0.2.20:4000"));
    assert_eq!(answered("m=audio 65535 RTP/AVP 0\r\n").unwrap().1.remote_rtcp, None);
}

fn protected(how: fn(OwnKeys) -> Protection) -> Capabilities {
    let suites = vec![Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32];
    Capabilities { protection: how(OwnKeys::new([3; 32], suites)), ..capabilities() }
}

const KEYED: &str = "m=audio 4000 RTP/SAVP 0\r\na=crypto:5 AES_CM_128_HMAC_SHA1_80 \
    inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^31\r\n";

#[test]
fn protection_is_offered_answered_and_agreed_with_a_key_for_each_direction() {
    let us = protected(Protection::Always);
    let them = Capabilities {
        rtp: "[::1]:5000".parse().unwrap(),
        protection: Protection::IfWanted(OwnKeys::new([4; 32], vec![Suite::AesCm128HmacSha1_80])),
        ..capabilities()
    };
    let (mut session, mut their_session) = (LocalSession::new(1), LocalSession::new(2));
    let offered = offer(&us, &mut session);
    assert_eq!(offered.media[0].protocol, "RTP/SAVP");
    assert_eq!(offered.media.len(), 1, "never plain and protected beside each other");
    let (said, theirs) = answer(&offered, &them, None, &mut their_session).unwrap();
    let ours = accept_answer(&offered, &Sdp::parse(&said.to_bytes()).unwrap()).unwrap();
    let (ours, theirs) = (ours.keys.unwrap(), theirs.keys.unwrap());
    assert!(ours.ours == theirs.theirs && ours.theirs == theirs.ours && ours.ours != ours.theirs);
    // A later offer keeps key and version; the other side offers protection now, too.
    let again = offer(&us, &mut session);
    assert_eq!(again, offered);
    let back = offer(&them, &mut their_session);
    assert_eq!((back.media[0].protocol.as_str(), back.media[0].cryptos().count()), ("RTP/SAVP", 1));
}

#[test]
fn who_requires_protection_takes_no_other_and_who_has_none_takes_no_key() {
    let answered =
        |body: &str, ours: &Capabilities| answer(&sdp(body), ours, None, &mut LocalSession::new(7));
    let plain = "m=audio 4000 RTP/AVP 0\r\n";
    let always = protected(Protection::Always);
    assert_eq!(answered(plain, &always).map(|_| ()), Err(OfferError::Protocol));
    assert_eq!(answered(KEYED, &capabilities()).map(|_| ()), Err(OfferError::Protocol));
    let (said, agreed) = answered(KEYED, &always).unwrap();
    assert!(agreed.keys.is_some() && said.media[0].cryptos().next().unwrap().starts_with("5 AES_CM_128"));
    let if_wanted = protected(Protection::IfWanted);
    assert!(answered(plain, &if_wanted).unwrap().1.keys.is_none());
    let both = format!("{plain}{KEYED}");
    let (said, agreed) = answered(&both, &if_wanted).unwrap();
    assert!(agreed.keys.is_some(), "the protected one of two");
    assert_eq!(said.media.iter().map(|m| m.port).collect::<Vec<_>>(), [0, 4000]);
}

#[test]
fn keys_that_cannot_be_used_are_answered_488() {
    for (line, why) in [
        ("", CryptoError::Suite),
        ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n", CryptoError::Key),
        (
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n",
            CryptoError::Key,
        ),
        (
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|1:4\r\n",
            CryptoError::Mki,
        ),
    ] {
        let offer = sdp(&format!("m=audio 4000 RTP/SAVP 0\r\n{line}"));
        let refused = answer(&offer, &protected(Protection::Always), None, &mut LocalSession::new(7));
        assert_eq!(refused.map(|_| ()), Err(OfferError::Crypto(why)), "{line}");
        assert_eq!(OfferError::Crypto(why).status().as_u16(), 488);
    }
    let offered = offer(&protected(Protection::Always), &mut LocalSession::new(1));
    for body in ["m=audio 4000 RTP/SAVP 0\r\n", KEYED] {
        assert_eq!(
            accept_answer(&offered, &sdp(body)).map(|_| ()),
            Err(OfferError::Crypto(CryptoError::Suite))
        );
    }
}

#[test]
fn packet_times_stay_within_what_both_can_do() {
    for (lines, ms) in [
        ("", 20),
        ("a=ptime:30\r\n", 30),
        ("a=ptime:200\r\n", 20),
        ("a=ptime:25\r\n", 20),
        ("a=maxptime:10\r\n", 10),
        ("a=ptime:60\r\na=maxptime:40\r\n", 40),
        ("a=maxptime:5\r\n", 10),
    ] {
        let agreed = answered(&format!("m=audio 4000 RTP/AVP 0\r\n{lines}")).unwrap().1;
        assert_eq!(agreed.ptime, ms, "{lines}");
    }
}

/// RFC 7587 section 7: 48000 and two channels whatever is in the packets, and the parameters say what our decoder wants.
#[test]
fn opus_is_offered_as_its_rfc_wants_and_has_a_key_clock_of_its_own() {
    let ours = Capabilities { codecs: vec![Codec::Opus, Codec::Pcmu], ..capabilities() };
    let offered = String::from_utf8(offer(&ours, &mut LocalSession::new(1)).to_bytes().into()).unwrap();
    for line in [
        "m=audio 4000 RTP/AVP 111 0 13 ",
        "a=rtpmap:111 opus/48000/2\r\n",
        "a=fmtp:111 useinbandfec=1;usedtx=0;stereo=0;sprop-stereo=0\r\n",
        "telephone-event/48000\r\n",
        "a=rtpmap:101 telephone-event/8000\r\n",
        "a=ptime:20\r\n",
    ] {
        assert!(offered.contains(line), "{line} in {offered}");
    }

    let browser = "m=audio 4000 RTP/AVP 96 0 97 101\r\na=rtpmap:96 OPUS/48000/2\r\n\
        a=fmtp:96 minptime=10; useinbandfec=1; usedtx=1; maxaveragebitrate=20000\r\n\
        a=rtpmap:97 telephone-event/48000\r\na=rtpmap:101 telephone-event/8000\r\na=maxptime:60\r\na=ptime:60\r\n";
    let (said, agreed) = answer(&sdp(browser), &ours, None, &mut LocalSession::new(2)).unwrap();
    assert_eq!((agreed.codec, agreed.send_payload_type, agreed.ptime), (Codec::Opus, 96, 60));
    assert_eq!(agreed.telephone_event_send, Some(97), "a key is counted as the sound around it");
    assert!(!agreed.comfort_noise, "Opus has pauses of its own");
    let wanted = Wishes { fec: true, dtx: true, bitrate_max: Some(20_000), constant: false };
    assert_eq!(agreed.opus, wanted);
    let said = String::from_utf8(said.to_bytes().into()).unwrap();
    assert!(said.contains("a=fmtp:96 useinbandfec=1;usedtx=0;"), "we never pause by ourselves: {said}");

    // Each side sends under the other's number, and as the other wishes.
    let reply =
        "m=audio 5000 RTP/AVP 120 121\r\na=rtpmap:120 opus/48000/2\r\na=rtpmap:121 telephone-event/48000\r\n";
    let offered = offer(&ours, &mut LocalSession::new(3));
    let agreed = accept_answer(&offered, &sdp(reply)).unwrap();
    assert_eq!((agreed.send_payload_type, agreed.receive_payload_type), (120, 111));
    assert_eq!(agreed.opus, Wishes::default(), "who does not ask for redundancy gets none");
}

#[test]
fn what_only_looks_like_opus_is_none_and_no_packet_is_longer_than_the_far_end_takes() {
    let ours = Capabilities { codecs: vec![Codec::Opus, Codec::Pcmu], ..capabilities() };
    let answered =
        |rest: &str| answer(&sdp(rest), &ours, None, &mut LocalSession::new(2)).map(|(_, agreed)| agreed);
    for map in ["opus/48000", "opus/48000/1", "opus/8000/2", "opus/16000", "opusx/48000/2"] {
        let offer = format!("m=audio 4000 RTP/AVP 111 0\r\na=rtpmap:111 {map}\r\n");
        assert_eq!(answered(&offer).unwrap().codec, Codec::Pcmu, "{map}");
    }
    // Opus has no frames of 30 or 50 ms: the next shorter ones are sent.
    for (limits, sent) in [
        ("a=ptime:30\r\n", 20),
        ("a=ptime:50\r\n", 40),
        ("a=ptime:60\r\na=maxptime:40\r\n", 40),
        ("a=maxptime:10\r\n", 10),
        ("a=ptime:120\r\na=maxptime:120\r\n", 20),
    ] {
        let offer = format!("m=audio 4000 RTP/AVP 111\r\na=rtpmap:111 opus/48000/2\r\n{limits}");
        assert_eq!(answered(&offer).unwrap().ptime, sent, "{limits}");
    }
}
