//! What is wrong with a file is said all at once, at the line where it is.
//!
//! Each file carries its expectation: `#! code code` at the end of a line means exactly these findings on that
//! line, and no finding anywhere else.

#[path = "support/expect.rs"]
mod expect;
mod support;

use expect::{compare, expect};
use sbc_config::{Code, Config, MAX_CONFIG_BYTES, Severity};
use support::Drawer;

#[test]
fn an_unknown_setting_is_refused_with_the_name_that_was_meant() {
    let findings = expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        relm = "x"                  #! unknown-key
        [medai]                     #! unknown-key
        [limits]
        call_max = 3                #! unknown-key
        zzzzzzzzzz = 3              #! unknown-key
        [[tenant]]
        id = "demo"
        [[integration]]
        tenant = "demo"
        zzzzzzzzzz = 3              #! unknown-key
        "#,
    );
    let remedies: Vec<_> = findings.iter().map(|finding| finding.remedy.as_str()).collect();
    assert_eq!(
        remedies[..3],
        ["did you mean `realm`?", "did you mean `media`?", "did you mean `calls_max`?"]
    );
    assert!(remedies[3].starts_with("remove it; known here: calls_max"), "{}", remedies[3]);
    assert!(remedies[4].starts_with("remove it; known here: tenant, cloud, "), "each once: {}", remedies[4]);
}

#[test]
fn a_finding_reads_as_place_rule_setting_problem_and_remedy() {
    let findings = Config::parse("[sip]\nudp = \"127.0.0.1:5060\"\n  relm = \"x\"\n", &Drawer).unwrap_err();
    assert_eq!(
        findings[0].to_string(),
        "3:3: error[unknown-key] sip.relm: there is no such setting; did you mean `realm`?"
    );
}

#[test]
fn an_empty_file_needs_one_listener_and_nothing_else() {
    let findings = Config::parse("", &Drawer).unwrap_err();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((findings[0].code, findings[0].line), (Code::MissingKey, 1));
    assert!(Config::parse("sip.udp = '127.0.0.1:5060'", &Drawer).is_ok());
}

#[test]
fn listeners_that_want_the_same_port_are_refused() {
    expect(
        r#"
        [sip]
        udp = "0.0.0.0:20100"
        tcp = "127.0.0.1:8080"
        advertised = "sbc.example.net"
        [media]
        listen = "192.0.2.1"
        ports = "20000-20199"       #! overlap
        [api]
        listen = "0.0.0.0:8080"     #! overlap
        "#,
    );
}

#[test]
fn media_ports_come_in_pairs_and_in_order() {
    for (ports, code) in [
        ("20001-29999", "bad-value"),
        ("20000-29998", "bad-value"),
        ("29998-20001", "bad-value"),
        ("20000", "bad-value"),
        ("20000-70001", "bad-value"),
        ("1022-2001", "out-of-range"),
        ("20000-20003", "out-of-range"),
    ] {
        expect(&format!("\n[sip]\nudp = '127.0.0.1:5060'\n[media]\nports = '{ports}' #! {code}\n"));
    }
}

#[test]
fn numbers_lie_in_their_limits_and_values_have_their_types() {
    expect(
        r#"
        [sip]
        udp = 5060                      #! wrong-type
        tcp = "127.0.0.1"               #! bad-value
        register_expires_min_s = 300
        register_expires_max_s = 200    #! out-of-range
        [server]
        drain_s = -1                    #! out-of-range
        name = "a\"b"                   #! bad-value
        [media]
        codecs = ["PCMA", "PCMU", "PCMA"]  #! duplicate
        ringback = "uk"                 #! bad-value
        jitter_ms_max = 1.5             #! wrong-type
        shards = 0x1_0000               #! out-of-range
        [limits]
        parties_per_call_max = 99999999999999999999  #! out-of-range
        [api]
        listen = "nowhere"              #! bad-value
        "#,
    );
}

#[test]
fn dialled_prefixes_can_be_told_apart() {
    expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [supervision]
        monitor_prefix = "*4"
        whisper_prefix = "*42"          #! duplicate
        barge_prefix = "43"             #! bad-value
        allowed_roles = ["wisper"]      #! bad-value
        dtmf_control = "yes"            #! wrong-type
        "#,
    );
}

