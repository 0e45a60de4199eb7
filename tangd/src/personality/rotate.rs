//! `tangd-rotate-keys`.

use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::{Long, Short};

use super::{Early, fail, print, refuse_sealed};
use crate::keys::{KeyDirectory, KeySource};

const USAGE: &str = "Usage: tangd-rotate-keys [-h] [-v] -d <KEYDIR>

Hides the keys in a directory, so that they are not advertised any more, and makes a new pair.

  -d KEYDIR  the directory with the keys, such as /var/db/tang
  -v         tell of each key
  -h         show this";

pub(super) fn main(parser: lexopt::Parser) -> ExitCode {
    let (directory, verbose) = match read(parser) {
        Ok(read) => read,
        Err(early) => return early.end(),
    };
    if !directory.is_dir() {
        return fail(format!("{}: not a directory\n{USAGE}", directory.display()));
    }
    if let Some(refused) = refuse_sealed(&directory) {
        return refused;
    }
    match KeyDirectory::new(directory).rotate() {
        Ok(rotated) => {
            if verbose {
                for (old, new) in &rotated.hidden {
                    print(format!("Disabled advertisement of key {old} -> {new}"));
                }
                rotated.added.iter().for_each(|file| print(format!("Created new key {file}")));
                print("Keys rotated successfully");
            }
            ExitCode::SUCCESS
        }
        Err(error) => fail(format!("tangd-rotate-keys: {error}")),
    }
}

fn read(mut parser: lexopt::Parser) -> Result<(PathBuf, bool), Early> {
    let usage = |what: &str| Early::Usage(format!("{what}\n{USAGE}"));
    let (mut directory, mut verbose) = (None, false);
    while let Some(argument) = parser.next().map_err(|error| usage(&error.to_string()))? {
        match argument {
            Short('d') => {
                let value = parser.value().map_err(|error| usage(&error.to_string()))?;
                directory = Some(PathBuf::from(value));
            }
            Short('v') => verbose = true,
            Short('h') | Long("help") => return Err(Early::Told(USAGE.to_owned())),
            other => return Err(usage(&other.unexpected().to_string())),
        }
    }
    directory
        .map(|directory| (directory, verbose))
        .ok_or_else(|| usage("Name the directory of the keys with -d"))
}
