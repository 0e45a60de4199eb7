//! The daemon, from its sockets to its end.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::daemon::{self, Context, Control, RunError, Service, Start, StartError, descriptors};
use faros_common::events::{Event, Events};
use faros_common::sandbox::{Capability, Sandbox};
use faros_common::site::{Diagnostic, Site};
use faros_common::tasks;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use crate::admin;
use crate::config::Config;
use crate::director::{Beginning, Director, Observed, Report, Sockets};
use crate::handover::{self, Estate, Handover, Succession};
use crate::kernel::{KernelPlane, Restored};
use crate::metrics::{Counters, Planes as PlaneMetrics};
use crate::pool::ConnectionEnd;
use crate::server::{self, Care, DataPlanes};
use crate::store::{Memory, Store};
use crate::user::UserPlane;

/// Loops of the user plane at most; beyond it the cores are better used by what is balanced.
const LOOPS_MAX: usize = 16;
/// Where forwarding is switched.
const FORWARDING: [&str; 2] = ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf"];
/// What ending takes beyond the time for draining.
const LAST_ACTS: Duration = Duration::from_secs(5);

/// The daemon.
pub struct Lb {
    director: Arc<Director>,
    planes: Arc<DataPlanes>,
    context: Context,
    loops: usize,
    retired: watch::Sender<bool>,
    starting: Mutex<Option<Starting>>,
}

/// What the start hands to [`Lb::run`].
struct Starting {
    succession: Option<Succession>,
    reports: mpsc::Receiver<Report>,
    ends: mpsc::Receiver<ConnectionEnd>,
}

/// What is opened while privileged.
pub struct Bound {
    sockets: Sockets,
    store: Store,
    memory: Memory,
    damage: Option<String>,
    succession: Option<Succession>,
    kernel: Result<KernelPlane, String>,
}

impl Service for Lb {
    const NAME: &'static str = "lb";
    const ABOUT: &'static str = "Layer-4 balancing for the cluster: API, machine configs, ingress";
    // The data planes have loops of their own; here are checks and the admin socket.
    const THREADS_MAX: usize = 2;

    type Config = Config;
    type Bound = Bound;

    fn configure(site: &Site) -> Result<Config, Vec<Diagnostic>> {
        Config::of(site)
    }

    fn enabled(site: &Site) -> bool {
        site.lb.enable
    }

    fn warnings(config: &Config) -> Vec<Diagnostic> {
        config.warnings()
    }

    fn bind(config: &Config, start: &mut Start) -> Result<Bound, StartError> {
        let succession = succeed(start)?;
        let mut sockets = Sockets::default();
        for (front, address) in config.listeners() {
            if sockets.contains(address) {
                continue;
            }
            let group = start.tcp_group(address, loops()).map_err(|error| for_front(&front.name, &error))?;
            sockets.insert(address, group);
        }
        for socket in start.unclaimed() {
            if let Ok(address) = socket.local_addr() {
                info!(event = "lb_socket_dropped", %address, "the site file does not listen there any more");
                let _ = descriptors::forget(&descriptors::name_of(address));
            }
        }
        let (store, found) = Store::open(start.state_dir()).map_err(|error| {
            let directory = start.state_dir().display();
            StartError::System(format!("the state in {directory} cannot be opened: {error}"))
        })?;
        // What a predecessor says is newer than what it wrote.
        let told =
            succession.as_ref().and_then(|succession| serde_json::from_value(succession.memory.clone()).ok());
        Ok(Bound {
            sockets,
            store,
            memory: told.unwrap_or(found.memory),
            damage: found.damage,
            succession,
            // Here, because its probes need a right that is given up.
            kernel: if config.may_use_kernel() {
                KernelPlane::open(config.surroundings.clone()).map_err(|error| error.to_string())
            } else {
                sweep_kernel();
                Err("no front end asked for it when the daemon started".to_owned())
            },
        })
    }

