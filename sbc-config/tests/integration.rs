//! `[[integration]]`: what is read, what stands by default, and what is refused.

mod support;

use std::time::Duration;

use sbc_config::{AppCredential, Cloud, Code, Config, DirectoryPhone, OnUnknown, RouteName};
use support::Drawer;

const HEAD: &str = "sip.udp = '127.0.0.1:5060'\n[[tenant]]\nid = \"acme\"\n[[tenant]]\nid = \"other\"\n\
    [[person]]\nid = \"alice\"\ntenant = \"acme\"\nrole = \"agent\"\ncontact = \"sip:alice@192.0.2.1\"\n";

fn parse(integration: &str) -> Result<Config, Vec<(Code, String)>> {
    let text = format!("{HEAD}[[integration]]\ntenant = \"acme\"\n{integration}");
    Config::parse(&text, &Drawer)
        .map_err(|findings| findings.into_iter().map(|finding| (finding.code, finding.path)).collect())
}

#[test]
fn an_account_of_one_line_has_the_defaults_of_the_worldwide_cloud() {
    let config = parse("").unwrap();
    let account = &config.integrations[0];
    assert_eq!(account.credential, AppCredential::None, "incomplete is said by its test, not by the file");
    assert_eq!(&*account.graph, "https://graph.microsoft.com");
    assert_eq!(account.budget, Duration::from_millis(300));
    assert_eq!(account.phones[0], DirectoryPhone::Business);
    assert_eq!(account.unknown.federation, OnUnknown::Refuse);
    assert_eq!(account.unknown.presence, OnUnknown::Warn);
    assert!(account.api_tokens.is_none());
}

#[test]
fn everything_can_be_said() {
    let config = parse(
        "cloud = \"dod\"\nentra_tenant = \"11111111-2222-3333-4444-555555555555\"\n\
         client_id = \"{AAAAAAAA-0000-0000-0000-000000000001}\"\nclient_secret_file = \"key.txt\"\n\
         graph = \"http://127.0.0.1:18080/\"\nexpires = 2026-12-01\nphones = [\"mobile\", \"teams\"]\n\
         presence_decides = [\"voip\"]\nunknown = { federation = \"warn\" }\nlives = { presence_s = 30 }\n\
         budget_ms = 0\nacs_resource = \"/subscriptions/s/resourceGroups/g/providers/Microsoft.Communication/communicationServices/n\"\n\
         api_tokens = { audience = [\"api://x\"], people = { \"5C802B19-0000-0000-0000-000000000010\" = \"alice\" } }\n",
    )
    .unwrap();
    let account = &config.integrations[0];
    assert_eq!(account.cloud, Cloud::Dod);
    assert_eq!(&*account.authority, "https://login.microsoftonline.us");
    assert_eq!(&*account.graph, "http://127.0.0.1:18080");
    assert_eq!(account.client_id.as_deref(), Some("aaaaaaaa-0000-0000-0000-000000000001"));
    assert_eq!(account.presence_decides, [RouteName::Voip]);
    assert_eq!(account.unknown.federation, OnUnknown::Warn);
    assert_eq!(account.lives.presence, Duration::from_secs(30));
    let tokens = account.api_tokens.as_ref().unwrap();
    assert_eq!(
        &*tokens.jwks,
        "https://login.microsoftonline.us/11111111-2222-3333-4444-555555555555/discovery/v2.0/keys"
    );
    assert_eq!(tokens.issuers.len(), 2);
    assert_eq!(&*tokens.people[0].0, "5c802b19-0000-0000-0000-000000000010");
    assert!(!format!("{account:?}").contains("canary"), "the secret is printed");
}

#[test]
fn what_is_refused() {
    for (text, code, path) in [
        ("client_secret = \"x\"", Code::InlineSecret, "client_secret"),
        ("client_secret_file = \"nowhere.txt\"", Code::SecretUnavailable, "client_secret_file"),
        ("client_secret_file = \"key.txt\"\nmanaged_identity_endpoint = \"http://h\"", Code::ExactlyOne, ""),
        ("certificate_file = \"key.txt\"", Code::ExactlyOne, "certificate_file"),
        (
            "certificate_file = \"key.txt\"\ncertificate_key_file = \"key.txt\"",
            Code::SecretUnfit,
            "certificate_file",
        ),
        ("entra_tenant = \"common\"", Code::BadValue, "entra_tenant"),
        ("entra_tenant = \"a/b\"", Code::BadValue, "entra_tenant"),
        ("client_id = \"sidetone\"", Code::BadValue, "client_id"),
        ("graph = \"http://graph.example.net\"", Code::PlainHttp, "graph"),
        ("graph = \"http://localhost.example.net\"", Code::PlainHttp, "graph"),
        ("graph = \"http://127.0.0.1@evil.example\"", Code::BadValue, "graph"),
        ("graph = \"ftp://x\"", Code::BadValue, "graph"),
        (
            "acs_resource = \"/subscriptions/s/resourceGroups/../providers/Microsoft.Communication/communicationServices/n\"",
            Code::BadValue,
            "acs_resource",
        ),
        ("phones = [\"home\"]", Code::BadValue, "phones[0]"),
        ("unknown = { federation = \"perhaps\" }", Code::BadValue, "unknown.federation"),
        ("unknown = { weather = \"warn\" }", Code::UnknownKey, "unknown.weather"),
        ("budget_ms = 60000", Code::OutOfRange, "budget_ms"),
        ("direct_routing_trunk = \"teams\"", Code::UnknownReference, "direct_routing_trunk"),
        ("api_tokens = { audience = [\"api://x\"] }", Code::MissingKey, "api_tokens"),
        (
            "api_tokens = { issuer = [\"x\"], jwks = \"https://x.example\" }",
            Code::MissingKey,
            "api_tokens.audience",
        ),
        (
            "entra_tenant = \"acme.example\"\napi_tokens = { audience = [\"x\"], people = { alice = \"alice\" } }",
            Code::BadValue,
            "api_tokens.people.alice",
        ),
    ] {
        let findings = parse(text).expect_err(text);
        let found = findings.iter().any(|(found, at)| *found == code && at.ends_with(path));
        assert!(found, "{text}: {findings:?}");
    }
}

#[test]
fn a_tenant_has_one_account() {
    let findings = parse("[[integration]]\ntenant = \"acme\"\n").unwrap_err();
    assert_eq!(findings[0].0, Code::Duplicate);
    assert!(parse("[[integration]]\ntenant = \"other\"\n").is_ok());
}
