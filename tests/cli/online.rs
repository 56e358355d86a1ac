//! `sidetone check --online` against Microsoft's proxy, simulated: certificates both ways, and OPTIONS.

use sidetone::sim::acs::{ACCESS_KEY, AcsSim};
use sidetone::sim::authority::Authority;
use sidetone::sim::teams::House;

use super::{Test, shown, sidetone};

/// The lines that the check prints for the trunk to Teams, and its exit code. The command blocks and the proxy must not.
async fn checked(house: &House) -> Result<(Option<i32>, Vec<String>), Box<dyn std::error::Error>> {
    // A trunk to Microsoft must believe Microsoft's roots, which the simulated proxy does not have: the same trunk to anybody.
    let text = std::fs::read_to_string(house.file())?;
    let anybody =
        "fqdn = \"sbc1.example.com\"\ndialect = \"standard\"\nx_ms_sbc = \"Sidetone/gateway/check\"";
    let path = house.file().with_file_name("check.toml");
    std::fs::write(&path, text.replace("fqdn = \"sbc1.example.com\"", anybody))?;
    let path = path.display().to_string();
    let asked = move || sidetone(&["check", "-c", &path, "--online"]);
    let (code, text, complaint) = shown(&tokio::task::spawn_blocking(asked).await??);
    let lines = text.lines().chain(complaint.lines());
    Ok((code, lines.filter(|line| line.contains("trunk[teams]")).map(str::to_owned).collect()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_to_teams_is_spoken_to_over_tls_as_its_settings_say() -> Test {
    let house = House::open(440.0, 1000.0).await?;
    let (code, lines) = checked(&house).await?;
    assert_eq!(code, Some(0), "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.ends_with("answers 200")).count(), 3, "{lines:#?}");
    // It asked as the gateway would: every rule was looked at.
    assert!(house.proxy.state().seen.broken.is_empty(), "{:?}", house.proxy.state().seen.broken);

    house.proxy.fall(0).await?;
    let (code, lines) = checked(&house).await?;
    assert_eq!(code, Some(1), "{lines:#?}");
    let dead: Vec<_> = lines.iter().filter(|line| line.contains("[online]")).collect();
    assert!(
        dead.len() == 1 && dead[0].contains("sip.pstnhub") && dead[0].contains("no connection"),
        "{lines:#?}"
    );

    // Another root than the one its certificate leads to.
    let stranger = Authority::new("Stranger")?;
    std::fs::write(house.file().with_file_name("root.pem"), stranger.root())?;
    let (code, lines) = checked(&house).await?;
    assert_eq!(code, Some(1), "{lines:#?}");
    let refused = |line: &&String| line.contains("the TLS handshake failed");
    assert_eq!(lines.iter().filter(refused).count(), 2, "{lines:#?}");
    house.gateway.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acs_resource_is_asked_with_our_key_and_its_issuer_for_keys() -> Test {
    let acs = AcsSim::start().await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("sidetone.toml");
    let own = "[sip]\nudp = \"127.0.0.1:0\"\n[[tenant]]\nid = \"demo\"\nname = \"Demo\"\n";
    std::fs::write(&file, format!("{own}{}", acs.config("demo", "+15550100", "", "")))?;
    std::fs::write(folder.path().join("acs-webhook"), "a-webhook-secret")?;
    let checked = async |key: &str| -> Result<_, Box<dyn std::error::Error>> {
        std::fs::write(folder.path().join("acs-key"), key)?;
        let path = file.display().to_string();
        let asked = move || sidetone(&["check", "-c", &path, "--online"]);
        let (code, text, complaint) = shown(&tokio::task::spawn_blocking(asked).await??);
        Ok((code, format!("{text}{complaint}")))
    };
    let (code, text) = checked(ACCESS_KEY).await?;
    assert!(text.contains("acs[contoso] the resource: lets us in"), "{text}");
    assert!(text.contains("acs[contoso] the keys of callbacks: are 1"), "{text}");
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = checked("c29tZWJvZHkgZWxzZSdzIGtleQ==").await?;
    assert!(text.contains("401 (7509)") && text.contains("compare the access key"), "{text}");
    assert_eq!(code, Some(1), "{text}");
    Ok(())
}
