//! What is shipped beside the binary agrees with it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Test;

fn metrics_in(text: &str) -> BTreeSet<&str> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.split(word).filter(|word| word.starts_with("sidetone_")).collect()
}

#[test]
fn alerts_dashboard_and_runbook_name_metrics_that_exist() -> Test {
    let known = std::fs::read_to_string("src/observe/metrics.rs")?;
    let known = metrics_in(&known);
    assert!(known.len() > 15, "{known:?}");
    for file in ["deploy/prometheus/alerts.yaml", "deploy/grafana/sidetone.json", "deploy/runbook.md"] {
        let text = std::fs::read_to_string(file)?;
        // "sidetone_acs_" is how many of them begin, and no name.
        for name in metrics_in(&text).into_iter().filter(|name| !name.ends_with('_')) {
            let base = name.trim_end_matches("_sum").trim_end_matches("_count");
            assert!(known.contains(base), "{file} watches {name}, which nobody counts");
        }
    }
    Ok(())
}

#[test]
fn the_runbook_has_every_alarm() -> Test {
    let alerts = std::fs::read_to_string("deploy/prometheus/alerts.yaml")?;
    let runbook = std::fs::read_to_string("deploy/runbook.md")?;
    let names: Vec<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        let shown =
            runbook.contains(name) || (name == "SidetoneCertificateNow" && runbook.contains("...Now"));
        assert!(shown, "{name} is not in the runbook");
    }
    Ok(())
}

#[test]
fn the_dashboard_is_json_and_each_panel_asks_something() -> Test {
    let dashboard: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string("deploy/grafana/sidetone.json")?)?;
    let panels = dashboard["panels"].as_array().ok_or("no panels")?;
    assert!(panels.iter().all(|panel| panel["targets"][0]["expr"].is_string()));
    Ok(())
}

#[test]
fn a_stop_leaves_time_to_drain() -> Test {
    // The default of server.drain_s, with room to write the records.
    let unit = std::fs::read_to_string("deploy/sidetone.service")?;
    let stop =
        unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).ok_or("no TimeoutStopSec")?;
    assert!(stop.parse::<u32>()? > 30);
    assert!(unit.contains("KillSignal=SIGTERM") && unit.contains("ExecReload=/bin/kill -HUP $MAINPID"));
    Ok(())
}

#[test]
fn the_units_group_is_not_called_like_its_user() -> Test {
    // A dynamic user is called like its unit, and systemd makes none beside a group of that name.
    let unit = std::fs::read_to_string("deploy/sidetone.service")?;
    assert!(unit.contains("DynamicUser=yes"));
    let groups =
        unit.lines().filter_map(|line| line.strip_prefix("SupplementaryGroups=")).collect::<Vec<_>>();
    assert_eq!(groups, ["sidetone-config"]);
    let runbook = std::fs::read_to_string("deploy/runbook.md")?;
    assert!(!runbook.contains("-g sidetone "), "the runbook gives files to a group that is not there");
    Ok(())
}

/// What the sources take in from outside their own folder is copied into the image's build, past .dockerignore.
#[test]
fn the_image_is_built_from_all_that_the_sources_include() -> Test {
    let dockerfile = std::fs::read_to_string("deploy/Dockerfile")?;
    let ignored = std::fs::read_to_string(".dockerignore")?;
    let mut folders = BTreeSet::from(["src".to_owned(), "media".to_owned(), "sbc-config".to_owned()]);
    let mut waiting = vec![PathBuf::from("src")];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(
                std::fs::read_dir(&path)?
                    .map(|entry| entry.map(|entry| entry.path()))
                    .collect::<Result<Vec<_>, _>>()?,
            );
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for included in text.split("include_").skip(1) {
            let Some((_, outside)) = included.split('\n').next().and_then(|line| line.split_once("../../"))
            else {
                continue;
            };
            folders.extend(outside.trim_start_matches("../").split('/').next().map(str::to_owned));
        }
    }
    assert!(folders.contains("console"), "{folders:?}");
    for folder in folders {
        assert!(
            dockerfile.contains(&format!("\nCOPY {folder} {folder}\n")),
            "{folder} is not in the image's build"
        );
        assert!(ignored.contains(&format!("\n!{folder}\n")), ".dockerignore leaves {folder} out");
    }
    Ok(())
}
