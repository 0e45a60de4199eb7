//! Writes templates: records with their names compressed.

use std::collections::HashMap;

use super::Record;
use super::rdata::{Field, walk};
use super::template::{
    Arena, ArenaFull, Draft, HEADER_BYTES, Pointer, Reference, Rotation, TARGET_MAX, TEMPLATE_BYTES_MAX,
    Template,
};
use crate::protocol::code::{class, kind};
use crate::protocol::name::LowerName;

/// Whose a record is.
#[derive(Clone, Copy)]
pub(super) enum Owner<'a> {
    /// The name that was asked for.
    Asked,
    /// This name, in wire form.
    Name(&'a [u8]),
}

/// Writes one template after the other; keeps its buffers.
pub(super) struct Writer {
    octets: Vec<u8>,
    pointers: Vec<Pointer>,
    /// Names that stand in the template, in lower case, and where.
    inside: HashMap<Box<[u8]>, u16>,
    base: LowerName,
    /// How many labels of `base` a question has in any case.
    shared: usize,
    sections: [u16; 3],
    additional_at: usize,
    rotation: Rotation,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            octets: Vec::new(),
            pointers: Vec::new(),
            inside: HashMap::new(),
            base: LowerName::of(&[0]),
            shared: 0,
            sections: [0; 3],
            additional_at: 0,
            rotation: Rotation::default(),
        }
    }

    /// Begins a template for questions that are `base` or below it, and that end in its last `shared` labels.
    pub(super) fn begin(&mut self, base: &LowerName, shared: usize) {
        self.octets.clear();
        self.pointers.clear();
        self.inside.clear();
        self.base = base.clone();
        self.shared = shared;
        self.sections = [0; 3];
        self.rotation = Rotation::default();
    }

    /// Writes the records of one name and type; false, and nothing written, when they do not fit.
    pub(super) fn rrset(&mut self, section: usize, owner: Owner<'_>, records: &[Record], ttl: u32) -> bool {
        let (octets, pointers) = (self.octets.len(), self.pointers.len());
        let count = records.len() as u16;
        let (mut kind, mut bytes) = (0, 0);
        for record in records {
            let at = self.octets.len();
            self.record(owner, record.kind, ttl, &record.rdata);
            (kind, bytes) = (record.kind, self.octets.len() - at);
            if self.octets.len() > TEMPLATE_BYTES_MAX {
                self.octets.truncate(octets);
                self.pointers.truncate(pointers);
                self.inside.retain(|_, place| usize::from(*place) < octets);
                return false;
            }
        }
        if section == 0 && count > 1 && matches!(kind, kind::A | kind::AAAA) {
            self.rotation = Rotation { at: octets as u16, bytes: bytes as u16, count };
        }
        self.sections[section] += count;
        true
    }

    /// What was written so far is the answer and authority sections.
    pub(super) fn begin_additional(&mut self) {
        self.additional_at = self.octets.len();
    }

    /// Puts the template into `arena`. [`begin_additional`](Self::begin_additional) came before.
    pub(super) fn finish(&mut self, kind: u16, arena: &mut Arena) -> Result<Template, ArenaFull> {
        self.prefill();
        arena.push(&Draft {
            kind,
            octets: &self.octets,
            pointers: &self.pointers,
            sections: self.sections,
            additional_at: self.additional_at,
            rotation: self.rotation,
        })
    }

    fn record(&mut self, owner: Owner<'_>, kind: u16, ttl: u32, rdata: &[u8]) {
        match owner {
            Owner::Asked => self.pointer(Reference::Whole),
            Owner::Name(name) => self.name(name, true),
        }
        self.octets.extend_from_slice(&kind.to_be_bytes());
        self.octets.extend_from_slice(&class::IN.to_be_bytes());
        self.octets.extend_from_slice(&ttl.to_be_bytes());
        let length_at = self.octets.len();
        self.octets.extend_from_slice(&[0, 0]);
        let walked = walk(kind, rdata, |field, octets| match field {
            Field::Name => self.name(octets, true),
            Field::PlainName => self.name(octets, false),
            _ => self.octets.extend_from_slice(octets),
        });
        debug_assert!(walked.is_ok(), "only proven data are written");
        let length = self.octets.len() - length_at - 2;
        self.octets[length_at..length_at + 2].copy_from_slice(&(length as u16).to_be_bytes());
    }

    fn name(&mut self, name: &[u8], compress: bool) {
        let lower = LowerName::of(name);
        let labels = lower.label_count();
        for label in 0..labels {
            let suffix = lower.suffix(label);
            if compress && let Some(reference) = self.place_of(suffix, labels - label) {
                return self.pointer(reference);
            }
            let place = self.octets.len();
            if place <= TARGET_MAX && labels - label > 0 {
                self.inside.entry(suffix.into()).or_insert(place as u16);
            }
            self.octets.extend_from_slice(&name[lower.offset(label)..lower.offset(label + 1)]);
        }
        self.octets.push(0);
    }

    fn place_of(&self, suffix: &[u8], labels: usize) -> Option<Reference> {
        let of_base = |labels: usize| self.base.suffix(self.base.label_count() - labels);
        if labels <= self.shared && of_base(labels) == suffix {
            return Some(Reference::Suffix(labels as u8));
        }
        self.inside.get(suffix).map(|place| Reference::Inside(*place))
    }

    fn pointer(&mut self, reference: Reference) {
        self.pointers.push(Pointer::new(self.octets.len(), reference));
        self.octets.extend_from_slice(&[0xc0, 0]);
    }

    /// Sets the pointers as they are right when the question is `base` itself.
    fn prefill(&mut self) {
        let base = HEADER_BYTES + self.base.as_wire().len() + 4;
        for pointer in &self.pointers {
            let target = match pointer.reference() {
                Reference::Whole => HEADER_BYTES,
                Reference::Suffix(labels) => {
                    HEADER_BYTES + self.base.offset(self.base.label_count() - usize::from(labels))
                }
                Reference::Inside(place) => base + usize::from(place),
            };
            let at = usize::from(pointer.at);
            self.octets[at..at + 2].copy_from_slice(&(0xc000 | target as u16).to_be_bytes());
        }
    }
}
