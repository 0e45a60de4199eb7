//! What can go wrong.

use std::fmt;
use std::io;

use faros_common::netlink::Error;
use faros_common::netlink::nftables::CommitError;

/// Why the kernel plane could not do something.
#[derive(Debug)]
pub enum KernelError {
    /// `CAP_NET_ADMIN` is lacking.
    Permission,
    /// The kernel lacks something that the rules need.
    Lacking(String),
    /// The kernel did not answer, or not as it should.
    Netlink(Error),
    /// The kernel refused the transaction; all is as it was.
    Commit(CommitError),
    /// Forwarding could not be switched.
    Forwarding(io::Error),
}

impl fmt::Display for KernelError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permission => formatter.write_str(
                "the packet filter may not be changed: run as root, or with the capability CAP_NET_ADMIN",
            ),
            Self::Lacking(what) => write!(
                formatter,
                "the kernel lacks what the rules need ({what}): load its nf_tables and nat modules"
            ),
            Self::Netlink(error) => error.fmt(formatter),
            Self::Commit(error) => write!(formatter, "the rules are as they were: {error}"),
            Self::Forwarding(error) => write!(
                formatter,
                "forwarding cannot be switched ({error}): set net.ipv4.ip_forward or net.ipv6.conf.all.forwarding yourself"
            ),
        }
    }
}

impl std::error::Error for KernelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Permission | Self::Lacking(_) => None,
            Self::Netlink(error) => Some(error),
            Self::Commit(error) => Some(error),
            Self::Forwarding(error) => Some(error),
        }
    }
}

impl From<Error> for KernelError {
    fn from(error: Error) -> Self {
        if error.is_permission() { Self::Permission } else { Self::Netlink(error) }
    }
}

impl From<CommitError> for KernelError {
    fn from(error: CommitError) -> Self {
        Self::Commit(error)
    }
}
