//! The people who register, as the registrar asks for them: always the configuration in force.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use sbc_config::{Config, Password, Reach};

use super::digest::{Algorithm, Ha1};
use super::register::Accounts;

/// Accounts out of the configuration.
pub(super) struct People {
    config: Arc<ArcSwap<Config>>,
    /// The realm of the challenges, which only a restart changes: a hash must be of that one.
    realm: Arc<str>,
}

impl People {
    pub(super) fn new(config: Arc<ArcSwap<Config>>) -> People {
        let realm = config.load().sip.realm.clone();
        People { config, realm }
    }
}

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("People(..)")
    }
}

impl Accounts for People {
    fn ha1(&self, user: &str, algorithm: Algorithm) -> Option<Ha1> {
        let config = self.config.load();
        let person = config.person_by_username(user)?;
        let Reach::Register(credentials) = &person.reach else { return None };
        match &credentials.password {
            Password::Clear(password) => Some(Ha1::new(algorithm, user, &self.realm, password.expose())),
            Password::Hashed { md5, sha256 } => {
                let stored = match algorithm {
                    Algorithm::Md5 => md5.as_ref(),
                    Algorithm::Sha256 => sha256.as_ref(),
                    Algorithm::Sha512_256 => None,
                };
                Ha1::from_hex(algorithm, stored?.expose())
            }
        }
    }
}
