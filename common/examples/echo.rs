//! The smallest daemon: answers every datagram with itself. A template, and what the tests drive.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::daemon::{self, Context, Control, RunError, Service, Start, StartError};
use faros_common::events::Event;
use faros_common::sandbox::Sandbox;
use faros_common::site::{Diagnostic, Site};
use faros_common::tasks;
use tokio::net::UdpSocket;

/// What it needs of the site file: where to listen, and a name to tell.
struct Config {
    listen: SocketAddr,
    zone: String,
}

struct Echo {
    config: ArcSwap<Config>,
    socket: UdpSocket,
    context: Context,
    echoed: AtomicU64,
}

impl Service for Echo {
    const NAME: &'static str = "echo";
    const ABOUT: &'static str = "answers every datagram with itself";
    type Config = Config;
    type Bound = std::net::UdpSocket;

    fn configure(site: &Site) -> Result<Config, Vec<Diagnostic>> {
        Ok(Config {
            listen: SocketAddr::new(site.lan.address.addr().into(), 7007),
            zone: site.cluster.zone(),
        })
    }

    fn bind(config: &Config, start: &mut Start) -> Result<Self::Bound, StartError> {
        start.udp(config.listen)
    }

    fn sandbox(_: &Config) -> Sandbox {
        Sandbox::new()
    }

    fn assemble(config: Config, bound: Self::Bound, context: Context) -> Result<Self, StartError> {
        let socket = UdpSocket::from_std(bound).map_err(|error| StartError::System(error.to_string()))?;
        Ok(Self { config: ArcSwap::from_pointee(config), socket, context, echoed: AtomicU64::new(0) })
    }

    async fn run(self: Arc<Self>, control: Control) -> Result<(), RunError> {
        let mut buffer = [0; 2048];
        let mut beat = tokio::time::interval(std::time::Duration::from_millis(100));
        loop {
            tokio::select! {
                () = control.stopping() => return Ok(()),
                _ = beat.tick() => control.heartbeat(),
                received = self.socket.recv_from(&mut buffer) => {
                    let Ok((length, peer)) = received else { continue };
                    if &buffer[..length] == b"hang" {
                        std::future::pending::<()>().await;
                    }
                    let answer = tasks::contain("echo", || {
                        assert_ne!(&buffer[..length], b"panic", "asked for");
                        buffer[..length].to_vec()
                    });
                    if let Some(answer) = answer {
                        let _ = self.socket.send_to(&answer, peer).await;
                        self.echoed.fetch_add(1, Ordering::Relaxed);
                        self.context.events.emit(Event::new("echoed").address(peer.ip()));
                    }
                }
            }
        }
    }

    fn reload(&self, config: Config) -> Result<(), String> {
        if config.listen != self.config.load().listen {
            return Err("listening elsewhere takes a restart".to_owned());
        }
        self.config.store(Arc::new(config));
        Ok(())
    }

    fn status(&self) -> serde_json::Value {
        serde_json::json!({
            "zone": self.config.load().zone,
            "echoed": self.echoed.load(Ordering::Relaxed),
            "may_read_root": std::fs::read_dir("/root").is_ok(),
        })
    }

    async fn admin(&self, request: AdminRequest) -> Option<AdminResponse> {
        match (request.method.as_str(), request.segments().as_slice()) {
            ("GET", ["panic"]) => panic!("asked for"),
            ("POST", ["try", what]) => {
                Some(AdminResponse::json(&attempt(what, request.query("path"), &self.context)))
            }
            _ => None,
        }
    }
}

/// Tries what a confined daemon must not be able to do, and says how the system answered.
fn attempt(what: &str, path: Option<&str>, context: &Context) -> String {
    let path = path.map_or_else(|| context.state_dir.join("written"), PathBuf::from);
    let result = match what {
        "read" => std::fs::read(path).map(|_| ()),
        "write" => std::fs::write(path, "x"),
        "list" => std::fs::read_dir(path).map(|_| ()),
        "execute" => std::process::Command::new("/bin/true").status().map(|_| ()),
        // A call that is open to everybody, unless it is filtered.
        "watch" => rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC)
            .map(|_| ())
            .map_err(Into::into),
        "thread" => tasks::spawn_thread("attempt", || ()).map(|_| ()),
        "netlink" => socket(libc::AF_NETLINK),
        "vsock" => socket(libc::AF_VSOCK),
        _ => Err(std::io::Error::other("unknown attempt")),
    };
    result.map_or_else(|error| error.kind().to_string(), |()| "done".to_owned())
}

fn socket(family: i32) -> std::io::Result<()> {
    socket2::Socket::new(family.into(), socket2::Type::DGRAM, None).map(|_| ())
}

fn main() -> std::process::ExitCode {
    daemon::main::<Echo>()
}
