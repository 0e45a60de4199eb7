//! All daemons and `farosctl` in one executable, for the appliance and the packages: one file, and text pages
//! that all processes share.
//!
//! It is what its own name says (`faros-dhcpd`, `farosctl`, by a link), or else what its first argument says:
//! `faros dhcpd --check`. Under the names of upstream Tang's programs (`tangd`, `tangd-keygen`) it is those.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use faros_common::daemon;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let own_name = arguments.next().unwrap_or_default();
    let own_name = Path::new(&own_name).file_name().unwrap_or_default().to_owned();
    let arguments: Vec<OsString> = arguments.collect();
    // Before our own parts: by a link of the name `tangd` upstream's is meant, by `faros tangd` ours.
    if let Some(exit) = faros_tangd::personality::by_name(&own_name, &arguments) {
        return exit;
    }
    if let Some(exit) = become_applet(&own_name, &arguments) {
        return exit;
    }
    if let Some((applet, rest)) = arguments.split_first()
        && let Some(exit) = become_applet(applet, rest)
    {
        return exit;
    }
    let _ = writeln!(
        std::io::stderr(),
        "faros: name a part: dhcpd, dnsd, tftpd, ignition-http, tangd, lb or farosctl (`faros dhcpd --help`)"
    );
    ExitCode::from(64)
}

fn become_applet(name: &OsStr, arguments: &[OsString]) -> Option<ExitCode> {
    let name = name.to_str()?;
    let own = || arguments.iter().cloned();
    Some(match name.strip_prefix("faros-").unwrap_or(name) {
        "dhcpd" => daemon::main_with::<faros_dhcpd::Dhcpd>(own()),
        "dnsd" => daemon::main_with::<faros_dnsd::Dnsd>(own()),
        "tftpd" => daemon::main_with::<faros_tftpd::Tftpd>(own()),
        "tangd" => daemon::main_with::<faros_tangd::Tangd>(own()),
        "tangd-keygen" | "tangd-rotate-keys" | "tang-show-keys" => {
            return faros_tangd::personality::by_name(OsStr::new(name), arguments);
        }
        "lb" => daemon::main_with::<faros_lb::Lb>(own()),
        "ignition-http" => daemon::main_with::<faros_ignition_http::IgnitionHttp>(own()),
        "farosctl" => {
            let command_line = std::iter::once(OsString::from("farosctl")).chain(own());
            farosctl::run(command_line, farosctl::Terminal::of_process()).into()
        }
        _ => return None,
    })
}
