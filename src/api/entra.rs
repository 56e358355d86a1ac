//! Callers whom Entra knows: a signed token instead of one of ours.
//!
//! What such a caller may be comes from the token's app roles; without any, from the groups of the account, as the token
//! or Graph says. What cannot be found out is refused: fail closed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use axum::http::StatusCode;
use sbc_config::{Config, PersonId, TeamId, TenantId};
use serde_json::Value;

use super::problem::Problem;
use crate::call::rights::{Actor, Principal};
use crate::jwks::{Claims, Expects, Jwks, TokenFault};
use crate::prereq::Engine;

/// The longest Entra token that is looked at: with 200 groups it has some 9 KB.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Everybody whose tokens are taken.
#[derive(Default)]
pub struct Issuers(Vec<Issuer>);

/// Issuers that can be exchanged while the API runs.
pub type SharedIssuers = Arc<ArcSwap<Issuers>>;

struct Issuer {
    tenant: TenantId,
    expects: Expects,
    keys: Jwks,
    agent_group: Option<Arc<str>>,
    supervisor_group: Option<Arc<str>>,
    /// Person and teams, by Entra object id.
    people: HashMap<String, (PersonId, Vec<TeamId>)>,
}

/// A caller found good.
pub(super) struct Known {
    pub(super) principal: Principal,
    pub(super) object_id: String,
    pub(super) until: SystemTime,
}

impl Issuers {
    /// The issuers of a configuration.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn of(config: &Config) -> Result<Issuers, reqwest::Error> {
        let http = crate::client::http().build()?;
        let issuer = |account: &sbc_config::Integration| {
            let tokens = account.api_tokens.as_ref()?;
            let texts = |all: &[Arc<str>]| all.iter().map(|one| one.to_string()).collect();
            let person = |(id, person): &(Arc<str>, PersonId)| {
                let teams = config.person(person).map(|known| known.teams.clone()).unwrap_or_default();
                (id.to_string(), (person.clone(), teams))
            };
            Some(Issuer {
                tenant: account.tenant.clone(),
                expects: Expects { issuers: texts(&tokens.issuers), audiences: texts(&tokens.audiences) },
                keys: Jwks::new(tokens.jwks.to_string(), http.clone()),
                agent_group: account.agent_group.clone(),
                supervisor_group: account.supervisor_group.clone(),
                people: tokens.people.iter().map(person).collect(),
            })
        };
        Ok(Issuers(config.integrations.iter().filter_map(issuer).collect()))
    }

    /// Whether a token of this shape is for us to check rather than one of the configured.
    pub(super) fn concerns(&self, token: &str) -> bool {
        !self.0.is_empty() && token.len() <= TOKEN_BYTES_MAX && token.split('.').count() == 3
    }

    /// Whether somebody who was let in may still be this, by their person and teams as they are configured now. The role
    /// is the token's, for as long as that is good.
    pub(super) fn stand_by(&self, object_id: &str, actor: &Actor) -> bool {
        let role = match actor {
            Actor::TenantAdmin { .. } => Role::Admin,
            Actor::Supervisor { .. } => Role::Supervisor,
            Actor::Agent { .. } => Role::Agent,
            Actor::Integration { .. } | Actor::Operator => return false,
        };
        self.0.iter().any(|issuer| issuer.actor(role, object_id).as_ref() == Some(actor))
    }

    /// Who bears the token.
    ///
    /// # Errors
    /// 401 when it is not good, 403 when it is and gives no role here, 503 when that cannot be found out.
    pub(super) async fn identify(
        &self,
        token: &str,
        engine: &Engine,
        now: SystemTime,
    ) -> Result<Known, TurnedAway> {
        let mut fault = TokenFault::Issuer;
        for issuer in &self.0 {
            match issuer.keys.verify(token, &issuer.expects, now).await {
                Ok(claims) => {
                    let admitted = issuer.admit(&claims, engine).await;
                    return admitted.map_err(|problem| TurnedAway {
                        problem,
                        by: Some((issuer.tenant.clone(), name_of(&claims))),
                    });
                }
                Err(TokenFault::Issuer | TokenFault::UnknownKey) => {}
                Err(other) => fault = other,
            }
        }
        let problem = match fault {
            TokenFault::KeysUnavailable => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "issuer_unavailable",
                "the keys of the token's issuer cannot be read at the moment",
            ),
            fault => Problem::new(StatusCode::UNAUTHORIZED, "token_invalid", fault.to_string()),
        };
        Err(TurnedAway { problem, by: None })
    }
}

