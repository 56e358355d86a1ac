//! Reads `[webrtc]`.

use super::table::{Field, Section};
use crate::finding::Code;
use crate::people::{Person, Reach};
use crate::settings::Media;
use crate::webrtc::Webrtc;

pub(super) fn webrtc(section: &Section<'_>, media: &Media, people: &[Person]) -> Webrtc {
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
    let in_browser = people.iter().find(|person| person.reach == Reach::Browser);
    if let (None, Some(person)) = (&listen_field, in_browser) {
        let message = format!("{} takes calls in the browser and there is no port for it", person.id);
        section.fail(Code::MissingKey, message, "write listen = \"192.0.2.10:7000\" into [webrtc]");
    }
    let webrtc = Webrtc { listen, advertised, connect: section.seconds("connect_s", 3..=60, 15) };
    section.finish();
    webrtc
}
