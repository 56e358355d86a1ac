//! `sidetone check --online`: what a zone says of a trunk's names is looked up and judged, against a name server of our own.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use sidetone::config;
use sidetone::sip::flow::Transport;
use sidetone::sip::names::Place;
use sidetone::sip::names::ask::Asker;
use sidetone::sip::names::judge::{Judged, Weight, judge, judge_own};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use super::{Test, shown, sidetone};

/// Types of records (RFC 1035, RFC 2782, RFC 3403).
const A: u16 = 1;
const TXT: u16 = 16;
const SRV: u16 = 33;
const NAPTR: u16 = 35;

/// A name server with a zone of its own. It ends with the value.
struct Server {
    at: SocketAddr,
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A name as RFC 1035 section 3.1 writes it, uncompressed.
fn labels(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        octets.push(label.len() as u8);
        octets.extend_from_slice(label.as_bytes());
    }
    octets.push(0);
    octets
}

fn srv(priority: u16, port: u16, target: &str) -> Vec<u8> {
    let mut data = [priority.to_be_bytes(), 10_u16.to_be_bytes(), port.to_be_bytes()].concat();
    data.extend(labels(target));
    data
}

fn naptr(service: &str, replacement: &str) -> Vec<u8> {
    let mut data = [10_u16.to_be_bytes(), 10_u16.to_be_bytes()].concat();
    for text in ["s", service, ""] {
        data.push(text.len() as u8);
        data.extend_from_slice(text.as_bytes());
    }
    data.extend(labels(replacement));
    data
}

/// A question of one name, and where its type ends.
fn question(query: &[u8]) -> Option<(String, u16, usize)> {
    let (mut at, mut name) = (12, Vec::new());
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    Some((name.join("."), kind, at + 4))
}

async fn serve(zone: &[(&str, u16, Vec<u8>)]) -> std::io::Result<Server> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let at = socket.local_addr()?;
    let mut records: HashMap<(String, u16), Vec<Vec<u8>>> = HashMap::new();
    for (name, kind, data) in zone {
        records.entry(((*name).to_owned(), *kind)).or_default().push(data.clone());
    }
    let task = tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            let Some((name, kind, end)) = question(&query[..length]) else { continue };
            let found = records.get(&(name, kind)).map(Vec::as_slice).unwrap_or_default();
            let mut answer = query[..2].to_vec();
            answer.extend_from_slice(&[0x85, 0x80, 0, 1, 0, found.len() as u8, 0, 0, 0, 0]);
            answer.extend_from_slice(&query[12..end]);
            for data in found {
                answer.extend_from_slice(&[0xc0, 12]);
                answer.extend_from_slice(&kind.to_be_bytes());
                answer.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
                answer.extend_from_slice(&(data.len() as u16).to_be_bytes());
                answer.extend_from_slice(data);
            }
            // Whoever asked may be gone.
            let _ = socket.send_to(&answer, from).await;
        }
    });
    Ok(Server { at, task: task.abort_handle() })
}

fn address(last: u8) -> Vec<u8> {
    vec![203, 0, 113, last]
}

fn zone() -> Vec<(&'static str, u16, Vec<u8>)> {
    vec![
        ("carrier.example", NAPTR, naptr("SIP+D2U", "_sip._udp.carrier.example")),
        ("carrier.example", A, address(1)),
        ("_sip._udp.carrier.example", SRV, srv(10, 5070, "a.carrier.example")),
        ("_sip._udp.carrier.example", SRV, srv(20, 5070, "b.carrier.example")),
        ("a.carrier.example", A, address(2)),
        ("b.carrier.example", A, address(3)),
        ("lost.example", NAPTR, naptr("SIP+D2T", "_sip._tcp.lost.example")),
        ("foreign.example", NAPTR, naptr("SIP+D2S", "_sip._sctp.foreign.example")),
        ("foreign.example", A, address(4)),
        ("_sip._tcp.gone.example", SRV, srv(10, 5060, "here.gone.example")),
        ("_sip._tcp.gone.example", SRV, srv(10, 5060, "away.gone.example")),
        ("here.gone.example", A, address(5)),
        ("_sip._udp.no.example", SRV, srv(0, 0, ".")),
        ("_sip._udp.only.example", SRV, srv(0, 0, ".")),
        ("_sip._tcp.only.example", SRV, srv(10, 5060, "a.only.example")),
        ("a.only.example", A, address(7)),
        ("_sip._tls.old.example", SRV, srv(10, 5061, "old.example")),
        ("old.example", A, address(6)),
        ("text.example", TXT, b"\x05hello".to_vec()),
        ("inside.example", A, vec![10, 0, 0, 5]),
        ("sbc1.example.com", A, address(10)),
    ]
}

fn place(host: &str, port: Option<u16>, transport: Option<Transport>) -> Place {
    Place { host: host.into(), port, transport }
}

