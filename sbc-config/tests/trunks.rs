//! Trunks: profiles and what overrides them, who a request is from, and the rules that hold for Direct Routing.

#[path = "support/expect.rs"]
mod expect;
mod support;

use std::net::IpAddr;
use std::time::Duration;

use expect::{compare, expect};
use sbc_config::{
    CallerIdentity, Code, Config, Dialect, Finding, HoldStyle, NumberRule, Prack, Privacy, Profile,
    SrtpPolicy, SrtpSuite, TlsVersion, TransferStyle, Transport, Trunk, VerifyPeer,
};
use support::Drawer;

const EXAMPLE: &str = include_str!("../../deploy/sidetone.example.toml");

/// A gateway with a TLS listener, a certificate and two tenants.
const HOUSE: &str = r#"
[sip]
tls = "127.0.0.1:5061"
[[certificate]]
id = "sbc1"
certificate_file = "sbc1.pem"
key_file = "sbc1.key"
[[tenant]]
id = "demo"
[[tenant]]
id = "other"
[[integration]]
tenant = "demo"
"#;

const TEAMS: &str = r#"
[[trunk]]
id = "teams"
tenant = "demo"
profile = "teams_direct_routing"
fqdn = "SBC1.example.net"
certificate = "sbc1"
"#;

const ACS: &str = r#"
[[trunk]]
id = "acs"
tenant = "other"
profile = "acs_direct_routing"
fqdn = "acs1.example.net"
certificate = "sbc1"
"#;

#[track_caller]
fn house(trunks: &str) -> Config {
    let config = Config::parse(&format!("{HOUSE}{trunks}"), &Drawer);
    config.unwrap_or_else(|findings| panic!("{}", lines(&findings)))
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

#[track_caller]
fn trunk(settings: &str) -> Trunk {
    let text = format!("[[trunk]]\nid = 't'\ntenant = 'demo'\nsources = ['192.0.2.0/24']\n{settings}");
    house(&text).trunks.remove(0)
}

#[test]
fn a_teams_trunk_says_its_name_and_its_certificate_and_nothing_else() {
    let config = house(TEAMS);
    assert_eq!(config.warnings, []);
    let teams = &config.trunks[0];
    assert_eq!((teams.profile, teams.dialect), (Some(Profile::TeamsDirectRouting), Dialect::Microsoft));
    assert_eq!(teams.fqdn.as_deref(), Some("sbc1.example.net"));
    assert_eq!(teams.certificate, Some("sbc1".parse().unwrap()));
    let names: Vec<_> = teams.destinations.iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        ["", "2", "3"].map(|n| format!("sip{n}.pstnhub.microsoft.com:5061;transport=tls")),
        "nearest region first"
    );
    let sources: Vec<_> = teams.sources.iter().map(ToString::to_string).collect();
    assert_eq!(sources, ["52.112.0.0/14", "52.120.0.0/14"]);
    assert_eq!(
        (teams.srtp, teams.srtp_suites.as_slice()),
        (SrtpPolicy::Required, [SrtpSuite::AesCm128HmacSha1_80].as_slice())
    );
    assert_eq!(
        (teams.hold, teams.prack, teams.transfer),
        (HoldStyle::Inactive, Prack::Off, TransferStyle::Refer)
    );
    assert_eq!(teams.options_interval, Some(Duration::from_secs(60)));
    assert_eq!(teams.tls.verify, VerifyPeer::Required);
    assert!(teams.tls.names.iter().any(|name| name.covers("sip-du-a-eu.pstnhub.microsoft.com")));
    let sbc = teams.x_ms_sbc.as_deref().unwrap();
    assert!(sbc.starts_with("Sidetone/gateway/") && sbc.split('/').count() == 3, "{sbc}");
}

