//! How a command ends: stable exit codes, and what is said on standard error.

use std::fmt;
use std::io;
use std::process::ExitCode;

use faros_common::admin::client::ClientError;

/// The exit codes of `farosctl`; `docs/reference/exit-codes.md` explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done as asked.
    Done = 0,
    /// What was asked for could not be done.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Answered, but something that should run does not, or runs on an old site file.
    Degraded = 3,
    /// What is there differs from what the site file asks for.
    Drift = 4,
    /// What was waited for did not come in time.
    TimedOut = 5,
    /// The site file is refused.
    SiteRefused = 78,
    /// Ctrl-C ended what would otherwise have come to an end of its own.
    Interrupted = 130,
}

impl Exit {
    /// Every code, for the page that lists them.
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Degraded,
        Self::Drift,
        Self::TimedOut,
        Self::SiteRefused,
        Self::Interrupted,
    ];

    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command ends before its end.
#[derive(Debug)]
pub enum Failure {
    /// It says why: `what; what to do next`.
    Because(Exit, String),
    /// Everything has been said already.
    Said(Exit),
    /// Whoever read our output has closed it (`| head`): their choice, nothing to complain about.
    OutputClosed,
}

impl Failure {
    /// What was asked for could not be done. `text` is `what; what to do next`.
    pub fn failed(text: impl Into<String>) -> Self {
        Self::Because(Exit::Failed, text.into())
    }

    /// The command line asks for what makes no sense.
    pub fn usage(text: impl Into<String>) -> Self {
        Self::Because(Exit::Usage, text.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::failed(format!("cannot write the answer: {error}; see to the place it is written to")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Because(_, text) => f.write_str(text),
            Self::Said(_) | Self::OutputClosed => Ok(()),
        }
    }
}

/// What a daemon's refusal to answer means for the operator, as `what; what to do next`.
pub(crate) fn advice(daemon: &str, error: &ClientError) -> String {
    match error {
        ClientError::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            format!("{daemon}: {error}")
        }
        ClientError::Connect { socket, source } => format!(
            "{daemon} does not answer at {} ({source}); start it with: systemctl start faros-{daemon}",
            socket.display()
        ),
        ClientError::Refused(_, reason) => format!("{daemon}: {reason}"),
        ClientError::TimedOut => {
            format!("{daemon} does not answer in time; see: journalctl -u faros-{daemon}")
        }
        ClientError::Http(_) | ClientError::TooLarge | ClientError::Json(_) => {
            format!("{daemon}: {error}; is it of the same version as farosctl?")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_complaint() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(failure, Failure::OutputClosed));
        let failure = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(failure, Failure::Because(Exit::Failed, _)));
    }

    #[test]
    fn the_page_of_exit_codes_lists_each() {
        let page = include_str!("../../docs/reference/exit-codes.md");
        for exit in Exit::ALL {
            assert!(page.contains(&format!("| {} |", exit.code())), "{exit:?} is missing");
        }
    }
}
