//! Strangers at the port that all browsers share, and forgeries from the right address, while a call goes on.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::json;
use sidetone::sim::stage::levels::{HEARD_DBFS, UNHEARD_DBFS};
use sidetone::sim::stage::{TokenOf, WENDYS_NUMBER, at};
use tokio::net::UdpSocket;

use crate::Story;
use crate::browser::{Browser, Offering, Options, Window, ask};
use crate::calls::{MEASURED, WENDY, stage};

/// Rounds of a spray: every kind of datagram each time, and between them the call has its turn.
const ROUNDS: u32 = 100;

/// The beginning of a ClientHello of DTLS 1.2 (RFC 6347 section 4.2.1): to whom it may concern.
const CLIENT_HELLO: [u8; 27] =
    [22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 14, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0xfe, 0xfd];

/// A check (RFC 8489) for `user`, signed with nothing that anybody knows, or not at all.
fn check(user: &str, number: u32, signed: bool) -> Vec<u8> {
    let mut attributes = vec![0, 6, 0, user.len() as u8];
    attributes.extend(user.as_bytes());
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    if signed {
        attributes.extend([0, 8, 0, 20]);
        attributes.extend([0x5a; 20]);
    }
    let mut octets = vec![0, 1, 0, attributes.len() as u8, 0x21, 0x12, 0xa4, 0x42];
    octets.extend([0; 8]);
    octets.extend(number.to_be_bytes());
    octets.extend(attributes);
    octets
}

/// A packet of sound from `ssrc`, sealed with nothing.
fn sound(ssrc: u32, sequence: u32) -> Vec<u8> {
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
    let wendy: Browser = offering.answered(leg, sdp)?;
    wendy.connected().await?;
    stage.customer.phone.talking().await.map_err(at(&stage.customer))?;
    let known = wendy.listen(MEASURED).await?;
    assert!(known.level_of(stage.customer.hz) >= HEARD_DBFS);

    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    for round in 0..ROUNDS {
        for datagram in [
            CLIENT_HELLO.to_vec(),
            check(&format!("{name}:them"), round, true),
            check(&format!("{name}:them"), round, false),
            check("nobody:them", round, true),
            sound(round.wrapping_mul(2_654_435_761), round),
            vec![(round % 256) as u8; 40],
            Vec::new(),
        ] {
            stranger.send_to(&datagram, port).await?;
        }
        // From where the browser has proved itself, but without its keys: a new source each time.
        wendy.forges(sound(round.wrapping_mul(2_246_822_519), round), port);
        wendy.forges(CLIENT_HELLO.to_vec(), port);
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