#[test]
fn every_profile_is_clean_and_sets_nothing_that_is_not_a_setting() {
    for profile in Profile::ALL {
        let text = profile.text();
        assert!(text.starts_with("# "), "{profile} begins by saying what it is");
        assert!(!text.contains("\nid =") && !text.contains("\ntenant ="), "{profile}");
        let own = match profile {
            Profile::TeamsDirectRouting | Profile::AcsDirectRouting => {
                "fqdn = 'sbc1.example.net'\ncertificate = 'sbc1'"
            }
            Profile::CarrierStatic => "sources = ['192.0.2.0/24']\ndestination = 'sip.example.net'",
            Profile::CarrierDigest => {
                "sources = ['192.0.2.0/24']\ndestination = 'sip.example.net'\nauth = { username = 'u', password_file = 'key.txt', realm = 'r' }"
            }
            Profile::CarrierRegistration => {
                "sources = ['192.0.2.0/24']\nauth = { username = 'u', password_file = 'key.txt', realm = 'r' }\n\
                 register = { registrar = 'sip.example.net', address_of_record = 'sip:u@sip.example.net' }"
            }
        };
        // A profile's settings written into the trunk itself are read, and unknown ones refused, like any others.
        let written = format!("{HOUSE}[[trunk]]\nid = 't'\ntenant = 'demo'\n{own}\n{text}");
        let named = format!("[[trunk]]\nid = 't'\ntenant = 'demo'\nprofile = '{profile}'\n{own}");
        let written = Config::parse(&written, &Drawer)
            .unwrap_or_else(|findings| panic!("{profile}\n{}", lines(&findings)));
        let mut named = house(&named);
        assert_eq!(named.trunks[0].profile.take(), Some(*profile));
        assert_eq!(named.trunks, written.trunks, "{profile}");
        assert_eq!(named.warnings, []);
    }
}

#[test]
fn what_a_trunk_says_goes_before_its_profile_inside_tls_as_well() {
    let own = "options_s = 30\ntls = { roots_file = 'roots.pem', max_version = '1.2' }\ndestination = '192.0.2.9:5061;transport=tls'\n";
    let teams = house(&format!("{TEAMS}{own}")).trunks.remove(0);
    assert_eq!(teams.options_interval, Some(Duration::from_secs(30)));
    assert_eq!(teams.destinations.len(), 1, "one destination of its own, none of the profile");
    assert_eq!(teams.tls.verify, VerifyPeer::Required, "still the profile's");
    assert_eq!(teams.tls.names.len(), 3, "still the profile's");
    assert_eq!(teams.tls.roots_file.as_deref(), Some("roots.pem".as_ref()));
    assert_eq!(teams.tls.max_version, TlsVersion::V1_2);
}

#[test]
fn teams_and_azure_share_their_addresses_and_are_told_apart_by_our_name() {
    let config = house(&format!(
        "{TEAMS}{ACS}[[trunk]]\nid = 'carrier'\ntenant = 'demo'\nsources = ['192.0.2.0/24', '52.112.0.9']\nfqdn = 'pbx.example.net'\n"
    ));
    let of = |source: &str, host| {
        let source: IpAddr = source.parse().unwrap();
        config.trunk_of_request(source, host).map(|trunk| trunk.id.as_str())
    };
    assert_eq!(of("52.114.7.1", "sbc1.example.net"), Some("teams"));
    assert_eq!(of("52.114.7.1", "SBC1.EXAMPLE.NET"), Some("teams"));
    assert_eq!(of("52.121.0.1", "acs1.example.net"), Some("acs"));
    assert_eq!(of("52.114.7.1", "192.0.2.1"), None, "Microsoft names us, or it is not Microsoft");
    assert_eq!(of("52.114.7.1", "evil.example.net"), None);
    assert_eq!(of("192.0.2.5", "sbc1.example.net"), Some("carrier"), "a name makes nobody trusted");
    assert_eq!(of("192.0.2.5", "198.51.100.1"), Some("carrier"), "a carrier may call us by our address");
    assert_eq!(of("52.112.0.9", "sbc1.example.net"), Some("teams"));
    assert_eq!(of("203.0.113.1", "sbc1.example.net"), None);
}

