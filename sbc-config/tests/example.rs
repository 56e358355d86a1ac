//! The shipped example: it is clean, it means what its comments say, and nothing done to it makes the reader panic.

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use sbc_config::{
    Codec, Config, Dialled, Fallback, Grant, Match, Password, PersonRole, Reach, Route, RouteTable,
    SupervisionRole, Target, TokenRole,
};
use support::Drawer;

const EXAMPLE: &str = include_str!("../../deploy/sidetone.example.toml");

fn example() -> Config {
    Config::parse(EXAMPLE, &Drawer).expect("the example is clean")
}

fn changed(from: &str, to: &str) -> Config {
    assert!(EXAMPLE.contains(from), "{from}");
    Config::parse(&EXAMPLE.replacen(from, to, 1), &Drawer).expect("the change is clean")
}

#[test]
fn the_example_has_nothing_to_complain_about() {
    assert_eq!(example().warnings, []);
}

#[test]
fn the_example_stays_on_loopback() {
    let config = example();
    let listeners = [config.sip.udp.unwrap(), config.sip.tcp.unwrap(), config.api.listen];
    assert!(listeners.iter().all(|address| address.ip().is_loopback()));
    assert!(config.media.listen.is_loopback());
    assert!(config.trunks.iter().flat_map(|trunk| &trunk.sources).all(|range| range.addr().is_loopback()));
}

#[test]
fn the_defaults_in_the_comments_are_the_defaults() {
    // Each `# name = value` at the start of a line stands for a default; with all of them in, nothing changes.
    let mut section = "";
    let mut text = String::new();
    for line in EXAMPLE.lines() {
        if line.trim_start_matches("# ").starts_with('[') {
            section = line;
        }
        let settings = [
            "[server]",
            "[sip]",
            "[dns]",
            "[media]",
            "[api]",
            "[limits]",
            "[supervision]",
            "[emergency]",
            "[voicemail]",
        ]
        .contains(&section);
        let default =
            line.strip_prefix("# ").filter(|rest| rest.contains(" = ") && !rest.starts_with("with"));
        let not_a_default = [
            "advertised",
            "user_agent",
            "shards",
            "music_on_hold",
            "prompts",
            "password comes",
            "servers",
            "overrides",
        ];
        let default = default.filter(|rest| !not_a_default.iter().any(|word| rest.starts_with(word)));
        text.push_str(default.filter(|_| settings).unwrap_or(line));
        text.push('\n');
    }
    for setting in [
        "\ndrain_s = 30",
        "\ntcp_idle_s = 600",
        "\ntls_handshake_s = 5",
        "\nstale_max_s = 86400",
        "\nenabled = false",
        "\njitter_ms_max = 200",
        "\ncalls_max = 2000",
        "\ndtmf_control",
    ] {
        assert!(text.contains(setting), "{setting}");
    }
    assert_eq!(Config::parse(&text, &Drawer).unwrap(), example());
}

#[test]
fn carol_dials_the_main_number_and_it_rings_at_alice() {
    let config = example();
    let carol = config.person_by_username("carol").unwrap();
    assert_eq!(carol.role, PersonRole::Customer);
    let dialled = Dialled::parse("+15550100").unwrap();
    let route = config.routes.find(&carol.tenant, None, &dialled).unwrap();
    let alice = config.person_by_extension(&carol.tenant, "100").unwrap();
    assert_eq!(route.targets, [Target::Person(alice.id.clone())]);
    assert_eq!(route.ring, Duration::from_secs(20));
    assert_eq!(route.fallback, Fallback::Reject(480));
    let anything = Dialled::parse("999").unwrap();
    let other = config.routes.find(&carol.tenant, None, &anything).unwrap();
    let Target::Team(support) = &other.targets[0] else { panic!("{other:?}") };
    assert_eq!(config.agents_of(support).map(|agent| agent.id.as_str()).collect::<Vec<_>>(), ["alice"]);
}

#[test]
fn a_password_comes_without_the_newline_of_its_file() {
    let config = example();
    for (username, expected) in [("alice", "canary-alice"), ("sam", "canary-sam"), ("carol", "canary-carol")]
    {
        let Reach::Register(credentials) = &config.person_by_username(username).unwrap().reach else {
            panic!("{username} registers")
        };
        let Password::Clear(password) = &credentials.password else { panic!("{username} has a password") };
        assert_eq!(password.expose(), expected);
    }
}

