//! The desk: what the API can ask of this door, and how it is answered.

use sbc_config::PersonId;
use tokio::sync::{mpsc, oneshot};

use crate::call::LegId;

use super::sdp::BadOffer;

/// Requests waiting at the door; beyond it callers get [`Refusal::Busy`].
const QUEUE_MAX: usize = 256;

/// A way to ask the door. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    inbox: mpsc::Sender<Asked>,
}

/// One request, who asks, and where the answer goes.
pub struct Asked {
    /// The person whose browser it is, as their token says.
    pub person: PersonId,
    /// What is asked.
    pub request: Request,
    /// Where the answer goes. A caller who went away is no error.
    pub answer: oneshot::Sender<Result<Answer, Refusal>>,
}

/// What can be asked.
#[derive(Debug, Clone)]
pub enum Request {
    /// Begin media. Answer: [`Answer::Description`].
    Offer {
        /// The browser's description.
        sdp: String,
        /// What for.
        purpose: Purpose,
    },
    /// More of a description, or ICE begins anew. Answer: [`Answer::Fragment`] if it does, otherwise [`Answer::Done`].
    Fragment {
        /// The leg.
        leg: LegId,
        /// The piece.
        text: String,
    },
    /// Hang up, or say no. Answer: [`Answer::Done`].
    HangUp(LegId),
}

/// What an offer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// To answer a leg that rings.
    Answer(LegId),
    /// To call this number or extension.
    Call(String),
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Our description, and the leg it is of.
    Description {
        /// The leg.
        leg: LegId,
        /// The description.
        sdp: String,
    },
    /// Our half of an ICE that begins anew.
    Fragment(String),
    /// Done, nothing to show.
    Done,
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such leg, or it is over.
    #[error("there is no such leg")]
    NoSuchLeg,
    /// Somebody else's leg.
    #[error("the leg is of another person")]
    NotYours,
    /// The person's telephone is not a browser.
    #[error("this person takes no calls in a browser; write webrtc = true for them in the configuration")]
    NoBrowser,
    /// Another browser was quicker, or the same one asks again.
    #[error("the leg is answered already")]
    Answered,
    /// The offer.
    #[error(transparent)]
    Offer(#[from] BadOffer),
    /// Nothing in common.
    #[error("the offer has no codec that is spoken here: Opus, G.722 or G.711")]
    NoCodec,
    /// The fragment.
    #[error("this is no piece of a session description")]
    BadFragment,
    /// As many legs as there may be.
    #[error("too many browsers are connected; try again later")]
    Full,
    /// The door has too much to do.
    #[error("the gateway is busy; try again")]
    Busy,
    /// A defect.
    #[error("the browser cannot be connected: {0}")]
    Internal(String),
}

impl Desk {
    /// A desk, and the inbox the door reads.
    pub fn new() -> (Desk, mpsc::Receiver<Asked>) {
        let (inbox, requests) = mpsc::channel(QUEUE_MAX);
        (Desk { inbox }, requests)
    }

    /// Asks and waits.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn ask(&self, person: PersonId, request: Request) -> Result<Answer, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.inbox.try_send(Asked { person, request, answer }).map_err(|_| Refusal::Busy)?;
        answered.await.map_err(|_| Refusal::Busy)?
    }
}
