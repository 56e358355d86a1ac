//! A thousand connections that say nothing, or next to nothing, do not keep a good client out.

use std::net::SocketAddr;

use sidetone::sip::transport::{Arrival, Limits, Wires};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Story;
use crate::town::*;

/// Connections of the flood.
const FLOOD: usize = 1000;

/// A good client comes, shakes hands and is heard; what else arrived until then is counted.
async fn is_heard(wires: &mut Wires, at: SocketAddr, client: &TlsConnector) -> std::io::Result<Seen> {
    let mut seen = Seen::default();
    let talk = async {
        let mut stream = shake(client, at, OURS).await?;
        stream.write_all(OPTIONS.as_bytes()).await?;
        stream.flush().await?;
        Ok::<_, std::io::Error>(stream)
    };
    let (stream, arrivals) = meanwhile(wires, talk).await;
    let _open = stream?;
    arrivals.iter().for_each(|arrival| seen.count(arrival));
    while seen.messages == 0 {
        seen.count(&next(wires).await);
    }
    Ok(seen)
}

#[derive(Debug, Default)]
struct Seen {
    handshakes: usize,
    messages: usize,
    gone: usize,
}

impl Seen {
    fn count(&mut self, arrival: &Arrival) {
        match arrival {
            Arrival::Secured(..) => self.handshakes += 1,
            Arrival::Message(..) => self.messages += 1,
            Arrival::Gone(..) => self.gone += 1,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_thousand_handshakes_that_never_end_push_each_other_out() -> Story {
    let town = Town::new();
    // So long that only the cap can be what helps.
    let limits = Limits { handshake: SOON * 10, half_open: 64, ..Limits::default() };
    let (mut wires, at, _) = wires(town.material(vec![]), limits).await;
    let flood = async {
        let mut open = Vec::new();
        for number in 0..FLOOD {
            let mut stream = TcpStream::connect(at).await?;
            // Every other one begins a handshake: the head of a record of 512 octets, and a first octet of it.
            if number % 2 == 0 {
                let _pushed_out = stream.write_all(&[22, 3, 1, 2, 0, 1]).await;
            }
            open.push(stream);
        }
        Ok::<_, std::io::Error>(open)
    };
    let (open, arrivals) = meanwhile(&mut wires, flood).await;
    let open = open?;
    assert!(arrivals.iter().all(|arrival| matches!(arrival, Arrival::Gone(..))), "{arrivals:?}");

    let seen = is_heard(&mut wires, at, &town.client(None)).await?;
    assert_eq!(seen.handshakes, 1, "only the good client's handshake was completed");
    assert_eq!(open.len(), FLOOD);
    Ok(())
}

#[tokio::test]
async fn a_thousand_idle_connections_push_each_other_out_and_nobody_who_has_spoken() -> Story {
    let town = Town::new();
    let limits = Limits { tls_connections: 64, idle: SOON * 10, ..Limits::default() };
    let (mut wires, at, _) = wires(town.material(vec![]), limits).await;
    let client = town.client(None);
    // One that has spoken, and then is as quiet as the others.
    let first = async {
        let mut stream = shake(&client, at, OURS).await?;
        stream.write_all(OPTIONS.as_bytes()).await?;
        stream.flush().await?;
        Ok::<_, std::io::Error>(stream)
    };
    let (first, mut arrivals) = meanwhile(&mut wires, first).await;
    let mut first = first?;
    while !matches!(arrivals.last(), Some(Arrival::Message(..))) {
        arrivals.push(next(&mut wires).await);
    }
    let flood = async {
        let mut open = Vec::new();
        for _ in 0..FLOOD {
            // The handshake is done, then a trickle: the first octet of a message that never ends.
            if let Ok(mut stream) = shake(&client, at, OURS).await {
                let _pushed_out = stream.write_all(b"O").await;
                open.push(stream);
            }
        }
        open
    };
    let (open, arrivals) = meanwhile(&mut wires, flood).await;
    let handshakes = arrivals.iter().filter(|arrival| matches!(arrival, Arrival::Secured(..))).count();
    assert_eq!(open.len(), FLOOD);

    let seen = is_heard(&mut wires, at, &client).await?;
    assert_eq!(seen.messages, 1);
    // The last of the flood may be told of after it has ended.
    let all = handshakes + seen.handshakes;
    assert_eq!(all, FLOOD + 1, "each came in, by the place of an older one");
    first.write_all(OPTIONS.as_bytes()).await?;
    first.flush().await?;
    loop {
        match next(&mut wires).await {
            Arrival::Message(..) => return Ok(()),
            Arrival::Gone(..) | Arrival::Secured(..) => {}
            other => panic!("{other:?}"),
        }
    }
}
