//! The daemons of a lab: starting, asking, ending them.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use faros_common::clock;
use rustix::process::Signal;
use serde_json::Value;

use super::Lab;
use crate::error::LabError;
use crate::events::Events;
use crate::http;
use crate::process::Process;
use crate::rootless;

/// How long a daemon may take until its admin socket answers.
pub const READY_MAX: Duration = Duration::from_secs(20);

/// The daemons of a site that the lab starts, in no particular order: each copes with any.
pub const DAEMONS: [&str; 6] = ["dhcpd", "dnsd", "tftpd", "ignition-http", "tangd", "lb"];

impl Lab {
    /// Starts every daemon of [`DAEMONS`].
    ///
    /// # Errors
    /// As [`Lab::start_daemon`].
    pub fn start_daemons(&mut self) -> Result<(), LabError> {
        DAEMONS.iter().try_for_each(|name| self.start_daemon(name))
    }

    /// Starts `faros-<name>` in the bastion and waits until its admin socket answers.
    ///
    /// # Errors
    /// Its program is not found, it ended, or it does not answer within [`READY_MAX`]; the error holds the
    /// end of its log.
    pub fn start_daemon(&mut self, name: &str) -> Result<(), LabError> {
        self.start_daemon_with(name, &[], &[])
    }

    /// As [`Lab::start_daemon`], with further flags and environment variables (`FAROS_FAULT`, `FAROS_LOG`).
    ///
    /// # Errors
    /// As [`Lab::start_daemon`].
    pub fn start_daemon_with(
        &mut self,
        name: &str,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<(), LabError> {
        let mut command = self.bastion.command(program(name)?);
        command
            .arg("--site")
            .arg(self.site_file())
            .arg("--state-dir")
            .arg(self.state_dir(name))
            .arg("--run-dir")
            .arg(self.run_dir())
            // Confinement means becoming another user, and an ordinary user's namespace has no other.
            .args(rootless::is_alone().then_some("--no-sandbox"))
            .args(flags)
            .envs(environment.iter().copied());
        let process = Process::start(&mut command, self.log_file(name))?;
        self.daemons.insert(name.to_owned(), process);
        self.await_ready(name)
    }

    /// The process of the daemon `name`, if it was started.
    pub fn daemon(&mut self, name: &str) -> Option<&mut Process> {
        self.daemons.get_mut(name)
    }

    /// Sends a signal to the daemon `name`.
    ///
    /// # Errors
    /// It was not started.
    pub fn signal_daemon(&self, name: &str, signal: Signal) -> Result<(), LabError> {
        self.daemons.get(name).map(|process| process.signal(signal)).ok_or_else(|| not_started(name))
    }

    /// Ends the daemon `name` with SIGTERM and returns how it ended.
    ///
    /// # Errors
    /// It was not started, or the system lost it.
    pub fn stop_daemon(&mut self, name: &str) -> Result<ExitStatus, LabError> {
        self.daemons.remove(name).ok_or_else(|| not_started(name))?.stop(Duration::from_secs(10))
    }

    /// Ends the daemon `name` with SIGKILL.
    ///
    /// # Errors
    /// As [`Lab::stop_daemon`].
    pub fn kill_daemon(&mut self, name: &str) -> Result<ExitStatus, LabError> {
        self.daemons.remove(name).ok_or_else(|| not_started(name))?.kill()
    }

    /// `GET target` on the admin socket of `name`, as JSON; as a JSON string where the answer is text.
    ///
    /// # Errors
    /// Nobody answers, or with another status than 2xx.
    pub fn admin_get(&self, name: &str, target: &str) -> Result<Value, LabError> {
        self.admin(name, "GET", target)
    }

    /// `POST target` on the admin socket of `name`.
    ///
    /// # Errors
    /// As [`Lab::admin_get`].
    pub fn admin_post(&self, name: &str, target: &str) -> Result<Value, LabError> {
        self.admin(name, "POST", target)
    }

    /// The events of the daemons that run now, from the oldest they keep.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn events(&self) -> Result<Events, LabError> {
        Events::follow(self.daemons.keys().map(|name| (name.clone(), self.socket(name))).collect())
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.run_dir().join(format!("{name}.sock"))
    }

    fn admin(&self, name: &str, method: &str, target: &str) -> Result<Value, LabError> {
        let socket = self.socket(name);
        let io = |error| LabError::io("ask", &socket)(error);
        let answer = http::unix(&socket, method, target, Some(http::SILENCE_MAX)).map_err(io)?;
        let status = answer.status;
        let body = answer.body().map_err(io)?;
        let text = String::from_utf8_lossy(&body).into_owned();
        if !(200..300).contains(&status) {
            return Err(LabError::Answer { who: name.to_owned(), what: format!("{status} {text}") });
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    fn await_ready(&mut self, name: &str) -> Result<(), LabError> {
        let deadline = clock::now() + READY_MAX;
        loop {
            if let Some(status) = self.daemons.get_mut(name).and_then(Process::ended) {
                return Err(self.daemon_error(name, format!("ended at once ({status})")));
            }
            if self.admin_get(name, "/status").is_ok() {
                return Ok(());
            }
            if clock::now() >= deadline {
                let what = format!("did not answer within {} s", READY_MAX.as_secs());
                return Err(self.daemon_error(name, what));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn daemon_error(&self, name: &str, what: String) -> LabError {
        let log = self.daemons.get(name).map_or_else(String::new, |process| process.log_tail(20));
        LabError::Daemon { name: name.to_owned(), what, log }
    }
}

fn not_started(name: &str) -> LabError {
    LabError::Daemon { name: name.to_owned(), what: "was not started".to_owned(), log: String::new() }
}

/// The program of the daemon `name`: in `FAROS_BIN_DIR`, beside this program, or in the target directory
/// that a test program lies in.
///
/// # Errors
/// It is in none of these places; the error names them.
pub fn program(name: &str) -> Result<PathBuf, LabError> {
    let file = format!("faros-{name}");
    let own = std::env::current_exe().ok();
    let beside = own.iter().flat_map(|own| own.ancestors().skip(1).take(2)).map(Path::to_owned);
    let places: Vec<_> =
        std::env::var_os("FAROS_BIN_DIR").map(PathBuf::from).into_iter().chain(beside).collect();
    places.iter().map(|place| place.join(&file)).find(|path| path.is_file()).ok_or_else(|| {
        let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
        LabError::Missing(format!(
            "{file} is in none of {}; build it (`cargo build --bins`) or set FAROS_BIN_DIR",
            places.join(", ")
        ))
    })
}
