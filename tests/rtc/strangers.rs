//! Strangers at the port that all browsers share, and forgeries from the right address, while a call goes on.

use std::net::{Ipv4Addr, SocketAddr};

use rtc::crypto::RTCCryptoProvider as _;
use rtc::crypto::providers::AwsLcRsProvider;
use rtc::stun::attributes::{ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_REQUEST, Message, Setter as _, TransactionId};
use serde_json::json;
use sidetone::sim::stage::levels::{HEARD_DBFS, UNHEARD_DBFS};
use sidetone::sim::stage::{TokenOf, WENDYS_NUMBER, at};
use tokio::net::UdpSocket;

use crate::Story;
use crate::browser::{Browser, Offering, Options, Window, ask};
use crate::calls::{MEASURED, WENDY, stage};

/// Rounds of a spray: every kind of datagram each time, and between them the call has its turn.
const ROUNDS: u32 = 100;

/// The beginning of a ClientHello of DTLS 1.2 (RFC 6347 section 4.2.1): to whom it may concern. Each has a number of its
/// own, so that none is dropped as a repetition.
pub(crate) fn client_hello(number: u32) -> Vec<u8> {
    let mut octets = vec![22, 0xfe, 0xff, 0, 0, 0, 1];
    octets.extend(number.to_be_bytes());
    octets.extend([0, 14, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0xfe, 0xfd]);
    octets
}

/// A check (RFC 8489) for `user` that says it is one, signed with a password that is wrong, or not at all.
pub(crate) fn check(user: &str, number: u32, signed: bool) -> Result<Vec<u8>, rtc::shared::error::Error> {
    let mut message = Message::new();
    message.write_header();
    BINDING_REQUEST.add_to(&mut message)?;
    let mut id = [0; 12];
    id[8..].copy_from_slice(&number.to_be_bytes());
    TransactionId(id).add_to(&mut message)?;
    message.add(ATTR_USERNAME, user.as_bytes());
    message.add(ATTR_PRIORITY, &u32::MAX.to_be_bytes());
    message.add(ATTR_USE_CANDIDATE, &[]);
    if signed {
        let crypto = AwsLcRsProvider::new();
        let password = "a password that is wrong".to_owned();
        MessageIntegrity::new_short_term_integrity_with_provider(password, crypto.crypto())
            .add_to(&mut message)?;
    }
    FINGERPRINT.add_to(&mut message)?;
    Ok(message.raw)
}

/// A packet of sound from `ssrc`, sealed with nothing.
pub(crate) fn sound(ssrc: u32, sequence: u32) -> Vec<u8> {
    let mut octets = vec![0x80, 0, (sequence >> 8) as u8, sequence as u8, 0, 0, 0, 0];
    octets.extend(ssrc.to_be_bytes());
    octets.extend([0x2a; 170]);
    octets
}

#[tokio::test]
async fn strangers_and_forgers_change_nothing_and_hear_nothing() -> Story {
    let stage = stage().await?;
    let port: SocketAddr = stage.webrtc().ok_or("a port for browsers")?;
    let mut window = Window::opens(&stage, TokenOf::Wendy).await?;
    stage.customer_dials(WENDYS_NUMBER).await?;
    let leg = window.offered().await?;
    let offering = Offering::new(Options::humming(WENDY)).await?;
    let body = json!({ "sdp": offering.sdp, "leg": leg });
    let (status, answer) = ask(&stage, TokenOf::Wendy, reqwest::Method::POST, "", Some(body)).await?;
    assert_eq!(status, 201, "{answer}");
    let sdp = answer["sdp"].as_str().ok_or("an answer")?.to_owned();
    let name = sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).ok_or("a name")?.to_owned();
    let wendy: Browser = offering.answered(leg, sdp).await?;
    wendy.connected().await?;
    stage.customer.phone.talking().await.map_err(at(&stage.customer))?;
    let known = wendy.listen(MEASURED).await?;
    assert!(known.level_of(stage.customer.hz) >= HEARD_DBFS);

    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    for round in 0..ROUNDS {
        for datagram in [
            client_hello(round),
            check(&format!("{name}:them"), round, true)?,
            check(&format!("{name}:them"), round, false)?,
            check("nobody:them", round, true)?,
            sound(round.wrapping_mul(2_654_435_761), round),
            vec![(round % 256) as u8; 40],
            Vec::new(),
        ] {
            stranger.send_to(&datagram, port).await?;
        }
        // From where the browser has proved itself, but without its keys: a new source each time.
        wendy.forges(sound(round.wrapping_mul(2_246_822_519), round), port);
        wendy.forges(client_hello(ROUNDS + round), port);
        tokio::task::yield_now().await;
    }

    let heard = wendy.listen(MEASURED).await?;
    assert!(heard.level_of(stage.customer.hz) >= HEARD_DBFS, "{}", heard.level_of(stage.customer.hz));
    let ear = stage.customer.phone.ear().await?;
    let heard = ear.listen(MEASURED).await?;
    assert!(heard.level_of(WENDY) >= HEARD_DBFS, "{}", heard.level_of(WENDY));
    assert!(heard.level_of(stage.customer.hz) <= UNHEARD_DBFS);
    wendy.assert_one_line();
    // The port is one queue: what the stranger sent was read long before the packets that were just heard.
    let silence = stranger.try_recv_from(&mut [0; 2048]);
    assert!(silence.is_err(), "a stranger was answered: {silence:?}");
    stage.stop().await;
    Ok(())
}
