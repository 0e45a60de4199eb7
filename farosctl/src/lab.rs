//! `farosctl lab`: the whole site on this machine.

use faros_lab::{LabError, LabOptions, LabReport};
use serde::Serialize;

use crate::check::render;
use crate::cli::LabArguments;
use crate::exit::{Exit, Failure};
use crate::output::{Human, Paint};
use crate::session::Session;

/// Called while the process has a single thread: an ordinary user's lab begins in a namespace of its own.
pub(crate) fn run(session: &mut Session, arguments: &LabArguments) -> Result<Exit, Failure> {
    let options = LabOptions {
        light: arguments.light,
        nodes: arguments.nodes.clone(),
        firmware: arguments.firmware,
        jobs: arguments.jobs.max(1),
        stall: arguments.stall,
        keep: arguments.keep,
        stay: arguments.stay,
        capture: arguments.capture.clone(),
        quiet: arguments.quiet,
        ..LabOptions::new(session.site_path.clone())
    };
    let report = faros_lab::run(&options).map_err(failure)?;
    let exit = if report.ok { Exit::Done } else { Exit::Failed };
    session.show(&Rehearsed(report))?;
    Ok(exit)
}

fn failure(error: LabError) -> Failure {
    match error {
        LabError::Site(report) => {
            let text = format!("the site file is refused; mend it:\n{}", render::lines(&report).trim_end());
            Failure::Because(Exit::SiteRefused, text)
        }
        LabError::Interrupted => Failure::Because(Exit::Interrupted, LabError::Interrupted.to_string()),
        error => Failure::failed(error.to_string()),
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Rehearsed(LabReport);

impl Human for Rehearsed {
    fn human(&self, _: Paint) -> String {
        self.0.table()
    }
}
