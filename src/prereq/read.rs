//! From Graph's answers about a person to evidence.
//!
//! Every field may be absent, null or of a word not known here; then the check is unknown, never failed. So is a
//! check whose answer was refused for lack of a permission: that says nothing about the person.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::Check;
use super::evidence::{Evidence, Source, Subject, Verdict};
use super::presence;

/// The licence plans that carry Teams Phone, by id: names have changed before.
const PHONE_PLANS: [&str; 3] = [
    "4828c8ec-dc2e-4779-b502-87ac9ce28ab7",
    "db23fce2-a974-42ef-9002-d78dd42a0f22",
    "ed777b71-af04-42ca-9798-84344c66f7c6",
];
/// Those of resource accounts: a voice application has one, a person never.
const RESOURCE_PLANS: [&str; 2] =
    ["f47330e9-c134-43b3-9993-e7f004506889", "0628a73f-3b4a-4989-bd7b-0f8823144313"];
const PHONE_PREFIX: &str = "MCOEV";
const RESOURCE_PREFIX: &str = "MCOEV_VIRTUALUSER";

/// What came back for one question.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// This.
    Got(Value),
    /// 404.
    NotFound,
    /// 403: the permission named is not granted.
    Forbidden(&'static str),
    /// This cloud has no such question.
    NotHere,
    /// Throttled, down, too slow, or not understood.
    Failed(String),
}

/// The answers about one person.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    /// `/users/{id}`
    pub user: Answer,
    /// `/users/{id}/licenseDetails`
    pub licences: Answer,
    /// `/admin/teams/userConfigurations/{id}`
    pub voice: Answer,
    /// `/admin/teams/telephoneNumberManagement/numberAssignments`
    pub numbers: Answer,
}

/// A kind of telephone number of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phone {
    /// The primary number assigned in Teams.
    Teams,
    /// The office phone.
    Business,
    /// The mobile.
    Mobile,
    /// The fax; never used unless listed.
    Fax,
}

impl From<sbc_config::DirectoryPhone> for Phone {
    fn from(phone: sbc_config::DirectoryPhone) -> Phone {
        match phone {
            sbc_config::DirectoryPhone::Teams => Phone::Teams,
            sbc_config::DirectoryPhone::Business => Phone::Business,
            sbc_config::DirectoryPhone::Mobile => Phone::Mobile,
            sbc_config::DirectoryPhone::Fax => Phone::Fax,
        }
    }
}

/// The names a person goes by, once the directory has answered.
pub fn names(user: &Answer) -> Vec<Subject> {
    let Answer::Got(user) = user else { return Vec::new() };
    let name = |field: &str| text(user, field).filter(|name| !name.is_empty()).map(Subject::person);
    ["id", "userPrincipalName"].into_iter().filter_map(name).collect()
}

/// Everything the four answers say about `subject`. `phones` is the order in which numbers are preferred.
pub fn person(subject: &Subject, answers: &Answers, phones: &[Phone], at: SystemTime) -> Vec<Evidence> {
    let reader = Reader { subject, at };
    let mut all = vec![
        reader.exists(&answers.user),
        reader.kind(answers),
        reader.licence(&answers.licences, &answers.voice),
        reader.enterprise_voice(&answers.voice),
        reader.office_phone(&answers.user, &answers.voice, phones),
        reader.teams_number(&answers.numbers, &answers.voice),
    ];
    all.extend(reader.teams_only(&answers.voice));
    all
}

/// What the assignments of a number say of it, and the person who has it, if one does: a voice application may too.
pub fn holder(number: &Subject, answer: &Answer, at: SystemTime) -> (Evidence, Option<Subject>) {
    let reader = Reader { subject: number, at };
    let evidence = reader.teams_number(answer, &Answer::NotHere);
    let Answer::Got(list) = answer else { return (evidence, None) };
    let list = list.get("value").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let of_person = |one: &&Value| {
        text(one, "assignmentStatus").is_some_and(|status| status.eq_ignore_ascii_case("userAssigned"))
    };
    let person = list.iter().find(of_person).and_then(|one| text(one, "assignmentTargetId"));
    (evidence, person.filter(|id| is_guid(id)).map(Subject::person))
}

