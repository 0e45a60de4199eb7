//! From front ends to rules.
//!
//! | chain | hook, priority | what it does |
//! |---|---|---|
//! | `untracked` | output, -300 | keeps our probes of closed connections out of connection tracking |
//! | `inbound` | prerouting, -150 | established: counts what servers send; else: the guard of the front end |
//! | `outbound` | output, -150 | the guard of the front end for clients on this host |
//! | `balance`, `balance-local` | nat prerouting and output, -110 | new connections: to the front end, which draws a server |
//! | `account` | postrouting, 90 | counts what servers are sent |
//! | `source` | nat postrouting, 90 | hides the client where the server's answers would not come back through here |
//! | `forward` | forward, 0 | only where this daemon has switched forwarding on: nothing but its own connections |
//!
//! `guard/X` resets what front end X does not serve: segments of unknown connections, sources that are not allowed.
//! `front/X` draws a slot; `server/X/Y` counts the connection and translates it. All are found by one look into a map,
//! however many there are. Priorities are just ahead of the usual ones, so that the gateway's rules see what is left.

mod guard;
mod servers;

use std::collections::BTreeMap;

use faros_common::netlink::nftables::{ChainKind, Direction, Expression, Hook, NumberKind, ct_state};
use faros_common::site::Balance;

use super::names;
use super::rule::{Rule, STATUS_TRANSLATED};
use super::ruleset::{Chain, Family, Place, Ruleset, Set, Shape, Target, service_key};
use super::slots;
use super::wish::{KernelFront, Surroundings};

/// Mark of our own probes.
pub(super) const PROBE_MARK: u32 = 0x0fa5_051b;
/// Seed of the hash of clients' addresses: fixed, so that a client finds its server again after a restart.
const SOURCE_SEED: u32 = 0x6661_726f;

/// For which families this daemon has switched forwarding on, so that its own rules must bound it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ForwardGuard {
    pub(super) four: bool,
    pub(super) six: bool,
}

impl ForwardGuard {
    pub(super) fn or(self, other: Self) -> Self {
        Self { four: self.four || other.four, six: self.six || other.six }
    }

    pub(super) fn any(self) -> bool {
        self.four || self.six
    }

    pub(super) fn covers(self, family: Family) -> bool {
        match family {
            Family::Four => self.four,
            Family::Six => self.six,
        }
    }

    pub(super) fn set(&mut self, family: Family, covered: bool) {
        match family {
            Family::Four => self.four = covered,
            Family::Six => self.six = covered,
        }
    }
}

/// The map that is there while forwarding of the family is bounded.
pub(super) fn admitted(family: Family) -> String {
    servers::map(servers::ADMITTED, family)
}

pub(super) use guard::closed;

/// The rules for these front ends. Of two front ends with the same address and port the first has it.
pub(super) fn compile(site: &Surroundings, fronts: &[KernelFront], forward: ForwardGuard) -> Ruleset {
    let mut compiler = Compiler { site, forward, rules: Ruleset::default() };
    compiler.frame();
    for front in fronts {
        compiler.front(front);
    }
    compiler.rules
}

struct Compiler<'a> {
    site: &'a Surroundings,
    forward: ForwardGuard,
    rules: Ruleset,
}

/// Ways to say which packets are for a front end: the map's name (without digit), and what else must be true.
#[derive(Clone, Copy)]
enum Reach {
    /// To one of the addresses that it listens on.
    Address,
    /// To any address of this host, where it listens on all.
    Anywhere,
    /// To any address of this host, from the WAN.
    Wan,
}

impl Reach {
    const ALL: [Self; 3] = [Self::Address, Self::Anywhere, Self::Wan];

    fn map(self, kind: &str, family: Family) -> String {
        let digit = family.digit();
        match self {
            Self::Address => format!("{kind}{digit}"),
            Self::Anywhere => format!("{kind}-anywhere{digit}"),
            Self::Wan => format!("{kind}-wan{digit}"),
        }
    }

    fn shape(self, family: Family) -> Shape {
        match self {
            Self::Address => Shape::Services(family),
            Self::Anywhere | Self::Wan => Shape::Ports,
        }
    }
}

