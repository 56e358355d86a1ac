//! `sidetone demo`: the main job, played and measured.

use std::process::ExitCode;

use sidetone::observe::LogFormat;
use sidetone::sim;

use super::Demo;

pub(super) fn run(demo: Demo) -> ExitCode {
    if let Err(error) = sidetone::observe::init_logging(LogFormat::Text, &demo.log) {
        super::complain(&error);
        return ExitCode::from(2);
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            super::complain(&error);
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(sim::demo(sim::DemoOptions { out: demo.out, keep: demo.keep })) {
        Ok(_report) => ExitCode::SUCCESS,
        Err(error) => {
            super::complain(&error);
            ExitCode::from(1)
        }
    }
}
