//! The built gateway under load: `cargo bench --bench load -- all`, or `relay`, `srtp`, `whisper`, `webrtc`, `setup`,
//! `churn`.
//!
//! The gateway runs as a process of its own, pinned to `--cpu`; the load shares `--gencpu`. Everything is on
//! loopback, with small telephones of our own. The figures:
//!
//! | figure | what it is |
//! |---|---|
//! | `setup_p50_ms`, `setup_p99_ms` | from INVITE to 200 at the caller; the desk answers at once |
//! | `cpu_us_per_packet` | the gateway's processor time (schedstat) for each packet it takes; `_ticks` is the same from utime and stime |
//! | `floor_...` | the same packets through the cheapest forwarder: a socket for each stream, epoll, one read, one write |
//! | `ratio_to_floor` | gateway by floor, median of interleaved rounds |
//! | `delay_...`, `added_delay_...` | one way, through the gateway; and what is left when the floor's own is taken off |
//! | `loss_percent` | stamped packets of the window that never arrived; through a mixer, packets out by packets in |
//! | `click_...` | whisper: from the departure of a loud packet to the first loud packet at the agent, jitter buffer and mixing included |
//! | `offer_to_first_audio_...` | a browser calls a desk: from its offer to the first packet of the desk's voice. HTTP, the desk's answer, ICE, DTLS and SRTP included; 300 ms on loopback is the promise |
//! | `packets_per_second_one_core` | half of them opened, half of them sealed; `sip_...` is the same with telephones on both sides |
//! | `kib_per_idle_webrtc_leg` | a call of a browser and a desk, less half a call of telephones, at rest |
//! | `kib_per_held_call` | resident memory with all calls up, less that before, by calls |
//! | `cpu_ms_per_call` | processor time for a whole call, INVITE to BYE, at `--rate` |
//! | `ratio_to_plain_relay` | srtp: a packet between SRTP on a Direct Routing trunk and RTP at a desk, by one between two that are plain; gateways in turns |
//! | `tls_handshake_cpu_ms` | srtp: the gateway's processor time for a connection with certificates of both sides; a call on one of its own costs that beside its set-up |
//! | `tls_connect_..._ms` | srtp: how long such a handshake takes at the peer, alone and beside a thousand connections that say nothing; 200 ms is the promise |
//! | `memory_after_by_idle` | resident memory 33 s after `--churn` calls came and went, by that of the gateway idle after a hundred |
//!
//! **Read the ratios only.** Absolute figures depend on the machine, and on one machine they drift by a third
//! within the hour; gateway and floor are measured in turns, so their ratio holds. `machine_idle_before` says
//! how quiet the machine was: below 0.85 the percentiles of delay say more about the neighbours.
//!
//! Nothing is judged by time. The exit code is a failure only for calls that were refused or lost, for parties
//! who heard nothing of what they should, and for a whisper that the customer heard.

#[path = "load/browsers.rs"]
mod browsers;
#[path = "load/floor.rs"]
mod floor;
#[path = "load/gateway.rs"]
mod gateway;
#[path = "load/line.rs"]
mod line;
#[path = "load/phones.rs"]
mod phones;
#[path = "load/report.rs"]
mod report;
#[path = "load/stream.rs"]
mod stream;

// The few lines of HTTP, free ports and patience that the stories with foreign telephones use.
#[path = "../tests/foreign/support/http.rs"]
mod http;
#[path = "../tests/foreign/support/patience.rs"]
mod patience;
#[path = "../tests/foreign/support/ports.rs"]
mod ports;

use std::cell::RefCell;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use browsers::Browsers;
use floor::Floor;
use gateway::{Gateway, Pinning, agent, browser, number, pin, supervisor};
use line::Papers;
use patience::{PATIENCE, until_true};
use phones::{Ends, Keys, Phones};
use report::{Report, median};
use stream::{Heard, Hears, Party, Says, run};

