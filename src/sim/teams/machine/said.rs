//! What requests and answers of the proxy are made of.

use std::net::SocketAddr;

use super::super::rules::SUITE;
use super::super::sdp::{KEY_BYTES, Ours, Theirs};
use super::super::write::{guid, message, phrase};
use super::{Along, CallId, Connection, Machine, Media, Output, SITES, Site, Stage};
use crate::sip::message::{Headers, Name, Request};

impl Machine {
    pub(super) fn offer_again(&mut self, id: CallId, change: impl FnOnce(&mut Ours)) {
        let decoy = self.decoy();
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(ours) = &mut call.media else { return };
        change(ours);
        ours.version += 1;
        let offer = ours.offer(&decoy);
        call.cseq += 1;
        call.invite_cseq = call.cseq;
        self.ask(id, "INVITE", Along::Usual, &[("Supported", "timer".to_owned())], &offer);
    }

    pub(super) fn ask_next(
        &mut self,
        id: CallId,
        method: &str,
        along: Along,
        more: &[(&str, String)],
        body: &str,
    ) {
        if let Some(call) = self.calls.get_mut(id) {
            call.cseq += 1;
        }
        self.ask(id, method, along, more, body);
    }

    pub(super) fn ask(
        &mut self,
        id: CallId,
        method: &str,
        along: Along,
        more: &[(&str, String)],
        body: &str,
    ) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let along = match along {
            Along::Usual if call.roams => {
                call.site = (call.site + 1) % SITES.len();
                Along::Fresh
            }
            along => along,
        };
        let Some(call) = self.calls.get(id) else { return };
        let (host, port) = (self.host(call.site), self.ports[call.site]);
        let cseq = if method == "ACK" { call.invite_cseq } else { call.cseq };
        // The ACK to a 200 is a transaction of its own; that to a refusal belongs to the INVITE's.
        let own = if method == "ACK" && !call.refused { "a" } else { "" };
        let branch = format!("z9hG4bK{id:04x}{cseq:04x}{own}");
        let (from, to) = (self.ours_of(id), call.theirs.clone());
        let mut headers = vec![
            ("From", from),
            ("To", to),
            ("CSeq", format!("{cseq} {method}")),
            ("Call-ID", call.call_id.clone()),
            ("Max-Forwards", "70".to_owned()),
            ("Via", format!("SIP/2.0/TLS {host}:{port};branch={branch}")),
            ("Contact", format!("<{}>", call.contact)),
            ("User-Agent", AGENT.to_owned()),
            ("Allow", ALLOW.to_owned()),
        ];
        if method == "INVITE" && call.stage == Stage::Dialling {
            headers.push(("Record-Route", call.record_route.clone()));
        }
        headers.extend(more.iter().map(|(name, value)| (*name, value.clone())));
        let octets = message(&format!("{method} {} SIP/2.0", call.target), &headers, body);
        self.out.push_back(Output::Send { site: call.site, along, octets });
    }

    /// Our side of the dialog with its tag.
    pub(super) fn ours_of(&self, id: CallId) -> String {
        let Some(call) = self.calls.get(id) else { return String::new() };
        if tag_of(&call.ours).is_some() {
            call.ours.clone()
        } else {
            format!("{};tag={}", call.ours, call.our_tag)
        }
    }

    pub(super) fn respond(
        &mut self,
        id: CallId,
        status: u16,
        tag: Option<&str>,
        body: &str,
        more: &[(&str, String)],
    ) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some((connection, invite)) = &call.invite else { return };
        let tag = tag.unwrap_or(&call.our_tag).to_owned();
        let mut headers = copied(invite.headers(), (status > 100).then_some(tag.as_str()));
        if (180..300).contains(&status) {
            headers.push(("Contact", format!("<{}>", call.contact)));
            headers.push(("Record-Route", call.record_route.clone()));
            headers.push(("Allow", ALLOW.to_owned()));
        }
        headers.extend(more.iter().map(|(name, value)| (*name, value.clone())));
        let octets = message(&format!("SIP/2.0 {status} {}", phrase(status)), &headers, body);
        let (site, along) = (call.site, Along::Back(*connection));
        let offer = Theirs::read(invite.body());
        if status >= 200 {
            call.invite = None;
            match call.stage {
                Stage::Coming if status < 300 => call.stage = Stage::Answered,
                Stage::Coming => call.stage = Stage::Over(Some(status)),
                _ => {}
            }
        }
        self.out.push_back(Output::Send { site, along, octets });
        if let (200..300, Some(offer)) = (status, offer) {
            self.media_changed(id, &offer);
        }
    }

    /// A final answer to a request that no call answers, or 200 to one within a call.
    pub(super) fn refuse(
        &mut self,
        site: Site,
        connection: Connection,
        request: &Request,
        status: u16,
        more: &[(&str, String)],
    ) {
        let tag = format!("{:08x}", self.next());
        let mut headers = copied(request.headers(), Some(&tag));
        headers.extend(more.iter().map(|(name, value)| (*name, value.clone())));
        let octets = message(&format!("SIP/2.0 {status} {}", phrase(status)), &headers, "");
        self.out.push_back(Output::Send { site, along: Along::Back(connection), octets });
    }

    pub(super) fn answer_text(&self, id: CallId) -> String {
        let Some(call) = self.calls.get(id) else { return String::new() };
        let offer = call.invite.as_ref().and_then(|(_, invite)| Theirs::read(invite.body()));
        match (&call.media, offer) {
            (Some(ours), Some(offer)) => {
                let tag = offer.key(SUITE).map_or("1", |crypto| crypto.tag.as_str());
                ours.answer(tag, offer.codec().unwrap_or("8"))
            }
            (Some(ours), None) => ours.offer(&self.decoy()),
            (None, _) => String::new(),
        }
    }

    pub(super) fn media_changed(&mut self, id: CallId, theirs: &Theirs) {
        let Some(call) = self.calls.get(id) else { return };
        let (Some(ours), Some(to)) = (&call.media, theirs.address) else { return };
        let payload = theirs.codec().and_then(|payload| payload.parse().ok()).unwrap_or(8);
        let sends = ours.direction == "sendrecv" && theirs.direction == "sendrecv";
        let (our_key, their_key) = (ours.key, call.their_key.clone());
        self.out.push_back(Output::Media(id, Media { to, payload, sends, our_key, their_key }));
    }

    pub(super) fn end(&mut self, id: CallId, status: Option<u16>) {
        if let Some(call) = self.calls.get_mut(id) {
            call.stage = Stage::Over(status);
        }
    }

    /// The last of that Call-ID: a call that was sent on to the next site keeps it.
    pub(super) fn dialog_of(&self, headers: &Headers) -> Option<CallId> {
        let call_id = header(headers, "Call-ID");
        self.calls.iter().rposition(|call| call.call_id == call_id)
    }

    /// What has our tag belongs to a call, as do the two that have none and still do.
    pub(super) fn is_within(&self, request: &Request, method: &str) -> bool {
        ["CANCEL", "ACK"].contains(&method) || tag_of(&header(request.headers(), "To")).is_some()
    }

    pub(super) fn describe(&mut self, at: SocketAddr) -> Ours {
        Ours { at, session: self.next(), version: 0, key: random_key(), direction: "sendrecv" }
    }

    /// A key that belongs to lines nobody should take.
    pub(super) fn decoy(&self) -> [u8; KEY_BYTES] {
        random_key()
    }

    pub(super) fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(super) fn host(&self, site: Site) -> String {
        SITES.get(site).copied().unwrap_or(SITES[0]).to_owned()
    }

    pub(super) fn contact(&self, n: u64) -> String {
        format!("sip:api-du-a-uswe2.pstnhub.microsoft.com:443;x-i={};x-c={n:016x}/d/8/{n:08x}", guid(2, n))
    }

    pub(super) fn record_route(&self, site: Site) -> String {
        format!("<sip:{}:{};transport=tls;lr>", self.host(site), self.ports[site])
    }
}

