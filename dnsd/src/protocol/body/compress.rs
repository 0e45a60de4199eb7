//! Name compression (RFC 1035 section 4.1.4) in time linear in what is written.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use crate::protocol::name::{self, LABELS_MAX, LowerName};

/// Offsets from here on cannot be pointed to.
const POINTER_END: usize = 0x4000;
/// The bits that make two octets a pointer.
const POINTER: u16 = 0xc000;

/// The names that a message holds so far, by their suffixes.
pub(super) struct Compressor {
    /// The hash of each suffix written out, and where it is in the message.
    suffixes: HashMap<u64, u16, BuildHasherDefault<Identity>>,
    seed: u64,
}

impl Compressor {
    pub(super) fn new() -> Self {
        Self { suffixes: HashMap::default(), seed: RandomState::new().hash_one(0) }
    }

    /// Appends a name, given in wire form, to the message: its first labels, and a pointer to the rest if the
    /// message has that already.
    pub(super) fn append(&mut self, message: &mut Vec<u8>, wire: &[u8]) {
        let lower = LowerName::of(wire);
        let labels = lower.label_count();
        let hashes = self.hashes(&lower);
        let known = (0..labels).find_map(|n| {
            let at = *self.suffixes.get(&hashes[n])?;
            is_name_at(message, usize::from(at), lower.suffix(n)).then_some((n, at))
        });
        let new_labels = known.map_or(labels, |(n, _)| n);
        for (n, hash) in hashes.iter().enumerate().take(new_labels) {
            let at = message.len() + lower.offset(n);
            if at < POINTER_END {
                self.suffixes.entry(*hash).or_insert(at as u16);
            }
        }
        message.extend_from_slice(&wire[..lower.offset(new_labels)]);
        match known {
            Some((_, at)) => message.extend_from_slice(&(POINTER | at).to_be_bytes()),
            None => message.push(0),
        }
    }

    /// The hashes of all suffixes, each made of the next one's and a label.
    fn hashes(&self, lower: &LowerName) -> [u64; LABELS_MAX] {
        let mut hashes = [0; LABELS_MAX];
        let mut hash = self.seed;
        for n in (0..lower.label_count()).rev() {
            hash = name::hash(lower.label(n), hash);
            hashes[n] = hash;
        }
        hashes
    }
}

/// Whether the name at `at`, which this module wrote, is `lower` but for case.
fn is_name_at(message: &[u8], mut at: usize, mut lower: &[u8]) -> bool {
    loop {
        let Some(&length) = message.get(at) else { return false };
        if u16::from(length) << 8 >= POINTER {
            let Some(&low) = message.get(at + 1) else { return false };
            // Strictly backwards, so that this ends.
            let target = usize::from(u16::from_be_bytes([length, low]) & !POINTER);
            if target >= at {
                return false;
            }
            at = target;
            continue;
        }
        let label = usize::from(length) + 1;
        match (message.get(at..at + label), lower.split_at_checked(label)) {
            (Some(written), Some((wanted, rest))) if written.eq_ignore_ascii_case(wanted) => lower = rest,
            _ => return false,
        }
        if length == 0 {
            return true;
        }
        at += label;
    }
}

/// The keys are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = name::hash(bytes, self.0);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
