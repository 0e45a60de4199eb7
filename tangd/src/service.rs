//! The daemon, from its sockets to its end.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::daemon::{Context, Control, RunError, Service, Start, StartError};
use faros_common::sandbox::Sandbox;
use faros_common::site::{Diagnostic, Site};
use faros_common::tls::Identity;
use faros_common::{clock, tasks};
use serde_json::Value;
use tokio::net::TcpListener as TokioListener;
use tokio_rustls::TlsAcceptor;

use crate::admin;
use crate::audit::{Audit, Entry};
use crate::condition::Condition;
use crate::config::Config;
use crate::keys::{KeyDirectory, Keys};
use crate::metrics::Counters;
use crate::platform;
use crate::policy::{self, Policy};
use crate::seal::{self, Keeper, KeyStore};
use crate::server::{self, Door, FrontDesk, Limits};

/// When a start is over, and its code has run.
const STARTED_AFTER: Duration = Duration::from_secs(2);
/// The audit log's directory below the daemon's state.
const AUDIT_DIRECTORY: &str = "audit";

/// Where hosts keep the authorities that they trust: upstream servers of a sealed store may be asked over HTTPS.
const AUTHORITIES: [&str; 6] = [
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/lib/ssl",
];

/// The daemon.
pub struct Tangd {
    desk: Arc<FrontDesk>,
    keeper: Arc<Keeper>,
    counters: Arc<Counters>,
    identity: Arc<Identity>,
    memory_is_locked: bool,
    sockets: Mutex<Sockets>,
}

/// What is opened while privileged.
pub struct Bound {
    sockets: Sockets,
    store: Arc<KeyStore>,
    memory_is_locked: bool,
}

#[derive(Default)]
struct Sockets {
    plain: Vec<TcpListener>,
    tls: Vec<TcpListener>,
}

impl Service for Tangd {
    const NAME: &'static str = "tangd";
    const ABOUT: &'static str = "Network-bound disk unlocking (Tang) for the machines of a site";

    type Config = Config;
    type Bound = Bound;

    fn configure(site: &Site) -> Result<Config, Vec<Diagnostic>> {
        Config::of(site)
    }

    fn enabled(site: &Site) -> bool {
        site.tang.enable
    }

    fn warnings(config: &Config) -> Vec<Diagnostic> {
        config.warnings()
    }

    fn bind(config: &Config, start: &mut Start) -> Result<Bound, StartError> {
        platform::share_heap();
        let memory_is_locked = platform::lock_memory();
        start.directory(&config.keys)?;
        refuse_exposed_keys(&config.keys)?;
        let mut listen = |addresses: &[SocketAddr]| -> Result<Vec<_>, StartError> {
            addresses.iter().map(|address| start.tcp(*address)).collect()
        };
        let sockets = Sockets { plain: listen(&config.listen)?, tls: listen(&config.tls_listen)? };
        let store = Arc::new(KeyStore::new(&config.keys));
        store.expect_sealed(config.site.tang.sealed);
        if store.has_slot("tpm2")
            && let Err(error) = store.open_with_tpm()
        {
            tracing::warn!(event = "tpm_failed", %error, "the TPM does not open the key store");
        }
        Ok(Bound { sockets, store, memory_is_locked })
    }

    fn sandbox(config: &Config) -> Sandbox {
        let sandbox = Sandbox::new().read_write(&config.keys).syscalls(seal::SYSCALLS);
        let sandbox = AUTHORITIES.into_iter().fold(sandbox, Sandbox::read);
        config.tls_files.directories().into_iter().fold(sandbox, Sandbox::read)
    }

    fn assemble(config: Config, bound: Bound, context: Context) -> Result<Self, StartError> {
        platform::forbid_dumps();
        let directory = context.state_dir.join(AUDIT_DIRECTORY);
        let audit = Audit::open(&directory).map_err(|error| {
            let directory = directory.display();
            StartError::System(format!("the audit log in {directory} cannot be opened: {error}"))
        })?;
        let store = bound.store.clone();
        let keeper = Keeper::new(Arc::clone(&store), context.events.clone(), config.site.tang.rotate);
        let keys = Keys::new(Box::new(store));
        // The first pair is made at once rather than by the first client; what is wrong is in the log and heals by itself.
        if let Err(error) = keys.current()
            && !keeper.is_sealed()
        {
            tracing::error!(event = "keys_unreadable", %error, "there are no keys to serve with");
        }
        let policy = Policy::open(policy::Config::of(&config.site), &context.state_dir, &context.run_dir)?;
        let identity = Identity::new(config.tls_files.clone());
        let counters = Counters::register(&context.metrics);
        let desk = FrontDesk::new(config, keys, policy, audit, context.events, Arc::clone(&counters));
        let desk = Arc::new(desk);
        let log = Arc::clone(&desk);
        keeper.set_notes(Arc::new(move |note| log.audit().record(Entry::note(clock::wall(), note))));
        Ok(Self {
            desk,
            keeper: Arc::new(keeper),
            counters,
            identity,
            memory_is_locked: bound.memory_is_locked,
            sockets: Mutex::new(bound.sockets),
        })
    }

