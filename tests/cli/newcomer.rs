//! What goes wrong on the first day, and that each time it is said what was tried and what to do next.

use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use sidetone::sim::authority::{Authority, Wanted};
use sidetone::sim::graph::Cloud;

use super::{TEAMS, Test, file, shown, sidetone};

/// The least that runs, on free ports, with its records in `directory`; `more` goes behind it.
fn least(directory: &Path, more: &str) -> String {
    format!(
        "[server]\ndatabase = 'sqlite:{}/records'\n[sip]\nudp = '127.0.0.1:0'\n[api]\nlisten = '127.0.0.1:0'\n{more}",
        directory.display()
    )
}

#[test]
fn a_file_that_is_empty_damaged_or_not_there_is_told_with_what_to_do() -> Test {
    let directory = tempfile::tempdir()?;
    let path = file(directory.path(), "")?;
    let path = path.to_string_lossy();
    for (text, told) in [
        ("", "there is no SIP listener; write udp ="),
        ("[sip\nudp =", "unclosed table"),
        ("[sip]\nupd = '127.0.0.1:5060'", "did you mean `udp`?"),
    ] {
        file(directory.path(), text)?;
        for command in [&["check"][..], &["serve"], &["sign-in", "--token", "t"], &["consent-url"]] {
            let (code, out, complaint) = shown(&sidetone(&[command, &["-c", &path]].concat())?);
            assert!(matches!(code, Some(1 | 2)), "{command:?} {text:?}: {code:?}");
            assert!(format!("{out}{complaint}").contains(told), "{command:?} {text:?}: {out}{complaint}");
        }
    }
    for command in ["check", "serve"] {
        let (code, _, complaint) = shown(&sidetone(&[command, "-c", "/no/such/file.toml"])?);
        assert_eq!(code, Some(if command == "check" { 2 } else { 1 }));
        assert!(
            complaint.contains("the configuration file /no/such/file.toml cannot be read"),
            "{complaint}"
        );
    }
    Ok(())
}

#[test]
fn a_recording_that_cannot_be_played_fails_the_check_and_not_only_the_start() -> Test {
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("noise.wav"), "this is no sound")?;
    let media = "[media]\nmusic_on_hold = 'noise.wav'\nprompts = { sorry = 'gone.wav' }\n";
    let path = file(directory.path(), &least(directory.path(), media))?;
    let path = path.to_string_lossy();
    let (code, text, _) = shown(&sidetone(&["check", "-c", &path])?);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(":8:1: error[recording-unreadable] media.music_on_hold: "), "{text}");
    assert!(text.contains(":9:1: error[recording-unreadable] media.prompts.sorry: "), "{text}");
    assert!(text.contains("cannot be used: 2 error(s) in the files that it names"), "{text}");
    let (code, _, complaint) = shown(&sidetone(&["serve", "-c", &path])?);
    assert_eq!(code, Some(2));
    assert!(complaint.contains("noise.wav of media.music_on_hold cannot be used"), "{complaint}");
    let (code, text, _) = shown(&sidetone(&["explain", "recording-unreadable"])?);
    assert!(code == Some(0) && text.contains("does not start"), "{text}");
    Ok(())
}

/// Such a file is no reason not to start, so the check says which of the two it is.
#[test]
fn a_certificate_that_peers_refuse_fails_the_check_in_words_of_its_own() -> Test {
    let directory = tempfile::tempdir()?;
    let leaf = Authority::new("Nobody's")?.issue(&Wanted::new(["sbc1.example.com"]))?;
    std::fs::write(directory.path().join("sbc1.pem"), &leaf.chain)?;
    std::fs::write(directory.path().join("sbc1.key"), &leaf.key)?;
    let path = file(directory.path(), TEAMS)?;
    let path = path.to_string_lossy();
    let (code, text, _) = shown(&sidetone(&["check", "-c", &path])?);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.ends_with("can be used, but peers will refuse a certificate\n"), "{text}");
    std::fs::remove_file(directory.path().join("sbc1.key"))?;
    let (code, text, _) = shown(&sidetone(&["check", "-c", &path])?);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.ends_with("cannot be used: 1 error(s) in the files that it names\n"), "{text}");
    Ok(())
}

#[test]
fn what_cannot_be_opened_at_the_start_is_named() -> Test {
    let directory = tempfile::tempdir()?;
    let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    let (udp, http) = (udp.local_addr()?, (tcp.local_addr()?, udp));
    let usual = least(directory.path(), "");
    for (text, told) in [
        (usual.replacen("127.0.0.1:0", &udp.to_string(), 1), format!("SIP on UDP {udp}; is another program")),
        (
            usual.replace("[api]\nlisten = '127.0.0.1:0'", &format!("[api]\nlisten = '{}'", http.0)),
            format!("HTTP on {}; is another program", http.0),
        ),
        (
            format!("{usual}[media]\nlisten = '192.0.2.7'\n"),
            "no media port can be opened on 192.0.2.7 (media.listen)".to_owned(),
        ),
        (
            usual.replace(&directory.path().display().to_string(), "/no/such/place"),
            "the database sqlite:/no/such/place/records cannot be opened".to_owned(),
        ),
    ] {
        let path = file(directory.path(), &text)?;
        let (code, _, complaint) =
            shown(&sidetone(&["serve", "--log", "off", "-c", &path.to_string_lossy()])?);
        assert_eq!(code, Some(2), "{complaint}");
        assert!(complaint.contains(&told), "{told}: {complaint}");
    }
    Ok(())
}