#[test]
fn a_registering_trunk_is_dialled_at_its_registrar() {
    let settings = "profile = 'carrier_registration'\nauth = { username = 'u', password_env = 'PHONE_PASSWORD', realm = 'example.net' }\n\
                    register = { registrar = 'sip.example.net;transport=tcp', address_of_record = 'sip:+15550100@example.net' }\n";
    let trunk = trunk(settings);
    assert_eq!(trunk.destination().unwrap().transport, Some(Transport::Tcp));
    let register = trunk.register.unwrap();
    assert_eq!(register.expires, Duration::from_secs(3_600));
    assert_eq!((register.backoff_min.as_secs(), register.backoff_max.as_secs()), (30, 900));
    assert_eq!(trunk.auth.unwrap().password.expose(), "canary-env");
    // And a route may lead there.
    let route = "[[route]]\nid = 'out'\ntenant = 'demo'\nany = true\ntargets = ['trunk:t']\n";
    house(&format!("[[trunk]]\nid = 't'\ntenant = 'demo'\nsources = ['192.0.2.0/24']\n{settings}{route}"));
    house(&format!("{TEAMS}{}", route.replace("trunk:t'", "trunk:teams'")));
}

#[test]
fn number_rules_keep_their_order() {
    let trunk = trunk(
        "numbers_in = [{ replace_prefix = { from = '00', to = '+' } }, { national = { country = '44' } }]\n\
         numbers_out = [{ strip_plus = true }, { strip_prefix = '0' }, { add_prefix = '9001' }, { national = { country = '1', trunk_prefix = false } }]\n\
         caller_numbers_out = [{ strip_plus = true }]\n",
    );
    assert_eq!(trunk.numbers_in[1], NumberRule::National { country: "44".into(), trunk_prefix: "0".into() });
    assert_eq!(trunk.numbers_out[0], NumberRule::StripPlus);
    assert_eq!(trunk.caller_numbers_out, [NumberRule::StripPlus]);
    assert_eq!(trunk.numbers_out[3], NumberRule::National { country: "1".into(), trunk_prefix: "".into() });
}

#[test]
fn the_commented_settings_of_a_trunk_in_the_example_can_be_used_as_they_are() {
    let trunk = EXAMPLE.split("What any trunk may say besides:").nth(1).unwrap();
    let settings = trunk.split("[[trunk]]").next().unwrap();
    let written: String = settings
        .lines()
        .filter_map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")))
        .map(|line| format!("{}\n", line.replace("\"u.txt\"", "\"key.txt\"")))
        .collect();
    assert!(written.lines().count() > 20, "{written}");
    let text = format!("{HOUSE}[[trunk]]\nid = 't'\ntenant = 'demo'\nsources = ['192.0.2.0/24']\n{written}");
    Config::parse(&text, &Drawer).unwrap_or_else(|findings| panic!("{}", lines(&findings)));
    // Those that say "default" by standing at it change nothing.
    let plain = Trunk { profile: None, ..crate::trunk("") };
    assert_eq!(
        (plain.hold, plain.transfer, plain.srtp),
        (HoldStyle::Sendonly, TransferStyle::Hidden, SrtpPolicy::Off)
    );
    assert_eq!((plain.caller_identity, plain.privacy), (CallerIdentity::From, Privacy::Id));
    assert_eq!((plain.failover.as_secs(), plain.retry_after_max.as_secs()), (6, 300));
    assert_eq!(plain.x_ms_sbc, None);
}

