//! A front end as the director keeps it: its servers with their machines, and who forwards for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use faros_common::site::{Backend, Plane};

use crate::checks::Probe;
use crate::config::FrontConfig;
use crate::kernel::KernelFront;
use crate::pool::{Front, Roster, Server};
use crate::protocol::health::{Condition, Machine, Remembered};
use crate::protocol::roster::{self, Attendance, Phase, Retirement, Tier};
use crate::store::{Added, FrontMemory, Removed, ServerMemory};

/// Where a server comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The site file.
    Site,
    /// An operator, for good or until the next start.
    Operator {
        /// Whether it outlives a restart.
        persist: bool,
    },
}

/// A server with what is known of it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) server: Arc<Server>,
    pub(super) weight: u16,
    pub(super) backup: bool,
    pub(super) origin: Origin,
    pub(super) machine: Machine,
    pub(super) probe: Probe,
    /// Whether a check is under way.
    pub(super) checking: bool,
    /// When connections of a server that was drained with a limit are cut.
    pub(super) drained_by: Option<Instant>,
}

/// Who forwards, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) kernel: bool,
    pub(super) because: String,
}

/// A front end.
#[derive(Debug)]
pub(super) struct FrontState {
    pub(super) config: FrontConfig,
    pub(super) front: Arc<Front>,
    pub(super) members: Vec<Member>,
    /// Servers of the site file that an operator removed.
    pub(super) removed: Vec<Removed>,
    /// Of front ends that follow from the cluster's kind and have a bootstrap machine.
    pub(super) retirement: Option<Retirement>,
    pub(super) tier: Option<Tier>,
    pub(super) choice: Choice,
}

impl FrontState {
    /// A front end without a past in this process.
    pub(super) fn new(config: FrontConfig, memory: &FrontMemory, now: Instant) -> Self {
        let front = Arc::new(Front {
            name: Arc::clone(&config.name),
            listen: config.listen.clone(),
            settings: config.settings.clone(),
            roster: Arc::new(ArcSwap::from_pointee(Roster::empty(config.balance))),
            counters: Arc::default(),
        });
        let mut state = Self {
            front,
            members: Vec::new(),
            removed: memory.removed.clone(),
            retirement: None,
            tier: None,
            choice: Choice { kernel: false, because: String::new() },
            config,
        };
        state.hire(memory, now);
        state
    }

    /// Takes a new configuration over; what stays the same server stays the same object. Returns whether the planes must
    /// be told of the front end itself. Connections of servers that are gone go on.
    pub(super) fn take(&mut self, config: FrontConfig, now: Instant) -> bool {
        let changed = config.listen != self.config.listen || config.settings != self.config.settings;
        if changed {
            self.front = Arc::new(Front {
                name: Arc::clone(&config.name),
                listen: config.listen.clone(),
                settings: config.settings.clone(),
                roster: Arc::clone(&self.front.roster),
                counters: Arc::clone(&self.front.counters),
            });
        }
        let memory = self.memory();
        self.config = config;
        self.hire(&memory, now);
        changed
    }

    /// Makes the list of members anew: those of the site file without the removed ones, then those that operators added.
    /// A name that the site file now has is the site file's.
    fn hire(&mut self, memory: &FrontMemory, now: Instant) {
        let mut present = std::mem::take(&mut self.members);
        let removed = |name: &str| memory.removed.iter().any(|removed| removed.name == name);
        let of_site = self.config.servers.iter().filter(|server| !removed(&server.name)).cloned();
        let mut wanted: Vec<(Backend, Origin)> = of_site.map(|server| (server, Origin::Site)).collect();
        for added in &memory.added {
            if wanted.iter().any(|(server, _)| server.name == added.name || server.address == added.address) {
                continue;
            }
            wanted.push((added.backend(), Origin::Operator { persist: added.persist }));
        }
        for (backend, origin) in wanted {
            let same = |member: &Member| {
                *member.server.name == *backend.name && member.server.address == backend.address
            };
            let member = match present.iter().position(same) {
                Some(index) => {
                    let mut member = present.swap_remove(index);
                    member.machine.set_rules(self.config.rules(), now);
                    member.probe = self.config.probe(backend.address);
                    (member.weight, member.backup, member.origin) = (backend.weight, backend.backup, origin);
                    member
                }
                None => self.new_member(&backend, origin, memory.of(&backend.name, backend.address), now),
            };
            self.members.push(member);
        }
        let bootstrap = self.config.derived && self.members.iter().any(|member| member.backup);
        self.retirement = match (self.retirement.take(), bootstrap) {
            (_, false) => None,
            (Some(retirement), true) => Some(retirement),
            (None, true) => Some(Retirement::new(memory.bootstrap)),
        };
    }

    fn new_member(
        &self,
        backend: &Backend,
        origin: Origin,
        remembered: Option<Remembered>,
        now: Instant,
    ) -> Member {
        Member {
            server: Server::new(&self.config.name, &backend.name, backend.address),
            weight: backend.weight,
            backup: backend.backup,
            origin,
            machine: Machine::new(self.config.rules(), remembered, super::random(), now),
            probe: self.config.probe(backend.address),
            checking: false,
            drained_by: None,
        }
    }

