//! Codes that open a session once, and the sessions they opened. Pure: the time is an argument.
//!
//! ```text
//!               code used in time             renewed while the token is good
//!   open code ------------------> session ---------------------------------> session with another token
//!       |                            |
//!       | CODE_LIFE                  | signed out, ended, TOKEN_LIFE without renewal, SESSION_LIFE
//!       v                            v
//!   forgotten                     forgotten
//! ```
//!
//! Codes and tokens are known here by their SHA-256 only. They are found by it in a hash map, not compared in
//! constant time: what the time tells is about the hash of a guess, and nobody can choose guesses by their hash.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use sbc_config::TenantId;

/// How long a code can be used: time to hand it over and click, not to lie about in a mailbox.
pub(super) const CODE_LIFE: Duration = Duration::from_secs(10 * 60);
/// How long a token is good. Whoever finds a stale one finds nothing; whoever leaves is signed out.
pub(super) const TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);
/// How long a session can be renewed: a long shift.
pub(super) const SESSION_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// How long the token before a renewal stays good, for requests that were under way.
pub(super) const OVERLAP: Duration = Duration::from_secs(30);
/// Open codes at one time.
const CODES_MAX: usize = 4096;
/// Sessions at one time: every desk of a large house, twice.
const SESSIONS_MAX: usize = 4096;
/// Open codes, and sessions, of one bearer. Beyond it the oldest goes: a program that makes them in a loop takes
/// nobody else's place, and a person has hardly more browsers.
const EACH_MAX: usize = 8;

/// SHA-256 of a code or token.
pub(super) type Hash = [u8; 32];

/// Whom codes and sessions are kept for.
pub(super) trait Bearer: Clone {
    /// Whose tenant.
    fn tenant(&self) -> &TenantId;
    /// The same for the same bearer, to count by.
    fn name(&self) -> &str;
}

/// All codes and sessions.
pub(super) struct Book<B> {
    codes: HashMap<Hash, Code<B>>,
    sessions: HashMap<String, Session<B>>,
    /// Sessions by token, the ones before a renewal included.
    tokens: HashMap<Hash, String>,
}

struct Code<B> {
    bearer: B,
    made: SystemTime,
}

/// Somebody signed in.
#[derive(Clone)]
pub(super) struct Session<B> {
    /// Its name, no secret.
    pub(super) id: String,
    /// Whose.
    pub(super) bearer: B,
    /// Since when.
    pub(super) since: SystemTime,
    /// The end of the token, unless it is renewed.
    pub(super) token_until: SystemTime,
    token: Hash,
    before: Option<(Hash, SystemTime)>,
}

/// Too many codes or sessions are open, of all tenants together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl<B> Default for Book<B> {
    fn default() -> Self {
        Book { codes: HashMap::new(), sessions: HashMap::new(), tokens: HashMap::new() }
    }
}

impl<B> Session<B> {
    /// The moment from which on it cannot be renewed.
    pub(super) fn until(&self) -> SystemTime {
        self.since + SESSION_LIFE
    }

    fn over(&self, now: SystemTime) -> bool {
        now >= self.token_until
    }
}

