//! One shard: what is kept and what is given out.

use super::entry::{Entry, Sort, WHOLE_NAME};
use super::failure::Failing;
use super::queue::{Place, Queue};
use super::slots::Slots;
use super::{Failure, Hit, Stats};

const FREQUENCY_MAX: u8 = 3;
/// How often an answer must have been asked for to be refreshed before it expires.
const PREFETCH_HITS: u8 = 2;
/// The last part of its life in which an answer is refreshed: one tenth.
const PREFETCH_SHARE: i64 = 10;
/// For a stale entry somebody is told to refresh it once in so many milliseconds.
const REFRESH_EVERY: i64 = 1000;

/// What a lookup goes by beside the key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) now_ms: i64,
    /// How long after its expiry an entry may be given out.
    pub(super) stale_ms: i64,
    /// Failures of other epochs are past.
    pub(super) epoch: u32,
    pub(super) allow_stale: bool,
}

#[derive(Debug)]
pub(super) struct Shard {
    pub(super) slots: Slots,
    pub(super) queues: [Queue; Place::COUNT],
    /// Slots whose entries are to be saved, each once.
    pub(super) listed: Vec<u32>,
    pub(super) bytes_max: usize,
    pub(super) stats: Stats,
}

impl Shard {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            slots: Slots::new(),
            queues: [Queue::EMPTY; Place::COUNT],
            listed: Vec::new(),
            bytes_max,
            stats: Stats::default(),
        }
    }

    /// Looks `name` up and writes what there is to `out`.
    pub(super) fn answer(&mut self, hash: u64, name: &[u8], sort: Sort, terms: Terms, out: &mut [u8]) -> Hit {
        let now_ms = terms.now_ms;
        let exact = self.slots.find(mix(hash, sort), name, sort);
        if let Some(at) = exact
            && let Some(hit) = self.fresh(at, terms, out)
        {
            return hit;
        }
        let whole = sort.whole_name();
        let denial = self.slots.find(mix(hash, whole), name, whole);
        if let Some(at) = denial
            && let Some(hit) = self.fresh(at, terms, out)
        {
            return hit;
        }
        let failing = exact.and_then(|at| self.slots.get(at)?.failing.as_deref().copied());
        let failing = failing.filter(|failing| failing.is_live(terms.epoch, now_ms));
        if failing.is_some() || terms.allow_stale {
            for at in exact.into_iter().chain(denial) {
                if let Some(hit) = self.stale(at, terms, failing.is_some(), out) {
                    return hit;
                }
            }
        }
        match failing {
            Some(failing) => {
                self.stats.failed += 1;
                failing.failure.hit()
            }
            None => {
                self.stats.misses += 1;
                Hit::Miss
            }
        }
    }

    fn fresh(&mut self, at: u32, terms: Terms, out: &mut [u8]) -> Option<Hit> {
        let slot = self.slots.slots.get_mut(at as usize)?;
        let entry = slot.entry.as_mut()?;
        let answer = entry.answer.filter(|answer| terms.now_ms < answer.expires_ms)?;
        let written = entry.write(&answer, terms.now_ms, out);
        entry.hits = entry.hits.saturating_add(1);
        slot.frequency = (slot.frequency + 1).min(FREQUENCY_MAX);
        self.stats.hits += 1;
        let left = answer.expires_ms - terms.now_ms;
        let prefetch = left * PREFETCH_SHARE <= answer.expires_ms - answer.stored_ms
            && entry.hits >= PREFETCH_HITS
            && !entry.prefetch_told
            && entry.failing.as_ref().is_none_or(|failing| !failing.is_live(terms.epoch, terms.now_ms));
        entry.prefetch_told |= prefetch;
        Some(Hit::Fresh { written, prefetch })
    }

    fn stale(&mut self, at: u32, terms: Terms, failing: bool, out: &mut [u8]) -> Option<Hit> {
        let slot = self.slots.slots.get_mut(at as usize)?;
        let entry = slot.entry.as_mut()?;
        let stale_ms = stale_limit(slot.place, terms.stale_ms);
        let answer = entry.answer.filter(|_| entry.is_usable(terms.now_ms, stale_ms))?;
        let written = entry.write(&answer, terms.now_ms, out);
        entry.hits = entry.hits.saturating_add(1);
        slot.frequency = (slot.frequency + 1).min(FREQUENCY_MAX);
        self.stats.stale += 1;
        let rested = terms.now_ms.saturating_sub(entry.refresh_told_ms) >= REFRESH_EVERY;
        let refresh = rested && !failing;
        if refresh {
            entry.refresh_told_ms = terms.now_ms;
        }
        Some(Hit::Stale { written, refresh })
    }

    /// Keeps an entry, instead of the one with the same name and sort. `false`: it does not fit.
    pub(super) fn insert(&mut self, hash: u64, mut entry: Entry, pin: bool, terms: Terms) -> bool {
        let mixed = mix(hash, entry.sort);
        let mut before = None;
        if let Some(at) = self.slots.find(mixed, entry.name(), entry.sort) {
            let (place, frequency) =
                (self.slots.slots[at as usize].place, self.slots.slots[at as usize].frequency);
            if let Some(old) = self.remove(at) {
                entry.unsaved = entry.unsaved && entry.differs_on_disk(&old);
                entry.saved_expires_ms = old.saved_expires_ms;
                before = Some((place, frequency));
            }
        }
        self.stats.inserted += 1;
        self.place(mixed, entry, pin, before, terms)
    }

    /// Puts back an entry that an earlier process has saved, instead of one that it had saved before.
    pub(super) fn restore(
        &mut self,
        hash: u64,
        entry: Entry,
        pin: bool,
        believed: bool,
        terms: Terms,
    ) -> bool {
        let mixed = mix(hash, entry.sort);
        if let Some(at) = self.slots.find(mixed, entry.name(), entry.sort) {
            self.remove(at);
        }
        let stored = |entry: &Entry| entry.answer.map(|answer| answer.stored_ms);
        if entry.sort.kind != WHOLE_NAME {
            self.remove_denials_of_name(hash, entry.name(), |denial| stored(denial) < stored(&entry));
        }
        let before = believed.then_some((Place::Main, 0));
        self.place(mixed, entry, pin, before, terms)
    }

    /// Notes a failure in the entry of `name` and `sort`, which need not have an answer.
    pub(super) fn fail(&mut self, hash: u64, name: &[u8], sort: Sort, failure: Failure, terms: Terms) {
        let mixed = mix(hash, sort);
        let at = self.slots.find(mixed, name, sort);
        let before =
            at.map(|at| (self.slots.slots[at as usize].place, self.slots.slots[at as usize].frequency));
        let mut entry = at.and_then(|at| self.remove(at)).unwrap_or_else(|| Entry::empty(sort, name));
        let failing = Failing::after(entry.failing.as_deref(), failure, terms.epoch, terms.now_ms);
        entry.failing = Some(Box::new(failing));
        entry.prefetch_told = false;
        let pin = before.is_some_and(|(place, _)| place == Place::Pinned);
        self.place(mixed, entry, pin, before, terms);
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, at: u32) -> Option<Entry> {
        let bytes = self.slots.get(at)?.bytes();
        let place = self.slots.slots[at as usize].place;
        self.queues[place as usize].remove(&mut self.slots.slots, at, bytes);
        self.slots.remove(at)
    }

    /// Takes out those denials of a whole name that `which` says: something is there.
    pub(super) fn remove_denials_of_name(&mut self, hash: u64, name: &[u8], which: impl Fn(&Entry) -> bool) {
        for variant in 0..Sort::VARIANTS {
            let sort = Sort { kind: WHOLE_NAME, variant };
            let at = self.slots.find(mix(hash, sort), name, sort);
            if let Some(at) = at.filter(|at| self.slots.get(*at).is_some_and(&which)) {
                self.remove(at);
            }
        }
    }

    /// Takes the entry of `sort` out, unless it is pinned: that one only loses its failure.
    pub(super) fn remove_unpinned(&mut self, hash: u64, name: &[u8], sort: Sort, terms: Terms) {
        let mixed = mix(hash, sort);
        let Some(at) = self.slots.find(mixed, name, sort) else { return };
        let pinned = self.slots.slots[at as usize].place == Place::Pinned;
        if let Some(mut entry) = self.remove(at)
            && pinned
        {
            entry.failing = None;
            self.place(mixed, entry, true, None, terms);
        }
    }

    /// The entry of a name and a sort.
    pub(super) fn get(&self, hash: u64, name: &[u8], sort: Sort) -> Option<&Entry> {
        self.slots.get(self.slots.find(mix(hash, sort), name, sort)?)
    }
}

/// How long after its expiry an entry in this place may be given out, in milliseconds.
pub(super) fn stale_limit(place: Place, stale_ms: i64) -> i64 {
    if place == Place::Pinned { i64::MAX } else { stale_ms }
}

/// The hash of a name together with a sort.
fn mix(hash: u64, sort: Sort) -> u32 {
    let key = hash ^ u64::from(sort.kind) << 8 ^ u64::from(sort.variant);
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}
