//! Registering at a carrier (RFC 3261 section 10.2): by it the carrier learns where our trunk is.
//!
//! ```text
//!  ┌─────────┐ its time has come ┌────────┐ 200 ┌─────────┐ 50 to 80 % of what was granted
//!  │ waiting │──────────────────>│ asking │────>│ waiting │───────> asking
//!  └─────────┘                   └────────┘     └─────────┘
//!       ^     anything else, silence │ ^ │ 401 and 407 that we can answer, 423
//!       └────────────────────────────┘ └─┘
//!        30 s, doubled up to 15 min, or as Retry-After says
//! ```
//!
//! A carrier that refuses us takes the trunk down at once; one that is silent only when the time that it granted is over, for
//! until then its calls still find us.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sbc_config::{Config, Registration, Trunk, TrunkAuth, TrunkId};

use crate::random::Random;
use crate::sip::build::RequestBuilder;
use crate::sip::endpoint::{AskId, Told};
use crate::sip::header::{Contacts, Method, Name, NameAddr, Via};
use crate::sip::login::{Credentials, Login};
use crate::sip::message::Response;
use crate::sip::uri::Uri;

/// Requests in a row for one registration: bare, signed, with a fresh nonce, for longer, and signed again.
const TRIES_MAX: u8 = 5;

/// The longest time that a registrar may ask us to register for (423): a week.
const EXPIRES_MAX: Duration = Duration::from_secs(7 * 86_400);

/// A registrar that grants next to nothing is still not asked more often than this.
const WAIT_MIN: Duration = Duration::from_secs(5);

/// How often the configuration is looked at for trunks that register.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// All our registrations.
#[derive(Debug)]
pub(in crate::sip) struct Registrations {
    look_at: Instant,
    accounts: HashMap<TrunkId, Account>,
    waiting: HashMap<AskId, TrunkId>,
    /// Registrations that are being ended.
    leaving: HashMap<AskId, (TrunkId, Box<Account>)>,
    made: u64,
}

/// What is to be done after an answer.
#[derive(Debug)]
pub(in crate::sip) enum Step {
    /// The trunk registers once more, at once.
    Again(TrunkId),
    /// The registration is ended once more, with what the registrar wants to see.
    EndAgain(TrunkId, Box<Account>),
    /// This is how the trunk stands now, and why.
    Stands { trunk: TrunkId, up: bool, detail: String },
}

/// One registration.
#[derive(Debug)]
pub(in crate::sip) struct Account {
    wanted: Registration,
    auth: TrunkAuth,
    /// The longest that a Retry-After keeps us away.
    rest_max: Duration,
    login: Login,
    address: Uri,
    domain: Uri,
    call_id: String,
    tag: String,
    cseq: u32,
    /// What is asked for: more than the file says once the registrar wants more.
    expires: Duration,
    contact: Bytes,
    failures: u32,
    tries: u8,
    /// When it is to be asked; `None` while it is.
    next: Option<Instant>,
    /// Until when its calls find us.
    until: Option<Instant>,
}

impl Registrations {
    pub(in crate::sip) fn new(now: Instant) -> Registrations {
        let (accounts, waiting, leaving) = (HashMap::new(), HashMap::new(), HashMap::new());
        Registrations { look_at: now, accounts, waiting, leaving, made: 0 }
    }

    /// Follows the file. Gives those that are to be ended, for the trunk is gone or registers otherwise.
    pub(in crate::sip) fn configure(
        &mut self,
        now: Instant,
        config: &Config,
        random: &mut Random,
    ) -> Vec<(TrunkId, Box<Account>)> {
        if now < self.look_at {
            return Vec::new();
        }
        self.look_at = now + LOOK_EVERY;
        let as_before = |id: &TrunkId, account: &Account| {
            config.trunk(id).is_some_and(|trunk| {
                trunk.register.as_ref() == Some(&account.wanted) && trunk.auth.as_ref() == Some(&account.auth)
            })
        };
        let over: HashSet<TrunkId> = self
            .accounts
            .iter()
            .filter(|(id, account)| !as_before(id, account))
            .map(|(id, _)| id.clone())
            .collect();
        let ended = over.into_iter().filter_map(|id| Some((id.clone(), self.accounts.remove(&id)?)));
        let ended = ended.filter(|(_, account)| account.until.is_some()).map(to_be_ended).collect();
        for trunk in &config.trunks {
            if !self.accounts.contains_key(&trunk.id)
                && let Some(account) = Account::new(now, trunk, random)
            {
                self.accounts.insert(trunk.id.clone(), account);
            }
        }
        ended
    }

