//! Every event that the API promises of a call and of a trunk is told, under its name.

use super::*;
use crate::call::SpeakTo;
use crate::switchboard::desk::{ConsultRequest, TransferRequest};

/// The names that whoever follows events was promised. `consult.preflight` is of ways to Teams: `asked_first` has it.
const PROMISED: [&str; 26] = [
    "call.initiated",
    "call.ringing",
    "call.answered",
    "call.bridged",
    "call.held",
    "call.resumed",
    "call.ended",
    "supervision.requested",
    "supervision.started",
    "supervision.role_changed",
    "supervision.ended",
    "supervision.denied",
    "consult.dialing",
    "consult.answered",
    "consult.speak_to_changed",
    "consult.completed",
    "consult.failed",
    "consult.fell_back",
    "transfer.started",
    "transfer.progress",
    "transfer.completed",
    "transfer.failed",
    "transfer.rolled_back",
    "leg.quality",
    "trunk.up",
    "trunk.down",
];

fn consult(call: CallId, targets: &[&str]) -> Request {
    Request::Consult(ConsultRequest {
        call,
        by: None,
        wishes: targets.iter().map(|target| wish_for(target)).collect(),
        dry_run: false,
        asker: None,
        trunk: None,
        ring: Duration::from_secs(20),
        card: None,
        hold_media: None,
    })
}

fn transfer(call: CallId, target: &str) -> Request {
    Request::Transfer(TransferRequest {
        call,
        by: None,
        wish: wish_for(target),
        trunk: None,
        wait: false,
        dry_run: false,
        asker: None,
        card: None,
    })
}

impl House {
    fn begins(&mut self, call: CallId, targets: &[&str]) -> ConsultId {
        match self.asked(&software("acme"), consult(call, targets)).unwrap() {
            Answer::Consult(view) => view.id,
            other => panic!("{other:?}"),
        }
    }

    /// The one telephone that is to be dialled now.
    fn rung(&mut self) -> LegId {
        let dialled = self.obey();
        assert_eq!(dialled.len(), 1, "{dialled:?}");
        dialled[0].0
    }

    fn gives_place_to(&mut self, call: CallId, target: &str) -> LegId {
        self.asked(&software("acme"), transfer(call, target)).unwrap();
        self.rung()
    }
}

#[tokio::test]
async fn every_promised_event_is_told_under_its_name() {
    let mut house = House::new();
    let software = software("acme");
    let customer = house.customer_calls("+15550100");
    let alice = house.rung();
    house.tell(alice, LegEvent::Ringing);
    house.tell(alice, LegEvent::Answered);
    house.obey();
    let call = house.board.by_leg[&customer];
    for act in [LegAct::Hold, LegAct::Resume] {
        house.asked(&software, Request::Leg { call, leg: customer, act }).unwrap();
        house.obey();
    }

    let (id, sam) = house.sam_listens(call, Follow::Call);
    drop(house.ask(&supervisor("sam", "support"), Request::SwitchRole(id, Coaching::Whisper)));
    house.asked(&supervisor("sam", "support"), Request::EndSupervision(id)).unwrap();
    house.hangs_up(sam);
    assert!(house.supervise(&supervisor("stranger", "sales"), wish(call, "stranger")).is_err());

    // Somebody who is busy, then somebody who comes, and goes.
    let consult = house.begins(call, &["bob", "+4420555"]);
    let bob = house.rung();
    house.tell(bob, LegEvent::Ended(LegEnd::of(Cause::Busy)));
    let expert = house.rung();
    house.tell(expert, LegEvent::Answered);
    house.obey();
    house.asked(&software, Request::SpeakTo(consult, SpeakTo::Conference)).unwrap();
    house.asked(&software, Request::CancelConsult(consult)).unwrap();
    house.obey();
    // Nobody who comes.
    house.begins(call, &["bob"]);
    let bob = house.rung();
    house.tell(bob, LegEvent::Ended(LegEnd::of(Cause::Busy)));
    house.obey();
    // Somebody who gets the call.
    let consult = house.begins(call, &["bob"]);
    let bob = house.rung();
    house.tell(bob, LegEvent::Answered);
    house.asked(&software, Request::CompleteConsult(consult)).unwrap();
    house.obey();

    let target = house.gives_place_to(call, "alice");
    house.tell(target, LegEvent::Ringing);
    house.tell(target, LegEvent::Ended(LegEnd::of(Cause::Busy)));
    house.obey();
    let target = house.gives_place_to(call, "alice");
    house.tell(target, LegEvent::Answered);
    house.obey();
    house.hangs_up(customer);
    house.until_recorded().await;
    for up in [false, true] {
        let trunk = TrunkId::new("carrier").unwrap();
        house.board.report(house.now, Report::Trunk { trunk, up, detail: "OPTIONS".into() });
        let told = house.last(if up { "trunk.up" } else { "trunk.down" });
        assert_eq!((&told.data["trunk"], &told.data["detail"]), (&"carrier".into(), &"OPTIONS".into()));
    }

    let told = house.events();
    let missing: Vec<_> = PROMISED.iter().filter(|name| !told.contains(name)).collect();
    assert_eq!(missing, Vec::<&&str>::new(), "{told:?}");
    assert_eq!(house.last("supervision.requested").data["role"], "monitor");
    assert_eq!(house.last("consult.speak_to_changed").data["to"], "conference");
    assert_eq!(house.last("transfer.progress").data["state"], "ringing");
    assert_eq!(house.last("transfer.failed").data["outcome"], "busy");
}

/// Whether the call itself says no or the switchboard before it: each refusal is one line of the audit.
#[tokio::test]
async fn what_is_asked_too_early_is_refused_with_one_line_of_the_audit_each_time() {
    let mut house = House::new();
    let customer = house.customer_calls("+15550100");
    house.rung();
    let call = house.board.by_leg[&customer];
    for (who, request, act, code) in [
        (agent("alice"), consult(call, &["bob"]), "consult", "leg_not_talking"),
        (agent("alice"), transfer(call, "bob"), "transfer", "leg_not_talking"),
        // Whose place, when nobody has answered?
        (software("acme"), transfer(call, "bob"), "transfer", "no_place_to_give"),
    ] {
        let refused = house.asked(&who, request);
        assert!(
            matches!(&refused, Err(Refusal::Conflict { code: said, .. }) if *said == code),
            "{refused:?}"
        );
        assert_eq!(house.audited(), [(act, code.to_owned())]);
    }
    assert_eq!(house.orders(), [], "nobody else is rung");
}
