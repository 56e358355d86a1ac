//! What is known, kept fresh: the sources asked in the background, their answers remembered, and a person who waits
//! kept waiting for a budget at most.
//!
//! ```text
//!   ask ──► is it fresh? ──yes──► decide
//!             │ no
//!             ▼
//!           start a read, or join the one in flight ──► wait for all of them, at most the budget ──► decide
//!                        │
//!                        └──► goes on in the background; its answer serves the next who asks
//! ```
//!
//! Two hundred people asking for one expert at once cause one read. A read that fails is not repeated for a pause that
//! grows with each failure, so that an outage is not made worse by us.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;
use sbc_config::{AppCredential, EvidenceLives, Integration, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::account;
use super::check::{About, Check, Route};
use super::evidence::{Evidence, Source, Subject, Verdict, best};
use super::graph::Graph;
use super::number;
use super::outcome::{self, Outcome};
use super::read::{self, Answer, Phone};
use super::rule::{Facts, Policy};
use super::token::{self, TokenSource};
use super::{Judgement, judge};

/// Things remembered at one time, over all tenants. Beyond it what was asked for least lately is forgotten.
const FLIGHTS_MAX: usize = 20_000;
/// The pause after a failed read; doubled with each further failure.
const RETRY_MIN: Duration = Duration::from_secs(2);
/// The longest pause.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Somebody may be mending what failed, and looks again: it is read anew after this.
const LACKING_LIFE: Duration = Duration::from_secs(60);
/// How long an API caller may wait until their groups are known.
const GROUPS_WAIT: Duration = Duration::from_secs(3);

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    accounts: RwLock<HashMap<TenantId, Arc<Account>>>,
    known: Mutex<Known>,
}

/// One tenant's account, with what its administrators chose.
pub struct Account {
    /// As configured.
    pub settings: Integration,
    /// Its sources.
    pub graph: Graph,
    options: RwLock<Options>,
}

/// What a tenant's administrator sets over the API, besides the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Which numbers of a directory entry are dialled, the preferred first; as configured when absent.
    pub phones: Option<Vec<Phone>>,
    /// The people who may be asked, by object id or user principal name; everybody when absent.
    pub people: Option<Vec<String>>,
    /// The day the credential ends, as somebody read it.
    pub expires: Option<String>,
}

#[derive(Default)]
struct Known {
    evidence: HashMap<(TenantId, Subject), Vec<Evidence>>,
    flights: HashMap<(TenantId, Resource), Flight>,
    /// The other names of a person, once the directory has given them.
    names: HashMap<(TenantId, Subject), Vec<Subject>>,
}

/// What is read in one go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Resource {
    Person(Subject),
    Presence(Subject),
    /// Who has a number.
    Holder(Subject),
    Groups(Subject),
    Application,
    AcsId,
    /// The endpoint of an ACS resource.
    AcsEndpoint(Arc<str>),
}

#[derive(Default)]
struct Flight {
    fresh_until: Option<Instant>,
    not_before: Option<Instant>,
    failures: u32,
    running: Option<watch::Receiver<()>>,
    asked_at: Option<Instant>,
}

impl Account {
    fn new(settings: Integration, options: Options, http: &reqwest::Client) -> Account {
        let tokens = Arc::new(TokenSource::new(&settings, http.clone()));
        let graph = Graph::new(&settings, http.clone(), tokens);
        Account { settings, graph, options: RwLock::new(options) }
    }

    /// What is chosen at the moment.
    pub fn options(&self) -> Options {
        self.options.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Which numbers are dialled, the preferred first.
    pub fn phones(&self) -> Vec<Phone> {
        let configured = || self.settings.phones.iter().copied().map(Phone::from).collect();
        self.options().phones.filter(|phones| !phones.is_empty()).unwrap_or_else(configured)
    }
}

impl Engine {
    /// An engine without accounts.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new() -> Result<Engine, reqwest::Error> {
        let http = super::http::client()?;
        Ok(Engine(Arc::new(Inner { http, accounts: RwLock::default(), known: Mutex::default() })))
    }

