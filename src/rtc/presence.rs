//! Who listens in a browser: a call rings there, or is unreachable at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sbc_config::PersonId;

/// The browsers that are ready for calls, by person. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Browsers(Arc<Mutex<HashMap<PersonId, usize>>>);

/// A browser is ready for as long as this lives.
#[derive(Debug)]
pub struct Ready {
    browsers: Browsers,
    person: PersonId,
}

impl Browsers {
    /// One more browser of this person is ready. The same person may have several: all ring, and one answers.
    pub fn ready(&self, person: &PersonId) -> Ready {
        *self.lock().entry(person.clone()).or_default() += 1;
        Ready { browsers: self.clone(), person: person.clone() }
    }

    /// Whether any browser of this person is ready.
    pub fn listens(&self, person: &PersonId) -> bool {
        self.lock().contains_key(person)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PersonId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        let mut browsers = self.browsers.lock();
        if let Some(count) = browsers.get_mut(&self.person) {
            *count -= 1;
            if *count == 0 {
                browsers.remove(&self.person);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_there_until_the_last_browser_has_gone() {
        let (browsers, alice) = (Browsers::default(), PersonId::new("alice").unwrap());
        let (one, other) = (browsers.ready(&alice), browsers.ready(&alice));
        drop(one);
        assert!(browsers.listens(&alice));
        drop(other);
        assert!(!browsers.listens(&alice));
    }
}
