//! The running daemon: sockets, threads, reload and drain.
//!
//! ```text
//! UDP ─► udp::Worker (a thread per processor and address) ──┬─► engine ──► reply
//! TCP ─► tcp::Listener ─► stream (a task per connection) ───┤     │
//! TLS ─► encrypted ───────────────┘                         │     ▼ has to wait
//! HTTPS, QUIC ─► encrypted ─────────────────────────────────┘   a task of the runtime ──► reply
//! ```
//!
//! Tasks beside these: the followers of dhcpd and ignition-http, and those of the forwarder. All end with the process;
//! cancelled, they leave nothing half done.

pub mod admission;
mod care;
pub mod encrypted;
mod output;
pub mod stream;
pub mod tcp;
pub mod udp;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::daemon::{Context, Control, RunError, Service, Start, StartError};
use faros_common::events::Event;
use faros_common::sandbox::Sandbox;
use faros_common::site::{Diagnostic, SecretSource, Site};
use faros_common::tasks;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tracing::{error, info, warn};

use crate::admin;
use crate::cache::Cache;
use crate::cache::persist::{self, Saver};
use crate::config::Config;
use crate::engine::{self, Engine, Limits, Parts, Source};
use crate::forward::{self, Forwarder, Inside, Trust};
use crate::leases::Leases;
use crate::metrics::{self, Counters};
use crate::protocol::cookie::Cookies;
use crate::protocol::rate::{self, RateLimiter};
use crate::site_zones::{Listeners, Settings, Zones, lifecycle};
use crate::update::store::AddedByZone;
use crate::update::{UpdateStore, Updater};
use admission::Admission;
use care::Care;
use encrypted::Encrypted;

/// Descriptors wanted: connections, questions under way upstream, and some.
const DESCRIPTORS_WANTED: u64 = admission::CONNECTIONS_MAX as u64 + 8 * 1024;
/// How often the loops are looked after.
const ROUND: Duration = Duration::from_millis(250);
/// Where the system keeps the certificates of authorities that upstream servers may have theirs from.
const AUTHORITIES: [&str; 6] = [
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/lib/ssl",
];

/// The DNS daemon.
pub struct Dnsd {
    engine: Arc<Engine>,
    config: ArcSwap<Config>,
    sockets: Vec<Arc<udp::Socket>>,
    listeners: Vec<Arc<tcp::Listener>>,
    admission: Arc<Admission>,
    leases: Arc<Leases>,
    lifecycle: Arc<lifecycle::Lifecycle>,
    encrypted: Arc<Encrypted>,
    /// Where encrypted questions are taken by now.
    listening: ArcSwap<Listeners>,
    saver: Mutex<Option<Saver>>,
    loaded: persist::Loaded,
    context: Context,
}

/// The sockets.
pub struct Bound {
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
    encrypted: encrypted::Doors,
}

impl Service for Dnsd {
    const NAME: &'static str = "dnsd";
    const ABOUT: &'static str = "DNS server: the site's zones, and everything else forwarded and cached";
    type Config = Config;
    type Bound = Bound;

    fn configure(site: &Site) -> Result<Config, Vec<Diagnostic>> {
        Config::of_site(site)
    }

    fn enabled(site: &Site) -> bool {
        site.dns.enable
    }

    fn warnings(config: &Config) -> Vec<Diagnostic> {
        config.encrypted.warnings()
    }

    fn bind(config: &Config, start: &mut Start) -> Result<Bound, StartError> {
        raise_descriptor_limit();
        let (mut udp, mut tcp) = (Vec::new(), Vec::new());
        for &address in &config.listen {
            for socket in start.udp_group(address, threads())? {
                if let Err(error) = udp::Socket::enlarge_buffers(&socket) {
                    warn!(event = "buffers", %error, "many questions at once will be lost and repeated");
                }
                udp.push(socket);
            }
            tcp.push(start.tcp(address)?);
        }
        Ok(Bound { udp, tcp, encrypted: config.encrypted.bind(start)? })
    }

