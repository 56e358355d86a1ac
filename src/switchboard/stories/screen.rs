//! Voicemail: what is heard of a target is its outcome, and by the configuration it stands or is undone.

use sbc_config::OnVoicemail;
use sidetone_media::answer::Heard;

use super::*;
use crate::switchboard::desk::{ConsultRequest, TransferOutcome, TransferRequest};

fn house(policy: OnVoicemail) -> House {
    let mut config = config("", 10);
    config.voicemail.on_voicemail = policy;
    House::with(config, PAIRS)
}

impl House {
    /// Bob is rung in Alice's place, and answers.
    fn bob_answers(&mut self, call: CallId) -> (LegId, oneshot::Receiver<Result<Answer, Refusal>>) {
        let request = TransferRequest {
            call,
            by: None,
            wish: wish_for("bob"),
            trunk: None,
            wait: true,
            dry_run: false,
            asker: None,
            card: None,
        };
        let told = self.ask(&software("acme"), Request::Transfer(request));
        let bob = self.obey()[0].0;
        self.tell(bob, LegEvent::Ringing);
        self.tell(bob, LegEvent::Answered);
        self.obey();
        (bob, told)
    }

    fn hears(&mut self, call: CallId, leg: LegId, heard: Heard) {
        self.board.bridge_event(self.now, BridgeEvent::Screened { call, leg, heard });
        self.obey();
    }

    fn is_here(&self, call: CallId, leg: LegId) -> bool {
        let call = self.board.calls.get(&call).map(|live| &live.call);
        call.is_some_and(|call| call.parties().iter().any(|party| party.seat().leg == leg))
    }
}

fn outcome(told: &mut oneshot::Receiver<Result<Answer, Refusal>>) -> Option<TransferOutcome> {
    match told.try_recv() {
        Ok(Ok(Answer::Transfer(outcome))) => outcome,
        Ok(other) => panic!("{other:?}"),
        Err(_) => None,
    }
}

#[tokio::test]
async fn a_suspicion_is_the_outcome_and_the_transfer_stands() {
    for (heard, right) in [
        (Heard::LongSpeech, TransferOutcome::VoicemailSuspected),
        (Heard::Beep, TransferOutcome::VoicemailSuspected),
        (Heard::Nothing, TransferOutcome::Connected),
    ] {
        let mut house = house(OnVoicemail::Report);
        let (call, _, alice) = house.talking();
        let (bob, mut told) = house.bob_answers(call);
        assert!(!house.is_here(call, alice) && house.is_here(call, bob), "it is done");
        assert_eq!(outcome(&mut told), None, "who it is waits to be heard");
        house.hears(call, bob, heard);
        assert_eq!(outcome(&mut told), Some(right));
        assert!(house.is_here(call, bob));
        let suspected = house.events().contains(&"transfer.voicemail_suspected");
        assert_eq!(suspected, heard != Heard::Nothing);
    }
}

#[tokio::test]
async fn with_rollback_nobody_has_gone_before_a_person_is_heard() {
    let mut house = house(OnVoicemail::Rollback);
    let (call, customer, alice) = house.talking();
    let (bob, mut told) = house.bob_answers(call);
    assert!(house.is_here(call, alice), "until then Alice stays");
    house.hears(call, bob, Heard::Beep);
    assert_eq!(outcome(&mut told), Some(TransferOutcome::VoicemailSuspected));
    assert!(house.is_here(call, alice) && house.is_here(call, customer) && !house.is_here(call, bob));
    assert_eq!(house.last("transfer.voicemail_suspected").data["sign"], "beep");
    assert_eq!(house.last("transfer.failed").data["outcome"], "voicemail_suspected");
    assert!(house.events().contains(&"transfer.rolled_back"));

    let (bob, mut told) = house.bob_answers(call);
    house.hears(call, bob, Heard::Nothing);
    assert_eq!(outcome(&mut told), Some(TransferOutcome::Connected));
    assert!(!house.is_here(call, alice) && house.is_here(call, bob));

    // Whoever leaves meanwhile has decided.
    let mut house = self::house(OnVoicemail::Rollback);
    let (call, _, alice) = house.talking();
    let (bob, mut told) = house.bob_answers(call);
    house.hangs_up(alice);
    house.obey();
    assert!(house.is_here(call, bob), "the customer is Bob's");
    house.hears(call, bob, Heard::Nothing);
    assert_eq!(outcome(&mut told), Some(TransferOutcome::Connected));

    // Nothing more is heard of whoever hangs up first.
    let mut house = self::house(OnVoicemail::Rollback);
    let (call, _, alice) = house.talking();
    let (bob, mut told) = house.bob_answers(call);
    house.hangs_up(bob);
    house.obey();
    assert_eq!(outcome(&mut told), Some(TransferOutcome::RolledBack));
    assert!(house.is_here(call, alice));
}

#[tokio::test]
async fn what_the_network_says_of_a_mailbox_counts_at_once() {
    let mut house = house(OnVoicemail::Rollback);
    let (call, _, alice) = house.talking();
    let (bob, mut told) = house.bob_answers(call);
    house.tell(bob, LegEvent::Screened(Screening::Voicemail(VoicemailSign::Signalled)));
    house.obey();
    assert_eq!(outcome(&mut told), Some(TransferOutcome::VoicemailSuspected));
    assert!(house.is_here(call, alice));
    assert_eq!(house.last("transfer.voicemail_suspected").data["sign"], "signalled");
}

#[tokio::test]
async fn a_consult_is_marked_and_goes_on() {
    let mut house = house(OnVoicemail::Report);
    let (call, ..) = house.talking();
    let request = ConsultRequest {
        call,
        by: None,
        wishes: vec![wish_for("bob")],
        dry_run: false,
        asker: None,
        trunk: None,
        ring: Duration::from_secs(20),
        card: None,
        hold_media: None,
    };
    house.asked(&software("acme"), Request::Consult(request)).unwrap();
    let bob = house.obey()[0].0;
    house.tell(bob, LegEvent::Answered);
    house.hears(call, bob, Heard::LongSpeech);
    assert_eq!(house.last("consult.voicemail_suspected").data["leg"], bob.to_string());
    assert!(house.is_here(call, bob), "whoever asked hears it themselves");
}

#[tokio::test]
async fn who_does_not_want_to_know_is_told_nothing() {
    let mut house = house(OnVoicemail::Ignore);
    let (call, ..) = house.talking();
    let (_, mut told) = house.bob_answers(call);
    assert_eq!(outcome(&mut told), Some(TransferOutcome::Connected), "nobody listens");
}
