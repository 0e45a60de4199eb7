//! Starting, reloading and stopping, once for all daemons.
//!
//! ```text
//! flags → site file → configure → bind → give up privilege → runtime → assemble
//!       → admin socket → READY=1 → run ──SIGTERM──► drain → exit
//!                            ▲   └─SIGHUP, POST /reload─► configure → reload (or keep the old one)
//! ```
//!
//! Everything up to the loss of privilege happens in a single thread, because capabilities, landlock and
//! seccomp belong to threads and are inherited by those that come later.

mod control;
pub mod descriptors;
mod directory;
mod exit;
mod logs;
mod notify;
mod options;
mod platform;
mod reload;
mod run;
mod start;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

pub use control::Control;
pub use exit::{RunError, StartError};
pub use options::Options;
pub use start::{Start, tcp_group};

use crate::admin::{AdminRequest, AdminResponse};
use crate::events::Events;
use crate::metrics::Metrics;
use crate::sandbox::Sandbox;
use crate::site::{Diagnostic, Site};

/// A daemon, as [`main`] runs it.
pub trait Service: Sized + Send + Sync + 'static {
    /// Its folder, socket and state: `tftpd`.
    const NAME: &'static str;
    /// One line for `--help`.
    const ABOUT: &'static str;
    /// How long connections and transfers may take to finish after SIGTERM; then the exit code is 75.
    const DRAIN_TIME_MAX: Duration = Duration::from_secs(30);
    /// How many threads run its tasks at most: the daemons are small and the machine is too. Where one task does
    /// nearly all the work, more threads only wake each other.
    const THREADS_MAX: usize = 4;

    /// Its part of the site file, proven.
    type Config: Send + Sync + 'static;
    /// Sockets and state, opened while privileged.
    type Bound: Send + 'static;

    /// Derives its part of the site file.
    ///
    /// # Errors
    /// What makes the file unusable for this daemon: exit code 78, or a refused reload.
    fn configure(site: &Site) -> Result<Self::Config, Vec<Diagnostic>>;

    /// Whether the site file wants this daemon here at all.
    fn enabled(site: &Site) -> bool {
        let _ = site;
        true
    }

    /// What the file asks for and this host does not have (yet); `--check` shows it. The daemon runs all the same.
    fn warnings(config: &Self::Config) -> Vec<Diagnostic> {
        let _ = config;
        Vec::new()
    }

    /// Opens everything that needs privilege: std sockets, non-blocking; no thread may be started.
    ///
    /// # Errors
    /// What is in the way, and what to do about it.
    fn bind(config: &Self::Config, start: &mut Start) -> Result<Self::Bound, StartError>;

    /// What stays allowed afterwards, beside the state and run directories and the site file's directory.
    fn sandbox(config: &Self::Config) -> Sandbox;

    /// Puts the daemon together, inside the runtime and without privilege.
    ///
    /// # Errors
    /// As [`Service::bind`].
    fn assemble(config: Self::Config, bound: Self::Bound, context: Context) -> Result<Self, StartError>;

    /// Serves until [`Control::stopping`], then drains. Calls [`Control::heartbeat`] from the serving loop
    /// at least every second: systemd's watchdog hears of nothing else.
    fn run(self: Arc<Self>, control: Control) -> impl Future<Output = Result<(), RunError>> + Send;

    /// As [`Service::DRAIN_TIME_MAX`], where the site file has a say in it.
    fn drain_time_max(&self) -> Duration {
        Self::DRAIN_TIME_MAX
    }

    /// Takes a new configuration over, losing nothing in flight.
    ///
    /// # Errors
    /// Why it cannot be taken without a restart; the old one stays.
    fn reload(&self, config: Self::Config) -> Result<(), String>;

    /// Its part of `GET /status`.
    fn status(&self) -> serde_json::Value;

    /// Its own verbs on the admin socket; `None`: there is none of that name.
    fn admin(&self, request: AdminRequest) -> impl Future<Output = Option<AdminResponse>> + Send;
}

/// What a daemon gets from its surroundings.
#[derive(Clone)]
pub struct Context {
    /// Its event stream.
    pub events: Events,
    /// Its metrics.
    pub metrics: Metrics,
    /// Its own directory for state.
    pub state_dir: PathBuf,
    /// The directory of all admin sockets.
    pub run_dir: PathBuf,
}

/// The whole life of a daemon: its `main.rs` returns this.
pub fn main<S: Service>() -> ExitCode {
    main_with::<S>(std::env::args_os().skip(1))
}

/// [`main`] with arguments from elsewhere, for an executable that holds several daemons.
pub fn main_with<S: Service>(arguments: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    match Options::parse::<S>(arguments) {
        Ok(options) => run::run::<S>(&options).into(),
        Err(exit) => exit.into(),
    }
}
