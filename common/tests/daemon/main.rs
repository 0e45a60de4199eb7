//! The contract of every daemon, shown on the smallest one (`examples/echo.rs`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, wherever it stands")]

mod admin;
mod confinement;
mod life;
mod signals;
mod start;

use std::fs;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

const SITE: &str = "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\n[lan]\ninterface = \"lo\"\naddress = \"127.0.77.1/24\"\n";

/// All tests listen on the same port.
static PORT: Mutex<()> = Mutex::new(());

/// The right to listen on it.
type Port = MutexGuard<'static, ()>;

fn port() -> Port {
    PORT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn executable() -> PathBuf {
    static BUILT: Once = Once::new();
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples/echo");
    BUILT.call_once(|| {
        // `cargo test --test daemon` alone builds no examples, and leaves an old one as it is.
        let time = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
        if time(&path) < time(&test) {
            let built = Command::new(env!("CARGO"))
                .args(["build", "--package=faros-common", "--example=echo"])
                .status();
            assert!(built.unwrap().success());
        }
    });
    path
}

struct Echo {
    child: Child,
    directory: tempfile::TempDir,
    _port: Port,
}

impl Echo {
    fn start(prepare: impl FnOnce(&mut Command)) -> Self {
        Self::start_with(port(), prepare)
    }

    /// [`Echo::start`] for a test that has used the port itself.
    fn start_with(port: Port, prepare: impl FnOnce(&mut Command)) -> Self {
        let mut echo = Self::launch(port, prepare);
        for _ in 0..400 {
            if echo.socket().exists() && UnixStream::connect(echo.socket()).is_ok() {
                return echo;
            }
            assert!(echo.child.try_wait().unwrap().is_none(), "ended early: {}", echo.stderr());
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("not ready");
    }

    /// Starts it without waiting until it serves.
    fn launch(port: Port, prepare: impl FnOnce(&mut Command)) -> Self {
        let directory = ground();
        let mut command = Command::new(executable());
        command.args(arguments(directory.path())).stderr(Stdio::piped());
        prepare(&mut command);
        let child = command.spawn().unwrap();
        Self { child, directory, _port: port }
    }

    /// Posts to `path`; the body of the answer.
    fn post(&self, path: &str) -> String {
        let answer = self.request(&format!("POST {path}"));
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// A field of `/proc/PID/status`.
    fn process(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_once(':').unwrap().1.trim().to_owned()
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("run/echo.sock")
    }

    fn request(&self, head: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        write!(stream, "{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn status(&self) -> serde_json::Value {
        let answer = self.request("GET /status");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    fn echo(&self, text: &[u8]) -> Option<Vec<u8>> {
        let socket = UdpSocket::bind("127.0.77.9:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket.send_to(text, "127.0.77.1:7007").unwrap();
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    }

    /// Sends without waiting for the answer.
    fn cast(&self, text: &[u8]) {
        UdpSocket::bind("127.0.77.9:0").unwrap().send_to(text, "127.0.77.1:7007").unwrap();
    }

    fn signal(&self, name: &str) {
        assert!(
            Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap().success()
        );
    }

    fn end(mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().unwrap()
    }

    fn stderr(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn arguments(directory: &Path) -> Vec<String> {
    let below = |name: &str| directory.join(name).display().to_string();
    ["--site", &below("site.toml"), "--state-dir", &below("state"), "--run-dir", &below("run")]
        .map(String::from)
        .into()
}

/// A directory with a good site file, open to every user.
fn ground() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(directory.path().join("site.toml"), SITE).unwrap();
    directory
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("never: {what}");
}
