//! The account at Microsoft, the evidence behind prerequisites, and the question whether somebody may be rung.

use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use sbc_config::TenantId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::ApiState;
use super::auth::Caller;
use super::extract::Body;
use super::problem::Problem;
use crate::call::rights::{Actor, Denial};
use crate::observe::{AuditRecord, Journal as _};
use crate::prereq::account::{self, Tested};
use crate::prereq::gather::{Account, Options};
use crate::prereq::read::Phone;
use crate::prereq::rule::target;
use crate::prereq::{
    About, Check, Evidence, Finding, Need, Remedy, Route, Source, Subject, Verdict, Weight, collect,
};

/// People who can be enabled one by one; more are enabled by leaving the list out.
const PEOPLE_MAX: usize = 5_000;
/// The longest name of one of them.
const NAME_BYTES_MAX: usize = 256;

/// What an administrator chooses. Credentials and addresses are not among it: they stand in the configuration.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"client_id": "aaaaaaaa-0000-0000-0000-000000000001", "phones": ["business", "teams"]}))]
pub(super) struct NewIntegration {
    /// The client id of the account that is meant; another one than the configured is refused.
    #[schema(nullable = false)]
    pub client_id: Option<String>,
    /// The Entra tenant that is meant; another one than the configured is refused.
    #[schema(nullable = false)]
    pub entra_tenant: Option<String>,
    /// Which numbers of a directory entry are dialled, the preferred first: `teams`, `business`, `mobile`, `fax`.
    #[schema(nullable = false, value_type = Vec<String>)]
    pub phones: Option<Vec<Phone>>,
    /// Who may be asked, by object id or user principal name; everybody when absent.
    #[schema(nullable = false)]
    pub people: Option<Vec<String>>,
    /// The last day of the credential, as read in the portal.
    #[schema(nullable = false)]
    pub expires: Option<String>,
    /// Never accepted: a credential belongs into a file or the environment of the gateway.
    #[schema(nullable = false, write_only)]
    pub client_secret: Option<Value>,
}

/// The account of a tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"tenant": "acme", "entra_tenant": "11111111-2222-3333-4444-555555555555",
    "client_id": "aaaaaaaa-0000-0000-0000-000000000001", "credential": "secret", "complete": true,
    "phones": ["business", "teams", "mobile"]}))]
pub(super) struct IntegrationView {
    /// Whose.
    pub tenant: String,
    /// The tenant at Entra.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub entra_tenant: Option<String>,
    /// The application.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub client_id: Option<String>,
    /// `none`, `secret`, `certificate` or `managed_identity`. Never the credential itself.
    pub credential: &'static str,
    /// Whether everything a sign-in needs is there.
    pub complete: bool,
    /// Which numbers are dialled, the preferred first.
    #[schema(value_type = Vec<String>)]
    pub phones: Vec<Phone>,
    /// Who may be asked; everybody when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub people: Option<Vec<String>>,
    /// The last day of the credential, as somebody read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expires: Option<String>,
    /// Where an administrator of the tenant grants the permissions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub consent_url: Option<String>,
}

/// What a test of the connection came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"verdict": "fail", "message": "Error: Failed to request refresh token",
    "hint": "secret_wrong", "detail": "the client secret is wrong; often its ID was pasted instead of its Value"}))]
pub(super) struct ConnectionTest {
    /// `pass`, `fail`, or `unknown` when nothing can be said about the credential.
    pub verdict: &'static str,
    /// The message for people, when the credential is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<&'static str>,
    /// A stable word for why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub hint: Option<&'static str>,
    /// The word in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<&'static str>,
    /// Who was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub host: Option<String>,
    /// What Microsoft calls the attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub correlation_id: Option<String>,
    /// The permissions granted.
    pub roles: Vec<String>,
}

/// Evidence from outside: exactly one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"attest": {"check": "T10", "verdict": "pass", "note": "firewall change 4711"}}))]
pub(super) struct NewEvidence {
    /// The file of the collector, as JSON.
    #[schema(nullable = false, value_type = Object)]
    pub import: Option<Value>,
    /// An operator's word.
    #[schema(nullable = false)]
    pub attest: Option<Attestation>,
}

