//! Telephones prove who they are before they are anybody.

use std::time::Duration;

use sidetone::sim::phone::{Options, Phone, PhoneError, Registration, Transport};
use sidetone::sim::stage::{ABSENT_NUMBER, Setting, Stage};
use sidetone::sip::message::StatusCode;

use crate::Story;

#[tokio::test]
async fn a_wrong_password_registers_nobody() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let options = Options { password: Some("guessed".to_owned()), ..stage.options("dave") };
    let dave = Phone::start(options).await?;
    let refused = dave.register(Duration::from_secs(300)).await;
    assert!(matches!(refused, Err(PhoneError::Refused(_))), "{refused:?}");
    assert!(matches!(dave.status().registration, Registration::Refused(_)));

    stage.customer_dials(ABSENT_NUMBER).await?;
    let answer = stage.customer.phone.talking().await;
    assert!(matches!(answer, Err(PhoneError::Refused(StatusCode::TEMPORARILY_UNAVAILABLE))), "{answer:?}");
    assert_eq!(dave.status().calls_in, 0);
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_telephone_on_udp_or_tcp_is_reached_until_it_says_goodbye() -> Story {
    for transport in [Transport::Udp, Transport::Tcp] {
        let stage = Stage::start(Setting::default()).await?;
        let server = match transport {
            Transport::Udp => Some(stage.sip()),
            Transport::Tcp => stage.sip_tcp(),
            Transport::Tls => stage.sip_tls(),
        };
        let dave = Phone::start(Options { transport, server, ..stage.options("dave") }).await?;
        dave.register(Duration::from_secs(300)).await?;
        stage.customer_dials(ABSENT_NUMBER).await?;
        stage.customer.phone.talking().await?;
        dave.talking().await?;
        stage.customer.phone.hang_up().await?;
        dave.over().await?;

        dave.unregister().await?;
        stage.customer_dials(ABSENT_NUMBER).await?;
        assert!(matches!(stage.customer.phone.talking().await, Err(PhoneError::Refused(_))), "{transport:?}");
        assert_eq!(dave.status().calls_in, 1);
        stage.stop().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_stranger_on_the_gateways_own_machine_cannot_call() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let stranger = Phone::start(Options { password: None, ..stage.options("nobody") }).await?;
    stranger.dial(stage.address("100")?).await?;
    assert!(matches!(stranger.talking().await, Err(PhoneError::Refused(_))));
    assert_eq!(stage.alice.phone.status().calls_in, 0);
    stage.stop().await;
    Ok(())
}
