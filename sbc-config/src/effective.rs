//! What a trunk comes to: every setting with its value, and whether the file, the profile or the default says so.

use std::fmt::Write as _;

use toml::de::{DeTable, DeValue};

use crate::Config;
use crate::id::TrunkId;
use crate::numbering::NumberRule;
use crate::read::words;
use crate::trunk::Trunk;

/// The trunk as TOML that could stand in the file, each line with its origin. `None` if there is no such trunk.
/// `text` is the file that `config` was read from. Passwords are left out.
#[must_use]
pub fn explain_trunk(config: &Config, text: &str, id: &TrunkId) -> Option<String> {
    let trunk = config.trunk(id)?;
    let (root, _) = DeTable::parse_recoverable(text);
    let array = root.get_ref().get("trunk").and_then(|value| value.get_ref().as_array());
    let mut tables =
        array.into_iter().flat_map(|array| array.iter()).filter_map(|item| item.get_ref().as_table());
    let own = tables.find(|table| {
        table.get("id").and_then(|value| DeValue::as_str(value.get_ref())) == Some(id.as_str())
    });
    let written = |key: &str| own.is_some_and(|table| table.contains_key(key));
    let mut shown = String::from("[[trunk]]\n");
    for (key, value) in settings(trunk) {
        let merged = key == "tls" && trunk.profile.is_some_and(|profile| profile.table().contains_key(key));
        let own_name = if key == "destinations" && written("destination") { "destination" } else { key };
        let origin = match trunk.profile {
            Some(profile) if written(own_name) && merged => format!("this file over profile {profile}"),
            _ if written(own_name) => "this file".to_owned(),
            Some(profile) if profile.table().contains_key(key) => format!("profile {profile}"),
            _ => "default".to_owned(),
        };
        // Writing to a String cannot fail.
        let _ = match value {
            Some(value) => writeln!(shown, "{key} = {value}    # {origin}"),
            None => writeln!(shown, "# {key} is not set    # {origin}"),
        };
    }
    Some(shown)
}

