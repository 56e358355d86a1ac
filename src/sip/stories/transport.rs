//! The sockets, as peers treat them: well and badly. These run on loopback.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::sip::transport::{Arrival, Limits, Listen, Wires};
use crate::tls::{Material, Tls};

/// The longest anything that must come is waited for.
const SOON: Duration = Duration::from_secs(20);

async fn wires(connections: usize, idle: Duration) -> (Wires, SocketAddr) {
    let any = "127.0.0.1:0".parse().ok();
    let listen = Listen { udp: any, tcp: any, tls: None };
    let limits = Limits { connections, idle, ..Limits::default() };
    let wires = Wires::bind(listen, Arc::new(Tls::new(Material::none())), limits).await.unwrap();
    let tcp = wires.tcp_addr().unwrap();
    (wires, tcp)
}

async fn next(wires: &mut Wires) -> Arrival {
    timeout(SOON, wires.next()).await.expect("something comes")
}

fn options(length: &str) -> String {
    format!(
        "OPTIONS sip:us SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=a\r\n\
         To: <sip:us>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: {length}\r\n\r\n"
    )
}

fn back(peer: Peer) -> Destination {
    Destination::from(peer)
}

fn tcp_to(remote: SocketAddr) -> Destination {
    Destination { transport: Transport::Tcp, remote, local: None, connection: None, tls: None }
}

#[tokio::test]
async fn a_datagram_and_its_answer_go_the_same_way() {
    let (mut wires, _) = wires(4, SOON).await;
    let phone = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    phone.send_to(b"question", wires.udp_addr().unwrap()).await.unwrap();
    let Arrival::Message(peer, message) = next(&mut wires).await else { panic!() };
    assert_eq!((&message[..], peer.remote), (&b"question"[..], phone.local_addr().unwrap()));
    wires.send(back(peer), None, Bytes::from_static(b"answer"));
    let mut answer = [0; 16];
    let length = timeout(SOON, phone.recv(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer[..length], b"answer");
}

#[tokio::test]
async fn a_bad_message_whose_end_is_known_costs_the_connection_nothing() {
    let (mut wires, at) = wires(4, SOON).await;
    let mut peer = TcpStream::connect(at).await.unwrap();
    peer.write_all(b"NONSENSE\r\nContent-Length: 3\r\n\r\nabc").await.unwrap();
    peer.write_all(options("0").as_bytes()).await.unwrap();
    let Arrival::Message(from, bad) = next(&mut wires).await else { panic!() };
    let Arrival::Message(same, good) = next(&mut wires).await else { panic!() };
    assert!(bad.starts_with(b"NONSENSE") && good.starts_with(b"OPTIONS"));
    assert_eq!(from, same);
}

#[tokio::test]
async fn a_connection_whose_framing_is_lost_gets_its_answer_and_is_closed() {
    let (mut wires, at) = wires(4, SOON).await;
    let mut peer = TcpStream::connect(at).await.unwrap();
    peer.write_all(options("many").as_bytes()).await.unwrap();
    let Arrival::Broken(from, head) = next(&mut wires).await else { panic!() };
    assert!(head.starts_with(b"OPTIONS"));
    wires.send(back(from), None, Bytes::from_static(b"SIP/2.0 400 Bad Request\r\n\r\n"));
    wires.close(from.connection.unwrap());
    let mut heard = String::new();
    timeout(SOON, peer.read_to_string(&mut heard)).await.expect("the end comes").unwrap();
    assert_eq!(heard, "SIP/2.0 400 Bad Request\r\n\r\n");
    assert!(matches!(next(&mut wires).await, Arrival::Gone(..)));
}

#[tokio::test]
async fn a_connection_beyond_the_most_is_closed_and_one_that_ends_makes_room() {
    let (mut wires, at) = wires(1, SOON).await;
    let mut first = TcpStream::connect(at).await.unwrap();
    first.write_all(options("0").as_bytes()).await.unwrap();
    assert!(matches!(next(&mut wires).await, Arrival::Message(..)));

    let mut second = TcpStream::connect(at).await.unwrap();
    let mut nothing = [0; 1];
    tokio::select! {
        closed = timeout(SOON, second.read(&mut nothing)) => assert!(matches!(closed.unwrap(), Ok(0) | Err(_))),
        arrival = wires.next() => panic!("{arrival:?}"),
    }
    drop(first);
    assert!(matches!(next(&mut wires).await, Arrival::Gone(..)));
    // The task of the first ends a moment after it has said so; until then a newcomer is closed.
    let served = async {
        loop {
            let mut third = TcpStream::connect(at).await.unwrap();
            let _refused = third.write_all(options("0").as_bytes()).await;
            tokio::select! {
                arrival = wires.next() => match arrival {
                    Arrival::Message(..) => return,
                    Arrival::Gone(..) => {}
                    other => panic!("{other:?}"),
                },
                _closed = third.read(&mut nothing) => {}
            }
        }
    };
    timeout(SOON, served).await.expect("there is room again");
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_its_time() {
    let (mut wires, at) = wires(4, Duration::from_millis(50)).await;
    let mut peer = TcpStream::connect(at).await.unwrap();
    assert!(matches!(next(&mut wires).await, Arrival::Gone(..)));
    let mut nothing = [0; 1];
    assert_eq!(timeout(SOON, peer.read(&mut nothing)).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_ping_is_answered() {
    let (mut wires, at) = wires(4, SOON).await;
    let mut peer = TcpStream::connect(at).await.unwrap();
    peer.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    tokio::select! {
        read = timeout(SOON, peer.read_exact(&mut pong)) => assert_eq!(read.unwrap().unwrap(), 2),
        arrival = wires.next() => panic!("{arrival:?}"),
    }
    assert_eq!(&pong, b"\r\n");
}

#[tokio::test]
async fn a_connection_that_is_refused_is_told_as_gone() {
    let (mut wires, _) = wires(4, SOON).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    wires.send(tcp_to(nobody), None, Bytes::from_static(b"hello"));
    let Arrival::Unreachable(to) = next(&mut wires).await else { panic!() };
    assert_eq!(to, tcp_to(nobody));
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_cut_off_and_costs_others_nothing() {
    let (mut wires, _) = wires(4, SOON).await;
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = tcp_to(deaf.local_addr().unwrap());
    let message = Bytes::from(vec![b'x'; 16 * 1024]);
    wires.send(to, None, message.clone());
    let (_never_read, _) = deaf.accept().await.unwrap();
    // Far more than the queue and the kernel hold together: sending never waits.
    for _ in 0..5000 {
        wires.send(to, None, message.clone());
    }
    let Arrival::Gone(_, led) = next(&mut wires).await else { panic!() };
    assert_eq!(led, Some(to));
}