#[test]
fn a_command_without_an_account_or_a_gateway_says_what_is_missing() -> Test {
    let directory = tempfile::tempdir()?;
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let text = least(directory.path(), "")
        .replace("[api]\nlisten = '127.0.0.1:0'", &format!("[api]\nlisten = '{nobody}'"));
    let path = file(directory.path(), &text)?;
    let path = path.to_string_lossy();
    let (code, _, complaint) = shown(&sidetone(&["sign-in", "sam", "--token", "t", "-c", &path])?);
    assert_eq!(code, Some(2));
    assert!(
        complaint.contains(&format!("no gateway answers at http://{nobody}; is it running")),
        "{complaint}"
    );

    let asked = ["preflight", "adele@example.com", "-c", &path];
    let (code, _, complaint) = shown(&sidetone(&asked)?);
    assert_eq!(code, Some(2));
    assert!(complaint.contains("the file has no [[integration]]"), "{complaint}");
    let account =
        |tenant: &str| format!("[[tenant]]\nid = '{tenant}'\n[[integration]]\ntenant = '{tenant}'\n");
    file(directory.path(), &format!("{text}{}{}", account("acme"), account("zeta")))?;
    let (code, _, complaint) = shown(&sidetone(&asked)?);
    assert_eq!(code, Some(2));
    assert!(complaint.contains("with --tenant: acme, zeta"), "{complaint}");
    let (code, _, complaint) = shown(&sidetone(&["consent-url", "--tenant", "other", "-c", &path])?);
    assert_eq!(code, Some(2));
    assert!(
        complaint.contains("`other` has no [[integration]]; the file has them for: acme, zeta"),
        "{complaint}"
    );
    let (code, _, complaint) = shown(&sidetone(&["consent-url", "--tenant", "acme", "-c", &path])?);
    assert_eq!(code, Some(2));
    assert!(complaint.contains("write entra_tenant and client_id"), "{complaint}");
    Ok(())
}

#[test]
fn a_simulated_service_that_cannot_start_says_which_of_its_options_is_in_the_way() -> Test {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let taken = taken.local_addr().map(|at| (taken, at.to_string()))?;
    for (options, told) in [
        (["--listen", &taken.1, "--control", "127.0.0.1:0"], format!("on {}; is another program", taken.1)),
        (["--listen", "127.0.0.1:0", "--control", &taken.1], "Choose another with --control".to_owned()),
        (
            ["--listen", "127.0.0.1:0", "--ca", "/no/such.pem"],
            "the root /no/such.pem cannot be read".to_owned(),
        ),
    ] {
        let (code, _, complaint) = shown(&sidetone(&[&["sim", "acs"], &options[..]].concat())?);
        assert_eq!(code, Some(1), "{complaint}");
        assert!(complaint.contains(&told), "{complaint}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn online_an_account_signs_in_and_a_refused_one_fails_the_check() -> Test {
    let cloud = Cloud::start().await?;
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("entra"), "x7Q-canary-s3cret")?;
    let base = cloud.base();
    let account = format!(
        "[[tenant]]\nid = 'acme'\n[[integration]]\ntenant = 'acme'\nclient_secret_file = 'entra'\n\
         entra_tenant = '11111111-2222-3333-4444-555555555555'\nclient_id = 'aaaaaaaa-0000-0000-0000-000000000001'\n\
         object_id = 'bbbbbbbb-0000-0000-0000-000000000002'\nauthority = '{base}'\ngraph = '{base}'\narm = '{base}'\n"
    );
    let text = least(directory.path(), &account);
    let path = file(directory.path(), &text)?.display().to_string();
    let checked = async || -> Result<_, Box<dyn std::error::Error>> {
        let path = path.clone();
        let asked = move || sidetone(&["check", "-c", &path, "--online"]);
        let (code, text, complaint) = shown(&tokio::task::spawn_blocking(asked).await??);
        Ok((code, format!("{text}{complaint}")))
    };
    let (code, said) = checked().await?;
    assert!(said.contains("integration[acme]: Entra gives it a token, with every permission"), "{said}");
    assert_eq!(code, Some(0), "{said}");

    cloud.world().roles.retain(|role| role != "Presence.Read.All");
    let (code, said) = checked().await?;
    assert!(
        said.contains("warning[online] integration[acme]: ") && said.contains("Presence.Read.All"),
        "{said}"
    );
    assert_eq!(code, Some(0), "{said}");

    let refusal = r#"{"error":"invalid_client","error_codes":[7000215]}"#;
    cloud.world().token_fault = Some((401, refusal.to_owned()));
    let (code, said) = checked().await?;
    assert!(said.contains("error[online] integration[acme]: ") && said.contains("secret is wrong"), "{said}");
    assert_eq!(code, Some(1), "{said}");
    assert!(!said.contains("canary"), "{said}");

    file(directory.path(), &text.replace("client_secret_file = 'entra'\n", ""))?;
    let (code, said) = checked().await?;
    assert!(said.contains("it has no credential, so nobody is looked up"), "{said}");
    assert_eq!(code, Some(0), "no credential is a choice: {said}");
    Ok(())
}