/// Maps from service to `front/X`, and to `guard/X`.
const SERVICES: &str = "services";
const GUARDS: &str = "guards";

impl Compiler<'_> {
    /// What is there whatever the front ends are.
    fn frame(&mut self) {
        for family in Family::BOTH {
            for kind in [SERVICES, GUARDS] {
                for reach in Reach::ALL {
                    self.set(reach.map(kind, family), reach.shape(family));
                }
            }
            for map in [servers::AHEAD, servers::BEHIND, servers::SOURCES] {
                self.set(servers::map(map, family), Shape::Servers(family));
            }
            self.set(closed(family), Shape::Closed(family));
        }
        let base = |kind, hook, priority| Some(Place { kind, hook, priority });
        let untracked = vec![Rule::new().mark(PROBE_MARK).untracked()];
        self.chain("untracked", base(ChainKind::Filter, Hook::Output, -300), untracked);

        let known = ct_state::ESTABLISHED | ct_state::RELATED;
        let mut inbound = vec![Rule::new().not_tcp().accept(), Rule::new().state(known).goto("answers")];
        inbound.extend(self.dispatch(GUARDS));
        self.chain("inbound", base(ChainKind::Filter, Hook::Prerouting, -150), inbound);
        let mut outbound = vec![Rule::new().not_tcp().accept(), Rule::new().state(known).accept()];
        outbound.extend(self.dispatch(GUARDS));
        self.chain("outbound", base(ChainKind::Filter, Hook::Output, -150), outbound);

        let mut balance = vec![Rule::new().not_tcp().accept()];
        balance.extend(self.dispatch(SERVICES));
        self.chain("balance", base(ChainKind::Nat, Hook::Prerouting, -110), balance.clone());
        self.chain("balance-local", base(ChainKind::Nat, Hook::Output, -110), balance);

        let ours =
            || [Rule::new().not_tcp().accept(), Rule::new().status_without(STATUS_TRANSLATED).accept()];
        let mut answers = ours()[1..].to_vec();
        answers.push(Rule::new().direction(Direction::Original).accept());
        answers.extend(Family::BOTH.map(|family| {
            Rule::new().family(family).by_server_behind(family, &servers::map(servers::BEHIND, family)).end()
        }));
        self.chain("answers", None, answers);
        let mut account = ours().to_vec();
        account.push(Rule::new().direction(Direction::Reply).accept());
        account.extend(servers::dispatch(servers::AHEAD));
        self.chain("account", base(ChainKind::Filter, Hook::Postrouting, 90), account);
        let mut source = ours().to_vec();
        source.extend(servers::dispatch(servers::SOURCES));
        self.chain("source", base(ChainKind::Nat, Hook::Postrouting, 90), source);
        self.hiding();
        if self.forward.any() {
            self.bound_forwarding(known);
        }
    }

    /// Chains that hide the client from the server.
    fn hiding(&mut self) {
        self.chain(servers::HIDE, None, vec![Rule::new().masquerade()]);
        // Only who comes in from the LAN is believed to be of the LAN: a forged source keeps its face.
        let mut hairpin = vec![Rule::new().came_in_elsewhere_than(&self.lan_side()).back()];
        // By its address: what is masqueraded is forgotten whenever the interface goes down for a moment.
        hairpin
            .extend(self.site.lan.iter().map(|&own| Rule::new().source_in(own).translate_from(own.addr())));
        self.chain(servers::HIDE_LAN, None, hairpin);
    }

    fn bound_forwarding(&mut self, known: u32) {
        let mut rules = Vec::new();
        let forward = self.forward;
        for family in Family::BOTH.into_iter().filter(|&family| forward.covers(family)) {
            let map = servers::map(servers::ADMITTED, family);
            self.set(map.clone(), Shape::Servers(family));
            rules.push(Rule::new().family(family).state(known).accept());
            rules.push(
                Rule::new()
                    .family(family)
                    .tcp()
                    .status(STATUS_TRANSLATED)
                    .by_server_ahead(family, &map)
                    .end(),
            );
            rules.push(Rule::new().family(family).drop());
        }
        let place = Place { kind: ChainKind::Filter, hook: Hook::Forward, priority: 0 };
        self.chain("forward", Some(place), rules);
    }

    /// From packets to the chain of their front end.
    fn dispatch(&self, kind: &str) -> Vec<Vec<Expression>> {
        let mut rules = Vec::new();
        for family in Family::BOTH {
            let map = Reach::Address.map(kind, family);
            rules.push(Rule::new().family(family).by_service(family, &map).end());
        }
        for family in Family::BOTH {
            let map = Reach::Anywhere.map(kind, family);
            rules.push(Rule::new().family(family).bound_for_this_host().by_port(&map).end());
            if let Some(wan) = &self.site.wan_interface {
                let map = Reach::Wan.map(kind, family);
                rules.push(
                    Rule::new().came_in_on(wan).family(family).bound_for_this_host().by_port(&map).end(),
                );
            }
        }
        rules
    }

    fn front(&mut self, front: &KernelFront) {
        let name = &front.front.name;
        let (chain, guard) = (names::of_front("front", name), names::of_front("guard", name));
        self.reach(front, SERVICES, &chain);
        self.reach(front, GUARDS, &guard);
        self.guard(front, &guard);
        self.servers(front);
        self.draw(front, &chain);
    }

    fn reach(&mut self, front: &KernelFront, kind: &str, chain: &str) {
        for listen in &front.front.listen {
            let family = Family::of(listen.ip());
            let port = listen.port().to_be_bytes().to_vec();
            if front.published {
                self.element(&Reach::Wan.map(kind, family), port.clone(), Target::Goto(chain.to_owned()));
            }
            let (reach, key) = if listen.ip().is_unspecified() {
                (Reach::Anywhere, port)
            } else {
                (Reach::Address, service_key(*listen))
            };
            self.element(&reach.map(kind, family), key, Target::Goto(chain.to_owned()));
        }
    }

    /// The choice of a server.
    fn draw(&mut self, front: &KernelFront, chain: &str) {
        let name = &front.front.name;
        let family = front.family();
        let assigned = slots::assign(&front.roster);
        let slots = slots::slots_of(front.roster.balance);
        let map = names::of_front("slots", name);
        self.set(map.clone(), Shape::Slots(slots));
        for (slot, server) in (0u32..).zip(&assigned) {
            let server = &front.roster.slots[*server].server;
            let target = Target::Goto(names::of_server("server", name, &server.name));
            self.element(&map, slot.to_ne_bytes().to_vec(), target);
        }
        let at_random = || Rule::new().by_number(NumberKind::Random, slots, &map).end();
        let first = match front.roster.balance {
            Balance::RoundRobin => Rule::new().by_number(NumberKind::Incremental, slots, &map).end(),
            Balance::LeastConnections | Balance::RandomTwo => at_random(),
            Balance::Source => Rule::new().by_source(family, slots, SOURCE_SEED, &map).end(),
        };
        let nobody = names::of_front(names::NOBODY, name);
        let rules = if assigned.is_empty() {
            vec![Rule::new().tcp().count(&nobody).reset()]
        } else {
            // Older kernels may miss an element that is replaced at this very moment: the next draw finds one.
            vec![first, at_random(), at_random(), Rule::new().tcp().count(&nobody).reset()]
        };
        self.rules.counters.insert(nobody);
        self.chain(chain, None, rules);
    }

    /// Interfaces of the LAN side; packets of this host itself have none.
    fn lan_side(&self) -> [&str; 3] {
        [&self.site.lan_interface, "lo", ""]
    }

    fn set(&mut self, name: String, shape: Shape) {
        self.rules.sets.entry(name).or_insert_with(|| Set { shape, elements: BTreeMap::new() });
    }

    /// The first of two elements with the same key stays.
    fn element(&mut self, set: &str, key: Vec<u8>, target: Target) {
        if let Some(set) = self.rules.sets.get_mut(set) {
            set.elements.entry(key).or_insert(target);
        }
    }

    fn chain(&mut self, name: &str, place: Option<Place>, rules: Vec<Vec<Expression>>) {
        self.rules.chains.insert(name.to_owned(), Chain { place, rules });
    }
}

#[cfg(test)]
mod tests;
