//! The door alone, in virtual time: events in any order, twice, before the answer to our request, or never.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use sbc_config::{AcsId, Config, SecretError, SecretSource};
use sidetone::acs::callback::{self, Event, Happened};
use sidetone::acs::door::{Door, Failure, Paths, Stream, Wanted, Why};
use sidetone::acs::grid::{Gate, IncomingCall, Labels, Ours, Verdict};
use sidetone::acs::identifier::RawId;
use sidetone::acs::operation::Operation;
use sidetone::acs::wire::{CallConnection, ResultInformation};
use sidetone::call::card;
use sidetone::call::door::{Order, Report};
use sidetone::call::{Address, Cause, LegAction, LegEvent, LegId, Target};
use sidetone::sim::acs::ACCESS_KEY;

struct Secrets;

impl SecretSource for Secrets {
    fn file(&self, _path: &str) -> Result<String, SecretError> {
        Ok(ACCESS_KEY.to_owned())
    }

    fn env(&self, _name: &str) -> Result<String, SecretError> {
        Err(SecretError::NotFound)
    }
}

struct Fixed(u64);

impl Paths for Fixed {
    fn callback(&self, _resource: &AcsId, leg: LegId) -> String {
        format!("/calls/{leg}")
    }

    fn media(&self, _resource: &AcsId, leg: LegId) -> String {
        format!("/media/{leg}")
    }

    fn leg_id(&mut self) -> LegId {
        self.0 += 1;
        LegId(self.0)
    }
}

struct Anything;

impl Ours for Anything {
    fn is_routed(&self, _to: &RawId) -> bool {
        true
    }

    fn is_own(&self, _from: &RawId, _correlation: &str) -> bool {
        false
    }
}

struct House {
    door: Door,
    now: Instant,
}

fn contoso() -> AcsId {
    AcsId::new("contoso").expect("an id")
}

fn wall() -> Timestamp {
    "2026-08-05T10:15:32Z".parse().expect("a time")
}

fn incoming_call() -> IncomingCall {
    let text = include_str!("../wire/acs/sample-deliveries.json");
    let file: serde_json::Value = serde_json::from_str(text).expect("the samples are JSON");
    let body = file["IncomingCall_pstn_cloudevents"]["body"].to_string();
    let none: [&str; 0] = [];
    match Gate::default().deliver(wall(), Labels::default(), body.as_bytes(), &none, &Anything) {
        Verdict::Calls(mut calls) => calls.remove(0),
        other => panic!("{other:?}"),
    }
}

fn event(id: &str, happened: Happened) -> Event {
    Event {
        id: id.to_owned(),
        connection: "c1".to_owned(),
        correlation: "corr".to_owned(),
        context: None,
        at: None,
        result: ResultInformation { code: 200, ..ResultInformation::default() },
        happened,
    }
}

impl House {
    fn new() -> House {
        let text = r#"
[sip]
udp = "127.0.0.1:5060"
[[tenant]]
id = "acme"
[[acs]]
id = "contoso"
tenant = "acme"
endpoint = "https://contoso.communication.azure.com/"
access_key_file = "key"
callback_url = "https://gw.example.com"
resource_id = "11111111-1111-1111-1111-111111111111"
webhook_secret_file = "hook"
caller_id = "+15550199"
answers = ["+15550199", { raw_id = "28:orgid:cc123456-5678-5678-1234-ccc123456789", dialled = "700" }]
"#;
        let config = Config::parse(text, &Secrets).expect("the configuration is right");
        let door = Door::new(Arc::new(ArcSwap::from_pointee(config)), Box::new(Fixed(0)));
        House { door, now: Instant::now() }
    }

    /// A call comes in; its leg.
    fn comes(&mut self) -> LegId {
        self.door.incoming(self.now, wall(), &contoso(), incoming_call());
        let reports = self.reports();
        let Some(Report::Incoming(incoming)) = reports.first() else { panic!("{reports:?}") };
        assert_eq!((incoming.to.as_str(), incoming.from.number.as_str()), ("+15550199", "+15550100"));
        incoming.leg
    }

    fn order(&mut self, leg: LegId, action: LegAction) {
        let order = Order { leg, action, media: None, prefer: Vec::new(), caller: None, card: None };
        self.door.order(self.now, order);
    }

    fn wanted(&mut self) -> Vec<Wanted> {
        std::iter::from_fn(|| self.door.poll()).collect()
    }

