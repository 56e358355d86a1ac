//! What a session tells its user, and how it ends.

use std::time::Duration;

use bytes::Bytes;

use crate::sip::header::{NameAddr, Reason};
use crate::sip::message::Headers;
use crate::sip::refer::Asked;
use crate::sip::text::Text;

/// What a session tells.
#[derive(Debug, Clone)]
pub enum SessionEvent {
    /// Our INVITE was answered provisionally (101 to 199). With `sdp` there may be early media. `fork` tells the branches
    /// of a forked call apart: equal tags, equal far end.
    Provisional {
        /// The status, 180 for ringing.
        status: u16,
        /// A session description, early media.
        sdp: Option<Bytes>,
        /// It came reliably (RFC 3262) and was acknowledged with PRACK.
        reliable: bool,
        /// The far end's tag.
        fork: Text,
    },
    /// Our INVITE was accepted. With `is_answer` the description answers our offer (none when a provisional response of this
    /// fork had brought it already: that one holds) and the ACK has been sent. Without, it is an offer, and
    /// [`acknowledge`](crate::sip::endpoint::Endpoint::acknowledge) must bring the answer.
    Answered {
        /// The description of the far end.
        sdp: Option<Bytes>,
        /// Answer or offer.
        is_answer: bool,
        /// The far end's tag, the same as that of the provisional responses of this fork.
        fork: Text,
        /// Whether it says that a mailbox has taken the call.
        voicemail: bool,
    },
    /// The call we accepted, or the re-INVITE we answered, was acknowledged. `sdp` is the far end's answer when
    /// the offer was ours.
    Acked {
        /// The answer to our offer.
        sdp: Option<Bytes>,
    },
    /// The peer wants to change the session. [`answer_reinvite`](crate::sip::endpoint::Endpoint::answer_reinvite) must
    /// follow; without an `offer`, the answer brings ours.
    Reinvited {
        /// The peer's offer.
        offer: Option<Bytes>,
    },
    /// Our re-INVITE was accepted. When it held no offer, `sdp` is the peer's offer (`is_answer` false) and
    /// [`acknowledge`](crate::sip::endpoint::Endpoint::acknowledge) must bring the answer.
    ReinviteAnswered {
        /// The description of the far end.
        sdp: Option<Bytes>,
        /// Answer or offer.
        is_answer: bool,
    },
    /// Our re-INVITE was refused; the session goes on as it was.
    ReinviteFailed {
        /// The status; 408 when no answer came.
        status: u16,
    },
    /// The peer asks that whom it talks with be connected elsewhere (RFC 3515). It has been told that we shall try;
    /// [`referral`](crate::sip::endpoint::Endpoint::referral) must tell it what becomes of it.
    Referred(Asked),
    /// The session is over. Nothing follows.
    Ended(Ended),
}

/// Why a session ended, and by whom.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Who ended it.
    pub by: By,
    /// In what way.
    pub how: How,
    /// The final status of the INVITE, if one came or was sent.
    pub status: Option<u16>,
    /// Reason headers of the message that ended it (RFC 3326).
    pub reasons: Vec<Reason>,
    /// Contacts of a 3xx, in order. They are reported, never called.
    pub contacts: Vec<NameAddr>,
    /// Retry-After of the refusal.
    pub retry_after: Option<Duration>,
    /// Texts of Warning headers of the message that ended it (RFC 3261 section 20.43).
    pub warnings: Vec<Text>,
}

impl Ended {
    pub(super) fn new(by: By, how: How) -> Ended {
        Ended {
            by,
            how,
            status: None,
            reasons: Vec::new(),
            contacts: Vec::new(),
            retry_after: None,
            warnings: Vec::new(),
        }
    }

    pub(super) fn with_status(mut self, status: u16) -> Ended {
        self.status = Some(status);
        self
    }

    pub(super) fn with_reasons(mut self, headers: &Headers) -> Ended {
        self.reasons = headers.reasons().unwrap_or_default();
        self.reasons.truncate(MAX_REASONS);
        self.warnings =
            headers.list(crate::sip::header::Name::Warning).filter_map(Text::new).take(MAX_REASONS).collect();
        self
    }

    /// The Q.850 cause, when a Reason gave one.
    pub fn q850(&self) -> Option<u32> {
        self.reasons.iter().find(|r| r.protocol.eq_ignore_ascii_case("Q.850")).and_then(|r| r.cause)
    }
}

/// Most Reason values that are reported. One per protocol makes sense, and there are three protocols.
const MAX_REASONS: usize = 8;

/// Who ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A command of ours, or a rule of ours.
    Us,
    /// The far end.
    Peer,
    /// Nobody answered, or the way was broken.
    Network,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The INVITE was refused (3xx to 6xx): see the status.
    Refused,
    /// The INVITE was cancelled before it was answered.
    Cancelled,
    /// An established call was hung up.
    Bye,
    /// No final answer to the INVITE came in time.
    NoAnswer,
    /// We accepted, and no ACK came for 32 s.
    NoAck,
    /// Our reliable provisional response was not acknowledged for 32 s.
    NoPrack,
    /// The session timer (RFC 4028) ran out.
    Expired,
    /// The transport could not deliver.
    Unreachable,
    /// The peer no longer knows the dialog (408 or 481 inside it).
    Lost,
    /// A message could not be understood or written.
    Broken,
}
