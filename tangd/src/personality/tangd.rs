//! `tangd`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use faros_common::daemon::Control;
use faros_common::tasks;
use lexopt::prelude::{Long, Short, Value, ValueExt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::signal::unix::{SignalKind, signal};

use super::{Early, fail};
use crate::keys::{Keys, KeysError};
use crate::metrics::Counters;
use crate::platform;
use crate::protocol::{self, Reason, Reply, Route};
use crate::seal::KeyStore;
use crate::server::{self, Answer, BodyTooLarge, Desk, Door, Limits, Peer};

const USAGE: &str = "Usage: tangd [OPTIONS] <jwkdir>

Answers the request on standard input, or with -l those that arrive on a port.

  -l, --listen             serve on a port
  -p, --port=PORT          the port [9090]
  -e, --endpoint=ENDPOINT  the path in front of /adv and /rec
  -V, --version            show the version
  -h, --help               show this";
/// The port without one on the command line, as upstream has it.
const PORT: u16 = 9090;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

struct Options {
    directory: PathBuf,
    endpoint: String,
    /// The port to serve on; none: standard input.
    listen: Option<u16>,
}

pub(super) fn main(parser: lexopt::Parser) -> ExitCode {
    let options = match read(parser) {
        Ok(options) => options,
        Err(early) => return early.end(),
    };
    if let Err(error) = std::fs::read_dir(&options.directory) {
        return fail(format!("{}: {error}", options.directory.display()));
    }
    platform::share_heap();
    platform::forbid_dumps();
    let store = KeyStore::new(&options.directory);
    if store.has_store() {
        let _ = writeln!(
            io::stderr(),
            "tangd: {}: the keys are sealed, so /rec is answered 503; faros-tangd opens them",
            options.directory.display()
        );
    }
    let desk = Arc::new(Standalone {
        keys: Keys::new(Box::new(store)),
        endpoint: options.endpoint,
        remote: std::env::var("REMOTE_ADDR").ok(),
    });
    match options.listen {
        Some(port) => serve(desk, port),
        None => serve_stdin(&desk),
    }
}

fn read(mut parser: lexopt::Parser) -> Result<Options, Early> {
    let usage = |what: &dyn std::fmt::Display| Early::Usage(format!("{what}\n{USAGE}"));
    let (mut listen, mut port, mut endpoint) = (false, PORT, String::new());
    let mut directory: Option<OsString> = None;
    while let Some(argument) = parser.next().map_err(|error| usage(&error))? {
        match argument {
            Short('l') | Long("listen") => listen = true,
            Short('p') | Long("port") => {
                let value = parser.value().and_then(|value| value.parse());
                port = value.map_err(|error| usage(&error))?;
            }
            Short('e') | Long("endpoint") => {
                let value = parser.value().and_then(ValueExt::string);
                endpoint = value.map_err(|error| usage(&error))?.trim_matches('/').to_owned();
            }
            Short('V') | Long("version") => {
                return Err(Early::Told(format!("tangd (faros) {}", env!("CARGO_PKG_VERSION"))));
            }
            Short('h') | Long("help") => return Err(Early::Told(USAGE.to_owned())),
            Value(value) if directory.is_none() => directory = Some(value),
            other => return Err(usage(&other.unexpected())),
        }
    }
    let directory = directory.ok_or_else(|| Early::Usage(USAGE.to_owned()))?.into();
    Ok(Options { directory, endpoint, listen: listen.then_some(port) })
}

/// Serves on a port until SIGTERM or SIGINT.
fn serve(desk: Arc<Standalone>, port: u16) -> ExitCode {
    let listener = match listen(port) {
        Ok(listener) => listener,
        Err(error) => return fail(format!("tangd: port {port}: {error}")),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(format!("tangd: {error}")),
    };
    let served: io::Result<()> = runtime.block_on(async {
        let (control, stop) = Control::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tasks::spawn("signals", async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            let _ = stop.send(true);
        });
        let door = Door { listener: tokio::net::TcpListener::from_std(listener)?, tls: None };
        server::run(desk, vec![door], Limits::of_process(), Arc::new(Counters::default()), control).await;
        Ok(())
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(format!("tangd: {error}")),
    }
}

/// A socket for IPv6 and IPv4, or for IPv4 alone where the host has no IPv6.
fn listen(port: u16) -> io::Result<TcpListener> {
    let bound = |address: IpAddr| -> io::Result<TcpListener> {
        let address = SocketAddr::new(address, port);
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bound(Ipv6Addr::UNSPECIFIED.into()).or_else(|error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
        _ => bound(Ipv4Addr::UNSPECIFIED.into()),
    })
}

/// Serves what is on standard input to its end.
fn serve_stdin(desk: &Arc<Standalone>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(format!("tangd: {error}")),
    };
    runtime.block_on(server::run_once(
        Arc::clone(desk),
        tokio::io::join(tokio::io::stdin(), tokio::io::stdout()),
    ));
    // A read of standard input that nobody ends would keep the runtime waiting.
    runtime.shutdown_background();
    ExitCode::SUCCESS
}

