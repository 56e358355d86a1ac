//! The proxy's calls, without sockets and without a clock: messages in, messages out.
//!
//! ```text
//!             call()                 200, ACK                         bye(), BYE
//!   (none) -----------> Dialling --------------> Up <-----> held, re-keyed -----> Over
//!      \   INVITE                    ACK          |
//!       `------------> Coming -------------------'    refer() -> 202, NOTIFYs, an INVITE with the same bytes
//! ```

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;

use super::rules::{Broken, Known, Rule, SUITE, judge_first, judge_within};
use super::sdp::{KEY_BYTES, Ours, Theirs};
use super::write::{guid, message, phrase};
use crate::sip::message::{Headers, Message, Name, Request, Response};

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
    /// First line of each NOTIFY's body, and its Subscription-State.
    pub notified: Vec<(String, String)>,
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
    /// What calls from the gateway meet.
    pub manner: Manner,
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
}

impl Machine {
    /// A proxy whose sites listen on these ports, paired with `fqdn` at `port`.
    pub fn new(fqdn: &str, port: u16, ports: [u16; 3]) -> Machine {
        Machine {
            known: Known { paired: vec![fqdn.to_ascii_lowercase()], referred: HashMap::new() },
            sbc: (fqdn.to_owned(), port),
            ports,
            manner: Manner::Answer,
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
            Message::Response(response) => self.response(&response),
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
        match self.manner {
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

    /// Holds (`inactive`) or resumes (`sendrecv`) by a re-INVITE, the only way Microsoft does.
    pub fn hold(&mut self, id: CallId, held: bool) {
        self.offer_again(id, |ours| ours.direction = if held { "inactive" } else { "sendrecv" });
    }

    /// A re-INVITE with a new key: the receiver begins again at ROC 0.
    pub fn rekey(&mut self, id: CallId) {
        let key = random_key();
        self.offer_again(id, |ours| ours.key = key);
    }

    /// Asks the gateway to call somebody else for this call, from another site on a new connection. `consultative`
    /// names a call that the new one takes the place of, as Microsoft writes it: in an opaque parameter.
    pub fn refer(&mut self, id: CallId, to: ReferTo<'_>, goodbye: Goodbye) {
        let n = self.next();
        let Some(call) = self.calls.get(id) else { return };
        let site = (call.site + 1) % 3;
        let host = self.host(site);
        let port = self.ports[site];
        let refer_to = match to {
            ReferTo::User => format!("sip:{host}:{port};transport=tls;x-m=8:orgid:{}", guid(7, n)),
            ReferTo::Number(number) => format!("sip:{number}@{host}:{port};user=phone;transport=tls"),
        };
        let by = format!(
            "<sip:{host}:{port};x-m=8:orgid:{};x-t={};x-ti={};x-tt=aHR0cHM6Ly9hcGkuZXhhbXBsZS9jYWxsL1JlcGxhY2U%3D>",
            guid(8, n),
            guid(9, n),
            guid(10, n)
        );
        self.known.referred.insert(refer_to.clone(), by.clone());
        let more = [("Refer-To", format!("<{refer_to}>")), ("Referred-By", by)];
        if let Some(call) = self.calls.get_mut(id) {
            call.goodbye = Some(goodbye);
            call.site = site;
        }
        self.ask_next(id, "REFER", Along::Fresh, &more, "");
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

    // ---- requests of the gateway

    fn request(&mut self, site: Site, connection: Connection, request: Request) {
        let method = request.method().as_str().to_owned();
        *self.seen.requests.entry(method.clone()).or_default() += 1;
        match self.dialog_of(request.headers()) {
            Some(id) if self.is_within(&request, &method) => {
                self.request_within(id, site, connection, request, &method);
            }
            _ => self.request_first(site, connection, request, &method),
        }
    }

    fn request_first(&mut self, site: Site, connection: Connection, request: Request, method: &str) {
        if method == "ACK" {
            return;
        }
        let broken = judge_first(&request, &self.known);
        let refused = broken.iter().find_map(|broken| Some((broken.rule.refusal()?, broken.detail.clone())));
        self.seen.broken.extend(broken);
        if let Some(((status, code), detail)) = refused {
            let reason = format!("X-Microsoft;cause={code};text=\"{}\"", detail.replace('"', "'"));
            return self.refuse(site, connection, &request, status, &[("Reason", reason)]);
        }
        match method {
            "OPTIONS" => {
                *self.seen.options.entry(site).or_default() += 1;
                self.answer_options(site, connection, &request);
                self.options(site);
            }
            _ => self.let_in(site, connection, request),
        }
    }

    /// Our 200 to OPTIONS has a To without a tag, against RFC 3261 section 8.2.6.2; two traces agree on it.
    fn answer_options(&mut self, site: Site, connection: Connection, request: &Request) {
        let mut headers = copied(request.headers(), None);
        headers.push(("Server", AGENT.to_owned()));
        headers.push(("Allow", ALLOW.to_owned()));
        let octets = message("SIP/2.0 200 OK", &headers, "");
        self.out.push_back(Output::Send { site, along: Along::Back(connection), octets });
    }

    fn let_in(&mut self, site: Site, connection: Connection, request: Request) {
        let n = self.next();
        let text = |name: &str| header(request.headers(), name);
        self.seen.last_invite = Some(request.bytes().clone());
        let offer = Theirs::read(request.body()).unwrap_or_default();
        let their_key = offer.key(SUITE).and_then(|crypto| crypto.key.clone()).unwrap_or_default();
        self.seen.descriptions.push(offer);
        let (contact, record_route) = (self.contact(n), self.record_route(site));
        self.calls.push(Call {
            stage: Stage::Coming,
            site,
            call_id: text("Call-ID"),
            ours: text("To"),
            our_tag: format!("{n:08x}"),
            theirs: text("From"),
            cseq: 0,
            invite_cseq: 0,
            contact,
            record_route,
            target: uri_of(&text("Contact")).to_owned(),
            media: None,
            their_key,
            invite: Some((connection, request)),
            refused: false,
            goodbye: None,
        });
        let id = self.calls.len() - 1;
        self.respond(id, 100, None, "", &[]);
        self.out.push_back(Output::Incoming(id));
    }

    fn request_within(
        &mut self,
        id: CallId,
        site: Site,
        connection: Connection,
        request: Request,
        method: &str,
    ) {
        let Some(call) = self.calls.get(id) else { return };
        let answers_us = method == "ACK" && matches!(call.stage, Stage::Coming | Stage::Over(_));
        if !answers_us {
            let broken = judge_within(&request, &call.contact, std::slice::from_ref(&call.record_route));
            let refused = broken.iter().find_map(|broken| broken.rule.refusal());
            self.seen.broken.extend(broken);
            if let (Some((status, _)), true) = (refused, method != "ACK") {
                return self.refuse(site, connection, &request, status, &[]);
            }
        }
        match method {
            "ACK" => {
                let answered = self.calls.get_mut(id).filter(|call| call.stage == Stage::Answered);
                if let Some(call) = answered {
                    call.stage = Stage::Up;
                }
            }
            "BYE" => {
                self.refuse(site, connection, &request, 200, &[]);
                self.end(id, None);
            }
            "CANCEL" => {
                self.refuse(site, connection, &request, 200, &[]);
                self.respond(id, 487, None, "", &[]);
            }
            "NOTIFY" => {
                let body = String::from_utf8_lossy(request.body()).into_owned();
                let line = body.lines().next().unwrap_or_default().to_owned();
                let state = header(request.headers(), "Subscription-State");
                self.refuse(site, connection, &request, 200, &[]);
                let done = state.starts_with("terminated") && line.contains(" 200 ");
                self.seen.notified.push((line, state));
                // Only now, and by us: the gateway must not hang up itself.
                if done && self.calls.get(id).is_some_and(|call| call.goodbye == Some(Goodbye::InTime)) {
                    self.bye(id);
                }
            }
            "INVITE" => self.reinvited(id, connection, request),
            _ => self.refuse(site, connection, &request, 200, &[]),
        }
    }

    fn reinvited(&mut self, id: CallId, connection: Connection, request: Request) {
        let offer = Theirs::read(request.body());
        let Some(call) = self.calls.get_mut(id) else { return };
        if let Some(offer) = offer {
            if let Some(ours) = &mut call.media {
                ours.version += 1;
                ours.direction = if offer.direction == "inactive" { "inactive" } else { "sendrecv" };
            }
            if let Some(key) = offer.key(SUITE).and_then(|crypto| crypto.key.clone()) {
                call.their_key = key;
            }
            self.seen.descriptions.push(offer);
        }
        call.invite = Some((connection, request));
        let answer = self.answer_text(id);
        self.respond(id, 200, None, &answer, &[]);
    }

    // ---- answers of the gateway

    fn response(&mut self, response: &Response) {
        let status = response.status().as_u16();
        let method =
            response.headers().cseq().map(|cseq| cseq.method.as_str().to_owned()).unwrap_or_default();
        if method == "OPTIONS" {
            self.seen.options_answers.push((status, response.bytes().clone()));
            return;
        }
        if status > 100 {
            self.seen.answers.push((method.clone(), status));
        }
        let Some(id) = self.dialog_of(response.headers()) else { return };
        match (method.as_str(), status) {
            ("INVITE", 200..300) => self.answered(id, response),
            ("INVITE", 300..) => self.refused(id, response, status),
            ("REFER", 202) if self.calls.get(id).is_some_and(|call| call.goodbye == Some(Goodbye::Early)) => {
                self.bye(id)
            }
            _ => {}
        }
    }

    fn answered(&mut self, id: CallId, response: &Response) {
        let answer = Theirs::read(response.body());
        let Some(call) = self.calls.get_mut(id) else { return };
        call.theirs = header(response.headers(), "To");
        call.target = uri_of(&header(response.headers(), "Contact")).to_owned();
        if call.stage == Stage::Dialling {
            call.stage = Stage::Up;
        }
        call.refused = false;
        if let Some(key) =
            answer.as_ref().and_then(|sdp| sdp.key(SUITE)).and_then(|crypto| crypto.key.clone())
        {
            call.their_key = key;
        }
        self.ask(id, "ACK", Along::Usual, &[], "");
        if let Some(answer) = answer {
            // The tag names the line that was taken: 2 is the only one that may be.
            let taken =
                answer.crypto.first().is_some_and(|crypto| crypto.tag == "2" && answer.crypto.len() == 1);
            if !taken || answer.profile != "RTP/SAVP" {
                let detail = format!("answer {} {:?}", answer.profile, answer.crypto);
                self.seen.broken.push(Broken { rule: Rule::NoUsableKey, detail });
            }
            if ["sendonly", "recvonly"].contains(&answer.direction.as_str()) {
                self.seen
                    .broken
                    .push(Broken { rule: Rule::DirectionNotUnderstood, detail: answer.direction.clone() });
            }
            self.media_changed(id, &answer);
            self.seen.descriptions.push(answer);
        }
    }

    fn refused(&mut self, id: CallId, response: &Response, status: u16) {
        if let Some(call) = self.calls.get_mut(id) {
            call.theirs = header(response.headers(), "To");
            call.refused = true;
        }
        self.ask(id, "ACK", Along::Usual, &[], "");
        if self.calls.get(id).is_some_and(|call| call.stage == Stage::Dialling) {
            self.end(id, Some(status));
        }
    }

    // ---- what all of it is made of

    fn offer_again(&mut self, id: CallId, change: impl FnOnce(&mut Ours)) {
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

    fn ask_next(&mut self, id: CallId, method: &str, along: Along, more: &[(&str, String)], body: &str) {
        if let Some(call) = self.calls.get_mut(id) {
            call.cseq += 1;
        }
        self.ask(id, method, along, more, body);
    }

    fn ask(&mut self, id: CallId, method: &str, along: Along, more: &[(&str, String)], body: &str) {
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
    fn ours_of(&self, id: CallId) -> String {
        let Some(call) = self.calls.get(id) else { return String::new() };
        if tag_of(&call.ours).is_some() {
            call.ours.clone()
        } else {
            format!("{};tag={}", call.ours, call.our_tag)
        }
    }

    fn respond(&mut self, id: CallId, status: u16, tag: Option<&str>, body: &str, more: &[(&str, String)]) {
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
    fn refuse(
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

    fn answer_text(&self, id: CallId) -> String {
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

    fn media_changed(&mut self, id: CallId, theirs: &Theirs) {
        let Some(call) = self.calls.get(id) else { return };
        let (Some(ours), Some(to)) = (&call.media, theirs.address) else { return };
        let payload = theirs.codec().and_then(|payload| payload.parse().ok()).unwrap_or(8);
        let sends = ours.direction == "sendrecv" && theirs.direction == "sendrecv";
        let (our_key, their_key) = (ours.key, call.their_key.clone());
        self.out.push_back(Output::Media(id, Media { to, payload, sends, our_key, their_key }));
    }

    fn end(&mut self, id: CallId, status: Option<u16>) {
        if let Some(call) = self.calls.get_mut(id) {
            call.stage = Stage::Over(status);
        }
    }

    /// The last of that Call-ID: a call that was sent on to the next site keeps it.
    fn dialog_of(&self, headers: &Headers) -> Option<CallId> {
        let call_id = header(headers, "Call-ID");
        self.calls.iter().rposition(|call| call.call_id == call_id)
    }

    /// What has our tag belongs to a call, as do the two that have none and still do.
    fn is_within(&self, request: &Request, method: &str) -> bool {
        ["CANCEL", "ACK"].contains(&method) || tag_of(&header(request.headers(), "To")).is_some()
    }

    fn describe(&mut self, at: SocketAddr) -> Ours {
        Ours { at, session: self.next(), version: 0, key: random_key(), direction: "sendrecv" }
    }

    /// A key that belongs to lines nobody should take.
    fn decoy(&self) -> [u8; KEY_BYTES] {
        random_key()
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn host(&self, site: Site) -> String {
        SITES.get(site).copied().unwrap_or(SITES[0]).to_owned()
    }

    fn contact(&self, n: u64) -> String {
        format!("sip:api-du-a-uswe2.pstnhub.microsoft.com:443;x-i={};x-c={n:016x}/d/8/{n:08x}", guid(2, n))
    }

    fn record_route(&self, site: Site) -> String {
        format!("<sip:{}:{};transport=tls;lr>", self.host(site), self.ports[site])
    }
}

/// Whom a transfer leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferTo<'n> {
    /// A user of Teams: no user part, an opaque parameter.
    User,
    /// A number.
    Number(&'n str),
}

/// The names of the three sites.
pub const SITES: [&str; 3] =
    ["sip.pstnhub.microsoft.com", "sip2.pstnhub.microsoft.com", "sip3.pstnhub.microsoft.com"];

const AGENT: &str = "Microsoft.PSTNHub.SIPProxy v.2024.2.6.5 i.SIM.5";
const ALLOW: &str = "INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY";

/// Via, From, To, Call-ID and CSeq of a request, as its answers have them.
fn copied(headers: &Headers, tag: Option<&str>) -> Vec<(&'static str, String)> {
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

fn header(headers: &Headers, name: &str) -> String {
    headers.get_named(name).map(|value| String::from_utf8_lossy(&value).into_owned()).unwrap_or_default()
}

fn tag_of(address: &str) -> Option<&str> {
    let (_, after) = address.rsplit_once('>').unwrap_or(("", address));
    after.split(';').find_map(|parameter| parameter.trim().strip_prefix("tag="))
}

fn uri_of(address: &str) -> &str {
    address.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(address, |(uri, _)| uri)
}

fn random_key() -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    for octets in key.chunks_mut(8) {
        let random = crate::sim::random().to_le_bytes();
        octets.copy_from_slice(random.get(..octets.len()).unwrap_or_default());
    }
    key
}
