//! The query log: the latest questions of each client, in memory, off unless the site file switches it on.
//!
//! Each serving thread writes a log of its own, so that none waits for another; in it each client has a ring of its
//! own, so that a busy one pushes out nobody's questions but its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use faros_common::events::rfc3339;
use serde_json::{Value, json};

use super::client::{Client, Transport};
use crate::protocol::code::rcode;
use crate::protocol::name::{NAME_BYTES_MAX, write_text};
use crate::protocol::time::Now;
use crate::site_zones::Source;
use crate::zone::mnemonic;

/// Entries that each thread keeps of one client; the oldest gives way.
const CLIENT_ENTRIES: usize = 64;
/// Clients that each thread keeps entries of. Beyond, those give way that asked only once, then those that have been
/// silent for longest.
const CLIENTS: usize = SETS * WAYS;
/// Entries that each thread keeps at most.
pub const RING_ENTRIES: usize = CLIENTS * CLIENT_ENTRIES;

/// Each client has its place in one of so many sets,
const SETS: usize = 64;
/// which have so many places each.
const WAYS: usize = 4;

/// One question and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    now: Now,
    client: SocketAddr,
    transport: Transport,
    name: [u8; NAME_BYTES_MAX],
    name_len: u8,
    kind: u16,
    rcode: u16,
    source: Source,
    /// How long it waited, where it did.
    micros: u32,
}

impl Entry {
    /// The question for the records of type `kind` of the name with wire form `name`, and its answer.
    pub fn new(client: &Client, name: &[u8], kind: u16, rcode: u16, source: Source, now: Now) -> Self {
        let mut copy = [0; NAME_BYTES_MAX];
        let name_len = name.len().min(NAME_BYTES_MAX);
        copy[..name_len].copy_from_slice(&name[..name_len]);
        Self {
            now,
            client: client.address,
            transport: client.transport,
            name: copy,
            name_len: name_len as u8,
            kind,
            rcode,
            source,
            micros: 0,
        }
    }

    /// The same, after having waited.
    #[must_use]
    pub fn after(self, micros: u128) -> Self {
        Self { micros: u32::try_from(micros).unwrap_or(u32::MAX), ..self }
    }

    /// The entry as `GET /queries` shows it.
    pub fn to_json(&self) -> Value {
        let mut name = String::new();
        let _ = write_text(&self.name[..usize::from(self.name_len)], &mut name);
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(self.now.wall_secs);
        json!({
            "time": rfc3339(time),
            "client": self.client.ip().to_canonical(),
            "port": self.client.port(),
            "transport": self.transport.name(),
            "name": name,
            "type": mnemonic(self.kind).to_string(),
            "rcode": rcode::mnemonic(self.rcode),
            "source": self.source,
            "micros": self.micros,
        })
    }
}

/// The latest questions of one thread.
#[derive(Debug, Default)]
pub struct Ring {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Sets of places, one after the other; none before the first entry.
    places: Vec<Place>,
    /// Counts the entries, to tell who has been silent for how long.
    clock: u64,
}

/// One client's ring.
#[derive(Debug, Default)]
struct Place {
    client: Option<IpAddr>,
    heard: u64,
    entries: Vec<Entry>,
    next: usize,
}

impl Ring {
    /// Keeps an entry, in the place of its client's oldest where there is no other.
    pub fn push(&self, entry: Entry) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        if inner.places.is_empty() {
            inner.places.resize_with(CLIENTS, Place::default);
        }
        inner.clock += 1;
        let client = entry.client.ip().to_canonical();
        let set = set_of(client) * WAYS;
        let place = Place::of(&mut inner.places[set..set + WAYS], client);
        place.heard = inner.clock;
        place.push(entry);
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&self) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = Inner::default();
    }

    fn collect(&self, wanted: &dyn Fn(&Entry) -> bool, into: &mut Vec<Entry>) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = inner.places.iter().flat_map(|place| &place.entries);
        into.extend(entries.filter(|entry| wanted(entry)));
    }
}

impl Place {
    /// The place of `client` in its set, made free where it had none.
    fn of(set: &mut [Self], client: IpAddr) -> &mut Self {
        let known = set.iter().position(|place| place.client == Some(client));
        // Whoever asked only once may be one of many made-up addresses.
        let weight = |place: &Self| (place.entries.len().min(2), place.heard);
        let oldest = || (0..set.len()).min_by_key(|at| weight(&set[*at])).unwrap_or(0);
        let place = &mut set[known.unwrap_or_else(oldest)];
        if known.is_none() {
            *place =
                Self { client: Some(client), entries: std::mem::take(&mut place.entries), ..Self::default() };
            place.entries.clear();
        }
        place
    }