/// An operator's word.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Attestation {
    /// The check, by id or name.
    pub check: String,
    /// `pass`, `fail` or `not_applicable`.
    pub verdict: String,
    /// Whom about, for checks of a person: object id or user principal name.
    #[schema(nullable = false)]
    pub person: Option<String>,
    /// Why you are sure.
    pub note: String,
    /// When it was looked at; now when absent.
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub observed_at: Option<Timestamp>,
}

/// How much was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Taken {
    /// Pieces of evidence.
    pub taken: usize,
}

/// One check.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct FindingView {
    /// `T07`, `U03`.
    pub check: &'static str,
    /// The check in words of a program.
    pub name: &'static str,
    /// What is so when it passes.
    pub title: &'static str,
    /// `pass`, `fail`, `unknown` or `not_applicable`.
    pub verdict: &'static str,
    /// A stable word for why.
    pub code: String,
    /// `clear`, `warns` or `refuses`.
    pub weight: &'static str,
    /// What it rests on; absent when nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub evidence: Option<EvidenceView>,
    /// What would mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub remedy: Option<RemedyView>,
}

/// Evidence.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct EvidenceView {
    /// `graph`, `arm`, `entra`, `acs`, `sip`, `import`, `attested`, `call_outcome` or `config`.
    pub source: &'static str,
    /// When it was seen.
    #[schema(value_type = String, format = DateTime)]
    pub observed_at: Timestamp,
    /// From when on it no longer counts.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// A sentence for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What would mend a finding.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct RemedyView {
    /// Who can: `teams_administrator`, `operator` and others.
    #[schema(value_type = String)]
    pub who: crate::prereq::Who,
    /// What to do.
    pub text: String,
    /// The exact command.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub command: Option<String>,
    /// Where to click instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub portal: Option<&'static str>,
}

impl ApiState {
    /// The tenant whose account a caller may look at or change.
    fn own_tenant(&self, caller: &Caller, act: &'static str) -> Result<TenantId, Problem> {
        match &caller.principal.actor {
            Actor::TenantAdmin { tenant } | Actor::Integration { tenant } => Ok(tenant.clone()),
            Actor::Agent { .. } | Actor::Supervisor { .. } | Actor::Operator => {
                Err(self.refused(caller, act, "integration", Denial::RoleForbids))
            }
        }
    }

    fn own_account(&self, tenant: &TenantId) -> Result<std::sync::Arc<Account>, Problem> {
        self.engine()?.account(tenant).ok_or_else(|| Problem::not_found("integration"))
    }

    fn audited(&self, caller: &Caller, act: &'static str, detail: Value) {
        self.ledger().audit(AuditRecord {
            at: SystemTime::now(),
            tenant: caller.principal.actor.tenant().cloned(),
            token: caller.principal.token.clone(),
            person: None,
            act,
            target: "integration".to_owned(),
            outcome: "allowed".to_owned(),
            detail,
        });
    }
}

fn view(account: &Account) -> IntegrationView {
    use sbc_config::AppCredential;
    let (settings, options) = (&account.settings, account.options());
    IntegrationView {
        tenant: settings.tenant.to_string(),
        entra_tenant: settings.entra_tenant.as_deref().map(str::to_owned),
        client_id: settings.client_id.as_deref().map(str::to_owned),
        credential: match settings.credential {
            AppCredential::None => "none",
            AppCredential::Secret(_) => "secret",
            AppCredential::Certificate { .. } => "certificate",
            AppCredential::ManagedIdentity { .. } => "managed_identity",
        },
        complete: crate::prereq::token::complete(settings),
        phones: account.phones(),
        people: options.people,
        expires: options.expires.or_else(|| settings.expires.map(|day| day.to_string())),
        consent_url: account::consent_url(settings, None, "sidetone"),
    }
}

/// Look at the account.
#[utoipa::path(get, path = "/v1/integration/teams", operation_id = "getIntegration", tag = "prerequisites",
    responses((status = 200, description = "The account, without its credential", body = IntegrationView),
        (status = 404, description = "The tenant has none", body = super::problem::ProblemDocument,
            content_type = "application/problem+json")))]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
) -> Result<Json<IntegrationView>, Problem> {
    let tenant = state.own_tenant(&caller, "read_integration")?;
    Ok(Json(view(&*state.own_account(&tenant)?)))
}

