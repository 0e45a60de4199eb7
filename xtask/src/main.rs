//! The project's own chores: lab, test, verify, bench, packages.
//!
//! | File | Theme |
//! |---|---|
//! | `jobs.rs` | what each chore does, step by step |
//! | `packages.rs` | which Debian packages a chore needs, and why |
//! | `apt.rs` | installing them without starting any service |
//! | `steps.rs` | one line per step, with its time |
//! | `tidy.rs` | rules on the source that no linter knows |

mod apt;
mod jobs;
mod packages;
mod steps;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build a whole site on this machine and watch its nodes boot (further arguments go to `farosctl lab`)
    Lab {
        /// Such as --light, --jobs 1, -o json; `cargo xtask lab -- --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Install what the tests need, build, and run every test of the workspace
    Test {
        /// Passed on to `cargo test`, such as a test's name
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Format, lints, tidiness and unit tests: before every commit
    Verify,
    /// Measure beside the peers, in one run
    Bench {
        /// The benchmark, such as dhcp or tftp
        name: String,
        /// Passed on to the benchmark
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// List the Debian packages that the chores need, and install the missing ones
    Packages {
        /// For one chore only
        #[arg(long, value_enum)]
        job: Option<packages::Job>,
        /// Only say what is missing (exit code 1 if anything is)
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Lab { arguments } => jobs::lab(&arguments),
        Chore::Test { arguments } => jobs::test(&arguments),
        Chore::Verify => jobs::verify(),
        Chore::Bench { name, arguments } => jobs::bench(&name, &arguments),
        Chore::Packages { job, check } => jobs::packages(job, check),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("cargo xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
