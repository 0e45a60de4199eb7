//! What goes where in a shard, and what has to go when it is full.
//!
//! Room is shared by a form of S3-FIFO (Yang et al., SOSP 2023). New answers stand in a short queue on probation;
//! those that are asked for again move on to the main queue when their turn to leave comes, the others leave and
//! are remembered as ghosts, so that they are believed the next time. In the main queue an entry that was wanted
//! since it last came by gets another round. Names that are asked for once, however many, therefore only push out
//! each other. Denials and failures have a queue and a share of their own; pinned entries never leave.

use super::Evictions;
use super::entry::Entry;
use super::queue::{NONE, Place};
use super::shard::{Shard, Terms};
use super::slots::SHARE_BYTES;

/// The share of the memory that answers on probation keep under pressure: one tenth.
const PROBATION_SHARE: usize = 10;
/// The share of the memory that denials and failures may take at most: one eighth.
const DENIALS_SHARE: usize = 8;
/// The share of the memory that pinned entries may take at most: one half. Beyond, they are kept like others.
pub(super) const PINNED_SHARE: usize = 2;
/// The share of the memory that one entry may take at most: one quarter. Larger ones are not kept.
const ENTRY_SHARE: usize = 4;
/// How often an answer on probation has to be asked for to be believed.
pub(super) const PROVEN: u8 = 2;

impl Shard {
    pub(super) fn place(
        &mut self,
        hash: u32,
        entry: Entry,
        pin: bool,
        before: Option<(Place, u8)>,
        terms: Terms,
    ) -> bool {
        let bytes = entry.bytes();
        if bytes > self.bytes_max / ENTRY_SHARE {
            return false;
        }
        let pinned_max = self.bytes_max / PINNED_SHARE;
        let place = if pin && self.queues[Place::Pinned as usize].bytes + bytes <= pinned_max {
            Place::Pinned
        } else if entry.is_denial() {
            Place::Denials
        } else if self.slots.exorcise(hash) || before.is_some_and(|(place, _)| place == Place::Main) {
            Place::Main
        } else {
            Place::Probation
        };
        if place == Place::Denials {
            while self.queues[Place::Denials as usize].bytes + bytes > self.bytes_max / DENIALS_SHARE {
                if !self.evict_denial(terms) {
                    return false;
                }
            }
        }
        while self.bytes() + self.slots.growth() + bytes - SHARE_BYTES > self.bytes_max {
            if !self.evict(terms) {
                return false;
            }
        }
        let unsaved = entry.unsaved;
        let at = self.slots.insert(hash, entry, place);
        self.slots.slots[at as usize].frequency = before.map_or(0, |(_, frequency)| frequency);
        self.queues[place as usize].push(&mut self.slots.slots, at, bytes);
        if unsaved {
            self.list(at);
        }
        true
    }

    fn list(&mut self, at: u32) {
        let slot = &mut self.slots.slots[at as usize];
        if !std::mem::replace(&mut slot.listed, true) {
            self.listed.push(at);
        }
    }

    /// Makes room for one. `false`: there is nothing that could go.
    fn evict(&mut self, terms: Terms) -> bool {
        loop {
            let (probation, main) =
                (self.queues[Place::Probation as usize], self.queues[Place::Main as usize]);
            if probation.len > 0 && (main.len == 0 || probation.bytes > self.bytes_max / PROBATION_SHARE) {
                let at = probation.oldest;
                if self.is_wanted(at, PROVEN, terms) {
                    self.slots.slots[at as usize].frequency = 0;
                    self.requeue(at, Place::Main);
                    continue;
                }
                self.slots.haunt(at);
                self.leave(at, terms, |evictions| &mut evictions.unproven);
                return true;
            }
            if main.len == 0 {
                return self.evict_denial(terms);
            }
            if self.is_wanted(main.oldest, 1, terms) {
                self.slots.slots[main.oldest as usize].frequency -= 1;
                self.requeue(main.oldest, Place::Main);
                continue;
            }
            self.leave(main.oldest, terms, |evictions| &mut evictions.unused);
            return true;
        }
    }

    /// Makes room among denials and failures: the oldest that nobody wanted since it last came by leaves.
    fn evict_denial(&mut self, terms: Terms) -> bool {
        loop {
            let at = self.queues[Place::Denials as usize].oldest;
            if at == NONE {
                return false;
            }
            if self.is_wanted(at, 1, terms) {
                self.slots.slots[at as usize].frequency -= 1;
                self.requeue(at, Place::Denials);
                continue;
            }
            self.leave(at, terms, |evictions| &mut evictions.denials);
            return true;
        }
    }

    fn is_wanted(&self, at: u32, frequency: u8, terms: Terms) -> bool {
        let slot = &self.slots.slots[at as usize];
        let dead = slot.entry.as_ref().is_none_or(|entry| entry.is_dead(terms.now_ms, terms.stale_ms));
        slot.frequency >= frequency && !dead
    }

    pub(super) fn requeue(&mut self, at: u32, place: Place) {
        let slot = &mut self.slots.slots[at as usize];
        let bytes = slot.entry.as_ref().map_or(0, Entry::bytes);
        let from = std::mem::replace(&mut slot.place, place);
        self.queues[from as usize].remove(&mut self.slots.slots, at, bytes);
        self.queues[place as usize].push(&mut self.slots.slots, at, bytes);
    }

    fn leave(&mut self, at: u32, terms: Terms, counter: fn(&mut Evictions) -> &mut u64) {
        if let Some(entry) = self.remove(at) {
            let dead = entry.is_dead(terms.now_ms, terms.stale_ms);
            let evictions = &mut self.stats.evicted;
            *(if dead { &mut evictions.expired } else { counter(evictions) }) += 1;
        }
    }

    /// Changes the bound. The entries move to tables of the right size, in order, those that are believed last.
    pub(super) fn set_bytes_max(&mut self, bytes_max: usize, terms: Terms) {
        if bytes_max == self.bytes_max {
            return;
        }
        let mut old = std::mem::replace(self, Self::new(bytes_max));
        self.stats = old.stats;
        for place in [Place::Denials, Place::Probation, Place::Main, Place::Pinned] {
            loop {
                let at = old.queues[place as usize].oldest;
                let Some(slot) = old.slots.slots.get(at as usize) else { break };
                let (hash, frequency) = (slot.hash, slot.frequency);
                if let Some(entry) = old.remove(at) {
                    let before = Some((place, frequency));
                    self.place(hash, entry, place == Place::Pinned, before, terms);
                }
            }
        }
    }

    /// All memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let shares: usize = self.queues.iter().map(|queue| queue.bytes).sum();
        shares - self.slots.len() * SHARE_BYTES + self.slots.bytes()
    }
}