/// Somebody who is not let in.
pub(super) struct TurnedAway {
    /// What they are told.
    pub(super) problem: Problem,
    /// The tenant whose token it is, and whose name stands in the audit, when Entra vouches for the token.
    pub(super) by: Option<(TenantId, String)>,
}

/// How the bearer of a token stands in the audit.
fn name_of(claims: &Claims) -> String {
    let object_id = claims.get("oid").and_then(Value::as_str).unwrap_or("nobody");
    format!("entra:{}", object_id.to_lowercase())
}

impl Issuer {
    async fn admit(&self, claims: &Claims, engine: &Engine) -> Result<Known, Problem> {
        let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
        let Some(object_id) = text("oid").map(str::to_lowercase) else {
            return Err(forbidden("person_unknown", "the token names nobody (`oid`)"));
        };
        let list = |claim: &str| -> Vec<String> {
            let all = claims.get(claim).and_then(Value::as_array);
            all.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let roles = list("roles");
        let has = |role: &str| roles.iter().any(|one| one == role);
        let role = if has("Sidetone.Admin") {
            Role::Admin
        } else if has("Sidetone.Supervisor") {
            Role::Supervisor
        } else if has("Sidetone.Agent") {
            Role::Agent
        } else {
            self.role_by_group(list("groups"), claims, &object_id, engine).await?
        };
        let actor = self.actor(role, &object_id);
        let nobody = || forbidden("person_unknown", "nobody of this gateway has this Entra object id");
        let actor = actor.ok_or_else(nobody)?;
        let end = claims.get("exp").and_then(Value::as_f64).unwrap_or_default().clamp(0.0, 1e11);
        let until = UNIX_EPOCH + Duration::from_secs_f64(end);
        let principal = Principal { token: name_of(claims), actor };
        Ok(Known { principal, object_id, until })
    }

    /// What the bearer of an account is in a role; none when it needs a person and nobody has this object id.
    fn actor(&self, role: Role, object_id: &str) -> Option<Actor> {
        let tenant = self.tenant.clone();
        let person = || self.people.get(object_id).cloned();
        Some(match role {
            Role::Admin => Actor::TenantAdmin { tenant },
            Role::Supervisor => {
                let (person, teams) = person()?;
                Actor::Supervisor { tenant, person, teams }
            }
            Role::Agent => Actor::Agent { tenant, person: person()?.0 },
        })
    }

    /// The role that a group of the account gives. A token with too many groups names none of them; Graph is asked.
    async fn role_by_group(
        &self,
        mut groups: Vec<String>,
        claims: &Claims,
        object_id: &str,
        engine: &Engine,
    ) -> Result<Role, Problem> {
        if self.agent_group.is_none() && self.supervisor_group.is_none() {
            return Err(forbidden("role_missing", "the token carries no app role of Sidetone"));
        }
        if !claims.contains_key("groups") {
            groups = engine.groups(&self.tenant, object_id).await.ok_or_else(|| {
                Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "groups_unknown",
                    "the groups of the bearer cannot be read at the moment",
                )
            })?;
        }
        let in_group = |group: &Option<Arc<str>>| {
            group.as_ref().is_some_and(|group| groups.iter().any(|one| one.eq_ignore_ascii_case(group)))
        };
        if in_group(&self.supervisor_group) {
            Ok(Role::Supervisor)
        } else if in_group(&self.agent_group) {
            Ok(Role::Agent)
        } else {
            Err(forbidden("role_missing", "the bearer is in neither the agent nor the supervisor group"))
        }
    }
}

#[derive(Clone, Copy)]
enum Role {
    Admin,
    Supervisor,
    Agent,
}

fn forbidden(code: &'static str, detail: &'static str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, code, detail)
}
