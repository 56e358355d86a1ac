//! What a call brings of its way to us, and takes along when it goes on.
//!
//! A gateway makes every outgoing call anew, and with that a call would forget where it has been. A door that knows of it
//! writes it down here, and the door that places the next call reads it. How much of it a far end may be told is that door's
//! to decide.

/// See the module. A call that begins here has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journey {
    /// How many more gateways and proxies it may pass; `None` if nobody has counted. Without it a call that comes round would
    /// do so for ever (RFC 7332).
    pub hops: Option<u8>,
}
