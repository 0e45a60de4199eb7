//! How a daemon ends, as sysexits(3) numbers it.

use std::fmt;
use std::process::ExitCode;

/// The exit codes of every daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done as asked.
    Clean = 0,
    /// The command line is wrong.
    Usage = 64,
    /// A defect of ours.
    Internal = 70,
    /// The system refused something.
    System = 71,
    /// Draining was cut short.
    DrainCut = 75,
    /// A privilege is missing.
    Privilege = 77,
    /// The site file is refused.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a daemon could not start. The text says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// A privilege is missing (exit code 77).
    Privilege(String),
    /// The system refused something (exit code 71).
    System(String),
    /// The site file asks for what cannot be (exit code 78).
    Config(String),
    /// A defect of ours (exit code 70).
    Internal(String),
}

impl StartError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Privilege(_) => Exit::Privilege,
            Self::System(_) => Exit::System,
            Self::Config(_) => Exit::Config,
            Self::Internal(_) => Exit::Internal,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Privilege(text) | Self::System(text) | Self::Config(text) | Self::Internal(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for StartError {}

/// Why a daemon could not go on serving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// The system refused something (exit code 71).
    System(String),
    /// A defect of ours (exit code 70).
    Internal(String),
    /// What was under way did not end in time and was cut (exit code 75).
    DrainCut(String),
}

impl RunError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::System(_) => Exit::System,
            Self::Internal(_) => Exit::Internal,
            Self::DrainCut(_) => Exit::DrainCut,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::System(text) | Self::Internal(text) | Self::DrainCut(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for RunError {}
