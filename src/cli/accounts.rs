//! `sidetone check --online`, the part about accounts at Microsoft: each of them signs in, once.

use sbc_config::{AppCredential, Config, Integration};
use sidetone::prereq::account::{self, Tested};
use sidetone::prereq::{Engine, Verdict};
use sidetone::sip::names::judge::{Judged, Weight};

use super::online::Tried;

/// Signs in with every account and looks at what the token may read.
pub(super) async fn try_all(config: &Config) -> Vec<Tried> {
    if config.integrations.is_empty() {
        return Vec::new();
    }
    let engine = match Engine::new() {
        Ok(engine) => engine,
        Err(error) => {
            let message = error.to_string();
            let remedy = "HTTP cannot be spoken on this machine";
            return vec![Tried::judged(
                "integration".to_owned(),
                Judged { weight: Weight::Wrong, message, remedy },
            )];
        }
    };
    engine.configure(&config.integrations);
    let mut tried = Vec::new();
    for settings in &config.integrations {
        let Some(account) = engine.account(&settings.tenant) else { continue };
        let judged = judge(settings, account::test(&account).await);
        tried.push(Tried::judged(format!("integration[{}]", settings.tenant), judged));
    }
    tried
}

fn judge(settings: &Integration, tested: Tested) -> Judged {
    let Tested { verdict, detail, host, correlation_id, roles, .. } = tested;
    if verdict == Verdict::Pass {
        let missing = account::missing_roles(settings, &roles);
        let (weight, message, remedy) = match missing.is_empty() {
            true => {
                (Weight::Well, "Entra gives it a token, with every permission".to_owned(), "nothing to do")
            }
            false => {
                let message = format!("Entra gives it a token without the permission {}", missing.join(", "));
                (
                    Weight::Doubtful,
                    message,
                    "grant it: sidetone consent-url prints where; until then it is unknown",
                )
            }
        };
        return Judged { weight, message, remedy };
    }
    if matches!(settings.credential, AppCredential::None) {
        let message = "it has no credential, so nobody is looked up".to_owned();
        let remedy = "name client_secret_file, a certificate or a managed identity; or import all evidence";
        return Judged { weight: Weight::Doubtful, message, remedy };
    }
    let at = host.map(|host| format!("{host}: ")).unwrap_or_default();
    let attempt = correlation_id.map(|id| format!(" (correlation id {id})")).unwrap_or_default();
    let message = format!("{at}no token: {}{attempt}", detail.unwrap_or("no reason is known"));
    let remedy = match verdict {
        Verdict::Unknown => "is the way to it open? sidetone check --ports",
        _ => "mend the [[integration]], or the application in Entra",
    };
    Judged { weight: Weight::Wrong, message, remedy }
}