    fn push(&mut self, entry: Entry) {
        match self.entries.get_mut(self.next) {
            Some(place) => *place = entry,
            None => self.entries.push(entry),
        }
        self.next = (self.next + 1) % CLIENT_ENTRIES;
    }
}

fn set_of(client: IpAddr) -> usize {
    let bits = match client {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        IpAddr::V6(address) => {
            let bits = u128::from(address);
            (bits >> 64) as u64 ^ bits as u64
        }
    };
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % SETS
}

/// The latest entries of all rings for which `wanted` says so, newest first, at most `limit`.
pub(super) fn latest(rings: &[Arc<Ring>], wanted: impl Fn(&Entry) -> bool, limit: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    for ring in rings {
        ring.collect(&wanted, &mut entries);
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.now.mono_millis));
    entries.truncate(limit);
    entries
}

/// Whether an entry is about `name` in wire form, in any case.
pub fn is_about(entry: &Entry, name: &[u8]) -> bool {
    entry.name[..usize::from(entry.name_len)].eq_ignore_ascii_case(name)
}

/// Whether `client` asked.
pub fn is_from(entry: &Entry, client: IpAddr) -> bool {
    entry.client.ip().to_canonical() == client
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::name::Name;

    /// The question with number `millis` of a client.
    fn entry(client: [u8; 4], millis: u64) -> Entry {
        let client = Client { address: SocketAddr::new(client.into(), 53000), ..Client::admin() };
        let name = Name::parse("www.example.").unwrap();
        let now = Now { mono_millis: millis, wall_secs: 0 };
        Entry::new(&client, name.as_wire(), 1, rcode::NOERROR, Source::Zone, now)
    }

    #[test]
    fn the_newest_of_all_rings_are_kept() {
        let rings = [Arc::<Ring>::default(), Arc::default()];
        for millis in 0..2 * CLIENT_ENTRIES as u64 + 10 {
            rings[millis as usize % 2].push(entry([192, 0, 2, 1], millis));
        }
        let found = latest(&rings, |_| true, 3);
        let millis: Vec<u64> = found.iter().map(|entry| entry.now.mono_millis).collect();
        let newest = 2 * CLIENT_ENTRIES as u64 + 9;
        assert_eq!(millis, [newest, newest - 1, newest - 2]);
        let all = latest(&rings, |_| true, usize::MAX);
        assert_eq!(all.len(), 2 * CLIENT_ENTRIES);
        assert!(all.iter().all(|entry| entry.now.mono_millis >= 10), "the oldest gave way");
        assert_eq!(found[0].to_json()["name"], "www.example.");
        assert!(is_about(&found[0], Name::parse("WWW.example.").unwrap().as_wire()));
        assert!(latest(&rings, |entry| entry.kind == 2, 9).is_empty());
        rings.iter().for_each(|ring| ring.clear());
        assert!(latest(&rings, |_| true, usize::MAX).is_empty());
    }

    #[test]
    fn a_busy_client_pushes_out_only_its_own_questions() {
        let rings = [Arc::<Ring>::default()];
        let quiet: Vec<[u8; 4]> = (1..=20).map(|host| [192, 0, 2, host]).collect();
        quiet.iter().for_each(|client| rings[0].push(entry(*client, 0)));
        (0..100_000).for_each(|millis| rings[0].push(entry([192, 0, 2, 99], millis)));
        for client in quiet {
            assert_eq!(latest(&rings, |entry| is_from(entry, client.into()), 9).len(), 1);
        }
        assert_eq!(latest(&rings, |_| true, usize::MAX).len(), 20 + CLIENT_ENTRIES);
    }

    #[test]
    fn made_up_clients_push_out_nobody_who_asks_again_and_keep_to_the_bound() {
        let rings = [Arc::<Ring>::default()];
        let node = [192, 0, 2, 1];
        (0..2).for_each(|millis| rings[0].push(entry(node, millis)));
        for number in 0..100_000_u32 {
            rings[0].push(entry(number.to_be_bytes(), 5));
        }
        assert_eq!(latest(&rings, |entry| is_from(entry, node.into()), 9).len(), 2);
        let all = latest(&rings, |_| true, usize::MAX).len();
        assert!(all > CLIENTS / 2 && all <= CLIENTS + 1, "{all}");
        let capacity = |ring: &Ring| -> usize {
            ring.inner.lock().unwrap().places.iter().map(|place| place.entries.capacity()).sum()
        };
        for _ in 0..CLIENT_ENTRIES + 1 {
            (0..=u8::MAX).for_each(|host| rings[0].push(entry([198, 51, 100, host], 6)));
        }
        assert!(capacity(&rings[0]) <= RING_ENTRIES, "{}", capacity(&rings[0]));
    }
}