#[test]
fn a_direct_routing_trunk_that_breaks_the_rules_hears_of_all_of_them() {
    expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [[tenant]]
        id = "demo"
        [[integration]]
        tenant = "demo"
        [[trunk]]                                   #! needs-tls needs-tls direct-routing
        id = "teams"
        tenant = "demo"
        profile = "teams_direct_routing"
        srtp = "optional"                           #! direct-routing
        srtp_suites = ["AEAD_AES_128_GCM"]          #! direct-routing
        hold = "sendonly"                           #! direct-routing
        prack = "supported"                         #! direct-routing
        destinations = ["sip.example.net"]          #! direct-routing
        relm = "x"                                  #! unknown-key
        "#,
    );
    expect(&format!(
        "{HOUSE}{}",
        r#"
        [[trunk]]                                   #! direct-routing
        id = "teams"
        tenant = "demo"
        profile = "teams_direct_routing"
        fqdn = "sbc1.contoso.onmicrosoft.com"       #! bad-fqdn
        [[trunk]]
        id = "acs"
        tenant = "demo"
        profile = "acs_direct_routing"
        fqdn = "192.0.2.1"                          #! bad-fqdn
        certificate = "sbc2"                        #! unknown-reference
        "#
    ));
}

#[test]
fn a_trunk_to_teams_without_an_account_rings_people_nobody_looked_at() {
    let alone = HOUSE.replace("[[integration]]\ntenant = \"demo\"\n", "");
    let config = Config::parse(&format!("{alone}{TEAMS}{ACS}"), &Drawer).unwrap();
    let warned: Vec<_> = config.warnings.iter().map(|one| (one.code.as_str(), one.path.as_str())).collect();
    assert_eq!(warned, [("teams-unchecked", "trunk[teams]")], "behind the other is no Teams user");
}

#[test]
fn an_emergency_call_that_says_nowhere_whence_it_comes_is_warned_of() {
    let warned = |trunk: &str, emergency: &str| {
        let out = "[[trunk]]\nid = 'out'\ntenant = 'demo'\nsources = ['198.51.100.7/32']\ndestination = '198.51.100.7'\n";
        let numbers = "[emergency]\nenabled = true\nnumbers = ['112']\ntrunks = ['out']\n";
        let config = Config::parse(&format!("{HOUSE}{out}{trunk}\n{numbers}{emergency}\n"), &Drawer).unwrap();
        config.warnings.iter().filter(|one| one.code == Code::EmergencyPlaceless).count()
    };
    assert_eq!(warned("", ""), 1);
    assert_eq!((warned("pidf_lo = true", ""), warned("", "caller_id = '+15550100'")), (0, 0));
}

#[test]
fn a_name_is_paired_once() {
    let same = ACS.replace("acs1", "sbc1");
    let findings = Config::parse(&format!("{HOUSE}{TEAMS}{same}"), &Drawer).unwrap_err();
    let codes: Vec<_> = findings.iter().map(|finding| finding.code.as_str()).collect();
    assert!(codes.contains(&"duplicate"), "{}", lines(&findings));
    assert!(findings.iter().any(|finding| finding.path == "trunk[acs].fqdn"), "{}", lines(&findings));
}

#[test]
fn what_a_trunk_says_must_fit_together() {
    expect(&format!(
        "{HOUSE}{}",
        r#"
        [[trunk]]
        id = "a"
        tenant = "demo"
        sources = ["192.0.2.1"]
        destination = "sip.example.net"
        srtp = "required"                           #! keys-in-clear
        register = { registrar = "sip.example.net", address_of_record = "sip:sip.example.net" }  #! missing-key bad-value
        [[trunk]]
        id = "b"
        tenant = "demo"
        sources = ["192.0.2.2"]
        destination = "sip.example.net;transport=tls"   #! exactly-one
        destinations = ["sip.example.net"]
        tls = { min_version = "1.3", max_version = "1.2", names = ["*"], verify = "maybe" }  #! bad-value bad-value bad-value
        auth = { username = "u", password = "p" }   #! inline-secret missing-key
        [[trunk]]
        id = "c"
        tenant = "demo"
        sources = ["192.0.2.3"]
        numbers_out = [{ strip_plus = true, add_prefix = "9" }, { national = { country = "044" } }, {}]  #! exactly-one bad-value exactly-one
        allowed_caller_ids = ["15550100"]           #! bad-value
        x_ms_sbc = "Sidetone"                       #! bad-value
        profile = "teams"                           #! bad-value
        options_s = 30                              #! out-of-place
        [[trunk]]
        id = "d"
        tenant = "demo"
        sources = ["192.0.2.3"]                     #! duplicate
        caller_id_policy = "reject"                 #! out-of-place
        "#
    ));
}

