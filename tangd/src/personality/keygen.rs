//! `tangd-keygen`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::Value;

use super::{Early, fail, refuse_sealed};
use crate::keys::{KeyDirectory, KeySource, KeysError, PrivateJwk};

const USAGE: &str = "Usage: tangd-keygen <jwkdir> [<sig> <exc>]";

pub(super) fn main(parser: lexopt::Parser) -> ExitCode {
    let (directory, names) = match read(parser) {
        Ok(read) => read,
        Err(early) => return early.end(),
    };
    if !directory.is_dir() {
        return fail(format!("{}: not a directory\n{USAGE}", directory.display()));
    }
    if let Some(refused) = refuse_sealed(&directory) {
        return refused;
    }
    let keys = KeyDirectory::new(directory);
    let made = match names {
        None => keys.generate().map(drop),
        Some(names) => generate_as(&keys, &names),
    };
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(format!("tangd-keygen: {error}")),
    }
}

/// A pair under names of its own: the signing key's, and the exchange key's.
fn generate_as(keys: &KeyDirectory, names: &[String; 2]) -> Result<(), KeysError> {
    for (name, key) in names.iter().zip(PrivateJwk::pair()?) {
        keys.add_as(&format!("{name}.jwk"), &key)?;
    }
    Ok(())
}

fn read(mut parser: lexopt::Parser) -> Result<(PathBuf, Option<[String; 2]>), Early> {
    let usage = || Early::Usage(USAGE.to_owned());
    let mut values: Vec<OsString> = Vec::new();
    while let Some(argument) = parser.next().map_err(|_| usage())? {
        match argument {
            Value(value) => values.push(value),
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Err(Early::Told(USAGE.to_owned())),
            _ => return Err(usage()),
        }
    }
    match <[OsString; 3]>::try_from(values) {
        Ok([directory, signing, exchange]) => match (signing.into_string(), exchange.into_string()) {
            (Ok(signing), Ok(exchange)) => Ok((directory.into(), Some([signing, exchange]))),
            _ => Err(usage()),
        },
        Err(values) => match <[OsString; 1]>::try_from(values) {
            Ok([directory]) => Ok((directory.into(), None)),
            Err(_) => Err(usage()),
        },
    }
}
