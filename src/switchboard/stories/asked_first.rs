//! Nobody at Teams is rung unchecked: the engine is played here, in virtual time.

use super::*;
use crate::call::{Address, Carrier, Hold, Target};
use crate::prereq::{
    About as Whose, Check, Evidence, Facts, Judgement, Outcome, Policy, Refused, Route, Source, Subject,
    Verdict, Weight, judge,
};
use crate::switchboard::desk::{ConsultRequest, Preview, TransferOutcome, TransferRequest, Via, Wish};
use crate::switchboard::gate::{Question, Word};

const TEAMS: &str = r#"
[acs_listener]
listen = "127.0.0.1:0"
[[acs]]
id = "main"
tenant = "acme"
endpoint = "https://contoso.communication.azure.com/"
access_key_file = "key.b64"
callback_url = "https://gw.example.com/"
resource_id = "11111111-1111-1111-1111-111111111111"
caller_id = "+15550199"
webhook_secret_file = "hook.txt"
[[integration]]
tenant = "acme"
direct_routing_trunk = "teams"
[[person]]
id = "erin"
tenant = "acme"
role = "agent"
teams_user = "Erin@example.com"
extension = "150"
[[person]]
id = "tess"
tenant = "acme"
role = "supervisor"
teams = ["support"]
teams_user = "tess@example.com"
teams_routes = ["voip"]
[[route]]
id = "erins"
tenant = "acme"
number = "+15550150"
targets = ["erin", "bob"]
[[route]]
id = "erins-when-free"
tenant = "acme"
number = "+15550151"
presence = true
targets = ["erin", "bob"]
[[route]]
id = "at-teams"
tenant = "acme"
prefix = "+1555017"
targets = ["trunk:teams"]
fallback = "bob"
[[price]]
route = "voip"
per_minute = "0.004"
currency = "USD"
from = 2025-01-01
[[price]]
route = "trunk"
per_minute = "0.013"
currency = "USD"
from = 2025-01-01
"#;

const ERIN: &str = "5c802b19-0000-0000-0000-000000000010";
const FEDERATION_OFF: (Check, Verdict, &str) = (Check::Federation, Verdict::Fail, "federation_off");
const NO_PHONE: (Check, Verdict, &str) = (Check::OfficePhone, Verdict::Fail, "no_phone");
const TRUNK_DOWN: (Check, Verdict, &str) = (Check::TrunkUp, Verdict::Fail, "down");

fn house() -> House {
    House::with(config_with_teams(TEAMS), PAIRS)
}

pub(super) type Flaw<'a> = (Check, Verdict, &'a str);