/// Choose directory options and who may be asked.
///
/// A tenant has one account. A credential is never accepted here; it stands in a file or in the environment, named by
/// `[[integration]]`.
#[utoipa::path(put, path = "/v1/integration/teams", operation_id = "putIntegration", tag = "prerequisites",
    request_body = NewIntegration,
    responses((status = 200, description = "In force", body = IntegrationView)))]
pub(super) async fn put(
    State(state): State<ApiState>,
    caller: Caller,
    Body(new): Body<NewIntegration>,
) -> Result<Json<IntegrationView>, Problem> {
    let tenant = state.own_tenant(&caller, "change_integration")?;
    if new.client_secret.is_some() {
        let detail = "a credential is not accepted here: name a file or variable in [[integration]]";
        return Err(Problem::invalid("secret_not_accepted", detail));
    }
    let Some(account) = state.engine()?.account(&tenant) else {
        let detail = "the configuration has no [[integration]] for this tenant; its credential belongs there";
        return Err(Problem::new(StatusCode::CONFLICT, "integration_not_configured", detail));
    };
    let other = |given: &Option<String>, ours: Option<&str>| {
        given.as_deref().is_some_and(|given| ours.is_none_or(|ours| !ours.eq_ignore_ascii_case(given)))
    };
    if other(&new.client_id, account.settings.client_id.as_deref())
        || other(&new.entra_tenant, account.settings.entra_tenant.as_deref())
    {
        let detail = "this tenant has an account already, and one is the limit";
        return Err(Problem::new(StatusCode::CONFLICT, "integration_exists", detail));
    }
    let people = new.people.as_ref();
    if people.is_some_and(|all| {
        all.len() > PEOPLE_MAX || all.iter().any(|name| name.trim().is_empty() || name.len() > NAME_BYTES_MAX)
    }) {
        let detail = format!("`people` holds at most {PEOPLE_MAX} names of at most {NAME_BYTES_MAX} bytes");
        return Err(Problem::invalid("body_invalid", detail));
    }
    if new.phones.as_ref().is_some_and(|phones| phones.is_empty() || phones.len() > 4) {
        return Err(Problem::invalid("body_invalid", "`phones` names 1 to 4 kinds, or is left out"));
    }
    if new.expires.as_deref().is_some_and(|day| account::day(day).is_none()) {
        return Err(Problem::invalid("body_invalid", "`expires` is a day, as 2027-01-31"));
    }
    let options = Options { phones: new.phones, people: new.people, expires: new.expires };
    let text = serde_json::to_string(&options).map_err(|_| Problem::internal())?;
    state.store().set_integration(&tenant, &text).await?;
    state.engine()?.choose(&tenant, options);
    state.audited(&caller, "change_integration", serde_json::json!({}));
    Ok(Json(view(&account)))
}

/// Forget the choices and everything known.
///
/// The account itself stands in the configuration; without its choices it is as configured.
#[utoipa::path(delete, path = "/v1/integration/teams", operation_id = "deleteIntegration", tag = "prerequisites",
    responses((status = 204, description = "Forgotten")))]
pub(super) async fn forget(State(state): State<ApiState>, caller: Caller) -> Result<StatusCode, Problem> {
    let tenant = state.own_tenant(&caller, "delete_integration")?;
    let account = state.own_account(&tenant)?;
    state.store().forget_integration(&tenant).await?;
    state.engine()?.choose(&tenant, Options::default());
    state.engine()?.forget(&tenant);
    account.graph.forget_token();
    state.audited(&caller, "delete_integration", serde_json::json!({}));
    Ok(StatusCode::NO_CONTENT)
}

/// Test the connection.
///
/// Signs in anew. What says nothing about the credential is `unknown` and carries no message.
#[utoipa::path(post, path = "/v1/integration/teams/test", operation_id = "testIntegration", tag = "prerequisites",
    responses((status = 200, description = "What came of it", body = ConnectionTest)))]
pub(super) async fn test(
    State(state): State<ApiState>,
    caller: Caller,
) -> Result<Json<ConnectionTest>, Problem> {
    let tenant = state.own_tenant(&caller, "test_integration")?;
    let account = state.own_account(&tenant)?;
    let Tested { verdict, message, hint, detail, host, correlation_id, roles } =
        account::test(&account).await;
    state.engine()?.forget_flights(&tenant);
    Ok(Json(ConnectionTest { verdict: verdict.name(), message, hint, detail, host, correlation_id, roles }))
}

