//! Reads `[voicemail]`.

use super::table::Section;
use crate::voicemail::{OnVoicemail, Voicemail};

const POLICIES: &[(&str, OnVoicemail)] =
    &[("ignore", OnVoicemail::Ignore), ("report", OnVoicemail::Report), ("rollback", OnVoicemail::Rollback)];

pub(super) fn voicemail(section: &Section<'_>) -> Voicemail {
    let voicemail = Voicemail {
        on_voicemail: section.choice("on_voicemail", POLICIES, OnVoicemail::Report),
        speech: section.seconds("speech_s", 2..=30, 5),
        listen: section.seconds("listen_s", 3..=30, 12),
    };
    section.finish();
    voicemail
}