#[test]
fn references_lead_to_something_of_the_same_tenant() {
    let findings = expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [[tenant]]
        id = "demo"
        [[tenant]]
        id = "other"
        [[team]]
        id = "support"
        tenant = "demo"
        [[team]]
        id = "theirs"
        tenant = "otter"                            #! unknown-reference
        [[person]]
        id = "alice"
        tenant = "demo"
        role = "agent"
        teams = ["suport", "theirs"]                #! unknown-reference foreign-reference
        contact = "sip:alice@192.0.2.1"
        [[person]]
        id = "olga"
        tenant = "other"
        role = "agent"
        contact = "sip:olga@192.0.2.2"
        [[trunk]]
        id = "carrier"
        tenant = "demo"
        sources = ["192.0.2.0/24"]
        [[route]]
        id = "r"
        tenant = "demo"
        trunks = ["x"]                              #! unknown-reference
        any = true
        targets = ["alise", "olga", "trunk:carrier", "queue:x"]  #! unknown-reference foreign-reference no-destination bad-value
        fallback = "team:nobody"                    #! unknown-reference
        [[token]]
        id = "t"
        sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
        role = "supervisor"
        tenant = "demo"
        person = "alice"                            #! wrong-role
        "#,
    );
    let remedy = |code, nth: usize| {
        findings.iter().filter(|finding| finding.code == code).nth(nth).map(|finding| finding.remedy.as_str())
    };
    assert_eq!(remedy(Code::UnknownReference, 0), Some("did you mean `other`?"));
    assert_eq!(remedy(Code::UnknownReference, 1), Some("did you mean `support`?"));
    assert_eq!(remedy(Code::UnknownReference, 2), Some("define a [[trunk]] with this id or name another"));
    assert_eq!(remedy(Code::UnknownReference, 3), Some("did you mean `alice`?"));
}

#[test]
fn what_tells_two_apart_is_not_shared() {
    expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [[tenant]]
        id = "demo"
        [[tenant]]
        id = "demo"                                 #! duplicate-id
        [[person]]
        id = "alice"
        tenant = "demo"
        role = "agent"
        extension = "100"
        register = { password_env = "PHONE_PASSWORD" }
        [[person]]
        id = "alice"                                #! duplicate-id
        tenant = "demo"
        role = "agent"
        extension = "100"                           #! duplicate
        register = { username = "alice", password_env = "PHONE_PASSWORD" }  #! duplicate
        [[trunk]]
        id = "one"
        tenant = "demo"
        sources = ["192.0.2.1"]
        [[trunk]]
        id = "two"
        tenant = "demo"
        sources = ["192.0.2.0/24", "192.0.2.1/32"]  #! duplicate
        [[token]]
        id = "t"
        sha256 = "aa00000000000000000000000000000000000000000000000000000000000000"
        role = "operator"
        [[token]]
        id = "u"
        sha256 = "AA00000000000000000000000000000000000000000000000000000000000000"  #! duplicate
        role = "operator"
        "#,
    );
}

#[test]
fn a_bad_person_does_not_make_routes_to_that_person_wrong() {
    expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [[tenant]]
        id = "demo"
        [[person]]
        id = "alice"
        tenant = "demo"
        role = "agnet"                              #! bad-value
        contact = "sip:alice@192.0.2.1"
        [[route]]
        id = "r"
        tenant = "demo"
        any = true
        targets = ["alice"]
        [[token]]
        id = "t"
        sha256 = "00"                               #! bad-value
        role = "operator"
        "#,
    );
}

#[test]
fn a_person_is_reached_in_one_way() {
    expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [[tenant]]
        id = "demo"
        [[person]]                                  #! missing-key exactly-one
        id = "alice"
        tenant = "demo"
        [[person]]
        id = "bob"
        tenant = "demo"
        role = "agent"
        contact = "sip:bob@192.0.2.1"
        register = { password_env = "PHONE_PASSWORD" }  #! exactly-one
        [[person]]
        id = "not an id"                            #! bad-id
        tenant = "demo"
        role = "agent"
        extension = "1x"                            #! bad-value
        display_name = "<sip:x>"                    #! bad-value
        register = { username = "carol" }           #! exactly-one
        [[person]]
        id = "dora"
        tenant = "demo"
        role = "agent"
        contact = "sip:dora@192.0.2.1;transport=sctp"  #! bad-value
        [[person]]
        id = "emil"
        tenant = "demo"
        role = "agent"
        register = { ha1_md5 = "00000000000000000000000000000000", password_env = "PHONE_PASSWORD" }  #! exactly-one
        "#,
    );
}