    fn sandbox(config: &Config) -> Sandbox {
        let files = &config.encrypted.files;
        let secrets = config.site.dns.keys.iter().filter_map(|key| match &key.secret {
            SecretSource::File(path) => Some(path.as_path()),
            _ => None,
        });
        let files = [files.certificate.as_path(), files.key.as_path()].into_iter().chain(secrets);
        let directories = files.filter_map(std::path::Path::parent).map(std::path::Path::to_owned);
        let authorities = AUTHORITIES.into_iter().map(std::path::PathBuf::from);
        directories.chain(authorities).fold(Sandbox::new(), Sandbox::read)
    }

    fn assemble(config: Config, bound: Bound, context: Context) -> Result<Self, StartError> {
        let system = |error: std::io::Error| StartError::System(format!("cannot start to serve: {error}"));
        let internal = |error: crate::site_zones::ZoneFault| StartError::Internal(error.to_string());
        let counters = Counters::new(&context.metrics);
        let bootstrap = lifecycle::remembered(&context.state_dir);
        let zones = Zones::open(config.zones.clone(), &context.state_dir, bootstrap).map_err(internal)?;
        let zones = Arc::new(zones);
        let cache = Arc::new(Cache::new(config.cache_bytes, rand::random()));
        cache.set_stale(config.stale);
        cache.set_pins(&config.forward.pins);
        let loaded = persist::load(&cache, &context.state_dir, engine::now());
        report(&loaded);
        let directory = context.state_dir.clone();
        let saver = Saver::start(Arc::clone(&cache), directory, engine::now).map_err(system)?;
        let forwarder = Forwarder::new(forward::Parts {
            config: config.forward.clone(),
            trust: Trust::of_system(),
            counters: forward::Counters::new(&context.metrics),
            surroundings: Arc::new(Inside {
                zones: Arc::clone(&zones),
                cache: Arc::clone(&cache),
                now: engine::now,
            }),
            events: context.events.clone(),
        });
        let rate = RateLimiter::new(rate::Limits::default(), rate::ACCOUNTS_DEFAULT, rand::random());
        metrics::register_cache(&context.metrics, &cache);
        let updater = Updater::start(
            Arc::clone(&zones),
            config.keys.clone(),
            open_updates(&context),
            context.events.clone(),
        );
        let engine = Engine::new(Parts {
            policy: config.policy(),
            zones,
            cache,
            forwarder,
            updater: Arc::new(updater),
            limits: Limits::new(Cookies::new(rand::random(), None), rate),
            counters: counters.clone(),
        });
        let sockets = bound.udp.into_iter().map(|socket| udp::Socket::new(socket).map(Arc::new));
        let sockets = sockets.collect::<Result<Vec<_>, _>>().map_err(system)?;
        let listeners = bound.tcp.into_iter().map(|listener| tcp::Listener::new(listener).map(Arc::new));
        let listeners = listeners.collect::<Result<Vec<_>, _>>().map_err(system)?;
        for listener in &listeners {
            info!(event = "listening", address = %listener.address(), "listening");
        }
        let encrypted = Encrypted::new(&config.encrypted, bound.encrypted);
        Ok(Self {
            engine,
            encrypted,
            listening: ArcSwap::default(),
            config: ArcSwap::from_pointee(config),
            sockets,
            listeners,
            admission: Admission::new(counters),
            leases: Arc::default(),
            lifecycle: Arc::default(),
            saver: Mutex::new(Some(saver)),
            loaded,
            context,
        })
    }

