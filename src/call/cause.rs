//! Why a leg or a call ended, in the gateway's own words. Doors translate to SIP status codes,
//! Q.850 causes and the words of other clouds.

use serde::Serialize;

/// Why something ended. Every ending has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Somebody hung up an answered call.
    Normal,
    /// The caller gave up before anyone answered.
    Cancelled,
    /// The far end is busy.
    Busy,
    /// It rang and nobody came.
    NoAnswer,
    /// The far end said no.
    Declined,
    /// No such number or person here.
    NotFound,
    /// Known, but not reachable now: not registered, trunk down, name does not resolve.
    Unreachable,
    /// No codec, transport or media address in common.
    NotAcceptable,
    /// The peer may not do this.
    Forbidden,
    /// A machine seems to have answered in somebody's place, and that is not wanted.
    Voicemail,
    /// A Teams user who may not be rung: a prerequisite is not met, or could not be known. The findings say which.
    NotCleared,
    /// It has passed so many gateways that it must be going round.
    Loop,
    /// A limit of ours is reached: calls, rate, media ports, channels of a trunk.
    Congestion,
    /// No media arrived for the configured time.
    MediaTimeout,
    /// The far end stopped answering signalling.
    SignallingTimeout,
    /// Another party's act ended this leg: takeover, release, the last talker left.
    Released,
    /// The gateway is draining or stopping.
    ShuttingDown,
    /// Something failed in the gateway itself; its log has the details under this call's id.
    Internal,
}

impl Cause {
    /// The SIP final response for a call attempt that ends so (RFC 3261 section 21), with its
    /// standard phrase.
    pub fn sip_status(self) -> (u16, &'static str) {
        match self {
            Cause::Normal | Cause::Released => (480, "Temporarily Unavailable"),
            Cause::Cancelled => (487, "Request Terminated"),
            Cause::Busy => (486, "Busy Here"),
            Cause::NoAnswer | Cause::Unreachable | Cause::NotCleared | Cause::Voicemail => {
                (480, "Temporarily Unavailable")
            }
            Cause::Declined => (603, "Decline"),
            Cause::NotFound => (404, "Not Found"),
            Cause::NotAcceptable => (488, "Not Acceptable Here"),
            Cause::Forbidden => (403, "Forbidden"),
            Cause::Loop => (483, "Too Many Hops"),
            Cause::Congestion | Cause::ShuttingDown => (503, "Service Unavailable"),
            Cause::MediaTimeout | Cause::SignallingTimeout => (408, "Request Timeout"),
            Cause::Internal => (500, "Server Internal Error"),
        }
    }

    /// The Q.850 cause for a Reason header (RFC 3326).
    pub fn q850(self) -> u8 {
        match self {
            Cause::Normal | Cause::Cancelled | Cause::Released => 16,
            Cause::Busy => 17,
            Cause::SignallingTimeout => 18,
            Cause::NoAnswer | Cause::Voicemail => 19,
            Cause::Declined | Cause::Forbidden => 21,
            Cause::NotFound => 1,
            Cause::Unreachable | Cause::NotCleared => 20,
            Cause::Loop => 25,
            Cause::NotAcceptable => 88,
            Cause::Congestion => 42,
            Cause::MediaTimeout => 31,
            Cause::ShuttingDown | Cause::Internal => 41,
        }
    }

    /// What a final response of a peer means (RFC 3261 section 21; RFC 3398 section 8.2.6 for the
    /// spirit of the mapping).
    pub fn from_sip_status(status: u16) -> Cause {
        match status {
            486 | 600 => Cause::Busy,
            408 | 504 => Cause::NoAnswer,
            480 => Cause::Unreachable,
            487 => Cause::Cancelled,
            603 | 607 | 608 => Cause::Declined,
            404 | 410 | 484 | 485 | 604 => Cause::NotFound,
            406 | 415 | 488 | 606 => Cause::NotAcceptable,
            401 | 403 | 407 => Cause::Forbidden,
            482 | 483 => Cause::Loop,
            503 => Cause::Congestion,
            300..=399 => Cause::Unreachable,
            _ => Cause::Internal,
        }
    }
}
