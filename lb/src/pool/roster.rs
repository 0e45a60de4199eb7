//! Who may get connections now, and who gets the next one.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faros_common::site::Balance;

use super::Server;
use crate::protocol::balance::{self, Load, Rank, Schedule, SourceTable};

/// A server that may get connections, with its share.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The server.
    pub server: Arc<Server>,
    /// Its share of new connections, 1 to [`Slot::WEIGHT_MAX`]: the configured weight, scaled down while it
    /// starts slowly.
    pub weight: u32,
}

impl Slot {
    /// The largest share: the largest configured weight times the steps of a slow start.
    pub const WEIGHT_MAX: u32 = 256 * 256;
}

impl PartialEq for Slot {
    /// The same server (not only an equal one) with the same share.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.server, &other.server) && self.weight == other.weight
    }
}

/// Who may get connections of a front end now: made anew at each change, never changed.
pub struct Roster {
    /// How a server is chosen.
    pub balance: Balance,
    /// The servers, none of weight 0; empty: nobody serves.
    pub slots: Vec<Slot>,
    way: Way,
}

/// What a way of choosing works out ahead.
enum Way {
    LeastConnections,
    RandomTwo,
    RoundRobin { schedule: Schedule, turn: AtomicU64 },
    Source(SourceTable),
}

impl Roster {
    /// A roster of these servers. Slots of weight 0 are left out, larger weights than [`Slot::WEIGHT_MAX`]
    /// are taken for it.
    pub fn new(balance: Balance, mut slots: Vec<Slot>) -> Self {
        slots.retain_mut(|slot| {
            slot.weight = slot.weight.min(Slot::WEIGHT_MAX);
            slot.weight > 0
        });
        let way = match balance {
            Balance::LeastConnections => Way::LeastConnections,
            Balance::RandomTwo => Way::RandomTwo,
            Balance::RoundRobin => {
                let weights: Vec<u32> = slots.iter().map(|slot| slot.weight).collect();
                Way::RoundRobin { schedule: Schedule::new(&weights), turn: AtomicU64::new(0) }
            }
            Balance::Source => Way::Source(source_table(&slots, SourceTable::SIZE)),
        };
        Self { balance, slots, way }
    }

    /// A roster without anybody.
    pub fn empty(balance: Balance) -> Self {
        Self::new(balance, Vec::new())
    }

    /// Which slot has which bucket of sources, in a table of `size`, for a plane that looks sources up by
    /// itself; empty without servers.
    pub fn source_owners(&self, size: usize) -> Vec<u32> {
        source_table(&self.slots, size).owners().to_vec()
    }

    /// A server for a connection from `source`, none of `tried`; `None`: nobody is left.
    ///
    /// `ticket` is a random number of the caller's. The caller counts the connection in
    /// [`super::ServerCounters::active`] before it picks for the next one. Does not allocate.
    pub fn pick(&self, source: IpAddr, ticket: u64, tried: &[&Arc<Server>]) -> Option<&Arc<Server>> {
        self.pick_where(source, ticket, |server| !tried.iter().any(|tried| Arc::ptr_eq(tried, server)))
    }

    /// As [`Roster::pick`], among those servers that `accept` takes.
    pub fn pick_where(
        &self,
        source: IpAddr,
        ticket: u64,
        accept: impl Fn(&Arc<Server>) -> bool,
    ) -> Option<&Arc<Server>> {
        let accepted = |index: usize| accept(&self.slots[index].server);
        let candidates =
            self.slots.iter().enumerate().filter(|(_, slot)| accept(&slot.server)).map(|(index, slot)| {
                let active = slot.server.counters.active.load(Ordering::Relaxed);
                (index, Load { weight: slot.weight, active })
            });
        let index = match &self.way {
            Way::LeastConnections => balance::least_loaded(candidates, ticket),
            Way::RandomTwo => balance::better_of_two(candidates, ticket),
            Way::RoundRobin { schedule, turn } => {
                let scheduled = schedule.turn(next_turn(turn, schedule.turns(), ticket));
                // Whoever cannot have its turn leaves it to all others, not only to the next in line.
                scheduled.filter(|&index| accepted(index)).or_else(|| balance::weighted(candidates, ticket))
            }
            Way::Source(table) => table.pick(source, accepted),
        };
        index.map(|index| &self.slots[index].server)
    }
}

impl fmt::Debug for Roster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares = self.slots.iter().map(|slot| (&slot.server.name, slot.weight));
        formatter.write_fmt(format_args!("{:?} ", self.balance))?;
        formatter.debug_map().entries(shares).finish()
    }
}

/// Rosters are published often while servers come and go. Each begins somewhere in its schedule, by the first
/// ticket: begun at the front, the first server would get more than its share.
fn next_turn(turn: &AtomicU64, turns: usize, ticket: u64) -> u64 {
    let number = turn.fetch_add(1, Ordering::Relaxed);
    if number > 0 {
        return number;
    }
    let start = ticket % (turns as u64).max(1);
    turn.store(start + 1, Ordering::Relaxed);
    start
}

fn source_table(slots: &[Slot], size: usize) -> SourceTable {
    let ranks: Vec<Rank> = slots
        .iter()
        .map(|slot| Rank::new(&slot.server.name, slot.server.address.ip(), slot.weight))
        .collect();
    SourceTable::new(&ranks, size)
}

#[cfg(test)]
mod tests;