    async fn run(self: Arc<Self>, control: Control) -> Result<(), RunError> {
        let stop = Arc::new(AtomicBool::new(false));
        let workers = self
            .start_workers(&stop)
            .map_err(|error| RunError::System(format!("cannot start a thread for each socket: {error}")))?;
        let listening: Vec<_> = self
            .listeners
            .iter()
            .map(|listener| {
                let (listener, engine) = (Arc::clone(listener), Arc::clone(&self.engine));
                let (admission, control) = (Arc::clone(&self.admission), control.clone());
                tasks::spawn("listener", listener.serve(engine, admission, control))
            })
            .collect();
        self.start_followers();
        let encrypted = Arc::clone(&self).serve_encrypted(control.clone());
        let mut care = Care::default();
        let mut rounds = tokio::time::interval(ROUND);
        loop {
            tokio::select! {
                () = control.stopping() => break,
                _ = rounds.tick() => {
                    if workers.iter().any(udp::Worker::is_finished) {
                        return Err(RunError::Internal("a thread ended by a defect; the log has it".to_owned()));
                    }
                    if !control.is_stopping() && listening.iter().any(tokio::task::JoinHandle::is_finished) {
                        return Err(RunError::Internal("a listener ended by a defect; the log has it".to_owned()));
                    }
                    let turns = workers.iter().map(udp::Worker::turns);
                    if care.all_alive(turns.chain(self.listeners.iter().map(|listener| listener.turns()))) {
                        control.heartbeat();
                    }
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        let _ = tokio::task::spawn_blocking(|| workers.into_iter().for_each(udp::Worker::join)).await;
        let _ = encrypted.await;
        while self.engine.waiting() > 0 || !self.admission.is_empty() {
            rounds.tick().await;
            control.heartbeat();
        }
        self.engine.updater().shutdown().await;
        let saver = self.saver.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread saves once more when it is let go.
        let _ = tokio::task::spawn_blocking(|| saver.map(Saver::stop)).await;
        Ok(())
    }

    fn reload(&self, config: Config) -> Result<(), String> {
        let old = self.config.load();
        if config.listen != old.listen {
            return Err(
                "dns.listen changed, and the port cannot be bound without privilege: restart faros-dnsd"
                    .to_owned(),
            );
        }
        if config.encrypted.files != old.encrypted.files {
            return Err(
                "dns.certificate or dns.certificate-key changed, which is outside of what this process may read: \
                        restart faros-dnsd"
                    .to_owned(),
            );
        }
        self.encrypted.reload(&config.encrypted)?;
        self.set_zones(&config)?;
        self.engine.set_policy(config.policy());
        self.engine.updater().set_keys(config.keys.clone());
        let engine = Arc::clone(&self.engine);
        tokio::runtime::Handle::current().block_on(async move { engine.updater().site_changed().await });
        self.engine.forwarder().reload(config.forward.clone());
        let cache = self.engine.cache();
        cache.set_stale(config.stale);
        if config.cache_bytes != old.cache_bytes {
            cache.set_bytes_max(config.cache_bytes, engine::now());
        }
        self.config.store(Arc::new(config));
        Ok(())
    }

    fn status(&self) -> Value {
        let counters = self.engine.counters();
        let saver = self.saver.lock().unwrap_or_else(PoisonError::into_inner);
        json!({
            "listen": self.listeners.iter().map(|listener| listener.address().to_string()).collect::<Vec<_>>(),
            "threads": self.sockets.len(),
            "zones": self.engine.zones().status(),
            "updates": self.engine.updater().status(),
            "encrypted": self.encrypted.status(),
            "leases": self.leases.status(),
            "lifecycle": self.lifecycle.status(),
            "forward": self.engine.forwarder().status(),
            "cache": self.engine.cache().stats(),
            "cache_loaded": self.loaded,
            "cache_saved": saver.as_ref().map(Saver::status),
            "queries": counters.received(),
            "answers": Source::ALL.iter().map(|source| (source.name(), counters.answered_from(*source)))
                .collect::<BTreeMap<_, _>>(),
            "waiting": self.engine.waiting(),
            "waiting_max": engine::WAITING_MAX,
            "connections": self.admission.len(),
            "connections_max": admission::CONNECTIONS_MAX,
            "query_log": self.engine.policy().query_log,
        })
    }

    async fn admin(&self, request: AdminRequest) -> Option<AdminResponse> {
        let site = Arc::clone(&self.config.load().site);
        admin::answer(&self.engine, &site, &request).await
    }
}

impl Dnsd {
    /// Puts the zones of `config` in force, with the way to the encrypted transports that serve.
    fn set_zones(&self, config: &Config) -> Result<(), String> {
        let zones = Settings::of(&config.site, &self.listening.load()).map_err(|faults| {
            faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>().join("; ")
        })?;
        self.engine.zones().set_site(zones).map_err(|error| error.to_string())
    }

    fn serve_encrypted(self: Arc<Self>, control: Control) -> tokio::task::JoinHandle<Option<()>> {
        let (engine, admission) = (Arc::clone(&self.engine), Arc::clone(&self.admission));
        let encrypted = Arc::clone(&self.encrypted);
        let opened = move |listeners| {
            self.listening.store(Arc::new(listeners));
            if let Err(error) = self.set_zones(&self.config.load()) {
                warn!(event = "encrypted_untold", error, "clients are not told of the encrypted transports");
            }
        };
        tasks::spawn("encrypted transports", encrypted.serve(engine, admission, control, opened))
    }

    fn start_workers(&self, stop: &Arc<AtomicBool>) -> std::io::Result<Vec<udp::Worker>> {
        let mut groups: BTreeMap<SocketAddr, Vec<&Arc<udp::Socket>>> = BTreeMap::new();
        for socket in &self.sockets {
            groups.entry(socket.address).or_default().push(socket);
        }
        let mut workers = Vec::new();
        for sockets in groups.values() {
            // Sockets that were handed over may be fewer than processors; threads share them then.
            let shared = sockets.iter().cycle().take(threads().max(sockets.len()));
            for socket in shared {
                let (socket, engine) = (Arc::clone(socket), Arc::clone(&self.engine));
                workers.push(udp::Worker::start(socket, engine, Arc::clone(stop))?);
            }
        }
        Ok(workers)
    }

    fn start_followers(&self) {
        let (leases, zones) = (Arc::clone(&self.leases), Arc::clone(self.engine.zones()));
        let run_dir = self.context.run_dir.clone();
        tasks::spawn("leases", async move { leases.follow(zones, &run_dir).await });
        let (lifecycle, zones) = (Arc::clone(&self.lifecycle), Arc::clone(self.engine.zones()));
        let context = self.context.clone();
        tasks::spawn("lifecycle", async move {
            let Context { events, run_dir, state_dir, .. } = context;
            lifecycle.follow(zones, events, &run_dir, &state_dir).await;
        });
    }
}

/// What updates have added. Without it the daemon serves everything else, and takes no updates.
fn open_updates(context: &Context) -> Option<(UpdateStore, AddedByZone)> {
    match UpdateStore::open(&context.state_dir) {
        Ok(store) => Some(store),
        Err(error) => {
            error!(event = "dns_update_storage", %error, "no updates are taken, and none are served");
            context.events.emit(Event::new("dns_update_storage_failed").with("reason", error.to_string()));
            None
        }
    }
}

/// Threads for each listen address.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(udp::THREADS_MAX)
}

fn report(loaded: &persist::Loaded) {
    if loaded.is_damaged() {
        warn!(
            event = "cache_damaged",
            entries = loaded.entries,
            damaged = loaded.damaged,
            error = loaded.error,
            "a part of the cache on disk could not be read and is left out"
        );
    } else if !loaded.first_start {
        info!(event = "cache_loaded", entries = loaded.entries, left_out = loaded.left_out, "cache loaded");
    }
}

/// The usual limit of 1024 descriptors is less than the connections that are promised.
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