/// One `getPresencesByUserId` entry; none when the person is not among the answers.
pub fn presence(subject: &Subject, entry: Option<&Value>, at: SystemTime) -> Vec<Evidence> {
    let reader = Reader { subject, at };
    let word = |field| entry.and_then(|entry| text(entry, field)).unwrap_or_default();
    let free = presence::free(word("availability"), word("activity"));
    let away = entry
        .and_then(|entry| entry.pointer("/outOfOfficeSettings/isOutOfOffice"))
        .and_then(Value::as_bool)
        .unwrap_or_default();
    let detail = if away { "out of office" } else { "" };
    // Offline is the only useful word about clients: which ones are signed in cannot be listed.
    let client = match free {
        presence::Free::Offline => Verdict::Fail,
        _ => Verdict::Unknown,
    };
    vec![
        reader.say(Check::Presence, free.verdict(), free.code()).saying(detail),
        reader.say(
            Check::DesktopClient,
            client,
            if client == Verdict::Fail { "offline" } else { "cannot_be_listed" },
        ),
    ]
}

struct Reader<'a> {
    subject: &'a Subject,
    at: SystemTime,
}

impl Reader<'_> {
    fn say(&self, check: Check, verdict: Verdict, code: &'static str) -> Evidence {
        Evidence::new(check, self.subject.clone(), verdict, code, Source::Graph, self.at)
    }

    /// What an answer without content says about a check.
    fn unanswered(&self, check: Check, answer: &Answer) -> Evidence {
        let unknown = |code| self.say(check, Verdict::Unknown, code);
        match answer {
            Answer::Forbidden(permission) => {
                unknown("permission_missing").saying(format!("missing permission {permission}"))
            }
            Answer::NotHere => unknown("not_in_this_cloud"),
            Answer::Failed(why) => unknown("source_unavailable").saying(why.clone()),
            Answer::NotFound | Answer::Got(_) => unknown("not_said"),
        }
    }

    fn exists(&self, user: &Answer) -> Evidence {
        let check = Check::Exists;
        match user {
            Answer::Got(user) => {
                let evidence = match user.get("accountEnabled").and_then(Value::as_bool) {
                    Some(true) => self.say(check, Verdict::Pass, "enabled"),
                    Some(false) => self.say(check, Verdict::Fail, "account_disabled"),
                    None => self.say(check, Verdict::Unknown, "not_said"),
                };
                // The object id is what is dialled over VOIP.
                match text(user, "id").filter(|id| is_guid(id)) {
                    Some(id) => evidence.with_value(id.to_lowercase()),
                    None => evidence,
                }
            }
            Answer::NotFound => self.say(check, Verdict::Fail, "no_such_user"),
            other => self.unanswered(check, other),
        }
    }

    fn kind(&self, answers: &Answers) -> Evidence {
        let check = Check::Kind;
        let say = |verdict, code| self.say(check, verdict, code);
        let account = match &answers.voice {
            Answer::Got(voice) => text(entity(voice), "accountType").map(str::to_lowercase),
            _ => None,
        };
        match account.as_deref() {
            Some("resourceaccount") => return say(Verdict::Fail, "resource_account"),
            Some("ineligibleuser") => return say(Verdict::Fail, "ineligible_user"),
            Some("sfbonpremuser") => return say(Verdict::Fail, "homed_on_premises"),
            _ => {}
        }
        if plans(&answers.licences).any(|plan| plan.resource_account()) {
            return say(Verdict::Fail, "resource_account");
        }
        let user = match &answers.user {
            Answer::Got(user) => user,
            other => return self.unanswered(check, other),
        };
        let kind = text(user, "userType").unwrap_or_default();
        let principal = text(user, "userPrincipalName").unwrap_or_default();
        if kind.eq_ignore_ascii_case("guest")
            || account.as_deref() == Some("guest")
            || principal.contains("#EXT#")
        {
            return say(Verdict::Fail, "guest");
        }
        match kind.to_lowercase().as_str() {
            "member" => say(Verdict::Pass, "member"),
            _ => say(Verdict::Unknown, "kind_unknown"),
        }
    }

    fn licence(&self, licences: &Answer, voice: &Answer) -> Evidence {
        let check = Check::Licence;
        let found = match licences {
            Answer::Got(_) => {
                let plans: Vec<_> = plans(licences).filter(Plan::phone).collect();
                let any = |status: fn(&str) -> bool| plans.iter().any(|plan| status(&plan.status));
                if plans.is_empty() {
                    self.say(check, Verdict::Fail, "no_phone_licence")
                } else if any(|status| status == "success") {
                    self.say(check, Verdict::Pass, "licensed")
                } else if any(|status| status.starts_with("pending")) {
                    self.say(check, Verdict::Unknown, "pending")
                        .saying("a new licence may need up to 24 hours")
                } else if any(|status| status != "disabled" && status != "error") {
                    self.say(check, Verdict::Unknown, "status_unknown")
                } else {
                    self.say(check, Verdict::Fail, "licence_disabled")
                }
            }
            other => self.unanswered(check, other),
        };
        // Teams lists PhoneSystem among a person's features only when the licence is in force.
        let featured = match voice {
            Answer::Got(voice) => entity(voice)
                .get("featureTypes")
                .and_then(Value::as_array)
                .is_some_and(|all| all.iter().any(|one| one.as_str() == Some("PhoneSystem"))),
            _ => false,
        };
        match found.verdict {
            Verdict::Unknown if featured => self.say(check, Verdict::Pass, "phone_system_feature"),
            _ => found,
        }
    }

    fn enterprise_voice(&self, voice: &Answer) -> Evidence {
        let check = Check::EnterpriseVoice;
        match voice {
            Answer::Got(voice) => {
                match entity(voice).get("isEnterpriseVoiceEnabled").and_then(Value::as_bool) {
                    Some(true) => self.say(check, Verdict::Pass, "on"),
                    Some(false) => self.say(check, Verdict::Fail, "off"),
                    None => self.say(check, Verdict::Unknown, "not_said"),
                }
            }
            Answer::NotFound => self.say(check, Verdict::Fail, "not_a_teams_user"),
            other => self.unanswered(check, other),
        }
    }

    fn office_phone(&self, user: &Answer, voice: &Answer, phones: &[Phone]) -> Evidence {
        let check = Check::OfficePhone;
        let field = |name: &str| match user {
            Answer::Got(user) => text(user, name).map(str::to_owned),
            _ => None,
        };
        let of = |phone: &Phone| match phone {
            Phone::Teams => primary(voice),
            Phone::Business => match user {
                Answer::Got(user) => {
                    user.pointer("/businessPhones/0").and_then(Value::as_str).map(str::to_owned)
                }
                _ => None,
            },
            Phone::Mobile => field("mobilePhone"),
            Phone::Fax => field("faxNumber"),
        };
        match phones.iter().filter_map(of).find(|number| !number.trim().is_empty()) {
            Some(number) => self.say(check, Verdict::Pass, "listed").with_value(number),
            None => match user {
                Answer::Got(_) => self.say(check, Verdict::Fail, "no_number_listed"),
                other => self.unanswered(check, other),
            },
        }
    }

    fn teams_number(&self, numbers: &Answer, voice: &Answer) -> Evidence {
        let check = Check::TeamsNumber;
        let list = match numbers {
            Answer::Got(list) => list,
            // Without the list of assignments the person's own number is at least a value to compare.
            other => {
                let evidence = self.unanswered(check, other);
                return match primary(voice) {
                    Some(number) => evidence.with_value(number),
                    None => evidence,
                };
            }
        };
        let list = list.get("value").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let is = |one: &Value, field: &str, word: &str| {
            text(one, field).is_some_and(|value| value.eq_ignore_ascii_case(word))
        };
        let ours = list.iter().find(|one| is(one, "numberType", "directRouting"));
        match ours {
            Some(one) => {
                let evidence = match text(one, "activationState") {
                    Some(state) if state.eq_ignore_ascii_case("activated") => {
                        self.say(check, Verdict::Pass, "direct_routing_number")
                    }
                    Some(_) => self.say(check, Verdict::Fail, "number_not_activated"),
                    None => self.say(check, Verdict::Unknown, "not_said"),
                };
                match text(one, "telephoneNumber") {
                    Some(number) => evidence.with_value(number),
                    None => evidence,
                }
            }
            None if list.is_empty() => self.say(check, Verdict::Fail, "no_number_assigned"),
            None => self.say(check, Verdict::Fail, "number_of_other_kind"),
        }
    }

    /// Teams says nothing of the mode to Graph, except that somebody is still at home on-premises.
    fn teams_only(&self, voice: &Answer) -> Option<Evidence> {
        let Answer::Got(voice) = voice else { return None };
        let on_premises = text(entity(voice), "accountType")?.eq_ignore_ascii_case("sfbOnPremUser");
        on_premises.then(|| self.say(Check::TeamsOnly, Verdict::Fail, "homed_on_premises"))
    }
}

