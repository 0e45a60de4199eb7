mod model;
mod room;
mod rules;

use super::shard::Shard;
use super::*;
use crate::protocol::body::Written;
use crate::protocol::code::rcode;

/// A name of the test's own.
pub(super) fn name(text: &str) -> LowerName {
    LowerName::of(Name::parse(text).unwrap().as_wire())
}

pub(super) fn key(name: &LowerName, kind: u16) -> Key<'_> {
    Key { name, kind, dnssec_ok: false, checking_disabled: false }
}

pub(super) fn at(mono_secs: u64) -> Now {
    Now { mono_millis: mono_secs * 1000, wall_secs: 1_800_000_000 + mono_secs }
}

/// A record whose owner is the question's name.
fn record(kind: u16, ttl: u32, rdata: &[u8]) -> Vec<u8> {
    let length = (rdata.len() as u16).to_be_bytes();
    [&[0xc0, 12][..], &kind.to_be_bytes(), &[0, 1], &ttl.to_be_bytes(), &length, rdata].concat()
}

/// A body of records in answer, authority and additional section.
pub(super) fn body(rcode: u16, sections: [&[Vec<u8>]; 3]) -> Body {
    let mut bytes = Vec::new();
    let mut ttls = Vec::new();
    let mut additional_at = 0;
    for (section, records) in sections.iter().enumerate() {
        if section == 2 {
            additional_at = bytes.len() as u32;
        }
        for record in *records {
            ttls.push(bytes.len() as u16 + 6);
            bytes.extend_from_slice(record);
        }
    }
    Body {
        rcode,
        authoritative: true,
        authentic: false,
        answers: sections[0].len() as u16,
        authorities: sections[1].len() as u16,
        additionals: sections[2].len() as u16,
        bytes: bytes.into(),
        additional_at,
        ttls: ttls.into(),
    }
}

/// An answer of one record, which `id` tells from others.
pub(super) fn positive(kind: u16, ttl: u32, id: u32) -> Body {
    body(rcode::NOERROR, [&[record(kind, ttl, &id.to_be_bytes())], &[], &[]])
}

fn soa(ttl: u32, minimum: u32, id: u32) -> Vec<u8> {
    let numbers = [id, 2, 3, 4, minimum].map(u32::to_be_bytes).concat();
    record(kind::SOA, ttl, &[&[0, 0][..], &numbers].concat())
}

/// A denial, which `id` tells from others.
pub(super) fn denial(rcode: u16, ttl: u32, id: u32) -> Body {
    body(rcode, [&[], &[soa(ttl, ttl, id)], &[]])
}

/// What is given out, and its octets.
pub(super) fn ask(cache: &Cache, key: &Key<'_>, now: Now, allow_stale: bool) -> (Hit, Vec<u8>) {
    let mut out = [0xee; 2048];
    let hit = cache.answer(key, now, allow_stale, &mut out);
    let len = match hit {
        Hit::Fresh { written: Ok(written), .. } | Hit::Stale { written: Ok(written), .. } => written.len,
        _ => 0,
    };
    assert!(out[len..].iter().all(|byte| *byte == 0xee), "nothing is written beyond the body");
    (hit, out[..len].to_vec())
}

/// The id and the TTL of the only record.
pub(super) fn read(octets: &[u8]) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(octets[at..at + 4].try_into().unwrap());
    let rdata = 12;
    let id = if octets[2..4] == kind::SOA.to_be_bytes() { number(rdata + 2) } else { number(rdata) };
    (id, number(6))
}

impl Cache {
    /// Panics where tables, queues and counts contradict each other, or the bound is broken.
    pub(super) fn check(&self) {
        for lane in &self.shards {
            lane.lock().check();
        }
    }
}

impl Shard {
    fn check(&self) {
        let stats = self.stats();
        assert!(stats.bytes <= stats.bytes_max, "{} bytes, {} at most", stats.bytes, stats.bytes_max);
        let mut lens = [0; 4];
        let mut bytes = [0; 4];
        for (at, slot) in self.slots.slots.iter().enumerate() {
            let Some(entry) = &slot.entry else { continue };
            let found = self.slots.find(slot.hash, entry.name(), entry.sort);
            assert_eq!(found, Some(at as u32), "every entry is found where it is");
            lens[slot.place as usize] += 1;
            bytes[slot.place as usize] += entry.bytes();
        }
        let mut listed = self.listed.clone();
        listed.sort_unstable();
        let marked = (0..).zip(&self.slots.slots).filter(|(_, slot)| slot.listed);
        assert_eq!(listed, marked.map(|(at, _)| at).collect::<Vec<u32>>(), "listed once each");
        let queues = self.queues;
        assert_eq!(queues.map(|queue| queue.len), lens);
        assert_eq!(queues.map(|queue| queue.bytes), bytes);
        assert_eq!(self.slots.len(), lens.iter().sum::<usize>());
        for queue in queues {
            let (mut at, mut seen) = (queue.oldest, 0);
            while let Some(slot) = self.slots.slots.get(at as usize) {
                (at, seen) = (slot.newer, seen + 1);
                assert!(seen <= queue.len, "a queue ends");
            }
            assert_eq!(seen, queue.len);
        }
    }
}