/// Calls a second while held calls are placed: slow enough that their set-up is not a load of its own.
const HELD_RATE: f64 = 60.0;

/// How long the gateway is left alone before its memory is read: longer than it takes to end transactions
/// over UDP (RFC 3261, 64 T1).
const REST: Duration = Duration::from_secs(33);

/// How long a table of who hears whom has to reach the media.
const SETTLE: Duration = Duration::from_millis(700);

/// The built gateway under load.
#[derive(Debug, Clone, Parser)]
#[command(name = "load")]
struct Options {
    /// What to measure; nothing when absent, as in a run of all benches.
    mode: Option<Mode>,
    /// Calls held at the same time. Each may take six media ports of eight thousand.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    calls: u16,
    /// The processor of the gateway and of the floor.
    #[arg(long, default_value_t = 0)]
    cpu: usize,
    /// The processor of the load.
    #[arg(long, default_value_t = 1)]
    gencpu: usize,
    /// Seconds in which packets count, in each round.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=20))]
    seconds: u64,
    /// Rounds of floor and gateway in turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Calls a second of setup and churn.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u16).range(1..=5_000))]
    rate: u16,
    /// Calls that come and go before the memory is read.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    churn: u32,
    /// Another gateway binary than the one cargo has just built.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_sidetone"))]
    gateway: PathBuf,
    /// What cargo adds for every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn pinning(&self) -> Pinning {
        Pinning { measured: self.cpu, load: self.gencpu }
    }

    fn start(&self, phones: &mut Phones) -> Gateway {
        let gateway = Gateway::start(&self.gateway, self.pinning(), self.calls, phones.desks());
        phones.connect(gateway.sip);
        gateway
    }

    fn window(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Held calls with RTP both ways.
    Relay,
    /// Held calls over Direct Routing, SRTP to RTP, beside plain ones in turns; five hundred of each at most.
    Srtp,
    /// Held calls with a supervisor on each.
    Whisper,
    /// Browsers that talk with telephones.
    Webrtc,
    /// Whole calls, INVITE to BYE, at `--rate`.
    Setup,
    /// Memory after many calls.
    Churn,
    /// All of them.
    All,
    /// The floor itself; the harness starts it.
    #[value(hide = true)]
    Forward,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let Some(mode) = options.mode else {
        println!("load: measures when it is told what: cargo bench --bench load -- all (or --help)");
        return ExitCode::SUCCESS;
    };
    allow_many_descriptors();
    if mode == Mode::Forward {
        floor::forward();
    }
    pin(options.gencpu);
    let wanted = |this| mode == this || mode == Mode::All;
    let mut report = Report::default();
    if wanted(Mode::Relay) {
        relay(&options, &mut report);
    }
    if wanted(Mode::Srtp) {
        srtp(&options, &mut report);
    }
    if wanted(Mode::Whisper) {
        whisper(&options, &mut report);
    }
    if wanted(Mode::Webrtc) {
        webrtc(&options, &mut report);
    }
    if wanted(Mode::Setup) {
        setup(&options, &mut report);
    }
    if wanted(Mode::Churn) {
        churn(&options, &mut report);
    }
    report.finish()
}

/// Customer and agent, RTP both ways, beside a floor that carries the same packets.
fn relay(options: &Options, report: &mut Report) {
    const PART: &str = "relay";
    report.begin(PART);
    let mut phones = Phones::new();
    let gateway = options.start(&mut phones);
    let sockets = Sockets::open(usize::from(options.calls));
    let Some((held, _)) = hold(PART, options, report, &mut phones, &gateway, &sockets) else { return };
    let epoch = Instant::now();
    let mut through = sockets.talking(&held, Says::Stamps, Hears::Stamps);
    let rounds = Rounds::play(options, epoch, &gateway, &sockets, &mut through);
    rounds.tell(PART, report);
    let (through, beside) = (Rounds::delays(&rounds.gateway), Rounds::delays(&rounds.floor));
    report.percentiles(PART, "delay", "us", &through);
    report.percentiles(PART, "floor_delay", "us", &beside);
    for (name, share) in [("added_delay_p50_us", 0.5), ("added_delay_p99_us", 0.99)] {
        report.figure(PART, name, report::quantile(&through, share) - report::quantile(&beside, share));
    }
    end(PART, report, &mut phones, &gateway);
}

