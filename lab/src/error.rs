//! Why a lab could not be built or run.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use faros_common::site::Report;

/// Why a lab could not be built or run.
#[derive(Debug)]
pub enum LabError {
    /// The site file is refused, with everything that is wrong with it.
    Site(Report),
    /// The site cannot be played in a lab.
    Unplayable(String),
    /// A right or a program is missing; the text says which and how to get it.
    Missing(String),
    /// A program that the lab runs failed.
    Command {
        /// What was run.
        command: String,
        /// What it said.
        said: String,
    },
    /// A daemon did not start, ended, or did not answer.
    Daemon {
        /// Its name.
        name: String,
        /// What happened.
        what: String,
        /// The end of its log.
        log: String,
    },
    /// An admin socket or a server answered with an error.
    Answer {
        /// Who.
        who: String,
        /// The status and the reason.
        what: String,
    },
    /// A file or the system refused.
    Io {
        /// What was being done to what.
        what: String,
        /// The system's words.
        source: io::Error,
    },
    /// Nothing happened in time.
    TimedOut(String),
    /// Somebody pressed Ctrl-C or sent SIGTERM.
    Interrupted,
}

impl LabError {
    /// An I/O error with what was being done (`read`, `create`) to which path.
    pub(crate) fn io<'a>(verb: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { what: format!("{verb} {}", PathBuf::from(path).display()), source }
    }

    /// An I/O error with what was being done.
    pub(crate) fn doing(what: &str) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { what: what.to_owned(), source }
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(report) => write!(f, "{report}"),
            Self::Unplayable(text) | Self::Missing(text) | Self::TimedOut(text) => f.write_str(text),
            Self::Command { command, said } => write!(f, "`{command}` failed: {}", said.trim_end()),
            Self::Daemon { name, what, log } if log.is_empty() => write!(f, "{name} {what}"),
            Self::Daemon { name, what, log } => write!(f, "{name} {what}; the end of its log:\n{log}"),
            Self::Answer { who, what } => write!(f, "{who} answered: {what}"),
            Self::Io { what, source } => write!(f, "cannot {what}: {source}"),
            Self::Interrupted => f.write_str("interrupted; everything was taken down"),
        }
    }
}

impl std::error::Error for LabError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
