//! The running daemon: sockets, threads, reload and drain.
//!
//! ```text
//! port 69 ─► intake (one task per listener) ─► request (blocking task: find, open, read)
//!                                                  │ Start
//!                                                  ▼
//!                               worker (one of eight threads) ◄──► the clients' transfers
//! ```
//!
//! When the intake is cancelled no request is half done: those taken finish in tasks of their own. Workers
//! end when told to drain and nothing is under way.

pub mod active;
pub mod handle;
pub mod intake;
pub mod report;
pub mod socket;
mod spin;
pub mod table;
pub mod worker;

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::daemon::{Context, Control, RunError, Service, Start, StartError};
use faros_common::loaders;
use faros_common::sandbox::Sandbox;
use faros_common::site::{Diagnostic, Site};
use faros_common::tasks;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::admin;
use crate::config::Config;
use crate::files::body::Cache;
use crate::metrics::Counters;
use crate::platform;
use handle::{Command, Handle};
use intake::{Intake, Listener};
use report::Reporter;
use spin::Crowd;
use table::{TRANSFERS_MAX, Table};

/// Threads that send, whatever the number of processors: the scheduler serves eight sleepers with one client
/// each better than one with eight.
const WORKERS: usize = 8;
/// Descriptors wanted: two for each transfer, and some.
const DESCRIPTORS_WANTED: u64 = 2 * TRANSFERS_MAX as u64 + 512;
/// Requests that may wait to be looked at, in octets of kernel memory: about 4000, a rack after a power cut.
const REQUEST_BUFFER_BYTES: i32 = 4 << 20;
/// How often the loops are looked after.
const ROUND: Duration = Duration::from_millis(250);
/// A loop that has not gone round for so many rounds is stuck, and the watchdog hears no more of us.
const ROUNDS_STUCK: u32 = 12;

/// The TFTP daemon.
pub struct Tftpd {
    pub(crate) intake: Arc<Intake>,
    listeners: Vec<Arc<Listener>>,
    threads: Mutex<Vec<JoinHandle<Option<()>>>>,
}

impl Service for Tftpd {
    const NAME: &'static str = "tftpd";
    const ABOUT: &'static str = "TFTP server for boot loaders";
    type Config = Config;
    type Bound = Vec<UdpSocket>;

    fn configure(site: &Site) -> Result<Config, Vec<Diagnostic>> {
        Config::of_site(site)
    }

    fn enabled(site: &Site) -> bool {
        site.tftp.enable
    }

    fn bind(config: &Config, start: &mut Start) -> Result<Vec<UdpSocket>, StartError> {
        raise_descriptor_limit();
        // A sandbox reaches what exists when it is put up: the root must be there, if empty.
        if let Err(error) = std::fs::create_dir_all(&config.root) {
            warn!(event = "root_missing", root = %config.root.display(), %error, "the boot root cannot be made");
        }
        let open = |&address: &SocketAddr| {
            let socket = start.udp(address)?;
            if let Err(error) = platform::receive_buffer(&socket, REQUEST_BUFFER_BYTES) {
                warn!(event = "receive_buffer", %error, "many requests at once will be lost and repeated");
            }
            Ok(socket)
        };
        config.listen.iter().map(open).collect()
    }

    fn sandbox(config: &Config) -> Sandbox {
        let places = loaders::folders().into_iter().map(std::path::Path::to_owned);
        // Seeds are looked at to be refused under any other name.
        let roots = config.seed_roots.iter().cloned().chain([config.root.clone()]);
        roots.chain(places).fold(Sandbox::new(), Sandbox::read)
    }

    fn assemble(config: Config, bound: Vec<UdpSocket>, context: Context) -> Result<Self, StartError> {
        let system = |error: std::io::Error| StartError::System(format!("cannot start to serve: {error}"));
        let counters = Counters::new(&context.metrics);
        let table = Arc::new(Table::new(counters.in_flight.clone()));
        let config = Arc::new(ArcSwap::from_pointee(config));
        let reporter = Reporter::new(counters, context.events, Arc::clone(&config));
        let (mut workers, mut threads) = (Vec::new(), Vec::new());
        let crowd = Arc::new(Crowd::new());
        for _ in 0..WORKERS {
            let (worker, thread) = Handle::start(reporter.clone(), Arc::clone(&crowd)).map_err(system)?;
            workers.push(worker);
            threads.push(thread);
        }
        let listeners = bound.into_iter().map(|socket| Listener::new(socket).map(Arc::new));
        let listeners = listeners.collect::<Result<Vec<_>, _>>().map_err(system)?;
        for listener in &listeners {
            info!(event = "listening", address = %listener.address(), "listening");
        }
        let intake = Intake {
            config,
            table,
            cache: Cache::default(),
            workers,
            reporter,
            requests: Intake::requests(),
            resolvers: Intake::resolvers(),
        };
        Ok(Self { intake: Arc::new(intake), listeners, threads: Mutex::new(threads) })
    }