/// Calls over Direct Routing, TLS and SRTP, to desks that are plain; and plain calls through a gateway beside it.
fn srtp(options: &Options, report: &mut Report) {
    const PLAIN: &str = "srtp_plain_beside";
    const PART: &str = "srtp";
    /// Enough that the end of one handshake does not count for the next.
    const HANDSHAKES: u32 = 50;
    /// Connections that say nothing.
    const CROWD: usize = 1_000;
    // Two gateways, and the media ports of both.
    let options = &Options { calls: options.calls.min(500), ..options.clone() };
    report.begin(PLAIN);
    let mut plain_phones = Phones::new();
    let plain_gateway = options.start(&mut plain_phones);
    let plain_sockets = Sockets::open(usize::from(options.calls));
    let held = hold(PLAIN, options, report, &mut plain_phones, &plain_gateway, &plain_sockets);
    let Some((plain_held, _)) = held else { return };

    report.begin(PART);
    let papers = Papers::new();
    let mut phones = Phones::new();
    let gateway =
        Gateway::start_paired(&options.gateway, options.pinning(), options.calls, phones.desks(), &papers);
    phones.connect(gateway.sip);
    phones.speak_over(papers.connect(gateway.sip).expect("the gateway takes the connection"));
    let before = gateway.cpu();
    let connects = || {
        let begun = Instant::now();
        drop(papers.connect(gateway.sip).expect("the gateway takes the connection"));
        begun.elapsed().as_secs_f64() * 1e3
    };
    let alone: Vec<f64> = (0..HANDSHAKES).map(|_| connects()).collect();
    phones.pump(Instant::now() + SETTLE);
    let used = gateway.cpu().since(before);
    report.figure(PART, "tls_handshake_cpu_ms", used.scheduled.as_secs_f64() * 1e3 / f64::from(HANDSHAKES));
    let crowd: Vec<TcpStream> = (0..CROWD).filter_map(|_| TcpStream::connect(gateway.sip).ok()).collect();
    let in_crowd: Vec<f64> = (0..HANDSHAKES).map(|_| connects()).collect();
    drop(crowd);
    report.figure(PART, "tls_connect_p50_ms", median(&alone));
    report.figure(PART, "tls_connect_in_a_crowd_p50_ms", median(&in_crowd));
    report.figure(PART, "tls_connect_in_a_crowd_worst_ms", in_crowd.iter().copied().fold(0.0, f64::max));
    let sockets = Sockets::open(usize::from(options.calls));
    let Some((held, keys)) = hold(PART, options, report, &mut phones, &gateway, &sockets) else { return };

    let epoch = Instant::now();
    let mut plain = plain_sockets.talking(&plain_held, Says::Stamps, Hears::Stamps);
    let mut through = sockets.talking(&held, Says::Stamps, Hears::Stamps);
    for (customer, keys) in through.iter_mut().step_by(2).zip(&keys) {
        match keys {
            Some(keys) => customer.protect(keys),
            None => report.fault(PART, "a call without keys"),
        }
    }
    // Rounds of a floor, of the plain gateway and of this one: whatever the machine does meets all three.
    let mut ratios = Vec::new();
    let (mut beside, mut own) = (Rounds::default(), Rounds::default());
    for _ in 0..options.rounds {
        let one = Options { rounds: 1, ..options.clone() };
        let a = Rounds::play(&one, epoch, &plain_gateway, &plain_sockets, &mut plain);
        let b = Rounds::play(&one, epoch, &gateway, &sockets, &mut through);
        ratios.push(Rounds::cost(&b.gateway) / Rounds::cost(&a.gateway));
        beside.add(a);
        own.add(b);
    }
    beside.tell(PLAIN, report);
    own.tell(PART, report);
    report.figure(PART, "ratio_to_plain_relay", median(&ratios));
    report.figure(PART, "cost_over_plain_us", Rounds::cost(&own.gateway) - Rounds::cost(&beside.gateway));
    report.percentiles(PART, "delay", "us", &Rounds::delays(&own.gateway));
    end(PLAIN, report, &mut plain_phones, &plain_gateway);
    end(PART, report, &mut phones, &gateway);
}

