//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use faros_lab::Firmware;

use crate::ca::{LIFE_DAYS, LIFE_DAYS_MAX};
use crate::lb::LbCommand;
use crate::output::Format;
use crate::tang::TangCommand;
use crate::wait::Condition;

/// Everything after `farosctl`.
#[derive(Debug, Parser)]
#[command(name = "farosctl", version, about = "Sees to a far-edge site: one site file, all its daemons, every node", long_about = None)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 degraded, 4 drift, 5 timed out, 78 site file refused."
)]
#[command(subcommand_required = true, arg_required_else_help = true, max_term_width = 110)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// The site file
    #[arg(
        long,
        global = true,
        env = "FAROS_SITE",
        value_name = "FILE",
        default_value = "/etc/faros/site.toml"
    )]
    pub site: PathBuf,
    /// The directory of the daemons' admin sockets
    #[arg(long, global = true, env = "FAROS_RUN_DIR", value_name = "DIR", default_value = "/run/faros")]
    pub run_dir: PathBuf,
    /// How answers are written
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: Format,
    /// No colours (as NO_COLOR does)
    #[arg(long, global = true)]
    pub no_color: bool,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the site file, and what it names on this host
    Check {
        /// The file, instead of --site
        file: Option<PathBuf>,
    },
    /// The site file: schema, key reference, what it resolves to
    #[command(subcommand)]
    Site(SiteCommand),
    /// Which daemons are up, since when, and how they fare
    Status,
    /// What happened, from all daemons in order of time
    Events(EventsArguments),
    /// The DHCP leases
    Leases,
    /// One lease or all
    #[command(subcommand)]
    Lease(LeaseCommand),
    /// What every daemon would answer a machine and why, what it did last, and where it stalls
    Explain {
        /// A node's name, or a machine's MAC address, IP address or UUID
        machine: String,
    },
    /// The nodes of the site
    #[command(subcommand)]
    Node(NodeCommand),
    /// Loaders, boot scripts, and machines that nobody knows
    #[command(subcommand)]
    Boot(BootCommand),
    /// Make daemons read the site file again; each keeps the old one if it refuses the new
    Reload {
        /// Which ones; all that run, unless given
        daemons: Vec<String>,
    },
    /// The site's own certificates, for what daemons serve encrypted
    #[command(subcommand)]
    Ca(CaCommand),
    /// What names resolve to, and where the answer comes from
    #[command(subcommand)]
    Dns(DnsCommand),
    /// Disk unlocking: its keys, who unlocked what, and who may
    #[command(subcommand)]
    Tang(TangCommand),
    /// Balancing: who serves, who does not and why, and who shall
    #[command(subcommand)]
    Lb(LbCommand),
    /// Files for other programs, made from the site file alone; without WHAT, what there is
    Render(RenderArguments),
    /// A daemon's journal on disk, for when it is damaged
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Wait until nodes have come so far
    Wait(WaitArguments),
    /// Build the whole site on this machine and boot its nodes
    Lab(LabArguments),
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// The version of farosctl and of every daemon that runs
    Version,
}

/// `farosctl ca …`
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Make the site's authority, once; what it signs is trusted wherever its certificate is
    Init {
        /// Where
        #[command(flatten)]
        folder: CaFolder,
    },
    /// All certificates: for what, until when, and what is wrong with them
    Show {
        /// Where
        #[command(flatten)]
        folder: CaFolder,
    },
    /// Make a key and a certificate for a daemon, with the bastion's name and addresses
    Issue {
        /// The daemon, such as dnsd
        name: String,
        /// A further host name or address; may be repeated
        #[arg(long, value_name = "NAME")]
        san: Vec<String>,
        /// For how many days
        #[arg(long, value_name = "DAYS", default_value_t = LIFE_DAYS, value_parser = clap::value_parser!(u32).range(1..=i64::from(LIFE_DAYS_MAX)))]
        days: u32,
        /// Where
        #[command(flatten)]
        folder: CaFolder,
    },
    /// Make keys and certificates anew, for the same names and those that the site file adds
    Renew {
        /// Which ones; those that end within 60 days, unless given
        names: Vec<String>,
        /// For how many days
        #[arg(long, value_name = "DAYS", default_value_t = LIFE_DAYS, value_parser = clap::value_parser!(u32).range(1..=i64::from(LIFE_DAYS_MAX)))]
        days: u32,
        /// Where
        #[command(flatten)]
        folder: CaFolder,
    },
}

/// Where certificates are kept.
#[derive(Args, Clone, Debug)]
pub struct CaFolder {
    /// The directory of keys and certificates
    #[arg(long, value_name = "DIR", default_value = "/etc/faros/tls")]
    pub dir: PathBuf,
}

/// `farosctl dns …`
#[derive(Debug, Subcommand)]
pub enum DnsCommand {
    /// Ask dnsd as a client would, and say where the answer comes from
    Query {
        /// The name; one without a dot is the cluster zone's, and an address means its PTR record
        name: String,
        /// The type [default: A, or PTR for an address]
        #[arg(value_name = "TYPE")]
        kind: Option<String>,
        /// As this client, instead of one that may ask everything
        #[arg(long, value_name = "ADDRESS", conflicts_with = "server")]
        client: Option<IpAddr>,
        /// Ask the name server there (ADDRESS or ADDRESS:PORT), over the network
        #[arg(long, value_name = "SERVER")]
        server: Option<String>,
    },
}

