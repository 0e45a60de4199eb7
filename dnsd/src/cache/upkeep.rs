//! What is done to a whole shard: pinning, flushing, saving, counting.

use super::Stats;
use super::entry::Entry;
use super::queue::Place;
use super::room::{PINNED_SHARE, PROVEN};
use super::shard::{Shard, Terms, stale_limit};

impl Shard {
    /// Pins what `pin` says, and nothing else.
    pub(super) fn pin(&mut self, mut pin: impl FnMut(&Entry) -> bool) {
        for at in 0..self.slots.slots.len() as u32 {
            let Some(entry) = self.slots.get(at) else { continue };
            let place = self.slots.slots[at as usize].place;
            let (bytes, denial) = (entry.bytes(), entry.is_denial());
            let room = self.queues[Place::Pinned as usize].bytes + bytes <= self.bytes_max / PINNED_SHARE;
            match (pin(entry), place) {
                (true, Place::Pinned) => {}
                (true, _) if room => self.requeue(at, Place::Pinned),
                (false, Place::Pinned) => self.requeue(at, if denial { Place::Denials } else { Place::Main }),
                _ => {}
            }
        }
    }

    /// Takes out what `which` says; how many.
    pub(super) fn flush(&mut self, mut which: impl FnMut(&Entry) -> bool) -> usize {
        let mut flushed = 0;
        for at in 0..self.slots.slots.len() as u32 {
            if self.slots.get(at).is_some_and(&mut which) {
                self.remove(at);
                flushed += 1;
            }
        }
        self.stats.evicted.flushed += flushed as u64;
        flushed
    }

    /// Hands `save` every entry from slot `from` on that is worth it, until it says that this is enough, and takes out
    /// what will never be wanted again. The slot to go on with; `None` at the end.
    pub(super) fn sweep(
        &mut self,
        from: u32,
        terms: Terms,
        mut save: impl FnMut(&Entry, bool) -> bool,
    ) -> Option<u32> {
        for at in from..self.slots.slots.len() as u32 {
            let slot = &mut self.slots.slots[at as usize];
            let Some(entry) = &mut slot.entry else { continue };
            if entry.is_dead(terms.now_ms, stale_limit(slot.place, terms.stale_ms)) {
                self.remove(at);
                self.stats.evicted.expired += 1;
            } else if is_worth_saving(entry, slot.place) {
                let enough = !save(entry, believed(slot.place, slot.frequency));
                saved(entry);
                if enough {
                    return Some(at + 1);
                }
            }
        }
        None
    }

    /// Hands `save` what has changed since it was last saved, until it says that this is enough. Whether it has.
    pub(super) fn changes(&mut self, pinned_only: bool, mut save: impl FnMut(&Entry, bool) -> bool) -> bool {
        let mut listed = std::mem::take(&mut self.listed);
        let mut enough = false;
        listed.retain(|&at| {
            let slot = &mut self.slots.slots[at as usize];
            let Some(entry) = slot.entry.as_mut().filter(|entry| entry.unsaved) else {
                slot.listed = false;
                return false;
            };
            let later = pinned_only && slot.place != Place::Pinned;
            if later || enough || !is_worth_saving(entry, slot.place) {
                return true;
            }
            enough = !save(entry, believed(slot.place, slot.frequency));
            saved(entry);
            slot.listed = false;
            false
        });
        self.listed = listed;
        enough
    }

    /// Forgets everything but the counts.
    pub(super) fn clear(&mut self) {
        *self = Self { stats: self.stats, ..Self::new(self.bytes_max) };
    }

    /// Everything under a name, and whether it is pinned.
    pub(super) fn under(&self, name: &[u8]) -> impl Iterator<Item = (&Entry, bool)> {
        let entries = self.slots.slots.iter().filter_map(|slot| Some((slot.entry.as_ref()?, slot.place)));
        entries
            .filter(move |(entry, _)| entry.name() == name)
            .map(|(entry, place)| (entry, place == Place::Pinned))
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            entries: self.slots.len() as u64,
            bytes: self.bytes() as u64,
            bytes_max: self.bytes_max as u64,
            pinned: self.queues[Place::Pinned as usize].len as u64,
            ..self.stats
        }
    }
}

/// A denial that nobody asked for again may be one of a flood.
fn is_worth_saving(entry: &Entry, place: Place) -> bool {
    entry.answer.is_some() && (!entry.is_denial() || entry.hits > 0 || place == Place::Pinned)
}

fn believed(place: Place, frequency: u8) -> bool {
    place == Place::Main || frequency >= PROVEN
}

fn saved(entry: &mut Entry) {
    entry.unsaved = false;
    entry.saved_expires_ms = entry.answer.map_or(i64::MIN, |answer| answer.expires_ms);
}
