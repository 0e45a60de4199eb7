//! What the plane knows of the kernel, and how it brings the rules about.

use std::collections::{BTreeMap, BTreeSet};

use faros_common::netlink::conntrack::ConnTrack;
use faros_common::netlink::nftables::{CommitError, Counters, Family as TableFamily, Nftables, TableId};

use super::compile::{ForwardGuard, admitted, compile};
use super::difference::{Change, Present, difference};
use super::error::KernelError;
use super::passive::Watched;
use super::ruleset::{Family, Ruleset};
use super::wish::{KernelFront, Surroundings};
use super::{forwarding, names, table, trial};

/// The gateway's table: where it is, it says what may be forwarded.
const GATEWAY_TABLE: &str = "faros";

/// A change of somebody else's between reading and writing makes both begin anew, so many times.
const ATTEMPTS: usize = 5;

/// What [`KernelPlane::apply`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Steps of the transaction; 0: everything was there already.
    pub changes: usize,
    /// The rules of an earlier process were there.
    pub took_over: bool,
    /// Forwarding was off and has been switched on.
    pub forwarding: bool,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) nftables: Nftables,
    pub(super) conntrack: ConnTrack,
    pub(super) fronts: Vec<KernelFront>,
    /// What the kernel was told; `None` before the first [`KernelPlane::apply`] and after [`KernelPlane::withdraw`].
    pub(super) wanted: Option<Ruleset>,
    /// The kernel's generation when `wanted` was known to be there.
    pub(super) generation: Option<u32>,
    pub(super) site: Surroundings,
    pub(super) guard: ForwardGuard,
    /// What the counters had counted at the last reading.
    pub(super) counted: BTreeMap<String, Counters>,
    /// Servers by the name of their counter of connections.
    pub(super) watched: BTreeMap<String, Watched>,
    pub(super) restored: u64,
}

impl State {
    /// Nothing wanted yet.
    pub(super) fn open(site: Surroundings) -> Result<Self, KernelError> {
        let mut nftables = Nftables::open()?;
        trial::run(&mut nftables)?;
        Ok(Self {
            nftables,
            conntrack: ConnTrack::open()?,
            fronts: Vec::new(),
            wanted: None,
            generation: None,
            site,
            guard: ForwardGuard::default(),
            counted: BTreeMap::new(),
            watched: BTreeMap::new(),
            restored: 0,
        })
    }

    /// What speaks against it on this host, though it can be overruled.
    pub(super) fn host_obstacle(&self, family: Family) -> Option<String> {
        let (switch, bridges) = match family {
            Family::Four => ("net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables"),
            Family::Six => ("net.ipv6.conf.all.forwarding", "net.bridge.bridge-nf-call-ip6tables"),
        };
        if !forwarding::is_on(family) {
            return Some(format!("{switch} is off: switch it on, or demand plane = \"kernel\""));
        }
        let lan = &self.site.lan_interface;
        let filtered = forwarding::bridges_are_filtered(family) && forwarding::is_bridge(lan);
        filtered.then(|| {
            format!(
                "{bridges} is on, so that servers on the bridge {lan} do not reach themselves: set it to 0"
            )
        })
    }

    pub(super) fn apply(&mut self, fronts: &[KernelFront]) -> Result<Applied, KernelError> {
        let mut applied = Applied::default();
        for attempt in 1.. {
            match self.try_apply(fronts, &mut applied) {
                Err(KernelError::Commit(CommitError::Changed)) if attempt < ATTEMPTS => {
                    self.generation = None;
                }
                Err(error) => {
                    self.generation = None;
                    return Err(error);
                }
                Ok(()) => break,
            }
        }
        Ok(applied)
    }

