//! The resources as the configuration in force names them, each with its client, its issuers and its gate. They come and go
//! while calls go on: what is gone takes no more calls, and is kept for as long as calls of it are up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, header};
use sbc_config::{Acs, AcsCredential, AcsId, Config, TokenIssuer};

use crate::jwks::{Expects, Jwks};
use crate::observe::metrics as names;

use super::grid::Gate;
use super::rest::{Client, Credential};
use super::routes::lock;
use super::run::OpenError;
use super::sign::AccessKey;
use super::token::Azure;

/// One resource.
pub(super) struct Resource {
    pub(super) acs: Acs,
    pub(super) client: Client,
    pub(super) gate: Arc<Mutex<Gate>>,
    pub(super) tokens: Arc<Issuer>,
    pub(super) webhook_tokens: Option<Arc<Issuer>>,
}

/// Somebody whose tokens are believed.
pub(super) struct Issuer {
    settings: TokenIssuer,
    keys: Jwks,
    expects: Expects,
}

impl Issuer {
    /// The one of before, if it is the same: it knows its keys.
    fn of(settings: &TokenIssuer, before: Option<&Arc<Issuer>>, http: &reqwest::Client) -> Arc<Issuer> {
        if let Some(before) = before.filter(|before| before.settings == *settings) {
            return before.clone();
        }
        let expects = Expects {
            issuers: vec![settings.issuer.to_string()],
            audiences: vec![settings.audience.to_string()],
        };
        let keys = Jwks::new(&*settings.jwks_url, http.clone());
        Arc::new(Issuer { settings: settings.clone(), keys, expects })
    }

    /// Whether the request carries a token of this issuer for us.
    pub(super) async fn trusts(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.split_once(' '));
        let Some((_, token)) = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer")) else {
            return false;
        };
        match self.keys.verify(token.trim(), &self.expects, SystemTime::now()).await {
            Ok(_) => true,
            Err(fault) => {
                metrics::counter!(names::ACS_DENIED).increment(1);
                tracing::info!(%fault, "a token is not believed");
                false
            }
        }
    }
}

impl Resource {
    pub(super) fn new(
        acs: &Acs,
        before: Option<&Arc<Resource>>,
        http: &reqwest::Client,
    ) -> Result<Resource, OpenError> {
        let credential = match &acs.credential {
            AcsCredential::Key(key) => {
                let key = AccessKey::from_base64(key.expose());
                Credential::Key(key.ok_or_else(|| OpenError::AccessKey(acs.id.clone()))?)
            }
            AcsCredential::Entra(entra) => {
                let source = Azure::new(entra, http.clone());
                let source = source.map_err(|source| OpenError::Entra {
                    resource: acs.id.clone(),
                    source: Box::new(source),
                })?;
                Credential::Tokens { source: Arc::new(source), scope: entra.scope.clone() }
            }
        };
        let webhook_before = before.and_then(|before| before.webhook_tokens.as_ref());
        Ok(Resource {
            client: Client::new(http.clone(), &acs.endpoint, &acs.api_version, credential)?,
            // What has come before has come: the same events are not new because a setting is.
            gate: before.map(|before| before.gate.clone()).unwrap_or_default(),
            tokens: Issuer::of(&acs.tokens, before.map(|before| &before.tokens), http),
            webhook_tokens: acs
                .webhook_tokens
                .as_ref()
                .map(|issuer| Issuer::of(issuer, webhook_before, http)),
            acs: acs.clone(),
        })
    }
}

/// All resources.
pub(super) struct Resources {
    config: Arc<ArcSwap<Config>>,
    http: reqwest::Client,
    held: Mutex<Held>,
}

struct Held {
    /// The configuration they were made from.
    of: Arc<Config>,
    by_id: HashMap<AcsId, Arc<Resource>>,
}

impl Resources {
    /// Those of the configuration in force.
    ///
    /// # Errors
    /// One of them cannot be asked.
    pub(super) fn open(config: Arc<ArcSwap<Config>>, http: reqwest::Client) -> Result<Resources, OpenError> {
        let of = config.load_full();
        let made = of.acs.iter().map(|acs| Ok((acs.id.clone(), Arc::new(Resource::new(acs, None, &http)?))));
        let by_id = made.collect::<Result<_, OpenError>>()?;
        Ok(Resources { config, http, held: Mutex::new(Held { of, by_id }) })
    }

    /// A resource, also one that is configured no more and has calls still.
    pub(super) fn get(&self, id: &str) -> Option<Arc<Resource>> {
        let id = AcsId::new(id).ok()?;
        self.in_force().by_id.get(&id).cloned()
    }

    /// A resource that takes calls.
    pub(super) fn open_to_calls(&self, id: &str) -> Option<Arc<Resource>> {
        let id = AcsId::new(id).ok()?;
        let held = self.in_force();
        held.of.acs(&id)?;
        held.by_id.get(&id).cloned()
    }

    /// Forgets what is configured no more and has no call.
    pub(super) fn forget(&self, has_calls: impl Fn(&AcsId) -> bool) {
        let Held { of, by_id } = &mut *self.in_force();
        if by_id.len() > of.acs.len() {
            by_id.retain(|id, _| of.acs(id).is_some() || has_calls(id));
        }
    }

    /// Brought up to the configuration, if that has changed.
    fn in_force(&self) -> MutexGuard<'_, Held> {
        let mut held = lock(&self.held);
        let now = self.config.load_full();
        if Arc::ptr_eq(&now, &held.of) {
            return held;
        }
        for acs in &now.acs {
            let before = held.by_id.get(&acs.id);
            if before.is_some_and(|before| before.acs == *acs) {
                continue;
            }
            match Resource::new(acs, before, &self.http) {
                Ok(resource) => {
                    tracing::info!(resource = %acs.id, "an ACS resource is taken over from the configuration");
                    held.by_id.insert(acs.id.clone(), Arc::new(resource));
                }
                Err(error) => tracing::error!(resource = %acs.id, %error, "an ACS resource stays as it was"),
            }
        }
        held.of = now;
        held
    }
}
