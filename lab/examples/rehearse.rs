//! Rehearses a site without `farosctl`: `rehearse SITE [--light] [--keep] [--capture=FILE] [NODE…]`.

use std::process::ExitCode;

use faros_lab::{LabOptions, run};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(site) = arguments.next() else {
        eprintln!("usage: rehearse SITE [--light] [--keep] [--capture=FILE] [NODE…]");
        return ExitCode::from(64);
    };
    let mut options = LabOptions::new(site.into());
    for argument in arguments {
        match argument.as_str() {
            "--light" => options.light = true,
            "--keep" => options.keep = true,
            _ if argument.starts_with("--capture=") => {
                options.capture = Some(argument["--capture=".len()..].into());
            }
            _ => options.nodes.push(argument),
        }
    }
    match run(&options) {
        Ok(report) => {
            print!("{}", report.table());
            ExitCode::from(u8::from(!report.ok))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