#[test]
fn the_passwords_printed_in_the_example_are_those_in_its_files() {
    for (username, file) in [
        ("alice", include_str!("../../deploy/example-secrets/alice.txt")),
        ("sam", include_str!("../../deploy/example-secrets/sam.txt")),
        ("carol", include_str!("../../deploy/example-secrets/carol.txt")),
    ] {
        let row = EXAMPLE.lines().find(|line| line.contains(&format!(" {username}  "))).unwrap();
        assert!(row.contains(&format!(" {} ", file.trim_end())), "{row}");
        assert!(EXAMPLE.contains(&format!("password_file = \"example-secrets/{username}.txt\"")));
    }
}

#[test]
fn a_phone_may_be_known_by_its_hash_alone() {
    let hash = "register = { ha1_sha256 = \"".to_owned() + &"Ab".repeat(32) + "\" }";
    let config =
        changed("register = { username = \"alice\", password_file = \"example-secrets/alice.txt\" }", &hash);
    let Reach::Register(credentials) = &config.person_by_username("alice").unwrap().reach else { panic!() };
    let Password::Hashed { md5: None, sha256: Some(sha256) } = &credentials.password else { panic!() };
    assert_eq!(sha256.expose(), "ab".repeat(32));
}

#[test]
fn the_trunk_is_known_by_its_narrowest_source_range() {
    let carrier = "sources = [\"127.0.0.2/32\"]";
    let wider = format!(
        "{carrier}\n[[trunk]]\nid = 'wide'\ntenant = 'demo'\nsources = ['127.0.0.0/8', '2001:db8::/32']\n"
    );
    let config = changed(carrier, &wider);
    let trunk = |source: IpAddr| config.trunk_by_source(source).map(|trunk| trunk.id.as_str());
    let v4 = |last| Ipv4Addr::new(127, 0, 0, last);
    assert_eq!(trunk(v4(2).into()), Some("carrier"));
    assert_eq!(trunk(v4(2).to_ipv6_mapped().into()), Some("carrier"));
    assert_eq!(trunk(v4(3).into()), Some("wide"));
    assert_eq!(trunk("2001:db8::7".parse().unwrap()), Some("wide"));
    assert_eq!(trunk(Ipv4Addr::new(192, 0, 2, 1).into()), None);
    assert_eq!(trunk(Ipv6Addr::LOCALHOST.into()), None);
    // Phones on this machine are not the carrier.
    assert!(example().trunk_by_source(Ipv4Addr::LOCALHOST.into()).is_none());
}

#[test]
fn each_role_has_a_token_and_the_supervisors_scope_is_the_team() {
    let config = example();
    let roles: Vec<_> = config.tokens.iter().map(|token| token.grant.role()).collect();
    use TokenRole::{Agent, Integration, Operator, Supervisor, TenantAdmin};
    assert_eq!(roles, [Agent, Supervisor, TenantAdmin, Operator, Integration]);
    let Grant::Supervisor { teams, person, .. } = &config.tokens[1].grant else { panic!() };
    assert_eq!((teams[0].as_str(), person.as_str()), ("support", "sam"));
    assert_eq!(config.tokens[3].grant.tenant(), None);
    let hash = *config.tokens[1].sha256.as_bytes();
    assert_eq!(config.token_by_sha256(&hash).unwrap().id.as_str(), "sam-desk");
    assert!(config.token_by_sha256(&[0; 32]).is_none());
    // Without its own scope the token has the teams of its person.
    let config = changed("teams = [\"support\"]                          # default", "# default");
    let Grant::Supervisor { teams, .. } = &config.tokens[1].grant else { panic!() };
    assert_eq!(teams[0].as_str(), "support");
}

#[test]
fn a_token_is_good_to_the_end_of_its_last_day() {
    for (day, end) in [
        ("1970-01-01", 86_400),
        ("2000-02-29", 951_868_800),
        ("2026-12-31", 1_798_761_600),
        ("2100-02-28", 4_107_542_400),
        ("2100-03-01", 4_107_628_800),
    ] {
        let config = changed("# expires = 2030-12-31", &format!("expires = {day}"));
        let token = &config.tokens[1];
        assert_eq!(token.expires.unwrap().to_string(), day);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(token.is_good_at(at(end - 1)), "{day}");
        assert!(!token.is_good_at(at(end)), "{day}");
        assert!(config.tokens[0].is_good_at(at(end)), "no last day");
    }
}

#[test]
fn a_supervisor_dials_into_a_call_by_prefix_and_extension() {
    let supervision = example().supervision;
    assert_eq!(supervision.dialled("*41100"), Some((SupervisionRole::Monitor, "100")));
    assert_eq!(supervision.dialled("*42100"), Some((SupervisionRole::Whisper, "100")));
    assert_eq!(supervision.dialled("*43100"), Some((SupervisionRole::Barge, "100")));
    assert_eq!(supervision.dialled("*41"), None);
    assert_eq!(supervision.dialled("100"), None);
}

