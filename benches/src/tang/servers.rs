//! The Tang servers that are compared, and their keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::netns::{Link, PREFIX_LENGTH, SERVER_ADDRESS, SERVER_INTERFACE};
use crate::options::Options;
use crate::process::Server;
use crate::progress::now;
use crate::work_dir::WorkDir;
use crate::{Error, machine, programs};

/// How often the keys were rotated before anything is measured.
pub const ROTATIONS: u32 = 8;

/// Debian's programs lie outside of `PATH`.
const UPSTREAM_PROGRAMS: &str = "/usr/libexec";
const PORT: u16 = 7500;

/// A Tang server to measure.
#[derive(Clone, Debug)]
pub struct Contender {
    kind: Kind,
    daemon: PathBuf,
    load: PathBuf,
}

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// faros-tangd, with its audit log.
    Faros,
    /// Debian's tangd: a process per connection, started by socat as systemd's socket unit would.
    Tangd,
}

impl Kind {
    /// The name in tables and for `--only`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Faros => "faros-tangd",
            Self::Tangd => "tangd",
        }
    }
}

/// Where each server listens.
pub fn listen() -> String {
    format!("{SERVER_ADDRESS}:{PORT}")
}

impl Contender {
    /// All servers, ours first.
    pub fn all(options: &Options) -> Vec<Self> {
        let (daemon, load) = (options.our_program("faros-tangd"), options.our_program("tang-load"));
        [Kind::Faros, Kind::Tangd]
            .map(|kind| Self { kind, daemon: daemon.clone(), load: load.clone() })
            .into()
    }

    /// Which one it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The client to ask it with.
    pub fn load_program(&self) -> Result<String, Error> {
        ours(&self.load)
    }

    /// Its version, or why it cannot be measured.
    pub fn version(&self) -> Result<String, Error> {
        match self.kind {
            Kind::Faros => {
                let program = ours(&self.daemon)?;
                let version = machine::version(&program, "--version");
                version.ok_or(Error::Unread { what: program, wanted: "version".to_owned() })
            }
            // It has no flag for it.
            Kind::Tangd => {
                let mut query = Command::new("dpkg-query");
                query.args(["-W", "-f", "${Package} ${Version}; ", "tang-common", "socat"]);
                let said = query.output().map_err(Error::system("dpkg-query"))?.stdout;
                Ok(String::from_utf8_lossy(&said).trim_end_matches("; ").to_owned())
            }
        }
    }

    /// Starts it on a copy of `keys` and waits until it `answers`.
    pub fn start(
        &self,
        link: &Link,
        dir: &Path,
        keys: &Path,
        answers: impl Fn() -> Result<bool, Error>,
    ) -> Result<Server, Error> {
        let own_keys = dir.join("keys");
        run(Command::new("cp").arg("-a").arg(keys).arg(&own_keys))?;
        let mut command = match self.kind {
            Kind::Faros => self.faros(link, dir, &own_keys)?,
            Kind::Tangd => {
                let mut command = link.at_server(&programs::path("socat")?);
                command.arg(format!("TCP-LISTEN:{PORT},bind={SERVER_ADDRESS},reuseaddr,fork,backlog=128"));
                command.arg(format!("EXEC:{} {}", upstream("tangd")?.display(), own_keys.display()));
                command
            }
        };
        command.env("FAROS_LOG", "warn");
        let mut server = Server::start(self.kind.name(), command, dir.join("server.log"))?;
        let start = now();
        loop {
            server.check()?;
            if answers()? {
                return Ok(server);
            }
            if start.elapsed() > START_TIMEOUT {
                return Err(server.failure("advertised no keys"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn faros(&self, link: &Link, dir: &Path, keys: &Path) -> Result<Command, Error> {
        let mut command = link.at_server(&ours(&self.daemon)?);
        let site = dir.join("site.toml");
        let text = format!(
            "version = 1\n\n\
             [cluster]\nname = \"bench\"\ndomain = \"example.com\"\nkind = \"none\"\n\n\
             [lan]\ninterface = \"{SERVER_INTERFACE}\"\naddress = \"{SERVER_ADDRESS}/{PREFIX_LENGTH}\"\n\n\
             [tang]\nport = {PORT}\nkeys = \"{}\"\nrate = 0\n",
            keys.display()
        );
        fs::write(&site, text).map_err(Error::file(&site))?;
        command.arg("--site").arg(&site);
        command.arg("--state-dir").arg(dir.join("state")).arg("--run-dir").arg(dir.join("run"));
        Ok(command)
    }
}

/// How long a server may take from its start to its first advertisement.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// Makes a pair of keys in use and [`ROTATIONS`] that are rotated out, by upstream's own programs.
pub fn make_keys(work: &WorkDir) -> Result<PathBuf, Error> {
    let keys = work.fresh("keys")?;
    run(Command::new(upstream("tangd-keygen")?).arg(&keys))?;
    for _ in 0..ROTATIONS {
        run(Command::new(upstream("tangd-rotate-keys")?).arg("-d").arg(&keys))?;
    }
    Ok(keys)
}

/// The name of the key in use that exchanges: that of its file.
pub fn exchange_thumbprint(keys: &Path) -> Result<String, Error> {
    for entry in fs::read_dir(keys).map_err(Error::file(keys))?.flatten() {
        let path = entry.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jwk")) else {
            continue;
        };
        let content = fs::read_to_string(&path).map_err(Error::file(&path))?;
        if !name.starts_with('.') && content.contains("deriveKey") {
            return Ok(name.to_owned());
        }
    }
    Err(Error::Unread { what: "tangd-keygen".to_owned(), wanted: "key for exchanges".to_owned() })
}

fn upstream(program: &str) -> Result<PathBuf, Error> {
    let path = Path::new(UPSTREAM_PROGRAMS).join(program);
    if path.is_file() {
        return Ok(path);
    }
    let remedy = "run `cargo xtask packages --job bench`".to_owned();
    Err(Error::Missing { program: path.display().to_string(), remedy })
}

fn run(command: &mut Command) -> Result<(), Error> {
    let what = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(Error::system(&what))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::Failed { what: format!("{what} failed"), said })
}

fn ours(program: &Path) -> Result<String, Error> {
    if program.is_file() {
        return Ok(program.display().to_string());
    }
    let remedy = "run `cargo xtask bench tang`, which builds it".to_owned();
    Err(Error::Missing { program: program.display().to_string(), remedy })
}
