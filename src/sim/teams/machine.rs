//! The proxy's calls, without sockets and without a clock: messages in, messages out.
//!
//! ```text
//!             call()                 200, ACK                         bye(), BYE
//!   (none) -----------> Dialling --------------> Up <-----> held, re-keyed -----> Over
//!      \   INVITE                    ACK          |
//!       `------------> Coming -------------------'    refer() -> 202, NOTIFYs, an INVITE with the same bytes
//! ```

mod heard;
mod said;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;

use self::said::{AGENT, ALLOW, random_key, tag_of};
use super::rules::{Broken, Known, Rule};
use super::sdp::{KEY_BYTES, Ours, Theirs};
use super::write::{guid, message};
use crate::sip::message::{Message, Request};

/// One of the proxy's datacenters: 0, 1, 2 are sip, sip2, sip3.
pub type Site = usize;
/// A connection, by a number that the sockets give.
pub type Connection = u64;
/// A call, by the order it came or was placed.
pub type CallId = usize;

/// What the proxy does with calls from the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// 180, then 200.
    Answer,
    /// 180, and [`Machine::answer`] does the rest.
    Ring,
    /// Two devices ring with a tag each, and the 200 comes with a third that nobody has seen (RFC 3261 section 12.1).
    Forks,
    /// 183 with a description and no sound, until [`Machine::answer`].
    Silent183,
    /// 486 with Q.850 cause 34, as Microsoft maps a busy user.
    Busy,
    /// 603.
    Decline,
    /// 503 with this Retry-After in seconds.
    Unavailable(u32),
    /// Nothing at all after 100.
    Silent,
}

/// What becomes of an old call when its transfer is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goodbye {
    /// BYE after the NOTIFY that says 200, as documented.
    InTime,
    /// BYE right after the 202: the transferor hangs up early.
    Early,
}

/// A message or a change of media, to be carried out.
#[derive(Debug)]
pub enum Output {
    /// Send it from a site.
    Send {
        /// From which.
        site: Site,
        /// Over which connection.
        along: Along,
        /// What.
        octets: Bytes,
    },
    /// A call from the gateway is let in and needs an address for its sound: [`Machine::go_on`].
    Incoming(CallId),
    /// Sound has changed.
    Media(CallId, Media),
}

/// Which connection a message takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// The one that the request came over.
    Back(Connection),
    /// The site's own to the gateway, opened if there is none.
    Usual,
    /// A new one, as from another machine of the datacenter.
    Fresh,
}

/// Where sound goes and with what keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Media {
    /// Where to.
    pub to: SocketAddr,
    /// The payload type both speak: 0, 8 or 9.
    pub payload: u8,
    /// Whether we speak.
    pub sends: bool,
    /// Our key and salt.
    pub our_key: [u8; KEY_BYTES],
    /// Theirs.
    pub their_key: Vec<u8>,
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Media({} payload {} sends {} keys redacted)", self.to, self.payload, self.sends)
    }
}

/// What the proxy was told and what it saw.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Requests by method.
    pub requests: BTreeMap<String, u32>,
    /// OPTIONS by site.
    pub options: BTreeMap<Site, u32>,
    /// Answers to our OPTIONS, as they came.
    pub options_answers: Vec<(u16, Bytes)>,
    /// Rules that were broken.
    pub broken: Vec<Broken>,
    /// Answers to what we sent: method and status.
    pub answers: Vec<(String, u16)>,
    /// The connection that each of these came over.
    pub answered_over: Vec<Connection>,
    /// First line of each NOTIFY's body, and its Subscription-State.
    pub notified: Vec<(String, String)>,
    /// Which site each call from the gateway came to, in order.
    pub invites_at: Vec<Site>,
    /// The last INVITE from the gateway, whole.
    pub last_invite: Option<Bytes>,
    /// Descriptions of the gateway's, in order.
    pub descriptions: Vec<Theirs>,
}

impl Seen {
    /// Whether a rule was broken.
    pub fn broke(&self, rule: Rule) -> bool {
        self.broken.iter().any(|broken| broken.rule == rule)
    }
}

