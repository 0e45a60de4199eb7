//! One run of a benchmark from its command line to its exit code.

use std::error::Error as AnyError;
use std::fs;
use std::process::ExitCode;

use clap::Parser as _;

use crate::awake::Awake;
use crate::options::Options;
use crate::progress::line;
use crate::report::Report;
use crate::work_dir::{WorkDir, workspace};
use crate::{machine, netns};

/// Runs a benchmark: cleans up after runs that crashed, measures, prints, writes if asked to. 0 also where targets are
/// missed; 1 where something could not be measured; 64 for a wrong command line.
pub fn main(
    name: &str,
    measure: impl FnOnce(&Options, &WorkDir) -> Result<Report, Box<dyn AnyError>>,
) -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match run(name, &options, measure) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(
    name: &str,
    options: &Options,
    measure: impl FnOnce(&Options, &WorkDir) -> Result<Report, Box<dyn AnyError>>,
) -> Result<(), Box<dyn AnyError>> {
    netns::sweep_stale();
    let work = WorkDir::create()?;
    let path = work.path().to_owned();
    netns::clean_on_signals(move || {
        let _ = fs::remove_dir_all(path);
    })?;
    let awake = if options.awake { Some(Awake::keep()?) } else { None };
    let mut report = measure(options, &work)?;
    report.fact("load after", machine::load());
    drop(awake);
    println!("\n{}", report.markdown());
    if options.quick {
        line("one short round: these figures show that it works, not how fast it is");
    }
    if options.write {
        let page = workspace().join("docs/benchmarks.md");
        report.write(name, &page)?;
        line("written to docs/benchmarks.md");
    }
    Ok(())
}
