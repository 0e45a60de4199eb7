//! The sequence of a daemon's life.
//!
//! Tasks: the admin socket, the signals (reload), the watchdog; they end with the process. The daemon's
//! own `run` is awaited in the main task.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::exit::Exit;
use super::notify::notify;
use super::options::{complain, print_line};
use super::reload::{self, Reloader};
use super::{Context, Control, Options, RunError, Service, Start, StartError, logs, platform};
use crate::admin::server::{self, Handler, Posters};
use crate::admin::{AdminRequest, AdminResponse, OPERATORS, client};
use crate::events::{Event, Events, rfc3339};
use crate::metrics::{self, Metrics};
use crate::sandbox::{self, Account, Confinement, Sandbox};
use crate::{clock, tasks};

pub(super) fn run<S: Service>(options: &Options) -> Exit {
    platform::hold_hangup();
    let (site, config, mut report) = match reload::read::<S>(&options.site) {
        Ok(read) => read,
        Err(report) => {
            complain(S::NAME, &format!("the site file is refused\n{report}"));
            return Exit::Config;
        }
    };
    if options.check {
        report.diagnostics.extend(S::warnings(&config));
    }
    if !report.diagnostics.is_empty() {
        complain(S::NAME, &format!("about the site file\n{report}"));
    }
    if options.check {
        print_line(&format!("{}: good for {}", options.site.display(), S::NAME));
        return Exit::Clean;
    }
    if !S::enabled(&site) {
        complain(S::NAME, "the site file switches this daemon off (enable = false): nothing to do");
        return Exit::Clean;
    }
    logs::install(options.log);
    match start_and_serve::<S>(options, config) {
        Ok(exit) => exit,
        Err(error) => {
            error!(event = "start_failed", "{error}");
            error.exit()
        }
    }
}

fn start_and_serve<S: Service>(options: &Options, config: S::Config) -> Result<Exit, StartError> {
    let mut start = Start::new(options)?;
    let bound = S::bind(&config, &mut start)?;
    let succeeds = start.succeeds();
    let posters = Posters {
        group: sandbox::group_id(OPERATORS),
        user: (!rustix::process::geteuid().is_root()).then(|| rustix::process::geteuid().as_raw()),
    };
    let confinement = if options.sandbox {
        confine::<S>(options, &config, start.account())?
    } else {
        Confinement::default()
    };
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get().min(S::THREADS_MAX));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name(S::NAME)
        .enable_all()
        .build()
        .map_err(|error| StartError::System(format!("cannot start threads: {error}")))?;
    let exit = runtime.block_on(serve::<S>(options, config, bound, posters, confinement, succeeds))?;
    // Readers of events and idle connections are not worth waiting for.
    runtime.shutdown_timeout(Duration::from_millis(100));
    Ok(exit)
}

fn confine<S: Service>(
    options: &Options,
    config: &S::Config,
    account: Option<&Account>,
) -> Result<Confinement, StartError> {
    let allowed = site_places(&options.site).into_iter().fold(S::sandbox(config), Sandbox::read);
    let allowed = allowed.read_write(&options.state_dir).read_write(&options.run_dir);
    sandbox::apply(&allowed, account)
        .map_err(|error| StartError::System(format!("cannot give up privileges: {error}")))
}

/// Where the site file is read from at a reload: its directory, because editors and `farosctl apply` replace the file
/// by renaming, and, where it is a symbolic link, the directory that it leads to. A file right below `/` is allowed
/// alone.
fn site_places(site: &Path) -> Vec<PathBuf> {
    let directory = |file: &Path| match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) if parent.parent().is_some() => parent.to_owned(),
        _ => file.to_owned(),
    };
    let mut places = vec![directory(site)];
    places.extend(site.canonicalize().map(|real| directory(&real)));
    places.dedup();
    places
}

async fn serve<S: Service>(
    options: &Options,
    config: S::Config,
    bound: S::Bound,
    posters: Posters,
    confinement: Confinement,
    succeeds: bool,
) -> Result<Exit, StartError> {
    let refused = |error: std::io::Error| StartError::System(format!("cannot watch signals: {error}"));
    let mut terminate = Terminate {
        term: signal(SignalKind::terminate()).map_err(refused)?,
        int: signal(SignalKind::interrupt()).map_err(refused)?,
    };
    let hangup = signal(SignalKind::hangup()).map_err(refused)?;

    let context = Context {
        events: Events::new(S::NAME),
        metrics: Metrics::new(S::NAME),
        state_dir: options.state_dir.clone(),
        run_dir: options.run_dir.clone(),
    };
    let service = Arc::new(S::assemble(config, bound, context.clone())?);

    let path = client::socket_path(&options.run_dir, S::NAME);
    let bound = if succeeds { server::replace(&path) } else { server::bind(&path) };
    let listener = bound.map_err(|error| {
        let text = format!("cannot offer the admin socket {}: {error}", path.display());
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => StartError::Privilege(format!(
                "{text}; start as root, or name a directory of your own with --run-dir"
            )),
            _ => StartError::System(text),
        }
    })?;
    let own = server::SocketFile::at(&path);
    let front = Arc::new(Front {
        service: Arc::clone(&service),
        context: context.clone(),
        site: options.site.clone(),
        reloader: Reloader::default(),
        started: clock::wall(),
        confinement,
    });
    tasks::spawn("admin socket", server::serve(listener, posters, Arc::clone(&front)));
    platform::release_hangup();
    tasks::spawn("reload on SIGHUP", reload_on_hangup(hangup, Arc::clone(&front)));

    let (control, switch) = Control::new();
    if let Some(interval) = sd_notify::watchdog_enabled() {
        tasks::spawn("watchdog", feed_watchdog(control.clone(), interval / 3));
    }
    notify(&[sd_notify::NotifyState::Ready]);
    info!(event = "started", version = env!("CARGO_PKG_VERSION"), "serving");
    context.events.emit(Event::new("started").with("version", env!("CARGO_PKG_VERSION")));

    let running = tasks::spawn("service", Arc::clone(&service).run(control.clone()));
    let exit = await_end(running, &control, &switch, &mut terminate, || service.drain_time_max()).await;
    notify(&[sd_notify::NotifyState::Stopping]);
    // A successor has put its own there.
    if own == server::SocketFile::at(&path) {
        let _ = std::fs::remove_file(&path);
    }
    info!(event = "stopped", code = exit as u8, "stopped");
    Ok(exit)
}

