//! What is compared: ways from the client to the servers, and what stands behind them all.

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::network::{BALANCER, CLIENT_SIDE, CLIENTS, GATEWAY, Path, SERVER_SIDE, SERVERS, SERVERS_DIRECT};
use crate::options::Options;
use crate::process::Server;
use crate::progress::now;
use crate::{Error, machine, programs};

/// Where HTTP is balanced.
const HTTP: u16 = 8000;
/// Where the three servers of HTTP are.
const HTTP_SERVERS: [u16; 3] = [8001, 8002, 8003];
/// Where streams are balanced, and where their server is.
const STREAM: u16 = 5201;
/// Threads of HAProxy.
pub const THREADS: u32 = 2;

/// A way from the client to the servers.
#[derive(Clone, Debug)]
pub struct Contender {
    kind: Kind,
    daemon: PathBuf,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The shortcut: nobody in between.
    Direct,
    /// The balancer's kernel as a router: nothing is balanced.
    Routed,
    /// HAProxy with [`THREADS`] threads.
    Haproxy,
    /// The same with `option splice-auto`.
    HaproxySplice,
    /// faros-lb, `plane = "user"`.
    User,
    /// faros-lb, `plane = "kernel"`.
    Kernel,
}

impl Kind {
    /// All of them in the order of the tables.
    pub const ALL: [Self; 6] =
        [Self::Direct, Self::Routed, Self::Haproxy, Self::HaproxySplice, Self::User, Self::Kernel];

    /// The name in tables and for `--only`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Routed => "routed",
            Self::Haproxy => "haproxy",
            Self::HaproxySplice => "haproxy-splice",
            Self::User => "faros-user",
            Self::Kernel => "faros-kernel",
        }
    }

    /// Whether a process stands in the way, whose work can be measured.
    pub fn is_process(self) -> bool {
        !matches!(self, Self::Direct | Self::Routed)
    }

    /// Where the client finds HTTP: address and port.
    pub fn http(self) -> String {
        match self {
            Self::Direct => format!("{SERVERS_DIRECT}:{}", HTTP_SERVERS[0]),
            Self::Routed => format!("{SERVERS}:{}", HTTP_SERVERS[0]),
            _ => format!("{BALANCER}:{HTTP}"),
        }
    }

    /// Where the client finds the server of streams: address and port.
    pub fn stream(self) -> (&'static str, u16) {
        match self {
            Self::Direct => (SERVERS_DIRECT, STREAM),
            Self::Routed => (SERVERS, STREAM),
            _ => (BALANCER, STREAM),
        }
    }
}

impl Contender {
    /// All of them.
    pub fn all(options: &Options) -> Vec<Self> {
        let daemon = options.our_program("faros-lb");
        Kind::ALL.map(|kind| Self { kind, daemon: daemon.clone() }).into()
    }

    /// Which one it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The version of its program, if it has one; or why it cannot be measured.
    pub fn version(&self) -> Result<Option<String>, Error> {
        let (program, flag) = match self.kind {
            Kind::Direct | Kind::Routed => return Ok(None),
            Kind::Haproxy | Kind::HaproxySplice => (programs::path("haproxy")?, "-v"),
            Kind::User | Kind::Kernel => (self.ours()?, "--version"),
        };
        let version = machine::version(&program, flag);
        version.map(Some).ok_or(Error::Unread { what: program, wanted: "version".to_owned() })
    }

