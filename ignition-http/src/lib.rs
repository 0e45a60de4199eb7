//! Boot scripts, Ignition and files over HTTP, and the memory of which node shall be installed.
//!
//! # What is served
//!
//! | Path | Answer |
//! |---|---|
//! | `/boot/ipxe?mac=&uuid=`, `/boot/grub?mac=` | what the machine's loader shall do: install, or go on to the local disk |
//! | `/grub/grub.cfg` | the same, for a GRUB that was itself loaded over HTTP |
//! | `/loaders/NAME` | a boot loader, from the boot root or from the distribution's packages |
//! | `/ignition/NODE` | the node's Ignition: to that node alone, while it is armed |
//! | `/report/NODE` (GET, POST) | "I am installed": ends the installation |
//! | any other path | a file below `[http] root`, never an Ignition file, never a listing, never a redirect |
//!
//! # Standards
//!
//! | Document | Here |
//! |---|---|
//! | RFC 9112 (HTTP/1.1) | done, stricter than asked: bare LF, two lengths, bodies on GET are refused; no chunked requests |
//! | RFC 9110 section 13 (conditions) | done |
//! | RFC 9110 section 14 (ranges) | single ranges; several get the whole file |
//! | UEFI 2.10 section 24.7 (HTTP boot) | done: HEAD, `Content-Length`, `application/efi`, no redirects |
//! | Ignition 3.x | version by `Accept`, 503 for what may still come |
//!
//! # Tasks
//!
//! ```text
//! accepting loop ──spawns──► connection: Wire (strict heads, patience) ◄─► hyper ◄─► Service
//!   │ heartbeat                                                                 │  │
//!   ▼                                       journal thread ◄── Store ◄──────────┘  └─► blocking threads (files)
//! drain: listeners closed, connections end with their present answer
//! ```

pub mod body;
pub mod config;
pub mod files;
pub mod leases;
pub mod metrics;
pub mod protocol;
pub mod server;
pub mod service;
pub mod store;
pub mod wire;

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::daemon::{Context, Control, RunError, Start, StartError};
use faros_common::loaders;
use faros_common::sandbox::Sandbox;
use faros_common::site::{Diagnostic, Site};

pub use config::{BootPlan, Config, NodePlan};

use server::Limits;
use service::Service;
use store::Store;

/// The daemon.
pub struct IgnitionHttp {
    service: Arc<Service>,
    listeners: Mutex<Vec<TcpListener>>,
}

impl faros_common::daemon::Service for IgnitionHttp {
    const NAME: &'static str = "ignition-http";
    const ABOUT: &'static str = "Boot scripts, Ignition and files over HTTP for the machines of a site";

    type Config = Config;
    type Bound = Vec<TcpListener>;

    fn configure(site: &Site) -> Result<Config, Vec<Diagnostic>> {
        Config::of(site)
    }

    fn enabled(site: &Site) -> bool {
        site.http.enable
    }

    fn warnings(config: &Config) -> Vec<Diagnostic> {
        config.warnings()
    }

    fn bind(config: &Config, start: &mut Start) -> Result<Self::Bound, StartError> {
        config.listen.iter().map(|address| start.tcp(*address)).collect()
    }

    fn sandbox(config: &Config) -> Sandbox {
        let sandbox = Sandbox::new().read(&config.root);
        loaders::folders().into_iter().filter(|folder| folder.is_dir()).fold(sandbox, Sandbox::read)
    }

    fn assemble(config: Config, bound: Self::Bound, context: Context) -> Result<Self, StartError> {
        let store = Store::open(&context.state_dir)?;
        for found in config.warnings() {
            let (key, message, help) = (&found.key, &found.message, &found.help);
            tracing::warn!(event = "site_warning", %key, %message, help, "the site file asks for something that is not as it should be");
        }
        let counters = metrics::Counters::register(&context.metrics);
        let service = Service::new(config, store, context.events, counters, &context.run_dir);
        Ok(Self { service: Arc::new(service), listeners: Mutex::new(bound) })
    }

    async fn run(self: Arc<Self>, control: Control) -> Result<(), RunError> {
        let listeners = std::mem::take(&mut *self.listeners.lock().unwrap_or_else(PoisonError::into_inner));
        let system = |error: std::io::Error| RunError::System(format!("a socket cannot be served: {error}"));
        let listeners: Result<Vec<_>, _> =
            listeners.into_iter().map(tokio::net::TcpListener::from_std).collect();
        server::run(Arc::clone(&self.service), listeners.map_err(system)?, Limits::of_process(), control)
            .await?;
        let written = self.service.store.shutdown().await;
        written.map_err(|error| RunError::System(format!("the state of nodes was not written: {error}")))
    }

    fn reload(&self, config: Config) -> Result<(), String> {
        let present = self.service.config.load();
        if config.listen != present.listen {
            return Err("http.listen or http.port changed: restart faros-ignition-http".to_owned());
        }
        if config.root != present.root
            && let Err(error) = std::fs::read_dir(&config.root)
        {
            let root = config.root.display();
            return Err(format!(
                "http.root changed to {root}, which cannot be read ({error}): restart faros-ignition-http"
            ));
        }
        self.service.reload(config);
        Ok(())
    }

    fn status(&self) -> serde_json::Value {
        self.service.status()
    }

    async fn admin(&self, request: AdminRequest) -> Option<AdminResponse> {
        self.service.admin(request).await
    }
}
