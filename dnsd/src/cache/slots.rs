//! The table of one shard: entries in slots, found through chains of slots with the same bucket.

use super::entry::{Entry, Sort};
use super::queue::{NONE, Place};

/// Slots that a table grows by at least.
const GROWTH_MIN: usize = 16;

/// A place for one entry.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) hash: u32,
    /// The next slot of the same bucket, or the next free one.
    chain: u32,
    pub(super) older: u32,
    pub(super) newer: u32,
    pub(super) place: Place,
    /// How often the entry was wanted lately, up to a small number.
    pub(super) frequency: u8,
    /// The slot is in the list of what is to be saved.
    pub(super) listed: bool,
    pub(super) entry: Option<Entry>,
}

/// Memory of one slot and of what belongs to it: its places in `buckets`, `ghosts` and the list of what is to be saved.
const SLOT_BYTES: usize = size_of::<Slot>() + size_of::<u32>();
const BUCKET_BYTES: usize = 2 * size_of::<u32>();
/// Memory of the table that each entry is charged with where shares are concerned, in bytes.
pub(super) const SHARE_BYTES: usize = SLOT_BYTES + 2 * BUCKET_BYTES;

/// Entries by name and sort.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) slots: Vec<Slot>,
    free: u32,
    len: usize,
    buckets: Vec<u32>,
    /// Hashes of entries that left lately, each in its bucket until another one takes it.
    ghosts: Vec<u32>,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            len: 0,
            buckets: vec![NONE; GROWTH_MIN],
            ghosts: vec![0; GROWTH_MIN],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The memory of the table itself, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * SLOT_BYTES + self.buckets.len() * BUCKET_BYTES
    }

    /// How many bytes more the table takes after the next [`insert`](Self::insert).
    pub(super) fn growth(&self) -> usize {
        if self.free != NONE || self.slots.len() < self.slots.capacity() {
            return 0;
        }
        let buckets = if self.len >= self.buckets.len() { self.buckets.len() } else { 0 };
        self.step() * SLOT_BYTES + buckets * BUCKET_BYTES
    }

    fn step(&self) -> usize {
        (self.slots.capacity() / 4).max(GROWTH_MIN)
    }

    pub(super) fn get(&self, at: u32) -> Option<&Entry> {
        self.slots.get(at as usize)?.entry.as_ref()
    }

    pub(super) fn find(&self, hash: u32, name: &[u8], sort: Sort) -> Option<u32> {
        let mut at = self.buckets[self.bucket(hash)];
        while let Some(slot) = self.slots.get(at as usize) {
            let same = |entry: &Entry| entry.sort == sort && entry.name() == name;
            if slot.hash == hash && slot.entry.as_ref().is_some_and(same) {
                return Some(at);
            }
            at = slot.chain;
        }
        None
    }

    /// Puts an entry in, in no queue yet. An equal one is not there.
    pub(super) fn insert(&mut self, hash: u32, entry: Entry, place: Place) -> u32 {
        if self.free == NONE && self.slots.len() == self.slots.capacity() {
            self.grow();
        }
        let bucket = self.bucket(hash);
        let chain = self.buckets[bucket];
        let slot = Slot {
            hash,
            chain,
            older: NONE,
            newer: NONE,
            place,
            frequency: 0,
            listed: false,
            entry: Some(entry),
        };
        let at = match self.slots.get_mut(self.free as usize) {
            Some(free) => {
                let at = self.free;
                self.free = free.chain;
                *free = Slot { listed: free.listed, ..slot };
                at
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        };
        self.buckets[bucket] = at;
        self.len += 1;
        at
    }

    /// Takes an entry out, which has left its queue.
    pub(super) fn remove(&mut self, at: u32) -> Option<Entry> {
        let slot = self.slots.get_mut(at as usize)?;
        let entry = slot.entry.take()?;
        let (hash, chain) = (slot.hash, slot.chain);
        slot.chain = self.free;
        self.free = at;
        let bucket = self.bucket(hash);
        if self.buckets[bucket] == at {
            self.buckets[bucket] = chain;
        } else {
            let mut before = self.buckets[bucket];
            while let Some(slot) = self.slots.get_mut(before as usize) {
                if slot.chain == at {
                    slot.chain = chain;
                    break;
                }
                before = slot.chain;
            }
        }
        self.len -= 1;
        Some(entry)
    }

    /// Remembers that this entry left.
    pub(super) fn haunt(&mut self, at: u32) {
        let hash = self.slots[at as usize].hash;
        let bucket = self.bucket(hash);
        self.ghosts[bucket] = hash;
    }

    /// Whether an entry with this hash left lately. Forgets it.
    pub(super) fn exorcise(&mut self, hash: u32) -> bool {
        let bucket = self.bucket(hash);
        std::mem::take(&mut self.ghosts[bucket]) == hash
    }

    fn grow(&mut self) {
        if self.len >= self.buckets.len() {
            let count = self.buckets.len() * 2;
            self.buckets = vec![NONE; count];
            self.ghosts = vec![0; count];
            for at in 0..self.slots.len() {
                let bucket = self.bucket(self.slots[at].hash);
                self.slots[at].chain = std::mem::replace(&mut self.buckets[bucket], at as u32);
            }
        }
        self.slots.reserve_exact(self.step());
    }

    fn bucket(&self, hash: u32) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }
}
