//! One call of a telephone: its dialog (RFC 3261 section 12), its descriptions (RFC 3264) and its sound.

use std::net::SocketAddr;

use bytes::Bytes;
use sidetone_media::srtp::Suite;
use tokio::time::{Duration, Instant};

use super::talk::Talk;
use super::{Done, Options, PhoneError, Side, Srtp};
use crate::sim::random;
use crate::sip::build::{BuildError, RequestBuilder};
use crate::sip::header::{NameAddr, Via};
use crate::sip::message::{Headers, Method, Name, Request};
use crate::sip::offer::{self, Capabilities, LocalSession, NegotiatedAudio, OfferError};
use crate::sip::sdes::{OwnKeys, Protection};
use crate::sip::sdp::{Direction, Sdp};
use crate::sip::uri::{Host, Uri};

/// Payload type of telephone-event in our offers.
const TELEPHONE_EVENT: u8 = 101;
/// Max-Forwards of every request (RFC 3261 section 8.1.1.6).
const MAX_FORWARDS: u8 = 70;
/// What our bodies are.
pub(super) const SDP: &str = "application/sdp";

/// One call.
pub(super) struct Call {
    /// Who called.
    pub(super) caller: Side,
    pub(super) call_id: String,
    /// We, with our tag.
    pub(super) local: NameAddr,
    /// They, with their tag once they gave one.
    pub(super) remote: NameAddr,
    /// Their Contact.
    pub(super) target: Uri,
    pub(super) routes: Vec<NameAddr>,
    /// Where messages go when the target is no address.
    pub(super) peer: SocketAddr,
    pub(super) cseq: u32,
    pub(super) their_cseq: u32,
    pub(super) description: Description,
    pub(super) talk: Talk,
    pub(super) stage: Stage,
    /// A hang-up waiting to be answered.
    pub(super) hanging: Option<Done>,
    /// The ACK of our last answered INVITE, sent again for each copy of the answer.
    pub(super) acked: Option<(u32, SocketAddr, Bytes)>,
    /// Our 2xx that was not acknowledged yet.
    pub(super) unacked: Option<Unacked>,
    /// A re-INVITE of ours is on its way.
    pub(super) reinviting: bool,
    /// A re-INVITE that met one of theirs (RFC 3261 section 14.1).
    pub(super) retry: Option<(Instant, Reinvite, Done)>,
}

/// How far a call has come.
pub(super) enum Stage {
    /// Our INVITE waits for its final answer.
    Out { branch: String, provisional: bool, cancel: bool, rseq: u32 },
    /// Their INVITE waits for ours.
    In { invite: Request, from: SocketAddr, reliable: Option<Unacked>, rseq: u32 },
    /// Answered.
    Up,
}

/// Something sent again and again until it is acknowledged.
pub(super) struct Unacked {
    /// CSeq of the INVITE it answers.
    pub(super) cseq: u32,
    pub(super) to: SocketAddr,
    pub(super) octets: Bytes,
    pub(super) again: Instant,
    pub(super) wait: Duration,
    pub(super) give_up: Instant,
}

/// What a re-INVITE asks for.
#[derive(Clone, Copy)]
pub(super) enum Reinvite {
    Offer(Direction),
    WithoutOffer,
}

/// Both sides' session descriptions.
pub(super) struct Description {
    session: LocalSession,
    pub(super) direction: Direction,
    offered: Option<Sdp>,
    protection: Protection,
    /// The offer of the call's first INVITE was answered; later copies of the answer say nothing new.
    pub(super) settled: bool,
}

/// A request before it is written: it can be written again with a new branch, number or credentials.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) from: NameAddr,
    pub(super) to: NameAddr,
    pub(super) call_id: String,
    pub(super) cseq: u32,
    pub(super) routes: Vec<NameAddr>,
    pub(super) headers: Vec<(Name, Bytes)>,
    pub(super) body: Option<Bytes>,
}

impl Draft {
    pub(super) fn write(&self, via: &Via) -> Result<Request, BuildError> {
        let mut request = RequestBuilder::new(self.method.clone(), &self.uri)
            .via(via)
            .max_forwards(MAX_FORWARDS)
            .from(&self.from)
            .to(&self.to)
            .call_id(&self.call_id)
            .cseq(self.cseq)
            .routes(&self.routes);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        match &self.body {
            Some(body) => request.body(SDP, body.clone()).build(),
            None => request.build(),
        }
    }

    /// With a header, instead of one of that name.
    pub(super) fn set(&mut self, name: Name, value: impl Into<Bytes>) {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
    }
}

impl Call {
    /// The next request within the dialog.
    pub(super) fn draft(&mut self, method: Method) -> Draft {
        self.cseq += 1;
        self.draft_numbered(method, self.cseq)
    }

