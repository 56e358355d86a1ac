//! Stories told with simulated telephones on real sockets.
//!
//! Nothing here judges the clock: waits are for packets, beats and answers, and measures are taken over samples received.

mod phones;