#[test]
fn a_trunk_says_whom_it_trusts() {
    let findings = expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [[tenant]]
        id = "demo"
        [[trunk]]                                   #! missing-key
        id = "none"
        tenant = "demo"
        [[trunk]]
        id = "bad"
        tenant = "demo"
        sources = ["192.0.2.7/24", "192.0.2.0/33", "::ffff:192.0.2.9", "everybody"]  #! bad-cidr bad-cidr bad-cidr bad-cidr
        destination = "sip.example.net:5060;transport=sctp"  #! bad-value
        prack = "on"                                #! bad-value
        channels_max = 0                            #! out-of-range
        session_timer_s = 30                        #! out-of-range
        [[trunk]]
        id = "alone"
        tenant = "demo"
        sources = []                                #! bad-value
        options_s = 30                              #! out-of-place
        pidf_lo = true                              #! out-of-place
        charge_to = "5550100"                       #! bad-value out-of-place
        "#,
    );
    let bits = findings.iter().find(|finding| finding.code == Code::BadCidr).unwrap();
    assert_eq!(bits.remedy, "write \"192.0.2.0/24\" for the range or \"192.0.2.7/32\" for the host");
    assert_eq!(bits.path, "trunk[bad].sources[0]");
}

#[test]
fn routes_match_in_one_way_and_do_not_tie() {
    let findings = expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [[tenant]]
        id = "demo"
        [[person]]
        id = "alice"
        tenant = "demo"
        role = "agent"
        contact = "sip:alice@192.0.2.1"
        [[trunk]]
        id = "carrier"
        tenant = "demo"
        sources = ["192.0.2.0/24"]
        [[route]]                                   #! exactly-one
        id = "nothing"
        tenant = "demo"
        targets = ["alice"]
        [[route]]
        id = "both"
        tenant = "demo"
        prefix = "1"
        any = true                                  #! exactly-one
        targets = ["alice"]
        [[route]]
        id = "never"
        tenant = "demo"
        any = false                                 #! bad-value
        targets = ["alice", "alice"]                #! duplicate
        ring_s = 600                                #! out-of-range
        reject = 200                                #! out-of-range
        [[route]]
        id = "first"
        tenant = "demo"
        number = "+1 555 0100"
        targets = ["alice"]
        [[route]]
        id = "named"
        tenant = "demo"
        trunks = ["carrier"]
        number = "+15550100"
        targets = ["alice"]
        [[route]]
        id = "second"
        tenant = "demo"
        number = "15550100"                         #! route-tie
        targets = []                                #! bad-value
        [[route]]
        id = "named-too"
        tenant = "demo"
        trunks = ["carrier"]
        number = "+15550100"                        #! route-tie
        targets = ["alice"]
        fallback = "alice"
        reject = 486                                #! exactly-one
        [[route]]
        id = "odd-prefix"
        tenant = "demo"
        prefix = "abc"                              #! bad-value
        targets = ["alice"]
        strategy = "random"                         #! bad-value
        "#,
    );
    let tie = findings.iter().find(|finding| finding.code == Code::RouteTie).unwrap();
    assert_eq!(tie.message, "the route at line 35 takes the same calls");
}

#[test]
fn a_token_has_what_its_role_needs_and_nothing_else() {
    expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [[tenant]]
        id = "demo"
        [[token]]
        id = "t1"
        sha256 = "1000000000000000000000000000000000000000000000000000000000000000"
        role = "operator"
        tenant = "demo"                             #! out-of-place
        [[token]]                                   #! missing-key missing-key
        id = "t2"
        sha256 = "2000000000000000000000000000000000000000000000000000000000000000"
        role = "agent"
        teams = ["x"]                               #! out-of-place
        [[token]]                                   #! missing-key missing-key
        id = "t3"
        tenant = "demo"
        person = "nobody"
        expires = 1969-12-31                        #! bad-value
        [[token]]
        id = "t4"
        sha256 = "4000000000000000000000000000000000000000000000000000000000000000"
        role = "integration"
        tenant = "demo"
        expires = "2027-02-30"                      #! bad-value
        "#,
    );
}

