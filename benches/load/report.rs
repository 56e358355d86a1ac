//! What was seen: a table to read and one line of JSON to keep.

use std::fs;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// Faults that are printed; a run that goes wrong goes wrong many times in the same way.
const FAULTS_SHOWN_MAX: usize = 10;

/// How long the machine is watched before a part of a run.
const WATCHED: Duration = Duration::from_millis(500);

/// Figures by part of the run, and what must not have happened.
#[derive(Default)]
pub(crate) struct Report {
    figures: Vec<(&'static str, String, f64)>,
    faults: Vec<String>,
}

impl Report {
    /// Begins a part of the run: notes how idle the machine is.
    pub(crate) fn begin(&mut self, part: &'static str) {
        eprintln!("{part} ...");
        self.figure(part, "machine_idle_before", idle_share());
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN);
        self.figure(part, "machine_load_average", load);
    }

    /// Notes a figure. Its name ends in its unit.
    pub(crate) fn figure(&mut self, part: &'static str, name: &str, value: f64) {
        self.figures.push((part, name.to_owned(), value));
    }

    /// Notes the median and the 99th percentile of sorted values.
    pub(crate) fn percentiles(&mut self, part: &'static str, name: &str, unit: &str, sorted: &[f64]) {
        for (percentile, share) in [("p50", 0.5), ("p99", 0.99)] {
            self.figure(part, &format!("{name}_{percentile}_{unit}"), quantile(sorted, share));
        }
    }

    /// Something that must not happen, however busy the machine is.
    pub(crate) fn fault(&mut self, part: &str, what: impl std::fmt::Display) {
        self.faults.push(format!("{part}: {what}"));
    }

    /// Prints everything. The process fails when there were faults.
    pub(crate) fn finish(self) -> ExitCode {
        let mut parts = Map::new();
        let mut last = "";
        for (part, name, value) in &self.figures {
            if *part != last {
                println!("\n{part}");
                last = part;
            }
            println!("  {name:<34} {value:>12.3}");
            let figures = parts.entry(*part).or_insert_with(|| json!({}));
            figures[name.as_str()] = json!((value * 1e3).round() / 1e3);
        }
        println!();
        for fault in self.faults.iter().take(FAULTS_SHOWN_MAX) {
            println!("FAULT {fault}");
        }
        if self.faults.len() > FAULTS_SHOWN_MAX {
            println!("FAULT and {} more", self.faults.len() - FAULTS_SHOWN_MAX);
        }
        parts.insert("faults".to_owned(), json!(self.faults.len()));
        println!("{}", Value::Object(parts));
        if self.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// The value below which this share of sorted values lies; not a number when there are none.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// The median of values in any order; not a number when there are none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let (lower, upper) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    match (sorted.get(lower), sorted.get(upper)) {
        (Some(lower), Some(upper)) => (lower + upper) / 2.0,
        _ => f64::NAN,
    }
}

/// How much of all processors nobody used for a moment.
fn idle_share() -> f64 {
    let read = || {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        let fields: Vec<f64> =
            line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
        (fields.get(3).copied().unwrap_or(0.0), fields.iter().take(8).sum::<f64>())
    };
    let before = read();
    thread::sleep(WATCHED);
    let after = read();
    (after.0 - before.0) / (after.1 - before.1).max(1.0)
}
