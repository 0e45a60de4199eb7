//! Sessions by number, in one piece of memory; a number that is used again is told apart by its generation.

/// Which entry: stays unique while the entry lives and long after, so that an event of a closed socket hits nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// Bits of an event's number that tell the socket of the session.
const LEG_BITS: u32 = 8;
/// Entries of one slab at most: what is left of the lower half of an event's number.
pub(super) const CAPACITY: u32 = 1 << (32 - LEG_BITS);

impl Key {
    /// The number that epoll gives back for the socket `leg` of this entry.
    pub(super) fn token(self, leg: u8) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index << LEG_BITS) | u64::from(leg)
    }

    /// The entry and its socket, from the number that epoll gave back.
    pub(super) fn from_token(token: u64) -> (Self, u8) {
        let low = token as u32;
        (Self { index: low >> LEG_BITS, generation: (token >> 32) as u32 }, low as u8)
    }
}

/// Entries by [`Key`].
pub(super) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }

    /// Entries now.
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty() || self.entries.len() < CAPACITY as usize
    }

    /// Makes an entry; the caller has seen that there [is room](Self::has_room).
    pub(super) fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry { generation: 0, value: None });
            (self.entries.len() - 1) as u32
        });
        let entry = &mut self.entries[index as usize];
        let key = Key { index, generation: entry.generation };
        entry.value = Some(make(key));
        key
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation == key.generation { entry.value.as_mut() } else { None }
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    /// The key of the entry at `index`, if there is one.
    pub(super) fn key_at(&self, index: u32) -> Option<Key> {
        let entry = self.entries.get(index as usize)?;
        entry.value.as_ref().map(|_| Key { index, generation: entry.generation })
    }

    /// All entries.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| {
            let key = Key { index: index as u32, generation: entry.generation };
            entry.value.as_ref().map(|value| (key, value))
        })
    }

    /// Octets that the entries take.
    pub(super) fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<T>>() + self.free.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_former_entry_hits_nobody() {
        let mut slab = Slab::new();
        let first = slab.insert_with(|_| "first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert_with(|_| "second");
        assert_eq!(second.index, first.index);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut "second"));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn a_token_gives_key_and_leg_back() {
        let key = Key { index: CAPACITY - 1, generation: u32::MAX };
        assert_eq!(Key::from_token(key.token(200)), (key, 200));
        let key = Key { index: 0, generation: 7 };
        assert_eq!(Key::from_token(key.token(0)), (key, 0));
    }
}