#[test]
fn a_webhook_gets_the_events_it_asked_for() {
    let webhook = "\n[[webhook]]\nid = 'w'\ntenant = 'demo'\nurl = 'http://127.0.0.1:9000/h'\nsecret_file = 'key.txt'\n";
    let text = format!("{EXAMPLE}{webhook}events = ['call.*', 'supervision.started']\n");
    let config = Config::parse(&text, &Drawer).unwrap();
    assert_eq!(config.warnings, [], "http to this machine is fine");
    let wants = |event| config.webhooks[0].wants(event);
    assert!(wants("call.answered") && wants("supervision.started"));
    assert!(!wants("supervision.ended") && !wants("callx.answered") && !wants("call"));
    let config = Config::parse(&format!("{EXAMPLE}{webhook}"), &Drawer).unwrap();
    assert!(config.webhooks[0].wants("recording.started"));
}

#[test]
fn nothing_secret_is_in_the_debug_of_a_configuration() {
    let text = format!(
        "{}\n[[webhook]]\nid = 'w'\ntenant = 'demo'\nurl = 'https://example.net/h'\nsecret_file = 'key.txt'\n",
        EXAMPLE.replacen(
            "database = \"sqlite:sidetone.sqlite3\"",
            "database_url_env = \"SIDETONE_DATABASE_URL\"",
            1
        )
    );
    let config = Config::parse(&text, &Drawer).unwrap();
    assert!(config.server.database.expose().contains("canary-db"), "the canary is really there");
    assert_eq!(config.webhooks[0].secret.expose(), "canary-key-0123456789");
    for shown in [format!("{config:?}"), format!("{config:#?}")] {
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("DatabaseUrl(postgres:redacted)") && shown.contains("TokenHash(redacted)"));
    }
}

#[test]
fn only_what_is_set_up_once_needs_a_restart() {
    let old = example();
    assert!(Config::diff_needs_restart(&old, &old).is_empty());
    for (from, to, names) in [
        ("udp = \"127.0.0.1:5060\"", "udp = \"127.0.0.1:5070\"", vec!["sip.udp"]),
        ("sqlite:sidetone", "sqlite:other", vec!["server.database"]),
        ("20000-29999", "30000-39999", vec!["media.ports"]),
        ("127.0.0.1:8080", "127.0.0.1:8081", vec!["api.listen"]),
        ("127.0.0.2/32", "127.0.0.3/32", vec![]),
        ("# calls_max = 2000", "calls_max = 1000", vec![]),
        ("ring_s = 20", "ring_s = 30", vec![]),
        ("extension = \"100\"", "extension = \"101\"", vec![]),
        ("monitor_prefix = \"*41\"", "monitor_prefix = \"*51\"", vec![]),
    ] {
        let new = changed(from, to);
        assert_ne!(new, old, "{from}");
        assert_eq!(Config::diff_needs_restart(&old, &new), names, "{from}");
    }
}

#[test]
fn the_longest_match_takes_the_call_and_a_named_trunk_goes_first() {
    let route = |id: &str, tenant: &str, trunks: Option<&[&str]>, matches: Match| Route {
        id: id.parse().unwrap(),
        tenant: tenant.parse().unwrap(),
        trunks: trunks.map(|trunks| trunks.iter().map(|trunk| trunk.parse().unwrap()).collect()),
        matches,
        targets: vec![Target::Person("alice".parse().unwrap())],
        strategy: sbc_config::Strategy::InOrder,
        ring: Duration::from_secs(20),
        fallback: Fallback::Reject(480),
        presence: false,
    };
    let number = |text| Match::Number(Dialled::parse(text).unwrap());
    let prefix = |text: &str| Match::Prefix(text.into());
    let table = RouteTable::new(vec![
        route("any", "demo", None, Match::Any),
        route("one", "demo", None, prefix("1")),
        route("one-555", "demo", None, prefix("1555")),
        route("exact", "demo", None, number("+15550100")),
        route("exact-carrier", "demo", Some(&["carrier"]), number("+15550100")),
        route("only-carrier", "demo", Some(&["carrier"]), prefix("44")),
        route("other-any", "other", None, Match::Any),
    ]);
    let find = |tenant: &str, trunk: Option<&str>, dialled: &str| {
        let trunk = trunk.map(|trunk| trunk.parse().unwrap());
        let dialled = Dialled::parse(dialled).unwrap();
        table.find(&tenant.parse().unwrap(), trunk.as_ref(), &dialled).map(|route| route.id.to_string())
    };
    let found = |id: &str| Some(id.to_owned());
    assert_eq!(find("demo", None, "+1 555 0100"), found("exact"));
    assert_eq!(find("demo", None, "15550100"), found("exact"), "a carrier may leave out the plus");
    assert_eq!(find("demo", Some("carrier"), "+15550100"), found("exact-carrier"));
    assert_eq!(find("demo", Some("another"), "+15550100"), found("exact"));
    assert_eq!(find("demo", None, "+15550199"), found("one-555"));
    assert_eq!(find("demo", None, "+12025550100"), found("one"));
    assert_eq!(find("demo", Some("carrier"), "+442079460000"), found("only-carrier"));
    assert_eq!(find("demo", None, "+442079460000"), found("any"));
    assert_eq!(find("demo", None, "älice"), found("any"));
    assert_eq!(find("other", None, "+15550100"), found("other-any"));
    assert_eq!(find("nobody", None, "+15550100"), None);
}