    async fn run(self: Arc<Self>, control: Control) -> Result<(), RunError> {
        let loops: Vec<Arc<AtomicU64>> = self.listeners.iter().map(|_| Arc::default()).collect();
        let listening: Vec<_> = self
            .listeners
            .iter()
            .zip(&loops)
            .map(|(listener, turns)| {
                let (intake, listener, turns) =
                    (Arc::clone(&self.intake), Arc::clone(listener), Arc::clone(turns));
                tasks::spawn(
                    "intake",
                    intake.listen(listener, move || {
                        turns.fetch_add(1, Ordering::Relaxed);
                    }),
                )
            })
            .collect();
        let mut care = Care::default();
        let mut rounds = tokio::time::interval(ROUND);
        loop {
            tokio::select! {
                () = control.stopping() => break,
                _ = rounds.tick() => {
                    if listening.iter().any(tokio::task::JoinHandle::is_finished) {
                        return Err(RunError::Internal("a listener ended by a defect; the log has it".to_owned()));
                    }
                    if self.threads().iter().any(JoinHandle::is_finished) {
                        return Err(RunError::Internal("a worker ended by a defect; the log has it".to_owned()));
                    }
                    let turns = loops.iter().map(|turns| turns.load(Ordering::Relaxed));
                    if care.all_alive(turns.chain(self.intake.workers.iter().map(Handle::turns))) {
                        control.heartbeat();
                    }
                }
            }
        }
        listening.iter().for_each(tokio::task::JoinHandle::abort);
        while !self.intake.table.is_empty() {
            rounds.tick().await;
            control.heartbeat();
        }
        for worker in &self.intake.workers {
            worker.tell(Command::Drain);
        }
        let threads = std::mem::take(&mut *self.threads());
        let joined =
            tokio::task::spawn_blocking(|| threads.into_iter().for_each(|thread| drop(thread.join())));
        let _ = joined.await;
        Ok(())
    }

    fn reload(&self, config: Config) -> Result<(), String> {
        let old = self.intake.config.load();
        if config.listen != old.listen {
            return Err("tftp.listen changed, and the port cannot be bound without privilege: \
                        restart faros-tftpd"
                .to_owned());
        }
        if config.root != old.root || config.seed_roots != old.seed_roots {
            return Err("tftp.root or http.root changed, which is outside of what this process may read: \
                        restart faros-tftpd"
                .to_owned());
        }
        self.intake.config.store(Arc::new(config));
        Ok(())
    }

    fn status(&self) -> Value {
        let config = self.intake.config.load();
        json!({
            "listen": self.listeners.iter().map(|listener| listener.address().to_string()).collect::<Vec<_>>(),
            "root": config.root,
            "interface": config.lan,
            "transfers": self.intake.table.len(),
            "transfers_max": TRANSFERS_MAX,
            "client_transfers_max": table::CLIENT_TRANSFERS_MAX,
            "workers": self.intake.workers.iter().map(Handle::transfers).collect::<Vec<_>>(),
            "cache": self.intake.cache.status(),
            "requests": self.intake.reporter.counters.requests.get(),
            "sent_files": self.intake.reporter.counters.sent.get(),
            "sent_bytes": self.intake.reporter.counters.sent_bytes.get(),
            "retransmits": self.intake.reporter.counters.retransmits.get(),
        })
    }

    async fn admin(&self, request: AdminRequest) -> Option<AdminResponse> {
        admin::answer(&self.intake, &request)
    }
}

impl Tftpd {
    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<Option<()>>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches whether loops go round.
#[derive(Debug, Default)]
struct Care {
    seen: Vec<(u64, u32)>,
}

impl Care {
    /// Whether none of the loops has stood still for [`ROUNDS_STUCK`] calls.
    fn all_alive(&mut self, turns: impl Iterator<Item = u64>) -> bool {
        let mut alive = true;
        for (index, turns) in turns.enumerate() {
            if self.seen.len() <= index {
                self.seen.push((turns, 0));
            }
            let (before, still) = &mut self.seen[index];
            *still = if *before == turns { *still + 1 } else { 0 };
            *before = turns;
            alive &= *still < ROUNDS_STUCK;
        }
        alive
    }
}

/// The usual limit of 1024 descriptors is less than the transfers that are promised.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS_WANTED, |most| most.min(DESCRIPTORS_WANTED));
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            warn!(event = "descriptor_limit", %error, "the limit of open files stays low");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_noticed() {
        let mut care = Care::default();
        for turn in 0..100 {
            assert!(care.all_alive([turn, 1000 + turn].into_iter()));
        }
        let stuck = (0..100).find(|&turn| !care.all_alive([100 + turn, 1099].into_iter()));
        assert_eq!(stuck, Some(u64::from(ROUNDS_STUCK) - 1));
    }
}
