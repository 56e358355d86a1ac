//! The console in a real browser: Debian's Chromium, driven over WebDriver, with people on telephones around it.
//!
//! What is heard is measured at the telephones, what is said is read from the page. Nothing waits for a time: whoever
//! waits, waits in the page for something to be there. Without Chromium the stories are skipped by name, except in CI.

#![allow(unreachable_pub, reason = "a test binary has nobody to reach")]

mod access;
mod agent;
mod browser;
mod fence;
mod pictures;
mod supervisor;
mod webrtc;

use std::error::Error;

/// What a story fails with.
type Outcome = Result<(), Box<dyn Error>>;
