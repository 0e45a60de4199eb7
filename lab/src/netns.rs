//! Network namespaces, and commands in them.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::LabError;

/// A named network namespace of the lab. Dropped, it goes with all processes in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes the namespace `name` with its loopback up.
    pub(crate) fn create(name: String) -> Result<Self, LabError> {
        run("ip", ["netns", "add", &name]).map_err(explain_missing_rights)?;
        let namespace = Self { name };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `program` in this namespace, not started yet. The process gets no input and its own process group,
    /// so that Ctrl-C reaches only the lab.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program).stdin(Stdio::null()).process_group(0);
        command
    }

    /// Runs `program` to its end and returns what it printed, whatever its exit code.
    ///
    /// # Errors
    /// It could not be started at all.
    pub fn output<A: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Output, LabError> {
        self.command(program).args(arguments).output().map_err(LabError::doing("run ip netns exec"))
    }

    /// Runs `program` to its end and returns its standard output.
    ///
    /// # Errors
    /// It could not be started or failed; the error holds what it said.
    pub fn run<A: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<String, LabError> {
        let mut command = self.command(program);
        command.args(arguments);
        finish(program, &mut command)
    }

    /// `ip -n <namespace> <arguments>`, the arguments separated by blanks.
    ///
    /// # Errors
    /// As [`Namespace::run`].
    pub fn ip(&self, arguments: &str) -> Result<String, LabError> {
        let all = ["-n", &self.name].into_iter().chain(arguments.split_whitespace());
        run("ip", all)
    }

    /// Runs `body` on a thread of its own inside this namespace and returns what it returns. A panic in it
    /// goes on in the caller.
    ///
    /// # Errors
    /// The namespace is gone, or the system refuses.
    pub fn inside<T: Send>(&self, body: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| self.enter().map(|()| body()));
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread into this namespace: sockets that it opens from now on belong to it.
    ///
    /// # Errors
    /// The namespace is gone, or the system refuses.
    pub fn enter(&self) -> Result<(), LabError> {
        enter(&self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Moves the calling thread into the namespace `name`.
pub(crate) fn enter(name: &str) -> Result<(), LabError> {
    let path = Path::new(NAMESPACES).join(name);
    let file = File::open(&path).map_err(LabError::io("open", &path))?;
    move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(LinkNameSpaceType::Network))
        .map_err(|error| LabError::io("enter", &path)(error.into()))
}

/// Where `ip netns` keeps its names.
const NAMESPACES: &str = "/run/netns";

/// The namespaces whose name begins with `prefix`.
pub(crate) fn existing(prefix: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(NAMESPACES) else { return Vec::new() };
    let names = entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// Ends the processes in a namespace and removes it. What is already gone is no error.
pub(crate) fn remove(name: &str) {
    let own = std::process::id();
    // A process may have started another between being listed and being killed.
    for _ in 0..20 {
        let listed = run("ip", ["netns", "pids", name]).unwrap_or_default();
        let pids: Vec<_> = listed
            .split_whitespace()
            .filter_map(|pid| pid.parse::<i32>().ok())
            .filter(|&pid| pid.unsigned_abs() != own && !is_zombie(pid))
            .filter_map(Pid::from_raw)
            .collect();
        if pids.is_empty() {
            break;
        }
        for pid in pids {
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = run("ip", ["netns", "del", name]);
}

/// Killed, and only waiting for its parent to notice.
fn is_zombie(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

/// Runs a program of the host and returns its standard output.
pub(crate) fn run<A: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Result<String, LabError> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    finish(program, &mut command)
}

fn finish(program: &str, command: &mut Command) -> Result<String, LabError> {
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => LabError::Missing(format!(
            "the program {program} is missing; install the Debian package that holds it (`cargo xtask packages`)"
        )),
        _ => LabError::doing("start a program")(error),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stdout));
    let command = format!("{} {}", command.get_program().to_string_lossy(), arguments.join(" "));
    Err(LabError::Command { command, said: format!("{}: {said}", output.status) })
}

/// The first namespace shows whether we may make any.
fn explain_missing_rights(error: LabError) -> LabError {
    match error {
        LabError::Command { said, .. }
            if said.contains("not permitted") || said.contains("Permission denied") =>
        {
            LabError::Missing(format!(
                "this user may not make network namespaces ({}); run the lab as root, or allow user \
                 namespaces (sysctl kernel.unprivileged_userns_clone=1)",
                said.trim_end()
            ))
        }
        other => other,
    }
}