/// Give evidence: the collector's file, or your word.
#[utoipa::path(post, path = "/v1/integration/teams/evidence", operation_id = "giveEvidence", tag = "prerequisites",
    request_body = NewEvidence,
    responses((status = 200, description = "Taken", body = Taken)))]
pub(super) async fn evidence(
    State(state): State<ApiState>,
    caller: Caller,
    Body(new): Body<NewEvidence>,
) -> Result<Json<Taken>, Problem> {
    let tenant = state.own_tenant(&caller, "give_evidence")?;
    let account = state.own_account(&tenant)?;
    let now = SystemTime::now();
    let all = match (new.import, new.attest) {
        (Some(file), None) => {
            let own = account.settings.entra_tenant.as_deref().unwrap_or_default();
            collect::import(&file, own, now)
                .map_err(|error| Problem::invalid(error.code(), error.to_string()))?
        }
        (None, Some(word)) => vec![attested(word, &caller, now)?],
        _ => return Err(Problem::invalid("body_invalid", "give `import` or `attest`, one of them")),
    };
    state.store().keep_evidence(&tenant, &all).await?;
    let taken = all.len();
    state.engine()?.note(&tenant, all);
    state.audited(&caller, "give_evidence", serde_json::json!({ "taken": taken }));
    Ok(Json(Taken { taken }))
}

fn attested(word: Attestation, caller: &Caller, now: SystemTime) -> Result<Evidence, Problem> {
    let wrong = |detail: &'static str| Problem::invalid("body_invalid", detail);
    let check: Check = word.check.parse().map_err(|_| wrong("`check` is T01 to T13 or U01 to U13"))?;
    if Route::ALL.iter().all(|route| check.need(*route) == Need::Not) {
        return Err(wrong("no route needs this check, so nobody's word on it would count"));
    }
    let verdict = match &*word.verdict {
        "pass" => Verdict::Pass,
        "fail" => Verdict::Fail,
        "not_applicable" => Verdict::NotApplicable,
        _ => return Err(wrong("`verdict` is pass, fail or not_applicable")),
    };
    let subject = match (check.about(), &word.person) {
        (About::Tenant, None) => Subject::Tenant,
        (About::Person, Some(person)) => match target(person) {
            Ok(subject @ Subject::Person(_)) => subject,
            _ => return Err(wrong("`person` is a user principal name or an object id")),
        },
        (About::Tenant, Some(_)) => return Err(wrong("this check is about the tenant: leave `person` out")),
        (About::Person, None) => return Err(wrong("this check is about a person: name `person`")),
    };
    if word.note.trim().is_empty() {
        return Err(wrong("`note` says why you are sure"));
    }
    let at = word.observed_at.map_or(now, SystemTime::from);
    if at > now {
        return Err(wrong("`observed_at` lies in the future"));
    }
    // What Entra asks of a person can be proved, so nobody's word replaces it.
    if check == Check::Group {
        return Err(wrong("group membership is read, not attested"));
    }
    let note = word.note.chars().filter(|c| !c.is_control()).take(500).collect();
    let source = Source::Attested { by: caller.principal.token.clone(), note };
    Ok(Evidence::new(check, subject, verdict, "attested", source, at))
}

impl From<Finding> for FindingView {
    fn from(finding: Finding) -> FindingView {
        FindingView {
            check: finding.check.id(),
            name: finding.check.name(),
            title: finding.check.title(),
            verdict: finding.verdict.name(),
            code: finding.code,
            weight: match finding.weight {
                Weight::Clear => "clear",
                Weight::Warns => "warns",
                Weight::Refuses => "refuses",
            },
            evidence: finding.evidence.and_then(|evidence| {
                Some(EvidenceView {
                    source: evidence.source.name(),
                    observed_at: Timestamp::try_from(evidence.observed_at).ok()?,
                    expires_at: Timestamp::try_from(evidence.expires_at).ok()?,
                    detail: evidence.detail,
                })
            }),
            remedy: finding.remedy.map(|Remedy { who, text, command, portal }| RemedyView {
                who,
                text,
                command,
                portal,
            }),
        }
    }
}
