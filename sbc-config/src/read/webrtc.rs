//! Reads `[webrtc]`.

use std::net::SocketAddr;

use super::table::{Field, Section};
use crate::finding::Code;
use crate::people::{Person, Reach};
use crate::settings::Media;
use crate::webrtc::Webrtc;

/// `taken` is who else listens on TCP, and where: no two can have the same port.
pub(super) fn webrtc(
    section: &Section<'_>,
    media: &Media,
    people: &[Person],
    taken: &[(&str, Option<SocketAddr>)],
) -> Webrtc {
    let listen_field = section.field("listen");
    let listen = listen_field.as_ref().and_then(Field::socket_address);
    let advertised = section.field("advertised").and_then(|field| {
        let remedy = "write the address that browsers reach, as \"192.0.2.10\"";
        field.parsed(Code::BadValue, remedy, |text| text.parse())
    });
    if let (Some(field), Some(listen)) = (&listen_field, listen) {
        let (first, last) = (media.ports.first, media.ports.last);
        let same_host =
            listen.ip() == media.listen || listen.ip().is_unspecified() || media.listen.is_unspecified();
        if same_host && (first..=last).contains(&listen.port()) {
            let message = format!("port {} lies in the media ports {first} to {last}", listen.port());
            field.fail(Code::Overlap, message, "choose a port outside `media.ports`");
        }
    }
    if let (Some(field), Some(listen), None) = (&listen_field, listen, advertised)
        && listen.ip().is_unspecified()
    {
        field.warn(
            Code::NeedsAdvertised,
            "this listens on every address, and browsers are told the one that this machine takes for its own",
            "set webrtc.advertised to the address that browsers reach",
        );
    }
    let in_browser = people.iter().find(|person| person.reach == Reach::Browser);
    if let (None, Some(person)) = (&listen_field, in_browser) {
        let message = format!("{} takes calls in the browser and there is no port for it", person.id);
        section.fail(Code::MissingKey, message, "write listen = \"192.0.2.10:7000\" into [webrtc]");
    }
    let webrtc = Webrtc {
        listen,
        tcp: tcp(section, listen_field.is_some(), taken),
        tcp_connections_max: section.count("tcp_connections_max", 1..=65_535, 1_000),
        advertised,
        connect: section.seconds("connect_s", 3..=60, 15),
    };
    section.finish();
    webrtc
}

fn tcp(section: &Section<'_>, listens: bool, taken: &[(&str, Option<SocketAddr>)]) -> Option<SocketAddr> {
    let Some(field) = section.field("tcp") else {
        section.refuse_out_of_place("tcp_connections_max", "nobody connects: there is no webrtc.tcp");
        return None;
    };
    if !listens {
        let message = "TCP is for browsers that cannot use UDP, and there is no port for those who can";
        field.fail(Code::MissingKey, message, "write listen = \"192.0.2.10:7000\" into [webrtc]");
    }
    let tcp = field.socket_address()?;
    let same = |other: SocketAddr| {
        other.port() == tcp.port()
            && tcp.port() != 0
            && (other.ip() == tcp.ip() || other.ip().is_unspecified() || tcp.ip().is_unspecified())
    };
    if let Some((who, _)) = taken.iter().find(|(_, at)| at.is_some_and(same)) {
        let message = format!("browsers and {who} both want TCP port {}", tcp.port());
        field.fail(Code::Overlap, message, "give one of them another port");
    }
    Some(tcp)
}
