//! The answer to a question: the algorithm of RFC 1034 section 4.3.2, over answers made before.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Zone;
use super::chain::Chain;
use super::tree::{Role, seed};
use crate::protocol::body::{TooLong, Written};
use crate::protocol::code::kind;
use crate::protocol::message::Question;
use crate::protocol::name::{LowerName, Name, hash};

/// An answer out of our zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What was written.
    pub written: Written,
    /// The target of a CNAME or DNAME record that leads out of our zones, or below a delegation: for clients that may
    /// have recursion the answer goes on there.
    pub chase: Option<Name>,
    /// The name, or the end of a chain of aliases, is delegated to other servers: the authority section tells
    /// which. Clients that may have recursion want the answer instead.
    pub referral: bool,
}

/// All zones that this server is authoritative for; immutable.
#[derive(Debug)]
pub struct Snapshot {
    zones: Box<[Arc<Zone>]>,
    seed: u64,
    /// The zones by the hash of their apex; open addressing, at most half full.
    slots: Box<[Option<(u64, u32)>]>,
    /// How many labels apexes have: each number once, the largest first.
    depths: Box<[Depth]>,
}

/// The apexes with so many labels.
#[derive(Debug)]
struct Depth {
    labels: u8,
    /// A bit for each length of theirs, modulo 64: what has another one need not be searched for.
    lengths: u64,
}

impl Depth {
    fn bit(name: &[u8]) -> u64 {
        1 << (name.len() & 63)
    }
}

impl Snapshot {
    /// Puts zones together. Of several with the same apex the last one goes.
    pub fn new(mut zones: Vec<Arc<Zone>>) -> Self {
        let seed = seed();
        let mut slots = vec![None; (zones.len() * 2).next_power_of_two().max(2)];
        let mask = slots.len() - 1;
        let mut depths = BTreeMap::<u8, u64>::new();
        let mut count = 0;
        for number in 0..zones.len() {
            let apex = LowerName::of(zones[number].origin().as_wire());
            let hash = hash(apex.as_wire(), seed);
            let mut at = hash as usize & mask;
            while let Some((_, other)) = slots[at]
                && zones[other as usize].origin() != zones[number].origin()
            {
                at = (at + 1) & mask;
            }
            if let Some((_, other)) = slots[at] {
                zones.swap(other as usize, number);
                continue;
            }
            slots[at] = Some((hash, count as u32));
            zones.swap(count, number);
            count += 1;
            *depths.entry(apex.label_count() as u8).or_default() |= Depth::bit(apex.as_wire());
        }
        zones.truncate(count);
        let depths = depths.into_iter().rev().map(|(labels, lengths)| Depth { labels, lengths }).collect();
        Self { zones: zones.into(), seed, slots: slots.into(), depths }
    }

    /// The zone with this apex.
    pub fn zone(&self, origin: &Name) -> Option<&Arc<Zone>> {
        let apex = LowerName::of(origin.as_wire());
        self.apex(apex.as_wire(), hash(apex.as_wire(), self.seed))
    }

    /// All zones.
    pub fn zones(&self) -> impl ExactSizeIterator<Item = &Arc<Zone>> {
        self.zones.iter()
    }

    /// The zone that is the closest to a name: the one that answers for it.
    pub fn zone_of(&self, name: &LowerName) -> Option<&Arc<Zone>> {
        self.find(name, kind::ANY).map(|(zone, _)| zone)
    }

    /// Whether a name in a zone of ours is at or below a delegation, so that others answer for it.
    pub fn is_delegated(&self, name: &LowerName) -> bool {
        let Some((zone, hash)) = self.find(name, kind::ANY) else { return false };
        let node = zone.tree.node(name.as_wire(), hash);
        node.unwrap_or_else(|| zone.tree.encloser(name).node).role == Role::Cut
    }

    /// Writes the answer to a question of class IN, or `None` when its name is in no zone of ours.
    ///
    /// `out[0]` is the octet behind the question, whose name stands at octet 12 of the message. `name` is the
    /// question's name. An additional section that does not fit is left out, unless it is a referral's glue
    /// (RFC 9471). The zones are not signed: `_dnssec_ok` changes nothing.
    ///
    /// The address records of a name take turns in being the first, from call to call of a thread.
    pub fn answer(
        &self,
        question: &Question<'_>,
        name: &LowerName,
        _dnssec_ok: bool,
        out: &mut [u8],
    ) -> Option<Result<Answered, TooLong>> {
        let (zone, hash) = self.find(name, question.kind)?;
        let tree = &zone.tree;
        if let Some(node) = tree.node(name.as_wire(), hash)
            && matches!(node.role, Role::Plain | Role::Redirect)
            && let Some(template) = tree.template(node, question.kind)
        {
            return Some(tree.arena.copy(template, out).map(|len| Answered {
                written: template.written(len),
                chase: None,
                referral: false,
            }));
        }
        Some(Chain::new(self, question, out).answer(zone, hash, name))
    }

    /// The closest zone, and the hash of the whole name. DS is asked of the zone above a delegation, if that
    /// is ours as well (RFC 4035 section 3.1.4.1).
    pub(super) fn find(&self, name: &LowerName, kind: u16) -> Option<(&Arc<Zone>, u64)> {
        let whole = hash(name.as_wire(), self.seed);
        let count = name.label_count();
        let mut own = None;
        for depth in &self.depths {
            let Depth { labels, lengths } = *depth;
            let depth = usize::from(labels);
            if depth > count {
                continue;
            }
            let suffix = name.suffix(count - depth);
            if lengths & Depth::bit(suffix) == 0 {
                continue;
            }
            let hash = if depth == count { whole } else { hash(suffix, self.seed) };
            if let Some(zone) = self.apex(suffix, hash) {
                if !zone.claims(name, whole) {
                    return None;
                }
                match own {
                    // A zone above without such a delegation, one of RFC 6303 say, would deny the whole name.
                    Some(own) if zone.tree.node(name.as_wire(), whole).is_none() => return Some(own),
                    None if kind == kind::DS && depth == count => own = Some((zone, whole)),
                    _ => return Some((zone, whole)),
                }
            }
        }
        own
    }

    fn apex(&self, name: &[u8], hash: u64) -> Option<&Arc<Zone>> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while let Some((other, number)) = self.slots[at] {
            let zone = &self.zones[number as usize];
            if other == hash && zone.tree.apex() == name {
                return Some(zone);
            }
            at = (at + 1) & mask;
        }
        None
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}
