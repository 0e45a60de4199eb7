//! The daemon as a process: real sockets, real servers on the loopback, restarts of every kind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, wherever it stands")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use faros_common::{clock, tasks};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that says its name to every connection and closes.
fn server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    tasks::spawn_thread("stub", move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.write_all(name.as_bytes());
            // Its end must not become a reset while the client is still sending.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
            let _ = io::copy(&mut stream, &mut io::sink());
        }
    })
    .unwrap();
    address
}

struct Site {
    directory: tempfile::TempDir,
    address: SocketAddr,
    manager: Option<Manager>,
}

impl Site {
    fn new(servers: &[(&str, SocketAddr)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The user that the daemon becomes must get there.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let site = Self { directory, address: free, manager: None };
        site.write(servers, "");
        site
    }

    fn write(&self, servers: &[(&str, SocketAddr)], more: &str) {
        let backend = |(name, address): &(&str, SocketAddr)| {
            format!("{{ name = \"{name}\", address = \"{address}\" }}")
        };
        let backends: Vec<String> = servers.iter().map(backend).collect();
        let text = format!(
            "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n\
             [lan]\ninterface = \"lo\"\naddress = \"127.0.0.1/8\"\nvip = \"127.0.0.1\"\n\
             [lb]\ndrain = \"2s\"\n[[lb.frontend]]\nname = \"web\"\nlisten = [\"{}\"]\nplane = \"user\"\n\
             check = {{ interval = \"200ms\", fast-interval = \"100ms\", timeout = \"200ms\", rise = 2, fall = 2 }}\n\
             backend = [{}]\n{more}\n",
            self.address,
            backends.join(", ")
        );
        std::fs::write(self.path("site.toml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(&self) -> Daemon {
        let mut command = Command::new(env!("CARGO_BIN_EXE_faros-lb"));
        command.arg("--site").arg(self.path("site.toml"));
        command.arg("--state-dir").arg(self.path("state")).arg("--run-dir").arg(self.path("run"));
        command.stderr(Stdio::null()).env_remove("NOTIFY_SOCKET");
        let kept = self.manager.as_ref().map(|manager| manager.lend(&mut command));
        let process = command.spawn().unwrap();
        drop(kept);
        let daemon = Daemon { process, run: self.path("run") };
        daemon.await_status();
        daemon
    }

    fn ask(&self) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }
}

struct Daemon {
    process: Child,
    run: PathBuf,
}

impl Daemon {
    fn admin(&self, method: &str, target: &str) -> io::Result<Value> {
        admin(&self.run.join("lb.sock"), method, target, "")
    }

    /// Waits until this very process answers at the admin socket.
    fn await_status(&self) {
        let end = clock::now() + PATIENCE;
        while clock::now() < end {
            if self.admin("GET", "/status").is_ok_and(|status| status["pid"] == self.process.id()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the daemon does not answer");
    }

    fn await_server(&self, name: &str, state: &str) {
        let end = clock::now() + PATIENCE;
        while clock::now() < end {
            let front = self.admin("GET", "/frontends/web").unwrap();
            let stands = |server: &Value| server["name"] == name && server["state"] == state;
            if front["servers"].as_array().unwrap().iter().any(stands) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{name} is not {state}");
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(process, signal).unwrap();
    }

    /// How it ended.
    fn wait(&mut self) -> std::process::ExitStatus {
        let end = clock::now() + PATIENCE;
        while clock::now() < end {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the daemon does not end");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn admin(socket: &Path, method: &str, target: &str, body: &str) -> io::Result<Value> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: lb\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    match head.starts_with("HTTP/1.1 200") {
        true => Ok(serde_json::from_str(body)?),
        false => Err(io::Error::other(answer)),
    }
}

/// Clients that connect one after the other until they are told to stop: how many were served, and what went wrong.
struct Crowd {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    clients: Vec<std::thread::JoinHandle<Option<Vec<String>>>>,
}

impl Crowd {
    fn gather(address: SocketAddr) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = || {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            let body = move || {
                let mut errors = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let answer = TcpStream::connect_timeout(&address, PATIENCE).and_then(|mut stream| {
                        stream.set_read_timeout(Some(PATIENCE))?;
                        let mut text = String::new();
                        stream.read_to_string(&mut text)?;
                        Ok(text)
                    });
                    match answer {
                        Ok(text) if text == "a" || text == "b" => _ = served.fetch_add(1, Ordering::Relaxed),
                        other => errors.push(format!("{other:?}")),
                    }
                }
                errors
            };
            tasks::spawn_thread("client", body).unwrap()
        };
        let clients = (0..4).map(|_| client()).collect();
        Self { stop, served, clients }
    }

    /// Waits until so many more were served.
    fn await_served(&self, more: u64) {
        let wanted = self.served.load(Ordering::Relaxed) + more;
        let end = clock::now() + PATIENCE;
        while self.served.load(Ordering::Relaxed) < wanted {
            assert!(clock::now() < end, "nobody is served any more");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn errors(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().unwrap().unwrap()).collect()
    }
}

/// A service manager with a store of descriptors.
struct Manager {
    socket: std::os::unix::net::UnixDatagram,
    path: PathBuf,
    kept: std::sync::Mutex<Vec<OwnedFd>>,
}

/// Descriptors from here on are lent to the daemon; no other test has so many.
const LENT: i32 = 700;

impl Manager {
    fn new(directory: &Path) -> Self {
        let path = directory.join("notify");
        let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, path, kept: std::sync::Mutex::default() }
    }

    /// Takes what the daemon stores, until there are `count` descriptors.
    fn take(&self, count: usize) {
        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
        let mut kept = self.kept.lock().unwrap();
        kept.clear();
        while kept.len() < count {
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut bytes = [0; 4096];
            let mut text = [io::IoSliceMut::new(&mut bytes)];
            let received = recvmsg(&self.socket, &mut text, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
            let mut rights = Vec::new();
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(given) = message {
                    rights.extend(given);
                }
            }
            let text = String::from_utf8_lossy(&bytes[..received.bytes]).into_owned();
            assert_eq!(
                text.contains("FDSTORE=1") && text.contains("FDNAME=tcp-127.0.0.1-"),
                !rights.is_empty(),
                "{text}"
            );
            kept.extend(rights);
        }
    }

    /// Has `command` inherit what is kept, as systemd does but for the numbers. What is returned must live until then.
    fn lend(&self, command: &mut Command) -> Vec<OwnedFd> {
        command.env("NOTIFY_SOCKET", &self.path);
        let kept = self.kept.lock().unwrap();
        if kept.is_empty() {
            return Vec::new();
        }
        command.env("LISTEN_FDS", kept.len().to_string()).env("LISTEN_FDS_FIRST_FD", LENT.to_string());
        let lend = |(number, descriptor): (i32, &OwnedFd)| {
            let lent = rustix::io::fcntl_dupfd_cloexec(descriptor, LENT + number).unwrap();
            assert_eq!(std::os::fd::AsRawFd::as_raw_fd(&lent), LENT + number);
            rustix::io::fcntl_setfd(&lent, rustix::io::FdFlags::empty()).unwrap();
            lent
        };
        (0..).zip(kept.iter()).map(lend).collect()
    }
}

#[test]
fn a_server_that_is_drained_or_dies_gets_no_connections() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = Site::new(&[("a", server("a")), ("b", server("b")), ("gone", gone)]);
    let daemon = site.start();
    daemon.await_server("a", "up");
    daemon.await_server("b", "up");
    daemon.await_server("gone", "down");
    let answers: Vec<String> = (0..40).map(|_| site.ask().unwrap()).collect();
    assert!(answers.contains(&"a".to_owned()) && answers.contains(&"b".to_owned()), "{answers:?}");
    daemon.admin("POST", "/frontends/web/servers/b/drain").unwrap();
    assert!((0..20).all(|_| site.ask().unwrap() == "a"));
    let explained = daemon.admin("GET", "/explain?address=192.0.2.7").unwrap();
    assert!(explained["frontends"][0]["would"].as_str().unwrap().starts_with("reach a"), "{explained}");
    daemon.admin("POST", "/frontends/web/servers/b/enable").unwrap();
    let unknown = daemon.admin("POST", "/frontends/web/servers/nobody/drain").unwrap_err().to_string();
    assert!(unknown.contains("404") && unknown.contains("it has: a, b, gone"), "{unknown}");
}

#[test]
fn reloads_refuse_nobody_and_keep_what_was_counted() {
    let servers = [("a", server("a")), ("b", server("b"))];
    let site = Site::new(&servers);
    let daemon = site.start();
    daemon.await_server("a", "up");
    let crowd = Crowd::gather(site.address);
    for round in 0..20 {
        site.write(&servers[round % 2..], if round % 3 == 0 { "idle-timeout = \"1h\"" } else { "" });
        daemon.admin("POST", "/reload").unwrap();
        crowd.await_served(20);
    }
    let served = crowd.served.load(Ordering::Relaxed);
    assert_eq!(crowd.errors(), Vec::<String>::new());
    let front = daemon.admin("GET", "/frontends/web").unwrap();
    assert!(front["connections"]["accepted"].as_u64().unwrap() >= served);
}

#[test]
fn a_next_process_takes_over_without_refusing_anybody() {
    let site = Site::new(&[("a", server("a")), ("b", server("b"))]);
    let mut daemon = site.start();
    daemon.await_server("a", "up");
    admin(
        &daemon.run.join("lb.sock"),
        "POST",
        "/frontends/web/servers",
        r#"{"name":"guest","address":"127.0.0.1:1"}"#,
    )
    .unwrap();
    let crowd = Crowd::gather(site.address);
    for _ in 0..3 {
        let next = site.start();
        let mut before = std::mem::replace(&mut daemon, next);
        assert_eq!(before.wait().code(), Some(0));
        crowd.await_served(50);
    }
    assert_eq!(crowd.errors(), Vec::<String>::new());
    daemon.await_server("guest", "down");
    assert!(daemon.run.join("lb.sock").exists() && daemon.run.join("lb.handover").exists());
}

#[test]
fn sockets_in_the_managers_store_keep_clients_waiting_instead_of_refused() {
    let mut site = Site::new(&[("a", server("a")), ("b", server("b"))]);
    site.manager = Some(Manager::new(site.directory.path()));
    let sockets = std::thread::available_parallelism().unwrap().get().min(16);
    let mut daemon = site.start();
    site.manager.as_ref().unwrap().take(sockets);
    daemon.await_server("a", "up");
    let crowd = Crowd::gather(site.address);
    crowd.await_served(20);
    // An orderly restart: nobody is refused or cut.
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    daemon = site.start();
    crowd.await_served(50);
    assert_eq!(crowd.errors(), Vec::<String>::new());
    // A crash: who connects while nobody is there is served by the next process.
    daemon.signal(rustix::process::Signal::KILL);
    daemon.wait();
    let mut waiting = TcpStream::connect_timeout(&site.address, PATIENCE).unwrap();
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    let _daemon = site.start();
    let mut text = String::new();
    waiting.read_to_string(&mut text).unwrap();
    assert!(text == "a" || text == "b", "{text:?}");
}

#[test]
fn a_long_connection_keeps_nobody_waiting_while_the_process_before_ends() {
    let (long, short) = (TcpListener::bind("127.0.0.1:0").unwrap(), server("a"));
    let mut site = Site::new(&[("long", long.local_addr().unwrap())]);
    site.manager = Some(Manager::new(site.directory.path()));
    let mut daemon = site.start();
    site.manager.as_ref().unwrap().take(std::thread::available_parallelism().unwrap().get().min(16));
    daemon.await_server("long", "up");
    let mut client = TcpStream::connect(site.address).unwrap();
    client.write_all(b"x").unwrap();
    let held = long.incoming().flatten().find(|stream| {
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut stream = stream;
        stream.read(&mut [0; 1]).is_ok_and(|length| length == 1)
    });
    site.write(&[("a", short)], "");
    daemon.admin("POST", "/reload").unwrap();
    daemon.await_server("a", "up");
    let crowd = Crowd::gather(site.address);
    crowd.await_served(10);
    daemon.signal(rustix::process::Signal::TERM);
    // Served on by the process that ends, for all of `drain` but its last moments.
    std::thread::sleep(Duration::from_millis(600));
    crowd.await_served(50);
    assert!(daemon.process.try_wait().unwrap().is_none(), "it waits for the long connection");
    assert_eq!(daemon.wait().code(), Some(75));
    let _daemon = site.start();
    crowd.await_served(50);
    assert_eq!(crowd.errors(), Vec::<String>::new());
    drop((client, held));
}

#[test]
fn connections_that_outlive_the_drain_are_reset_and_that_is_told() {
    // A server that keeps connections open.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    tasks::spawn_thread("holder", move || listener.incoming().flatten().collect::<Vec<_>>()).unwrap();
    let site = Site::new(&[("a", address)]);
    let mut daemon = site.start();
    daemon.await_server("a", "up");
    let mut client = TcpStream::connect(site.address).unwrap();
    client.write_all(b"x").unwrap();
    let end = clock::now() + PATIENCE;
    while daemon.admin("GET", "/frontends/web").unwrap()["connections"]["active"] != 1 {
        assert!(clock::now() < end, "the connection is not there");
        std::thread::sleep(Duration::from_millis(10));
    }
    daemon.signal(rustix::process::Signal::TERM);
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let cut = client.read(&mut [0; 1]).unwrap_err();
    assert_eq!(cut.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(daemon.wait().code(), Some(75));
}
