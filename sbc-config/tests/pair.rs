//! What is printed for others to run or to open: the pairing, and the table for the firewall.

mod support;

use sbc_config::{Config, pair, port_rules, port_table};
use support::Drawer;

const HOUSE: &str = r#"
[server]
name = "contact-centre"
[sip]
udp = "203.0.113.10:5060"
tls = "203.0.113.10:5061"
[media]
ports = "20000-29999"
[api]
listen = "10.0.0.5:8080"
[[certificate]]
id = "sbc1"
certificate_file = "sbc1.pem"
key_file = "sbc1.key"
[[tenant]]
id = "demo"
[[trunk]]
id = "teams"
tenant = "demo"
profile = "teams_direct_routing"
fqdn = "sbc1.example.com"
certificate = "sbc1"
channels_max = 200
"#;

const CARRIER: &str = r#"
[[trunk]]
id = "carrier"
tenant = "demo"
profile = "carrier_static"
sources = ["198.51.100.0/24", "2001:db8::/32"]
destinations = ["sip.carrier.example", "sip2.carrier.example:5070;transport=tls"]
"#;

#[track_caller]
fn house(more: &str) -> Config {
    Config::parse(&format!("{HOUSE}{more}"), &Drawer).unwrap_or_else(|findings| panic!("{findings:#?}"))
}

#[test]
fn teams_is_paired_with_the_values_of_the_configuration() {
    insta::assert_snapshot!(pair::setup(&house("")).unwrap());
}

#[test]
fn a_customers_tenant_names_a_subdomain_and_azure_is_told_what_to_do() {
    let more = "[[tenant]]\nid = 'contoso'\n[[trunk]]\nid = 'contoso'\ntenant = 'contoso'\nprofile = 'teams_direct_routing'\n\
                fqdn = 'contoso.sbc1.example.com'\ncertificate = 'sbc1'\noptions_s = false\n\
                [[trunk]]\nid = 'acs'\ntenant = 'demo'\nprofile = 'acs_direct_routing'\nfqdn = 'acs1.example.com'\ncertificate = 'sbc1'\n\
                [emergency]\nenabled = true\nnumbers = ['112', '911']\ntrunks = ['carrier']\n";
    insta::assert_snapshot!(pair::setup(&house(&format!("{CARRIER}{more}"))).unwrap());
}

#[test]
fn without_direct_routing_there_is_nothing_to_pair() {
    let text = "[sip]\nudp = '127.0.0.1:5060'\n";
    assert_eq!(pair::setup(&Config::parse(text, &Drawer).unwrap()), Err(pair::NothingToPair));
}

/// Not PowerShell's grammar, but what breaks a script in practice: quotes and brackets that do not close, a parameter
/// without its value, a statement that is no command.
#[test]
fn every_statement_is_a_command_with_named_parameters_and_closed_quotes() {
    let script = pair::setup(&house(CARRIER)).unwrap();
    let code: Vec<_> = script.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let all = code.join("\n");
    for (open, close) in [('(', ')'), ('{', '}')] {
        let outside: String = all.split('\'').step_by(2).collect();
        assert_eq!(outside.matches(open).count(), outside.matches(close).count(), "{open}");
    }
    for line in code.iter().filter(|line| line.contains("-Cs")) {
        assert_eq!(line.matches('\'').count() % 2, 0, "{line}");
        let words: Vec<_> = line.split_whitespace().collect();
        let verb = words[0].split('-').next().unwrap();
        assert!(["New", "Set", "Get", "Grant"].contains(&verb), "{line}");
        for (at, word) in words.iter().enumerate().filter(|(_, word)| word.starts_with('-')) {
            let value = words.get(at + 1).unwrap_or_else(|| panic!("{word} has no value: {line}"));
            assert!(!value.starts_with('-'), "{word} has no value: {line}");
        }
    }
}

#[test]
fn the_firewall_is_told_everything_that_the_configuration_opens() {
    let more = "[dns]\nservers = ['192.0.2.53']\n[[person]]\nid = 'alice'\ntenant = 'demo'\nrole = 'agent'\n\
                register = { username = 'alice', password_file = 'key.txt' }\n\
                [[webhook]]\nid = 'crm'\ntenant = 'demo'\nurl = 'https://crm.example.net/hooks'\nsecret_file = 'key.txt'\n";
    let rules = port_rules(&house(&format!("{CARRIER}{more}")));
    insta::assert_snapshot!(port_table(&rules));
}

#[test]
fn the_firewall_is_told_of_the_database_of_microsofts_directory_and_of_registrars() {
    let more = "[[integration]]\ntenant = 'demo'\nentra_tenant = '11111111-2222-3333-4444-555555555555'\n\
                client_id = 'aaaaaaaa-0000-0000-0000-000000000001'\nclient_secret_file = 'key.txt'\n\
                acs_resource = '/subscriptions/s/resourceGroups/g/providers/Microsoft.Communication/communicationServices/n'\n\
                api_tokens = { audience = ['api://x'] }\n\
                [[trunk]]\nid = 'registered'\ntenant = 'demo'\nsources = ['198.51.100.9/32']\n\
                destinations = ['calls.carrier.example:5060;transport=udp']\n\
                auth = { username = 'a', password_file = 'key.txt', realm = 'carrier.example' }\n\
                register = { registrar = 'registrar.carrier.example:5062;transport=tcp', address_of_record = 'sip:a@carrier.example' }\n";
    let told = |database: &str| -> Vec<String> {
        let text = HOUSE.replace("[sip]\n", &format!("database = '{database}'\n[sip]\n"));
        let config = Config::parse(&format!("{text}{more}"), &Drawer).unwrap_or_else(|f| panic!("{f:#?}"));
        let out = port_rules(&config).into_iter().filter(|rule| rule.local == "any");
        out.map(|rule| format!("{} {} {}", rule.remote, rule.remote_ports, rule.purpose)).collect()
    };
    let all = told("postgres://sidetone@db.example.net:6432/calls");
    for row in [
        "db.example.net 6432 records and events in Postgres",
        "graph.microsoft.com 443 Graph, tenant demo",
        "login.microsoftonline.com 443 tokens of Entra, tenant demo",
        "management.azure.com 443 Azure Resource Manager, tenant demo",
        "login.microsoftonline.com 443 keys of Entra's tokens for the API, tenant demo",
        "registrar.carrier.example 5062 SIP of trunk registered",
    ] {
        assert!(all.iter().any(|told| told == row), "{row}\n{all:#?}");
    }
    for (database, row) in [
        ("postgresql://db.example.net/calls", Some("db.example.net 5432")),
        ("postgres://sidetone@[2001:db8::5]/calls", Some("[2001:db8::5] 5432")),
        ("postgres:///calls?host=db2.example.net&port=5433", Some("db2.example.net 5433")),
        ("postgres:///calls?host=/run/postgresql", None),
        ("sqlite:/var/lib/sidetone/sidetone.sqlite3", None),
    ] {
        let told = told(database)
            .into_iter()
            .find_map(|row| row.strip_suffix(" records and events in Postgres").map(str::to_owned));
        assert_eq!(told.as_deref(), row, "{database}");
    }
}
