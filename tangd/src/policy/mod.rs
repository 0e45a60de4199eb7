//! Who may recover a key, and when.
//!
//! Asked once a request is known to be in order, and before the key takes part in anything:
//!
//! ```no_run
//! # use faros_tangd::policy::{Moment, Policy};
//! # async fn recover(policy: &Policy, peer: std::net::IpAddr, thumbprint: &str) {
//! let client = policy.identify(peer).await;
//! let verdict = policy.admit(&client, thumbprint, Moment::now());
//! if verdict.is_allowed() { /* exchange */ }
//! # }
//! ```
//!
//! | Rule | Status | Keeps back |
//! |---|---|---|
//! | `lan` | 403 | whoever is not on the LAN, unless `gateway.allow` names `tang` |
//! | `locked` | 403 | what an operator has locked; survives restarts |
//! | `known-nodes` | 403 | with `tang.policy = "known-nodes"`: all but nodes, at the addresses that are theirs |
//! | `leases` | 503 | the same, while dhcpd does not say whose a dynamic address is |
//! | `denied` | 403 | nodes with `tang = "deny"` |
//! | `hold` | 503 | with `tang.hold` or the node's `tang = "hold"`: whoever no operator has approved |
//! | `window` | 403 | everybody outside of `tang.windows` (UTC), but the approved |
//! | `clock` | 503 | the same, while this host's clock cannot be believed |
//! | `rate` | 503 | a node that has had its share of this minute |
//!
//! No client is made to wait for an answer: clevis' curl has no time-out, so what is held is refused at once, and the
//! client asks again by itself (initramfs-tools every 5 s, dracut and systemd twice a second). None of them heeds
//! `Retry-After`; it is there for those who do.
//!
//! What is known of an address is kept for [`KNOWN_FRESH`]. Approvals end with this process; locks do not.

mod admin;
#[cfg(test)]
mod admin_tests;
mod calendar;
mod explain;
mod gate;
#[cfg(test)]
mod gate_tests;
pub mod identity;
mod leases;
mod locks;
mod rate;
mod store;
mod verdict;
mod waiting;

pub use admin::{APPROVAL_MAX, APPROVAL_USUAL, Answer, Done};
pub use gate::{Gate, HOLD_RETRY_SECS, Moment, Rules};
pub use identity::{Client, Roster, Standing};
pub use leases::Leases;
pub use locks::{Change, Lock, Locks};
pub use store::Store;
pub use verdict::{Rule, Verdict};

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use faros_common::clock;
use faros_common::daemon::StartError;
use faros_common::journal::JournalError;
use faros_common::netlink::Neighbours;
use faros_common::site::{Mac, Site};
use serde_json::{Value, json};

use identity::Lease;

/// For how long it is taken for known who is behind an address.
pub const KNOWN_FRESH: Duration = Duration::from_secs(1);
/// Addresses about which that is remembered; beyond, all are looked up anew.
const KNOWN_MAX: usize = 4096;

/// Our part of the site file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The rules.
    pub rules: Rules,
    /// The nodes.
    pub roster: Roster,
    /// The interface of the nodes.
    pub interface: String,
    /// Whether this host's dhcpd can be asked for leases.
    pub dhcpd: bool,
}

impl Config {
    /// The part of `site`.
    #[must_use]
    pub fn of(site: &Site) -> Self {
        Self {
            rules: Rules::of(site),
            roster: Roster::of(site),
            interface: site.lan.interface.clone(),
            dhcpd: site.dhcp.enable,
        }
    }
}

/// Decides who may recover a key; owns what operators have decided.
#[derive(Debug)]
pub struct Policy {
    config: ArcSwap<Config>,
    gate: Mutex<Gate>,
    store: Store,
    /// Changes of locks come one after the other, on disk as in memory.
    changing: tokio::sync::Mutex<()>,
    leases: Leases,
    neighbours: Option<Neighbours>,
    known: Mutex<HashMap<IpAddr, (Instant, Arc<Client>)>>,
}

