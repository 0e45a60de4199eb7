//! Upstream's programs, so that its scripts and units run on ours.
//!
//! | Name | Does |
//! |---|---|
//! | `tangd DIR` | answers requests on standard input, on standard output: for inetd, systemd's `Accept=yes`, socat |
//! | `tangd -l -p PORT DIR` | serves on a port of all addresses |
//! | `tangd-keygen DIR [SIG EXC]` | makes a pair of keys |
//! | `tangd-rotate-keys -d DIR [-v]` | hides the keys there are, and makes a new pair |
//! | `tang-show-keys [PORT [ENDPOINT]]` | the thumbprints of the signing keys of a server on this host |
//!
//! A sealed key directory is served as far as it goes without its keys: `/adv`, and 503 for `/rec`. Nothing here opens or
//! changes it.
//!
//! They know no site file: no policy, no audit log, no privileges given up. Requests are told of on standard error.

mod keygen;
mod rotate;
mod show;
mod tangd;

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::seal::KeyStore;

/// The life of the program that is called `own_name`: one of upstream's, or else the daemon.
pub fn main_as(own_name: &OsStr, arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    by_name(own_name, &arguments)
        .unwrap_or_else(|| faros_common::daemon::main_with::<crate::Tangd>(arguments.into_iter()))
}

/// The life of the program of upstream's that is called `own_name`, if it is one: the name of a file, with or without
/// its folders.
pub fn by_name(own_name: &OsStr, arguments: &[OsString]) -> Option<ExitCode> {
    let arguments = || lexopt::Parser::from_args(arguments.iter().cloned());
    Some(match Path::new(own_name).file_name()?.to_str()? {
        "tangd" => tangd::main(arguments()),
        "tangd-keygen" => keygen::main(arguments()),
        "tangd-rotate-keys" => rotate::main(arguments()),
        "tang-show-keys" => show::main(arguments()),
        _ => return None,
    })
}

/// Says on standard error what is wrong. Upstream's programs fail with 1.
fn fail(what: impl Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{what}");
    ExitCode::FAILURE
}

/// Prints a line; a closed pipe is the reader's choice.
fn print(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Why these programs cannot change a sealed store: they cannot open it.
fn refuse_sealed(directory: &Path) -> Option<ExitCode> {
    KeyStore::new(directory).has_store().then(|| {
        fail(format!(
            "{}: the keys are sealed, and this program cannot open them; `farosctl tang rotate` makes a new pair, after \
             `farosctl tang unseal`",
            directory.display()
        ))
    })
}

/// Why a program ends before it has done anything.
enum Early {
    /// Asked for help or version; this is it.
    Told(String),
    /// The command line is wrong.
    Usage(String),
}

impl Early {
    fn end(self) -> ExitCode {
        match self {
            Self::Told(text) => {
                print(text);
                ExitCode::SUCCESS
            }
            Self::Usage(text) => fail(text),
        }
    }
}
