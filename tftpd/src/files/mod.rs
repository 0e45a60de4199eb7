//! From a requested name to what is sent.
//!
//! In this order: the tree below the root, its folder `loaders`, both again without regard to case, the
//! places where distributions put loaders, and the scripts that lead from a loader to the HTTP server. Seeds
//! are in none of them.

pub mod beneath;
pub mod body;
pub mod scripts;

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use faros_common::loaders;
use tracing::debug;

use crate::config::Config;
use crate::protocol::name::Name;
use crate::protocol::packet::ErrorCode;
use beneath::{CaseRule, OpenError, Opened};

/// Where a name leads.
#[derive(Debug)]
pub struct Located {
    /// The name, cleaned.
    pub name: Name,
    /// Why it leads there.
    pub rule: Rule,
    /// What is there.
    pub content: Content,
}

/// Which step of the search found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Below the root.
    Root,
    /// Below the root's folder `loaders`.
    Loaders,
    /// Below the root or its folder `loaders`, in other letters' case.
    OtherCase,
    /// Where a package put it.
    Distribution,
    /// Written by us.
    Script,
}

impl Rule {
    /// A stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Loaders => "root_loaders",
            Self::OtherCase => "other_case",
            Self::Distribution => "distribution",
            Self::Script => "script",
        }
    }
}

/// What a name leads to.
#[derive(Debug)]
pub enum Content {
    /// A regular file, open for reading.
    File(File, PathBuf),
    /// Octets of our own.
    Script(Bytes),
}

/// Why a name leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code for the client.
    pub code: ErrorCode,
    /// The name by which it is counted.
    pub reason: &'static str,
    /// What the client is told, without paths of this machine.
    pub text: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: ErrorCode, reason: &'static str, text: impl Into<String>) -> Self {
        Self { code, reason, text: text.into() }
    }
}

/// Finds what is to be sent as `sent`.
///
/// # Errors
/// What the client is told instead.
pub fn locate(sent: &[u8], config: &Config) -> Result<Located, Refusal> {
    let name = Name::parse(sent, &config.root).map_err(|error| {
        let (code, text) = error.answer();
        Refusal::new(code, error.reason(), text)
    })?;
    if config.is_seed(name.path()) {
        return Err(seed(&name));
    }
    let mut denied = None;
    for case in [CaseRule::Exact, CaseRule::Any] {
        for (rule, base) in
            [(Rule::Root, config.root.clone()), (Rule::Loaders, config.root.join(loaders::FOLDER))]
        {
            match beneath::open(&base, name.path(), case) {
                Ok(opened) => {
                    return found(
                        name,
                        if case == CaseRule::Exact { rule } else { Rule::OtherCase },
                        opened,
                        config,
                    );
                }
                Err(OpenError::Missing) => {}
                // It may still be a link into a place of the distribution's.
                Err(error) => denied = denied.or(Some(error)),
            }
        }
    }
    if let Some(path) = name.file_name().and_then(|plain| distribution_file(plain, &name, config)) {
        match beneath::open_trusted(&path) {
            Ok(opened) => return found(name, Rule::Distribution, opened, config),
            Err(error) => debug!(path = %path.display(), ?error, "loader cannot be opened"),
        }
    }
    if let Some(error) = denied {
        return Err(refusal(&name, &error));
    }
    if let Some(script) = scripts::script(&name, &config.scripts) {
        return Ok(Located { name, rule: Rule::Script, content: Content::Script(script) });
    }
    Err(missing(&name, config))
}

/// A loader's place: for a plain name also through a link below the root, else by its last component.
fn distribution_file(plain: &str, name: &Name, config: &Config) -> Option<PathBuf> {
    if name.path() == Path::new(plain) {
        return loaders::find(plain, &config.root);
    }
    loaders::named(plain)?.places.iter().map(PathBuf::from).find(|path| path.is_file())
}

fn found(name: Name, rule: Rule, opened: Opened, config: &Config) -> Result<Located, Refusal> {
    let Opened { file, path } = opened;
    if is_seed_file(&file, &path, config) {
        return Err(seed(&name));
    }
    Ok(Located { name, rule, content: Content::File(file, path) })
}

/// Whether an open file is a seed under another name: a link, symbolic or hard.
fn is_seed_file(file: &File, path: &Path, config: &Config) -> bool {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ign")) {
        return true;
    }
    let Ok(metadata) = file.metadata() else { return true };
    config.seed_files().any(|seed| {
        seed.metadata().is_ok_and(|seed| (seed.dev(), seed.ino()) == (metadata.dev(), metadata.ino()))
    })
}

fn seed(name: &Name) -> Refusal {
    Refusal::new(
        ErrorCode::AccessViolation,
        "seed",
        format!("seeds are not served over TFTP: {name}; its node gets it by HTTP"),
    )
}

fn refusal(name: &Name, error: &OpenError) -> Refusal {
    match error {
        OpenError::Missing => {
            Refusal::new(ErrorCode::FileNotFound, "not_found", format!("file not found: {name}"))
        }
        OpenError::Outside => Refusal::new(
            ErrorCode::AccessViolation,
            "link_outside_root",
            format!("a link leads out of the served tree: {name}"),
        ),
        OpenError::Directory => {
            Refusal::new(ErrorCode::AccessViolation, "directory", format!("is a directory: {name}"))
        }
        OpenError::Special => Refusal::new(
            ErrorCode::AccessViolation,
            "not_a_regular_file",
            format!("is not a regular file: {name}"),
        ),
        OpenError::Denied => Refusal::new(
            ErrorCode::AccessViolation,
            "permission_denied",
            format!("the server may not read the file: {name}"),
        ),
        OpenError::System(error) => unreadable(name, &io::Error::from(*error)),
    }
}

/// The answer when the system fails to read.
pub fn unreadable(name: &Name, error: &io::Error) -> Refusal {
    let exhausted = matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM));
    if exhausted {
        return Refusal::new(
            ErrorCode::NotDefined,
            "exhausted",
            "the server has no room for another file; try again",
        );
    }
    Refusal::new(ErrorCode::NotDefined, "unreadable", format!("cannot read {name}: {error}"))
}

/// Not found; a loader that a package would bring is named with its package.
fn missing(name: &Name, config: &Config) -> Refusal {
    let package = name.file_name().and_then(loaders::named).map(|loader| loader.package);
    let text = match package {
        Some(package) => format!("file not found: {name} (install the package {package} on the bastion)"),
        None if !config.root.is_dir() => format!("file not found: {name} (the boot root does not exist)"),
        None => format!("file not found: {name}"),
    };
    Refusal::new(ErrorCode::FileNotFound, "not_found", text)
}

#[cfg(test)]
mod tests;
