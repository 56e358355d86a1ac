//! Certificates that are replaced while people talk.

use sidetone::sip::flow::Destination;
use sidetone::sip::transport::{Arrival, Limits};
use sidetone::tls::Demand;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::Story;
use crate::town::*;

#[tokio::test]
async fn a_connection_made_before_goes_on_and_the_next_one_sees_the_new_certificate() -> Story {
    let town = Town::new();
    let material = town.material(vec![]);
    let renewed = town.material(vec![]);
    let before = material.identities[0].chain()[0].clone();
    let after = renewed.identities[0].chain()[0].clone();
    assert_ne!(before, after);
    let (mut wires, at, tls) = wires(material, Limits::default()).await;
    let client = town.client(None);
    let (old, _) = meanwhile(&mut wires, shake(&client, at, OURS)).await;
    let mut old = old?;
    assert_eq!(old.get_ref().1.peer_certificates().map(|chain| &chain[0]), Some(&before));

    tls.replace(renewed);

    let (new, _) = meanwhile(&mut wires, shake(&client, at, OURS)).await;
    assert_eq!(new?.get_ref().1.peer_certificates().map(|chain| &chain[0]), Some(&after));
    // The old connection still carries a question and its answer.
    old.write_all(OPTIONS.as_bytes()).await?;
    old.flush().await?;
    let peer = loop {
        if let Arrival::Message(peer, _) = next(&mut wires).await {
            break peer;
        }
    };
    wires.send(Destination::from(peer), None, bytes::Bytes::from_static(b"answer"));
    let mut heard = [0; 6];
    let (read, _) = meanwhile(&mut wires, old.read_exact(&mut heard)).await;
    read?;
    assert_eq!(&heard, b"answer");
    Ok(())
}

#[tokio::test]
async fn what_we_say_next_goes_over_a_connection_with_the_new_certificate() -> Story {
    let town = Town::new();
    let rules = town.rules("carrier", Demand::Required, &[CARRIER]);
    let material = town.material(vec![rules.clone()]);
    let renewed = town.material(vec![rules]);
    let shown_after = renewed.identities[0].chain()[0].clone();
    let (mut wires, _, tls) = wires(material, Limits::default()).await;
    let (listener, at, acceptor) = town.server(&town.of(CARRIER)).await;
    let one = async {
        let mut stream = acceptor.accept(listener.accept().await?.0).await?;
        let mut heard = vec![0; OPTIONS.len()];
        stream.read_exact(&mut heard).await?;
        Ok::<_, std::io::Error>(stream)
    };
    wires.send(to(at, 0), as_trunk("carrier", CARRIER), hello());
    let (first, _) = meanwhile(&mut wires, one).await;
    let mut first = first?;

    tls.replace(renewed);
    let serve = async {
        let mut stream = acceptor.accept(listener.accept().await?.0).await?;
        let mut heard = vec![0; OPTIONS.len()];
        stream.read_exact(&mut heard).await?;
        Ok::<_, std::io::Error>(stream)
    };
    wires.send(to(at, 0), as_trunk("carrier", CARRIER), hello());
    let (second, _) = meanwhile(&mut wires, serve).await;
    let second = second?;
    assert_eq!(second.get_ref().1.peer_certificates().map(|chain| &chain[0]), Some(&shown_after));

    // And the peer's next question inside a call may still come by the first.
    first.write_all(OPTIONS.as_bytes()).await?;
    first.flush().await?;
    loop {
        if let Arrival::Message(peer, _) = next(&mut wires).await {
            assert_eq!(peer.remote, at);
            return Ok(());
        }
    }
}