/// Waits for the service to end, by itself or because it is told to.
async fn await_end(
    mut service: tokio::task::JoinHandle<Option<Result<(), RunError>>>,
    control: &Control,
    switch: &watch::Sender<bool>,
    terminate: &mut Terminate,
    drain_time_max: impl Fn() -> Duration,
) -> Exit {
    let ended = tokio::select! {
        ended = &mut service => ended,
        () = terminate.recv() => {
            notify(&[sd_notify::NotifyState::Stopping]);
            let drain_time_max = drain_time_max();
            info!(event = "draining", limit_secs = drain_time_max.as_secs(), "no new work; finishing what is under way");
            switch.send_replace(true);
            tokio::select! {
                ended = &mut service => ended,
                () = terminate.recv() => {
                    warn!(event = "drain_cut", "told twice to end: not waiting any longer");
                    return Exit::DrainCut;
                }
                () = tokio::time::sleep(drain_time_max) => {
                    warn!(event = "drain_cut", "work under way did not end in time");
                    return Exit::DrainCut;
                }
            }
        }
    };
    match ended {
        Ok(Some(Ok(()))) if *switch.borrow() || control.is_succeeded() => Exit::Clean,
        Ok(Some(Ok(()))) => {
            error!(event = "run_failed", "the service ended without being told to");
            Exit::Internal
        }
        Ok(Some(Err(error @ RunError::DrainCut(_)))) => {
            warn!(event = "drain_cut", "{error}");
            error.exit()
        }
        Ok(Some(Err(error))) => {
            error!(event = "run_failed", "{error}");
            error.exit()
        }
        Ok(None) | Err(_) => Exit::Internal,
    }
}

struct Terminate {
    term: Signal,
    int: Signal,
}

impl Terminate {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

async fn reload_on_hangup<S: Service>(mut hangup: Signal, front: Arc<Front<S>>) {
    while hangup.recv().await.is_some() {
        // The outcome stands in the log, the events and the status.
        let _ = front.reload().await;
    }
}

/// Pings systemd while the serving loop goes round, and only then.
async fn feed_watchdog(control: Control, interval: Duration) {
    let mut seen = None;
    loop {
        let beats = control.beats();
        if seen != Some(beats) {
            notify(&[sd_notify::NotifyState::Watchdog]);
        }
        seen = Some(beats);
        tokio::time::sleep(interval).await;
    }
}

/// The daemon as its admin socket shows it.
struct Front<S> {
    service: Arc<S>,
    context: Context,
    site: PathBuf,
    reloader: Reloader,
    started: SystemTime,
    confinement: Confinement,
}

impl<S: Service> Front<S> {
    async fn reload(self: &Arc<Self>) -> Result<(), String> {
        let front = Arc::clone(self);
        let reload = tokio::task::spawn_blocking(move || {
            let _ = sd_notify::NotifyState::monotonic_usec_now()
                .map(|now| notify(&[sd_notify::NotifyState::Reloading, now]));
            let result = tasks::contain("reload", || {
                front.reloader.reload(&*front.service, &front.site, &front.context.events)
            });
            notify(&[sd_notify::NotifyState::Ready]);
            result
        });
        reload.await.ok().flatten().unwrap_or_else(|| Err("a defect of ours; the log has it".to_owned()))
    }

    fn status(&self) -> Value {
        let uptime = clock::wall().duration_since(self.started).unwrap_or_default();
        json!({
            "daemon": S::NAME,
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "started": rfc3339(self.started),
            "uptime_secs": uptime.as_secs(),
            "site": self.site,
            "last_reload": self.reloader.status(),
            "panics": tasks::PANICS.get(),
            "confinement": self.confinement,
            "service": self.service.status(),
        })
    }
}

impl<S: Service> Handler for Front<S> {
    fn events(&self) -> &Events {
        &self.context.events
    }

    async fn handle(self: Arc<Self>, request: AdminRequest) -> Option<AdminResponse> {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/status") => Some(AdminResponse::json(&self.status())),
            ("GET", "/metrics") => Some(AdminResponse {
                status: hyper::StatusCode::OK,
                content_type: metrics::CONTENT_TYPE,
                body: self.context.metrics.render().into(),
            }),
            ("POST", "/reload") => Some(match self.reload().await {
                Ok(()) => AdminResponse::json(&json!({ "reloaded": true })),
                Err(reason) => AdminResponse::error(hyper::StatusCode::CONFLICT, &reason),
            }),
            _ => self.service.admin(request).await,
        }
    }
}