/// Customer, agent and a supervisor who whispers. Nobody says anything but the supervisor, who clicks.
fn whisper(options: &Options, report: &mut Report) {
    const PART: &str = "whisper";
    report.begin(PART);
    let mut phones = Phones::new();
    let gateway = options.start(&mut phones);
    let calls = usize::from(options.calls);
    let sockets = Sockets::open(calls);
    let Some((held, _)) = hold(PART, options, report, &mut phones, &gateway, &sockets) else { return };
    let epoch = Instant::now();
    let mut relayed = sockets.talking(&held, Says::Stamps, Hears::Stamps);
    let before = Rounds::play(options, epoch, &gateway, &sockets, &mut relayed);

    for (agent, call) in gateway.calls() {
        let Some(index) = (0..calls).find(|index| gateway::agent(*index) == agent) else { continue };
        if let Err(refusal) = gateway.whisper(&call, &supervisor(index)) {
            report.fault(PART, format_args!("the supervisor of {agent} was refused: {refusal}"));
        }
        phones.pump(Instant::now() + Duration::from_millis(5));
    }
    let deadline = Instant::now() + PATIENCE;
    let joined = |phones: &Phones| {
        (0..calls).map(|index| phones.desk_remote(&supervisor(index))).collect::<Option<Vec<_>>>()
    };
    while joined(&phones).is_none() && Instant::now() < deadline {
        phones.pump(Instant::now() + Duration::from_millis(20));
    }
    let Some(bosses) = joined(&phones) else {
        report.fault(PART, "not every supervisor came on the line");
        return;
    };
    phones.pump(Instant::now() + SETTLE);

    let mut through = relayed;
    for party in &mut through {
        party.says = Says::Silence;
    }
    for pair in through.chunks_exact_mut(2) {
        (pair[0].hears, pair[1].hears) = (Hears::NoClick, Hears::Clicks);
    }
    for (index, to) in bosses.into_iter().enumerate() {
        let socket = &sockets.supervisors[index];
        through.push(Party::new(socket, to, index, Says::Clicks, Hears::Anything));
    }
    let rounds = Rounds::play(options, epoch, &gateway, &sockets, &mut through);
    rounds.tell(PART, report);
    // Relay and whisper cannot take turns on the same calls, so each is set in relation to its own floor.
    report.figure(PART, "relay_ratio_to_floor", before.ratio());
    report.figure(PART, "ratio_to_own_relay", rounds.ratio() / before.ratio());
    report.percentiles(PART, "click", "us", &Rounds::delays(&rounds.gateway));
    let sum = |of: fn(&Heard) -> u64| rounds.gateway.iter().map(of).sum::<u64>() as f64;
    report.figure(PART, "clicks_sent", sum(|heard| heard.clicks_sent));
    report.figure(PART, "clicks_heard", sum(|heard| heard.clicks_heard));
    report.figure(PART, "leaks_to_customer", sum(|heard| heard.leaks));
    for heard in &rounds.gateway {
        if heard.leaks > 0 {
            report.fault(PART, format_args!("the customer heard {} loud packets", heard.leaks));
        }
    }
    end(PART, report, &mut phones, &gateway);
}

