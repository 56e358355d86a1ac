//! Who is believed.

use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{ServerName, UnixTime};
use sbc_config::TrunkId;
use sidetone::sim::authority::{Leaf, Usage, Wanted};
use sidetone::sip::transport::{Arrival, Limits, Wires};
use sidetone::tls::{Demand, Material, Verified};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use crate::Story;
use crate::town::*;

fn carrier() -> TrunkId {
    TrunkId::new("carrier").expect("an id")
}

/// What a client that shows this proves and gets through: the first thing told of its certificate, and its message.
async fn proves(wires: &mut Wires, at: std::net::SocketAddr, client: &TlsConnector) -> (Verified, bool) {
    let talk = async {
        let mut stream = shake(client, at, OURS).await?;
        stream.write_all(OPTIONS.as_bytes()).await?;
        stream.flush().await?;
        // Until the gateway hangs up, or for as long as it likes us.
        let mut nothing = [0; 1];
        stream.read(&mut nothing).await
    };
    tokio::pin!(talk);
    let mut verified = None;
    loop {
        tokio::select! {
            ended = &mut talk => {
                // In TLS 1.3 a client learns after its handshake that its certificate is refused.
                assert!(verified.is_none(), "let in and then hung up on: {ended:?}");
                return (Verified::default(), false);
            }
            arrival = next(wires) => match arrival {
                Arrival::Secured(_, proved) => verified = Some(proved),
                Arrival::Message(..) => return (verified.expect("its certificate is told first"), true),
                Arrival::Gone(..) => {}
                other => panic!("{other:?}"),
            },
        }
    }
}

#[tokio::test]
async fn a_certificate_with_the_right_root_and_name_proves_the_trunk_and_no_other_does() -> Story {
    let town = Town::new();
    let rules = town.rules("carrier", Demand::Required, &["*.carrier.example"]);
    let (mut wires, at, _) = wires(town.material(vec![rules]), Limits::default()).await;
    let good = town.client(Some(&town.of(CARRIER)));

    let foreign = town.other_authority.issue(&Wanted::new([CARRIER]))?;
    let other_use = town.leaf(&Wanted::new([CARRIER]).usable_as(Usage::Other));
    let bare = town.of(CARRIER);
    let bare = Leaf { chain: bare.alone.clone(), ..bare };
    let bad: [(&str, Option<Leaf>); 8] = [
        ("none", None),
        ("another authority's", Some(foreign)),
        ("run out", Some(town.leaf(&Wanted::new([CARRIER]).expired()))),
        ("not yet valid", Some(town.leaf(&Wanted { from_days: 1, ..Wanted::new([CARRIER]) }))),
        ("another name", Some(town.of("sip.impostor.example"))),
        ("two labels below the star", Some(town.of("a.sip.carrier.example"))),
        ("neither use", Some(other_use)),
        ("without its intermediate", Some(bare)),
    ];
    for (what, leaf) in &bad {
        let (_, through) = proves(&mut wires, at, &town.client(leaf.as_ref())).await;
        assert!(!through, "a client was let in with a certificate that is: {what}");
        // And the next one, who is right, is not harmed.
        let (verified, through) = proves(&mut wires, at, &good).await;
        assert!(through, "after one that is: {what}");
        assert_eq!(verified.trunks, [carrier()]);
    }
    Ok(())
}

