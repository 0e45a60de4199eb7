//! The command line of `farosctl lb`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

/// `farosctl lb …`
#[derive(Debug, Subcommand)]
pub enum LbCommand {
    /// The front ends and their servers: who serves, who does not and why
    Status {
        /// Only this front end
        frontend: Option<String>,
    },
    /// Give a server no new connections, and wait until those it has are over
    Drain {
        /// Which
        #[command(flatten)]
        server: ServerArguments,
        /// Reset what is left after this time
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        within: Option<Duration>,
        /// Wait no longer than that; the server stays drained
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "10m")]
        timeout: Duration,
        /// Do not wait
        #[arg(long)]
        no_wait: bool,
    },
    /// Let what a server's checks say count again
    Enable {
        /// Which
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Give a server neither connections nor checks, until it is enabled
    Maintenance {
        /// Which
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Add a server to a front end
    Add {
        /// The front end
        frontend: String,
        /// The server's name
        name: String,
        /// Its address and port
        address: SocketAddr,
        /// Its share, 0 to 256
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=256))]
        weight: u16,
        /// It serves only while no other does
        #[arg(long)]
        backup: bool,
        /// It stays over a restart of the daemon
        #[arg(long)]
        persist: bool,
    },
    /// Remove a server, whether it was added or stands in the site file
    Remove {
        /// Which
        #[command(flatten)]
        server: ServerArguments,
        /// It stays away over a restart of the daemon
        #[arg(long)]
        persist: bool,
        /// Reset its connections
        #[arg(long)]
        cut: bool,
    },
    /// Take the bootstrap machine out for good: it does this by itself once the control plane stands
    Retire {
        /// Only in this front end
        #[arg(long, value_name = "NAME")]
        frontend: Option<String>,
    },
    /// Let the bootstrap machine serve again while no other does, for an installation that begins anew
    Recall {
        /// Only in this front end
        #[arg(long, value_name = "NAME")]
        frontend: Option<String>,
    },
    /// Turn a haproxy.cfg into [[lb.frontend]] tables, and name what it would do to a cluster
    Import(ImportArguments),
}

/// Which server.
#[derive(Args, Clone, Debug)]
pub struct ServerArguments {
    /// The server's name
    #[arg(value_name = "SERVER")]
    pub name: String,
    /// Only in this front end; in all that have it, unless given
    #[arg(long, value_name = "NAME")]
    pub frontend: Option<String>,
}

/// `farosctl lb import …`
#[derive(Args, Clone, Debug)]
pub struct ImportArguments {
    /// The haproxy.cfg; - for standard input
    pub file: PathBuf,
    /// Ask the system for addresses of hosts that the site file does not name
    #[arg(long)]
    pub resolve: bool,
    /// Also the front ends that the site file derives from the cluster's kind
    #[arg(long)]
    pub all: bool,
}
