//! Queues of slots, oldest first, linked through the slots themselves: whatever leaves, from wherever, costs the
//! same.

use super::slots::Slot;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// New, and yet to prove that it is wanted more than once.
    Probation,
    /// Proven.
    Main,
    /// Denials and failures, which strangers can make any number of.
    Denials,
    /// Never evicted.
    Pinned,
}

impl Place {
    pub(super) const COUNT: usize = 4;
}

/// One queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    pub(super) oldest: u32,
    newest: u32,
    pub(super) len: usize,
    /// Memory of its entries, each with its share of the table.
    pub(super) bytes: usize,
}

impl Queue {
    pub(super) const EMPTY: Self = Self { oldest: NONE, newest: NONE, len: 0, bytes: 0 };

    /// Appends slot `at`, which is in no queue and whose entry takes `bytes`.
    pub(super) fn push(&mut self, slots: &mut [Slot], at: u32, bytes: usize) {
        slots[at as usize].older = self.newest;
        slots[at as usize].newer = NONE;
        match slots.get_mut(self.newest as usize) {
            Some(newest) => newest.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
        self.len += 1;
        self.bytes += bytes;
    }

    /// Takes slot `at` out of this queue, in which it is.
    pub(super) fn remove(&mut self, slots: &mut [Slot], at: u32, bytes: usize) {
        let (older, newer) = (slots[at as usize].older, slots[at as usize].newer);
        match slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
        match slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        self.len -= 1;
        self.bytes -= bytes;
    }
}
