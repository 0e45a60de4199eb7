//! The services.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::site::Mac;

/// DHCP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dhcp {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// Where it listens; port 67 of the LAN address unless set.
    pub listen: Vec<SocketAddr>,
    /// How long a lease lasts.
    pub lease: Duration,
    /// Machines that are never answered.
    pub ignore: Vec<Mac>,
    /// Options for every client, by number.
    pub options: Vec<DhcpOption>,
    /// Whether unknown addresses are refused with NAK (RFC 2131 section 4.3.2).
    pub authoritative: bool,
    /// Whether IPv6 router advertisements are sent on the LAN, so that firmware need not wait for one.
    pub router_advertisements: bool,
}

/// A DHCP option given by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DhcpOption {
    /// The option's code, 1 to 254.
    pub code: u8,
    /// Its bytes as they go onto the wire.
    pub value: Vec<u8>,
}

/// TFTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tftp {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// Where it listens; port 69 of the LAN address unless set.
    pub listen: Vec<SocketAddr>,
    /// The tree it serves, read-only.
    pub root: PathBuf,
}

/// Boot scripts, Ignition and files over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Http {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// Where it listens; [`Http::port`] of the LAN address unless set.
    pub listen: Vec<SocketAddr>,
    /// Its port.
    pub port: u16,
    /// The tree it serves.
    pub root: PathBuf,
}

/// A source of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NtpSource {
    /// How it is asked.
    pub kind: NtpSourceKind,
    /// Host name or address; a path for reference clocks.
    pub host: String,
    /// The port, where it is not the usual one.
    pub port: Option<u16>,
}

/// How a source of time is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the scheme of the URL says it")]
pub enum NtpSourceKind {
    Ntp,
    Nts,
    Pool,
    Sock,
    Shm,
    Pps,
}

/// Time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ntp {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// Where it listens; port 123 of the LAN addresses unless set.
    pub listen: Vec<SocketAddr>,
    /// Where the time comes from.
    pub sources: Vec<NtpSource>,
    /// The stratum served without a source, if any is.
    pub local_stratum: Option<u8>,
    /// How long without any source before that.
    pub local_after: Duration,
}

/// The web console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Console {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// Where it listens; [`Console::port`] of the LAN address unless set.
    pub listen: Vec<SocketAddr>,
    /// Its port.
    pub port: u16,
}