#[test]
fn listeners_names_and_emergency_numbers_are_checked() {
    expect(
        r#"
        [sip]
        tls = "127.0.0.1:5061"                      #! needs-tls
        [dns]
        servers = ["dns.example.net"]               #! bad-value
        overrides = { "not a name" = ["192.0.2.1"], "sip.example.net" = ["x"], "b.example" = "192.0.2.1" }  #! bad-value bad-value wrong-type
        [emergency]                                 #! missing-key missing-key
        enabled = true
        caller_id = "112"                           #! bad-value
        "#,
    );
    let text = "[sip]\ntcp = '127.0.0.1:5061'\ntls = '127.0.0.1:5061' #! overlap\n[[certificate]]\nid = 'c'\ncertificate_file = 'c'\nkey_file = 'k'\n";
    compare(text, &Config::parse(text, &Drawer).unwrap_err());
    let emergency = "[emergency]\nenabled = true\nnumbers = ['112', '911']\ntrunks = ['teams']\ncaller_id = '+15550100'\n";
    let emergency = house(&format!("{TEAMS}{emergency}")).emergency;
    assert!(emergency.is_dialled("112") && emergency.is_dialled("+911") && !emergency.is_dialled("1120"));
    assert_eq!(emergency.trunks, ["teams".parse().unwrap()]);
}

#[test]
fn what_a_profile_sets_can_be_switched_off() {
    let teams = house(&format!("{TEAMS}options_s = false\nsession_timer_s = false\n"));
    let teams = &teams.trunks[0];
    assert_eq!((teams.options_interval, teams.session_timer), (None, None));
}

#[test]
fn an_explained_trunk_can_be_read_back_and_is_the_same_trunk() {
    let every =
        EXAMPLE.split("What any trunk may say besides:").nth(1).unwrap().split("[[trunk]]").next().unwrap();
    let every: String = every
        .lines()
        .filter_map(|line| {
            line.strip_prefix("# ").filter(|rest| rest.contains(" = ") && !rest.starts_with("auth"))
        })
        .filter(|line| !line.starts_with("register"))
        .map(|line| format!("{line}\n"))
        .collect();
    let plain = format!("[[trunk]]\nid = 't'\ntenant = 'demo'\nsources = ['192.0.2.0/24']\n{every}");
    for (id, trunks) in [("t", plain.as_str()), ("teams", TEAMS), ("acs", ACS)] {
        let text = format!("{HOUSE}{trunks}");
        let mut config = house(trunks);
        let shown = sbc_config::explain_trunk(&config, &text, &id.parse().unwrap()).unwrap();
        let again = house(&shown);
        config.trunks[0].profile = None;
        assert_eq!(again.trunks, config.trunks, "{shown}");
    }
    let text = format!("{HOUSE}{TEAMS}");
    assert_eq!(sbc_config::explain_trunk(&house(TEAMS), &text, &"nobody".parse().unwrap()), None);
    let own = TEAMS.replace("certificate =", "tls = { max_version = '1.2' }\noptions_s = 30\ncertificate =");
    let shown =
        sbc_config::explain_trunk(&house(&own), &format!("{HOUSE}{own}"), &"teams".parse().unwrap()).unwrap();
    insta::assert_snapshot!(shown.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}