    /// Adds a server by an operator's wish; `None`: its name or address is taken.
    pub(super) fn add(&mut self, added: &Added, now: Instant) -> Option<&Member> {
        let taken =
            |member: &Member| *member.server.name == *added.name || member.server.address == added.address;
        if self.members.iter().any(taken) {
            return None;
        }
        let of_site = self
            .config
            .servers
            .iter()
            .find(|server| server.name == added.name && server.address == added.address);
        let (backend, origin) = match of_site {
            // A server of the site file comes back as that says.
            Some(server) => (server.clone(), Origin::Site),
            None => (added.backend(), Origin::Operator { persist: added.persist }),
        };
        self.removed.retain(|removed| removed.name != added.name);
        let member = self.new_member(&backend, origin, None, now);
        self.members.push(member);
        self.members.last()
    }

    /// Removes a server by an operator's wish.
    pub(super) fn remove(&mut self, name: &str, persist: bool) -> Option<Arc<Server>> {
        let index = self.members.iter().position(|member| *member.server.name == *name)?;
        let member = self.members.remove(index);
        if member.origin == Origin::Site {
            self.removed.push(Removed { name: name.to_owned(), persist });
        }
        Some(member.server)
    }

    /// The member that `server` is.
    pub(super) fn member(&self, server: &Arc<Server>) -> Option<&Member> {
        self.members.iter().find(|member| Arc::ptr_eq(&member.server, server))
    }

    /// The same, to be changed.
    pub(super) fn member_mut(&mut self, server: &Arc<Server>) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| Arc::ptr_eq(&member.server, server))
    }

    /// Tells the retirement who is there; `Some`: its phase changed, and why.
    pub(super) fn observe(&mut self, now: Instant) -> Option<roster::RetirementChange> {
        let regular = || self.members.iter().filter(|member| !member.backup);
        let bootstrap = self.members.iter().filter(|member| member.backup);
        let attendance = Attendance {
            configured: regular().filter(|member| member.origin == Origin::Site).count(),
            up: regular()
                .filter(|member| member.origin == Origin::Site && member.machine.condition() == Condition::Up)
                .count(),
            bootstrap_up: bootstrap.filter_map(|member| member.machine.remembered().up).max(),
        };
        self.retirement.as_mut()?.observe(attendance, now)
    }

    /// Who gets connections now. Returns whether that has changed.
    pub(super) fn compose(&mut self, now: Instant) -> bool {
        let retired = self.retirement.as_ref().is_some_and(Retirement::is_retired);
        let members: Vec<roster::Member> = self
            .members
            .iter()
            .map(|member| roster::Member {
                server: Arc::clone(&member.server),
                weight: member.weight,
                backup: member.backup,
                retired: retired && member.backup,
                condition: member.machine.condition(),
                share: member.machine.share(now),
            })
            .collect();
        let composition = roster::compose(&members);
        self.tier = composition.tier;
        let present = self.front.roster.load();
        if present.slots == composition.slots && present.balance == self.config.balance {
            return false;
        }
        self.front.roster.store(Arc::new(Roster::new(self.config.balance, composition.slots)));
        true
    }

    /// The front end as the kernel would serve it.
    pub(super) fn wish(&self) -> KernelFront {
        KernelFront {
            front: Arc::clone(&self.front),
            roster: self.front.roster.load_full(),
            servers: self.members.iter().map(|member| Arc::clone(&member.server)).collect(),
            lan_only: self.config.lan_only,
            published: self.config.published,
            demanded: self.config.plane == Plane::Kernel,
        }
    }

    /// What is to be remembered.
    pub(super) fn memory(&self) -> FrontMemory {
        let server = |member: &Member| {
            let state = member.machine.remembered();
            (member.server.name.to_string(), ServerMemory { address: member.server.address, state })
        };
        let added = |member: &Member| match member.origin {
            Origin::Site => None,
            Origin::Operator { persist } => Some(Added {
                name: member.server.name.to_string(),
                address: member.server.address,
                weight: member.weight,
                backup: member.backup,
                persist,
            }),
        };
        FrontMemory {
            bootstrap: self.retirement.as_ref().map_or(Phase::Serving, Retirement::phase),
            servers: self.members.iter().map(server).collect(),
            added: self.members.iter().filter_map(added).collect(),
            removed: self.removed.clone(),
        }
    }
}

impl FrontMemory {
    /// What is remembered of the server of that name and address.
    fn of(&self, name: &str, address: SocketAddr) -> Option<Remembered> {
        self.servers.get(name).filter(|server| server.address == address).map(|server| server.state.clone())
    }
}

impl Added {
    fn backend(&self) -> Backend {
        Backend { name: self.name.clone(), address: self.address, weight: self.weight, backup: self.backup }
    }
}
