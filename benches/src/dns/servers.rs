//! The DNS servers that are compared.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::netns::{CLIENT_ADDRESS, Link, SERVER_ADDRESS};
use crate::options::Options;
use crate::process::{Server, run_within};
use crate::progress::now;
use crate::{Error, machine};

use super::asker::{Asked, Patience};
use super::zone::{self, Question};
use super::{generator, peers};

/// A DNS server to measure.
#[derive(Clone, Debug)]
pub struct Contender {
    kind: Kind,
    /// Our daemon.
    daemon: PathBuf,
    /// The clients and servers that are not under measurement.
    traffic: Traffic,
}

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// faros-dnsd.
    Faros,
    /// faros-dnsd with its query log on.
    FarosLog,
    /// No server: every datagram comes back.
    Echo,
    /// NSD.
    Nsd,
    /// Knot DNS.
    Knot,
    /// BIND.
    Bind,
    /// unbound.
    Unbound,
    /// dnsmasq.
    Dnsmasq,
}

/// What a server is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It serves the site's zones.
    Site,
    /// It forwards names of the world and keeps the answers.
    World,
    /// The same, and answers with what has expired when the world does not answer.
    Outage,
}

/// The processor of a server that has one alone.
pub const SERVER_PROCESSOR: &str = "0";
/// The processor of the client then.
pub const CLIENT_PROCESSOR: &str = "1";

impl Kind {
    /// The name in tables and for `--only`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Faros => "faros-dnsd",
            Self::FarosLog => "faros-dnsd-log",
            Self::Echo => "echo",
            Self::Nsd => "nsd",
            Self::Knot => "knot",
            Self::Bind => "bind",
            Self::Unbound => "unbound",
            Self::Dnsmasq => "dnsmasq",
        }
    }

    /// Whether it can be had in this role.
    pub fn has(self, role: Role) -> bool {
        match self {
            Self::Echo | Self::Nsd | Self::Knot => role == Role::Site,
            Self::FarosLog => role != Role::Outage,
            Self::Faros | Self::Bind | Self::Unbound | Self::Dnsmasq => true,
        }
    }
}

impl Role {
    /// What the server is asked.
    pub fn questions(self) -> Vec<Question> {
        match self {
            Self::Site => zone::site_questions(),
            Self::World => zone::world_questions(),
            Self::Outage => super::outage::brief_questions(),
        }
    }
}

impl Contender {
    /// All servers, ours first.
    pub fn all(options: &Options) -> Vec<Self> {
        let daemon = options.our_program("faros-dnsd");
        let traffic = Traffic { program: options.our_program("dns-traffic") };
        let kinds = [Kind::Faros, Kind::FarosLog, Kind::Echo, Kind::Nsd, Kind::Knot];
        let kinds = kinds.into_iter().chain([Kind::Bind, Kind::Unbound, Kind::Dnsmasq]);
        kinds.map(|kind| Self { kind, daemon: daemon.clone(), traffic: traffic.clone() }).collect()
    }

    /// Which one it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The clients to ask it with.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Its version, or why it cannot be measured; nothing of what has none.
    pub fn version(&self) -> Result<Option<String>, Error> {
        let flag = match self.kind {
            Kind::Echo | Kind::FarosLog => return self.program().map(|_| None),
            Kind::Faros | Kind::Dnsmasq | Kind::Knot => "--version",
            Kind::Nsd | Kind::Bind => "-v",
            Kind::Unbound => "-V",
        };
        let program = self.program()?;
        let version = machine::version(&program, flag);
        version.map(Some).ok_or(Error::Unread { what: program, wanted: "version".to_owned() })
    }

