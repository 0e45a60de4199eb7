//! Processes that end with the lab.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use faros_common::clock;
use rustix::process::{Pid, Signal, kill_process};

use crate::error::LabError;

/// A running process whose output goes to a file. Dropped, it is ended: SIGTERM, and SIGKILL after
/// [`GRACE`].
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

/// How long a process may take to end after SIGTERM.
pub const GRACE: Duration = Duration::from_secs(3);

impl Process {
    /// Starts `command`; what it prints is appended to the file `log`.
    ///
    /// # Errors
    /// The file or the program cannot be opened.
    pub fn start(command: &mut Command, log: PathBuf) -> Result<Self, LabError> {
        let output =
            File::options().create(true).append(true).open(&log).map_err(LabError::io("create", &log))?;
        let errors = output.try_clone().map_err(LabError::io("share", &log))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(LabError::doing(&format!("start {}", command.get_program().to_string_lossy())))?;
        Ok(Self { child, log })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file that holds what it printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of what it printed.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<_> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends it a signal. A process that has ended already takes none; that is no error.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits at most `limit` for its end.
    ///
    /// # Errors
    /// It still runs.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus, LabError> {
        let deadline = clock::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if clock::now() >= deadline => {
                    return Err(LabError::TimedOut(format!(
                        "process {} still runs after {} s",
                        self.child.id(),
                        limit.as_secs_f32()
                    )));
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Err(error) => return Err(LabError::doing("wait for a process")(error)),
            }
        }
    }

    /// Ends it: SIGTERM, and SIGKILL after `grace`. Returns how it ended.
    ///
    /// # Errors
    /// The system lost it.
    pub fn stop(&mut self, grace: Duration) -> Result<ExitStatus, LabError> {
        self.signal(Signal::TERM);
        match self.wait(grace) {
            Err(LabError::TimedOut(_)) => self.kill(),
            other => other,
        }
    }

    /// SIGKILL, as a power cut would do it to a process.
    ///
    /// # Errors
    /// The system lost it.
    pub fn kill(&mut self) -> Result<ExitStatus, LabError> {
        let gone: io::Result<()> = self.child.kill();
        gone.and_then(|()| self.child.wait()).map_err(LabError::doing("end a process"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            let _ = self.stop(GRACE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, directory: &Path) -> Process {
        Process::start(Command::new("sh").args(["-c", script]), directory.join("log")).unwrap()
    }

    #[test]
    fn output_is_kept_and_the_status_told() {
        let directory = tempfile::tempdir().unwrap();
        let mut process = shell("echo one; echo two >&2; echo three; exit 7", directory.path());
        assert_eq!(process.wait(Duration::from_secs(10)).unwrap().code(), Some(7));
        assert_eq!(process.log_tail(2), "two\nthree");
    }

    #[test]
    fn a_process_that_ignores_sigterm_is_killed() {
        let directory = tempfile::tempdir().unwrap();
        let mut process = shell("trap '' TERM; echo ready; while :; do sleep 0.1; done", directory.path());
        while process.log_tail(1) != "ready" {
            std::thread::sleep(Duration::from_millis(5));
        }
        let status = process.stop(Duration::from_millis(200)).unwrap();
        assert_eq!(status.code(), None, "ended by a signal");
    }
}
