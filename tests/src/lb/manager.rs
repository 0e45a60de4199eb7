//! A service manager in small: starts the balancer, takes the descriptors that it gives to keep, and hands them to the
//! next one (sd_notify(3) `FDSTORE`, sd_listen_fds(3)).

use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use faros_lab::{Lab, Process, Signal};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::within;

/// How often the manager looks whether it is to end.
const ROUND: Duration = Duration::from_millis(50);
/// How long a daemon may take until it says that it is ready.
const READY_MAX: Duration = Duration::from_secs(20);
/// How long it may take to end.
const STOP_MAX: Duration = Duration::from_secs(60);
/// As `FileDescriptorStoreMax=` of a unit.
const STORE_MAX: usize = 128;

/// A manager with the daemon that it runs; both end when dropped.
pub struct Manager {
    process: Option<Process>,
    program: PathBuf,
    socket: PathBuf,
    kept: Arc<Mutex<Kept>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Kept {
    store: Vec<(String, OwnedFd)>,
    ready: bool,
    said: Vec<String>,
}

impl Manager {
    /// A manager that runs nothing yet.
    pub fn new(lab: &Lab) -> Self {
        let socket = lab.dir().join("notify");
        let receiver = UnixDatagram::bind(&socket).expect("a socket");
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).expect("ours");
        receiver.set_read_timeout(Some(ROUND)).expect("a time");
        let (kept, stopping): (Arc<Mutex<Kept>>, Arc<AtomicBool>) = Default::default();
        let (shared, ending) = (Arc::clone(&kept), Arc::clone(&stopping));
        let listen = move || {
            while !ending.load(Ordering::Relaxed) {
                if let Some((text, descriptors)) = receive(&receiver) {
                    shared.lock().unwrap_or_else(PoisonError::into_inner).hear(&text, descriptors);
                }
            }
        };
        #[expect(clippy::disallowed_methods, reason = "a panic of this thread is the test's")]
        let thread = Some(std::thread::spawn(listen));
        let program = faros_lab::program("lb").expect("the daemon is built");
        Self { process: None, program, socket, kept, stopping, thread }
    }

    /// From now on this program is started.
    pub fn set_program(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    /// Starts the daemon with what is kept, and waits until it says that it is ready. `wrapper` is a program with
    /// arguments that starts it.
    pub fn start(&mut self, lab: &Lab, wrapper: &[&str]) {
        self.spawn(lab, wrapper);
        let ready = || self.kept().ready;
        within(READY_MAX, "the daemon is ready", ready);
    }

    /// [`Manager::start`] without waiting.
    pub fn spawn(&mut self, lab: &Lab, wrapper: &[&str]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.ready = false;
        // Descriptors go through an exec under the number that they have here; the shell moves them to their places.
        let places = kept.store.iter().enumerate();
        let moves: String =
            places.map(|(index, (_, fd))| format!("{}<&{} ", index + 3, fd.as_raw_fd())).collect();
        // A number that is a source later must not be a place before: sources lie above all places.
        let least = kept.store.iter().map(|(_, fd)| fd.as_raw_fd()).min().unwrap_or(i32::MAX);
        assert!(least as usize >= kept.store.len() + 3, "descriptors are too low: {moves}");
        let names: Vec<&str> = kept.store.iter().map(|(name, _)| name.as_str()).collect();
        let (count, names) = (names.len().to_string(), names.join(":"));
        let closes: String = kept.store.iter().map(|(_, fd)| format!("{}<&- ", fd.as_raw_fd())).collect();
        let redirect = if moves.is_empty() { String::new() } else { format!("exec {moves}{closes}; ") };
        let script = format!("{redirect}export LISTEN_PID=$$; exec \"$@\"");
        let mut command = lab.bastion().command("bash");
        command.args(["-c", &script, "bash"]).args(wrapper).arg(&self.program);
        command.arg("--site").arg(lab.site_file()).arg("--state-dir").arg(lab.state_dir("lb"));
        command.arg("--run-dir").arg(lab.run_dir());
        command.env("NOTIFY_SOCKET", &self.socket).env("LISTEN_FDS", count).env("LISTEN_FDNAMES", names);
        let inherit = |flags| kept.store.iter().for_each(|(_, fd)| fcntl_setfd(fd, flags).expect("a flag"));
        inherit(FdFlags::empty());
        let process = Process::start(&mut command, lab.log_file("lb"));
        inherit(FdFlags::CLOEXEC);
        drop(kept);
        self.process = Some(process.expect("the daemon starts"));
    }

    /// The daemon.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it was started")
    }

    /// Ends the daemon with SIGTERM and waits for its end.
    pub fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("it was started");
        process.signal(Signal::TERM);
        process.wait(STOP_MAX).expect("it ends")
    }

    /// Ends the daemon with SIGKILL.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it was started");
        process.kill().expect("it is ended");
    }

    /// Hands the daemon over to the caller; what is started next comes beside it.
    pub fn release(&mut self) -> Process {
        self.process.take().expect("it was started")
    }

    /// Forgets what is kept.
    pub fn forget(&mut self) {
        self.kept().store.clear();
    }

    /// The names of what is kept.
    pub fn kept_names(&self) -> Vec<String> {
        self.kept().store.iter().map(|(name, _)| name.clone()).collect()
    }

    /// All that the daemon has said to its manager.
    pub fn said(&self) -> Vec<String> {
        self.kept().said.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(process) = &self.process {
            process.signal(Signal::KILL);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Kept {
    fn hear(&mut self, text: &str, descriptors: Vec<OwnedFd>) {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let name = field("FDNAME").unwrap_or("stored").to_owned();
        self.ready |= field("READY") == Some("1");
        if field("FDSTORE") == Some("1") {
            for descriptor in descriptors {
                // As systemd does it: what is kept already is not kept twice.
                if !self.store.iter().any(|(_, kept)| is_same(kept, &descriptor)) {
                    self.store.push((name.clone(), lifted(&descriptor)));
                }
            }
            assert!(self.store.len() <= STORE_MAX, "the store is full: {text}");
        } else if field("FDSTOREREMOVE") == Some("1") {
            self.store.retain(|(other, _)| *other != name);
        }
        self.said.push(text.to_owned());
    }
}

/// Whether two descriptors are of one socket.
fn is_same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let inode = |descriptor: &OwnedFd| {
        let facts = rustix::fs::fstat(descriptor).expect("a descriptor has facts");
        (facts.st_dev, facts.st_ino)
    };
    inode(one) == inode(other)
}

/// The same descriptor under a number that is no place of a handed-over one.
fn lifted(descriptor: &OwnedFd) -> OwnedFd {
    rustix::io::fcntl_dupfd_cloexec(descriptor.as_fd(), LIFTED_FROM).expect("a descriptor")
}

const LIFTED_FROM: i32 = 400;

fn receive(socket: &UnixDatagram) -> Option<(String, Vec<OwnedFd>)> {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC).ok()?;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Some((String::from_utf8_lossy(&bytes[..received.bytes]).into_owned(), descriptors))
}