    fn sandbox(config: &Config) -> Sandbox {
        // A reload may bring a front end on a port below 1024.
        let mut sandbox = Sandbox::new().capability(Capability::CAP_NET_BIND_SERVICE);
        if config.may_use_kernel() {
            sandbox = sandbox.capability(Capability::CAP_NET_ADMIN);
            sandbox = FORWARDING.into_iter().fold(sandbox, Sandbox::read_write);
        }
        config.authorities().into_iter().fold(sandbox, Sandbox::read)
    }

    fn assemble(config: Config, bound: Bound, context: Context) -> Result<Self, StartError> {
        let counters = Counters::register(&context.metrics);
        let (observed, reports, ends) = Observed::new(Arc::clone(&counters));
        let observer: Arc<dyn crate::pool::Observer> = Arc::new(observed);
        let loops = loops();
        let user = UserPlane::start(loops, Arc::clone(&observer)).map_err(|error| {
            StartError::System(format!("the loops of the user plane cannot start: {error}"))
        })?;
        let kernel = bound.kernel;
        if let Ok(kernel) = &kernel {
            let events = context.events.clone();
            kernel.watch(observer, move |restored| tell_restored(&events, restored)).map_err(|error| {
                StartError::System(format!("the kernel plane cannot be watched: {error}"))
            })?;
        }
        let planes = Arc::new(DataPlanes { user, kernel });
        let beginning = Beginning {
            config,
            sockets: bound.sockets,
            memory: bound.memory,
            damage: bound.damage,
            store: bound.store,
        };
        let director = Director::new(beginning, Arc::clone(&planes) as _, context.events.clone(), counters);
        PlaneMetrics::register(&context.metrics, &director);
        let starting = Starting { succession: bound.succession, reports, ends };
        Ok(Self {
            director,
            planes,
            context,
            loops,
            retired: watch::Sender::new(false),
            starting: Mutex::new(Some(starting)),
        })
    }

    async fn run(self: Arc<Self>, control: Control) -> Result<(), RunError> {
        let starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Starting { succession, reports, ends }) = starting else {
            return Err(RunError::Internal("a daemon runs once".to_owned()));
        };
        tasks::spawn("director", Arc::clone(&self.director).run(reports));
        tasks::spawn("state", Arc::clone(&self.director).keep_saved());
        tasks::spawn("connection log", Observed::tell_ends(ends, self.context.events.clone()));
        let stored = self.director.keep_descriptors();
        let estate = Arc::new(OfLb { lb: Arc::clone(&self) });
        let handover = Handover::offer(&self.context.run_dir, estate)
            .inspect_err(|error| warn!(event = "handover_failed", %error, "the sockets cannot be handed over to a next process"))
            .ok();
        if let Some(succession) = succession {
            take_over(succession, &self.context).await;
        }
        let mut retired = self.retired.subscribe();
        let mut care = Care::new();
        tokio::select! {
            () = care.keep_looking(&self.planes, &self.director, &control) => {}
            () = control.stopping() => {}
            _ = retired.wait_for(|&retired| retired) => control.succeeded(),
        }
        let retired = *self.retired.borrow();
        // A successor that comes now starts afresh.
        drop(handover);
        if let Err(reason) = self.director.save_now().await {
            warn!(event = "lb_state_failed", reason, "what is to be remembered cannot be written");
        }
        let farewell = server::Farewell { planes: &self.planes, director: &self.director, control: &control };
        if stored && !retired { farewell.with_queue_kept().await } else { farewell.for_good().await }
    }

    fn drain_time_max(&self) -> Duration {
        self.director.drain() + LAST_ACTS
    }

    fn reload(&self, config: Config) -> Result<(), String> {
        self.director.reload(config, |front, address| {
            let group = daemon::tcp_group(address, self.loops)
                .map_err(|error| format!("front end {}: {error}", front.name))?;
            keep(address, &group);
            Ok(group)
        })
    }

    fn status(&self) -> Value {
        json!({
            "planes": self.planes.status(),
            "kernel_trouble": self.director.kernel_trouble(),
            "vip": self.director.vip(),
            "state": self.director.store_status(),
            "connections": self.planes.user.active(),
            "frontends": self.director.frontends(),
        })
    }

    async fn admin(&self, request: AdminRequest) -> Option<AdminResponse> {
        admin::answer(&self.director, &request).await
    }
}

