//! ACS resources: what a good one says, and each thing that can be wrong with one.

#[path = "support/expect.rs"]
mod expect;
mod support;

use expect::expect;
use sbc_config::{AcsAudio, AcsChannels, AcsCredential, AcsDtmf, Config, EntraIdentity, Reach, Target};
use support::Drawer;

const GOOD: &str = r#"
[sip]
udp = "127.0.0.1:5060"
[[tenant]]
id = "acme"
[[acs]]
id = "contoso"
tenant = "acme"
endpoint = "https://contoso.communication.azure.com/"
access_key_file = "base64.txt"
callback_url = "https://gw.example.com/"
resource_id = "11111111-1111-1111-1111-111111111111"
webhook_secret_file = "key.txt"
subscriptions = ["sidetone"]
caller_id = "+15550199"
answers = ["+15550199", { raw_id = "28:orgid:cc123456-5678-5678-1234-ccc123456789", dialled = "700" }]
audio = "24k"
channels = "unmixed"
dtmf = "subscribe"
[[person]]
id = "erin"
tenant = "acme"
role = "agent"
acs = { resource = "contoso", raw_id = "8:acs:r_u" }
[[route]]
id = "out"
tenant = "acme"
any = true
targets = ["acs:contoso"]
"#;

#[test]
fn a_resource_says_how_it_is_asked_and_whom_it_answers() {
    let config = Config::parse(GOOD, &Drawer).unwrap_or_else(|findings| panic!("{findings:?}"));
    let acs = &config.acs[0];
    assert_eq!(&*acs.endpoint, "https://contoso.communication.azure.com");
    assert_eq!(&*acs.callback_url, "https://gw.example.com");
    assert_eq!((&*acs.api_version, acs.answers.len()), ("2026-03-12", 2));
    assert!(matches!(acs.credential, AcsCredential::Key(_)));
    assert_eq!((&*acs.answers[0].raw_id, &*acs.answers[1].dialled), ("4:+15550199", "700"));
    assert_eq!(
        (acs.audio, acs.channels, acs.dtmf),
        (AcsAudio::Pcm24K, AcsChannels::Unmixed, AcsDtmf::Subscribe)
    );
    assert!(acs.tokens.jwks_url.starts_with("https://acscallautomation."));
    assert!(matches!(&config.people[0].reach, Reach::Acs { resource, .. } if *resource == acs.id));
    assert!(matches!(&config.routes.all()[0].targets[..], [Target::Acs(resource)] if *resource == acs.id));
    assert!(!format!("{config:?}").contains("canary"), "no secret is printed");
}