    /// Starts it and waits until it `answers`; nothing where nobody stands in the way.
    pub fn start(
        &self,
        path: &Path,
        dir: &FilePath,
        answers: impl Fn() -> Result<bool, Error>,
    ) -> Result<Option<Server>, Error> {
        let command = match self.kind {
            Kind::Direct | Kind::Routed => None,
            Kind::Haproxy => Some(haproxy(path, dir, "")?),
            Kind::HaproxySplice => Some(haproxy(path, dir, "  option splice-auto\n")?),
            Kind::User => Some(self.faros(path, dir, "user")?),
            Kind::Kernel => Some(self.faros(path, dir, "kernel")?),
        };
        let mut server = match command {
            Some(command) => Some(Server::start(self.kind.name(), command, dir.join("server.log"))?),
            None => None,
        };
        let start = now();
        while !answers()? {
            let waited = start.elapsed() > START_TIMEOUT;
            match &mut server {
                Some(server) if waited => return Err(server.failure("lets nothing through")),
                Some(server) => server.check()?,
                None if waited => {
                    let what = format!("{} leads nowhere", self.kind.name());
                    return Err(Error::Failed { what, said: String::new() });
                }
                None => {}
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        if server.is_some() {
            // Each of its servers has been looked at by then.
            std::thread::sleep(SETTLE);
        }
        Ok(server)
    }

    fn ours(&self) -> Result<String, Error> {
        if self.daemon.is_file() {
            return Ok(self.daemon.display().to_string());
        }
        let remedy = "run `cargo xtask bench lb`, which builds it".to_owned();
        Err(Error::Missing { program: self.daemon.display().to_string(), remedy })
    }

    /// The servers are on the LAN that it is the gateway of, the client is beyond: the kernel plane keeps its address.
    fn faros(&self, path: &Path, dir: &FilePath, plane: &str) -> Result<Command, Error> {
        let check = "check = { kind = \"tcp\", interval = \"500ms\" }";
        let front = |name: &str, port: u16, servers: &[u16]| {
            let server = |port: &u16| format!("{{ name = \"s{port}\", address = \"{SERVERS}:{port}\" }}");
            let servers: Vec<String> = servers.iter().map(server).collect();
            format!(
                "[[lb.frontend]]\nname = \"{name}\"\nlisten = [\"{BALANCER}:{port}\"]\nallow = [\"{CLIENTS}\"]\n\
                 balance = \"round-robin\"\nmax-connections = 9500\n{check}\nbackend = [{}]\n\n",
                servers.join(", ")
            )
        };
        let text = format!(
            "version = 1\n\n[cluster]\nname = \"bench\"\ndomain = \"example.com\"\nkind = \"none\"\n\n\
             [lan]\ninterface = \"{SERVER_SIDE}\"\naddress = \"{GATEWAY}/24\"\n\n\
             [wan]\ninterface = \"{CLIENT_SIDE}\"\naddress = \"{BALANCER}/24\"\n\n\
             [lb]\nplane = \"{plane}\"\n\n{}{}",
            front("http", HTTP, &HTTP_SERVERS),
            front("stream", STREAM, &[STREAM])
        );
        let site = dir.join("site.toml");
        fs::write(&site, text).map_err(Error::file(&site))?;
        let mut command = path.at_balancer(&self.ours()?);
        command.arg("--site").arg(&site);
        command.arg("--state-dir").arg(dir.join("state")).arg("--run-dir").arg(dir.join("run"));
        command.env("FAROS_LOG", "warn");
        Ok(command)
    }
}

/// How long it may take until the first answer comes through.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// From the first answer until everything is measured.
const SETTLE: Duration = Duration::from_millis(1500);

fn haproxy(path: &Path, dir: &FilePath, options: &str) -> Result<Command, Error> {
    let server = |port: &u16| format!("  server s{port} {SERVERS}:{port} check inter 500ms\n");
    let servers: String = HTTP_SERVERS.iter().map(server).collect();
    let text = format!(
        "global\n  maxconn 9500\n  maxpipes 100\n  nbthread {THREADS}\ndefaults\n  mode tcp\n  timeout connect 5s\n  \
         timeout client 24h\n  timeout server 24h\n{options}\
         listen http\n  bind {BALANCER}:{HTTP} backlog 8192\n  maxconn 9500\n  balance roundrobin\n{servers}\
         listen stream\n  bind {BALANCER}:{STREAM}\n{}",
        server(&STREAM)
    );
    let file = dir.join("haproxy.cfg");
    fs::write(&file, text).map_err(Error::file(&file))?;
    let mut command = path.at_balancer(&programs::path("haproxy")?);
    command.arg("-db").arg("-f").arg(&file);
    Ok(command)
}

/// What stands behind all ways: nginx on three ports with an answer of two octets, and a server of iperf3.
pub fn start_behind(path: &Path, dir: &FilePath) -> Result<[Server; 2], Error> {
    let at = |file: &str| dir.join(file).display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|what| format!("  {what}_temp_path {};\n", at(what)))
        .collect();
    let listen: String =
        HTTP_SERVERS.iter().map(|port| format!("    listen {port} backlog=8192;\n")).collect();
    let text = format!(
        "daemon off;\nuser root;\nworker_processes 2;\nworker_rlimit_nofile 20000;\nerror_log {} crit;\npid {};\n\
         events {{ worker_connections 18000; }}\nhttp {{\n  access_log off;\n{temporary}  keepalive_timeout 2h;\n  \
         client_header_timeout 2h;\n  keepalive_requests 1000000000;\n  server {{\n{listen}    \
         location / {{ return 200 \"ok\"; }}\n  }}\n}}\n",
        at("nginx-error.log"),
        at("nginx-pid")
    );
    let file = dir.join("nginx.conf");
    fs::write(&file, text).map_err(Error::file(&file))?;
    let mut nginx = path.at_servers(&programs::path("nginx")?);
    nginx.arg("-c").arg(&file);
    let mut iperf3 = path.at_servers(&programs::path("iperf3")?);
    iperf3.args(["-s", "-p", &STREAM.to_string()]);
    Ok([
        Server::start("nginx", nginx, dir.join("nginx.log"))?,
        Server::start("iperf3", iperf3, dir.join("iperf3.log"))?,
    ])
}