/// What a successor gets of a daemon.
struct OfLb {
    lb: Arc<Lb>,
}

impl Estate for OfLb {
    fn hand_out(&self) -> (Vec<(SocketAddr, TcpListener)>, Value) {
        self.lb.director.hand_out()
    }

    fn resume(&self) {
        self.lb.director.resume();
    }

    fn retire(&self) {
        self.lb.planes.user.stop_accepting();
        self.lb.director.close_sockets();
        self.lb.context.events.emit(Event::new("lb_handed_over"));
        self.lb.retired.send_replace(true);
    }
}

/// Puts a group into the service manager's store, where there is one.
pub(crate) fn keep(address: SocketAddr, group: &[TcpListener]) -> bool {
    let sockets: Vec<_> = group.iter().map(AsFd::as_fd).collect();
    descriptors::keep(&descriptors::name_of(address), &sockets).unwrap_or_else(|error| {
        warn!(event = "lb_store_failed", %address, %error, "a restart will refuse connections for a moment");
        false
    })
}

/// The sockets of a process that serves already.
fn succeed(start: &mut Start) -> Result<Option<Succession>, StartError> {
    let user = start.account().map(|account| account.uid);
    match handover::ask(start.run_dir(), user) {
        Ok(None) => Ok(None),
        Ok(Some((succession, listeners))) => {
            info!(
                event = "handover_started",
                sockets = listeners.len(),
                "taking over from the process that serves"
            );
            start.succeed(listeners);
            Ok(Some(succession))
        }
        Err(error) => Err(StartError::System(format!(
            "another faros-lb serves and does not hand its sockets over ({error}): stop it first"
        ))),
    }
}

/// The rules of an earlier configuration would go on to take every connection.
fn sweep_kernel() {
    match KernelPlane::sweep() {
        Ok(true) => info!(event = "lb_kernel_swept", "rules of an earlier configuration are gone"),
        Ok(false) => {}
        Err(error) => {
            debug!(event = "lb_kernel_unseen", %error, "no telling whether there are rules of ours");
        }
    }
}

async fn take_over(succession: Succession, context: &Context) {
    let told = tokio::task::spawn_blocking(move || succession.ready()).await;
    match told {
        Ok(Ok(())) => {
            info!(event = "taken_over", "the process before has stopped accepting");
            context.events.emit(Event::new("lb_taken_over"));
        }
        Ok(Err(error)) => {
            warn!(event = "handover_failed", %error, "the process before is gone or does not answer; serving all the same");
        }
        Err(_) => {}
    }
}

fn tell_restored(events: &Events, restored: Restored) {
    let Restored { all, changes } = restored;
    warn!(
        event = "lb_kernel_restored",
        all, changes, "somebody else had changed our rules; they are as they were"
    );
    events.emit(Event::new("lb_kernel_restored").with("all", all).with("changes", changes));
}

fn for_front(name: &str, error: &StartError) -> StartError {
    let text = format!("front end {name}: {error}");
    match error {
        StartError::Privilege(_) => StartError::Privilege(text),
        StartError::System(_) => StartError::System(text),
        StartError::Config(_) => StartError::Config(text),
        StartError::Internal(_) => StartError::Internal(text),
    }
}

fn loops() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get().min(LOOPS_MAX))
}

impl Config {
    /// Where files of authorities are, so that they can be read again.
    fn authorities(&self) -> Vec<PathBuf> {
        let files = self.frontends.iter().filter_map(|front| front.check.ca.as_ref());
        // A file that is replaced by renaming is another file.
        let mut directories: Vec<PathBuf> = files
            .map(|file| {
                file.parent().filter(|directory| directory.parent().is_some()).unwrap_or(file).to_owned()
            })
            .collect();
        directories.sort_unstable();
        directories.dedup();
        directories
    }
}
