//! Browsers whose network lets no datagrams out: the same sound over a connection (ICE over TCP), and what strangers do at
//! the port where it is opened.

use std::net::SocketAddr;

use sidetone::sim::stage::levels::{HEARD_DBFS, UNHEARD_DBFS};
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage, TokenOf, WENDYS_NUMBER, at};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Story;
use crate::browser::{Browser, Options, Window, ask};
use crate::calls::{MEASURED, WENDY};
use crate::link::tcp_of;
use crate::strangers::{check, client_hello, sound};

type Wrong = Box<dyn std::error::Error>;

/// What the supervisor hums.
const WALTER: f64 = 871.0;

/// Connections of a flood.
const FLOOD: usize = 300;

async fn stage() -> Result<Stage, Wrong> {
    Ok(Stage::start(Setting { browsers: true, browsers_over_tcp: true, ..Setting::default() }).await?)
}

/// A customer, and Wendy in a browser without datagrams, who talk.
async fn talk(stage: &Stage) -> Result<Browser, Wrong> {
    let mut window = Window::opens(stage, TokenOf::Wendy).await?;
    stage.customer_dials(WENDYS_NUMBER).await?;
    let leg = window.offered().await?;
    let options = Options::without_datagrams(WENDY);
    let wendy = Browser::connect(stage, TokenOf::Wendy, ("leg", &leg), options).await?;
    wendy.connected().await?;
    stage.customer.phone.talking().await.map_err(at(&stage.customer))?;
    Ok(wendy)
}

/// Both hear the other, and not themselves.
async fn is_heard(stage: &Stage, wendy: &Browser) -> Story {
    let hz = stage.customer.hz;
    let heard = wendy.listen(MEASURED).await?;
    assert!(heard.level_of(hz) >= HEARD_DBFS, "{}", heard.level_of(hz));
    assert!(heard.level_of(WENDY) <= UNHEARD_DBFS, "{}", heard.level_of(WENDY));
    let heard = stage.customer.phone.ear().await?.listen(MEASURED).await?;
    assert!(heard.level_of(WENDY) >= HEARD_DBFS, "{}", heard.level_of(WENDY));
    assert!(heard.level_of(hz) <= UNHEARD_DBFS, "{}", heard.level_of(hz));
    Ok(())
}