    async fn run(self: Arc<Self>, control: Control) -> Result<(), RunError> {
        let sockets = std::mem::take(&mut *self.sockets.lock().unwrap_or_else(PoisonError::into_inner));
        let system = |error: std::io::Error| RunError::System(format!("a socket cannot be served: {error}"));
        let mut doors = Vec::new();
        for listener in sockets.plain {
            doors.push(Door { listener: TokioListener::from_std(listener).map_err(system)?, tls: None });
        }
        if !sockets.tls.is_empty() {
            let tls = TlsAcceptor::from(Arc::new(self.identity.server_config(&[b"http/1.1"])));
            for listener in sockets.tls {
                let listener = TokioListener::from_std(listener).map_err(system)?;
                doors.push(Door { listener, tls: Some(tls.clone()) });
            }
            // Ends with the process.
            tasks::spawn("certificate", Arc::clone(&self.identity).follow());
        }
        tasks::spawn("start", async {
            platform::shrink_code();
            tokio::time::sleep(STARTED_AFTER).await;
            platform::shrink_code();
        });
        tasks::spawn("keeper", Arc::clone(&self.keeper).run(control.clone()));
        let (desk, counters) = (Arc::clone(&self.desk), Arc::clone(&self.counters));
        server::run(desk, doors, Limits::of_process(), counters, control).await;
        let written = self.desk.policy().shutdown().await;
        written.map_err(|error| RunError::System(format!("locks were not written: {error}")))
    }

    fn reload(&self, config: Config) -> Result<(), String> {
        let present = self.desk.config();
        if config.listen != present.listen {
            return Err("tang.listen or tang.port changed: restart faros-tangd".to_owned());
        }
        if config.tls_listen != present.tls_listen {
            return Err("tang.tls-listen changed: restart faros-tangd".to_owned());
        }
        if config.tls_files.directories() != present.tls_files.directories() {
            return Err("the directory of tang.certificate changed: restart faros-tangd".to_owned());
        }
        if config.keys != present.keys {
            return Err("tang.keys changed: restart faros-tangd".to_owned());
        }
        if config.tls_files != present.tls_files {
            self.identity.set_files(config.tls_files.clone());
        }
        if !config.tls_listen.is_empty() {
            // What is refused is in the status and the log, and the present one goes on serving.
            let _ = self.identity.reload();
        }
        self.keeper.set_rotation(config.site.tang.rotate);
        self.desk.reload(config);
        Ok(())
    }

    fn status(&self) -> Value {
        let identity = &*self.identity;
        Condition {
            desk: &self.desk,
            keeper: &self.keeper,
            identity,
            memory_is_locked: self.memory_is_locked,
        }
        .show()
    }

    async fn admin(&self, request: AdminRequest) -> Option<AdminResponse> {
        match admin::answer(&self.desk, &request).await {
            None => {
                let (posted, path) = (request.method == hyper::Method::POST, request.path.clone());
                let answer = self.keeper.admin(request).await?;
                if posted && answer.status.is_success() {
                    let note = format!("an operator asked for {path}");
                    self.desk.audit().record(Entry::note(clock::wall(), note));
                }
                Some(answer)
            }
            answer => answer,
        }
    }
}

/// A key that anybody on this host can read is nobody's secret: whoever started us shall decide what it is still good for.
fn refuse_exposed_keys(directory: &Path) -> Result<(), StartError> {
    const OTHERS_ENTER: u32 = 0o001;
    if directory.metadata().is_ok_and(|metadata| metadata.permissions().mode() & OTHERS_ENTER == 0) {
        return Ok(());
    }
    // A directory that cannot be listed is told of when keys are read.
    match KeyDirectory::new(directory).exposed().unwrap_or_default().first() {
        None => Ok(()),
        Some(file) => Err(StartError::Config(format!(
            "everybody on this host may read the key {0}: if nobody has, `chmod 0440 {0}` makes it a secret again, else rotate the keys",
            directory.join(file).display()
        ))),
    }
}