    /// These accounts and no others. One that did not change keeps its tokens and its choices.
    pub fn configure(&self, integrations: &[Integration]) {
        let mut accounts = self.0.accounts.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = HashMap::new();
        for settings in integrations {
            let old = accounts.get(&settings.tenant);
            let account = match old {
                Some(old) if old.settings == *settings => old.clone(),
                _ => {
                    let options = old.map(|old| old.options()).unwrap_or_default();
                    self.forget_flights(&settings.tenant);
                    Arc::new(Account::new(settings.clone(), options, &self.0.http))
                }
            };
            next.insert(settings.tenant.clone(), account);
        }
        *accounts = next;
    }

    /// The account of a tenant.
    pub fn account(&self, tenant: &TenantId) -> Option<Arc<Account>> {
        self.0.accounts.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    /// The tenants that have one.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.0.accounts.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Puts a tenant's choices in force.
    pub fn choose(&self, tenant: &TenantId, options: Options) {
        if let Some(account) = self.account(tenant) {
            *account.options.write().unwrap_or_else(PoisonError::into_inner) = options;
            // The preferred number may be another one now.
            self.forget_flights(tenant);
        }
    }

    /// Takes evidence from elsewhere: a file, an operator, a call, a trunk.
    pub fn note(&self, tenant: &TenantId, evidence: impl IntoIterator<Item = Evidence>) {
        let lives =
            self.account(tenant).map_or_else(EvidenceLives::default, |account| account.settings.lives);
        let mut known = self.known();
        for one in evidence {
            known.note(tenant, with_life(one, &lives));
        }
    }

    /// What a real call to somebody proved.
    pub fn call_outcome(
        &self,
        tenant: &TenantId,
        person: &Subject,
        route: Route,
        outcome: &Outcome,
        at: SystemTime,
    ) {
        // Without an account nothing could ever contradict it.
        if self.account(tenant).is_some() {
            self.note(tenant, outcome::evidence(route, person, outcome, at));
        }
    }

    /// What the checks of several routes to somebody come to, asked for together: what they share is read once.
    pub async fn judge(
        &self,
        tenant: &TenantId,
        target: &Subject,
        routes: &[Route],
        asker: Option<&Subject>,
    ) -> Vec<Judgement> {
        let each = routes.iter().map(|route| self.facts(tenant, target, *route, asker));
        join_all(each).await.iter().map(judge).collect()
    }

    /// Everything known about reaching `target` over `route`. Waits for what is not fresh for the account's budget at
    /// most; reads that take longer go on without it. `asker` is who asks, when Entra knows them.
    pub async fn facts(
        &self,
        tenant: &TenantId,
        target: &Subject,
        route: Route,
        asker: Option<&Subject>,
    ) -> Facts {
        let Some(account) = self.account(tenant) else {
            return self.collect(tenant, None, target, route, asker, SystemTime::now());
        };
        let mut resources = vec![Resource::Application];
        if route == Route::Voip && account.settings.acs_resource.is_some() {
            resources.push(Resource::AcsId);
        }
        if matches!(target, Subject::Person(_)) {
            resources.push(Resource::Person(target.clone()));
            resources.push(Resource::Presence(target.clone()));
        }
        if matches!((target, route), (Subject::Number(_), Route::DirectRouting)) {
            resources.push(Resource::Holder(target.clone()));
            resources.extend(self.holder(tenant, target).map(Resource::Person));
        }
        let grouped = account.settings.agent_group.is_some() || account.settings.supervisor_group.is_some();
        if let Some(asker) = asker.filter(|_| grouped) {
            resources.push(Resource::Groups(asker.clone()));
        }
        if token::complete(&account.settings) {
            let reads = resources.into_iter().filter_map(|resource| self.start(&account, resource));
            let all = join_all(reads.map(|mut read| async move {
                // The other end is dropped when the read is over, however it ended.
                let _ = read.changed().await;
            }));
            if !account.settings.budget.is_zero() {
                let _ = tokio::time::timeout(account.settings.budget, all).await;
            }
        }
        self.collect(tenant, Some(&account), target, route, asker, SystemTime::now())
    }

    /// The groups of the account that a person is in. None when that is not known: whoever asks has to refuse.
    pub async fn groups(&self, tenant: &TenantId, person: &str) -> Option<Vec<String>> {
        let account = self.account(tenant)?;
        let asker = Subject::person(person);
        if let Some(mut read) = self.start(&account, Resource::Groups(asker.clone())) {
            let _ = tokio::time::timeout(GROUPS_WAIT, read.changed()).await;
        }
        let known = self.known();
        let said = known.evidence.get(&(tenant.clone(), asker))?;
        let groups = said.iter().find(|one| one.check == Check::Group && one.holds(SystemTime::now()))?;
        match groups.verdict {
            Verdict::Pass | Verdict::Fail => {
                let list = groups.value.as_deref().unwrap_or_default();
                Some(list.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect())
            }
            Verdict::Unknown | Verdict::NotApplicable => None,
        }
    }

    /// Asks the endpoint of an ACS resource, unless its last answer is fresh. The receiver ends with the answer.
    pub fn try_acs(&self, tenant: &TenantId, endpoint: &Arc<str>) -> Option<watch::Receiver<()>> {
        self.start(&self.account(tenant)?, Resource::AcsEndpoint(endpoint.clone()))
    }

    /// What is fresh needs no read; what is being read is joined. None when there is nothing to wait for.
    fn start(&self, account: &Arc<Account>, resource: Resource) -> Option<watch::Receiver<()>> {
        let now = Instant::now();
        let tenant = account.settings.tenant.clone();
        let mut known = self.known();
        known.make_room();
        let flight = known.flights.entry((tenant, resource.clone())).or_default();
        flight.asked_at = Some(now);
        if let Some(running) = &flight.running {
            return Some(running.clone());
        }
        let waits = |until: Option<Instant>| until.is_some_and(|until| now < until);
        if waits(flight.fresh_until) || waits(flight.not_before) {
            return None;
        }
        let (landed, running) = watch::channel(());
        flight.running = Some(running.clone());
        drop(known);
        let landing =
            Landing { engine: self.clone(), account: account.clone(), resource, landed: Some(landed) };
        tokio::spawn(landing.fly());
        Some(running)
    }

    async fn read(&self, account: &Account, resource: &Resource) -> Vec<Evidence> {
        let tenant = &account.settings.tenant;
        match resource {
            Resource::Person(subject) => {
                let Subject::Person(name) = subject else { return Vec::new() };
                let answers = account.graph.person(name).await;
                let names = read::names(&answers.user);
                if !names.is_empty() {
                    self.known().names.insert((tenant.clone(), subject.clone()), names);
                }
                read::person(subject, &answers, &account.phones(), SystemTime::now())
            }
            Resource::Holder(number) => {
                let Subject::Number(digits) = number else { return Vec::new() };
                let answer = account.graph.number(digits.as_str()).await;
                let (evidence, person) = read::holder(number, &answer, SystemTime::now());
                let key = (tenant.clone(), number.clone());
                match person {
                    Some(person) => drop(self.known().names.insert(key, vec![person])),
                    // Another one has it now, or nobody.
                    None if matches!(answer, Answer::Got(_)) => drop(self.known().names.remove(&key)),
                    None => {}
                }
                vec![evidence]
            }
            Resource::Presence(subject) => {
                let Some(oid) = self.object_id(tenant, subject) else { return Vec::new() };
                let at = SystemTime::now();
                match account.graph.presence(&oid).await {
                    Answer::Got(body) => {
                        let entries = body.get("value").and_then(Value::as_array);
                        let own = entries.into_iter().flatten().find(|entry| {
                            let id = entry.get("id").and_then(Value::as_str);
                            id.is_some_and(|id| id.eq_ignore_ascii_case(&oid))
                        });
                        read::presence(subject, own, at)
                    }
                    other => {
                        let (code, detail) = match other {
                            Answer::Forbidden(permission) => {
                                ("permission_missing", format!("missing permission {permission}"))
                            }
                            Answer::NotHere => ("not_in_this_cloud", String::new()),
                            Answer::Failed(why) => ("source_unavailable", why),
                            Answer::NotFound | Answer::Got(_) => ("not_said", String::new()),
                        };
                        let evidence = Evidence::new(
                            Check::Presence,
                            subject.clone(),
                            Verdict::Unknown,
                            code,
                            Source::Graph,
                            at,
                        );
                        vec![evidence.saying(detail)]
                    }
                }
            }
            Resource::Groups(asker) => {
                let Subject::Person(name) = asker else { return Vec::new() };
                let groups: Vec<&str> = [&account.settings.agent_group, &account.settings.supervisor_group]
                    .into_iter()
                    .flatten()
                    .map(|group| &**group)
                    .collect();
                if groups.is_empty() {
                    return Vec::new();
                }
                let answer = account.graph.member_of(name, &groups).await;
                vec![account::membership(asker, &answer, &groups, SystemTime::now())]
            }
            Resource::Application => {
                let at = SystemTime::now();
                let settings = &account.settings;
                // A machine's identity has no application object, and no credential that could end.
                let registered = !matches!(settings.credential, AppCredential::ManagedIdentity { .. });
                let read = match &settings.client_id {
                    Some(client) if registered => {
                        Some(account.graph.application(client, settings.object_id.as_deref()).await)
                    }
                    _ => None,
                };
                let token = account.graph.tokens.token(account.graph.resource()).await;
                let mut all = vec![account::token(&token, at)];
                let granted = read.map(|(application, granted)| {
                    all.extend(account::application(settings, &application, at));
                    granted
                });
                all.push(account::roles(settings, granted.as_ref(), token.as_ref().ok(), at));
                all
            }
            Resource::AcsEndpoint(endpoint) => {
                let answer = super::http::fetch(self.0.http.get(&**endpoint), endpoint).await;
                vec![account::acs_reachable(&answer, SystemTime::now())]
            }
            Resource::AcsId => match &account.settings.acs_resource {
                Some(resource) => {
                    vec![account::acs_id(&account.graph.acs_resource(resource).await, SystemTime::now())]
                }
                None => Vec::new(),
            },
        }
    }

    /// Who has a number, once the directory has said so.
    fn holder(&self, tenant: &TenantId, number: &Subject) -> Option<Subject> {
        self.known().names.get(&(tenant.clone(), number.clone()))?.first().cloned()
    }

    /// A person's object id: the name itself, or what the directory said.
    fn object_id(&self, tenant: &TenantId, subject: &Subject) -> Option<String> {
        if let Subject::Person(name) = subject
            && read::is_guid(name)
        {
            return Some(name.to_string());
        }
        let known = self.known();
        let names = known.names.get(&(tenant.clone(), subject.clone()))?;
        names.iter().find_map(|name| match name {
            Subject::Person(name) if read::is_guid(name) => Some(name.to_string()),
            _ => None,
        })
    }

    fn collect(
        &self,
        tenant: &TenantId,
        account: Option<&Account>,
        target: &Subject,
        route: Route,
        asker: Option<&Subject>,
        now: SystemTime,
    ) -> Facts {
        let mut evidence = Vec::new();
        {
            let known = self.known();
            for subject in known.subjects(tenant, target, route) {
                evidence
                    .extend(known.evidence.get(&(tenant.clone(), subject)).into_iter().flatten().cloned());
            }
            // The group is the asker's, whoever is asked.
            evidence.retain(|one| one.check != Check::Group);
            let own = asker.and_then(|asker| known.evidence.get(&(tenant.clone(), asker.clone())));
            let groups = own.into_iter().flatten().filter(|one| one.check == Check::Group);
            evidence.extend(groups.cloned().map(|one| Evidence { subject: target.clone(), ..one }));
        }
        let policy = match account {
            Some(account) => account::policy(&account.settings),
            None => Policy::without_account(target, route),
        };
        if let Some(account) = account {
            evidence.extend(account::configured(&account.settings, &account.options(), now));
            let names: Vec<&Subject> = evidence.iter().map(|one| &one.subject).chain([target]).collect();
            let allowed = account::enabled(&account.options(), &account.settings, target, &names, asker, now);
            if let Some(allowed) = allowed {
                if allowed.verdict == Verdict::Fail {
                    evidence.retain(|one| one.check != Check::Group);
                }
                evidence.push(allowed);
            }
        } else {
            evidence.push(account::missing(now));
            evidence.push(account::ungrouped(target, now));
        }
        let client_id = account.and_then(|account| account.settings.client_id.as_deref().map(str::to_owned));
        Facts { target: target.clone(), route, evidence, policy, client_id, now }
    }

    /// When the account's credential ends, as far as is known; asks anew in the background when that is old.
    pub fn secret_expiry(&self, tenant: &TenantId) -> Option<Evidence> {
        let account = self.account(tenant)?;
        if token::complete(&account.settings) {
            let _ = self.start(&account, Resource::Application);
        }
        let now = SystemTime::now();
        let mut said = account::configured(&account.settings, &account.options(), now);
        said.extend(
            self.known().evidence.get(&(tenant.clone(), Subject::Tenant)).into_iter().flatten().cloned(),
        );
        best(said.iter().filter(|one| one.check == Check::SecretExpiry), now).cloned()
    }

    /// Asks everything anew: after a change of consent, options or credential.
    pub fn forget_flights(&self, tenant: &TenantId) {
        self.known().flights.retain(|(of, _), flight| of != tenant || flight.running.is_some());
    }

    /// Forgets all evidence about a tenant.
    pub fn forget(&self, tenant: &TenantId) {
        self.forget_flights(tenant);
        let mut known = self.known();
        known.evidence.retain(|(of, _), _| of != tenant);
        known.names.retain(|(of, _), _| of != tenant);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One read under way. However it ends, whoever waits is released and the next may start.
struct Landing {
    engine: Engine,
    account: Arc<Account>,
    resource: Resource,
    landed: Option<watch::Sender<()>>,
}

impl Landing {
    async fn fly(mut self) {
        let presence_of_name = match &self.resource {
            Resource::Presence(subject) => {
                self.engine.object_id(&self.account.settings.tenant, subject).is_none()
            }
            _ => false,
        };
        if presence_of_name && let Resource::Presence(subject) = &self.resource {
            // The directory has to give the object id first; it is being asked, or is fresh.
            let person = Resource::Person(subject.clone());
            if let Some(mut read) = self.engine.start(&self.account, person) {
                let _ = read.changed().await;
            }
        }
        let evidence = self.engine.read(&self.account, &self.resource).await;
        // Whose it is decides; so whoever waits for the number waits for the person as well.
        let holder = match &self.resource {
            Resource::Holder(number) => self.engine.holder(&self.account.settings.tenant, number),
            _ => None,
        };
        if let Some(person) = holder
            && let Some(mut read) = self.engine.start(&self.account, Resource::Person(person))
        {
            let _ = read.changed().await;
        }
        self.land(&evidence);
    }

    fn land(&mut self, evidence: &[Evidence]) {
        let tenant = &self.account.settings.tenant;
        let lives = &self.account.settings.lives;
        let failed = evidence.is_empty() || evidence.iter().any(|one| one.code == "source_unavailable");
        let now = Instant::now();
        let mut known = self.engine.known();
        for one in evidence {
            known.note(tenant, with_life(one.clone(), lives));
        }
        let flight = known.flights.entry((tenant.clone(), self.resource.clone())).or_default();
        flight.running = None;
        if failed {
            flight.failures = flight.failures.saturating_add(1);
            let pause = RETRY_MIN.saturating_mul(1 << flight.failures.min(6).saturating_sub(1));
            flight.not_before = Some(now + pause.min(RETRY_MAX));
        } else {
            flight.failures = 0;
            flight.not_before = None;
            let life = self.resource.life(lives);
            let lacking = evidence.iter().any(|one| one.verdict == Verdict::Fail);
            flight.fresh_until = Some(now + if lacking { life.min(LACKING_LIFE) } else { life });
        }
        drop(known);
        self.landed = None;
    }
}

/// A read that panicked or was cancelled with its task counts as failed.
impl Drop for Landing {
    fn drop(&mut self) {
        if self.landed.is_some() {
            self.land(&[]);
        }
    }
}

impl Resource {
    fn life(&self, lives: &EvidenceLives) -> Duration {
        match self {
            Resource::Person(_) | Resource::Holder(_) => lives.person,
            Resource::Presence(_) => lives.presence,
            Resource::Groups(_) => lives.groups,
            Resource::Application => lives.expiry.min(Duration::from_secs(3600)),
            Resource::AcsId => lives.acs_id,
            // Half of what the evidence holds, so that there is always some.
            Resource::AcsEndpoint(_) => Check::AcsReachable.life() / 2,
        }
    }
}

impl Known {
    /// Everybody whom evidence about reaching `target` may name: the tenant, the target, and its other names. A number
    /// over Direct Routing is whose it is, as the directory says, or else a file.
    fn subjects(&self, tenant: &TenantId, target: &Subject, route: Route) -> HashSet<Subject> {
        let names = |of: &Subject| self.names.get(&(tenant.clone(), of.clone())).into_iter().flatten();
        let mut all: HashSet<Subject> = [Subject::Tenant, target.clone()].into();
        let number = match (target, route) {
            (Subject::Number(number), Route::DirectRouting) => number,
            (Subject::Number(_), Route::Voip | Route::Pstn) => return all,
            (Subject::Person(_) | Subject::Tenant, _) => {
                all.extend(names(target).cloned());
                return all;
            }
        };
        let is_theirs = |one: &Evidence| {
            let theirs = one.value.as_deref().is_some_and(|value| number::agree(value, number.as_str()));
            one.check == Check::TeamsNumber && theirs
        };
        let mut holders: Vec<&Subject> = names(target).collect();
        if holders.is_empty() && !self.evidence.contains_key(&(tenant.clone(), target.clone())) {
            let said =
                self.evidence.iter().filter(|((of, _), all)| of == tenant && all.iter().any(is_theirs));
            holders.extend(said.map(|((_, subject), _)| subject));
        }
        all.extend(holders.iter().flat_map(|holder| names(holder)).cloned());
        all.extend(holders.into_iter().cloned());
        all
    }

    /// Newest of each source counts; an older one of the same source is of no more use.
    fn note(&mut self, tenant: &TenantId, new: Evidence) {
        let all = self.evidence.entry((tenant.clone(), new.subject.clone())).or_default();
        let same = |old: &Evidence| old.check == new.check && old.source.name() == new.source.name();
        if let Some(old) = all.iter_mut().find(|old| same(old)) {
            // An observer who cannot tell now does not take back what they saw while it still holds.
            let keeps = new.verdict == Verdict::Unknown
                && old.verdict != Verdict::Unknown
                && old.holds(new.observed_at);
            if !keeps && old.observed_at <= new.observed_at {
                *old = new;
            }
        } else {
            all.push(new);
        }
    }

    /// Forgets the people asked for least lately.
    fn make_room(&mut self) {
        if self.flights.len() < FLIGHTS_MAX {
            return;
        }
        let mut idle: Vec<_> = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.running.is_none())
            .map(|(key, flight)| (flight.asked_at, key.clone()))
            .collect();
        idle.sort_by_key(|(asked_at, _)| *asked_at);
        for (_, key) in idle.into_iter().take(FLIGHTS_MAX / 10) {
            self.flights.remove(&key);
            if let (
                tenant,
                Resource::Person(subject) | Resource::Presence(subject) | Resource::Holder(subject),
            ) = key
            {
                self.names.remove(&(tenant.clone(), subject.clone()));
                // What a file or a person said about them stays; only what can be read again goes.
                if let Some(all) = self.evidence.get_mut(&(tenant, subject)) {
                    all.retain(|one| one.source != Source::Graph);
                }
            }
        }
        self.evidence.retain(|_, all| !all.is_empty());
    }
}

fn with_life(one: Evidence, lives: &EvidenceLives) -> Evidence {
    let life = match (&one.source, one.check) {
        (Source::Import, _) => lives.import,
        (Source::Attested { .. }, _) => lives.attestation,
        (Source::CallOutcome, _) => lives.call_outcome,
        (_, Check::Presence | Check::DesktopClient) => lives.presence,
        (_, Check::Group) => lives.groups,
        (_, Check::AcsId) => lives.acs_id,
        (_, Check::SecretExpiry | Check::ObjectId) => lives.expiry,
        (_, check) if check.about() == About::Person => lives.person,
        (_, check) => check.life(),
    };
    one.lasting(life)
}