#[tokio::test]
async fn every_step_of_a_name_is_looked_at_and_told_with_what_would_mend_it() -> Test {
    let server = serve(&zone()).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("sidetone.toml");
    let own = "[sip]\nudp = '127.0.0.1:5060'\n[[tenant]]\nid = 'demo'\n";
    std::fs::write(&file, format!("[dns]\nservers = ['{}']\n{own}", server.at))?;
    let config = config::load(&file)?;
    let asker = Asker::new(&config.dns);
    let (udp, tcp, tls) = (Some(Transport::Udp), Some(Transport::Tcp), Some(Transport::Tls));
    for (at, weight, words) in [
        (place("carrier.example", None, None), Weight::Well, "2 server(s), 2 address(es)"),
        (place("carrier.example", Some(5060), udp), Weight::Doubtful, "publishes 2 server(s) by SRV"),
        (
            place("lost.example", None, None),
            Weight::Wrong,
            "leads to _sip._tcp.lost.example, which has no SRV",
        ),
        (place("foreign.example", None, None), Weight::Doubtful, "offers SIP+D2S, of which none is spoken"),
        (place("gone.example", None, tcp), Weight::Wrong, "away.gone.example has no address"),
        (place("no.example", None, udp), Weight::Wrong, "decidedly no such service"),
        (place("no.example", None, None), Weight::Wrong, "decidedly no such service"),
        (place("only.example", None, None), Weight::Well, "SRV _sip._tcp.only.example: 1 server(s)"),
        (place("old.example", None, tls), Weight::Doubtful, "published as _sip._tls"),
        (place("text.example", None, tls), Weight::Wrong, "text.example has no address"),
    ] {
        let judged = judge(&asker, &config, &at).await;
        let found = judged.iter().find(|judged| judged.message.contains(words));
        assert_eq!(found.map(|judged| judged.weight), Some(weight), "{words}: {judged:#?}");
        let worst = judged.iter().map(|judged| judged.weight).max();
        assert_eq!(worst, Some(weight), "{words}: {judged:#?}");
        let silent = |judged: &&Judged| judged.weight > Weight::Well && judged.remedy == "nothing to do";
        assert!(!judged.iter().any(|judged| silent(&judged)), "{judged:#?}");
    }

    for (name, weight, words) in [
        ("sbc1.example.com", Weight::Well, "1 public address(es)"),
        ("text.example", Weight::Wrong, "504/569016"),
        ("inside.example", Weight::Doubtful, "10.0.0.5, which Microsoft cannot reach"),
    ] {
        let judged = judge_own(&asker, name).await;
        assert_eq!(judged.weight, weight, "{judged:?}");
        assert!(judged.message.contains(words), "{judged:?}");
    }
    drop(server);
    let judged = judge_own(&asker, "sbc2.example.com").await;
    assert!(judged.weight == Weight::Wrong && judged.message.contains("no name server"), "{judged:?}");
    assert!(judged.remedy.contains("[dns]"), "{judged:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_address_behind_a_name_is_spoken_to() -> Test {
    // Two servers of one service: one lives, and one answers 503.
    let (first, second) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
    let ports = (first.local_addr()?.port(), second.local_addr()?.port());
    for (socket, answer) in [(first, "200 OK"), (second, "503 Service Unavailable")] {
        tokio::spawn(async move {
            let mut datagram = [0; 2048];
            while let Ok((_, from)) = socket.recv_from(&mut datagram).await {
                // Whoever asked may be gone.
                let _ = socket.send_to(format!("SIP/2.0 {answer}\r\n\r\n").as_bytes(), from).await;
            }
        });
    }
    let here = Ipv4Addr::LOCALHOST.octets().to_vec();
    let zone: Vec<(&str, u16, Vec<u8>)> = vec![
        ("_sip._udp.carrier.example", SRV, srv(10, ports.0, "a.carrier.example")),
        ("_sip._udp.carrier.example", SRV, srv(20, ports.1, "b.carrier.example")),
        ("a.carrier.example", A, here.clone()),
        ("b.carrier.example", A, here),
    ];
    let server = Arc::new(serve(&zone).await?);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("sidetone.toml");
    std::fs::write(
        &file,
        format!(
            "[sip]\nudp = '127.0.0.1:5060'\n[dns]\nservers = ['{}']\n[[tenant]]\nid = 'demo'\n[[trunk]]\nid = 'carrier'\n\
             tenant = 'demo'\nsources = ['192.0.2.0/24']\ndestinations = ['carrier.example;transport=udp']\n",
            server.at
        ),
    )?;
    let path = file.display().to_string();
    let asked = move || sidetone(&["check", "-c", &path, "--online"]);
    let (code, text, complaint) = shown(&tokio::task::spawn_blocking(asked).await??);
    let all = format!("{text}{complaint}");
    assert!(all.contains("SRV _sip._udp.carrier.example: 2 server(s), 2 address(es)"), "{all}");
    assert!(all.contains(&format!("127.0.0.1:{} answers 200", ports.0)), "{all}");
    assert!(
        all.contains(&format!(
            "error[online] trunk[carrier] carrier.example;transport=udp: 127.0.0.1:{} answers 503",
            ports.1
        )),
        "{all}"
    );
    assert_eq!(code, Some(1), "{all}");
    Ok(())
}