    fn reports(&mut self) -> Vec<Report> {
        let report = |wanted| if let Wanted::Report(report) = wanted { Some(report) } else { None };
        self.wanted().into_iter().filter_map(report).collect()
    }

    fn events(&mut self) -> Vec<LegEvent> {
        let event = |report| if let Report::Leg(_, event) = report { Some(event) } else { None };
        self.reports().into_iter().filter_map(event).collect()
    }

    fn asked(&mut self) -> Vec<(Why, Operation)> {
        let asked = |wanted| {
            if let Wanted::Ask(asking) = wanted { Some((asking.why, asking.operation)) } else { None }
        };
        self.wanted().into_iter().filter_map(asked).collect()
    }

    fn happens(&mut self, leg: LegId, id: &str, happened: Happened) {
        self.door.event(self.now, &contoso(), leg, event(id, happened));
    }

    fn done(&mut self, leg: LegId, why: Why, state: &str) {
        let said = CallConnection {
            call_connection_id: "c1".into(),
            call_connection_state: state.into(),
            ..CallConnection::default()
        };
        self.door.done(self.now, &contoso(), leg, why, Ok(said));
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.door.handle_timeout(self.now);
    }

    /// A call that is up.
    fn up(&mut self) -> LegId {
        let leg = self.comes();
        self.order(leg, LegAction::Answer);
        self.done(leg, Why::Answer, "connecting");
        self.happens(leg, "up", Happened::Connected);
        assert!(self.events().contains(&LegEvent::Answered));
        leg
    }
}

fn ended(events: &[LegEvent]) -> Vec<Cause> {
    let end = |event: &LegEvent| if let LegEvent::Ended(end) = event { Some(end.cause) } else { None };
    events.iter().filter_map(end).collect()
}

#[test]
fn an_answer_says_where_we_are() {
    let mut house = House::new();
    let leg = house.comes();
    house.order(leg, LegAction::Answer);
    house.order(leg, LegAction::Answer);
    let asked = house.asked();
    let [(Why::Answer, Operation::Answer(body))] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(body.callback_uri.expose(), format!("https://gw.example.com/calls/{leg}"));
    let streaming = body.media_streaming_options.as_ref().expect("a stream");
    assert_eq!(streaming.transport_url, Some(format!("wss://gw.example.com/media/{leg}").into()));
    // What must not be printed is not, however much is.
    let printed = format!("{asked:?}");
    assert!(!["gw.example.com", "opaque"].iter().any(|secret| printed.contains(secret)), "{printed}");
    assert_eq!(streaming.enable_bidirectional, Some(true));
}

#[test]
fn every_order_of_the_three_tellings_answers_once() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut house = House::new();
        let leg = house.comes();
        house.order(leg, LegAction::Answer);
        house.asked();
        for what in order {
            for _ in 0..2 {
                match what {
                    0 => house.done(leg, Why::Answer, "connecting"),
                    1 => house.happens(leg, "connected", Happened::Connected),
                    _ => {
                        let told = Happened::Participants { sequence: 3, participants: Vec::new() };
                        house.happens(leg, "participants", told);
                    }
                }
            }
        }
        let events = house.events();
        let answered = events.iter().filter(|event| **event == LegEvent::Answered).count();
        assert_eq!(answered, 1, "{order:?}: {events:?}");
    }
}

#[test]
fn a_lost_event_is_asked_for_after_five_seconds() {
    let mut house = House::new();
    let leg = house.comes();
    house.order(leg, LegAction::Answer);
    house.done(leg, Why::Answer, "connecting");
    house.asked();
    house.pass(Duration::from_millis(4_999));
    assert!(house.asked().is_empty());
    house.pass(Duration::from_millis(1));
    assert!(matches!(house.asked()[..], [(Why::Look, Operation::Get { .. })]));
    house.done(leg, Why::Look, "connecting");
    house.pass(Duration::from_secs(5));
    assert_eq!(house.asked().len(), 1, "asked again while it is not up");
    house.done(leg, Why::Look, "connected");
    assert!(house.events().contains(&LegEvent::Answered));
}

