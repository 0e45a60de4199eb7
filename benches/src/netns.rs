//! Two network namespaces and the link between them, gone afterwards also after Ctrl-C or a crash.
//!
//! Names are `fb<process id>-<number><s|c|b>`, so that a later run knows whose they are: [`sweep_stale`] removes
//! what a run that no longer lives left behind, with the servers that still run in it.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, cgroup};

/// Address of the server on every link; the prefix has room for the pool of a DHCP benchmark.
pub const SERVER_ADDRESS: &str = "10.77.0.1";
/// Address of the client on every link.
pub const CLIENT_ADDRESS: &str = "10.77.0.2";
/// Length of the prefix that both are in.
pub const PREFIX_LENGTH: u8 = 16;
/// The interface in the server's namespace.
pub const SERVER_INTERFACE: &str = "fbs0";
/// The interface in the client's namespace.
pub const CLIENT_INTERFACE: &str = "fbc0";

/// A server's and a client's namespace with a pair of virtual interfaces between them. Dropped: deleted, with all
/// processes in it.
#[derive(Debug)]
pub struct Link {
    server: String,
    client: String,
}

impl Link {
    /// Makes both namespaces; needs root and `ip`.
    pub fn create() -> Result<Self, Error> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |end| format!("{PREFIX}{}-{number}{end}", std::process::id());
        let link = Self { server: name('s'), client: name('c') };
        let (server, client) = (link.server.as_str(), link.client.as_str());
        ip(&["netns", "add", server])?;
        ip(&["netns", "add", client])?;
        let pair = ["link", "add", SERVER_INTERFACE, "netns", server, "type", "veth"];
        ip(&[&pair[..], &["peer", "name", CLIENT_INTERFACE, "netns", client]].concat())?;
        let ends = [(server, SERVER_INTERFACE, SERVER_ADDRESS), (client, CLIENT_INTERFACE, CLIENT_ADDRESS)];
        for (namespace, interface, address) in ends {
            let address = format!("{address}/{PREFIX_LENGTH}");
            ip(&["-n", namespace, "addr", "add", &address, "dev", interface])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
            ip(&["-n", namespace, "link", "set", interface, "up"])?;
        }
        Ok(link)
    }

    /// A command that runs at the server's end.
    pub fn at_server(&self, program: &str) -> Command {
        inside(&self.server, program)
    }

    /// A command that runs at the client's end.
    pub fn at_client(&self, program: &str) -> Command {
        inside(&self.client, program)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for name in [&self.client, &self.server] {
            delete(name);
        }
    }
}

/// Removes the namespaces of runs that are over, and ends the processes that are still in them.
pub fn sweep_stale() {
    for name in names() {
        if owner(&name).is_some_and(|process| !is_benchmark(process)) {
            delete(&name);
        }
    }
    cgroup::sweep(|process| !is_benchmark(process));
}

/// On SIGINT, SIGTERM or SIGHUP: removes this run's namespaces and ends it with the shell's exit code for that
/// signal. Destructors do not run then; whatever else has to go is removed by `also`.
pub fn clean_on_signals(also: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let wait = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(code) = runtime.and_then(|runtime| runtime.block_on(signalled())) else { return };
        for name in names() {
            if owner(&name) == Some(std::process::id()) {
                delete(&name);
            }
        }
        cgroup::sweep(|process| process == std::process::id());
        also();
        std::process::exit(code);
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
    thread.map(drop).map_err(Error::system("a thread for signals"))
}

/// How the name of every namespace of a benchmark begins.
pub(crate) const PREFIX: &str = "fb";

async fn signalled() -> std::io::Result<i32> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
        _ = hangup.recv() => 129,
    })
}

/// A command that runs in a namespace.
pub(crate) fn inside(namespace: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, program]).stdin(Stdio::null());
    command
}

/// Runs `ip` and returns what it printed.
pub(crate) fn ip(arguments: &[&str]) -> Result<String, Error> {
    let output = Command::new("ip").args(arguments).output().map_err(Error::system("ip"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !rustix::process::geteuid().is_root() {
        said.push_str("namespaces are made by root: run the benchmark with sudo");
    }
    Err(Error::Failed { what: format!("ip {} failed", arguments.join(" ")), said })
}

fn names() -> Vec<String> {
    let list = ip(&["netns", "list"]).unwrap_or_default();
    list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// The process that made a namespace; `None` for a name that is not ours.
fn owner(name: &str) -> Option<u32> {
    let (process, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let number = rest.strip_suffix(['s', 'c', 'b'])?;
    number.parse::<u32>().ok()?;
    process.parse().ok()
}

/// Whether a process is one of the programs of this crate: process ids are used again.
fn is_benchmark(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/comm"))
        .is_ok_and(|name| ["dhcp", "dns", "lb", "tang", "tftp"].contains(&name.trim_end()))
}

/// Ends the processes in a namespace and deletes it.
pub(crate) fn delete(name: &str) {
    for process in ip(&["netns", "pids", name]).unwrap_or_default().split_whitespace() {
        if let Some(process) = process.parse().ok().and_then(Pid::from_raw) {
            // It may have ended by itself in between.
            let _ = kill_process(process, Signal::KILL);
        }
    }
    // It may be gone already: the signal thread and a destructor can meet here.
    let _ = ip(&["netns", "delete", name]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_benchmarks_have_an_owner() {
        assert_eq!(owner("fb4711-0s"), Some(4711));
        assert_eq!(owner("fb4711-12c"), Some(4711));
        assert_eq!(owner("fb4711-3b"), Some(4711));
        for other in ["fb4711-0x", "fbridge-1s", "fb-1s", "lab4711-0s", "fb12-s", "fb12-1", "NBnet"] {
            assert_eq!(owner(other), None, "{other}");
        }
    }
}
