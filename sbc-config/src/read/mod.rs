//! From text to [`Config`]: the whole file is read even when parts of it are wrong.
//!
//! `toml` gives a tree in which every key and value knows its place. `names` gathers the ids first, so that the
//! readers can check a reference where it stands; then each section is read by typed readers (`table`) that
//! note a finding (`report`) and go on.

mod access;
mod acs;
mod card;
mod dns;
mod emergency;
mod gateway;
mod integration;
mod names;
mod person;
mod price;
mod report;
mod route;
mod secrets;
mod secure;
mod similar;
mod table;
mod tenant;
mod trunk;
mod unique;
mod voicemail;
mod webrtc;
pub(crate) mod words;

use toml::de::{DeTable, DeValue};

use self::names::Names;
use self::report::Report;
use self::table::{Field, Section, shown};
use self::unique::Unique;
use crate::finding::{Code, Finding, Severity};
use crate::lookup::Lookup;
use crate::route::RouteTable;
use crate::secret::SecretSource;
use crate::{Config, MAX_CONFIG_BYTES};

impl Config {
    /// Reads a configuration file. `source` reads the files and environment variables that it points to.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the file, then what is only worth a look. Of each at most 500.
    pub fn parse(text: &str, source: &dyn SecretSource) -> Result<Self, Vec<Finding>> {
        let report = Report::new(text);
        if text.len() > MAX_CONFIG_BYTES {
            let message = format!("the file is larger than {MAX_CONFIG_BYTES} bytes");
            let remedy = "divide what it configures between several gateways";
            report.add(Severity::Error, Code::TooLarge, &(0..0), "", message, remedy);
            return Err(report.into_findings().0);
        }
        let (root, syntax_errors) = DeTable::parse_recoverable(text);
        for error in syntax_errors {
            let span = error.span().unwrap_or_default();
            let remedy = "mend it; its section is checked after that";
            report.add(Severity::Error, Code::Syntax, &span, "", error.message(), remedy);
        }
        let empty = DeTable::new();
        let config = read(&report, root.get_ref(), &empty, source);
        let (errors, warnings) = report.into_findings();
        match config {
            Some(config) if errors.is_empty() => Ok(Self { warnings, ..config }),
            _ => Err(errors.into_iter().chain(warnings).collect()),
        }
    }
}

/// `None` only if a finding says why.
fn read<'a>(
    report: &'a Report<'a>,
    root: &'a DeTable<'a>,
    empty: &'a DeTable<'a>,
    source: &dyn SecretSource,
) -> Option<Config> {
    let top = Section::new(report, root, 0..0, "");
    // A section that is left out is read as an empty one, so that its defaults have one home.
    let section = |key| {
        let written = top.field(key);
        let span = written.as_ref().map_or(0..0, |field| field.span().clone());
        let table = written.and_then(|field| field.section());
        table.unwrap_or_else(|| Section::new(report, empty, span, key))
    };
    let server = gateway::server(&section("server"), source);
    let names = Names::gather(report, root);
    let sip = gateway::sip(&section("sip"), &names);
    let dns = dns::dns(&section("dns"));
    let media = gateway::media(&section("media"), &sip);
    let api = gateway::api(&section("api"), &sip);
    let limits = gateway::limits(&section("limits"), &media);
    let supervision = gateway::supervision(&section("supervision"));

    let emergency = emergency::emergency(&section("emergency"), &names);
    let voicemail = voicemail::voicemail(&section("voicemail"));

    let mut ids = Unique::new(report);
    let certificates = each(report, &top, "certificate", |section| secure::certificate(section, &mut ids));
    let mut ids = Unique::new(report);
    let tenants = each(report, &top, "tenant", |section| tenant::tenant(section, &media, &mut ids));
    let mut ids = Unique::new(report);
    let teams = each(report, &top, "team", |section| tenant::team(section, &names, &mut ids));
    let mut reader = person::People::new(report);
    let people = each(report, &top, "person", |section| reader.read(section, &names, source));
    let mut reader = trunk::Trunks::new(report, &sip);
    let trunks = each(report, &top, "trunk", |section| reader.read(section, &names, source));
    let mut reader = acs::Resources::new(report);
    let resources = each(report, &top, "acs", |section| reader.read(section, &names, source));
    let acs_listener = acs::listener(&section("acs_listener"), &names);
    let mut reader = route::Routes::new(report);
    let routes = each(report, &top, "route", |section| reader.read(section, &names));
    let mut reader = access::Tokens::new(report, people.as_deref().unwrap_or_default());
    let tokens = each(report, &top, "token", |section| reader.read(section, &names));
    let mut ids = Unique::new(report);
    let webhooks =
        each(report, &top, "webhook", |section| access::webhook(section, &names, source, &mut ids));
    let mut accounts = Unique::new(report);
    let integrations = each(report, &top, "integration", |section| {
        integration::integration(section, &names, source, &mut accounts)
    });
    let prices = each(report, &top, "price", |section| price::price(section, &names));
    let mut viewed = Unique::new(report);
    let cards = each(report, &top, "card", |section| card::card(section, &names, &mut viewed));
    let acs_listens = resources.as_ref().is_some_and(|resources| !resources.is_empty());
    let taken = [
        ("SIP over TCP", sip.tcp),
        ("SIP over TLS", sip.tls),
        ("HTTP", Some(api.listen)),
        ("callbacks of ACS", acs_listens.then_some(acs_listener.listen)),
    ];
    let webrtc = webrtc::webrtc(&section("webrtc"), &media, people.as_deref().unwrap_or_default(), &taken);
    top.finish();

    let (people, trunks) = (people?, trunks?);
    emergency::placeless(&section("emergency"), &emergency, &trunks);
    Some(Config {
        server,
        sip,
        dns,
        media,
        api,
        limits,
        supervision,
        emergency,
        voicemail,
        certificates: certificates?,
        tenants: tenants?,
        teams: teams?,
        lookup: Lookup::new(&people, &trunks),
        people,
        trunks,
        acs_listener,
        acs: resources?,
        webrtc,
        routes: RouteTable::new(routes?),
        tokens: tokens?,
        webhooks: webhooks?,
        integrations: integrations?,
        prices: prices?,
        cards: cards?,
        warnings: Vec::new(),
    })
}

/// Reads every `[[kind]]`. `None` if one of them could not be read.
fn each<'a, T>(
    report: &'a Report<'a>,
    top: &Section<'a>,
    kind: &'static str,
    mut read: impl FnMut(&Section<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(field) = top.field(kind) else { return Some(Vec::new()) };
    let Some(array) = field.value().as_array() else {
        field.fail(Code::WrongType, format!("there may be many of `{kind}`"), format!("write [[{kind}]]"));
        return None;
    };
    let mut all = Some(Vec::with_capacity(array.len()));
    for (index, item) in array.iter().enumerate() {
        let name = item.get_ref().get("id").and_then(|id| DeValue::as_str(id.get_ref()));
        let path = name.map_or_else(|| format!("{kind}[{index}]"), |name| format!("{kind}[{}]", shown(name)));
        let section = Field::new(report, item, path).section();
        let value = section.and_then(|section| read(&section));
        all = all.zip(value).map(|(mut all, value)| {
            all.push(value);
            all
        });
    }
    all
}
