//! Hands over to `faros_common::daemon`.

use std::process::ExitCode;

fn main() -> ExitCode {
    faros_common::daemon::main::<faros_lb::Lb>()
}