    /// Starts it with this many threads for questions, and waits until all its answers are right. `alone`: on a processor
    /// of its own.
    pub fn start(&self, link: &Link, dir: &Path, role: Role, alone: bool) -> Result<Server, Error> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = if alone { 1 } else { processors };
        let mut command = if alone { pinned(link, SERVER_PROCESSOR) } else { link.at_server("env") };
        command.arg(self.program()?);
        match self.kind {
            Kind::Faros | Kind::FarosLog => self.faros(&mut command, dir, role)?,
            Kind::Echo => {
                command.args(["echo", "--workers", &workers.to_string(), &format!("{SERVER_ADDRESS}:53")]);
            }
            Kind::Nsd => peers::nsd(&mut command, dir, workers)?,
            Kind::Knot => peers::knot(&mut command, dir, workers)?,
            Kind::Bind => peers::bind(&mut command, dir, role, workers)?,
            Kind::Unbound => peers::unbound(&mut command, dir, role, workers)?,
            Kind::Dnsmasq => peers::dnsmasq(&mut command, role)?,
        }
        let mut server = Server::start(self.kind.name(), command, dir.join("server.log"))?;
        let questions = role.questions();
        let start = now();
        loop {
            server.check()?;
            let asked = self.traffic.ask(link, dir, &questions, START)?;
            let wrong = questions.iter().zip(&asked).find(|(question, asked)| !asked.is_right(question));
            let Some((question, asked)) = wrong else {
                if asked.len() == questions.len() {
                    return Ok(server);
                }
                return Err(server.failure("takes too long to answer"));
            };
            if self.kind == Kind::Echo && asked.rcode.is_some() {
                return Ok(server);
            }
            if start.elapsed() > START_TIMEOUT {
                let said = format!("answered {} {} with {asked}", question.name, question.kind);
                return Err(server.failure(&said));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn program(&self) -> Result<String, Error> {
        match self.kind {
            Kind::Faros | Kind::FarosLog => ours(&self.daemon),
            Kind::Echo => ours(&self.traffic.program),
            Kind::Nsd => peers::program("nsd"),
            Kind::Knot => peers::program("knotd"),
            Kind::Bind => peers::program("named"),
            Kind::Unbound => peers::program("unbound"),
            Kind::Dnsmasq => peers::program("dnsmasq"),
        }
    }

    fn faros(&self, command: &mut Command, dir: &Path, role: Role) -> Result<(), Error> {
        let site = dir.join("site.toml");
        let text = zone::site_file(role != Role::Site, self.kind == Kind::FarosLog, &dir.join("boot"));
        fs::write(&site, text).map_err(Error::file(&site))?;
        command.arg("--site").arg(&site);
        command.arg("--state-dir").arg(dir.join("state")).arg("--run-dir").arg(dir.join("run"));
        command.env("FAROS_LOG", "warn");
        Ok(())
    }
}

/// The clients and servers that are not under measurement.
#[derive(Clone, Debug)]
pub struct Traffic {
    program: PathBuf,
}

impl Traffic {
    /// Starts the world behind a forwarder, at the client's end of the link.
    pub fn world(&self, link: &Link, dir: &Path) -> Result<Server, Error> {
        let mut command = link.at_client(&ours(&self.program)?);
        command.args(["world", &format!("{CLIENT_ADDRESS}:53")]);
        Server::start("world", command, dir.join("world.log"))
    }

    /// Asks as fast as the server answers, from a processor of its own.
    pub fn load(
        &self,
        link: &Link,
        dir: &Path,
        questions: &Path,
        edns: bool,
        period: Duration,
    ) -> Result<generator::Load, Error> {
        let mut command = pinned(link, CLIENT_PROCESSOR);
        command.arg(ours(&self.program)?).args(["load", &format!("{SERVER_ADDRESS}:53")]).arg(questions);
        command.args(["--millis", &period.as_millis().to_string()]);
        if edns {
            command.arg("--edns");
        }
        let said = run_within("load", &mut command, &dir.join("load.log"), period + TRAFFIC_PATIENCE)?;
        let what = || format!("load (which said: {said})");
        said.parse().map_err(|()| Error::Unread { what: what(), wanted: "load:".to_owned() })
    }

    /// Asks one question after another. Fewer come back than were to be asked where patience ran out.
    pub fn ask(
        &self,
        link: &Link,
        dir: &Path,
        questions: &[Question],
        patience: Patience,
    ) -> Result<Vec<Asked>, Error> {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let file = dir.join(format!("asked-{number}"));
        fs::write(&file, zone::listed(questions)).map_err(Error::file(&file))?;
        let mut command = link.at_server(&ours(&self.program)?);
        command.args(["ask", &format!("{SERVER_ADDRESS}:53")]).arg(&file).arg("--edns");
        command.args(["--millis", &patience.each.as_millis().to_string()]);
        command.args(["--all-millis", &patience.all.as_millis().to_string()]);
        let log = dir.join(format!("asked-{number}.log"));
        let said = run_within("ask", &mut command, &log, patience.all + patience.each + TRAFFIC_PATIENCE)?;
        let asked: Vec<Asked> = said.lines().filter_map(Asked::parse).collect();
        match asked.is_empty() {
            false => Ok(asked),
            true => {
                Err(Error::Unread { what: format!("ask (which said: {said})"), wanted: "asked:".to_owned() })
            }
        }
    }
}

const START: Patience = Patience { each: Duration::from_secs(1), all: Duration::from_secs(5) };
/// How long a server may take from its start until all its answers are right.
const START_TIMEOUT: Duration = Duration::from_secs(20);
const TRAFFIC_PATIENCE: Duration = Duration::from_secs(10);

fn pinned(link: &Link, processor: &str) -> Command {
    let mut command = link.at_server("taskset");
    command.args(["--cpu-list", processor]);
    command
}

fn ours(program: &Path) -> Result<String, Error> {
    if program.is_file() {
        return Ok(program.display().to_string());
    }
    let remedy = "run `cargo xtask bench dns`, which builds it".to_owned();
    Err(Error::Missing { program: program.display().to_string(), remedy })
}
