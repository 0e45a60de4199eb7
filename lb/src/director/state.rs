//! Everything the director knows, behind one lock. No method here waits for anything but the kernel's answer to a
//! transaction.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faros_common::events::{Event, Events};
use tracing::info;

use super::front::{FrontState, Member};
use super::planes::{Planes, Sockets};
use crate::checks::{Failure, Probe};
use crate::config::Config;
use crate::pool::{ConnectFailure, Cut, Server};
use crate::protocol::health::{Change, Condition, Outcome};
use crate::protocol::roster::{Offer, Retirement, Serving, Tier};
use crate::store::{FrontMemory, Memory};

/// After a check that this host could not make, the next attempt.
const LOCAL_RETRY: Duration = Duration::from_millis(500);

/// A check that is due, and all servers that it is for.
pub(super) struct Check {
    pub(super) probe: Probe,
    pub(super) subjects: Vec<Arc<Server>>,
}

/// See the module.
pub(super) struct State {
    pub(super) config: Config,
    pub(super) fronts: Vec<FrontState>,
    pub(super) sockets: Sockets,
    pub(super) offer: Offer,
    /// Whether a successor writes state and kernel now.
    pub(super) suspended: bool,
    /// Whether there is something to be remembered.
    pub(super) unsaved: bool,
    /// Why the kernel refused the latest change.
    pub(super) kernel_trouble: Option<String>,
    pub(super) kernel_stale: bool,
    /// Until then the kernel is told nothing: it has refused, or has much to do.
    pub(super) kernel_rest: Option<Instant>,
    local_retry: Option<Instant>,
    /// When it is next looked at whether the kernel still can do what it is to do.
    pub(super) choice_due: Instant,
    pub(super) planes: Arc<dyn Planes>,
    pub(super) events: Events,
}

impl State {
    /// Serves what `config` says on `sockets`.
    pub(super) fn new(
        config: Config,
        sockets: Sockets,
        mut memory: Memory,
        planes: Arc<dyn Planes>,
        events: Events,
        now: Instant,
    ) -> Self {
        let fronts = config.frontends.iter().map(|front| {
            let memory = memory.frontends.remove(&*front.name).unwrap_or_default();
            FrontState::new(front.clone(), &memory, now)
        });
        let mut state = Self {
            fronts: fronts.collect(),
            sockets,
            offer: Offer::new(memory.vip_offered),
            suspended: false,
            unsaved: false,
            kernel_trouble: None,
            kernel_stale: true,
            kernel_rest: None,
            local_retry: None,
            choice_due: now,
            planes,
            events,
            config,
        };
        for front in &mut state.fronts {
            front.compose(now);
        }
        for index in 0..state.fronts.len() {
            state.serve(index);
            state.choose(index);
        }
        state.settle(now);
        state
    }

    /// Takes a new configuration over. `fresh` has sockets for the addresses that are new.
    pub(super) fn take(
        &mut self,
        config: Config,
        fresh: BTreeMap<SocketAddr, Vec<std::net::TcpListener>>,
        now: Instant,
    ) {
        for (address, group) in fresh {
            self.sockets.insert(address, group);
        }
        let mut before = std::mem::take(&mut self.fronts);
        let mut changed = Vec::new();
        for wanted in &config.frontends {
            match before.iter().position(|front| front.config.name == wanted.name) {
                Some(index) => {
                    let mut front = before.remove(index);
                    changed.push(front.take(wanted.clone(), now));
                    self.fronts.push(front);
                }
                None => {
                    changed.push(true);
                    self.fronts.push(FrontState::new(wanted.clone(), &FrontMemory::default(), now));
                }
            }
        }
        // First, because a new front end may take over an address of an old one.
        for gone in &before {
            self.planes.withdraw(&gone.config.name);
        }
        if config.surroundings != self.config.surroundings {
            self.planes.relocate(&config.surroundings);
        }
        self.config = config;
        self.kernel_stale = true;
        self.unsaved = true;
        for (index, tell) in changed.into_iter().enumerate() {
            self.fronts[index].compose(now);
            if tell {
                self.serve(index);
            }
            self.choose(index);
        }
        let wanted: Vec<SocketAddr> = self.config.listeners().map(|(_, address)| address).collect();
        for address in self.sockets.retain(|address| wanted.contains(&address)) {
            let _ = faros_common::daemon::descriptors::forget(&faros_common::daemon::descriptors::name_of(
                address,
            ));
        }
        self.settle(now);
    }