#[test]
fn a_hang_up_before_the_call_has_a_name_waits_for_it() {
    let mut house = House::new();
    let leg = house.comes();
    house.order(leg, LegAction::Answer);
    house.asked();
    house.order(leg, LegAction::HangUp(Cause::Released));
    assert!(house.asked().is_empty(), "there is nothing to name yet");
    house.done(leg, Why::Answer, "connecting");
    assert!(matches!(house.asked()[..], [(Why::Terminate, Operation::Terminate { .. })]));
    house.happens(leg, "late", Happened::Connected);
    house.done(leg, Why::Terminate, "");
    house.happens(leg, "gone", Happened::Disconnected);
    assert_eq!(ended(&house.events()), [Cause::Released], "it ends once");
    assert_eq!(house.door.legs(), 0);
    assert_eq!(house.door.poll_timeout(), None, "and leaves no timer");
}

#[test]
fn a_call_that_is_not_answered_is_rejected_or_rings_out() {
    let mut house = House::new();
    let leg = house.comes();
    house.order(leg, LegAction::HangUp(Cause::Busy));
    let wanted = house.wanted();
    let rejected = wanted.iter().any(|wanted| match wanted {
        Wanted::Ask(asking) => matches!(&asking.operation, Operation::Reject(body)
            if body.call_reject_reason.as_deref() == Some("busy")),
        _ => false,
    });
    assert!(rejected, "{wanted:?}");
    house.comes();
    house.pass(Duration::from_secs(27));
    assert!(house.events().is_empty(), "it has been ringing for two seconds when it came");
    house.pass(Duration::from_secs(1));
    assert_eq!(ended(&house.events()), [Cause::Cancelled]);
}

#[test]
fn a_call_from_a_clock_ahead_of_ours_rings_no_longer_than_others() {
    let mut house = House::new();
    let ours = wall() - jiff::SignedDuration::from_secs(290);
    house.door.incoming(house.now, ours, &contoso(), incoming_call());
    house.wanted();
    house.pass(Duration::from_secs(30));
    assert_eq!(ended(&house.events()), [Cause::Cancelled]);
}

#[test]
fn a_caller_who_gave_up_is_found_out_by_the_answer() {
    let mut house = House::new();
    let leg = house.comes();
    house.order(leg, LegAction::Answer);
    house.asked();
    let gone = Failure { is_gone: true, cause: Cause::NotFound, detail: "ACS 404/8522".into() };
    house.door.done(house.now, &contoso(), leg, Why::Answer, Err(gone));
    assert_eq!(ended(&house.events()), [Cause::Cancelled]);
}

#[test]
fn an_event_of_another_connection_is_not_ours() {
    let mut house = House::new();
    let leg = house.up();
    let other = Event { connection: "c2".into(), ..event("x", Happened::Disconnected) };
    house.door.event(house.now, &contoso(), leg, other);
    assert!(house.events().is_empty());
}

#[test]
fn a_stream_that_fails_is_begun_three_times_and_then_given_up() {
    let mut house = House::new();
    let leg = house.up();
    house.asked();
    for attempt in 0..3u32 {
        house.happens(leg, &format!("failed {attempt}"), Happened::StreamingFailed("x".into()));
        house.pass(Duration::from_millis(500) * 2u32.pow(attempt));
        assert!(matches!(house.asked()[..], [(Why::Aside, Operation::StartStreaming { .. })]), "{attempt}");
    }
    house.happens(leg, "failed at last", Happened::StreamingFailed("x".into()));
    assert!(matches!(house.asked()[..], [(Why::Terminate, Operation::Terminate { .. })]));
    house.done(leg, Why::Terminate, "");
    assert_eq!(ended(&house.events()), [Cause::MediaTimeout]);
}

#[test]
fn a_lost_stream_has_the_call_looked_at_unless_it_is_dialled_anew() {
    let mut house = House::new();
    let leg = house.up();
    house.asked();
    house.door.stream(house.now, leg, Stream::Lost);
    house.pass(Duration::from_secs(5));
    assert!(matches!(house.asked()[..], [(Why::Look, Operation::Get { .. })]));
    let gone = Failure { is_gone: true, cause: Cause::NotFound, detail: "ACS 404/8522".into() };
    house.door.done(house.now, &contoso(), leg, Why::Look, Err(gone));
    assert_eq!(ended(&house.events()), [Cause::Normal]);
}

