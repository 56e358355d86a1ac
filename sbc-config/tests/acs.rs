//! ACS resources: what a good one says, and each thing that can be wrong with one.

#[path = "support/expect.rs"]
mod expect;
mod support;

use expect::expect;
use sbc_config::{AcsAudio, AcsChannels, AcsCredential, AcsDtmf, Config, Reach, Target};
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
access_key_file = "key.txt"
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
fn what_is_wrong_with_a_resource_is_said_where_it_is() {
    expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [[tenant]]
        id = "acme"
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