/// How a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Our INVITE is on its way.
    Dialling,
    /// Theirs is not answered.
    Coming,
    /// Answered by us, not acknowledged.
    Answered,
    /// Up.
    Up,
    /// Over, with the status that ended it if it never was up.
    Over(Option<u16>),
}

/// The proxy.
pub struct Machine {
    known: Known,
    /// The name that we call, and the port it is paired with.
    sbc: (String, u16),
    /// Where our three sites listen.
    ports: [u16; 3],
    /// What calls from the gateway meet, by site.
    manners: [Manner; 3],
    counter: u64,
    calls: Vec<Call>,
    out: VecDeque<Output>,
    /// What was seen.
    pub seen: Seen,
}

struct Call {
    stage: Stage,
    site: Site,
    call_id: String,
    ours: String,
    our_tag: String,
    theirs: String,
    cseq: u32,
    invite_cseq: u32,
    contact: String,
    record_route: String,
    /// Where requests within the dialog go: their Contact.
    target: String,
    media: Option<Ours>,
    their_key: Vec<u8>,
    /// Their INVITE, while it is answered.
    invite: Option<(Connection, Request)>,
    /// The last INVITE of ours was refused.
    refused: bool,
    /// The transfer that is under way on this call.
    goodbye: Option<Goodbye>,
    /// Each request of ours comes from another site than the last, on a connection of its own.
    roams: bool,
}

impl Machine {
    /// A proxy whose sites listen on these ports, paired with `fqdn` at `port`.
    pub fn new(fqdn: &str, port: u16, ports: [u16; 3]) -> Machine {
        Machine {
            known: Known { paired: vec![fqdn.to_ascii_lowercase()], referred: HashMap::new() },
            sbc: (fqdn.to_owned(), port),
            ports,
            manners: [Manner::Answer; 3],
            counter: 0,
            calls: Vec::new(),
            out: VecDeque::new(),
            seen: Seen::default(),
        }
    }

    /// Pairs the name with another port.
    pub fn pair(&mut self, port: u16) {
        self.sbc.1 = port;
    }