impl<B: Bearer> Book<B> {
    /// Opens a code.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn open(&mut self, now: SystemTime, code: Hash, bearer: B) -> Result<(), Full> {
        self.forget(now);
        let mut own: Vec<_> = self.codes.iter().filter(|(_, code)| same(&code.bearer, &bearer)).collect();
        own.sort_by_key(|(_, code)| code.made);
        let oldest = own.first().filter(|_| own.len() >= EACH_MAX).map(|(hash, _)| **hash);
        if let Some(oldest) = oldest {
            self.codes.remove(&oldest);
        }
        if self.codes.len() >= CODES_MAX {
            return Err(Full);
        }
        self.codes.insert(code, Code { bearer, made: now });
        Ok(())
    }

    /// Whose a code is. It stays open.
    pub(super) fn whose(&self, now: SystemTime, code: &Hash) -> Option<&B> {
        self.codes.get(code).filter(|code| now < code.made + CODE_LIFE).map(|code| &code.bearer)
    }

    /// Uses a code up and begins a session `id` with this token; none when there is no such code.
    ///
    /// # Errors
    /// [`Full`]; the code stays open then.
    pub(super) fn begin(
        &mut self,
        now: SystemTime,
        code: &Hash,
        id: String,
        token: Hash,
    ) -> Result<Option<Session<B>>, Full> {
        self.forget(now);
        let Some(bearer) = self.whose(now, code).cloned() else { return Ok(None) };
        let mut own: Vec<_> =
            self.sessions.values().filter(|session| same(&session.bearer, &bearer)).collect();
        own.sort_by_key(|session| session.since);
        let oldest = own.first().filter(|_| own.len() >= EACH_MAX).map(|session| session.id.clone());
        if let Some(oldest) = oldest {
            self.end(&oldest);
        }
        if self.sessions.len() >= SESSIONS_MAX {
            return Err(Full);
        }
        self.codes.remove(code);
        let session = Session {
            id: id.clone(),
            bearer,
            since: now,
            token_until: now + TOKEN_LIFE,
            token,
            before: None,
        };
        self.tokens.insert(token, id.clone());
        self.sessions.insert(id, session.clone());
        Ok(Some(session))
    }

    /// The session of a token that is good.
    pub(super) fn by_token(&self, now: SystemTime, token: &Hash) -> Option<&Session<B>> {
        let session = self.live(now, self.tokens.get(token)?)?;
        let before = || session.before.is_some_and(|(hash, end)| hash == *token && now < end);
        (session.token == *token || before()).then_some(session)
    }

    /// A session that goes on.
    pub(super) fn live(&self, now: SystemTime, id: &str) -> Option<&Session<B>> {
        self.sessions.get(id).filter(|session| !session.over(now))
    }

    /// Gives a session another token.
    pub(super) fn renew(&mut self, now: SystemTime, id: &str, token: Hash) -> Option<Session<B>> {
        let session = self.sessions.get_mut(id).filter(|session| !session.over(now))?;
        if let Some((older, _)) = session.before.replace((session.token, now + OVERLAP)) {
            self.tokens.remove(&older);
        }
        session.token = token;
        session.token_until = (now + TOKEN_LIFE).min(session.until());
        self.tokens.insert(token, id.to_owned());
        Some(session.clone())
    }

    /// Ends a session. Whether there was one.
    pub(super) fn end(&mut self, id: &str) -> Option<Session<B>> {
        let session = self.sessions.remove(id)?;
        self.tokens.remove(&session.token);
        if let Some((before, _)) = session.before {
            self.tokens.remove(&before);
        }
        Some(session)
    }

    /// The sessions of a tenant, the oldest first.
    pub(super) fn of(&self, now: SystemTime, tenant: &TenantId) -> Vec<Session<B>> {
        let own = self.sessions.values().filter(|one| one.bearer.tenant() == tenant && !one.over(now));
        let mut own: Vec<_> = own.cloned().collect();
        own.sort_by_key(|session| session.since);
        own
    }

    /// Forgets what is over.
    pub(super) fn forget(&mut self, now: SystemTime) {
        self.codes.retain(|_, code| now < code.made + CODE_LIFE);
        let over: Vec<_> =
            self.sessions.values().filter(|one| one.over(now)).map(|one| one.id.clone()).collect();
        for id in over {
            self.end(&id);
        }
    }
}