/// What the rules make of somebody for whom all is in order but for `flaws`.
fn judged(subject: &Subject, route: Route, flaws: &[Flaw<'_>]) -> Judgement {
    let now = SystemTime::now();
    let about = |check: Check| match check.about() {
        Whose::Tenant => Subject::Tenant,
        Whose::Person => subject.clone(),
    };
    let mut evidence = Vec::new();
    for check in Check::ALL.iter().copied() {
        if matches!(check, Check::ResourceAllowed | Check::Number | Check::NumbersAgree) {
            continue; // they follow from others
        }
        let flaw = flaws.iter().find(|(flawed, ..)| *flawed == check);
        let (verdict, code) = flaw.map_or((Verdict::Pass, "ok"), |(_, verdict, code)| (*verdict, *code));
        let one = Evidence::new(check, about(check), verdict, code.to_owned(), Source::Graph, now);
        evidence.push(match check {
            Check::AcsId | Check::Federation => one.with_value("faced04c-2ced-433d-90db-063e424b87b1"),
            Check::Exists => one.with_value(ERIN),
            Check::OfficePhone if verdict == Verdict::Pass => one.with_value("+44 20 7946 0100"),
            Check::TeamsNumber => one.with_value("+442079460100;ext=7"),
            _ => one,
        });
    }
    judge(&Facts {
        target: subject.clone(),
        route,
        evidence,
        policy: Policy::default(),
        client_id: None,
        now,
    })
}

impl House {
    fn question(&mut self) -> Question {
        match self.words.try_recv() {
            Ok(Word::Question(question)) => question,
            other => panic!("{other:?}"),
        }
    }

    fn outcome(&mut self) -> (Route, Outcome) {
        match self.words.try_recv() {
            Ok(Word::Outcome { route, outcome, .. }) => (route, outcome),
            other => panic!("{other:?}"),
        }
    }

    /// The engine answers the next question, as of `at`.
    fn rules_at(&mut self, at: Instant, flaws: &[Flaw<'_>]) {
        let Question { about, wishes, .. } = self.question();
        let one = |subject: &Subject, routes: &[Route]| -> Vec<Judgement> {
            routes.iter().map(|route| judged(subject, *route, flaws)).collect()
        };
        let judged = wishes.iter().map(|(subject, routes)| one(subject, routes)).collect();
        self.board.ruled(self.now, gate::Ruling { about, at, judged });
    }

    pub(super) fn rules(&mut self, flaws: &[Flaw<'_>]) {
        self.rules_at(self.now, flaws);
    }

    fn consult(
        &mut self,
        call: CallId,
        wishes: Vec<Wish>,
        dry_run: bool,
    ) -> oneshot::Receiver<Result<Answer, Refusal>> {
        let request = ConsultRequest {
            call,
            by: None,
            wishes,
            dry_run,
            asker: None,
            trunk: None,
            ring: Duration::from_secs(20),
            card: None,
            hold_media: None,
        };
        self.ask(&software("acme"), Request::Consult(request))
    }

    fn hold_of(&self, leg: LegId) -> Hold {
        let call = self.board.by_leg[&leg];
        let seats = self.board.calls[&call].call.parties().iter().map(|party| party.seat());
        seats.filter(|seat| seat.leg == leg).map(|seat| seat.hold).next().unwrap()
    }

    /// The dial among the orders, which must be the only one.
    fn dial(&mut self) -> (LegId, Target) {
        let mut dials: Vec<_> = self
            .orders()
            .into_iter()
            .filter_map(|(leg, action)| match action {
                LegAction::Dial(target) => Some((leg, target)),
                _ => None,
            })
            .collect();
        assert_eq!(dials.len(), 1, "{dials:?}");
        dials.remove(0)
    }
}

fn via(target: &str, via: Via) -> Wish {
    Wish { target: target.into(), via }
}

fn refused(answer: &mut oneshot::Receiver<Result<Answer, Refusal>>) -> Preview {
    match answer.try_recv().expect("answered") {
        Err(Refusal::NotCleared(preview)) => *preview,
        other => panic!("{other:?}"),
    }
}

fn teams(target: &Target) -> (Route, &Carrier, Option<&str>) {
    let Address::Teams(teams) = &target.address else { panic!("{target:?}") };
    (teams.clearance().route(), teams.carrier(), teams.number())
}

fn acs() -> Carrier {
    Carrier::Acs(sbc_config::AcsId::new("main").unwrap())
}

fn trunk(id: &str) -> Carrier {
    Carrier::Trunk(TrunkId::new(id).unwrap())
}

fn ended(cause: Cause, detail: &str) -> LegEvent {
    LegEvent::Ended(LegEnd { cause, detail: detail.into() })
}

// Consults.

#[tokio::test]
async fn federation_off_is_refused_with_the_command_and_mended_the_expert_comes() {
    let mut house = house();
    let (call, customer, agent) = house.talking();
    let mut answer = house.consult(call, vec![via("erin", Via::Only(Route::Voip))], false);
    assert!(answer.try_recv().is_err(), "nobody knows yet");
    assert_eq!(house.hold_of(customer), Hold::None);
    house.rules(&[FEDERATION_OFF]);

    let preview = refused(&mut answer);
    assert_eq!((preview.taken, preview.ways.len()), (None, 1));
    let refusing: Vec<_> = preview.ways[0].findings.iter().filter(|f| f.weight == Weight::Refuses).collect();
    assert_eq!(refusing[0].code, "federation_off");
    let command = refusing[0].remedy.as_ref().unwrap().command.as_ref().unwrap();
    assert!(command.contains("Set-CsTeamsAcsFederationConfiguration -EnableAcsUsers $true"), "{command}");
    assert_eq!(house.orders(), [], "nobody is rung, nobody is put on hold");
    assert_eq!((house.hold_of(customer), house.hold_of(agent)), (Hold::None, Hold::None));
    assert_eq!(house.last("consult.preflight").data["ways"][0]["refused_by"][0]["check"], "T07");
    assert!(!house.events().contains(&"consult.requested"), "{:?}", house.events());
    assert_eq!(house.audited(), [("consult", "not_cleared".into())]);

    let mut answer = house.consult(call, vec![via("erin", Via::Only(Route::Voip))], false);
    house.rules(&[]);
    let Ok(Ok(Answer::Consult(view))) = answer.try_recv() else { panic!("it begins") };
    assert_eq!(view.preview.unwrap().taken, Some(0));
    assert_eq!(house.hold_of(customer), Hold::Held);
    assert!(
        house.orders().iter().all(|(_, action)| !matches!(action, LegAction::Dial(_))),
        "not cleared itself yet"
    );
    house.rules(&[]);
    let (expert, target) = house.dial();
    assert_eq!(teams(&target), (Route::Voip, &acs(), None));
    house.tell(expert, LegEvent::Answered);
    assert_eq!(house.outcome(), (Route::Voip, Outcome::Answered));
    assert_eq!(house.last("consult.answered").data["person"], "erin");
}

#[tokio::test]
async fn a_dry_run_shows_the_ways_by_price_and_rings_nobody() {
    let mut house = house();
    let (call, customer, _) = house.talking();
    let mut answer = house.consult(call, vec![via("erin@example.com", Via::Auto)], true);
    house.rules(&[TRUNK_DOWN]);
    let Ok(Ok(Answer::Preview(preview))) = answer.try_recv() else { panic!("shown") };
    let shown: Vec<_> = preview
        .ways
        .iter()
        .map(|way| {
            let price = way.cost.as_ref().map(|cost| cost.per_minute.to_string());
            (way.via.unwrap(), way.over.clone(), way.clear, price, way.only_if_not_reached)
        })
        .collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        shown,
        [
            (Route::Voip, some("acs:main"), true, some("0.004"), false),
            (Route::Pstn, some("trunk:carrier"), true, some("0.013"), true),
            (Route::DirectRouting, some("trunk:teams"), false, None, false),
        ]
    );
    assert_eq!(preview.taken, Some(0));
    assert_eq!((house.orders(), house.hold_of(customer)), (vec![], Hold::None));
    assert!(house.words.try_recv().is_err(), "no leg, no question of its own");
    assert!(!house.events().iter().any(|kind| kind.starts_with("consult.")), "{:?}", house.events());
}

#[tokio::test]
async fn a_way_that_the_network_refuses_is_fallen_back_from_with_a_clearance_of_its_own() {
    let mut house = house();
    let (call, customer, _) = house.talking();
    house.orders();
    house.consult(call, vec![via("erin", Via::Auto)], false);
    house.rules(&[TRUNK_DOWN]);
    house.rules(&[TRUNK_DOWN]);
    let (voip, target) = house.dial();
    assert_eq!(teams(&target).0, Route::Voip);
    house.tell(voip, ended(Cause::Forbidden, "ACS 403/7504"));
    assert!(house.events().contains(&"consult.fell_back"), "{:?}", house.events());
    let said = "ACS 403/7504".to_owned();
    assert_eq!(house.outcome(), (Route::Voip, Outcome::Refused { why: Refused::Forbidden, said }));
    assert_eq!(house.hold_of(customer), Hold::Held, "the customer does not come and go");

    house.rules(&[FEDERATION_OFF]); // which the other way does not need
    let (pstn, target) = house.dial();
    assert_eq!(teams(&target), (Route::Pstn, &trunk("carrier"), Some("+442079460100")));
    assert_eq!(house.board.channels[&TrunkId::new("carrier").unwrap()], 2, "the customer's and this");
    house.tell(pstn, LegEvent::Answered);
    assert!(house.events().contains(&"consult.answered"));
}

#[tokio::test]
async fn who_declines_is_not_rung_over_another_way_unless_that_was_asked_for() {
    for (cause, rang, goes_on) in [
        (Cause::Declined, true, false),
        (Cause::Busy, false, false),
        (Cause::NoAnswer, true, false),
        (Cause::NoAnswer, false, true),
        (Cause::Unreachable, true, true),
        (Cause::NotFound, false, true),
        (Cause::Congestion, false, true),
    ] {
        for asked in [false, true] {
            let mut house = house();
            let (call, customer, _) = house.talking();
            let mut wishes = vec![via("erin", Via::Auto)];
            if asked {
                wishes.push(via("erin", Via::Only(Route::Pstn)));
            }
            house.consult(call, wishes, false);
            house.rules(&[TRUNK_DOWN]);
            house.rules(&[TRUNK_DOWN]);
            let (voip, _) = house.dial();
            if rang {
                house.tell(voip, LegEvent::Ringing);
            }
            house.tell(voip, ended(cause, ""));
            let next = std::iter::from_fn(|| house.words.try_recv().ok())
                .filter(|word| matches!(word, Word::Question(_)))
                .count();
            assert_eq!(next, usize::from(goes_on || asked), "{cause:?} rang: {rang} asked: {asked}");
            let held = if next == 1 { Hold::Held } else { Hold::None };
            assert_eq!(house.hold_of(customer), held, "the customer is back when nobody is rung any more");
        }
    }
}

#[tokio::test]
async fn a_clearance_that_has_ended_is_not_dialled_with_but_asked_for_again() {
    let mut house = house();
    let (call, customer, _) = house.talking();
    house.consult(call, vec![via("erin", Via::Only(Route::Voip))], false);
    house.rules(&[]);
    house.orders();
    let past = house.now;
    house.now += Duration::from_secs(31);
    house.rules_at(past, &[]); // it was given, and came too late
    assert_eq!(house.orders(), []);
    house.rules(&[]);
    house.dial();

    // And not for ever.
    let mut house = self::house();
    let (call, customer_again, _) = house.talking();
    house.consult(call, vec![via("erin", Via::Only(Route::Voip))], false);
    house.rules(&[]);
    house.now += Duration::from_secs(31);
    for _ in 0..3 {
        house.rules_at(past, &[]);
    }
    assert!(house.words.try_recv().is_err(), "no fourth time");
    assert_eq!(house.last("consult.failed").data["cause"], "not_cleared");
    assert_eq!(house.hold_of(customer_again), Hold::None);
    let _ = customer;
}

#[tokio::test]
async fn what_was_clear_and_is_not_any_more_is_not_rung() {
    let mut house = house();
    let (call, customer, _) = house.talking();
    house.consult(call, vec![via("erin", Via::Only(Route::Voip))], false);
    house.rules(&[]);
    house.obey();
    house.rules(&[FEDERATION_OFF]);
    assert!(house.obey().is_empty());
    let failed = house.last("consult.attempt_failed").data;
    assert_eq!((&failed["cause"], &failed["person"]), (&"not_cleared".into(), &"erin".into()));
    assert!(failed["detail"].as_str().unwrap().contains("T07 federation_off"), "{failed}");
    assert_eq!(house.hold_of(customer), Hold::None);
}

#[tokio::test]
async fn an_engine_that_is_gone_or_cannot_say_lets_nobody_be_rung() {
    let mut house = house();
    let (call, customer, _) = house.talking();
    house.orders();
    let mut answer = house.consult(call, vec![via("erin", Via::Auto)], false);
    let Question { about, .. } = house.question();
    house.board.ruled(house.now, gate::Ruling { about, at: house.now, judged: Vec::new() });
    let preview = refused(&mut answer);
    assert!(preview.ways.iter().all(|way| way.obstacle == Some("prerequisites_unavailable")));

    house.words.close();
    while house.words.try_recv().is_ok() {}
    let mut answer = house.consult(call, vec![via("erin", Via::Auto)], false);
    let told = answer.try_recv().unwrap();
    assert!(matches!(told, Err(Refusal::Unavailable { code: "prerequisites_unavailable", .. })), "{told:?}");
    assert_eq!((house.orders(), house.hold_of(customer)), (vec![], Hold::None));
    let mut plain = house.consult(call, vec![via("bob", Via::Auto)], false);
    assert!(matches!(plain.try_recv(), Ok(Ok(Answer::Consult(_)))), "who has a telephone needs no engine");
}

#[tokio::test]
async fn a_call_that_ends_meanwhile_is_no_call_to_consult_in_and_leaves_nothing() {
    let mut house = house();
    let (call, customer, _) = house.talking();
    let mut answer = house.consult(call, vec![via("erin", Via::Auto)], false);
    house.hangs_up(customer);
    house.rules(&[]);
    assert!(matches!(answer.try_recv(), Ok(Err(Refusal::NotFound("call")))));

    let (call, customer, _) = house.talking();
    house.consult(call, vec![via("erin", Via::Auto)], false);
    house.rules(&[]);
    house.hangs_up(customer); // while the leg itself is asked for
    house.rules(&[]);
    assert!(house.obey().is_empty(), "nobody is rung for a call that is over");
    house.until_recorded().await;
    house.assert_nothing_is_left();
    assert!(house.board.clearing.is_empty() && house.board.pending.is_empty());
}

#[tokio::test]
async fn ways_that_cannot_be_are_said_so_before_anybody_is_asked() {
    let mut house = house();
    let (call, ..) = house.talking();
    for (target, wanted) in [
        ("bob", Via::Only(Route::Voip)),
        ("+44207946", Via::Only(Route::DirectRouting)),
        ("tess", Via::Only(Route::Pstn)),
    ] {
        let told = house.consult(call, vec![via(target, wanted)], false).try_recv().unwrap();
        assert!(matches!(told, Err(Refusal::Invalid { code: "via_not_possible", .. })), "{target}: {told:?}");
    }
    assert!(house.words.try_recv().is_err());
}

// Every other dial.

#[tokio::test]
async fn a_route_that_names_a_teams_user_asks_before_it_rings_and_goes_on_when_refused() {
    let mut house = house();
    let customer = house.customer_calls("+15550150");
    assert_eq!(house.orders(), []);
    house.rules(&[FEDERATION_OFF, NO_PHONE]);
    let (_, target) = house.dial();
    assert_eq!(teams(&target), (Route::DirectRouting, &trunk("teams"), Some("+442079460100;ext=7")));
    house.hangs_up(customer);
    while house.words.try_recv().is_ok() {}

    house.customer_calls("+15550150");
    house.rules(&[FEDERATION_OFF, NO_PHONE, TRUNK_DOWN]);
    assert_eq!(house.dial().1.name, "bob", "the next of the route");
    let failed = house.last("call.attempt_failed").data;
    assert_eq!((&failed["cause"], &failed["person"]), (&"not_cleared".into(), &"erin".into()));
}

#[tokio::test]
async fn extensions_and_calls_placed_for_an_agent_at_teams_are_asked_for_too() {
    let mut house = house();
    house.dials_in("bob", "150");
    house.rules(&[]);
    assert_eq!(teams(&house.dial().1).0, Route::Voip);

    let (agent, to) = (PersonId::new("erin").unwrap(), "+442079460101".to_owned());
    let placed = house.ask(&software("acme"), Request::Originate { agent, to, trunk: None });
    drop(placed);
    house.rules(&[]);
    let (erin, target) = house.dial();
    assert_eq!(teams(&target).0, Route::Voip);
    house.tell(erin, LegEvent::Answered);
    assert_eq!(house.dial().1.name, "+442079460101", "then the number");
}

#[tokio::test]
async fn a_supervisor_at_teams_is_asked_for_too() {
    let mut house = house();
    let (call, ..) = house.talking();
    house.supervise(&supervisor("tess", "support"), wish(call, "tess")).unwrap();
    house.rules(&[]);
    assert_eq!(teams(&house.dial().1).0, Route::Voip);

    let mut house = self::house();
    let (call, ..) = house.talking();
    let view = house.supervise(&supervisor("tess", "support"), wish(call, "tess")).unwrap();
    house.rules(&[FEDERATION_OFF]);
    assert!(house.obey().is_empty());
    let over = house.last("supervision.ended").data;
    assert_eq!((&over["supervision"], &over["cause"]), (&view.id.to_string().into(), &"not_cleared".into()));
}

#[tokio::test]
async fn a_transfer_asks_first_and_keeps_everybody_where_they_are_when_refused() {
    let mut house = house();
    let (call, customer, agent) = house.talking();
    house.orders();
    let request = |dry_run| {
        let wish = via("erin", Via::Only(Route::Voip));
        let (trunk, asker, card) = (None, None, None);
        Request::Transfer(TransferRequest { call, by: None, wish, trunk, wait: true, dry_run, asker, card })
    };
    let mut answer = house.ask(&software("acme"), request(false));
    house.rules(&[FEDERATION_OFF]);
    assert_eq!(refused(&mut answer).taken, None);
    assert_eq!(house.orders(), []);

    let mut answer = house.ask(&software("acme"), request(true));
    house.rules(&[]);
    assert!(matches!(answer.try_recv(), Ok(Ok(Answer::Preview(Preview { taken: Some(0), .. })))));
    assert_eq!(house.orders(), []);

    // Clear when asked, and not any more when it is rung.
    let mut answer = house.ask(&software("acme"), request(false));
    house.rules(&[]);
    house.rules(&[FEDERATION_OFF]);
    assert!(matches!(answer.try_recv(), Ok(Ok(Answer::Transfer(Some(TransferOutcome::Unreachable))))));
    assert_eq!((house.hold_of(customer), house.hold_of(agent)), (Hold::None, Hold::None));
    assert!(house.events().contains(&"transfer.rolled_back"));

    let mut answer = house.ask(&software("acme"), request(false));
    house.rules(&[]);
    house.rules(&[]);
    let (target, _) = house.dial();
    house.tell(target, LegEvent::Answered);
    house.obey();
    let _ = answer.try_recv();
    assert!(house.events().contains(&"transfer.completed"), "{:?}", house.events());
}

// What calls prove.

#[tokio::test]
async fn what_a_call_came_to_is_told_to_the_engine_and_what_people_do_is_not() {
    for (event, told) in [
        (LegEvent::Answered, true),
        (ended(Cause::Forbidden, "ACS 403/7504"), true),
        (ended(Cause::NotFound, "404"), true),
        (ended(Cause::Declined, ""), false),
        (ended(Cause::Busy, ""), false),
        (ended(Cause::NoAnswer, ""), false),
        (ended(Cause::Cancelled, ""), false),
    ] {
        let mut house = house();
        house.customer_calls("+15550150");
        house.rules(&[]);
        let (erin, _) = house.dial();
        house.tell(erin, event.clone());
        let outcomes =
            std::iter::from_fn(|| house.words.try_recv().ok()).filter(|w| matches!(w, Word::Outcome { .. }));
        assert_eq!(outcomes.count(), usize::from(told), "{event:?}");
    }
}

// Numbers.

#[tokio::test]
async fn a_number_behind_microsofts_trunk_is_asked_for_before_it_is_rung() {
    let mut house = house();
    house.customer_calls("+15550170");
    assert!(house.orders().is_empty(), "nobody is rung unasked");
    let Question { wishes, asker, .. } = {
        let question = house.question();
        house.board.ruled(house.now, gate::Ruling { about: question.about, at: house.now, judged: vec![] });
        question
    };
    let number = crate::prereq::rule::target("+15550170").unwrap();
    assert_eq!((wishes, asker), (vec![(number, vec![Route::DirectRouting])], None));
    let (_, target) = house.dial();
    assert_eq!(
        target.person().map(PersonId::as_str),
        Some("bob"),
        "an engine that cannot say has not said yes"
    );
}

#[tokio::test]
async fn a_number_at_teams_that_is_clear_is_rung_and_one_that_is_not_falls_back() {
    let mut house = house();
    house.customer_calls("+15550170");
    house.rules(&[]);
    let (leg, target) = house.dial();
    assert_eq!(teams(&target), (Route::DirectRouting, &trunk("teams"), Some("+15550170")));
    assert_eq!(house.board.channels[&TrunkId::new("teams").unwrap()], 1);
    house.tell(leg, LegEvent::Answered);
    assert_eq!(house.outcome(), (Route::DirectRouting, Outcome::Answered));

    house.customer_calls("+15550171");
    house.rules(&[TRUNK_DOWN]);
    let (_, target) = house.dial();
    assert_eq!(target.person().map(PersonId::as_str), Some("bob"), "the route's fallback");
}

#[tokio::test]
async fn an_agent_reaches_a_number_at_teams_by_no_unguarded_way() {
    let mut house = house();
    let (call, ..) = house.talking();
    for (number, over) in [("+15550170", None), ("+15559999", Some("teams"))] {
        let request = TransferRequest {
            call,
            by: None,
            wish: via(number, Via::Auto),
            trunk: over.map(|trunk| TrunkId::new(trunk).unwrap()),
            wait: false,
            dry_run: false,
            asker: Some(Subject::person("alice@example.com")),
            card: None,
        };
        let mut answer = house.ask(&software("acme"), Request::Transfer(request));
        let question = house.question();
        assert_eq!(question.asker, Some(Subject::person("alice@example.com")));
        let judged = vec![vec![judged(&question.wishes[0].0, Route::DirectRouting, &[TRUNK_DOWN])]];
        house.board.ruled(house.now, gate::Ruling { about: question.about, at: house.now, judged });
        assert_eq!(refused(&mut answer).ways.len(), 1);
        assert!(house.orders().iter().all(|(_, action)| !matches!(action, LegAction::Dial(_))));
    }
}

const IN_A_CALL: Flaw<'static> = (Check::Presence, Verdict::Fail, "busy");

#[tokio::test]
async fn a_route_that_minds_presence_passes_over_whoever_is_in_a_call_or_meeting() {
    let mut house = house();
    house.customer_calls("+15550151");
    house.rules(&[IN_A_CALL]);
    assert_eq!(house.dial().1.name, "bob", "Erin is left alone");
    assert_eq!(house.last("call.attempt_failed").data["detail"], "in a call or meeting");
}

#[tokio::test]
async fn presence_that_is_unknown_or_nobody_minds_keeps_nobody_from_being_rung() {
    for (number, flaw) in [
        ("+15550151", (Check::Presence, Verdict::Unknown, "presence_unknown")),
        ("+15550151", (Check::Presence, Verdict::Fail, "offline")),
        ("+15550150", IN_A_CALL),
    ] {
        let mut house = house();
        house.customer_calls(number);
        house.rules(&[flaw]);
        assert_eq!(house.dial().1.name, "erin", "{number}, {flaw:?}");
    }
}

#[tokio::test]
async fn a_consult_shows_presence_and_is_not_refused_for_it() {
    for flaw in [IN_A_CALL, (Check::Presence, Verdict::Unknown, "presence_unknown")] {
        let mut house = house();
        let (call, ..) = house.talking();
        let mut shown = house.consult(call, vec![via("erin", Via::Only(Route::Voip))], true);
        house.rules(&[flaw]);
        let Ok(Ok(Answer::Preview(preview))) = shown.try_recv() else { panic!("not shown") };
        assert_eq!(preview.taken, Some(0));
        let presence =
            preview.ways[0].findings.iter().find(|finding| finding.check == Check::Presence).unwrap();
        assert_eq!((presence.verdict, presence.weight), (flaw.1, Weight::Warns), "shown as it is");
    }
}