#[test]
fn digits_go_out_by_eighteen_one_request_after_the_other_and_come_in_once() {
    let mut house = House::new();
    let leg = house.up();
    house.asked();
    let tones = |house: &mut House| -> Vec<usize> {
        let asked = house.asked().into_iter();
        let one = |(why, operation)| match operation {
            Operation::SendDtmf { body, .. } if why == Why::Digits => body.tones.len(),
            other => panic!("{other:?}"),
        };
        asked.map(one).collect()
    };
    house.order(leg, LegAction::SendDigits("0123456789*#0123456789".into()));
    assert_eq!(tones(&mut house), [18], "the rest waits, or it could overtake them");
    house.door.stream(house.now, leg, Stream::Key('5'));
    assert!(tones(&mut house).is_empty());
    house.done(leg, Why::Digits, "");
    assert!(tones(&mut house).is_empty(), "ACS refuses digits while others play");
    house.happens(leg, "played", Happened::DigitsPlayed);
    assert_eq!(tones(&mut house), [5], "what waited, and the key that somebody pressed");
    house.door.done(
        house.now,
        &contoso(),
        leg,
        Why::Digits,
        Err(Failure { is_gone: false, cause: Cause::Internal, detail: String::new() }),
    );
    house.order(leg, LegAction::SendDigits("1".into()));
    assert_eq!(tones(&mut house), [1], "a failure does not stop those after it");
    for id in ["a", "a", "b"] {
        house.happens(leg, id, Happened::Tone { sequence: 1, digit: '7' });
    }
    let pressed = |wanted: &Wanted| matches!(wanted, Wanted::Press(of, '7') if *of == leg);
    assert_eq!(house.wanted().iter().filter(|wanted| pressed(wanted)).count(), 1);
}

#[test]
fn a_call_that_comes_up_after_its_leg_has_ended_is_ended_too() {
    let ends = |asked: &[(Why, Operation)]| {
        let one = |(why, operation): &(Why, Operation)| {
            *why == Why::Terminate && *operation == Operation::Terminate { connection: "c1".to_owned() }
        };
        matches!(asked, [asked] if one(asked))
    };
    // The answer to our request comes after the patience of a hang-up.
    let mut house = House::new();
    let leg = house.comes();
    house.order(leg, LegAction::Answer);
    house.order(leg, LegAction::HangUp(Cause::Cancelled));
    house.pass(Duration::from_secs(20));
    assert_eq!((ended(&house.events()), house.door.legs()), (vec![Cause::Cancelled], 0));
    house.done(leg, Why::Answer, "connecting");
    assert!(ends(&house.asked()));

    // The answer is lost for good; that the call was answered is told by the event alone.
    let leg = house.comes();
    house.order(leg, LegAction::Answer);
    let lost = Failure { is_gone: false, cause: Cause::Unreachable, detail: String::new() };
    house.door.done(house.now, &contoso(), leg, Why::Answer, Err(lost));
    assert_eq!(ended(&house.events()), [Cause::Unreachable]);
    house.happens(leg, "connected", Happened::Connected);
    assert!(ends(&house.asked()));
    house.done(leg, Why::Terminate, "");
    house.happens(leg, "over", Happened::Disconnected);
    assert!(house.wanted().is_empty(), "stragglers want nothing");
}

#[test]
fn an_answer_that_is_lost_after_its_events_have_come_ends_nothing() {
    let lost = || Failure { is_gone: true, cause: Cause::NotFound, detail: "ACS 404/8522".into() };
    let mut house = House::new();
    let leg = house.comes();
    house.order(leg, LegAction::Answer);
    house.happens(leg, "connected", Happened::Connected);
    house.door.done(house.now, &contoso(), leg, Why::Answer, Err(lost()));
    let events = house.events();
    assert!(events.contains(&LegEvent::Answered) && ended(&events).is_empty(), "{events:?}");
    // Not up yet as far as we know: ACS is asked.
    let leg = house.comes();
    house.order(leg, LegAction::Answer);
    house.happens(leg, "somebody", Happened::Participants { sequence: 1, participants: Vec::new() });
    house.asked();
    house.door.done(house.now, &contoso(), leg, Why::Answer, Err(lost()));
    house.pass(Duration::ZERO);
    assert!(matches!(house.asked()[..], [(Why::Look, Operation::Get { .. })]));
    // One that was to end ends as it was to.
    let leg = house.comes();
    house.order(leg, LegAction::Answer);
    house.order(leg, LegAction::HangUp(Cause::Released));
    house.door.done(house.now, &contoso(), leg, Why::Answer, Err(lost()));
    assert_eq!(ended(&house.events()), [Cause::Released]);
}

