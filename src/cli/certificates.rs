//! `sidetone check`, the part about certificates: read from their files and judged before a peer does.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sbc_config::{
    Certificate, Code, Config, Dialect, Duty, Finding, Severity, examine_certificate, examine_roots,
};
use sidetone::tls::files::{self, FileError};

/// Everything that is wrong with the certificates and roots of a configuration.
pub(super) fn examine(config: &Config, file: &Path) -> Vec<Finding> {
    let beside = file.parent().unwrap_or(Path::new("."));
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    // A system without a store of its own is told of by what is believed below.
    let system = files::root_certificates(None, beside).unwrap_or_default();
    let mut findings = Vec::new();
    for certificate in &config.certificates {
        match files::identity(certificate, beside) {
            Ok(identity) => {
                let duties = duties(config, certificate);
                let found = examine_certificate(&certificate.id, identity.chain(), &duties, &system, now);
                findings
                    .extend(found.into_iter().map(|finding| placed(finding, &text, certificate.id.as_str())));
            }
            Err(error) => {
                let path = format!("certificate[{}]", certificate.id.as_str());
                findings.push(placed(unreadable(path, &error), &text, certificate.id.as_str()));
            }
        }
    }
    for trunk in config.trunks.iter().filter(|trunk| trunk.dialect == Dialect::Microsoft) {
        let found = match files::root_certificates(trunk.tls.roots_file.as_deref(), beside) {
            Ok(roots) => examine_roots(&trunk.id, &roots),
            Err(error) => Some(unreadable(format!("trunk[{}].tls.roots_file", trunk.id.as_str()), &error)),
        };
        findings.extend(found.map(|finding| placed(finding, &text, trunk.id.as_str())));
    }
    findings
}

/// The trunks that are shown this certificate: those that name it, and for the first those that name none.
fn duties<'a>(config: &'a Config, certificate: &Certificate) -> Vec<Duty<'a>> {
    let first = config.certificates.first().map(|first| &first.id);
    let shown = config
        .trunks
        .iter()
        .filter(|trunk| trunk.certificate.as_ref().or(first).is_some_and(|shown| *shown == certificate.id));
    let duty = |trunk: &'a sbc_config::Trunk| Duty {
        trunk: &trunk.id,
        fqdn: trunk.fqdn.as_deref(),
        microsoft: trunk.dialect == Dialect::Microsoft,
    };
    shown.map(duty).collect()
}

fn unreadable(path: String, error: &FileError) -> Finding {
    let because = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    Finding {
        severity: Severity::Error,
        code: Code::CertificateUnreadable,
        line: 1,
        column: 1,
        path,
        message: format!("{error}{because}"),
        remedy: "see that the PEM files are there, may be read, and belong together".to_owned(),
    }
}

/// The finding at the line that gives the thing its id.
fn placed(finding: Finding, text: &str, id: &str) -> Finding {
    let names = |line: &str| {
        line.trim_start().strip_prefix("id").is_some_and(|rest| rest.contains(&format!("\"{id}\"")))
    };
    let line = text.lines().position(names).map_or(finding.line, |at| at + 1);
    Finding { line, ..finding }
}
