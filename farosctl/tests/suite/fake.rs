//! Daemons that answer what a test tells them to, and `farosctl` run against them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use farosctl::{Exit, Terminal};
use serde_json::Value;

/// A site of three nodes with a run directory and a boot root, gone at the end of the test.
pub(crate) struct Site {
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) const SITE: &str = r#"version = 1
[cluster]
name = "edge"
domain = "example.com"
[lan]
interface = "lan0"
address = "192.168.8.1/24"
pool = "192.168.8.128-192.168.8.250"
[tftp]
root = "ROOT"
[http]
root = "ROOT"
[profile.linux]
kernel = "linux/kernel"
args = "quiet"
[[node]]
name = "cp1"
role = "control-plane"
mac = "52:54:00:00:08:11"
address = "192.168.8.11"
disk = "/dev/vda"
profile = "linux"
[[node]]
name = "w1"
role = "worker"
mac = "52:54:00:00:08:21"
address = "192.168.8.21"
disk = "/dev/vda"
profile = "linux"
"#;

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("boot")).unwrap();
        let site = Self { dir };
        site.write(SITE);
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts another site file there.
    pub(crate) fn write(&self, text: &str) {
        let root = self.path("boot").display().to_string();
        std::fs::write(self.path("site.toml"), text.replace("ROOT", &root)).unwrap();
    }

    /// `farosctl LINE`, words separated by blanks.
    pub(crate) fn run(&self, line: &str) -> Ran {
        let (out, err) = (Buffer::default(), Buffer::default());
        let terminal = Terminal::new(
            Box::new(out.clone()),
            Box::new(err.clone()),
            Box::new(BufReader::new(io::empty())),
        );
        let exit = self.run_on(line, terminal);
        Ran { exit, out: out.text(), err: err.text() }
    }

    /// The same with streams of the test's own.
    pub(crate) fn run_on(&self, line: &str, terminal: Terminal) -> Exit {
        let flags =
            ["--site".into(), self.path("site.toml").into(), "--run-dir".into(), self.dir.path().into()];
        let words = line.split_whitespace().map(OsString::from);
        farosctl::run(std::iter::once("farosctl".into()).chain(flags).chain(words), terminal)
    }
}

/// What a run of `farosctl` left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A stream that is kept.
#[derive(Clone, Default)]
pub(crate) struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream whose reader has gone.
pub(crate) struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Answers by `METHOD path`, the query aside; anything else is 404. Requests are kept, queries and all.
pub(crate) struct Daemon {
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<BTreeMap<String, (u16, String)>>>,
    socket: PathBuf,
}

impl Daemon {
    /// A daemon called `name` that answers `/status` and has no events.
    pub(crate) fn start(site: &Site, name: &str) -> Self {
        let socket = site.path(&format!("{name}.sock"));
        let daemon = Self { requests: Arc::default(), answers: Arc::default(), socket };
        let status = serde_json::json!({
            "daemon": name, "version": "0.1.0", "uptime_secs": 60, "last_reload": null, "panics": 0, "service": {}
        });
        daemon.answer("GET /status", 200, &status.to_string());
        daemon.answer("GET /events", 200, "");
        daemon.listen();
        daemon
    }

    pub(crate) fn answer(&self, request: &str, status: u16, body: &str) {
        self.answers.lock().unwrap().insert(request.to_owned(), (status, body.to_owned()));
    }

    pub(crate) fn asked(&self, request: &str) -> bool {
        self.requests.lock().unwrap().iter().any(|seen| seen == request)
    }

    /// Goes on at the same socket after [`Daemon::stop`].
    pub(crate) fn listen(&self) {
        let listener = UnixListener::bind(&self.socket).unwrap();
        let (answers, requests) = (Arc::clone(&self.answers), Arc::clone(&self.requests));
        faros_common::tasks::spawn_thread("fake daemon", move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (answers, requests) = (Arc::clone(&answers), Arc::clone(&requests));
                faros_common::tasks::spawn_thread("fake connection", move || {
                    serve(stream, &answers, &requests);
                })
                .unwrap();
            }
        })
        .unwrap();
    }

    /// Nobody answers at the socket any more.
    pub(crate) fn stop(&self) {
        std::fs::remove_file(&self.socket).unwrap();
    }
}

fn serve(
    stream: UnixStream,
    answers: &Mutex<BTreeMap<String, (u16, String)>>,
    requests: &Mutex<Vec<String>>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    reader.read_line(&mut head).unwrap();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    reader.take(length).read_to_end(&mut Vec::new()).unwrap();
    let request = head.rsplit_once(' ').map_or("", |(request, _)| request).to_owned();
    let bare = request.split('?').next().unwrap_or_default().to_owned();
    requests.lock().unwrap().push(request);
    let not_found = || (404, r#"{"error":"there is no such thing here"}"#.to_owned());
    let (status, body) = answers.lock().unwrap().get(&bare).cloned().unwrap_or_else(not_found);
    let mut stream = stream;
    // The end of the connection ends the body, as a stream of events does.
    let _ = write!(stream, "HTTP/1.1 {status} X\r\nconnection: close\r\n\r\n{body}");
}

/// A line of a daemon's stream.
pub(crate) fn event(seq: u64, second: u64, daemon: &str, id: &str, more: &str) -> String {
    format!(
        "{{\"seq\":{seq},\"time\":\"2026-01-31T12:00:{second:02}.000000Z\",\"daemon\":\"{daemon}\",\"event\":\"{id}\"{more}}}\n"
    )
}

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
