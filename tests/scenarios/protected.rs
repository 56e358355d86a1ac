//! The carrier and the supervisor over TLS with SRTP, the agent in clear: what is heard, and what no key is not told.

use bytes::Bytes;
use sidetone::sim::phone::{Options, Phone, PhoneError, Srtp};
use sidetone::sim::rtp::Packet;
use sidetone::sim::stage::levels::Expected;
use sidetone::sim::stage::{ALICES_NUMBER, CARRIER_IP, Setting, Stage, TokenOf};
use sidetone::sip::sdp::Direction;
use tokio::net::UdpSocket;

use crate::Story;

/// Forged packets of the spray.
const FORGED: usize = 5000;

async fn protected() -> Result<Stage, Box<dyn std::error::Error>> {
    Ok(Stage::start(Setting { protected: true, ..Setting::default() }).await?)
}

fn a_whisper(stage: &Stage) -> [Expected<'_>; 3] {
    let (customer, alice, sam) = (&stage.customer, &stage.alice, &stage.sam);
    [
        Expected::voices(customer, [alice]),
        Expected::voices(alice, [customer, sam]),
        Expected::voices(sam, [customer, alice]),
    ]
}

#[tokio::test]
async fn a_whisper_between_protected_and_plain_legs_is_heard_by_the_agent_alone() -> Story {
    let stage = protected().await?;
    let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    let has_keys = |phone: &Phone| phone.status().agreed.is_some_and(|agreed| agreed.keys.is_some());
    assert!(has_keys(&stage.customer.phone) && !has_keys(&stage.alice.phone));
    stage.sam_joins(&call, "whisper").await?;
    assert!(has_keys(&stage.sam.phone));
    stage.assert_hears(&a_whisper(&stage)).await?;

    // Without a key nothing is theirs, not even from the customer's own address.
    let stranger = UdpSocket::bind((CARRIER_IP, 0)).await?;
    let ports: Vec<u16> = stage.media_ports().collect();
    let ear = stage.customer.phone.ear().await?;
    for n in 0..FORGED {
        let payload = Bytes::copy_from_slice(&[n as u8; 170]);
        let packet =
            Packet { marker: false, payload_type: 0, sequence: n as u16, timestamp: 0, ssrc: 1, payload };
        stranger.send_to(&packet.to_bytes(), ("127.0.0.1", ports[n % ports.len()])).await?;
        if n % 100 == 0 {
            ear.wait_for(1).await?;
        }
    }
    stage.assert_hears(&a_whisper(&stage)).await?;
    stage.assert_never_heard(&stage.customer, &stage.sam).await?;
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn holds_and_new_keys_go_on_in_one_line_that_nobody_else_can_open() -> Story {
    let stage = protected().await?;
    let (customer, alice) = (&stage.customer, &stage.alice);
    let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    let leg = call.customer().ok_or("no customer")?.id.clone();
    let api = stage.api_of(TokenOf::Alice);
    let talk = [Expected::voices(customer, [alice]), Expected::voices(alice, [customer])];
    let ear = customer.phone.ear().await?;
    ear.wait_for(10).await?;
    let mark = ear.count();

    api.leg(&call.id, &leg, "hold").await?;
    stage.assert_hears(&[Expected::music(customer)]).await?;
    api.leg(&call.id, &leg, "resume").await?;
    stage.assert_hears(&talk).await?;

    let keys = |phone: &Phone| phone.status().agreed.and_then(|agreed| agreed.keys);
    let before = keys(&customer.phone).ok_or("no keys")?;
    customer.phone.rekey().await?;
    let after = keys(&customer.phone).ok_or("no keys")?;
    assert!(after.ours != before.ours, "the telephone's key is new");
    assert!(after.theirs == before.theirs, "the gateway's is not");
    stage.assert_hears(&talk).await?;

    ear.check_line(mark)?;

    customer.phone.hold(Direction::Inactive).await?;
    stage.assert_hears(&[Expected::music(alice)]).await?;
    customer.phone.resume().await?;
    stage.assert_hears(&talk).await?;
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn where_protection_is_required_nothing_less_is_taken_and_no_key_in_clear() -> Story {
    let stage = protected().await?;
    for srtp in [Srtp::Off, Srtp::Always] {
        // Over UDP: without keys, and with keys that everybody could read.
        let caller = Phone::start(Options {
            ip: CARRIER_IP,
            server: Some(stage.sip()),
            srtp,
            ..Options::new("caller")
        })
        .await?;
        caller.dial(stage.address(ALICES_NUMBER)?).await?;
        let refused = caller.talking().await;
        assert!(matches!(&refused, Err(PhoneError::Refused(code)) if code.as_u16() == 488), "{refused:?}");
    }
    stage.stop().await;
    Ok(())
}
