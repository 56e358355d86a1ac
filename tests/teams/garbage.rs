//! Octets that are no SIP and packets that are no SRTP change nothing for a call that is up.

use bytes::Bytes;

use crate::{A_WHILE, AGENT_HZ, HEARD_DBFS, TEAMS_HZ, Test, open, teams_reaches_alice, until_heard};

/// Datagrams of noise that are sent at the call's port.
const NOISE: usize = 5000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_connections_and_at_the_media_port_changes_nothing_for_a_call() -> Test {
    let house = open().await?;
    let call = teams_reaches_alice(&house).await?;
    let alice = house.alice.ear().await?;
    until_heard(&alice, TEAMS_HZ).await?;

    let mut endless = b"INVITE sip:x SIP/2.0\r\nVia: ".to_vec();
    endless.resize(200_000, b'a');
    let pieces: [&[u8]; 5] = [
        b"\x00\xff\xfe garbage \r\n\r\n",
        b"OPTIONS sip:sbc1.example.com SIP/2.0\r\nContent-Length: -1\r\n\r\n",
        b"OPTIONS sip:sbc1.example.com SIP/2.0\r\nContent-Length: 99999999999\r\n\r\n",
        b"BYE sip:nobody SIP/2.0\r\nContent-Length: 0\r\n\r\n",
        &endless,
    ];
    for piece in pieces {
        // From another site, so that the call's own connection is not among them.
        house.proxy.say(2, Bytes::copy_from_slice(piece)).await?;
    }

    let at =
        house.proxy.state().seen.descriptions.first().and_then(|answer| answer.address).ok_or("a port")?;
    let socket = tokio::net::UdpSocket::bind(("127.0.0.44", 0)).await?;
    let mut noise = 0x5eed_u64;
    let mut datagram = [0_u8; 172];
    for round in 0..NOISE {
        for octet in &mut datagram {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *octet = (noise >> 56) as u8;
        }
        // Every other one looks like RTP from outside.
        if round % 2 == 0 {
            (datagram[0], datagram[1]) = (0x80, 8);
        }
        socket.send_to(&datagram[..1 + round % datagram.len()], at).await?;
    }

    let teams = house.proxy.ear(call).await?.ok_or("an ear")?;
    until_heard(&alice, TEAMS_HZ).await?;
    let (at_teams, at_alice) = (teams.listen(A_WHILE).await?, alice.listen(A_WHILE).await?);
    assert!(at_alice.level_of(TEAMS_HZ) > HEARD_DBFS, "{}", at_alice.level_of(TEAMS_HZ));
    assert!(at_teams.level_of(AGENT_HZ) > HEARD_DBFS, "{}", at_teams.level_of(AGENT_HZ));
    house.proxy.bye(call).await?;
    house.alice.over().await?;
    house.gateway.stop().await;
    Ok(())
}
