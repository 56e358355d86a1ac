//! `[[card]]`: what is read, what stands by default, and what is refused.

mod support;

use sbc_config::{CardKind, Code, Config};
use support::Drawer;

const HEAD: &str = "sip.udp = '127.0.0.1:5060'\n[[tenant]]\nid = \"acme\"\n";

fn parse(card: &str) -> Result<Config, Vec<(Code, String)>> {
    let text = format!("{HEAD}[[card]]\ntenant = \"acme\"\n{card}");
    Config::parse(&text, &Drawer)
        .map_err(|findings| findings.into_iter().map(|finding| (finding.code, finding.path)).collect())
}

#[test]
fn kinds_nobody_can_show_are_kept_for_the_report() {
    let config = parse(
        "link = \"https://crm.example.net/cases/{record}\"\nfields = [{ name = \"customer\", kind = \"text\" },\n\
         { name = \"photo\", label = \"Picture\", kind = \"image\" }, { name = \"iban\", kind = \"text\", sensitive = true }]",
    )
    .unwrap();
    let view = config.card(&config.tenants[0].id).unwrap();
    assert_eq!(&*view.header, "X-Sidetone-Card");
    assert_eq!((&*view.fields[0].label, view.fields[0].sensitive), ("customer", false));
    assert_eq!(view.fields[1].kind, CardKind::Unsupported("image".into()));
    assert!(view.fields[2].sensitive);
    assert_eq!(config.warnings, []);
}

#[test]
fn what_a_record_must_not_decide_is_refused() {
    const FIELDS: &str = "fields = [{ name = \"a\", kind = \"text\" }]\n";
    for (bad, code, path) in [
        ("", Code::MissingKey, "card[0].fields"),
        ("fields = []", Code::BadValue, "card[0].fields"),
        ("fields = [{ name = \"A b\", kind = \"text\" }]", Code::BadValue, "card[0].fields[0].name"),
        ("fields = [{ name = \"link\", kind = \"text\" }]", Code::BadValue, "card[0].fields[0].name"),
        ("fields = [{ name = \"a\" }]", Code::MissingKey, "card[0].fields[0].kind"),
        (
            "fields = [{ name = \"a\", kind = \"text\" }, { name = \"a\", kind = \"flag\" }]",
            Code::Duplicate,
            "card[0].fields[1]",
        ),
        (&format!("{FIELDS}link = \"http://crm.example.net/{{record}}\""), Code::BadValue, "card[0].link"),
        (&format!("{FIELDS}link = \"https://{{record}}/cases\""), Code::BadValue, "card[0].link"),
        (&format!("{FIELDS}link = \"https://crm.example.net@{{record}}/\""), Code::BadValue, "card[0].link"),
        (&format!("{FIELDS}link = \"https://crm.example.net/cases\""), Code::BadValue, "card[0].link"),
        (&format!("{FIELDS}header = \"From\""), Code::BadValue, "card[0].header"),
        (&format!("{FIELDS}header = \"X-A: b\""), Code::BadValue, "card[0].header"),
    ] {
        assert_eq!(parse(bad).unwrap_err(), [(code, path.to_owned())], "{bad}");
    }
}
