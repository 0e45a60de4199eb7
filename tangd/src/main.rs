//! Network-bound disk unlocking; also upstream's programs, by the name it is called by.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let own_name = arguments.next().unwrap_or_default();
    faros_tangd::main_as(&own_name, arguments)
}
