//! The API as its clients meet it, on real sockets.

#![allow(unreachable_pub, reason = "a test binary has nobody to reach")]

mod events;
mod idempotency;
mod logs;
mod postgres;
mod problems;
mod records;
mod rights;
mod sessions;
mod stage;
mod webhooks;
