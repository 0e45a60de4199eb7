//! The kernel plane as the daemon sees it.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faros_common::clock;
use faros_common::netlink::nftables::Nftables;
use faros_common::site::Balance;
use serde_json::{Value, json};

use super::error::KernelError;
use super::probe::Prober;
use super::ruleset::Family;
use super::state::{Applied, State};
use super::watch::{self, Restored};
use super::wish::{KernelFront, Surroundings};
use super::{names, slots, table};
use crate::pool::{Observer, Server};

/// The kernel plane. Calls take a millisecond or a few, and none waits for anything but the kernel.
#[derive(Debug)]
pub struct KernelPlane {
    shared: Arc<Shared>,
    /// Servers whose connections are to be cut, for the watch; it ends when this is gone.
    tasks: Sender<Arc<Server>>,
    /// Until the watch takes it.
    queue: Mutex<Option<Receiver<Arc<Server>>>>,
}

/// What the plane and its watch share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) prober: Prober,
}

impl KernelPlane {
    /// Makes ready, and tries in a table of its own whether the kernel can do what the rules need. Changes nothing else.
    /// Probes of closed connections need `CAP_NET_RAW` at this moment; without it there are none.
    ///
    /// # Errors
    /// [`KernelError::Permission`] or [`KernelError::Lacking`]: no front end can be served here, so the user plane
    /// must; the error's text says why.
    pub fn open(site: Surroundings) -> Result<Self, KernelError> {
        let shared = Arc::new(Shared { state: Mutex::new(State::open(site)?), prober: Prober::open() });
        let (tasks, queue) = mpsc::channel();
        Ok(Self { shared, tasks, queue: Mutex::new(Some(queue)) })
    }

    /// Takes away what an earlier process has left, as [`Self::withdraw`] does, where no front end is the kernel's any more:
    /// its rules would go on to take every connection. Whether there was something.
    ///
    /// # Errors
    /// The kernel refused, or does not even say what there is.
    pub fn sweep() -> Result<bool, KernelError> {
        let is_there = table::exists(&mut Nftables::open()?)?;
        if is_there {
            Self::open(Surroundings::default())?.withdraw()?;
        }
        Ok(is_there)
    }

    /// Starts a thread that reads counters into [`Server::counters`] and [`crate::pool::FrontCounters`], tells `observer` of
    /// servers that refuse or are silent, and restores rules that somebody else has changed or deleted and tells `restored` so.
    /// It ends with the plane. Once is enough.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn watch(
        &self,
        observer: Arc<dyn Observer>,
        restored: impl Fn(Restored) + Send + 'static,
    ) -> io::Result<()> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(queue) = queue else { return Ok(()) };
        watch::start(Arc::downgrade(&self.shared), queue, observer, restored)
    }

    /// Ends the connections of a server that is marked down or removed, within some milliseconds: they are forgotten, their clients'
    /// next segments are reset, and clients that only wait are made to send one. The thread of [`Self::watch`] does it.
    pub fn cut(&self, server: &Arc<Server>) {
        // Fails only where the watch has ended, with the process.
        let _ = self.tasks.send(Arc::clone(server));
    }

    /// How many connections the server has now. Lists the connections of this host: for operators, not for loops.
    ///
    /// # Errors
    /// The kernel did not answer.
    pub fn connections(&self, server: &Server) -> Result<usize, KernelError> {
        self.state().connections_of(server).map(|connections| connections.len())
    }

    /// Reads the counters now, as the watch does by itself ten times a second.
    ///
    /// # Errors
    /// The kernel did not answer.
    pub fn refresh(&self) -> Result<(), KernelError> {
        self.state().read_counters(clock::now()).map(drop)
    }

    /// Why the kernel should not serve this front end; `None`: it can. For `plane = "auto"`.
    pub fn obstacle(&self, front: &KernelFront) -> Option<String> {
        front
            .obstacle()
            .or_else(|| if front.demanded { None } else { self.state().host_obstacle(front.family()) })
    }

    /// Tells what has changed about the site; the rules follow at the next [`Self::apply`].
    pub fn set_surroundings(&self, site: Surroundings) {
        self.state().site = site;
    }

    /// Makes the kernel serve these front ends and no others, by one transaction of what differs from what is there.
    /// None of them may have an [`Self::obstacle`]; of two on the same address and port the first is served.
    ///
    /// # Errors
    /// The kernel refused; it serves as before.
    pub fn apply(&self, fronts: &[KernelFront]) -> Result<Applied, KernelError> {
        self.state().apply(fronts)
    }

    /// Takes all rules away, and forwarding where it was switched on from here. Connections lose their servers, but for those of
    /// clients and servers that reach each other without this host's help.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn withdraw(&self) -> Result<(), KernelError> {
        self.state().withdraw()
    }

    /// Leaves the rules to another process, as they are: nothing is restored or counted any more before the next [`Self::apply`].
    pub fn release(&self) {
        let mut state = self.state();
        state.wanted = None;
        state.generation = None;
    }

    /// The rules as `status` shows them.
    pub fn status(&self) -> Value {
        let state = self.state();
        let fronts = state.fronts.iter().map(|front| {
            let slots = slots::slots_of(front.roster.balance);
            let way = match front.roster.balance {
                Balance::RoundRobin => "in turn, by weight",
                Balance::Source => "by the client's address, by weight",
                _ => "the kernel plane spreads at random by weight",
            };
            json!({ "frontend": &*front.front.name, "spreads": way, "slots": slots, "servers": front.roster.slots.len() })
        });
        json!({
            "table": format!("inet {}", names::TABLE),
            "obstacles": Family::BOTH.into_iter().filter_map(|family| {
                let served = state.fronts.iter().any(|front| front.family() == family);
                served.then(|| state.host_obstacle(family)).flatten()
            }).collect::<Vec<_>>(),
            "frontends": fronts.collect::<Vec<_>>(),
            "forwarding_switched_on_here": state.guard.any(),
            "restored": state.restored,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic in between leaves nothing half done that the next reading of the kernel's state would not show.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