#[test]
fn a_webhook_goes_to_an_http_address_and_asks_for_events_that_exist() {
    let findings = expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [[tenant]]
        id = "demo"
        [[webhook]]                                 #! exactly-one
        id = "w1"
        tenant = "demo"
        url = "ftp://example.net"                   #! bad-value
        events = ["cal.*", "call", "call.answered"] #! bad-value bad-value
        [[webhook]]
        id = "w2"
        tenant = "demo"
        url = "https://exa mple.net/"               #! bad-value
        secret_file = "key.txt"
        events = []                                 #! bad-value
        [[webhook]]
        id = "w3"
        tenant = "demo"
        url = "https://example.net/"
        secret_file = "key.txt"
        events = ["store.*", "certificate.renewed", "acs.left_over", "consult.dialling", "call.zzz"] #! bad-value bad-value
        "#,
    );
    let remedies: Vec<_> = findings.iter().map(|finding| finding.remedy.as_str()).collect();
    assert!(remedies.contains(&"did you mean \"call.*\"?"), "{remedies:?}");
    assert!(remedies.contains(&"did you mean \"consult.dialing\"?"), "{remedies:?}");
    assert!(remedies.iter().any(|remedy| remedy.starts_with("write \"call.*\" or one of call.initiated, ")));
}

#[test]
fn a_section_of_the_wrong_kind_says_how_to_write_it() {
    let findings = expect(
        "\nsip = 3 #! wrong-type missing-key\nserver = [] #! wrong-type\n[person] #! wrong-type\nid = 'x'\n",
    );
    assert!(findings.iter().any(|finding| finding.remedy == "write [[person]]"));
}

#[test]
fn broken_syntax_hides_its_own_section_and_no_other() {
    expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [server]
        name = sidetone                             #! syntax
        drain_s = -1
        [media]
        jitter_ms_max = 5                           #! out-of-range
        timeout_s = 8
        warn_s = 8                                  #! out-of-range
        "#,
    );
    expect(
        "\n[sip]\nudp = '127.0.0.1:5060'\nudp = '127.0.0.1:5061' #! syntax\n[limits]\ncalls_max = 0 #! out-of-range\n",
    );
}

#[test]
fn endless_mistakes_and_endless_files_are_cut_off() {
    let mut text = String::from("[sip]\nudp = '127.0.0.1:5060'\n");
    for number in 0..2_000 {
        text.push_str(&format!("x{number} = 1\n"));
    }
    let findings = Config::parse(&text, &Drawer).unwrap_err();
    assert_eq!(findings.len(), 501);
    assert_eq!(findings.last().unwrap().code, Code::TooManyFindings);

    let findings = Config::parse(&"#".repeat(MAX_CONFIG_BYTES + 1), &Drawer).unwrap_err();
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::TooLarge]);
}

#[test]
fn what_can_be_used_but_should_be_looked_at_is_a_warning() {
    let text = r#"
        [sip]
        udp = "0.0.0.0:5060"                        #! needs-advertised
        [media]                                     #! needs-advertised
        ports = "20000-20099"
        [limits]
        calls_max = 100                             #! ports-too-few
        [[tenant]]
        id = "demo"
        [[team]]
        id = "empty"
        tenant = "demo"
        [[person]]
        id = "sam"
        tenant = "demo"
        role = "supervisor"
        contact = "sip:sam@192.0.2.1"
        [[trunk]]
        id = "wide"
        tenant = "demo"
        sources = ["0.0.0.0/0"]                     #! trusts-everyone
        [[route]]
        id = "r"
        tenant = "demo"
        any = true
        targets = ["team:empty"]                    #! nobody-to-reach
        [[token]]                                   #! nothing-in-scope
        id = "t"
        sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
        role = "supervisor"
        tenant = "demo"
        person = "sam"
        [[webhook]]
        id = "w"
        tenant = "demo"
        url = "http://example.net/"                 #! plain-http
        secret_file = "key.txt"
    "#;
    let config = Config::parse(text, &Drawer).unwrap();
    assert!(config.warnings.iter().all(|finding| finding.severity == Severity::Warning));
    compare(text, &config.warnings);
}