/// Answers everybody by the keys alone.
struct Standalone {
    keys: Keys,
    endpoint: String,
    /// Who is on the other side of standard input, as inetd says.
    remote: Option<String>,
}

impl Standalone {
    /// The target behind the endpoint; none where it is another one.
    fn below<'t>(&self, target: &'t str) -> Option<&'t str> {
        if self.endpoint.is_empty() {
            return Some(target);
        }
        let rest = target.trim_start_matches('/').strip_prefix(&self.endpoint)?;
        (target.starts_with('/') && rest.starts_with('/')).then_some(rest)
    }

    fn respond(&self, method: &str, target: &str, body: Result<Bytes, BodyTooLarge>) -> Reply {
        let Some(target) = self.below(target) else { return Reply::refused(Reason::NoSuchPath) };
        match (self.keys.current(), body) {
            (_, Err(BodyTooLarge)) => Reply::refused(Reason::BodyTooLarge),
            (Ok(keys), Ok(body)) => protocol::respond(method, target, &body, &keys),
            (Err(error), Ok(_)) => {
                let _ = writeln!(io::stderr(), "tangd: {error}");
                Reply::refused(if matches!(error, KeysError::Sealed) {
                    Reason::Sealed
                } else {
                    Reason::System
                })
            }
        }
    }
}

impl Desk for Standalone {
    fn serves(&self, _: Peer) -> bool {
        true
    }

    fn wants_body(&self, method: &str, target: &str) -> bool {
        self.below(target).is_some_and(|target| matches!(Route::of(method, target), Ok(Route::Recover(_))))
    }

    async fn answer(
        &self,
        peer: Peer,
        method: &str,
        target: &str,
        body: Result<Bytes, BodyTooLarge>,
    ) -> Answer {
        let reply = self.respond(method, target, body);
        let remote = self.remote.clone().unwrap_or_else(|| peer.address.to_string());
        // Targets are printable ASCII; a method is a token.
        let _ = writeln!(io::stderr(), "{remote} {method} {target} => {}", reply.status);
        reply.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Option<(String, Option<u16>, String)> {
        let options = read(lexopt::Parser::from_args(arguments)).ok()?;
        Some((options.endpoint, options.listen, options.directory.display().to_string()))
    }

    fn options(
        endpoint: &str,
        listen: Option<u16>,
        directory: &str,
    ) -> Option<(String, Option<u16>, String)> {
        Some((endpoint.to_owned(), listen, directory.to_owned()))
    }

    #[test]
    fn options_are_those_of_upstream() {
        assert_eq!(parse(&["db"]), options("", None, "db"));
        assert_eq!(parse(&["-p", "8000", "-l", "db"]), options("", Some(8000), "db"));
        assert_eq!(parse(&["-l", "db"]), options("", Some(PORT), "db"));
        assert_eq!(parse(&["db", "-e", "/api/dee/"]), options("api/dee", None, "db"));
        assert_eq!(parse(&["--listen", "--port=1", "--endpoint=x", "db"]), options("x", Some(1), "db"));
        for wrong in [&[][..], &["-x", "db"], &["db", "other"], &["-p", "many", "db"], &["-p"]] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_endpoint_stands_in_front_of_every_path_and_nothing_is_served_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let desk = |endpoint: &str| Standalone {
            keys: Keys::new(Box::new(KeyStore::new(directory.path()))),
            endpoint: endpoint.to_owned(),
            remote: None,
        };
        let status = |desk: &Standalone, target: &str| desk.respond("GET", target, Ok(Bytes::new())).status;
        let plain = desk("");
        assert_eq!((status(&plain, "/adv"), status(&plain, "//adv/")), (200, 200));
        let below = desk("api/dee");
        assert_eq!((status(&below, "/api/dee/adv"), status(&below, "//api/dee//adv")), (200, 200));
        for elsewhere in ["/adv", "api/dee/adv", "/api/deeadv", "/api/adv", "/api/dee", "/x/api/dee/adv"] {
            assert_eq!(status(&below, elsewhere), 404, "{elsewhere}");
        }
    }
}
