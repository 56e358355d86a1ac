//! Somebody who sprays the media ports hears nothing and is heard by nobody (no RTP bleed).

use std::net::Ipv4Addr;

use bytes::Bytes;
use sidetone::sim::rtp::Packet;
use sidetone::sim::stage::levels::Expected;
use sidetone::sim::stage::{ALICES_NUMBER, CARRIER_IP, Setting, Stage};
use sidetone::sim::voice::Voice;
use sidetone_media::codec::{Codec, Encoder};
use tokio::net::UdpSocket;

use crate::Story;

/// Rounds over all ports, one for each packet that the customer hears.
const ROUNDS: usize = 60;

#[tokio::test]
async fn a_stranger_who_sprays_every_port_gets_no_packet_and_is_not_heard() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    // One from a foreign address; one from the customer's own address and another port, which is harder to tell.
    let strangers =
        [UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 3), 0)).await?, UdpSocket::bind((CARRIER_IP, 0)).await?];
    let mut line = Line::new(stage.sue.hz);

    // They begin before there is a call, so that the first packet at every new port may be theirs.
    for _ in 0..5 {
        line.spray(&strangers, &stage).await?;
    }
    let dialled = stage.customer_reaches(ALICES_NUMBER, &stage.alice);
    let call = {
        tokio::pin!(dialled);
        loop {
            tokio::select! {
                call = &mut dialled => break call?,
                sprayed = line.spray(&strangers, &stage) => sprayed?,
            }
        }
    };
    stage.sam_joins(&call, "whisper").await?;
    let ear = stage.customer.phone.ear().await?;
    for _ in 0..ROUNDS {
        line.spray(&strangers, &stage).await?;
        ear.wait_for(1).await?;
    }

    stage
        .assert_hears(&[
            Expected::voices(&stage.customer, [&stage.alice]),
            Expected::voices(&stage.alice, [&stage.customer, &stage.sam]),
        ])
        .await?;
    for person in [&stage.customer, &stage.alice, &stage.sam] {
        // The strangers hum what nobody else on the line does.
        stage.assert_never_heard(person, &stage.sue).await?;
    }
    for stranger in &strangers {
        let mut datagram = [0; 2048];
        let got = stranger.try_recv(&mut datagram);
        assert!(got.is_err(), "a stranger got {got:?} octets");
    }
    stage.stop().await;
    Ok(())
}

/// A stranger's line of packets.
struct Line {
    voice: Voice,
    encoder: Encoder,
    packets: u16,
}

impl Line {
    fn new(hz: f64) -> Self {
        Self { voice: Voice::Tone { hz, dbfs: -6.0 }, encoder: Encoder::new(Codec::Pcmu), packets: 0 }
    }

    /// One packet from each stranger to every RTP port.
    async fn spray(&mut self, strangers: &[UdpSocket], stage: &Stage) -> Story {
        let at = u32::from(self.packets) * 160;
        let pcm: Vec<i16> = (0..160).map(|i| self.voice.sample(u64::from(at) + i, 8000)).collect();
        let mut payload = [0; 160];
        self.encoder.encode(&pcm, &mut payload);
        let packet = Packet {
            marker: self.packets == 0,
            payload_type: 0,
            sequence: self.packets,
            timestamp: at,
            ssrc: 0x5742_4e47,
            payload: Bytes::copy_from_slice(&payload),
        };
        self.packets = self.packets.wrapping_add(1);
        for port in stage.media_ports() {
            for stranger in strangers {
                // A port without socket answers by ICMP, which shows as an error of a later send.
                let _ = stranger.send_to(&packet.to_bytes(), (Ipv4Addr::LOCALHOST, port)).await;
            }
        }
        Ok(())
    }
}