impl Policy {
    /// The policy of a site. The locks of former operators come from `state_dir`; leases are asked for at the dhcpd
    /// whose socket is in `run_dir`.
    ///
    /// # Errors
    /// The journal of locks cannot be opened.
    pub fn open(config: Config, state_dir: &Path, run_dir: &Path) -> Result<Self, StartError> {
        let (store, locks) = Store::open(state_dir)?;
        let neighbours = Neighbours::open(Some(&config.interface)).inspect_err(|error| {
            tracing::warn!(event = "neighbours_unavailable", %error, "cards behind addresses are not checked");
        });
        Ok(Self {
            config: ArcSwap::from_pointee(config),
            gate: Mutex::new(Gate::new(locks)),
            store,
            changing: tokio::sync::Mutex::default(),
            leases: Leases::new(run_dir),
            neighbours: neighbours.ok(),
            known: Mutex::default(),
        })
    }

    /// Takes a new site file over. Locks, approvals and who waits stay.
    pub fn reload(&self, config: Config) {
        self.gate().keep_nodes(|name| config.roster.by_name(name).is_some());
        self.config.store(Arc::new(config));
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether `address` is answered at all, also with advertisements.
    #[must_use]
    pub fn serves(&self, address: IpAddr) -> bool {
        let config = self.config.load();
        let address = address.to_canonical();
        config.roster.is_own(address) || config.rules.serve(address)
    }

    /// Who is behind `address`. Costs two system calls at most once in [`KNOWN_FRESH`], and for dynamic addresses a
    /// question to dhcpd, which may take 50 ms.
    pub async fn identify(&self, address: IpAddr) -> Arc<Client> {
        let address = address.to_canonical();
        let now = clock::now();
        if let Some(client) = self.known(address, now) {
            return client;
        }
        let client = Arc::new(self.look_up(address).await);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.retain(|_, (at, _)| now.saturating_duration_since(*at) < KNOWN_FRESH);
        }
        if known.len() < KNOWN_MAX {
            known.insert(address, (now, Arc::clone(&client)));
        }
        client
    }

    /// Whether `client` may recover with the key `thumbprint` now; ask only about requests that are in order
    /// otherwise, for those that are allowed count, and those that are held are listed.
    #[must_use]
    pub fn admit(&self, client: &Client, thumbprint: &str, now: Moment) -> Verdict {
        let config = self.config.load();
        self.gate().on_recovery(&config.rules, client, thumbprint, now)
    }

    /// Our part of `GET /status`.
    #[must_use]
    pub fn status(&self) -> Value {
        let config = self.config.load();
        let now = clock::now();
        let mut gate = self.gate();
        json!({
            "policy": config.rules.policy,
            "hold": config.rules.hold,
            "windows": config.rules.windows.len(),
            "rate": config.rules.rate,
            "locks": gate.locks,
            "approved": gate.approved(now).into_iter().map(|(name, left)| {
                json!({ "subject": name, "secs": left.as_secs() })
            }).collect::<Vec<_>>(),
            "waiting": gate.waiting(now).len(),
            "cards_known": self.neighbours.is_some(),
            "journal": self.store.status(),
        })
    }

    /// Ends the journal of locks.
    ///
    /// # Errors
    /// The disk's.
    pub async fn shutdown(&self) -> Result<(), JournalError> {
        self.store.shutdown().await
    }

    fn known(&self, address: IpAddr, now: Instant) -> Option<Arc<Client>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, client) = known.get(&address)?;
        (now.saturating_duration_since(*at) < KNOWN_FRESH).then(|| Arc::clone(client))
    }

    async fn look_up(&self, address: IpAddr) -> Client {
        let config = self.config.load_full();
        let card = self.card(address);
        let lease = match config.roster.depends_on_lease(address) {
            true if !config.dhcpd => Lease::None,
            true => self.leases.holder(address).await,
            false => Lease::NotAsked,
        };
        config.roster.identify(address, card, &lease)
    }

    fn card(&self, address: IpAddr) -> Option<Mac> {
        self.neighbours.as_ref()?.card(address).ok().flatten()
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
