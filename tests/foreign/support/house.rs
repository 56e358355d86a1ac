//! The configuration of a house for a story: who works there, and which numbers lead to whom.

use std::fmt::Write as _;

/// Realm of digest.
pub(crate) const REALM: &str = "sidetone";

/// Clear tokens; the hashes stand in the configuration.
pub(crate) const SAM: &str = "sam-trial-token";
pub(crate) const ALICE: &str = "alice-trial-token";
pub(crate) const ADMIN: &str = "admin-trial-token";
pub(crate) const OPERATOR: &str = "operator-trial-token";

/// Whom one dials by an extension.
const EXTENSIONS: [(&str, &str); 3] = [("alice", "100"), ("bob", "101"), ("sam", "200")];

/// The addresses carriers call from, by trunk.
pub(crate) const CARRIER_IP: &str = "127.0.0.2";

/// A configuration in the making. All people are of the team `support`.
#[derive(Debug, Default)]
pub(crate) struct House {
    people: String,
    routes: String,
    prack: Option<&'static str>,
    carrier: String,
    /// Whether SIP is spoken over TLS, too.
    pub(crate) tls: bool,
}

impl House {
    /// An empty house.
    pub(crate) fn new() -> House {
        House::default()
    }

    /// Somebody whose telephone stays in one place.
    pub(crate) fn person_at(mut self, id: &str, role: &str, contact: &str) -> House {
        self.person(id, role, &format!("contact = \"{contact}\""));
        self
    }

    /// Somebody whose telephone registers, with the password `ID-trial-password`.
    pub(crate) fn person_registers(mut self, id: &str, role: &str) -> House {
        self.person(id, role, &format!("register = {{ username = \"{id}\", password_file = \"{id}.txt\" }}"));
        self
    }

    /// The same over TLS, with SRTP and nothing less.
    pub(crate) fn person_protected(mut self, id: &str, role: &str) -> House {
        let reach = format!(
            "srtp = \"required\"\nregister = {{ username = \"{id}\", password_file = \"{id}.txt\" }}"
        );
        self.person(id, role, &reach);
        self.tls = true;
        self
    }

    fn person(&mut self, id: &str, role: &str, reach: &str) {
        let teams = if role == "customer" { "" } else { "teams = [\"support\"]\n" };
        let extension = EXTENSIONS.iter().find(|(person, _)| *person == id);
        let extension =
            extension.map(|(_, number)| format!("extension = \"{number}\"\n")).unwrap_or_default();
        let people = &mut self.people;
        writeln!(
            people,
            "[[person]]\nid = \"{id}\"\ntenant = \"demo\"\nrole = \"{role}\"\n{teams}{extension}{reach}\n"
        )
        .expect("text grows");
    }

    /// A number and whom it leads to, in order.
    pub(crate) fn number(mut self, id: &str, number: &str, targets: &[&str], more: &str) -> House {
        let routes = &mut self.routes;
        writeln!(routes, "[[route]]\nid = \"{id}\"\ntenant = \"demo\"\nnumber = \"{number}\"\ntargets = {targets:?}\n{more}\n").expect("text grows");
        self
    }

    /// A trunk over which calls go out, `beyond`, with the password `beyond-trial-password` at hand. It is the peer of
    /// nobody who calls.
    pub(crate) fn trunk_beyond(mut self, settings: &str) -> House {
        let routes = &mut self.routes;
        writeln!(
            routes,
            "[[trunk]]\nid = \"beyond\"\ntenant = \"demo\"\nsources = [\"127.0.0.9/32\"]\n{settings}\n"
        )
        .expect("text grows");
        self
    }

    /// Whether the trunk uses RFC 3262.
    pub(crate) fn prack(mut self, prack: &'static str) -> House {
        self.prack = Some(prack);
        self
    }

    /// Further settings of the trunk that the carrier is.
    pub(crate) fn carrier(mut self, settings: &str) -> House {
        settings.clone_into(&mut self.carrier);
        self
    }

    /// A section of its own.
    pub(crate) fn section(mut self, text: &str) -> House {
        writeln!(self.routes, "{text}\n").expect("text grows");
        self
    }

    /// The file.
    pub(crate) fn toml(&self, sip: u16, sip_tls: u16, api: u16, media: (u16, u16), database: &str) -> String {
        let (tls, certificate) = if self.tls {
            let files = "certificate_file = \"sbc.pem\"\nkey_file = \"sbc.key\"";
            (format!("tls = \"127.0.0.1:{sip_tls}\""), format!("[[certificate]]\nid = \"sbc\"\n{files}\n"))
        } else {
            Default::default()
        };
        let prack = self.prack.unwrap_or("supported");
        let House { people, routes, carrier, .. } = self;
        let (first, last) = media;
        format!(
            r#"
[server]
name = "foreign"
database = "sqlite:{database}"
drain_s = 1

[sip]
udp = "127.0.0.1:{sip}"
tcp = "127.0.0.1:{sip}"
{tls}
realm = "{REALM}"
digest = ["MD5"]

[media]
listen = "127.0.0.1"
ports = "{first}-{last}"
shards = 1
codecs = ["PCMU", "PCMA"]

[api]
listen = "127.0.0.1:{api}"

[supervision]
monitor_prefix = "*41"
whisper_prefix = "*42"
barge_prefix = "*43"

{certificate}
[[tenant]]
id = "demo"
name = "Demo"

[[team]]
id = "support"
tenant = "demo"
name = "Support"

{people}
[[trunk]]
id = "carrier"
tenant = "demo"
sources = ["{CARRIER_IP}/32"]
prack = "{prack}"
{carrier}

{routes}
[[token]]
id = "sam-desk"
sha256 = "2e9e81433fed7c7b965c188725bd9b07aa109f0366cd405ef63d7fc95b0770a0"
role = "supervisor"
tenant = "demo"
person = "sam"
teams = ["support"]

[[token]]
id = "alice-desk"
sha256 = "c6e4de7a0e2c59458bbc122f666f181d3d291e4fafff968acf5e620afa4a6839"
role = "agent"
tenant = "demo"
person = "alice"

[[token]]
id = "demo-admin"
sha256 = "53f3c1cf33ee6f048d056f7cff65756f79002b9ae2dd1ae9afb9d7468b0d7708"
role = "tenant_admin"
tenant = "demo"

[[token]]
id = "platform"
sha256 = "b31f39a0628364b18b8d2fdb1694866dbe8336a487e38a09a9b7beaaa5a4e516"
role = "operator"
"#
        )
    }
}