    /// What calls from the gateway meet from now on: at one site, or at all.
    pub fn set_manner(&mut self, site: Option<Site>, manner: Manner) {
        for (at, known) in self.manners.iter_mut().enumerate() {
            if site.is_none_or(|site| site == at) {
                *known = manner;
            }
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// How a call stands.
    pub fn stage(&self, call: CallId) -> Option<Stage> {
        self.calls.get(call).map(|call| call.stage)
    }

    /// How many calls there have been.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Takes a message that came to a site.
    pub fn receive(&mut self, site: Site, connection: Connection, message: Message) {
        match message {
            Message::Request(request) => self.request(site, connection, request),
            Message::Response(response) => self.response(connection, &response),
        }
    }

    /// Calls a number through the gateway, with sound at `media`.
    pub fn call(&mut self, site: Site, from: &str, number: &str, media: SocketAddr) -> CallId {
        let n = self.next();
        let (sbc, port) = self.sbc.clone();
        let host = self.host(site);
        let uri = format!("sip:{number}@{sbc}:{port};user=phone;transport=tls");
        let (contact, record_route) = (self.contact(n), self.record_route(site));
        let our_tag = format!("{n:08x}");
        let ours = format!("Jane Q Doe<sip:{from}@{host}:5061;user=phone>;tag={our_tag}");
        let theirs = format!("<sip:{number}@{sbc}:{port};user=phone>");
        let description = self.describe(media);
        let offer = description.offer(&self.decoy());
        self.calls.push(Call {
            stage: Stage::Dialling,
            site,
            call_id: format!("19233e6b{n:08x}"),
            ours,
            our_tag,
            theirs,
            cseq: 1,
            invite_cseq: 1,
            contact,
            record_route,
            target: uri,
            media: Some(description),
            their_key: Vec::new(),
            invite: None,
            refused: false,
            goodbye: None,
            roams: false,
        });
        let id = self.calls.len() - 1;
        let more = [
            ("Min-SE", "300".to_owned()),
            ("Supported", "timer".to_owned()),
            ("Session-Expires", "3600".to_owned()),
        ];
        self.ask(id, "INVITE", Along::Usual, &more, &offer);
        id
    }

    /// Calls with `Replaces`: whoever answers takes the place of `replaced` (RFC 3891).
    pub fn call_replacing(&mut self, replaced: CallId, from: &str, media: SocketAddr) -> Option<CallId> {
        let old = self.calls.get(replaced)?;
        let theirs = tag_of(&old.theirs).unwrap_or_default().to_owned();
        let (call_id, ours) = (old.call_id.clone(), old.our_tag.clone());
        let id = self.calls.len();
        // Built as any call, with the header put in before it goes out.
        let new = self.call(2, from, "+15550100", media);
        let replaces = format!("REPLACES: {call_id};to-tag={theirs};from-tag={ours}\r\n");
        if let Some(Output::Send { octets, along, .. }) = self.out.back_mut() {
            *along = Along::Fresh;
            let text = String::from_utf8_lossy(octets).replacen(
                "MAX-FORWARDS",
                &format!("{replaces}MAX-FORWARDS"),
                1,
            );
            *octets = Bytes::from(text);
        }
        (new == id).then_some(new)
    }

    /// Goes on with a call that was let in, now that its sound has an address.
    pub fn go_on(&mut self, id: CallId, media: SocketAddr) {
        let description = self.describe(media);
        if let Some(call) = self.calls.get_mut(id) {
            call.media = Some(description);
        }
        let site = self.calls.get(id).map_or(0, |call| call.site);
        match self.manners.get(site).copied().unwrap_or(Manner::Answer) {
            Manner::Answer => {
                self.respond(id, 180, None, "", &[]);
                self.answer(id);
            }
            Manner::Ring => self.respond(id, 180, None, "", &[]),
            Manner::Forks => {
                for _ in 0..2 {
                    let tag = format!("fork{:04x}", self.next());
                    self.respond(id, 180, Some(&tag), "", &[]);
                }
            }
            Manner::Silent183 => {
                let answer = self.answer_text(id);
                self.respond(id, 183, None, &answer, &[]);
            }
            Manner::Busy => {
                let reason = [("Reason", "Q.850;cause=34;text=\"user busy\"".to_owned())];
                self.respond(id, 486, None, "", &reason);
            }
            Manner::Decline => self.respond(id, 603, None, "", &[]),
            Manner::Unavailable(seconds) => {
                self.respond(id, 503, None, "", &[("Retry-After", seconds.to_string())]);
            }
            Manner::Silent => {}
        }
    }

    /// Answers a call that rings.
    pub fn answer(&mut self, id: CallId) {
        let answer = self.answer_text(id);
        self.respond(id, 200, None, &answer, &[]);
    }

    /// Lets a call speak that was answered 183 and not yet 200: what the 183 promised.
    pub fn speak_early(&mut self, id: CallId) {
        let offer = self.calls.get(id).and_then(|call| Theirs::read(call.invite.as_ref()?.1.body()));
        if let Some(offer) = offer {
            self.media_changed(id, &offer);
        }
    }

    /// From now on each request within a call comes from another site than the last, on a new connection: any machine of
    /// any datacenter speaks for a call.
    pub fn roam(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(id) {
            call.roams = true;
        }
    }

    /// Holds (`inactive`) or resumes (`sendrecv`) by a re-INVITE, the only way Microsoft does.
    pub fn hold(&mut self, id: CallId, held: bool) {
        self.offer_again(id, |ours| ours.direction = if held { "inactive" } else { "sendrecv" });
    }

    /// A re-INVITE with a new key: the receiver begins again at ROC 0.
    pub fn rekey(&mut self, id: CallId) {
        let key = random_key();
        self.offer_again(id, |ours| ours.key = key);
    }

    /// Asks the gateway to call somebody else for this call, from another site on a new connection. A call that the new one
    /// takes the place of is named as Microsoft writes it, in an opaque parameter (`x-tt`).
    pub fn refer(&mut self, id: CallId, to: ReferTo<'_>, goodbye: Goodbye) {
        let n = self.next();
        let Some(call) = self.calls.get(id) else { return };
        let site = (call.site + 1) % 3;
        let host = self.host(site);
        let port = self.ports[site];
        let refer_to = match to {
            ReferTo::User => format!("sip:{host}:{port};transport=tls;x-m=8:orgid:{}", guid(7, n)),
            ReferTo::Number(number) => format!("sip:{number}@{host}:{port};user=phone;transport=tls"),
            ReferTo::Consulted(_) => format!("sip:{host}:{port};transport=tls;x-m=8:orgid:{}", guid(7, n)),
        };
        let consulted = match to {
            ReferTo::Consulted(dialog) => self.dialog_to_replace(dialog, n),
            ReferTo::User | ReferTo::Number(_) => String::new(),
        };
        let by = format!(
            "<sip:{host}:{port};x-m=8:orgid:{};x-t={};x-ti={};x-tt=aHR0cHM6Ly9hcGkuZXhhbXBsZS9jYWxsL1JlcGxhY2U%3D>",
            guid(8, n),
            guid(9, n),
            guid(10, n)
        );
        self.known.referred.insert(refer_to.clone(), by.clone());
        let more = [("Refer-To", format!("<{refer_to}{consulted}>")), ("Referred-By", by)];
        if let Some(call) = self.calls.get_mut(id) {
            call.goodbye = Some(goodbye);
            call.site = site;
        }
        self.ask_next(id, "REFER", Along::Fresh, &more, "");
    }

    /// The headers of a Refer-To that name a dialog (RFC 5589 section 7.3): a call of ours with the gateway, or one that the
    /// gateway knows nothing of.
    fn dialog_to_replace(&self, call: Option<CallId>, n: u64) -> String {
        let known = call.and_then(|call| self.calls.get(call)).map(|call| {
            (call.call_id.clone(), tag_of(&call.theirs).unwrap_or_default().to_owned(), call.our_tag.clone())
        });
        let unknown = || (guid(11, n), format!("{n:016x}"), format!("{n:08x}"));
        let (call_id, to, from) = known.unwrap_or_else(unknown);
        format!("?Replaces={call_id}%3Bto-tag%3D{to}%3Bfrom-tag%3D{from}")
    }

    /// Refuses a call that rings.
    pub fn reject(&mut self, id: CallId, status: u16) {
        self.respond(id, status, None, "", &[]);
    }

    /// Hangs up.
    pub fn bye(&mut self, id: CallId) {
        let reason = [("Reason", "Q.850;cause=16;text=\"Normal call clearing\"".to_owned())];
        self.ask_next(id, "BYE", Along::Usual, &reason, "");
        if let Some(call) = self.calls.get_mut(id) {
            call.stage = Stage::Over(None);
        }
    }

    /// Asks the gateway whether it is well, as the proxy does once the gateway's OPTIONS told it the name.
    pub fn options(&mut self, site: Site) {
        let n = self.next();
        let (sbc, port) = self.sbc.clone();
        let (host, our_port) = (self.host(site), self.ports[site]);
        let headers = [
            ("From", format!("<sip:{host}:{our_port}>;tag={n:08x}")),
            ("To", format!("<sip:{sbc}>")),
            ("CSeq", "1 OPTIONS".to_owned()),
            ("Call-ID", guid(1, n)),
            ("Max-Forwards", "70".to_owned()),
            ("Via", format!("SIP/2.0/TLS {host}:{our_port};branch=z9hG4bK{n:08x}")),
            ("Contact", format!("<sip:{host}:{our_port}>")),
            ("User-Agent", AGENT.to_owned()),
            ("Allow", ALLOW.to_owned()),
        ];
        let octets = message(&format!("OPTIONS sip:{sbc}:{port};transport=tls SIP/2.0"), &headers, "");
        self.out.push_back(Output::Send { site, along: Along::Usual, octets });
    }
}

/// Whom a transfer leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferTo<'n> {
    /// A user of Teams: no user part, an opaque parameter.
    User,
    /// A number.
    Number(&'n str),
    /// A user with whom the transferor has talked. Beside the opaque parameter, the Refer-To names that dialog in a Replaces header
    /// as a telephone would: a call of ours with the gateway, or one within Microsoft.
    Consulted(Option<CallId>),
}

/// The names of the three sites.
pub const SITES: [&str; 3] =
    ["sip.pstnhub.microsoft.com", "sip2.pstnhub.microsoft.com", "sip3.pstnhub.microsoft.com"];
