//! Two telephones and no gateway: the judge must be right before it judges.

use std::path::Path;
use std::time::Duration;

use sidetone::sim::phone::{Line, Manner, Options, Phone, PhoneError, Reliable, Side, Transport};
use sidetone::sim::voice::Voice;
use sidetone::sip::message::StatusCode;
use sidetone::sip::sdp::Direction;
use sidetone::sip::uri::Uri;
use sidetone_media::codec::Codec;

use crate::Story;

const ALICE_HZ: f64 = 397.0;
const BOB_HZ: f64 = 613.0;

fn alice() -> Options {
    Options { voice: Voice::tone(ALICE_HZ), ..Options::new("alice") }
}

fn bob() -> Options {
    Options { voice: Voice::tone(BOB_HZ), ..Options::new("bob") }
}

fn address(phone: &Phone, transport: Transport) -> Uri {
    let uri = Uri::sip_at(Some(phone.name()), phone.address()).unwrap();
    match transport {
        Transport::Udp => uri,
        Transport::Tcp => uri.with_param("transport", Some("tcp")).unwrap(),
        Transport::Tls => uri.with_param("transport", Some("tls")).unwrap(),
    }
}

/// Two telephones in a call.
async fn call(alice: Options, bob: Options) -> Result<(Phone, Phone), PhoneError> {
    let transport = alice.transport;
    let (alice, bob) = (Phone::start(alice).await?, Phone::start(bob).await?);
    alice.dial(address(&bob, transport)).await?;
    alice.talking().await?;
    bob.talking().await?;
    Ok((alice, bob))
}

