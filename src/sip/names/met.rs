//! Names that nobody configured: peers name them as the way back into a dialog, and they must be known when we go there.
//!
//! Microsoft's Record-Route is of one datacentre (`sip-du-a-eu.pstnhub.microsoft.com`). Which of them takes a call is its own
//! affair, so such names are asked for as they are met. Until one is known, requests go where the dialog began.

use std::time::{Duration, Instant};

use super::Place;

/// Names kept. Microsoft has a few dozen datacentres; one more takes the place of the oldest.
const MET_MAX: usize = 256;

/// A name is kept this long after it was last met, which is longer than anybody talks.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// A name that is met again after this is news, so that it is kept on.
const NEWS_AFTER: Duration = Duration::from_secs(3600);

/// Names met, and when that was last told.
#[derive(Debug, Default)]
pub struct Met {
    places: Vec<(Place, Instant)>,
}

impl Met {
    /// A peer has named this. True when that is news.
    pub fn meet(&mut self, now: Instant, place: &Place) -> bool {
        self.forget_old(now);
        if let Some((_, at)) = self.places.iter_mut().find(|(known, _)| known == place) {
            let is_news = *at + NEWS_AFTER <= now;
            if is_news {
                *at = now;
            }
            return is_news;
        }
        if self.places.len() >= MET_MAX {
            let oldest =
                self.places.iter().enumerate().min_by_key(|(_, (_, at))| *at).map(|(index, _)| index);
            oldest.map(|oldest| self.places.swap_remove(oldest));
        }
        self.places.push((place.clone(), now));
        true
    }

    /// The places that are still worth asking for.
    pub fn places(&mut self, now: Instant) -> impl Iterator<Item = &Place> {
        self.forget_old(now);
        self.places.iter().map(|(place, _)| place)
    }

    fn forget_old(&mut self, now: Instant) {
        self.places.retain(|(_, at)| now < *at + KEPT_FOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str) -> Place {
        Place { host: host.into(), port: Some(5061), transport: None }
    }

    #[test]
    fn a_name_is_news_once_an_hour_and_forgotten_after_a_day() {
        let (mut met, now) = (Met::default(), Instant::now());
        assert!(met.meet(now, &place("eu")));
        assert!(!met.meet(now + NEWS_AFTER / 2, &place("eu")));
        assert!(met.meet(now + NEWS_AFTER, &place("eu")), "told again, so that it is kept");
        let until = now + NEWS_AFTER + KEPT_FOR;
        assert_eq!(met.places(until - Duration::from_secs(1)).count(), 1);
        assert_eq!(met.places(until).count(), 0);
    }

    #[test]
    fn a_peer_that_names_ever_new_ways_back_fills_no_memory() {
        let (mut met, now) = (Met::default(), Instant::now());
        for number in 0..10 * MET_MAX as u64 {
            met.meet(now + Duration::from_millis(number), &place(&number.to_string()));
        }
        let newest = place(&(10 * MET_MAX - 1).to_string());
        assert_eq!(met.places(now).count(), MET_MAX);
        assert!(met.places(now).any(|known| *known == newest));
    }
}