pub(super) const AGENT: &str = "Microsoft.PSTNHub.SIPProxy v.2024.2.6.5 i.SIM.5";
pub(super) const ALLOW: &str = "INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY";

/// Via, From, To, Call-ID and CSeq of a request, as its answers have them.
pub(super) fn copied(headers: &Headers, tag: Option<&str>) -> Vec<(&'static str, String)> {
    let mut copied: Vec<_> =
        headers.all(Name::Via).map(|via| ("Via", String::from_utf8_lossy(&via).into_owned())).collect();
    let to = header(headers, "To");
    let to = match tag {
        Some(tag) if tag_of(&to).is_none() => format!("{to};tag={tag}"),
        _ => to,
    };
    copied.extend([
        ("From", header(headers, "From")),
        ("To", to),
        ("Call-ID", header(headers, "Call-ID")),
        ("CSeq", header(headers, "CSeq")),
    ]);
    copied
}

pub(super) fn header(headers: &Headers, name: &str) -> String {
    headers.get_named(name).map(|value| String::from_utf8_lossy(&value).into_owned()).unwrap_or_default()
}

pub(super) fn tag_of(address: &str) -> Option<&str> {
    let (_, after) = address.rsplit_once('>').unwrap_or(("", address));
    after.split(';').find_map(|parameter| parameter.trim().strip_prefix("tag="))
}

pub(super) fn uri_of(address: &str) -> &str {
    address.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(address, |(uri, _)| uri)
}

pub(super) fn random_key() -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    for octets in key.chunks_mut(8) {
        let random = crate::sim::random().to_le_bytes();
        octets.copy_from_slice(random.get(..octets.len()).unwrap_or_default());
    }
    key
}