    /// The trunks whose time has come, and those whose registration has run out.
    pub(in crate::sip) fn due(&mut self, now: Instant) -> (Vec<TrunkId>, Vec<Step>) {
        let mut due = Vec::new();
        let mut out = Vec::new();
        for (id, account) in &mut self.accounts {
            if account.until.is_some_and(|until| until <= now) {
                account.until = None;
                let detail = "the registration has run out".to_owned();
                out.push(Step::Stands { trunk: id.clone(), up: false, detail });
            }
            // The end of an old registration must not arrive after the new one, and take it away.
            let leaves = self.leaving.values().any(|(leaving, _)| leaving == id);
            if account.next.is_some_and(|next| next <= now) && !leaves {
                account.tries = 0;
                due.push(id.clone());
            }
        }
        (due, out)
    }

    /// When [`Registrations::due`] is next wanted.
    pub(in crate::sip) fn next(&self) -> Instant {
        let leaves = |id: &TrunkId| self.leaving.values().any(|(leaving, _)| leaving == id);
        let times = self
            .accounts
            .iter()
            .flat_map(|(id, account)| account.next.filter(|_| !leaves(id)).into_iter().chain(account.until));
        times.fold(self.look_at, Instant::min)
    }

    /// The registration of a trunk, and the number of its next question.
    pub(in crate::sip) fn ask(&mut self, trunk: &TrunkId) -> Option<(AskId, &mut Account)> {
        let account = self.accounts.get_mut(trunk)?;
        account.tries = account.tries.saturating_add(1);
        account.next = None;
        self.made += 1;
        let id = AskId(self.made);
        self.waiting.insert(id, trunk.clone());
        Some((id, account))
    }

    /// The registration of a trunk is asked to be ended with this question.
    pub(in crate::sip) fn leaves(&mut self, trunk: TrunkId, mut account: Box<Account>) -> AskId {
        account.tries = account.tries.saturating_add(1);
        self.made += 1;
        let id = AskId(self.made);
        self.leaving.insert(id, (trunk, account));
        id
    }

    /// The registration that is being ended with this question.
    pub(in crate::sip) fn leaver(&mut self, id: AskId) -> Option<&mut Account> {
        self.leaving.get_mut(&id).map(|(_, account)| &mut **account)
    }

    /// Whether answers are awaited to the end of registrations.
    pub(in crate::sip) fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// The name that calls over a trunk come to.
    pub(in crate::sip) fn user(&self, trunk: &TrunkId) -> Option<&str> {
        self.accounts.get(trunk)?.user()
    }

    pub(in crate::sip) fn account(&mut self, trunk: &TrunkId) -> Option<&mut Account> {
        self.accounts.get_mut(trunk)
    }

    /// Nobody could be asked at all.
    pub(in crate::sip) fn not_asked(&mut self, now: Instant, id: AskId, random: &mut Random) -> Option<Step> {
        self.told(now, id, &Told::NoWay, random)
    }

    /// What became of a question.
    pub(in crate::sip) fn told(
        &mut self,
        now: Instant,
        id: AskId,
        told: &Told,
        random: &mut Random,
    ) -> Option<Step> {
        if let Some((trunk, mut account)) = self.leaving.remove(&id) {
            let Told::Answered(response) = told else { return None }; // it runs out by itself
            let again = account.tries < TRIES_MAX && account.login.learn(response);
            return again.then(|| Step::EndAgain(trunk, account));
        }
        let trunk = self.waiting.remove(&id)?;
        let account = self.accounts.get_mut(&trunk)?;
        let response = match told {
            Told::Answered(response) => response,
            Told::Silence | Told::NoWay => {
                account.wait(now, None, random);
                let detail = match told {
                    Told::NoWay => "no way to the registrar",
                    _ => "no answer from the registrar",
                };
                // What was granted holds until it runs out.
                let down = account.until.is_none_or(|until| until <= now);
                return down.then(|| Step::Stands { trunk, up: false, detail: detail.to_owned() });
            }
        };
        match response.status().as_u16() {
            200..=299 => {
                account.granted(now, response, random);
                Some(Step::Stands { trunk, up: true, detail: "registered".to_owned() })
            }
            _ if account.tries < TRIES_MAX && account.learns(response) => Some(Step::Again(trunk)),
            status => {
                let retry_after = response.headers().retry_after().ok().flatten();
                account.wait(now, retry_after.map(|s| Duration::from_secs(s.into())), random);
                account.until = None;
                let detail = format!("the registrar answers {status}");
                Some(Step::Stands { trunk, up: false, detail })
            }
        }
    }

    /// Every registration that stands, to be ended.
    pub(in crate::sip) fn leave(&mut self) -> Vec<(TrunkId, Box<Account>)> {
        self.waiting.clear();
        self.accounts.drain().filter(|(_, account)| account.until.is_some()).map(to_be_ended).collect()
    }
}

fn to_be_ended((trunk, account): (TrunkId, Account)) -> (TrunkId, Box<Account>) {
    (trunk, Box::new(Account { tries: 0, ..account }))
}

