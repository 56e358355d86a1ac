//! Presence words, and what they mean for ringing somebody.
//!
//! Microsoft's words are an open set in changing case. A word nobody here has heard of is unknown, never guessed.

use super::evidence::Verdict;

/// What presence says about ringing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Free {
    /// Ring.
    Yes,
    /// Probably there; ask or ring with patience.
    AskFirst,
    /// In a call or meeting, presenting, or not to be disturbed.
    No,
    /// No client is online, or the person wants it to look so.
    Offline,
    /// No word, or one we do not know.
    Unknown,
}

impl Free {
    /// The stable word.
    pub fn code(self) -> &'static str {
        match self {
            Free::Yes => "free",
            Free::AskFirst => "ask_first",
            Free::No => "busy",
            Free::Offline => "offline",
            Free::Unknown => "presence_unknown",
        }
    }

    /// As the verdict of the presence check. "Appear offline" reads offline as well, so it is no proof of absence;
    /// still nobody is rung there when presence decides.
    pub fn verdict(self) -> Verdict {
        match self {
            Free::Yes | Free::AskFirst => Verdict::Pass,
            Free::No | Free::Offline => Verdict::Fail,
            Free::Unknown => Verdict::Unknown,
        }
    }
}

/// What `availability` and `activity` come to together.
pub fn free(availability: &str, activity: &str) -> Free {
    let (availability, activity) = (availability.trim().to_lowercase(), activity.trim().to_lowercase());
    // In a call or meeting is the rule that matters, so either word may say it.
    const ENGAGED: [&str; 4] = ["inacall", "inaconferencecall", "inameeting", "presenting"];
    if ENGAGED.contains(&&*availability) || ENGAGED.contains(&&*activity) {
        return Free::No;
    }
    match &*availability {
        "available" => Free::Yes,
        "availableidle" if activity == "inactive" => Free::AskFirst,
        "availableidle" => Free::Yes,
        "away" | "berightback" => Free::AskFirst,
        "busy" | "busyidle" | "donotdisturb" | "focusing" => Free::No,
        "offline" => Free::Offline,
        _ => Free::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_in_any_case() {
        let cases = [
            ("Available", "Available", Free::Yes),
            ("available", "available", Free::Yes),
            ("AvailableIdle", "Available", Free::Yes),
            ("AvailableIdle", "Inactive", Free::AskFirst),
            ("Away", "Away", Free::AskFirst),
            ("beRightBack", "beRightBack", Free::AskFirst),
            ("Busy", "InACall", Free::No),
            ("Busy", "Busy", Free::No),
            ("busyIdle", "busy", Free::No),
            ("DoNotDisturb", "UrgentInterruptionsOnly", Free::No),
            ("focusing", "", Free::No),
            ("inAMeeting", "", Free::No),
            ("Available", "InAConferenceCall", Free::No),
            ("Available", "Presenting", Free::No),
            ("offline", "offWork", Free::Offline),
            ("Offline", "OutOfOffice", Free::Offline),
            ("PresenceUnknown", "PresenceUnknown", Free::Unknown),
            ("Levitating", "Levitating", Free::Unknown),
            ("", "", Free::Unknown),
        ];
        for (availability, activity, right) in cases {
            assert_eq!(free(availability, activity), right, "{availability} {activity}");
        }
    }
}