#[test]
fn a_file_with_endless_warnings_can_still_be_used() {
    let mut text = String::from("[sip]\nudp = '127.0.0.1:5060'\n[[tenant]]\nid = 'demo'\n");
    text.push_str("[[team]]\nid = 'empty'\ntenant = 'demo'\n");
    for number in 0..600 {
        text.push_str(&format!(
            "[[route]]\nid = 'r{number}'\ntenant = 'demo'\nnumber = '{number}'\ntargets = ['team:empty']\n"
        ));
    }
    let config = Config::parse(&text, &Drawer).unwrap();
    assert_eq!(config.warnings.len(), 501);
    assert_eq!(config.warnings.last().unwrap().code, Code::TooManyFindings);
}

#[test]
fn every_rule_has_a_name_of_its_own_and_an_explanation() {
    for code in Code::ALL {
        assert_eq!(code.as_str().parse::<Code>(), Ok(*code));
        assert!(code.explanation().ends_with('.'));
    }
    assert!("no-such-rule".parse::<Code>().is_err());
}

#[test]
fn a_customer_has_no_browser() {
    let findings = expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [webrtc]
        listen = "127.0.0.1:7000"
        [[tenant]]
        id = "demo"
        name = "Demo"
        [[person]]
        id = "carol"
        tenant = "demo"
        role = "customer"
        webrtc = true                               #! out-of-place
        [[person]]
        id = "dora"
        tenant = "demo"
        role = "customer"
        webrtc = false
        contact = "sip:dora@192.0.2.7"
        "#,
    );
    assert!(findings[0].remedy.contains("contact, register or acs"), "{}", findings[0].remedy);
}

#[test]
fn browsers_are_told_an_address_that_they_reach() {
    let text =
        |more: &str| format!("[sip]\nudp = '127.0.0.1:5060'\n[webrtc]\nlisten = '0.0.0.0:7000'\n{more}");
    let warned = Config::parse(&text(""), &Drawer).unwrap().warnings;
    assert_eq!(
        warned.iter().map(|one| (one.code, one.line)).collect::<Vec<_>>(),
        [(Code::NeedsAdvertised, 4)]
    );
    let said = Config::parse(&text("advertised = '192.0.2.1'\n"), &Drawer).unwrap();
    assert!(said.warnings.is_empty(), "{:?}", said.warnings);
}

#[test]
fn browsers_connect_to_a_port_that_nobody_else_has() {
    expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        tcp = "127.0.0.1:5060"
        [webrtc]
        listen = "127.0.0.1:5060"                   # UDP and TCP are two
        tcp = "0.0.0.0:5060"                        #! overlap
        tcp_connections_max = 0                     #! out-of-range
        "#,
    );
    expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [api]
        listen = "127.0.0.1:8443"
        [webrtc]
        tcp = "127.0.0.1:8443"                      #! missing-key overlap
        "#,
    );
    expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [webrtc]
        listen = "127.0.0.1:7000"
        tcp_connections_max = 10                    #! out-of-place
        "#,
    );
    let config =
        "[sip]\nudp = '127.0.0.1:5060'\n[webrtc]\nlisten = '192.0.2.1:7000'\ntcp = '192.0.2.1:443'\n";
    let config = Config::parse(config, &Drawer).unwrap();
    assert_eq!(config.webrtc.tcp, Some("192.0.2.1:443".parse().unwrap()));
    let rows = sbc_config::port_rules(&config);
    let row = rows.iter().find(|row| row.local == "192.0.2.1:443").unwrap();
    assert_eq!((row.protocol, row.direction), ("tcp", sbc_config::Opened::In));
    let elsewhere =
        "[sip]\nudp = '127.0.0.1:5060'\n[webrtc]\nlisten = '192.0.2.1:7000'\ntcp = '192.0.2.1:444'\n";
    let elsewhere = Config::parse(elsewhere, &Drawer).unwrap();
    assert_eq!(Config::diff_needs_restart(&config, &elsewhere), ["webrtc.tcp"]);
}
