//! What is done about machines that answer in somebody's place.

use std::time::Duration;

/// `[voicemail]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voicemail {
    /// What becomes of a transfer whose target seems to be one.
    pub on_voicemail: OnVoicemail,
    /// This much speech on end, right after the answer, is no person's.
    pub speech: Duration,
    /// How long whoever answers is listened to.
    pub listen: Duration,
}

/// What becomes of a transfer to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnVoicemail {
    /// Nobody listens, and nothing is told.
    Ignore,
    /// It stands, and its outcome is `voicemail_suspected`.
    Report,
    /// The transferor stays until a person is heard; otherwise everybody is back where they were.
    Rollback,
}

impl Voicemail {
    /// Whether anybody listens.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.on_voicemail != OnVoicemail::Ignore
    }
}
