//! `sidetone check`, the part about recordings: opened before the gateway refuses to start for want of one.

use std::path::Path;

use sbc_config::{Code, Config, Finding, Severity};
use sidetone::gateway::{RecordingError, unplayable};

/// Everything that is wrong with the music on hold and the prompts of a configuration.
pub(super) fn examine(config: &Config, file: &Path) -> Vec<Finding> {
    let beside = file.parent().unwrap_or(Path::new("."));
    // The file again, for the lines; it was read a moment ago.
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let found = |error: RecordingError| {
        let key = error.setting.split('.').nth(1).unwrap_or_default();
        let line = text.lines().position(|line| line.trim_start().starts_with(key));
        Finding {
            severity: Severity::Error,
            code: Code::RecordingUnreadable,
            line: line.map_or(1, |at| at + 1),
            column: 1,
            message: format!("{} cannot be played: {}", error.path.display(), error.source),
            path: error.setting,
            remedy: "name a WAV file of 16-bit samples at 8 or 16 kHz; its path starts at this file"
                .to_owned(),
        }
    };
    unplayable(config, beside).into_iter().map(found).collect()
}
