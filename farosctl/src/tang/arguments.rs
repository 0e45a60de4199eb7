//! The command line of `farosctl tang`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::seal::SealCommand;

/// `farosctl tang …`
#[derive(Debug, Subcommand)]
pub enum TangCommand {
    /// The keys: thumbprints, age, and which nodes still use those that are rotated out
    ShowKeys {
        /// Read this key directory, instead of asking tangd
        #[arg(long, value_name = "DIR")]
        keys: Option<PathBuf>,
    },
    /// Make a fresh pair; the keys that were stay for the nodes that use them
    Rotate,
    /// Delete a key that is rotated out, for good; refused while nodes still use it
    Forget {
        /// Its thumbprint, of any hash
        thumbprint: String,
        /// Lock out whoever still uses it
        #[arg(long)]
        force: bool,
        /// Do not ask on a terminal (elsewhere nothing is asked)
        #[arg(short, long)]
        yes: bool,
    },
    /// Who unlocked what and when; and whether that log is still as it was written
    Audit {
        /// Read this log (a file, or its directory), instead of asking tangd
        #[arg(long, value_name = "PATH")]
        file: Option<PathBuf>,
        /// Only the last so many entries
        #[arg(short = 'n', long, value_name = "LINES", default_value_t = 20)]
        lines: usize,
    },
    /// Who waits for approval, who has it, and what is locked
    Waiting,
    /// Let nodes unlock their disks whatever holds them; those that wait go on without a reboot
    Approve {
        /// Their names; an address for a machine that is no node
        #[arg(required_unless_present = "all")]
        nodes: Vec<String>,
        /// Everybody who waits at this moment
        #[arg(long, conflicts_with = "nodes")]
        all: bool,
        /// For how long, up to 24h
        #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
        lasts: Duration,
    },
    /// Refuse nodes their keys, at once and across restarts, until they are unlocked
    Lock {
        /// Their names; an address for a machine that is no node
        #[arg(required_unless_present = "all")]
        nodes: Vec<String>,
        /// Everything
        #[arg(long, conflicts_with = "nodes")]
        all: bool,
        /// Why; shown wherever the lock is
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// End locks
    Unlock {
        /// Names or addresses, as they were locked
        #[arg(required_unless_present = "all")]
        nodes: Vec<String>,
        /// The lock on everything; nodes that were locked by name stay so
        #[arg(long, conflicts_with = "nodes")]
        all: bool,
    },
    /// The Butane block that encrypts disks of nodes and binds them to this site's Tang
    Butane(ButaneArguments),
    /// Keys that are encrypted at rest
    #[command(flatten)]
    Sealing(SealCommand),
}

/// `farosctl tang butane …`
#[derive(Args, Clone, Debug)]
pub struct ButaneArguments {
    /// The node whose role it is for
    #[arg(conflicts_with = "role")]
    pub node: Option<String>,
    /// The role it is for [default: the only one that the site's nodes have]
    #[arg(long, value_enum, value_name = "ROLE")]
    pub role: Option<Pool>,
    /// For which system [default: openshift for a cluster of that kind, else fcos]
    #[arg(long, value_enum, value_name = "VARIANT")]
    pub variant: Option<Variant>,
    /// Bind to the machine's TPM as well
    #[arg(long)]
    pub tpm: bool,
    /// A further Tang server, with the thumbprint of one of its signing keys; may be repeated
    #[arg(long, value_name = "URL#THUMBPRINT")]
    pub tang: Vec<String>,
    /// How many of them it takes to unlock [default: any one server; with --tpm, all servers and the TPM]
    #[arg(long, value_name = "N")]
    pub threshold: Option<usize>,
    /// Encrypt this disk or partition instead of the root disk; may be repeated
    #[arg(long, value_name = "DEVICE")]
    pub device: Vec<String>,
    /// The layout of the root disk
    #[arg(long, value_enum, default_value = "x86_64")]
    pub layout: Layout,
    /// With FIPS 140 (openshift)
    #[arg(long)]
    pub fips: bool,
    /// Read this key directory, instead of asking tangd
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
}

/// A role that a MachineConfig is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pool {
    /// The control plane (`master`)
    ControlPlane,
    /// Workers
    Worker,
}

/// A variant of the Butane format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Variant {
    /// A MachineConfig for OpenShift
    Openshift,
    /// Ignition for Fedora CoreOS
    Fcos,
}

/// The layout of a root disk, by the machine's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// 64-bit x86
    #[value(name = "x86_64")]
    X86_64,
    /// 64-bit Arm
    #[value(name = "aarch64")]
    Aarch64,
    /// 64-bit POWER
    #[value(name = "ppc64le")]
    Ppc64le,
}

impl Layout {
    /// The name in a Butane file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::Ppc64le => "ppc64le",
        }
    }
}
