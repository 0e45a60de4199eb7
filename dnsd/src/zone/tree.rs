//! The names of a zone that answers can come from, in a hash table.
//!
//! Every name between the apex and a name with records is there, also when it has none itself (an empty
//! non-terminal); names below a delegation or a DNAME are not, because nothing is answered from them. So
//! whether a name exists can be told from its presence, and the closest encloser is the longest suffix present.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

use super::rdata::name_at;
use super::template::{Arena, Template};
use crate::protocol::code::kind;
use crate::protocol::name::{LowerName, hash};

/// What a name means for questions that reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It has records, or names below it.
    Plain,
    /// It has a CNAME record, which is its first template.
    Alias,
    /// It is delegated: the first template is the referral, of type NS.
    Cut,
    /// It has a DNAME record: names below it are others.
    Redirect,
}

/// The type of a leading template that answers no type: 0 is reserved (RFC 6895 section 3.1).
pub(super) const LEADING: u16 = 0;
/// Stands for no node.
pub(super) const NONE: u32 = u32::MAX;

/// A name of the zone.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) name_at: u32,
    /// Where the target of its CNAME or DNAME stands among the names.
    pub(super) target_at: u32,
    pub(super) templates_at: u32,
    /// The node of its wildcard, or [`NONE`].
    pub(super) wildcard: u32,
    pub(super) template_count: u16,
    pub(super) name_len: u8,
    pub(super) labels: u8,
    pub(super) role: Role,
}

/// What the closest encloser of a name is.
pub(super) struct Encloser<'t> {
    pub(super) node: &'t Node,
    pub(super) labels: usize,
}

/// The names of a zone, and its answers.
#[derive(Debug)]
pub(super) struct Tree {
    seed: u64,
    /// Open addressing, at most half full: the upper half of a hash, and the node's number plus one.
    slots: Box<[u64]>,
    nodes: Box<[Node]>,
    names: Box<[u8]>,
    templates: Box<[Template]>,
    pub(super) arena: Arena,
    /// The authority section of negative answers: the SOA record.
    pub(super) negative: Template,
    apex_labels: usize,
}

/// The parts of a tree; the first node is the apex.
pub(super) struct Parts {
    pub(super) seed: u64,
    pub(super) nodes: Vec<Node>,
    pub(super) names: Vec<u8>,
    pub(super) templates: Vec<Template>,
    pub(super) arena: Arena,
    pub(super) negative: Template,
}

impl Tree {
    pub(super) fn new(mut parts: Parts) -> Self {
        parts.arena.shrink();
        let mut tree = Self {
            seed: parts.seed,
            slots: vec![0; (parts.nodes.len() * 2).next_power_of_two()].into(),
            apex_labels: parts.nodes.first().map_or(0, |apex| apex.labels.into()),
            nodes: parts.nodes.into(),
            names: parts.names.into(),
            templates: parts.templates.into(),
            arena: parts.arena,
            negative: parts.negative,
        };
        for number in 0..tree.nodes.len() {
            let hash = hash(tree.name(&tree.nodes[number]), tree.seed);
            let mut at = hash as usize & (tree.slots.len() - 1);
            while tree.slots[at] != 0 {
                at = (at + 1) & (tree.slots.len() - 1);
            }
            tree.slots[at] = hash & UPPER | (number as u64 + 1);
        }
        tree
    }

    /// The node of a name in lower case; `hash` is its hash.
    pub(super) fn node(&self, name: &[u8], hash: u64) -> Option<&Node> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if slot & UPPER == hash & UPPER {
                let node = &self.nodes[(slot & !UPPER) as usize - 1];
                if self.name(node) == name {
                    return Some(node);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// The closest encloser (RFC 4592 section 3.3.1) of a name that is below the apex and not in the tree.
    ///
    /// A name's ancestors up to the apex are in the tree if it is, so that halving finds it: the deepest of
    /// hostile names costs seven steps.
    pub(super) fn encloser(&self, name: &LowerName) -> Encloser<'_> {
        let count = name.label_count();
        let ancestor = |labels: usize| {
            let suffix = name.suffix(count - labels);
            self.node(suffix, hash(suffix, self.seed)).map(|node| Encloser { node, labels })
        };
        // Mostly it is the parent.
        if count > self.apex_labels
            && let Some(parent) = ancestor(count - 1)
        {
            return parent;
        }
        let mut best = Encloser { node: &self.nodes[0], labels: self.apex_labels };
        let mut absent = count.saturating_sub(1);
        while best.labels + 1 < absent {
            let middle = best.labels.midpoint(absent);
            match ancestor(middle) {
                Some(found) => best = found,
                None => absent = middle,
            }
        }
        best
    }

    /// Whether a name has records besides SOA and NS, or gets some from a wildcard or a DNAME.
    pub(super) fn has_data(&self, name: &LowerName, hash: u64) -> bool {
        match self.node(name.as_wire(), hash) {
            Some(node) => {
                let mut templates = self.templates_of(node).iter();
                templates.any(|template| !matches!(template.kind, kind::SOA | kind::NS))
            }
            None => {
                let encloser = self.encloser(name).node;
                encloser.role == Role::Redirect || self.wildcard(encloser).is_some()
            }
        }
    }

    /// The node that answers for names below `node` that do not exist.
    pub(super) fn wildcard(&self, node: &Node) -> Option<&Node> {
        self.nodes.get(node.wildcard as usize)
    }

    /// The answer of a name to a type. To ANY it is the shortest (RFC 8482 section 4.1).
    pub(super) fn template(&self, node: &Node, kind: u16) -> Option<&Template> {
        let templates = self.templates_of(node);
        match kind {
            LEADING => None,
            kind::ANY => templates
                .iter()
                .filter(|template| template.kind != LEADING)
                .min_by_key(|template| self.arena.octets(template).len()),
            kind => templates.iter().find(|template| template.kind == kind),
        }
    }

    fn templates_of(&self, node: &Node) -> &[Template] {
        let at = node.templates_at as usize;
        &self.templates[at..at + usize::from(node.template_count)]
    }

    /// The template that goes for all types: of a CNAME or DNAME record, or the referral.
    pub(super) fn leading(&self, node: &Node) -> Option<&Template> {
        self.templates_of(node).first()
    }

    /// Where the CNAME or DNAME record of a node leads, in wire form.
    pub(super) fn target(&self, node: &Node) -> &[u8] {
        name_at(&self.names, node.target_at as usize)
    }

    /// The apex in lower case.
    pub(super) fn apex(&self) -> &[u8] {
        self.nodes.first().map_or(&[], |apex| self.name(apex))
    }

    fn name(&self, node: &Node) -> &[u8] {
        let at = node.name_at as usize;
        &self.names[at..at + usize::from(node.name_len)]
    }
}

/// What hashes of names begin with, for all zones of the process: tables outside cannot be aimed at.
pub(super) fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| RandomState::new().build_hasher().finish())
}

const UPPER: u64 = 0xffff_ffff_0000_0000;
