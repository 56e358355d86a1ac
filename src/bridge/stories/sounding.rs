//! A leg is scored while the call lasts, and told of when it sounds clearly worse, or better again.

use super::*;
use crate::bridge::{BridgeEvent, LegQuality};

/// Seconds of the call, in which one packet of `lose_every` of the customer's is lost; what is news of the customer.
fn seconds(stage: &mut Stage, seconds: usize, lose_every: Option<usize>) -> Vec<LegQuality> {
    let mut told = Vec::new();
    for _ in 0..seconds {
        for n in 0..50 {
            stage.lose = lose_every.is_some_and(|every| n % every == 0);
            stage.run(1);
        }
        told.extend(heard_of(stage).into_iter().filter(|(leg, _, is_news)| *leg == LegId(1) && *is_news));
    }
    stage.lose = false;
    told.into_iter().map(|(_, quality, _)| quality).collect()
}

/// A second's look at the legs.
fn heard_of(stage: &mut Stage) -> Vec<(LegId, LegQuality, bool)> {
    let mut events = Vec::new();
    stage.room.sweep(stage.now, &stage.house, &mut events);
    let known = |event| match event {
        BridgeEvent::Quality { leg, quality, is_news, .. } => Some((leg, quality, is_news)),
        BridgeEvent::MediaMissing { .. } => None,
        other => panic!("{other:?}"),
    };
    events.into_iter().filter_map(known).collect()
}

#[test]
fn every_leg_is_looked_at_every_five_seconds_and_a_good_one_is_no_news() {
    let mut stage = Stage::new([Codec::Pcmu; 3]);
    let mut seen = Vec::new();
    for second in 1..=10 {
        stage.run(50);
        seen.extend(heard_of(&mut stage).into_iter().map(|(leg, quality, is_news)| {
            assert!(!is_news && quality.mos.is_some_and(|mos| mos > 4.3), "{quality:?}");
            (second, leg.0)
        }));
    }
    assert_eq!(seen, [(5, 1), (5, 2), (5, 3), (10, 1), (10, 2), (10, 3)]);
}

#[test]
fn loss_is_told_once_and_so_is_its_end() {
    let mut stage = Stage::new([Codec::Pcmu; 3]);
    assert_eq!(seconds(&mut stage, 20, None), [], "a good line is no news");

    let told = seconds(&mut stage, 20, Some(5));
    assert_eq!(told.len(), 1, "{told:?}");
    let bad = told[0].mos.unwrap();
    assert!((2.3..3.0).contains(&bad), "a fifth of the packets lost: {bad}");

    let told = seconds(&mut stage, 20, None);
    assert_eq!(told.len(), 1, "{told:?}");
    let good = told[0].mos.unwrap();
    assert!(good > 4.2, "the score is that of the last seconds: {good}");
    assert!(told[0].lost >= 150, "the counts are those of the call: {:?}", told[0]);
}

#[test]
fn who_sends_nothing_is_not_scored() {
    let mut stage = Stage::new([Codec::Pcmu; 3]);
    stage.stopped = [true; 3];
    assert_eq!(seconds(&mut stage, 20, None), []);
    assert_eq!(stage.room.leave(stage.now, CUSTOMER, &stage.house).unwrap().mos, None);
}
