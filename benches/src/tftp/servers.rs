//! The TFTP servers that are compared.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::netns::{Link, SERVER_ADDRESS};
use crate::options::Options;
use crate::process::Server;
use crate::progress::now;
use crate::{Error, machine, programs, site};

use super::clients;

/// A TFTP server to measure.
#[derive(Clone, Debug)]
pub struct Contender {
    kind: Kind,
    /// Our program, for ours.
    ours: PathBuf,
}

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// faros-tftpd.
    Faros,
    /// dnsmasq's TFTP.
    Dnsmasq,
    /// tftpd-hpa: a process per transfer.
    Hpa,
    /// atftpd: a thread per transfer.
    Atftpd,
}

impl Kind {
    /// The name in tables and for `--only`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Faros => "faros-tftpd",
            Self::Dnsmasq => "dnsmasq",
            Self::Hpa => "tftpd-hpa",
            Self::Atftpd => "atftpd",
        }
    }
}

impl Contender {
    /// All servers, ours first.
    pub fn all(options: &Options) -> Vec<Self> {
        let ours = options.our_program("faros-tftpd");
        let kinds = [Kind::Faros, Kind::Dnsmasq, Kind::Hpa, Kind::Atftpd];
        kinds.map(|kind| Self { kind, ours: ours.clone() }).into()
    }

    /// Which one it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its version, or why it cannot be measured.
    pub fn version(&self) -> Result<String, Error> {
        let program = self.program()?;
        let version = machine::version(&program, "--version");
        version.ok_or(Error::Unread { what: program, wanted: "version".to_owned() })
    }

    /// Starts it on the tree `boot` and waits until it serves.
    pub fn start(&self, link: &Link, dir: &Path, boot: &Path) -> Result<Server, Error> {
        let mut command = link.at_server(&self.program()?);
        match self.kind {
            Kind::Faros => self.faros(&mut command, dir, boot)?,
            Kind::Dnsmasq => dnsmasq(&mut command, boot),
            Kind::Hpa => {
                // -L stays in the foreground; it has no long form in every version.
                command.args(["-L", "--ipv4", "--address", SERVER_ADDRESS, "--secure"]).arg(boot);
            }
            Kind::Atftpd => {
                command.args(["--daemon", "--no-fork", "--logfile", "-", "--verbose=0"]);
                command
                    .args(["--bind-address", SERVER_ADDRESS, "--user", "nobody", "--group", "nogroup"])
                    .arg(boot);
            }
        }
        let mut server = Server::start(self.kind.name(), command, dir.join("server.log"))?;
        let start = now();
        loop {
            server.check()?;
            if clients::answers(link, dir)? {
                return Ok(server);
            }
            if start.elapsed() > START_TIMEOUT {
                return Err(server.failure("served no file"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn program(&self) -> Result<String, Error> {
        let name = match self.kind {
            Kind::Faros if self.ours.is_file() => return Ok(self.ours.display().to_string()),
            Kind::Faros => {
                let remedy = "run `cargo xtask bench tftp`, which builds it".to_owned();
                return Err(Error::Missing { program: self.ours.display().to_string(), remedy });
            }
            Kind::Dnsmasq => "dnsmasq",
            Kind::Hpa => "in.tftpd",
            Kind::Atftpd => "atftpd",
        };
        programs::path(name)
    }

    fn faros(&self, command: &mut Command, dir: &Path, boot: &Path) -> Result<(), Error> {
        let site = dir.join("site.toml");
        fs::write(&site, site::text(boot)).map_err(Error::file(&site))?;
        command.arg("--site").arg(&site);
        command.arg("--state-dir").arg(dir.join("state")).arg("--run-dir").arg(dir.join("run"));
        command.env("FAROS_LOG", "warn");
        Ok(())
    }
}

/// How long a server may take from its start to its first file.
const START_TIMEOUT: Duration = Duration::from_secs(15);

fn dnsmasq(command: &mut Command, boot: &Path) {
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--port=0"]);
    command.args(["--user=root", "--log-facility=-", "--quiet-tftp", "--bind-interfaces", "--enable-tftp"]);
    command.arg(format!("--listen-address={SERVER_ADDRESS}"));
    command.arg(format!("--tftp-root={}", boot.display()));
}
