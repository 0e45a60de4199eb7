//! Why a benchmark could not be run to its end.

use std::fmt;
use std::path::Path;

/// Why a benchmark could not be run to its end. A missed target is none of these.
#[derive(Debug)]
pub enum Error {
    /// A program is not on this machine.
    Missing {
        /// The program.
        program: String,
        /// What brings it here.
        remedy: String,
    },
    /// A program ended badly or never did what it was started for.
    Failed {
        /// Which program, and what happened.
        what: String,
        /// What it said last.
        said: String,
    },
    /// A program printed something else than was expected from it.
    Unread {
        /// The program.
        what: String,
        /// The part that was not found.
        wanted: String,
    },
    /// The operating system refused something.
    System {
        /// What was tried.
        what: String,
        /// Its answer.
        source: std::io::Error,
    },
}

impl Error {
    /// An error of the operating system, with what was tried: `map_err(Error::system("…"))`.
    pub fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::System { what: what.into(), source }
    }

    /// The same for a file.
    pub fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        Self::system(path.display().to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { program, remedy } => write!(out, "{program} is missing: {remedy}"),
            Self::Failed { what, said } if said.trim().is_empty() => write!(out, "{what}"),
            Self::Failed { what, said } => write!(out, "{what}:\n{}", said.trim_end()),
            Self::Unread { what, wanted } => write!(out, "{what} printed no {wanted:?}"),
            Self::System { what, source } => write!(out, "{what}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { source, .. } => Some(source),
            _ => None,
        }
    }
}