#[test]
fn a_resource_is_asked_with_tokens_of_whoever_we_are_to_entra() {
    let identity = |entra: &str| {
        let text = GOOD.replace("access_key_file = \"base64.txt\"", &format!("entra = {entra}"));
        let config = Config::parse(&text, &Drawer).unwrap_or_else(|findings| panic!("{entra}: {findings:?}"));
        assert!(!format!("{config:?}").contains("canary"), "no secret is printed");
        let AcsCredential::Entra(entra) = config.acs[0].credential.clone() else { panic!("{entra}") };
        assert_eq!(&*entra.scope, "https://communication.azure.com//.default");
        entra.identity
    };
    for managed in ["true", "{ identity = \"managed\" }", "{}"] {
        let EntraIdentity::Managed { client_id: None, endpoint } = identity(managed) else {
            panic!("{managed}")
        };
        assert_eq!(&*endpoint, "http://169.254.169.254");
    }
    let workload = identity(r#"{ identity = "workload", token_file = "/var/run/token" }"#);
    assert!(matches!(workload, EntraIdentity::Workload { tenant: None, token_file: Some(_), .. }));
    let secret = r#"{ identity = "secret", tenant = "t", client_id = "c", client_secret_file = "key.txt" }"#;
    let EntraIdentity::Secret { authority, .. } = identity(secret) else { panic!() };
    assert_eq!(&*authority, "https://login.microsoftonline.com");
}

#[test]
fn the_listener_shows_a_certificate_that_there_is() {
    let certificate = "[[certificate]]\nid = \"gw\"\ncertificate_file = \"c\"\nkey_file = \"k\"\n";
    let listener = "[acs_listener]\ncertificate = \"gw\"\n";
    let parse = |more: &str| Config::parse(&format!("{GOOD}{more}"), &Drawer);
    let config = parse(&format!("{certificate}{listener}")).unwrap_or_else(|findings| panic!("{findings:?}"));
    assert_eq!(config.acs_listener.certificate.as_ref().map(|id| id.as_str()), Some("gw"));
    assert!(parse(listener).is_err(), "there is none of that name");
}

#[test]
fn resources_change_without_a_restart_but_for_the_first() {
    let parse = |text: &str| Config::parse(text, &Drawer).unwrap_or_else(|findings| panic!("{findings:?}"));
    let good = parse(GOOD);
    let other = parse(&GOOD.replace("audio = \"24k\"", "audio = \"16k\""));
    let none = parse("[sip]\nudp = \"127.0.0.1:5060\"\n[[tenant]]\nid = \"acme\"\n");
    assert!(Config::diff_needs_restart(&good, &other).is_empty());
    assert!(Config::diff_needs_restart(&good, &none).is_empty(), "taken away");
    assert_eq!(Config::diff_needs_restart(&none, &good), ["acs"]);
    let certificates = ["a", "b"]
        .map(|id| format!("[[certificate]]\nid = \"{id}\"\ncertificate_file = \"c\"\nkey_file = \"k\"\n"));
    let shows =
        |id: &str| parse(&format!("{GOOD}{}[acs_listener]\ncertificate = \"{id}\"\n", certificates.concat()));
    assert!(Config::diff_needs_restart(&shows("a"), &shows("b")).is_empty(), "another certificate");
    assert_eq!(Config::diff_needs_restart(&good, &shows("a")), ["acs_listener.certificate"]);
}

#[test]
fn the_table_for_the_firewall_has_what_acs_needs() {
    let config = Config::parse(GOOD, &Drawer).unwrap_or_else(|findings| panic!("{findings:?}"));
    let table = sbc_config::port_table(&sbc_config::port_rules(&config));
    let line = |purpose: &str| {
        let found = table.lines().find(|line| line.ends_with(purpose));
        found
            .unwrap_or_else(|| panic!("{purpose} is not in {table}"))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        line("callbacks and sound of ACS"),
        "in tcp 127.0.0.1:8090 the proxy with the certificate any callbacks and sound of ACS"
    );
    assert_eq!(
        line("requests to ACS resource contoso"),
        "out tcp any contoso.communication.azure.com 443 requests to ACS resource contoso"
    );
    assert!(line("keys of ACS resource contoso").contains("acscallautomation.communication.azure.com 443"));
    let text =
        GOOD.replace("access_key_file = \"base64.txt\"", "entra = { endpoint = \"http://127.0.0.1:40342\" }");
    let config = Config::parse(&text, &Drawer).unwrap_or_else(|findings| panic!("{findings:?}"));
    let table = sbc_config::port_table(&sbc_config::port_rules(&config));
    assert!(
        table
            .lines()
            .any(|line| line.contains("127.0.0.1") && line.contains("40342") && line.ends_with("contoso"))
    );
}

#[test]
fn what_is_wrong_with_a_resource_is_said_where_it_is() {
    expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [[tenant]]
        id = "acme"
        [[acs]]                                              #! secret-unfit
        id = "no-key"
        tenant = "acme"
        endpoint = "https://contoso.communication.azure.com"
        callback_url = "http://gw.example.com"               #! bad-value
        resource_id = "x"
        webhook_secret_file = "key.txt"
        access_key_file = "key.txt"
        [[acs]]
        id = "no-app"
        tenant = "acme"
        endpoint = "https://contoso.communication.azure.com"
        callback_url = "https://gw.example.com"
        resource_id = "x"
        webhook_secret_file = "key.txt"
        entra = { identity = "secret", tenant = "t", tennant = "t" }   #! missing-key unknown-key
        [[acs]]                                              #! exactly-one missing-key exactly-one
        id = "contoso"
        tenant = "acme"
        endpoint = "contoso.communication.azure.com"         #! bad-value
        callback_url = "https://gw.example.com?x=1"          #! bad-value
        answers = ["12", { raw_id = "nobody", dialled = "1" }]  #! bad-value bad-value
        audio = "48k"                                        #! bad-value
        [[person]]
        id = "tina"
        tenant = "acme"
        role = "agent"
        acs = { resource = "contoso", raw_id = "8:orgid:x" } #! bad-value
        [[route]]
        id = "out"
        tenant = "acme"
        any = true
        targets = ["acs:contoso"]                            #! no-destination
        "#,
    );
}