#[tokio::test]
async fn either_use_is_good_in_a_client_though_the_stock_verifier_refuses_it() -> Story {
    let town = Town::new();
    let rules = town.rules("carrier", Demand::Required, &[CARRIER]);
    let (mut wires, at, _) = wires(town.material(vec![rules]), Limits::default()).await;
    for usage in [Usage::Server, Usage::Client, Usage::Both] {
        let leaf = town.leaf(&Wanted::new([CARRIER]).usable_as(usage));
        let (verified, through) = proves(&mut wires, at, &town.client(Some(&leaf))).await;
        assert!(through && verified.trunks == [carrier()], "{usage:?}");
    }

    // Why there is a verifier of our own: what Microsoft's proxies show from 2026 on, in the hands of rustls.
    let leaf = chain(&town.leaf(&Wanted::new([CARRIER]).usable_as(Usage::Server)));
    let (end, intermediates) = leaf.split_first().expect("a chain");
    let roots = std::sync::Arc::new(town.store());
    let as_client =
        rustls::server::WebPkiClientVerifier::builder_with_provider(roots.clone(), provider()).build()?;
    assert!(as_client.verify_client_cert(end, intermediates, UnixTime::now()).is_err());
    let as_server = rustls::client::WebPkiServerVerifier::builder_with_provider(roots, provider()).build()?;
    let name = ServerName::try_from(CARRIER)?;
    as_server.verify_server_cert(end, intermediates, &name, &[], UnixTime::now())?;
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_is_good_for_one_trunk_opens_no_other() -> Story {
    let town = Town::new();
    let trunks = vec![
        town.rules("carrier", Demand::Required, &[CARRIER]),
        town.rules("other", Demand::Required, &["sip.other.example"]),
        town.rules("trusting", Demand::Optional, &["sip.third.example"]),
    ];
    let (mut wires, at, _) = wires(town.material(trunks), Limits::default()).await;
    let (verified, through) = proves(&mut wires, at, &town.client(Some(&town.of(CARRIER)))).await;
    assert!(through);
    assert_eq!(verified.trunks, [carrier()]);
    // One of the three may come without; the door knows that this proves none of them.
    let (verified, through) = proves(&mut wires, at, &town.client(None)).await;
    assert!(through);
    assert_eq!(verified.trunks, []);
    // What is shown must be good for one of them.
    let (_, through) = proves(&mut wires, at, &town.client(Some(&town.of("sip.nobody.example")))).await;
    assert!(!through);
    Ok(())
}

#[tokio::test]
async fn a_peer_outside_every_range_is_asked_for_no_certificate() -> Story {
    let town = Town::new();
    let mut rules = town.rules("carrier", Demand::Required, &[CARRIER]);
    rules.sources = vec!["192.0.2.0/24".parse()?];
    let (mut wires, at, _) = wires(town.material(vec![rules]), Limits::default()).await;
    let (verified, through) = proves(&mut wires, at, &town.client(None)).await;
    assert!(through && verified == Verified::default());
    Ok(())
}

#[tokio::test]
async fn the_name_asked_for_chooses_the_certificate_shown() -> Story {
    let town = Town::new();
    let identities = vec![
        town.identity("first", &town.of("first.example.com")),
        town.identity("star", &town.of("*.example.com")),
        town.identity("third", &town.of("third.example.com")),
    ];
    let material = Material { identities, ..Material::none() };
    let (mut wires, at, _) = wires(material, Limits::default()).await;
    // Exact before wildcard, whatever their order; a wildcard for one label; the first for what nobody has.
    for (asked, shown) in [
        ("first.example.com", Some("first.example.com")),
        ("third.example.com", Some("third.example.com")),
        ("fourth.example.com", Some("*.example.com")),
        ("a.fourth.example.com", None),
        ("elsewhere.example", None),
    ] {
        let client = town.client(None);
        let (stream, _) = meanwhile(&mut wires, shake(&client, at, asked)).await;
        match (stream, shown) {
            (Ok(stream), Some(shown)) => {
                let (_, connection) = stream.get_ref();
                let end =
                    connection.peer_certificates().and_then(|chain| chain.first()).expect("one is shown");
                let needle = shown.as_bytes();
                assert!(end.windows(needle.len()).any(|at| at == needle), "{asked} is shown another");
            }
            // The first certificate was shown, and its name is not the one asked for.
            (Err(error), None) => assert!(error.to_string().contains("certificate"), "{asked}: {error}"),
            (stream, _) => panic!("{asked}: {stream:?}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn we_show_our_certificate_and_believe_only_the_right_server() -> Story {
    let town = Town::new();
    let good = town.of(CARRIER);
    let foreign = town.other_authority.issue(&Wanted::new([CARRIER]))?;
    let client_only = town.leaf(&Wanted::new([CARRIER]).usable_as(Usage::Client));
    let cases: [(&str, &[&str], &Leaf, bool); 7] = [
        ("the name dialled", &[], &good, true),
        ("the trunk's names", &["*.carrier.example"], &good, true),
        ("client use alone", &[], &client_only, true),
        ("another name than dialled", &[], &town.of("sip.impostor.example"), false),
        ("none of the trunk's names", &["*.other.example"], &good, false),
        ("another authority", &[], &foreign, false),
        ("run out", &[], &town.leaf(&Wanted::new([CARRIER]).expired()), false),
    ];
    for (what, names, leaf, believed) in cases {
        let rules = town.rules("carrier", Demand::Required, names);
        let (mut wires, _, _) = wires(town.material(vec![rules]), Limits::default()).await;
        let (listener, at, acceptor) = town.server(leaf).await;
        wires.send(to(at, 0), as_trunk("carrier", CARRIER), hello());
        let serve = async {
            let (stream, _) = listener.accept().await?;
            let mut stream = acceptor.accept(stream).await?;
            let shown = stream.get_ref().1.peer_certificates().is_some();
            let mut heard = vec![0; OPTIONS.len()];
            stream.read_exact(&mut heard).await?;
            Ok::<_, std::io::Error>((shown, heard))
        };
        let (served, mut arrivals) = meanwhile(&mut wires, serve).await;
        if arrivals.is_empty() {
            arrivals.push(next(&mut wires).await);
        }
        if believed {
            let (shown, heard) = served?;
            assert!(shown, "{what}: our own certificate is shown");
            assert_eq!(heard, OPTIONS.as_bytes(), "{what}");
            assert!(
                matches!(&arrivals[..], [Arrival::Secured(_, proved), ..] if proved.trunks == [carrier()]),
                "{what}: {arrivals:?}"
            );
        } else {
            assert!(served.is_err(), "{what}: a message was told to a server that is not believed");
            assert!(matches!(&arrivals[..], [Arrival::Unreachable(lost)] if *lost == to(at, 0)), "{what}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn two_trunks_at_one_address_never_share_a_connection() -> Story {
    let town = Town::new();
    let (one, two) = (town.of("one.example.com"), town.of("two.example.com"));
    let mut rules = vec![
        town.rules("one", Demand::Required, &[CARRIER]),
        town.rules("two", Demand::Required, &[CARRIER]),
    ];
    rules[0].identity = Some(town.identity("one", &one));
    rules[1].identity = Some(town.identity("two", &two));
    let (mut wires, _, _) = wires(town.material(rules), Limits::default()).await;
    let (listener, at, acceptor) = town.server(&town.of(CARRIER)).await;
    for (way, trunk) in [(0, "one"), (1, "two"), (0, "one"), (1, "two")] {
        wires.send(to(at, way), as_trunk(trunk, CARRIER), hello());
    }
    let serve = async {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let mut stream = acceptor.accept(listener.accept().await?.0).await?;
            let shown = stream.get_ref().1.peer_certificates().map(|shown| shown[0].clone());
            let mut heard = vec![0; 2 * OPTIONS.len()];
            stream.read_exact(&mut heard).await?;
            seen.push(shown.expect("one is shown"));
        }
        Ok::<_, std::io::Error>(seen)
    };
    let (seen, _) = meanwhile(&mut wires, serve).await;
    let mut seen = seen?;
    let mut wanted = vec![chain(&one)[0].clone(), chain(&two)[0].clone()];
    seen.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
    wanted.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
    assert_eq!(seen, wanted, "each trunk's two messages came over a connection of its own");
    Ok(())
}

#[tokio::test]
async fn a_message_in_records_of_seven_octets_arrives_whole() -> Story {
    let town = Town::new();
    let (mut wires, at, _) = wires(town.material(vec![]), Limits::default()).await;
    let client = town.client(None);
    let trickle = async {
        let mut stream = shake(&client, at, OURS).await?;
        for record in OPTIONS.as_bytes().chunks(7) {
            stream.write_all(record).await?;
            stream.flush().await?;
        }
        Ok::<_, std::io::Error>(stream)
    };
    let (stream, mut arrivals) = meanwhile(&mut wires, trickle).await;
    let _open = stream?;
    while !matches!(arrivals.last(), Some(Arrival::Message(..))) {
        arrivals.push(next(&mut wires).await);
    }
    let Some(Arrival::Message(peer, message)) = arrivals.pop() else { panic!("no message") };
    assert_eq!(&message[..], OPTIONS.as_bytes());
    assert!(peer.transport.is_secure());
    Ok(())
}