fn same<B: Bearer>(one: &B, other: &B) -> bool {
    one.tenant() == other.tenant() && one.name() == other.name()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[derive(Clone)]
    struct Who(TenantId, &'static str);

    impl Bearer for Who {
        fn tenant(&self) -> &TenantId {
            &self.0
        }
        fn name(&self) -> &str {
            self.1
        }
    }

    fn who(name: &'static str) -> Who {
        Who(TenantId::new("demo").unwrap(), name)
    }

    fn hash(n: usize) -> Hash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        hash
    }

    fn signed_in(book: &mut Book<Who>, now: SystemTime) -> Session<Who> {
        book.open(now, hash(1), who("alice")).unwrap();
        book.begin(now, &hash(1), "one".into(), hash(2)).unwrap().unwrap()
    }

    #[test]
    fn a_code_opens_one_session_and_only_in_time() {
        let (mut book, now) = (Book::default(), UNIX_EPOCH);
        signed_in(&mut book, now);
        assert!(book.begin(now, &hash(1), "two".into(), hash(3)).unwrap().is_none(), "used up");

        book.open(now, hash(4), who("alice")).unwrap();
        assert!(book.whose(now + CODE_LIFE, &hash(4)).is_none());
        assert!(book.begin(now + CODE_LIFE, &hash(4), "late".into(), hash(5)).unwrap().is_none());
        assert!(book.codes.is_empty(), "and forgotten");
    }

    #[test]
    fn a_session_lives_as_long_as_it_is_renewed_and_no_longer_than_a_shift() {
        let (mut book, mut now) = (Book::default(), UNIX_EPOCH);
        let end = signed_in(&mut book, now).until();
        let mut token = 2;
        while now + TOKEN_LIFE < end {
            now += TOKEN_LIFE - Duration::from_secs(1);
            token += 1;
            let renewed = book.renew(now, "one", hash(token)).unwrap();
            assert!(renewed.token_until <= end);
            assert!(book.tokens.len() <= 2, "older tokens are forgotten");
        }
        assert!(book.by_token(end - Duration::from_secs(1), &hash(token)).is_some());
        assert!(book.by_token(end, &hash(token)).is_none());
        assert!(book.renew(end, "one", hash(999)).is_none());
    }

    #[test]
    fn who_does_not_renew_is_signed_out_and_nothing_is_left() {
        let (mut book, now) = (Book::default(), UNIX_EPOCH);
        signed_in(&mut book, now);
        let last = now + TOKEN_LIFE - Duration::from_nanos(1);
        assert!(book.by_token(last, &hash(2)).is_some() && book.live(last, "one").is_some());
        assert!(book.live(now + TOKEN_LIFE, "one").is_none());
        book.forget(now + TOKEN_LIFE);
        assert!(book.sessions.is_empty() && book.tokens.is_empty());
    }

    #[test]
    fn the_token_before_a_renewal_is_good_for_what_was_under_way() {
        let (mut book, now) = (Book::default(), UNIX_EPOCH);
        signed_in(&mut book, now);
        book.renew(now, "one", hash(3)).unwrap();
        assert!(book.by_token(now + OVERLAP - Duration::from_nanos(1), &hash(2)).is_some());
        assert!(book.by_token(now + OVERLAP, &hash(2)).is_none());
        assert!(book.by_token(now + OVERLAP, &hash(3)).is_some());
    }

    #[test]
    fn an_ended_session_takes_both_its_tokens_along() {
        let (mut book, now) = (Book::default(), UNIX_EPOCH);
        signed_in(&mut book, now);
        book.renew(now, "one", hash(3)).unwrap();
        assert!(book.end("one").is_some() && book.end("one").is_none());
        assert!(book.by_token(now, &hash(2)).is_none() && book.by_token(now, &hash(3)).is_none());
        assert!(book.tokens.is_empty());
    }

    #[test]
    fn a_loop_of_one_takes_nobody_elses_place() {
        let (mut book, start) = (Book::default(), UNIX_EPOCH);
        book.open(start, hash(1), who("bob")).unwrap();
        book.begin(start, &hash(1), "bobs".into(), hash(2)).unwrap().unwrap();
        for n in 0..3 * EACH_MAX {
            let now = start + Duration::from_secs(n as u64);
            book.open(now, hash(100 + n), who("alice")).unwrap();
            assert!(book.codes.len() <= EACH_MAX);
        }
        for n in 0..3 * EACH_MAX {
            let now = start + Duration::from_secs(100 + n as u64);
            book.open(now, hash(200 + n), who("alice")).unwrap();
            book.begin(now, &hash(200 + n), format!("hers {n}"), hash(300 + n)).unwrap().unwrap();
        }
        assert_eq!(book.sessions.len(), EACH_MAX + 1);
        let now = start + Duration::from_secs(200);
        assert!(book.by_token(now, &hash(2)).is_some(), "bob's is there");
        assert!(book.by_token(now, &hash(300 + 3 * EACH_MAX - 1)).is_some(), "her latest is there");
        assert!(book.by_token(now, &hash(300)).is_none(), "her oldest is not");
    }

    #[test]
    fn the_house_has_a_limit_in_all() {
        let mut book = Book::default();
        let names: Vec<&'static str> = (0..=CODES_MAX / EACH_MAX).map(|n| &*format!("p{n}").leak()).collect();
        for n in 0..CODES_MAX {
            book.open(UNIX_EPOCH, hash(n), who(names[n / EACH_MAX])).unwrap();
        }
        assert_eq!(book.open(UNIX_EPOCH, hash(CODES_MAX), who(names[CODES_MAX / EACH_MAX])), Err(Full));
        let later = UNIX_EPOCH + CODE_LIFE;
        assert_eq!(book.open(later, hash(CODES_MAX), who("late")), Ok(()), "until they are over");
    }
}