    fn try_apply(&mut self, fronts: &[KernelFront], applied: &mut Applied) -> Result<(), KernelError> {
        let first = self.wanted.is_none();
        let present = self.present()?;
        applied.took_over = first && present.is_some();
        // Whoever empties the table must not open what was closed.
        let before = present.as_ref().map_or(ForwardGuard::default(), guard_of).or(self.guard);
        let (guard, switch) = self.guard_for(fronts, before)?;
        let wanted = compile(&self.site, fronts, guard);
        let changes = difference(present.as_ref(), &wanted, &self.counted);
        applied.changes = changes.len();
        // Nothing is forwarded without rules, and the rules that bound forwarding go last.
        for family in Family::BOTH.into_iter().filter(|&family| switch.off(family)) {
            forwarding::set(family, false).map_err(KernelError::Forwarding)?;
        }
        self.commit(&changes)?;
        for family in Family::BOTH.into_iter().filter(|&family| switch.on(family)) {
            forwarding::set(family, true).map_err(KernelError::Forwarding)?;
            applied.forwarding = true;
        }
        self.guard = guard;
        self.wanted = Some(wanted);
        self.fronts = fronts.to_vec();
        let live: BTreeSet<String> = self
            .fronts
            .iter()
            .flat_map(|front| {
                let name = &front.front.name;
                front
                    .servers
                    .iter()
                    .map(move |server| names::of_server(names::CONNECTIONS, name, &server.name))
            })
            .collect();
        self.watched.retain(|name, _| live.contains(name));
        Ok(())
    }

    /// What is there: what we have put there, unless somebody has changed anything since.
    pub(super) fn present(&mut self) -> Result<Option<Present>, KernelError> {
        let generation = self.nftables.generation()?.id;
        if let (Some(wanted), Some(known)) = (&self.wanted, self.generation)
            && known == generation
        {
            return Ok(Some(Present { rules: wanted.clone(), ..Present::default() }));
        }
        let present = table::read(&mut self.nftables)?;
        self.generation = Some(generation);
        Ok(present)
    }

    /// Whether nobody has changed anything since our last change.
    pub(super) fn is_current(&mut self) -> Result<bool, KernelError> {
        Ok(self.generation == Some(self.nftables.generation()?.id))
    }

    pub(super) fn commit(&mut self, changes: &[Change]) -> Result<(), KernelError> {
        if changes.is_empty() {
            return Ok(());
        }
        table::commit(&mut self.nftables, changes, self.generation)?;
        self.generation = Some(self.nftables.generation()?.id);
        Ok(())
    }

    /// What bounds forwarding, and what is to be switched.
    fn guard_for(
        &mut self,
        fronts: &[KernelFront],
        before: ForwardGuard,
    ) -> Result<(ForwardGuard, Switch), KernelError> {
        let gateway = TableId::new(TableFamily::Inet, GATEWAY_TABLE);
        let gateway = self.nftables.table(&gateway)?.is_some();
        let mut guard = ForwardGuard::default();
        let mut switch = Switch::default();
        for family in Family::BOTH {
            let mut served = fronts.iter().filter(|front| front.family() == family).peekable();
            let any = served.peek().is_some();
            let demanded = served.any(|front| front.demanded);
            let was_guarded = before.covers(family);
            let turn_on = demanded && !forwarding::is_on(family);
            if turn_on {
                switch.turn_on(family);
            } else if was_guarded && !any && !gateway {
                switch.turn_off(family);
            }
            guard.set(family, !gateway && any && (was_guarded || turn_on));
        }
        Ok((guard, switch))
    }

    pub(super) fn withdraw(&mut self) -> Result<(), KernelError> {
        let present = table::read(&mut self.nftables)?;
        let guard = present.as_ref().map_or(ForwardGuard::default(), guard_of).or(self.guard);
        for family in Family::BOTH.into_iter().filter(|&family| guard.covers(family)) {
            forwarding::set(family, false).map_err(KernelError::Forwarding)?;
        }
        if present.is_some() {
            table::commit(&mut self.nftables, &[Change::DropTable], None)?;
        }
        self.generation = None;
        self.wanted = None;
        self.fronts.clear();
        self.watched.clear();
        self.counted.clear();
        self.guard = ForwardGuard::default();
        Ok(())
    }
}

/// Families whose forwarding changes.
#[derive(Clone, Copy, Debug, Default)]
struct Switch {
    on: ForwardGuard,
    off: ForwardGuard,
}

impl Switch {
    fn turn_on(&mut self, family: Family) {
        self.on.set(family, true);
    }

    fn turn_off(&mut self, family: Family) {
        self.off.set(family, true);
    }

    fn on(self, family: Family) -> bool {
        self.on.covers(family)
    }

    fn off(self, family: Family) -> bool {
        self.off.covers(family)
    }
}

/// Whether an earlier process has switched forwarding on: the rules that bound it are there.
fn guard_of(present: &Present) -> ForwardGuard {
    let mut guard = ForwardGuard::default();
    for family in Family::BOTH {
        guard.set(family, present.rules.sets.contains_key(&admitted(family)));
    }
    guard
}
