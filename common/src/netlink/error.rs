//! Why the kernel did not do what was asked.

use std::{fmt, io};

use rustix::io::Errno;

use super::attribute::Malformed;

/// The kernel's "no".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error number (errno(3)): positive.
    pub code: i32,
    /// What the kernel says in words, where it does (extended acknowledgement).
    pub text: Option<String>,
    /// Where in the request the attribute is that it does not like, from the netlink header on.
    pub offset: Option<u32>,
}

impl Refusal {
    /// Whether it is this error number.
    pub fn is(&self, code: Errno) -> bool {
        self.code == code.raw_os_error()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", io::Error::from_raw_os_error(self.code))?;
        match &self.text {
            Some(text) => write!(formatter, ": {text}"),
            None => Ok(()),
        }
    }
}

/// What can go wrong.
#[derive(Debug)]
pub enum Error {
    /// A system call failed.
    System {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The kernel refused. `EPERM`: `CAP_NET_ADMIN` is needed in this network namespace.
    Refused(Refusal),
    /// The kernel did not answer in time; nothing is known.
    TimedOut,
    /// The answer cannot be read; nothing is known.
    Malformed(Malformed),
    /// The question has an attribute of more than 65535 octets; it was not sent.
    TooLong,
    /// More events came than the socket's buffer holds; some are lost. List anew what they were about, then go on.
    Overrun,
    /// What was being listed changed so often that no consistent list came about. Ask again.
    Unstable,
}

impl Error {
    pub(super) fn system(doing: &'static str) -> impl FnOnce(Errno) -> Self {
        move |code| Self::System { doing, source: code.into() }
    }

    /// The kernel's error number, where it is the kernel's.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            Self::System { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// Whether what was asked for is not there (`ENOENT`, `ESRCH`, …).
    pub fn is_absent(&self) -> bool {
        let absent = [Errno::NOENT, Errno::SRCH, Errno::NODEV, Errno::ADDRNOTAVAIL].map(Errno::raw_os_error);
        self.code().is_some_and(|code| absent.contains(&code))
    }

    /// Whether privilege is lacking.
    pub fn is_permission(&self) -> bool {
        self.code().is_some_and(|code| [Errno::PERM, Errno::ACCESS].map(Errno::raw_os_error).contains(&code))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { doing, source } => write!(formatter, "cannot {doing}: {source}"),
            Self::Refused(refusal) => write!(formatter, "the kernel refused: {refusal}"),
            Self::TimedOut => formatter.write_str("the kernel did not answer in time"),
            Self::Malformed(malformed) => {
                write!(formatter, "the kernel's answer cannot be read: {malformed}")
            }
            Self::TooLong => formatter.write_str("an attribute of the question is longer than 65535 octets"),
            Self::Overrun => formatter.write_str("events came faster than they were read; some are lost"),
            Self::Unstable => formatter.write_str("what was to be listed changed all the time; ask again"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { source, .. } => Some(source),
            Self::Malformed(malformed) => Some(malformed),
            _ => None,
        }
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::System { source, .. } => source.kind(),
            Error::Refused(refusal) => Self::from_raw_os_error(refusal.code).kind(),
            Error::TimedOut => io::ErrorKind::TimedOut,
            Error::Malformed(_) => io::ErrorKind::InvalidData,
            Error::TooLong => io::ErrorKind::InvalidInput,
            Error::Overrun | Error::Unstable => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