#[test]
fn every_callback_does_to_a_call_what_it_says() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../wire/acs/callback-events.json")).expect("the events are JSON");
    let bodies = file["bodies"].as_object().expect("groups").values();
    for (name, body) in bodies.flat_map(|group| group.as_object().expect("bodies")) {
        let mut told = callback::read(body.to_string().as_bytes()).expect("a list of events");
        let event = Event { connection: "c1".into(), ..told.events.remove(0) };
        let ends = ["CallDisconnected", "AnswerFailed", "CreateCallFailed", "ConnectFailed"]
            .iter()
            .any(|kind| body[0]["type"].as_str().is_some_and(|said| said.ends_with(kind)));
        let mut house = House::new();
        let leg = house.up();
        house.door.event(house.now, &contoso(), leg, event.clone());
        house.door.event(house.now, &contoso(), leg, event);
        assert_eq!(ended(&house.events()).len(), usize::from(ends), "{name}");
        assert_eq!(house.door.legs(), usize::from(!ends), "{name}");
    }
}

#[test]
fn keys_told_in_the_wrong_order_are_pressed_in_the_right_one() {
    let mut house = House::new();
    let leg = house.up();
    house.asked();
    let pressed = |house: &mut House| -> String {
        let one = |wanted| if let Wanted::Press(_, digit) = wanted { Some(digit) } else { None };
        house.wanted().into_iter().filter_map(one).collect()
    };
    house.happens(leg, "b", Happened::Tone { sequence: 2, digit: '2' });
    assert_eq!(pressed(&mut house), "");
    house.happens(leg, "a", Happened::Tone { sequence: 1, digit: '1' });
    assert_eq!(pressed(&mut house), "12");
    house.happens(leg, "d", Happened::Tone { sequence: 4, digit: '4' });
    house.pass(Duration::from_secs(1));
    assert_eq!(pressed(&mut house), "4", "what never comes is not waited for");
}

#[test]
fn a_caller_who_gives_up_while_we_answer_has_cancelled_and_a_hang_up_keeps_its_cause() {
    let mut house = House::new();
    let leg = house.comes();
    house.order(leg, LegAction::Answer);
    house.done(leg, Why::Answer, "connecting");
    house.happens(leg, "over", Happened::Disconnected);
    assert_eq!(ended(&house.events()), [Cause::Cancelled]);

    let leg = house.up();
    house.asked();
    house.door.stream(house.now, leg, Stream::Lost);
    house.pass(Duration::from_secs(5));
    house.order(leg, LegAction::HangUp(Cause::Released));
    // The look that was on its way finds it gone before our own request does.
    let gone = Failure { is_gone: true, cause: Cause::NotFound, detail: "ACS 404/8522".into() };
    house.door.done(house.now, &contoso(), leg, Why::Look, Err(gone));
    assert_eq!(ended(&house.events()), [Cause::Released]);
}

#[test]
fn a_card_goes_along_in_the_headers_that_the_called_can_read() {
    let field = |name: &str| sbc_config::CardField {
        name: name.into(),
        label: name.into(),
        kind: sbc_config::CardKind::Text,
        sensitive: false,
    };
    let view = sbc_config::CardView {
        tenant: sbc_config::TenantId::new("acme").expect("an id"),
        fields: ["a", "b", "c"].map(field).to_vec(),
        link: None,
        header: "X-Sidetone-Card".into(),
    };
    let value = |letter: &str| card::Value::Text(letter.repeat(150));
    let values = ["a", "b", "c"].map(|name| (name.to_owned(), value(name))).into();
    let drawn = card::draw(&view, &card::Matter { values, ..card::Matter::default() }).expect("a card");
    let card = Some(Arc::new(drawn.card));
    let mut house = House::new();
    let number = Address::Acs { resource: AcsId::new("contoso").expect("an id"), number: "+15550142".into() };
    let action = LegAction::Dial(Target { address: number, name: "a number".into() });
    let order = Order { leg: LegId(77), action, media: None, prefer: Vec::new(), caller: None, card };
    house.door.order(house.now, order);
    let asked = house.asked();
    let [(Why::Dial, Operation::Create(body))] = &asked[..] else { panic!("{asked:?}") };
    let context = body.custom_calling_context.as_ref().expect("headers");
    let line = context["sipHeaders"]["X-Sidetone-Card"].as_str().expect("a text");
    assert_eq!(line, format!("a={}", "a".repeat(150)), "256 characters at most, and no value cut in two");
    let fits = |b: u8| b.is_ascii_alphanumeric() || b".!%*_+~-=;".contains(&b);
    assert!(line.bytes().all(fits), "ACS takes no other characters");
}