/// A browser on one side of each call and a telephone on the other, beside calls with telephones on both.
fn webrtc(options: &Options, report: &mut Report) {
    const PART: &str = "webrtc";
    const BESIDE: &str = "webrtc_sip_beside";
    report.begin(BESIDE);
    let calls = usize::from(options.calls);
    let epoch = Instant::now();
    let (mut phones, sockets) = (Phones::new(), Sockets::open(calls));
    let gateway = options.start(&mut phones);
    let fresh = gateway.resident_kib() as f64;
    let Some((held, _keys)) = hold(BESIDE, options, report, &mut phones, &gateway, &sockets) else { return };
    let kib_per_sip_leg = (gateway.resident_kib() as f64 - fresh) / (2 * calls) as f64;
    let mut both = sockets.talking(&held, Says::Stamps, Hears::Stamps);
    let beside = run(&mut both, epoch, options.window(), options.gencpu, || gateway.cpu());
    end(BESIDE, report, &mut phones, &gateway);
    drop(gateway);

    report.begin(PART);
    let (mut phones, sockets) = (Phones::new(), Sockets::open(calls));
    let gateway = Gateway::with_browsers(&options.gateway, options.pinning(), options.calls, phones.desks());
    phones.connect(gateway.sip);
    let before = gateway.resident_kib() as f64;
    let mut browsers = Browsers::new(epoch);
    let (mut desks, mut first_audio) = (Vec::new(), Vec::new());
    for (index, socket) in sockets.agents.iter().enumerate() {
        let desk = agent(index);
        phones.desk_listens(desk.clone(), port(socket));
        let mut talks: Option<Party<'_>> = None;
        let took = browsers.call(&gateway, &browser(index).1, &number(index), || {
            phones.pump(Instant::now());
            if talks.is_none() {
                let party = |to| Party::new(socket, to, index, Says::Stamps, Hears::Stamps);
                talks = phones.desk_remote(&desk).map(party);
            }
            if let Some(talks) = &mut talks {
                talks.greet(epoch);
            }
        });
        match (took, talks) {
            (Ok(took), Some(talks)) => {
                first_audio.push(took.as_secs_f64() * 1e3);
                desks.push(talks);
            }
            (Err(why), _) => report.fault(PART, format_args!("browser {index}: {why}")),
            (Ok(_), None) => report.fault(PART, format_args!("{desk} was heard before it answered")),
        }
    }
    if desks.len() < calls {
        return;
    }
    browsers.pump(Instant::now() + SETTLE);
    let grown = (gateway.resident_kib() as f64 - before) / calls as f64;

    let (sent, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let in_window = RefCell::new(Vec::new());
    let (heard, mut at_browsers) = thread::scope(|scope| {
        let (sent, stop, browsers) = (&sent, &stop, &mut browsers);
        let gencpu = options.gencpu;
        let talking = scope.spawn(move || {
            pin(gencpu);
            browsers.talk(sent, stop)
        });
        let heard = run(&mut desks, epoch, options.window(), gencpu, || {
            in_window.borrow_mut().push(sent.load(Ordering::Relaxed));
            gateway.cpu()
        });
        stop.store(true, Ordering::Release);
        (heard, talking.join().expect("the browsers end when they are told to"))
    });
    let said = match in_window.borrow()[..] {
        [from, .., to] => to - from,
        _ => 0,
    };
    let cost = heard.cpu.scheduled.as_secs_f64() * 1e6 / (heard.sent + said).max(1) as f64;
    let at_desks: Vec<f64> = heard.delays_us.iter().copied().map(f64::from).collect();
    at_browsers.sort_unstable();
    let at_browsers: Vec<f64> = at_browsers.into_iter().map(f64::from).collect();
    first_audio.sort_unstable_by(f64::total_cmp);
    report.figure(PART, "calls", calls as f64);
    report.percentiles(PART, "offer_to_first_audio", "ms", &first_audio);
    report.figure(PART, "packets_in_window", (heard.sent + said) as f64);
    report.figure(PART, "cpu_us_per_packet", cost);
    report.figure(PART, "sip_cpu_us_per_packet", beside.cpu_us_per_packet());
    report.figure(PART, "packets_per_second_one_core", 1e6 / cost);
    report.figure(PART, "sip_packets_per_second_one_core", 1e6 / beside.cpu_us_per_packet());
    report.figure(PART, "ratio_to_sip", cost / beside.cpu_us_per_packet());
    report.percentiles(PART, "delay_to_desks", "us", &at_desks);
    report.percentiles(PART, "delay_to_browsers", "us", &at_browsers);
    report.figure(PART, "kib_per_idle_webrtc_leg", grown - kib_per_sip_leg);
    report.figure(PART, "kib_per_idle_sip_leg", kib_per_sip_leg);
    if heard.deaf > 0 {
        report.fault(PART, format_args!("{} desks heard nothing of their browser", heard.deaf));
    }
    if at_browsers.is_empty() {
        report.fault(PART, "no browser heard anything");
    }
    for (index, leg) in browsers.legs().enumerate() {
        gateway.hang_up_browser(&browser(index).1, leg);
        phones.pump(Instant::now());
    }
    until_true("no call is left", || {
        phones.pump(Instant::now());
        gateway.live() == 0
    });
}

/// Whole calls at a steady rate.
fn setup(options: &Options, report: &mut Report) {
    const PART: &str = "setup";
    /// Enough for a 99th percentile that does not hang on a handful of calls.
    const SECONDS: u32 = 5;
    report.begin(PART);
    let mut phones = Phones::new();
    let gateway = options.start(&mut phones);
    // The first calls pay for what is only made once: pages, connections of the store.
    come_and_go(&mut phones, u32::from(options.calls).min(100), options);
    let before = gateway.cpu();
    let count = u32::from(options.rate) * SECONDS;
    let mut set_up = come_and_go(&mut phones, count, options);
    let used = gateway.cpu().since(before);
    set_up.sort_unstable_by(f64::total_cmp);
    report.figure(PART, "calls", f64::from(count));
    report.figure(PART, "rate_per_s", f64::from(options.rate));
    report.percentiles(PART, "setup", "ms", &set_up);
    report.figure(PART, "cpu_ms_per_call", used.scheduled.as_secs_f64() * 1e3 / f64::from(count));
    report.figure(PART, "cpu_ms_per_call_ticks", used.ticks.as_secs_f64() * 1e3 / f64::from(count));
    report.figure(PART, "requests_repeated", phones.repeated as f64);
    end(PART, report, &mut phones, &gateway);
}

/// What many calls leave behind.
fn churn(options: &Options, report: &mut Report) {
    const PART: &str = "churn";
    report.begin(PART);
    let mut phones = Phones::new();
    let gateway = options.start(&mut phones);
    let fresh = gateway.resident_kib();
    // The first calls pay for what is only made once and then stays: pages of the program, prepared
    // statements, buffers of the store. Idle is a gateway that has taken calls, and has none.
    come_and_go(&mut phones, u32::from(options.calls).min(100), options);
    end(PART, report, &mut phones, &gateway);
    let idle = gateway.resident_kib();
    come_and_go(&mut phones, options.churn, options);
    let busy = gateway.resident_kib();
    end(PART, report, &mut phones, &gateway);
    phones.pump(Instant::now() + REST);
    let after = gateway.resident_kib();
    report.figure(PART, "calls", f64::from(options.churn));
    report.figure(PART, "memory_fresh_kib", fresh as f64);
    report.figure(PART, "memory_idle_kib", idle as f64);
    report.figure(PART, "memory_at_the_end_kib", busy as f64);
    report.figure(PART, "memory_after_kib", after as f64);
    report.figure(PART, "memory_after_by_idle", after as f64 / idle as f64);
    report.figure(
        PART,
        "bytes_left_per_call",
        (after as f64 - idle as f64) * 1024.0 / f64::from(options.churn),
    );
}

/// Calls that end as soon as they are answered; from INVITE to 200, ms.
fn come_and_go(phones: &mut Phones, count: u32, options: &Options) -> Vec<f64> {
    let agents = usize::from(options.calls);
    let numbers = (0..count as usize).map(|index| (number(index % agents), None));
    let placed = phones.place(numbers, f64::from(options.rate), Ends::AtOnce);
    placed.iter().filter_map(|call| Some(call.set_up?.as_secs_f64() * 1e3)).collect()
}

/// Where the gateway takes the RTP of customer and agent, by call.
type Held = Vec<(SocketAddr, SocketAddr)>;

/// Places the calls that are held. None, and a fault, when one did not come up.
fn hold(
    part: &'static str,
    options: &Options,
    report: &mut Report,
    phones: &mut Phones,
    gateway: &Gateway,
    sockets: &Sockets,
) -> Option<(Held, Vec<Option<Keys>>)> {
    let calls = usize::from(options.calls);
    for index in 0..calls {
        phones.desk_listens(agent(index), port(&sockets.agents[index]));
        phones.desk_listens(supervisor(index), port(&sockets.supervisors[index]));
    }
    let (cpu, memory) = (gateway.cpu(), gateway.resident_kib());
    let numbers = (0..calls).map(|index| (number(index), Some(port(&sockets.customers[index]))));
    let placed = phones.place(numbers, HELD_RATE, Ends::Later);
    let mut set_up: Vec<f64> =
        placed.iter().filter_map(|call| Some(call.set_up?.as_secs_f64() * 1e3)).collect();
    let customers: Vec<Option<SocketAddr>> = placed.iter().map(|call| call.remote).collect();
    let keys = placed.iter().map(|call| call.keys.clone()).collect();
    phones.pump(Instant::now() + SETTLE);
    set_up.sort_unstable_by(f64::total_cmp);
    let (used, grown) = (gateway.cpu().since(cpu), gateway.resident_kib() as f64 - memory as f64);
    report.figure(part, "calls", calls as f64);
    report.percentiles(part, "setup", "ms", &set_up);
    report.figure(part, "setup_cpu_ms_per_call", used.scheduled.as_secs_f64() * 1e3 / calls as f64);
    report.figure(part, "kib_per_held_call", grown / calls as f64);
    let held: Held = customers
        .into_iter()
        .enumerate()
        .filter_map(|(index, customer)| Some((customer?, phones.desk_remote(&agent(index))?)))
        .collect();
    if held.len() == calls {
        return Some((held, keys));
    }
    report.fault(part, format_args!("{} of {calls} calls came up", held.len()));
    for lost in phones.lost() {
        report.fault(part, lost);
    }
    None
}

/// Hangs up, and sees that no call was lost on the way and none is left.
fn end(part: &'static str, report: &mut Report, phones: &mut Phones, gateway: &Gateway) {
    phones.hang_up_all();
    for lost in phones.lost() {
        report.fault(part, lost);
    }
    until_true("no call is left", || {
        phones.pump(Instant::now());
        gateway.live() == 0
    });
}

/// The RTP sockets of each call's parties.
struct Sockets {
    customers: Vec<UdpSocket>,
    agents: Vec<UdpSocket>,
    supervisors: Vec<UdpSocket>,
}

impl Sockets {
    fn open(calls: usize) -> Sockets {
        let some = || {
            let bind = |_| {
                let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("loopback has a port");
                socket.set_nonblocking(true).expect("a socket can be made non-blocking");
                socket
            };
            (0..calls).map(bind).collect()
        };
        Sockets { customers: some(), agents: some(), supervisors: some() }
    }

    /// Customer and agent of each call, one after the other.
    fn talking(&self, held: &Held, says: Says, hears: Hears) -> Vec<Party<'_>> {
        let both = |(index, (customer, agent)): (usize, &(SocketAddr, SocketAddr))| {
            [(&self.customers[index], *customer), (&self.agents[index], *agent)]
                .map(|(socket, to)| Party::new(socket, to, index, says, hears))
        };
        held.iter().enumerate().flat_map(both).collect()
    }

    /// Where the floor forwards each party's packets: to the other of its pair; a supervisor's come back.
    fn partners(&self, parties: &[Party<'_>]) -> Vec<SocketAddr> {
        let own = |party: &Party<'_>| party.socket.local_addr().expect("a bound socket has an address");
        let talking = self.customers.len() * 2;
        let partner = |at: usize| if at < talking { at ^ 1 } else { at };
        (0..parties.len()).map(|at| own(&parties[partner(at)])).collect()
    }
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().expect("a bound socket has an address").port()
}

/// What the floor and the gateway did with the same packets, in turns.
#[derive(Default)]
struct Rounds {
    floor: Vec<Heard>,
    gateway: Vec<Heard>,
}

impl Rounds {
    /// Sends the packets of `through` in turns through a floor, with stamps, and through the gateway as they are.
    fn play(
        options: &Options,
        epoch: Instant,
        gateway: &Gateway,
        sockets: &Sockets,
        through: &mut [Party<'_>],
    ) -> Rounds {
        let floor = Floor::start(options.pinning(), &sockets.partners(through));
        let mut beside: Vec<Party<'_>> =
            through.iter().zip(&floor.entries).map(|(party, entry)| party.stamping_to(*entry)).collect();
        let mut rounds = Rounds::default();
        for _ in 0..options.rounds {
            rounds.floor.push(run(&mut beside, epoch, options.window(), options.gencpu, || floor.cpu()));
            rounds.gateway.push(run(through, epoch, options.window(), options.gencpu, || gateway.cpu()));
        }
        rounds
    }

    fn add(&mut self, more: Rounds) {
        self.floor.extend(more.floor);
        self.gateway.extend(more.gateway);
    }

    /// Parties to whom the gateway brought nothing of what they listen for.
    fn deaf(&self) -> impl Iterator<Item = usize> {
        self.gateway.iter().map(|heard| heard.deaf).filter(|deaf| *deaf > 0)
    }

    /// The gateway's cost of a packet by the floor's of the same round; the median of the rounds.
    fn ratio(&self) -> f64 {
        let pairs = self.gateway.iter().zip(&self.floor);
        let ratios = pairs.map(|(gateway, floor)| gateway.cpu_us_per_packet() / floor.cpu_us_per_packet());
        median(&ratios.collect::<Vec<_>>())
    }

    /// The median cost of a packet, µs.
    fn cost(of: &[Heard]) -> f64 {
        median(&of.iter().map(Heard::cpu_us_per_packet).collect::<Vec<_>>())
    }

    /// All delays of all rounds, sorted, µs.
    fn delays(of: &[Heard]) -> Vec<f64> {
        let mut all: Vec<f64> =
            of.iter().flat_map(|heard| heard.delays_us.iter().copied()).map(f64::from).collect();
        all.sort_unstable_by(f64::total_cmp);
        all
    }

    fn tell(&self, part: &'static str, report: &mut Report) {
        let of = |heard: &[Heard], figure: fn(&Heard) -> f64| {
            median(&heard.iter().map(figure).collect::<Vec<_>>())
        };
        for deaf in self.deaf() {
            report.fault(part, format_args!("{deaf} parties heard nothing of what they should"));
        }
        report.figure(part, "packets_per_round", of(&self.gateway, |heard| heard.sent as f64));
        report.figure(part, "cpu_us_per_packet", Rounds::cost(&self.gateway));
        report.figure(part, "cpu_us_per_packet_ticks", of(&self.gateway, Heard::ticks_us_per_packet));
        report.figure(part, "floor_cpu_us_per_packet", Rounds::cost(&self.floor));
        report.figure(part, "ratio_to_floor", self.ratio());
        report.figure(part, "loss_percent", of(&self.gateway, Heard::loss_percent));
        report.figure(part, "floor_loss_percent", of(&self.floor, Heard::loss_percent));
    }
}

/// As many descriptors as the system lets us have: there is a socket for each party.
fn allow_many_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // Refused, the sockets will say so themselves.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
