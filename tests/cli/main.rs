//! The command line as a person or a script meets it: what it prints, and its exit codes.

mod deploy;
mod names;
mod newcomer;
mod online;
mod serve;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

type Test = Result<(), Box<dyn std::error::Error>>;

const TEAMS: &str = r#"
[sip]
tls = "127.0.0.1:5061"
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
"#;

fn sidetone(arguments: &[&str]) -> Result<Output, std::io::Error> {
    Command::new(env!("CARGO_BIN_EXE_sidetone")).args(arguments).output()
}

fn file(directory: &Path, text: &str) -> Result<PathBuf, std::io::Error> {
    let path = directory.join("sidetone.toml");
    std::fs::write(&path, text)?;
    Ok(path)
}

fn shown(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_code_is_explained_however_it_is_written() -> Test {
    for arguments in
        [["explain", "403/510532"].as_slice(), &["explain", "510532", "403"], &["explain", "510532"]]
    {
        let (code, text, _) = shown(&sidetone(arguments)?);
        assert_eq!(code, Some(0));
        assert!(
            text.starts_with("403/510532: The name in our Contact is not a trunk of the tenant."),
            "{text}"
        );
    }
    let (code, text, complaint) = shown(&sidetone(&["explain", "nonsense"])?);
    assert_eq!((code, text.as_str()), (Some(1), ""));
    assert!(complaint.contains("neither a SIP status"), "{complaint}");
    Ok(())
}

#[test]
fn the_pairing_is_printed_from_the_configuration() -> Test {
    let directory = tempfile::tempdir()?;
    let path = file(directory.path(), TEAMS)?;
    let path = path.to_string_lossy();
    let (code, script, _) = shown(&sidetone(&["teams", "setup", "-c", &path])?);
    assert_eq!(code, Some(0));
    let gateway = script.lines().find(|line| line.starts_with("New-CsOnlinePSTNGateway")).unwrap_or_default();
    assert!(gateway.contains("-Fqdn 'sbc1.example.com' -SipSignalingPort 5061 "), "{script}");

    let (code, script, complaint) =
        shown(&sidetone(&["teams", "setup", "-c", "deploy/sidetone.example.toml"])?);
    assert_eq!((code, script.as_str()), (Some(1), ""), "the example has no Direct Routing trunk");
    assert!(complaint.contains("teams_direct_routing"), "{complaint}");
    Ok(())
}

#[test]
fn a_file_that_cannot_be_used_pairs_nothing_and_says_why() -> Test {
    let directory = tempfile::tempdir()?;
    let path = file(directory.path(), &TEAMS.replace("fqdn", "fqnd"))?;
    let (code, script, complaint) = shown(&sidetone(&["teams", "setup", "-c", &path.to_string_lossy()])?);
    assert_eq!((code, script.as_str()), (Some(1), ""));
    assert!(complaint.contains("did you mean `fqdn`?"), "{complaint}");
    let (code, _, _) = shown(&sidetone(&["teams", "setup", "-c", "no-such-file.toml"])?);
    assert_eq!(code, Some(2));
    Ok(())
}

#[test]
fn a_firewall_gets_the_ports_as_a_table_or_as_json() -> Test {
    let directory = tempfile::tempdir()?;
    let path = file(directory.path(), TEAMS)?;
    let path = path.to_string_lossy();
    let (code, table, _) = shown(&sidetone(&["check", "-c", &path, "--ports"])?);
    assert_eq!(code, Some(0));
    let inbound = table.lines().find(|line| line.starts_with("in ")).unwrap_or_default();
    assert!(inbound.contains("127.0.0.1:5061") && inbound.contains("52.112.0.0/14,52.120.0.0/14"), "{table}");
    assert!(table.contains("3478-3481,49152-53247"), "{table}");

    let (code, lines, _) = shown(&sidetone(&["check", "-c", &path, "--ports", "--json"])?);
    assert_eq!(code, Some(0));
    let rules = lines.lines().map(serde_json::from_str).collect::<Result<Vec<serde_json::Value>, _>>()?;
    assert_eq!(rules.len() + 1, table.lines().count());
    let opened = |rule: &serde_json::Value| rule["direction"] == "in" && rule["local"] == "127.0.0.1:5061";
    assert!(rules.iter().any(opened), "{lines}");
    Ok(())
}

#[test]
fn a_trunk_is_explained_with_the_origin_of_each_setting() -> Test {
    let directory = tempfile::tempdir()?;
    let path = file(directory.path(), &format!("{TEAMS}options_s = 30\n"))?;
    let path = path.to_string_lossy();
    let (code, text, _) = shown(&sidetone(&["check", "-c", &path, "--explain-trunk", "teams"])?);
    assert_eq!(code, Some(0));
    let origin = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{key} = ")));
        line.and_then(|line| line.split_once("    # ")).map(|(_, origin)| origin)
    };
    assert_eq!(origin("options_s"), Some("this file"));
    assert_eq!(origin("hold"), Some("profile teams_direct_routing"));
    assert_eq!(origin("privacy"), Some("default"));
    let (code, _, complaint) = shown(&sidetone(&["check", "-c", &path, "--explain-trunk", "team"])?);
    assert_eq!(code, Some(1));
    assert!(complaint.contains("the file has: teams"), "{complaint}");
    Ok(())
}

#[test]
fn online_a_trunk_is_spoken_to_and_a_dead_one_fails_the_check() -> Test {
    // A carrier that answers every OPTIONS with 405, which is life; and a port where nobody is.
    let carrier = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let alive = carrier.local_addr()?;
    let answering = std::thread::spawn(move || -> std::io::Result<()> {
        let mut datagram = [0; 2048];
        let (_, from) = carrier.recv_from(&mut datagram)?;
        carrier.send_to(b"SIP/2.0 405 Method Not Allowed\r\n\r\n", from)?;
        Ok(())
    });
    let dead = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let trunk = |destination: &str| {
        format!(
            "[sip]\nudp = '127.0.0.1:5060'\n[[tenant]]\nid = 'demo'\n[[trunk]]\nid = 'carrier'\ntenant = 'demo'\n\
             sources = ['192.0.2.1']\ndestination = '{destination}'\n"
        )
    };
    let directory = tempfile::tempdir()?;
    let path = file(directory.path(), &trunk(&alive.to_string()))?;
    let path = path.to_string_lossy();
    let (code, text, _) = shown(&sidetone(&["check", "-c", &path, "--online"])?);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("answers 405"), "{text}");
    answering.join().map_err(|_| "the carrier panicked")??;

    file(directory.path(), &trunk(&format!("{dead};transport=tcp")))?;
    let (code, text, _) = shown(&sidetone(&["check", "-c", &path, "--online"])?);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("error[online] trunk[carrier]") && text.contains("no connection"), "{text}");
    Ok(())
}

#[test]
fn every_command_explains_itself() -> Test {
    for command in [
        &["explain"][..],
        &["teams", "setup"],
        &["teams", "collect"],
        &["teams", "import"],
        &["check"],
        &["serve"],
        &["preflight"],
        &["consent-url"],
        &["sign-in"],
        &["demo"],
        &["sim", "acs"],
        &["openapi"],
    ] {
        let arguments: Vec<_> = command.iter().copied().chain(["--help"]).collect();
        let (code, text, _) = shown(&sidetone(&arguments)?);
        assert_eq!(code, Some(0), "{command:?}");
        assert!(text.contains("Usage: sidetone") && text.len() > 100, "{text}");
    }
    Ok(())
}