#[tokio::test]
async fn two_telephones_hear_each_other_and_not_themselves() -> Story {
    for transport in [Transport::Udp, Transport::Tcp] {
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722] {
            let with = |options| Options { transport, codecs: vec![codec], ..options };
            let (alice, bob) = call(with(alice()), with(bob())).await?;

            let (at_alice, at_bob) = (alice.ear().await?, bob.ear().await?);
            at_bob.wait_for(10).await?;
            let heard = [at_alice.listen(20).await?, at_bob.listen(20).await?];
            for (clip, theirs, own) in [(&heard[0], BOB_HZ, ALICE_HZ), (&heard[1], ALICE_HZ, BOB_HZ)] {
                assert!((clip.level_of(theirs) + 20.0).abs() < 1.0, "{codec:?}: {}", clip.level_of(theirs));
                assert!(clip.level_of(own) < -70.0, "{codec:?}: {}", clip.level_of(own));
            }
            at_bob.check_line(0)?;
            assert!(at_bob.rtcp_count() > 0, "a report came");

            alice.hang_up().await?;
            let end = bob.over().await?;
            assert_eq!((end.by, end.status), (Side::Them, None));
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_octet_sent_is_heard_in_order() -> Story {
    let (alice, bob) = call(alice(), bob()).await?;
    let (ear, mouth) = (bob.ear().await?, alice.mouth().await?);
    ear.wait_until(50).await?;

    let heard = ear.payloads();
    assert_eq!(heard[..], mouth.sent()[..heard.len()]);
    Ok(())
}

#[tokio::test]
async fn a_held_telephone_falls_silent_and_speaks_again_after() -> Story {
    let (alice, bob) = call(alice(), bob()).await?;
    for direction in [Direction::SendOnly, Direction::Inactive] {
        alice.hold(direction).await?;
        let held = bob
            .until("a hold", |status| status.agreed.as_ref().is_some_and(|a| !a.direction.sends()))
            .await?;
        assert_eq!(held.line, Line::Talking);
        // What was on its way arrives; then nothing more may.
        let (ear, mouth) = (alice.ear().await?, alice.mouth().await?);
        mouth.wait_for(10).await?;
        let mark = ear.count();
        mouth.wait_for(20).await?;
        assert_eq!(ear.count(), mark, "{direction:?}");

        alice.resume().await?;
        assert!(ear.listen(20).await?.level_of(BOB_HZ) > -35.0);
    }
    Ok(())
}

#[tokio::test]
async fn an_invite_without_offer_in_mid_call_changes_nothing() -> Story {
    let (alice, bob) = call(alice(), bob()).await?;
    bob.refresh().await?;
    alice.until("the second agreement", |status| status.agreements == 2).await?;
    assert!(alice.ear().await?.listen(20).await?.level_of(BOB_HZ) > -35.0);
    assert!(bob.ear().await?.listen(20).await?.level_of(ALICE_HZ) > -35.0);
    Ok(())
}

#[tokio::test]
async fn two_holds_that_cross_are_both_done_in_the_end() -> Story {
    let (alice, bob) = call(alice(), bob()).await?;
    let (one, other) = tokio::join!(alice.hold(Direction::SendOnly), bob.hold(Direction::SendOnly));
    one?;
    other?;
    let agreed = alice.status().agreed.ok_or("no agreement")?;
    assert_eq!(agreed.direction, Direction::Inactive);
    Ok(())
}

#[tokio::test]
async fn keys_arrive_once_each_and_in_order() -> Story {
    let (alice, bob) = call(alice(), bob()).await?;
    let ear = bob.ear().await?;
    alice.press("45#*0D").await?;
    while ear.digits().len() < 6 {
        ear.wait_for(1).await?;
    }
    ear.wait_for(10).await?;
    assert_eq!(ear.digits(), "45#*0D");
    Ok(())
}

#[tokio::test]
async fn busy_declined_and_cancelled_calls_end_as_they_should() -> Story {
    for status in [StatusCode::BUSY_HERE, StatusCode::DECLINE] {
        let bob = Phone::start(Options { manner: Manner::Refuse(status), ..bob() }).await?;
        let alice = Phone::start(alice()).await?;
        alice.dial(address(&bob, Transport::Udp)).await?;
        assert!(matches!(alice.talking().await, Err(PhoneError::Refused(code)) if code == status));
    }

    let bob = Phone::start(Options { manner: Manner::Ring, ..bob() }).await?;
    let alice = Phone::start(alice()).await?;
    alice.dial(address(&bob, Transport::Udp)).await?;
    bob.ringing().await?;
    alice.hang_up().await?;
    assert_eq!(alice.over().await?.status, Some(StatusCode::REQUEST_TERMINATED));
    assert_eq!(bob.over().await?.by, Side::Them);
    Ok(())
}

#[tokio::test]
async fn a_telephone_rings_until_it_is_answered_and_is_busy_meanwhile() -> Story {
    let bob = Phone::start(Options { manner: Manner::Ring, ..bob() }).await?;
    let (alice, third) = (Phone::start(alice()).await?, Phone::start(Options::new("third")).await?);
    alice.dial(address(&bob, Transport::Udp)).await?;
    bob.ringing().await?;
    third.dial(address(&bob, Transport::Udp)).await?;
    assert!(matches!(third.talking().await, Err(PhoneError::Refused(StatusCode::BUSY_HERE))));
    bob.answer().await?;
    assert_eq!(alice.talking().await?.provisional, [StatusCode::RINGING]);
    bob.hang_up().await?;
    assert_eq!(alice.over().await?.by, Side::Them);
    Ok(())
}

#[tokio::test]
async fn early_media_is_heard_before_the_answer_reliably_or_not() -> Story {
    for reliable in [Reliable::Off, Reliable::Required] {
        let bob = Phone::start(Options { manner: Manner::EarlyMedia, reliable, ..bob() }).await?;
        let alice = Phone::start(Options { reliable, ..alice() }).await?;
        alice.dial(address(&bob, Transport::Udp)).await?;
        alice.until("183", |status| status.provisional.contains(&StatusCode::SESSION_PROGRESS)).await?;
        assert!(alice.ear().await?.listen(20).await?.level_of(BOB_HZ) > -35.0);
        bob.answer().await?;
        alice.talking().await?;
        assert!(alice.ear().await?.listen(20).await?.level_of(BOB_HZ) > -35.0);
        alice.ear().await?.check_line(0)?;
    }
    Ok(())
}

#[tokio::test]
async fn what_was_heard_is_left_as_a_wav_file() -> Story {
    let folder = tempfile::tempdir()?;
    let path: &Path = &folder.path().join("bob.wav");
    let (_alice, bob) = call(alice(), bob()).await?;
    let ear = bob.ear().await?;
    ear.wait_until(25).await?;
    ear.write_wav(path)?;
    let file = hound::WavReader::open(path)?;
    assert_eq!(file.spec().sample_rate, 8000);
    assert!(file.len() >= 25 * 160);
    Ok(())
}

#[tokio::test]
async fn nobody_is_registered_without_a_registrar() -> Story {
    let alice = Phone::start(alice()).await?;
    assert!(matches!(alice.register(Duration::from_secs(60)).await, Err(PhoneError::NoServer)));
    Ok(())
}
