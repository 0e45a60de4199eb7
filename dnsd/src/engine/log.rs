//! The query log: the latest questions of each client, in memory, off unless the site file switches it on.
//!
//! Each serving thread writes a log of its own, so that none waits for another; in it each client has a ring of its
//! own, so that a busy one pushes out nobody's questions but its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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

/// What an entry is made from, where its name still lies in the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note<'n> {
    pub(super) now: Now,
    pub(super) client: &'n Client,
    /// The name that was asked for, in wire form.
    pub(super) name: &'n [u8],
    pub(super) kind: u16,
    pub(super) rcode: u16,
    pub(super) source: Source,
    pub(super) waited: Duration,
}

impl Entry {
    fn new(note: &Note<'_>) -> Self {
        let mut entry = Self {
            now: note.now,
            client: note.client.address,
            transport: note.client.transport,
            name: [0; NAME_BYTES_MAX],
            name_len: 0,
            kind: note.kind,
            rcode: note.rcode,
            source: note.source,
            micros: 0,
        };
        entry.set(note);
        entry
    }

    /// Makes it the entry for `note`. Of the room for the name only what is needed is touched.
    fn set(&mut self, note: &Note<'_>) {
        let Note { now, client, name, kind, rcode, source, waited } = *note;
        let len = name.len().min(NAME_BYTES_MAX);
        self.name[..len].copy_from_slice(&name[..len]);
        self.name_len = len as u8;
        (self.now, self.client, self.transport) = (now, client.address, client.transport);
        (self.kind, self.rcode, self.source) = (kind, rcode, source);
        self.micros = u32::try_from(waited.as_micros()).unwrap_or(u32::MAX);
    }

    /// The entry as `GET /queries` shows it.
    pub fn to_json(&self) -> Value {
        let mut name = String::new();
        let _ = write_text(&self.name[..usize::from(self.name_len)], &mut name);
        let time = std::time::UNIX_EPOCH + Duration::from_secs(self.now.wall_secs);
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
    pub(super) fn push(&self, note: &Note<'_>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        if inner.places.is_empty() {
            inner.places.resize_with(CLIENTS, Place::default);
        }
        inner.clock += 1;
        let client = note.client.address.ip().to_canonical();
        let set = set_of(client) * WAYS;
        let place = Place::of(&mut inner.places[set..set + WAYS], client);
        place.heard = inner.clock;
        place.push(note);
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

    fn push(&mut self, note: &Note<'_>) {
        match self.entries.get_mut(self.next) {
            Some(place) => place.set(note),
            None => self.entries.push(Entry::new(note)),
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

    /// Notes the question with number `millis` of a client.
    fn ask(ring: &Ring, client: [u8; 4], millis: u64) {
        let client = Client { address: SocketAddr::new(client.into(), 53000), ..Client::admin() };
        let name = Name::parse("www.example.").unwrap();
        ring.push(&note(&client, name.as_wire(), millis));
    }

    fn note<'n>(client: &'n Client, name: &'n [u8], millis: u64) -> Note<'n> {
        Note {
            now: Now { mono_millis: millis, wall_secs: 0 },
            client,
            name,
            kind: 1,
            rcode: rcode::NOERROR,
            source: Source::Zone,
            waited: Duration::ZERO,
        }
    }

    #[test]
    fn nothing_of_a_longer_name_is_left_in_its_place() {
        let ring = Arc::<Ring>::default();
        let client = Client::admin();
        let (long, short) = (Name::parse("a.rather.long.name.example.").unwrap(), Name::root());
        for millis in 0..CLIENT_ENTRIES as u64 {
            ring.push(&note(&client, long.as_wire(), millis));
        }
        let later = Note { waited: Duration::from_micros(7), ..note(&client, short.as_wire(), 1000) };
        ring.push(&later);
        let newest = latest(&[ring], |_| true, 1)[0];
        assert!(is_about(&newest, short.as_wire()) && !is_about(&newest, long.as_wire()));
        assert_eq!((&newest.to_json()["name"], &newest.to_json()["micros"]), (&json!("."), &json!(7)));
    }

    #[test]
    fn the_newest_of_all_rings_are_kept() {
        let rings = [Arc::<Ring>::default(), Arc::default()];
        for millis in 0..2 * CLIENT_ENTRIES as u64 + 10 {
            ask(&rings[millis as usize % 2], [192, 0, 2, 1], millis);
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
        quiet.iter().for_each(|client| ask(&rings[0], *client, 0));
        (0..100_000).for_each(|millis| ask(&rings[0], [192, 0, 2, 99], millis));
        for client in quiet {
            assert_eq!(latest(&rings, |entry| is_from(entry, client.into()), 9).len(), 1);
        }
        assert_eq!(latest(&rings, |_| true, usize::MAX).len(), 20 + CLIENT_ENTRIES);
    }

    #[test]
    fn made_up_clients_push_out_nobody_who_asks_again_and_keep_to_the_bound() {
        let rings = [Arc::<Ring>::default()];
        let node = [192, 0, 2, 1];
        (0..2).for_each(|millis| ask(&rings[0], node, millis));
        for number in 0..100_000_u32 {
            ask(&rings[0], number.to_be_bytes(), 5);
        }
        assert_eq!(latest(&rings, |entry| is_from(entry, node.into()), 9).len(), 2);
        let all = latest(&rings, |_| true, usize::MAX).len();
        assert!(all > CLIENTS / 2 && all <= CLIENTS + 1, "{all}");
        let capacity = |ring: &Ring| -> usize {
            ring.inner.lock().unwrap().places.iter().map(|place| place.entries.capacity()).sum()
        };
        for _ in 0..CLIENT_ENTRIES + 1 {
            (0..=u8::MAX).for_each(|host| ask(&rings[0], [198, 51, 100, host], 6));
        }
        assert!(capacity(&rings[0]) <= RING_ENTRIES, "{}", capacity(&rings[0]));
    }
}