#[test]
fn the_example_speaks_g711_and_g722() {
    assert_eq!(example().media.codecs, [Codec::Pcmu, Codec::Pcma, Codec::G722]);
}

/// What can happen to a file in an editor, a merge or a bad copy.
#[derive(Debug, Clone)]
enum Damage {
    Remove { at: usize, length: usize },
    Insert { at: usize, text: String },
    Copy { from: usize, length: usize, to: usize },
    DropLine(usize),
    SwapLines(usize, usize),
}

fn damage() -> impl proptest::strategy::Strategy<Value = Damage> {
    let at = || 0..EXAMPLE.len();
    let crumbs = prop::sample::select(vec![
        "\"",
        "'",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "=",
        "\n",
        ".",
        "#",
        "\\",
        "-1",
        "1e9",
        "true",
        "[]",
        "{}",
        "\u{0}",
        "é",
        "\u{feff}",
        "id = \"alice\"\n",
        "[sip]\n",
        "[[route]]\n",
        "0x",
        "1979-05-27",
        ",",
        "\"\"\"",
    ]);
    prop_oneof![
        (at(), 1..80_usize).prop_map(|(at, length)| Damage::Remove { at, length }),
        (at(), crumbs).prop_map(|(at, text)| Damage::Insert { at, text: text.into() }),
        (at(), "\\PC{0,12}").prop_map(|(at, text)| Damage::Insert { at, text }),
        (at(), 1..200_usize, at()).prop_map(|(from, length, to)| Damage::Copy { from, length, to }),
        any::<usize>().prop_map(Damage::DropLine),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Damage::SwapLines(a, b)),
    ]
}

fn apply(text: &str, damage: &Damage) -> String {
    let fit = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let mut lines: Vec<&str> = text.lines().collect();
    let count = lines.len().max(1);
    match damage {
        Damage::Remove { at, length } => text[..fit(*at)].to_owned() + &text[fit(at + length)..],
        Damage::Insert { at, text: new } => format!("{}{new}{}", &text[..fit(*at)], &text[fit(*at)..]),
        Damage::Copy { from, length, to } => {
            let piece = &text[fit(*from)..fit(from + length)];
            format!("{}{piece}{}", &text[..fit(*to)], &text[fit(*to)..])
        }
        Damage::DropLine(line) if !lines.is_empty() => {
            lines.remove(line % count);
            lines.join("\n")
        }
        Damage::SwapLines(a, b) if !lines.is_empty() => {
            lines.swap(a % count, b % count);
            lines.join("\n")
        }
        Damage::DropLine(_) | Damage::SwapLines(..) => text.to_owned(),
    }
}

proptest! {
    #[test]
    fn a_damaged_example_gives_a_configuration_or_findings_and_never_a_panic(
        damages in prop::collection::vec(damage(), 1..8)
    ) {
        let text = damages.iter().fold(EXAMPLE.to_owned(), |text, damage| apply(&text, damage));
        match Config::parse(&text, &Drawer) {
            Ok(config) => {
                let shown = format!("{config:?}");
                prop_assert!(!shown.contains("canary"));
            }
            Err(findings) => {
                prop_assert!(!findings.is_empty());
                let lines = text.split('\n').count();
                for finding in findings {
                    prop_assert!((1..=lines).contains(&finding.line) && finding.column >= 1, "{finding}");
                    prop_assert!(!finding.to_string().contains("canary"), "{finding}");
                }
            }
        }
    }

    #[test]
    fn any_text_gives_a_configuration_or_findings(text in "\\PC{0,300}") {
        if let Err(findings) = Config::parse(&text, &Drawer) {
            prop_assert!(!findings.is_empty());
        }
    }
}