#[tokio::test]
async fn a_browser_without_datagrams_and_a_customer_hear_each_other() -> Story {
    let stage = stage().await?;
    let wendy = talk(&stage).await?;
    is_heard(&stage, &wendy).await?;
    wendy.assert_one_line();
    let ear = stage.customer.phone.ear().await?;
    wendy.press('7');
    while ear.digits() != "7" {
        ear.wait_for(1).await?;
    }
    stage.customer.phone.hang_up().await.map_err(at(&stage.customer))?;
    wendy.closed().await?;
    stage.until_no_call().await?;
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_supervisor_without_datagrams_is_heard_by_whom_he_whispers_to() -> Story {
    let stage = stage().await?;
    let mut window = Window::opens(&stage, TokenOf::Walter).await?;
    let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    let api = stage.api_of(TokenOf::Walter);
    let id = api.supervise(&call.id, serde_json::json!({ "role": "monitor" })).await?.id;
    let leg = window.offered().await?;
    let options = Options::without_datagrams(WALTER);
    let walter = Browser::connect(&stage, TokenOf::Walter, ("leg", &leg), options).await?;
    stage.until_supervision(&id, "an active supervision", |seen| seen.state == "active").await?;
    let heard = walter.listen(MEASURED).await?;
    for person in [&stage.customer, &stage.alice] {
        assert!(heard.level_of(person.hz) >= HEARD_DBFS, "{}", heard.level_of(person.hz));
    }
    let ear = stage.customer.phone.ear().await?;
    let mark = ear.count();
    api.switch(&id, "whisper").await?;
    let heard = stage.alice.phone.ear().await?;
    heard.wait_for(MEASURED).await?;
    let heard = heard.listen(MEASURED).await?;
    assert!(heard.level_of(WALTER) >= HEARD_DBFS, "{}", heard.level_of(WALTER));
    assert!(ear.since(mark).loudest_of(WALTER, 6400) <= UNHEARD_DBFS, "the customer never hears a whisper");
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_connection_that_breaks_is_followed_by_the_next() -> Story {
    let stage = stage().await?;
    let wendy = talk(&stage).await?;
    is_heard(&stage, &wendy).await?;
    for _ in 0..2 {
        wendy.breaks();
        wendy.restarts(&stage, TokenOf::Wendy, true).await?;
        is_heard(&stage, &wendy).await?;
    }
    wendy.assert_one_source();
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn without_the_setting_nobody_is_told_to_connect() -> Story {
    let stage = crate::calls::stage().await?;
    let mut window = Window::opens(&stage, TokenOf::Wendy).await?;
    stage.customer_dials(WENDYS_NUMBER).await?;
    let leg = window.offered().await?;
    let wendy = Browser::connect(&stage, TokenOf::Wendy, ("leg", &leg), Options::humming(WENDY)).await?;
    assert!(tcp_of(wendy.answer()).is_err(), "{}", wendy.answer());
    assert!(wendy.answer().contains(" udp "));
    stage.stop().await;
    Ok(())
}

/// As it stands on a connection.
fn framed(octets: &[u8]) -> Vec<u8> {
    [&(octets.len() as u16).to_be_bytes()[..], octets].concat()
}

/// A stranger's connection is closed, and nothing was said on it.
async fn is_shut(mut stream: TcpStream, what: &str) -> Story {
    match stream.read(&mut [0; 64]).await {
        // What we sent may not have been read: then it is reset.
        Ok(0) | Err(_) => Ok(()),
        Ok(length) => Err(format!("{what} was answered with {length} bytes").into()),
    }
}

#[tokio::test]
async fn strangers_at_the_port_are_cut_off_and_a_call_goes_on() -> Story {
    let stage = stage().await?;
    let wendy = talk(&stage).await?;
    let port: SocketAddr = tcp_of(wendy.answer())?;
    let name = wendy.answer().lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).ok_or("a name")?;
    for (what, octets) in [
        ("a request of HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("a length beyond any", vec![0xff; 2]),
        ("a handshake", framed(&client_hello(1))),
        ("sound", framed(&sound(1, 1))),
        ("a check of nobody's", framed(&check("nobody:them", 1, true)?)),
    ] {
        let mut stream = TcpStream::connect(port).await?;
        stream.write_all(&octets).await?;
        is_shut(stream, what).await?;
    }
    // These have their time: a name that was overheard, a piece of a packet, nothing.
    let forged = framed(&check(&format!("{name}:them"), 1, true)?);
    let mut waiting = Vec::new();
    for (what, octets) in [("a forged check", &forged[..]), ("half a length", &[0]), ("nothing", &[])] {
        let mut stream = TcpStream::connect(port).await?;
        stream.write_all(octets).await?;
        waiting.push((stream, what));
    }
    let mut flood = Vec::new();
    for _ in 0..FLOOD {
        let mut stream = TcpStream::connect(port).await?;
        stream.write_all(&forged[..forged.len() / 2]).await?;
        flood.push(stream);
    }
    is_heard(&stage, &wendy).await?;
    wendy.assert_one_line();
    for (stream, what) in waiting {
        is_shut(stream, what).await?;
    }
    for stream in flood {
        is_shut(stream, "one of a flood").await?;
    }
    is_heard(&stage, &wendy).await?;
    let below = format!("/{}", wendy.leg);
    assert_eq!(ask(&stage, TokenOf::Wendy, reqwest::Method::DELETE, &below, None).await?.0, 204);
    wendy.closed().await?;
    stage.until_no_call().await?;
    stage.stop().await;
    Ok(())
}