impl Account {
    fn new(now: Instant, trunk: &Trunk, random: &mut Random) -> Option<Account> {
        let (wanted, auth) = (trunk.register.clone()?, trunk.auth.clone()?);
        let address = Uri::parse(Bytes::copy_from_slice(wanted.address_of_record.as_bytes())).ok()?;
        // RFC 3261 section 10.2: the Request-URI names the domain, and nobody in it.
        let domain = Uri::sip(None, &address.host()?, address.port()).ok()?;
        let credentials = Credentials::new(&*auth.username, auth.password.expose()).for_realm(&*auth.realm);
        Some(Account {
            login: Login::new(credentials),
            address,
            domain,
            call_id: format!("{:016x}{:016x}", random.bits(), random.bits()),
            tag: format!("{:016x}", random.bits()),
            cseq: 0,
            expires: wanted.expires,
            contact: Bytes::new(),
            failures: 0,
            tries: 0,
            next: Some(now),
            until: None,
            rest_max: trunk.retry_after_max,
            wanted,
            auth,
        })
    }

    /// Where it is asked, and at which of several addresses: at another one after each failure.
    pub(in crate::sip) fn registrar(&self) -> (&sbc_config::Destination, usize) {
        (&self.wanted.registrar, self.failures as usize)
    }

    /// The user part of our Contact, which is where the carrier sends its calls.
    pub(in crate::sip) fn user(&self) -> Option<&str> {
        self.address.user()
    }

    /// Writes the question; `leave` ends the registration instead.
    pub(in crate::sip) fn request(
        &mut self,
        via: &Via,
        contact: Bytes,
        leave: bool,
        random: &mut Random,
    ) -> RequestBuilder {
        self.cseq += 1;
        self.contact = contact;
        let expires = if leave { 0 } else { self.expires.as_secs() };
        let ours = NameAddr::new(self.address.clone());
        let request = RequestBuilder::new(Method::Register, &self.domain)
            .via(via)
            .max_forwards(crate::sip::hub::MAX_FORWARDS)
            .from(&ours.clone().with_tag(&self.tag))
            .to(&ours)
            .call_id(&self.call_id)
            .cseq(self.cseq)
            .header(Name::Contact, &self.contact)
            .header(Name::Expires, expires.to_string());
        self.login.sign(random, &Method::Register, &self.domain, request)
    }

    /// Whether asking again at once is worth while after this refusal.
    fn learns(&mut self, response: &Response) -> bool {
        if response.status().as_u16() != 423 {
            return self.login.learn(response);
        }
        let least = response.headers().min_expires().ok().flatten();
        let least = least.map(|s| Duration::from_secs(s.into()));
        match least.filter(|least| *least > self.expires && *least <= EXPIRES_MAX) {
            Some(least) => {
                self.expires = least;
                true
            }
            None => false,
        }
    }

    /// The registrar has us. What it grants stands at our Contact among all of the account, else in Expires
    /// (RFC 3261 section 10.2.4).
    fn granted(&mut self, now: Instant, response: &Response, random: &mut Random) {
        let headers = response.headers();
        let ours = NameAddr::parse(self.contact.clone()).ok().map(|contact| contact.uri);
        let bindings = match headers.contacts() {
            Ok(Contacts::List(bindings)) => bindings,
            Ok(Contacts::All) | Err(_) => Vec::new(),
        };
        let at_contact = bindings
            .iter()
            .find(|binding| ours.as_ref().is_some_and(|ours| binding.uri.equivalent(ours)))
            .and_then(|binding| binding.params.value("expires")?.parse().ok());
        let seconds: Option<u32> = at_contact.or_else(|| headers.expires().ok().flatten());
        let granted = seconds.map_or(self.expires, |s| Duration::from_secs(s.into())).min(EXPIRES_MAX);
        self.failures = 0;
        self.until = Some(now + granted.max(WAIT_MIN));
        let part = 0.5 + 0.3 * (random.below(1_000) as f64) / 1_000.0;
        self.next = Some(now + granted.mul_f64(part).max(WAIT_MIN));
    }

    /// Waits after a failure, each time longer, and never all trunks of a carrier to the same second.
    fn wait(&mut self, now: Instant, retry_after: Option<Duration>, random: &mut Random) {
        let doubled = 1u32.checked_shl(self.failures.min(31)).unwrap_or(u32::MAX);
        let wait = self.wanted.backoff_min.saturating_mul(doubled).min(self.wanted.backoff_max);
        let wait = wait.max(retry_after.unwrap_or_default().min(self.rest_max));
        self.failures = self.failures.saturating_add(1);
        self.next = Some(now + wait.mul_f64(1.0 + 0.2 * (random.below(1_000) as f64) / 1_000.0));
    }
}
