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