    /// The checks that are due; each is under way from now on.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Check> {
        let mut due: Vec<Check> = Vec::new();
        if self.local_retry.is_some_and(|retry| now < retry) {
            return due;
        }
        self.local_retry = None;
        let is_due = |member: &Member, early: Duration| {
            !member.checking && member.machine.next_check().is_some_and(|at| at <= now + early)
        };
        for front in &mut self.fronts {
            for member in front.members.iter_mut().filter(|member| is_due(member, Duration::ZERO)) {
                member.checking = true;
                let subject = Arc::clone(&member.server);
                match due.iter_mut().find(|check| check.probe == member.probe) {
                    Some(check) => check.subjects.push(subject),
                    None => due.push(Check { probe: member.probe.clone(), subjects: vec![subject] }),
                }
            }
        }
        // One answer serves everybody who asks the same, also those whose turn would be a little later.
        for check in &mut due {
            for front in &mut self.fronts {
                let early = front.config.check.interval / 4;
                let same = |member: &&mut Member| member.probe == check.probe && is_due(member, early);
                for member in front.members.iter_mut().filter(same) {
                    member.checking = true;
                    check.subjects.push(Arc::clone(&member.server));
                }
            }
        }
        due
    }

    /// A check has ended; `None`: it broke off. Servers that are gone meanwhile are not missed.
    pub(super) fn checked(
        &mut self,
        subjects: &[Arc<Server>],
        verdict: Option<&Result<(), Failure>>,
        now: Instant,
    ) {
        for server in subjects {
            let Some(member) = self.member(server) else { continue };
            member.checking = false;
            let outcome = match verdict {
                Some(Ok(())) => Outcome::Good,
                Some(Err(Failure::Local(_))) | None => {
                    self.local_retry = Some(now + LOCAL_RETRY);
                    continue;
                }
                Some(Err(failure)) => Outcome::Bad(failure.to_string()),
            };
            let before = member.machine.remembered();
            let change = member.machine.checked(outcome, now);
            self.unsaved |= self.member(server).is_some_and(|member| member.machine.remembered() != before);
            self.announce(server, change, now);
        }
        self.settle(now);
    }

    /// A plane has told how a server took connections.
    pub(super) fn reported(&mut self, server: &Arc<Server>, failure: Option<ConnectFailure>, now: Instant) {
        let Some(member) = self.member(server) else { return };
        let change = match failure {
            Some(failure) => member.machine.passive(failure, now),
            None => {
                member.machine.connected();
                None
            }
        };
        if change.is_some() {
            self.announce(server, change, now);
            self.settle(now);
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) {
        let mut changes = Vec::new();
        let mut overdue = Vec::new();
        for member in self.fronts.iter_mut().flat_map(|front| &mut front.members) {
            if let Some(change) = member.machine.tick(now) {
                changes.push((Arc::clone(&member.server), change));
            }
            if member.drained_by.is_some_and(|by| by <= now) {
                member.drained_by = None;
                overdue.push(Arc::clone(&member.server));
            }
        }
        for (server, change) in changes {
            self.announce(&server, Some(change), now);
        }
        for server in overdue {
            self.planes.hang_up(&server, Cut::Drained);
        }
        if self.kernel_rest.is_some_and(|end| end <= now) {
            self.kernel_rest = None;
        }
        self.choose_again(now);
        self.settle(now);
    }

    /// When the next thing happens by time alone.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let members = self.fronts.iter().flat_map(|front| &front.members);
        let checks = members.clone().filter(|member| !member.checking).filter_map(|member| {
            let due = member.machine.next_check()?;
            Some(self.local_retry.map_or(due, |retry| due.max(retry)))
        });
        let changes = members.clone().filter_map(|member| member.machine.next_change(now));
        let cuts = members.filter_map(|member| member.drained_by);
        let retirements =
            self.fronts.iter().filter_map(|front| front.retirement.as_ref()).filter_map(Retirement::deadline);
        let own = [self.offer.deadline(), self.kernel_rest];
        checks.chain(changes).chain(cuts).chain(retirements).chain(own.into_iter().flatten()).min()
    }

    /// Brings planes and offer in line with what is known.
    pub(super) fn settle(&mut self, now: Instant) {
        for index in 0..self.fronts.len() {
            let front = &mut self.fronts[index];
            if let Some(change) = front.observe(now) {
                let name = front.config.name.to_string();
                info!(event = "lb_bootstrap", frontend = name, phase = ?change.phase, reason = change.reason, "the bootstrap machine's part has changed");
                let id = if front.retirement.as_ref().is_some_and(Retirement::is_retired) {
                    "lb_bootstrap_retired"
                } else {
                    "lb_bootstrap_recalled"
                };
                self.events.emit(Event::new(id).with("frontend", name).with("reason", change.reason));
                self.unsaved = true;
            }
            let front = &mut self.fronts[index];
            let before = front.tier;
            let changed = front.compose(now);
            let after = front.tier;
            if changed && front.choice.kernel {
                self.kernel_stale = true;
            }
            self.tell_tier(index, before, after);
        }
        self.drive_kernel(now);
        let serving: Vec<Serving> = self.fronts.iter().map(|front| self.serving(front)).collect();
        let before = self.offer.is_offered();
        if let Some(change) = self.offer.observe(&serving, now) {
            let id = if change.offered { "lb_vip_offered" } else { "lb_vip_withdrawn" };
            info!(event = id, reason = change.reason, "the offer to hold the VIP has changed");
            let event = Event::new(id).address(self.config.vip).with("reason", change.reason);
            self.events.emit(event);
        }
        self.unsaved |= self.offer.is_offered() != before;
    }

    /// What is to be remembered.
    pub(super) fn memory(&self) -> Memory {
        let memory = |front: &FrontState| (front.config.name.to_string(), front.memory());
        Memory {
            frontends: self.fronts.iter().map(memory).collect(),
            vip_offered: Some(self.offer.is_offered()),
        }
    }

    /// From now on a successor writes state and kernel, or this process does again.
    pub(super) fn suspend(&mut self, suspended: bool, now: Instant) {
        self.suspended = suspended;
        if suspended {
            self.planes.release();
        } else {
            self.kernel_stale = true;
            self.unsaved = true;
            self.settle(now);
        }
    }

    /// Tells events and planes that `server` stands differently.
    pub(super) fn announce(&mut self, server: &Arc<Server>, change: Option<Change>, now: Instant) {
        let Some(Change { from, to, reason }) = change else { return };
        let Some(front) = self.fronts.iter().find(|front| front.member(server).is_some()) else { return };
        let id = match to {
            Condition::Up => "lb_server_up",
            Condition::Down | Condition::Held | Condition::Ejected => "lb_server_down",
            Condition::Drained => "lb_server_drained",
            Condition::Maintenance => "lb_server_maintenance",
            Condition::Unknown => "lb_server_enabled",
        };
        let name = &server.name;
        info!(event = id, frontend = %server.frontend, server = %name, address = %server.address, state = to.as_str(), reason, "a server stands differently");
        let node = self.config.machines.iter().any(|(machine, _)| **machine == **name);
        let event = Event::new(id).address(server.address.ip()).with("frontend", &*server.frontend);
        let event = event.with("server", &**name).with("state", to.as_str()).with("before", from.as_str());
        let event = if node { event.node(&**name) } else { event };
        self.events.emit(event.with("reason", reason));
        let close = match to {
            Condition::Down => front.config.settings.close_on_down,
            Condition::Maintenance => true,
            _ => false,
        };
        if close {
            // New connections must go elsewhere before the old ones are told to come again.
            self.settle(now);
            self.planes.hang_up(server, Cut::MarkedDown);
        }
        self.unsaved = true;
    }

    /// Ends the connections of `server`.
    pub(super) fn hang_up(&self, server: &Arc<Server>, cut: Cut) {
        self.planes.hang_up(server, cut);
    }

    fn tell_tier(&self, index: usize, before: Option<Tier>, after: Option<Tier>) {
        if before == after {
            return;
        }
        let name = self.fronts[index].config.name.to_string();
        let (id, reason) = match after {
            None => ("lb_frontend_down", "no server is left: clients are reset at once"),
            Some(tier) => ("lb_frontend_serving", tier.as_str()),
        };
        info!(event = id, frontend = name, reason, "other servers serve");
        self.events.emit(Event::new(id).with("frontend", name).with("reason", reason));
    }

    fn serving(&self, front: &FrontState) -> Serving {
        let on_vip = |address: &SocketAddr| address.ip() == self.config.vip || address.ip().is_unspecified();
        let healthy = front.tier.is_some_and(Tier::is_healthy);
        Serving {
            frontend: front.config.name.to_string(),
            on_vip: front.config.listen.iter().any(on_vip),
            is_api: front.config.derived && &*front.config.name == "api",
            servers: if healthy { front.front.roster.load().slots.len() } else { 0 },
        }
    }

    fn member(&mut self, server: &Arc<Server>) -> Option<&mut Member> {
        self.fronts.iter_mut().find_map(|front| front.member_mut(server))
    }
}
