//! Names of dynamic leases, by following dhcpd's admin socket: a lease is resolvable as soon as it was granted, and
//! gone when it ends, also while dhcpd is away.
//!
//! ```text
//! dhcpd ── GET /leases, events ──► table (what is in force) ──► label (what it is called) ──► Zones
//! ```
//!
//! One task, [`Leases::follow`]; when it is cancelled the names stay as they are.

pub mod label;
pub mod table;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use faros_common::admin::client::socket_path;
use faros_common::tasks;
use serde_json::{Value, json};
use tracing::error;

use crate::site_zones::Zones;
use crate::site_zones::peer::{self, Subject};
use table::Table;

/// The leases that have names, as the status shows them.
#[derive(Debug, Default)]
pub struct Leases {
    status: Mutex<Status>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Status {
    connected: bool,
    leases: usize,
    left_out: usize,
}

impl Leases {
    /// Follows the dhcpd whose admin socket is below `run_dir`, for ever, and gives its leases names in `zones`.
    pub async fn follow(self: Arc<Self>, zones: Arc<Zones>, run_dir: &Path) {
        let socket = socket_path(run_dir, "dhcpd");
        peer::follow(socket, Follower { leases: self, zones, table: Table::default() }).await;
    }

    /// Our part of `GET /status`: whether dhcpd answers, how many leases are in force, and how many of those it told
    /// are beyond what is kept.
    pub fn status(&self) -> Value {
        let status = *self.status.lock().unwrap_or_else(PoisonError::into_inner);
        json!({ "connected": status.connected, "leases": status.leases, "left_out": status.left_out })
    }

    fn note(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

struct Follower {
    leases: Arc<Leases>,
    zones: Arc<Zones>,
    table: Table,
}

impl Subject for Follower {
    const DAEMON: &'static str = "dhcpd";
    const STATE: &'static str = "/leases";

    fn on_state(&mut self, state: &Value, now: Instant) -> Result<(), String> {
        self.table.on_list(state, now)
    }

    fn on_event(&mut self, event: &Value, now: Instant) -> bool {
        self.table.on_event(event, now);
        false
    }

    fn deadline(&self) -> Option<Instant> {
        self.table.deadline()
    }

    fn on_timeout(&mut self, now: Instant) {
        self.table.on_timeout(now);
    }

    async fn apply(&mut self) {
        let (leases, left_out) = (self.table.len(), self.table.left_out());
        self.leases.note(|status| (status.leases, status.left_out) = (leases, left_out));
        let Some(leases) = self.table.take_changed() else { return };
        let zones = Arc::clone(&self.zones);
        // Compiling a zone of thousands of names is no work for a thread that others wait for.
        let applied =
            tokio::task::spawn_blocking(move || tasks::contain("lease names", || zones.set_leases(leases)));
        if let Ok(Some(Err(fault))) = applied.await {
            error!(event = "lease_names_refused", %fault, "the names of leases clash with the zones; please report it");
        }
    }

    fn connected(&mut self, connected: bool) {
        self.leases.note(|status| status.connected = connected);
    }
}

#[cfg(test)]
mod tests;
