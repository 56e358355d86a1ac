//! What must fit together in a trunk.

use crate::address::Transport;
use crate::finding::Code;
use crate::read::table::Section;
use crate::secure::{SrtpPolicy, SrtpSuite};
use crate::trunk::{Dialect, HoldStyle, Prack, Trunk};

pub(super) fn check(section: &Section<'_>, trunk: &Trunk, has_tls_listener: bool, has_certificate: bool) {
    let over_tls = |transport: Option<Transport>| transport == Some(Transport::Tls);
    let clear = trunk.destinations.iter().any(|destination| !over_tls(destination.transport));
    if clear && trunk.srtp != SrtpPolicy::Off && trunk.dialect == Dialect::Standard {
        let message = "the keys of this trunk's calls would travel in clear";
        let remedy = "dial it with ;transport=tls, or write srtp = \"off\"";
        section.fail_at(section.field("srtp").as_ref(), Code::KeysInClear, message, remedy);
    }
    if trunk.allowed_caller_ids.is_none() && section.writes("caller_id_policy") {
        section
            .refuse_out_of_place("caller_id_policy", "without `allowed_caller_ids` every caller is allowed");
    }
    if trunk.dialect == Dialect::Microsoft {
        direct_routing(section, trunk, has_tls_listener, has_certificate);
    }
}

/// The published rules of Direct Routing. Each finding names the setting that breaks one.
fn direct_routing(section: &Section<'_>, trunk: &Trunk, has_tls_listener: bool, has_certificate: bool) {
    let broken = |key: &'static str, is_broken: bool, message: &str, remedy: &str| {
        if is_broken {
            section.fail_at(section.field(key).as_ref(), Code::DirectRouting, message, remedy);
        }
    };
    broken(
        "fqdn",
        trunk.fqdn.is_none() && !section.writes("fqdn"),
        "Microsoft knows a trunk by the name it is paired with",
        "write fqdn = \"sbc1.example.net\", the name of New-CsOnlinePSTNGateway or of the ACS resource",
    );
    if !has_certificate {
        let remedy = "add a [[certificate]] for the fqdn and name it with certificate = \"ID\"";
        section.fail(Code::NeedsTls, "Microsoft asks for a certificate, and there is none", remedy);
    } else {
        broken(
            "certificate",
            trunk.certificate.is_none() && !section.writes("certificate"),
            "Microsoft asks for a certificate of the paired name",
            "write certificate = \"ID\" with the id of a [[certificate]]",
        );
    }
    if !has_tls_listener {
        let remedy = "set sip.tls = \"ADDRESS:5061\", the port that is paired";
        section.fail(Code::NeedsTls, "Microsoft opens TLS connections to us, and nobody listens", remedy);
    }
    let clear = trunk.destinations.iter().any(|destination| destination.transport != Some(Transport::Tls));
    broken(
        if section.writes("destination") { "destination" } else { "destinations" },
        trunk.destinations.is_empty() || clear,
        "Direct Routing is spoken over TLS alone",
        "write destinations as \"sip.pstnhub.microsoft.com:5061;transport=tls\"",
    );
    broken(
        "srtp",
        trunk.srtp != SrtpPolicy::Required,
        "Microsoft refuses sound in clear",
        "write srtp = \"required\"",
    );
    broken(
        "srtp_suites",
        !trunk.srtp_suites.contains(&SrtpSuite::AesCm128HmacSha1_80),
        "Microsoft speaks AES_CM_128_HMAC_SHA1_80 alone",
        "add it to srtp_suites",
    );
    broken(
        "hold",
        trunk.hold != HoldStyle::Inactive,
        "Microsoft understands no hold but a=inactive",
        "write hold = \"inactive\"",
    );
    broken("prack", trunk.prack != Prack::Off, "Microsoft understands no PRACK", "write prack = \"off\"");
    broken(
        "register",
        trunk.register.is_some() || trunk.auth.is_some(),
        "Microsoft knows us by our certificate; there is nothing to log in to",
        "remove register and auth",
    );
}
