//! What is shipped beside the binary agrees with it.

use std::collections::BTreeSet;

use super::Test;

fn metrics_in(text: &str) -> BTreeSet<&str> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.split(word).filter(|word| word.starts_with("sidetone_")).collect()
}

#[test]
fn alerts_and_dashboard_name_metrics_that_exist() -> Test {
    let known = std::fs::read_to_string("src/observe/metrics.rs")?;
    let known = metrics_in(&known);
    assert!(known.len() > 15, "{known:?}");
    for file in ["deploy/prometheus/alerts.yaml", "deploy/grafana/sidetone.json"] {
        let text = std::fs::read_to_string(file)?;
        for name in metrics_in(&text) {
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