    /// A request of this number: ACK has that of its INVITE.
    pub(super) fn draft_numbered(&self, method: Method, cseq: u32) -> Draft {
        Draft {
            method,
            uri: self.target.clone(),
            from: self.local.clone(),
            to: self.remote.clone(),
            call_id: self.call_id.clone(),
            cseq,
            routes: self.routes.clone(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// Where requests within the dialog go: the first route, or the target itself.
    pub(super) fn next_hop(&self) -> SocketAddr {
        let uri = self.routes.first().map_or(&self.target, |route| &route.uri);
        address_of(uri).unwrap_or(self.peer)
    }

    /// Takes the far end's tag, target and routes from its answer to our INVITE (RFC 3261 section 12.1.2).
    pub(super) fn learn(&mut self, headers: &Headers) {
        if let Ok(to) = headers.to() {
            self.remote = to;
        }
        if let Ok(Some(contact)) = headers.contact() {
            self.target = contact.uri;
        }
        if let Ok(mut routes) = headers.record_routes() {
            routes.reverse();
            self.routes = routes;
        }
    }

    /// Whether a request of the other end belongs to this dialog.
    pub(super) fn owns(&self, headers: &Headers) -> bool {
        let same_id = headers.call_id().is_ok_and(|id| *id == *self.call_id);
        let tag = |address: NameAddr| address.tag();
        let ours = headers.to().ok().and_then(tag) == self.local.tag();
        let theirs = headers.from().ok().and_then(tag) == self.remote.tag();
        same_id && ours && theirs
    }
}

impl Description {
    pub(super) fn new(srtp: Srtp) -> Self {
        let mut secret = [0; 32];
        secret.chunks_mut(8).for_each(|eight| eight.copy_from_slice(&random().to_le_bytes()));
        let keys = OwnKeys::new(secret, Suite::ALL.to_vec());
        Self {
            protection: match srtp {
                Srtp::Off => Protection::Never,
                Srtp::IfOffered => Protection::IfWanted(keys),
                Srtp::Always => Protection::Always(keys),
            },
            session: LocalSession::new(random()),
            direction: Direction::SendRecv,
            offered: None,
            settled: false,
        }
    }

    /// Other keys from the next offer on. The direction that holds.
    pub(super) fn renew_keys(&mut self) -> Direction {
        match &mut self.protection {
            Protection::Never => {}
            Protection::IfWanted(keys) | Protection::Always(keys) => keys.renew(),
        }
        self.direction
    }

    /// Our offer.
    pub(super) fn offer(&mut self, options: &Options, talk: &Talk) -> Bytes {
        let offer = offer::offer(&self.capabilities(options, talk), &mut self.session);
        let octets = offer.to_bytes();
        self.offered = Some(offer);
        octets
    }

    /// Our answer to their offer; sound follows it.
    pub(super) fn answer(
        &mut self,
        their_offer: &[u8],
        options: &Options,
        talk: &Talk,
    ) -> Result<(Bytes, NegotiatedAudio), OfferError> {
        let offer = Sdp::parse(their_offer).map_err(|_| OfferError::Mismatch)?;
        let capabilities = self.capabilities(options, talk);
        let (answer, agreed) = offer::answer(&offer, &capabilities, None, &mut self.session)?;
        talk.agree(&agreed);
        self.settled = true;
        Ok((answer.to_bytes(), agreed))
    }

    /// Their answer to our offer; sound follows it.
    pub(super) fn accept(&mut self, their_answer: &[u8], talk: &Talk) -> Option<NegotiatedAudio> {
        let ours = self.offered.as_ref()?;
        let theirs = Sdp::parse(their_answer).ok()?;
        let agreed = offer::accept_answer(ours, &theirs).ok()?;
        self.session.agreed(&agreed);
        talk.agree(&agreed);
        Some(agreed)
    }

    fn capabilities(&self, options: &Options, talk: &Talk) -> Capabilities {
        Capabilities {
            codecs: options.codecs.clone(),
            telephone_event: Some(TELEPHONE_EVENT),
            comfort_noise: false,
            ptime: offer::DEFAULT_PTIME,
            rtp: talk.rtp,
            rtcp_mux: false,
            direction: self.direction,
            protection: self.protection.clone(),
        }
    }
}

/// The address in a URI, when it is one.
pub(super) fn address_of(uri: &Uri) -> Option<SocketAddr> {
    let ip = uri.host().as_ref().and_then(Host::ip)?;
    Some(SocketAddr::new(ip, uri.port().unwrap_or(5060)))
}

/// The body when it is a session description.
pub(super) fn sdp_of<'a>(headers: &Headers, body: &'a Bytes) -> Option<&'a Bytes> {
    let is_sdp = headers.content_type().ok().flatten().is_some_and(|kind| kind.is_sdp());
    (is_sdp && !body.is_empty()).then_some(body)
}

/// Tells whoever waits, if anybody still does.
pub(super) fn tell(done: Option<Done>, outcome: Result<(), PhoneError>) {
    if let Some(done) = done {
        let _ = done.send(outcome);
    }
}
