//! The DHCP servers that are compared, each configured for speed: no ping before an offer, no line of log per lease.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::netns::{Link, PREFIX_LENGTH, SERVER_INTERFACE};
use crate::options::Options;
use crate::process::Server;
use crate::progress::now;
use crate::site::{self, LEASE_SECS, POOL_FIRST, POOL_LAST};
use crate::{Error, machine, programs};

use super::perfdhcp;

/// A DHCP server to measure.
#[derive(Clone, Debug)]
pub struct Contender {
    kind: Kind,
    /// Our program, for ours.
    ours: PathBuf,
}

/// Which server, in which configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// faros-dhcpd with its journal.
    Faros,
    /// Kea, one thread, memfile.
    Kea,
    /// Kea, two threads, memfile.
    KeaTwo,
    /// dnsmasq without the ping before an offer.
    Dnsmasq,
}

impl Kind {
    /// The name in tables and for `--only`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Faros => "faros-dhcpd",
            Self::Kea => "kea",
            Self::KeaTwo => "kea-2-threads",
            Self::Dnsmasq => "dnsmasq",
        }
    }

    /// What has happened to a lease when its ACK is sent.
    pub fn promise(self) -> &'static str {
        match self {
            Self::Faros => "on disk (fdatasync, one for many)",
            Self::Kea | Self::KeaTwo => "handed to the kernel (no fsync)",
            Self::Dnsmasq => "on disk (whole file rewritten, fsync)",
        }
    }

    /// A rate, in exchanges per second, near what it is known to reach: where the first search begins.
    pub fn first_rate(self) -> f64 {
        match self {
            Self::Faros | Self::Kea | Self::KeaTwo => 8000.0,
            Self::Dnsmasq => 300.0,
        }
    }
}

impl Contender {
    /// All servers, ours first.
    pub fn all(options: &Options) -> Vec<Self> {
        let ours = options.our_program("faros-dhcpd");
        let kinds = [Kind::Faros, Kind::Kea, Kind::KeaTwo, Kind::Dnsmasq];
        kinds.map(|kind| Self { kind, ours: ours.clone() }).into()
    }

    /// Which one it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its version, or why it cannot be measured.
    pub fn version(&self) -> Result<String, Error> {
        let (program, flag) = match self.kind {
            Kind::Faros => {
                let program = self.ours.display().to_string();
                if !self.ours.is_file() {
                    let remedy = "run `cargo xtask bench dhcp`, which builds it".to_owned();
                    return Err(Error::Missing { program, remedy });
                }
                (program, "--version")
            }
            Kind::Kea | Kind::KeaTwo => (programs::path("kea-dhcp4")?, "-v"),
            Kind::Dnsmasq => (programs::path("dnsmasq")?, "--version"),
        };
        let version = machine::version(&program, flag);
        version.ok_or(Error::Unread { what: program, wanted: "version".to_owned() })
    }

    /// Starts it with an empty lease database in `dir` and waits until it has completed an exchange.
    pub fn start(&self, link: &Link, dir: &Path) -> Result<Server, Error> {
        let command = match self.kind {
            Kind::Faros => self.faros(link, dir)?,
            Kind::Kea => kea(link, dir, 1)?,
            Kind::KeaTwo => kea(link, dir, 2)?,
            Kind::Dnsmasq => dnsmasq(link, dir)?,
        };
        let mut server = Server::start(self.kind.name(), command, dir.join("server.log"))?;
        let start = now();
        loop {
            server.check()?;
            if perfdhcp::answers(link, dir).unwrap_or(false) {
                return Ok(server);
            }
            if start.elapsed() > START_TIMEOUT {
                return Err(server.failure("completed no exchange"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn faros(&self, link: &Link, dir: &Path) -> Result<Command, Error> {
        let site = dir.join("site.toml");
        fs::write(&site, site::text(&dir.join("boot"))).map_err(Error::file(&site))?;
        let mut command = link.at_server(&self.ours.display().to_string());
        command.arg("--site").arg(&site);
        command.arg("--state-dir").arg(dir.join("state")).arg("--run-dir").arg(dir.join("run"));
        command.env("FAROS_LOG", "warn");
        Ok(command)
    }
}

/// How long a server may take from its start to its first exchange.
const START_TIMEOUT: Duration = Duration::from_secs(15);

fn kea(link: &Link, dir: &Path, threads: u32) -> Result<Command, Error> {
    let leases = dir.join("leases.csv");
    let text = format!(
        r#"{{"Dhcp4": {{
  "interfaces-config": {{ "interfaces": ["{SERVER_INTERFACE}"], "dhcp-socket-type": "udp" }},
  "lease-database": {{ "type": "memfile", "persist": true, "name": "{}", "lfc-interval": 0 }},
  "multi-threading": {{ "enable-multi-threading": {}, "thread-pool-size": {threads}, "packet-queue-size": 64 }},
  "valid-lifetime": {LEASE_SECS},
  "subnet4": [{{ "subnet": "10.77.0.0/{PREFIX_LENGTH}", "pools": [{{ "pool": "{POOL_FIRST}-{POOL_LAST}" }}] }}],
  "loggers": [{{ "name": "kea-dhcp4", "severity": "WARN", "output_options": [{{ "output": "stderr" }}] }}]
}}}}"#,
        leases.display(),
        threads > 1,
    );
    let config = dir.join("kea.json");
    fs::write(&config, text).map_err(Error::file(&config))?;
    let mut command = link.at_server(&programs::path("kea-dhcp4")?);
    command.arg("-c").arg(&config).env("KEA_PIDFILE_DIR", dir).env("KEA_LOCKFILE_DIR", dir);
    Ok(command)
}

fn dnsmasq(link: &Link, dir: &Path) -> Result<Command, Error> {
    let mut command = link.at_server(&programs::path("dnsmasq")?);
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--port=0"]);
    command.args(["--user=root", "--log-facility=-", "--quiet-dhcp", "--bind-interfaces", "--no-ping"]);
    command.arg(format!("--interface={SERVER_INTERFACE}"));
    command.arg(format!("--dhcp-range={POOL_FIRST},{POOL_LAST},255.255.0.0,{LEASE_SECS}s"));
    command.arg("--dhcp-lease-max=100000");
    command.arg(format!("--dhcp-leasefile={}", dir.join("leases").display()));
    Ok(command)
}