/// The printed sample of a single configuration wraps it in `value`; both shapes are accepted.
fn entity(voice: &Value) -> &Value {
    match voice.get("value") {
        Some(Value::Array(several)) => several.first().unwrap_or(voice),
        Some(one @ Value::Object(_)) => one,
        _ => voice,
    }
}

fn primary(voice: &Answer) -> Option<String> {
    let Answer::Got(voice) = voice else { return None };
    let numbers = entity(voice).get("telephoneNumbers")?.as_array()?;
    let primary = |one: &&Value| {
        text(one, "assignmentCategory").is_some_and(|category| category.eq_ignore_ascii_case("primary"))
    };
    let one = numbers.iter().find(primary).or(numbers.first())?;
    text(one, "telephoneNumber").map(str::to_owned)
}

struct Plan {
    id: String,
    name: String,
    status: String,
}

impl Plan {
    fn resource_account(&self) -> bool {
        RESOURCE_PLANS.contains(&&*self.id) || self.name.starts_with(RESOURCE_PREFIX)
    }

    fn phone(&self) -> bool {
        !self.resource_account() && (PHONE_PLANS.contains(&&*self.id) || self.name.starts_with(PHONE_PREFIX))
    }
}

fn plans(licences: &Answer) -> impl Iterator<Item = Plan> {
    let list = match licences {
        Answer::Got(list) => list.get("value").and_then(Value::as_array).map_or(&[][..], Vec::as_slice),
        _ => &[],
    };
    let plans = list.iter().filter_map(|one| one.get("servicePlans")?.as_array()).flatten();
    plans.map(|plan| Plan {
        id: text(plan, "servicePlanId").unwrap_or_default().to_lowercase(),
        name: text(plan, "servicePlanName").unwrap_or_default().to_uppercase(),
        status: text(plan, "provisioningStatus").unwrap_or_default().to_lowercase(),
    })
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(Value::as_str)
}

/// 8-4-4-4-12 hexadecimal digits.
pub(crate) fn is_guid(text: &str) -> bool {
    let mut parts = text.split('-');
    let fits = [8, 4, 4, 4, 12].into_iter().all(|length| {
        parts.next().is_some_and(|part| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit()))
    });
    fits && parts.next().is_none()
}

#[cfg(test)]
mod tests;