/// Every setting of a trunk in the order of the documentation, as TOML; `None` where it is not set.
fn settings(trunk: &Trunk) -> Vec<(&'static str, Option<String>)> {
    let seconds = |duration: std::time::Duration| duration.as_secs().to_string();
    let texts =
        |items: Vec<String>| Some(format!("[{}]", items.iter().map(quoted).collect::<Vec<_>>().join(", ")));
    let list = |items: Vec<String>| (!items.is_empty()).then(|| texts(items)).flatten();
    let shown = |items: &[_]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
    let rules = |rules: &[NumberRule]| {
        (!rules.is_empty()).then(|| format!("[{}]", rules.iter().map(rule).collect::<Vec<_>>().join(", ")))
    };
    let word = |word: &str| Some(quoted(word));
    vec![
        ("id", word(trunk.id.as_str())),
        ("tenant", word(trunk.tenant.as_str())),
        ("dialect", word(words::word(words::DIALECTS, &trunk.dialect))),
        ("sources", texts(trunk.sources.iter().map(ToString::to_string).collect())),
        ("fqdn", trunk.fqdn.as_ref().map(quoted)),
        ("certificate", trunk.certificate.as_ref().map(quoted)),
        ("destinations", list(trunk.destinations.iter().map(ToString::to_string).collect())),
        ("tls", Some(tls(trunk))),
        (
            "auth",
            trunk.auth.as_ref().map(|auth| {
                format!("{{ username = {}, realm = {} }}", quoted(&auth.username), quoted(&auth.realm))
            }),
        ),
        (
            "register",
            trunk.register.as_ref().map(|register| {
                format!(
                    "{{ registrar = {}, address_of_record = {}, expires_s = {}, backoff_min_s = {}, backoff_max_s = {} }}",
                    quoted(&register.registrar),
                    quoted(&register.address_of_record),
                    register.expires.as_secs(),
                    register.backoff_min.as_secs(),
                    register.backoff_max.as_secs(),
                )
            }),
        ),
        ("options_s", trunk.options_interval.map(seconds)),
        ("failover_s", Some(seconds(trunk.failover))),
        ("retry_after_max_s", Some(seconds(trunk.retry_after_max))),
        ("session_timer_s", trunk.session_timer.map(seconds)),
        ("prack", word(words::word(words::PRACK, &trunk.prack))),
        ("ringback", word(words::word(words::RINGBACK, &trunk.ringback))),
        ("codecs", trunk.codecs.as_ref().and_then(|c| texts(c.iter().map(|c| c.name().to_owned()).collect()))),
        ("srtp", word(words::word(words::SRTP, &trunk.srtp))),
        ("srtp_suites", texts(trunk.srtp_suites.iter().map(|suite| suite.name().to_owned()).collect())),
        ("hold", word(words::word(words::HOLD, &trunk.hold))),
        ("transfer", word(words::word(words::TRANSFER, &trunk.transfer))),
        ("caller_identity", word(words::word(words::CALLER_IDENTITY, &trunk.caller_identity))),
        ("privacy", word(words::word(words::PRIVACY, &trunk.privacy))),
        ("diversion_in", word(words::word(words::DIVERSIONS, &trunk.diversion_in))),
        ("diversion_out", word(words::word(words::DIVERSIONS, &trunk.diversion_out))),
        ("pass_identity", Some(trunk.pass_identity.to_string())),
        ("pidf_lo", Some(trunk.pidf_lo.to_string())),
        ("charge_to", trunk.charge_to.as_ref().map(quoted)),
        ("numbers_in", rules(&trunk.numbers_in)),
        ("numbers_out", rules(&trunk.numbers_out)),
        ("caller_numbers_out", rules(&trunk.caller_numbers_out)),
        ("x_ms_sbc", trunk.x_ms_sbc.as_ref().map(quoted)),
        ("channels_max", trunk.channels_max.map(|most| most.to_string())),
        ("calls_per_second_max", trunk.calls_per_second_max.map(|most| most.to_string())),
        ("minutes_per_day_max", trunk.minutes_per_day_max.map(|most| most.to_string())),
        ("destinations_allowed", trunk.destinations_allowed.as_deref().map(shown).and_then(texts)),
        ("allowed_caller_ids", trunk.allowed_caller_ids.as_deref().map(shown).and_then(texts)),
        (
            "caller_id_policy",
            trunk
                .allowed_caller_ids
                .as_ref()
                .and_then(|_| word(words::word(words::CALLER_ID_POLICY, &trunk.caller_id_policy))),
        ),
        ("card", Some(trunk.card.to_string())),
        ("context_headers", word(words::word(words::CONTEXT_HEADERS, &trunk.context_headers))),
    ]
}

fn tls(trunk: &Trunk) -> String {
    let tls = &trunk.tls;
    let mut parts = vec![format!("verify = {}", quoted(words::word(words::VERIFY, &tls.verify)))];
    if !tls.names.is_empty() {
        let names: Vec<_> = tls.names.iter().map(|name| quoted(name.as_str())).collect();
        parts.push(format!("names = [{}]", names.join(", ")));
    }
    parts.extend(tls.roots_file.as_ref().map(|file| format!("roots_file = {}", quoted(file.display()))));
    parts.push(format!("min_version = {}", quoted(words::word(words::TLS_VERSIONS, &tls.min_version))));
    parts.push(format!("max_version = {}", quoted(words::word(words::TLS_VERSIONS, &tls.max_version))));
    format!("{{ {} }}", parts.join(", "))
}

fn rule(rule: &NumberRule) -> String {
    match rule {
        NumberRule::StripPlus => "{ strip_plus = true }".to_owned(),
        NumberRule::AddPrefix(prefix) => format!("{{ add_prefix = {} }}", quoted(prefix)),
        NumberRule::StripPrefix(prefix) => format!("{{ strip_prefix = {} }}", quoted(prefix)),
        NumberRule::ReplacePrefix { from, to } => {
            format!("{{ replace_prefix = {{ from = {}, to = {} }} }}", quoted(from), quoted(to))
        }
        NumberRule::National { country, trunk_prefix } => {
            let prefix = if trunk_prefix.is_empty() { "false".to_owned() } else { quoted(trunk_prefix) };
            format!("{{ national = {{ country = {}, trunk_prefix = {prefix} }} }}", quoted(country))
        }
    }
}

/// A text as TOML writes it.
fn quoted(text: impl ToString) -> String {
    toml::Value::String(text.to_string()).to_string()
}