/// `farosctl render …`
#[derive(Args, Debug)]
pub struct RenderArguments {
    /// What is to be made
    #[command(subcommand)]
    pub what: Option<RenderCommand>,
    /// Write files into this directory instead of printing them
    #[arg(long, global = true, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `farosctl render WHAT`
#[derive(Debug, Subcommand)]
pub enum RenderCommand {
    /// A zone as a master file that any name server loads
    Zone {
        /// Its name [default: the cluster zone; with --out, also every reverse zone]
        name: Option<String>,
    },
}

/// `farosctl journal …`
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// List its records and what is damaged; changes nothing
    Show {
        /// The file, such as /var/lib/faros/dhcpd/leases.journal
        file: PathBuf,
    },
    /// Keep what is readable, set the damaged file aside, and say what is lost; the daemon must be stopped
    Repair {
        /// The file
        file: PathBuf,
    },
}

/// `farosctl site …`
#[derive(Debug, Subcommand)]
pub enum SiteCommand {
    /// The JSON Schema of the site file
    Schema,
    /// Every key with its meaning, as Markdown
    Reference,
    /// The site with everything derived filled in
    Show,
    /// Every name and address of the site
    Names,
}

/// `farosctl events …`
#[derive(Args, Clone, Debug, Default)]
pub struct EventsArguments {
    /// Go on with what comes, across restarts of the daemons
    #[arg(short, long)]
    pub follow: bool,
    /// Only what is after this: an event's number, a time (RFC 3339) or an age such as 10m
    #[arg(long, value_name = "SEQ|TIME|AGE")]
    pub since: Option<String>,
    /// Only of this node (name, MAC or address)
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// Only of this daemon; may be repeated
    #[arg(long, value_name = "NAME")]
    pub daemon: Vec<String>,
    /// Only events with this id; may be repeated
    #[arg(long, value_name = "ID")]
    pub event: Vec<String>,
    /// Only the last so many of what is there already [default: all, or 10 with --follow]
    #[arg(short = 'n', long, value_name = "LINES")]
    pub lines: Option<usize>,
}

/// `farosctl lease …`
#[derive(Debug, Subcommand)]
pub enum LeaseCommand {
    /// All leases
    List,
    /// Everything about one lease
    Show {
        /// The address, the MAC, or the node's name
        which: String,
    },
    /// Take a dynamic lease back; the machine gets an address again when it asks
    Release {
        /// The address, the MAC, or the node's name
        which: String,
    },
}

/// `farosctl node …`
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// All nodes: state, address, last sign of life
    List,
    /// Everything about one node
    Show {
        /// Its name (or MAC or address)
        node: String,
    },
    /// Arm nodes: their next network boot installs them, WIPING their disk
    Install {
        /// Their names
        #[arg(required = true)]
        nodes: Vec<String>,
        /// Do not ask on a terminal (elsewhere nothing is asked)
        #[arg(short, long)]
        yes: bool,
    },
    /// Take it back: network boots lead to the local disk again
    Disarm {
        /// Their names
        #[arg(required = true)]
        nodes: Vec<String>,
    },
}

/// `farosctl boot …`
#[derive(Debug, Subcommand)]
pub enum BootCommand {
    /// The boot loaders: where each is found, or which package brings it
    Loaders {
        /// What to do with them
        #[command(subcommand)]
        command: Option<LoadersCommand>,
    },
    /// The script that a node would get now
    Script {
        /// Its name (or MAC or address)
        node: String,
    },
    /// Machines that were seen but stand nowhere in the site file
    Unknown,
}

/// `farosctl boot loaders …`
#[derive(Debug, Subcommand)]
pub enum LoadersCommand {
    /// The list
    List,
    /// Copy loaders into the boot root
    Import {
        /// Loader files, or directories that hold some
        #[arg(required = true)]
        from: Vec<PathBuf>,
        /// Replace files that are there and differ
        #[arg(long)]
        force: bool,
    },
}

/// `farosctl wait …`
#[derive(Args, Clone, Debug)]
pub struct WaitArguments {
    /// What to wait for; later stages fulfil earlier ones
    #[arg(long = "for", value_enum, value_name = "CONDITION")]
    pub condition: Condition,
    /// The nodes' names; for `up`, daemons (all, unless given)
    pub names: Vec<String>,
    /// How long at most
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// `farosctl lab …`
#[derive(Args, Clone, Debug)]
pub struct LabArguments {
    /// Processes that speak like nodes, instead of virtual machines
    #[arg(long)]
    pub light: bool,
    /// Leave the lab's directory (site file, logs, consoles, states) in place
    #[arg(long)]
    pub keep: bool,
    /// When all nodes are done, leave the site standing until Ctrl-C
    #[arg(long)]
    pub stay: bool,
    /// Record the LAN into this file (pcap)
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,
    /// Only these nodes of the site file
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub nodes: Vec<String>,
    /// This firmware for all nodes; else their names decide, or each kind in turn
    #[arg(long, value_name = "bios|uefi-pxe|uefi-http")]
    pub firmware: Option<Firmware>,
    /// How many virtual machines run at the same time
    #[arg(long, value_name = "N", default_value_t = faros_lab::JOBS)]
    pub jobs: usize,
    /// How long a node may make no progress [default: by the kind of node]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub stall: Option<Duration>,
    /// Show nothing while it runs
    #[arg(short, long)]
    pub quiet: bool,
}

#[cfg(test)]
mod tests;
