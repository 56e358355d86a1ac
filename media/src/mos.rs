//! How a conversation sounds, estimated from what the network did to it: the E-model of ITU-T G.107.
//!
//! Of the model only what changes from call to call is computed, with everything else at its default (G.107 table 2): the
//! rating is 93.2, less what delay and what lost packets take. Delay as R. G. Cole and J. H. Rosenbluth simplified it
//! ("Voice over IP performance monitoring", 2001); loss by G.107 section 7.5 with the values that G.113 appendix I
//! gives for G.711 with concealment. All codecs are scored so, on the scale of narrow-band telephony: what a wider band
//! adds to a listener's joy is not counted, what the network takes away is.
//!
//! It is an estimate of the line, not of the words on it: noise, echo and level are not looked at.

/// The rating of a call to which nothing happens (G.107 section 7.7).
const BEST_RATING: f32 = 93.2;

/// Impairment by loss in the end (G.107 section 7.5): no codec does worse.
const WORST_LOSS: f32 = 95.0;

/// How well G.711 with concealment bears lost packets (G.113 appendix I, Bpl).
const ROBUSTNESS: f32 = 25.1;

/// From this delay on it costs more: people begin to talk at the same time.
const TALK_OVER_MS: f32 = 177.3;

/// The mean opinion of a call to which nothing happens.
pub const BEST: f32 = 4.41;

/// Mean opinion score, 1 to 4.5, of one direction in which a share of packets, `loss` from 0 to 1, never came and the
/// sound took `delay_ms` from mouth to ear.
///
/// ```
/// # use sidetone_media::mos;
/// assert!(mos::estimate(0.0, 20.0) > 4.3);
/// assert!(mos::estimate(0.10, 20.0) < 3.7);
/// ```
pub fn estimate(loss: f32, delay_ms: f32) -> f32 {
    opinion(rating(loss, delay_ms))
}

/// The rating R, 0 to 93.2.
fn rating(loss: f32, delay_ms: f32) -> f32 {
    let percent = if loss.is_finite() { loss.clamp(0.0, 1.0) * 100.0 } else { 100.0 };
    let delay_ms = if delay_ms.is_finite() { delay_ms.max(0.0) } else { f32::MAX };
    let by_loss = WORST_LOSS * percent / (percent + ROBUSTNESS);
    let by_delay = 0.024 * delay_ms + 0.11 * (delay_ms - TALK_OVER_MS).max(0.0);
    (BEST_RATING - by_loss - by_delay).max(0.0)
}

/// What people say of a rating (G.107 annex B).
fn opinion(rating: f32) -> f32 {
    // The polynomial dips below 1 for the worst ratings.
    (1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G.107 annex B, table B.1, which is rounded.
    #[test]
    fn opinions_are_those_of_the_recommendation() {
        for (rated, expected) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            let said = opinion(rated);
            assert!((said - expected).abs() < 0.01, "R {rated}: {said:.3} instead of {expected}");
        }
        assert!((opinion(BEST_RATING) - BEST).abs() < 0.005);
        assert_eq!((opinion(0.0), opinion(100.0)), (1.0, 4.5));
    }

    /// Ratings worked out by hand from the formulas of the recommendation.
    #[test]
    fn loss_and_delay_take_what_the_model_says() {
        for (loss, delay_ms, expected) in [
            (0.0, 0.0, 93.2),
            (0.01, 0.0, 89.56),
            (0.05, 0.0, 77.42),
            (0.20, 0.0, 51.07),
            (0.0, 150.0, 89.6),
            (0.0, 400.0, 59.10),
            (0.05, 150.0, 73.82),
        ] {
            let rated = rating(loss, delay_ms);
            assert!((rated - expected).abs() < 0.05, "{loss} {delay_ms}: {rated:.2} instead of {expected}");
        }
    }

    #[test]
    fn nothing_that_is_reported_leaves_the_scale() {
        for loss in [-1.0, 0.0, 0.5, 1.0, 7.0, f32::NAN, f32::INFINITY] {
            for delay_ms in [-5.0, 0.0, 1e9, f32::NAN, f32::INFINITY] {
                let score = estimate(loss, delay_ms);
                assert!((1.0..=4.5).contains(&score), "{loss} {delay_ms}: {score}");
            }
        }
        assert!(estimate(0.02, 50.0) > estimate(0.03, 50.0));
        assert!(estimate(0.02, 50.0) > estimate(0.02, 90.0));
    }
}
