//! Whether records are a zone: sorted, merged and checked.

use std::cmp::Ordering;
use std::ops::Range;

use super::error::{ERRORS_MAX, ZoneError};
use super::rdata::{canonical, is_data, is_shaped};
use super::{Record, ZoneSource};
use crate::protocol::code::kind;
use crate::protocol::name::{LowerName, Name};

/// The largest TTL (RFC 2181 section 8).
const TTL_MAX: u32 = i32::MAX as u32;

/// The records of one name and type.
#[derive(Clone, Debug)]
pub(super) struct Rrset {
    pub(super) kind: u16,
    pub(super) span: Range<usize>,
}

/// A name with records.
#[derive(Clone, Debug)]
pub(super) struct NameRecords {
    key: Range<usize>,
    pub(super) rrsets: Range<usize>,
}

/// The records of a zone in canonical order, the SOA record first.
pub(super) struct Proven {
    pub(super) records: Vec<Record>,
    pub(super) rrsets: Vec<Rrset>,
    /// In canonical order; the apex is the first.
    pub(super) owners: Vec<NameRecords>,
    keys: Keys,
}

impl Proven {
    /// A name by its number.
    pub(super) fn owner(&self, number: usize) -> &Name {
        &self.first(self.owners[number].rrsets.start).owner
    }

    /// The RRset of a name with the type.
    pub(super) fn rrset(&self, owner: usize, kind: u16) -> Option<usize> {
        self.owners[owner].rrsets.clone().find(|rrset| self.rrsets[*rrset].kind == kind)
    }

    /// The records of an RRset.
    pub(super) fn records_of(&self, rrset: usize) -> &[Record] {
        &self.records[self.rrsets[rrset].span.clone()]
    }

    /// The first record of an RRset.
    pub(super) fn first(&self, rrset: usize) -> &Record {
        &self.records[self.rrsets[rrset].span.start]
    }

    /// The number of a name in wire form.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        let mut wanted = Keys::default();
        let wanted_key = wanted.push(name);
        let wanted_key = &wanted.0[wanted_key];
        self.owners.binary_search_by(|owner| self.keys.0[owner.key.clone()].cmp(wanted_key)).ok()
    }
}

/// Names as octets whose plain order is the canonical order of names.
#[derive(Default)]
struct Keys(Vec<u8>);

impl Keys {
    /// The labels in lower case from the right, each with an end that is less than any octet of a label.
    fn push(&mut self, name: &[u8]) -> Range<usize> {
        let start = self.0.len();
        let name = LowerName::of(name);
        for label in (0..name.label_count()).rev() {
            for &octet in name.label(label) {
                match octet {
                    0 | 1 => self.0.extend([1, octet + 1]),
                    octet => self.0.push(octet),
                }
            }
            self.0.push(0);
        }
        start..self.0.len()
    }
}

/// Serial, refresh, retry, expire, minimum.
pub(super) fn soa_numbers(soa: &Record) -> [u32; 5] {
    let numbers = soa.rdata.last_chunk::<20>().copied().unwrap_or_default();
    std::array::from_fn(|n| numbers[n * 4..].first_chunk().map_or(0, |octets| u32::from_be_bytes(*octets)))
}

/// Sorts, merges and checks the records of a zone.
///
/// # Errors
/// All flaws, up to a limit.
pub(super) fn prove(source: &ZoneSource) -> Result<Proven, Vec<ZoneError>> {
    let mut errors = Errors(Vec::new());
    for record in &source.records {
        check_record(record, &source.origin, &mut errors);
    }
    errors.end()?;
    let proven = sort(&source.records);
    let mut errors = Errors(Vec::new());
    check_apex(&proven, &source.origin, &mut errors);
    for number in 0..proven.owners.len() {
        check_name(&proven, number, &source.origin, &mut errors);
    }
    errors.end()?;
    Ok(proven)
}

struct Errors(Vec<ZoneError>);

impl Errors {
    fn push(&mut self, error: ZoneError) {
        if self.0.len() < ERRORS_MAX && self.0.last() != Some(&error) {
            self.0.push(error);
        }
    }

    fn end(self) -> Result<(), Vec<ZoneError>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

fn check_record(record: &Record, origin: &Name, errors: &mut Errors) {
    let (owner, kind) = (|| record.owner.clone(), record.kind);
    if !record.owner.is_within(origin) {
        errors.push(ZoneError::OutOfZone { owner: owner(), origin: origin.clone() });
    }
    if !is_data(kind) {
        errors.push(ZoneError::NotData { owner: owner(), kind });
    } else if !is_shaped(kind, &record.rdata) {
        errors.push(ZoneError::Misshapen { owner: owner(), kind });
    }
    if record.ttl > TTL_MAX {
        errors.push(ZoneError::Ttl { owner: owner(), kind });
    }
}

/// A record with what it is sorted by.
struct Sortable<'r> {
    key: Range<usize>,
    /// Only where it differs from the data.
    canonical: Option<Box<[u8]>>,
    record: &'r Record,
}

impl Sortable<'_> {
    fn data(&self) -> &[u8] {
        self.canonical.as_deref().unwrap_or(&self.record.rdata)
    }

    /// SOA comes first: it stands at the apex only.
    fn rank(&self) -> u32 {
        match self.record.kind {
            kind::SOA => 0,
            kind => kind.into(),
        }
    }

    fn order(&self, other: &Self, keys: &Keys) -> Ordering {
        keys.0[self.key.clone()]
            .cmp(&keys.0[other.key.clone()])
            .then_with(|| self.rank().cmp(&other.rank()))
            .then_with(|| self.data().cmp(other.data()))
    }
}

fn sort(records: &[Record]) -> Proven {
    let mut keys = Keys::default();
    let mut sorted: Vec<_> = records
        .iter()
        .map(|record| Sortable {
            key: keys.push(record.owner.as_wire()),
            canonical: canonical(record.kind, &record.rdata),
            record,
        })
        .collect();
    // Stable: of equal records the one that came first stays, with its case.
    sorted.sort_by(|one, other| one.order(other, &keys));
    let (mut owners, mut rrsets) = (Vec::<NameRecords>::new(), Vec::<Rrset>::new());
    let mut records = Vec::<Record>::with_capacity(sorted.len());
    let mut last: Option<&Sortable<'_>> = None;
    for entry in &sorted {
        let is_name = last.is_some_and(|last| keys.0[last.key.clone()] == keys.0[entry.key.clone()]);
        let is_rrset = is_name && last.is_some_and(|last| last.record.kind == entry.record.kind);
        let is_equal = is_rrset && last.is_some_and(|last| last.data() == entry.data());
        last = Some(entry);
        if !is_name {
            owners.push(NameRecords { key: entry.key.clone(), rrsets: rrsets.len()..rrsets.len() });
        }
        if !is_rrset {
            rrsets.push(Rrset { kind: entry.record.kind, span: records.len()..records.len() });
        }
        if !is_equal {
            records.push(entry.record.clone());
        }
        let rrset_count = rrsets.len();
        if let (Some(owner), Some(rrset)) = (owners.last_mut(), rrsets.last_mut()) {
            owner.rrsets.end = rrset_count;
            rrset.span.end = records.len();
            let ttl = records[rrset.span.start].ttl.min(entry.record.ttl);
            records[rrset.span.start].ttl = ttl;
        }
    }
    for rrset in &rrsets {
        let ttl = records[rrset.span.start].ttl;
        records[rrset.span.clone()].iter_mut().for_each(|record| record.ttl = ttl);
    }
    Proven { records, rrsets, owners, keys }
}

fn check_apex(proven: &Proven, origin: &Name, errors: &mut Errors) {
    let apex = (!proven.owners.is_empty() && proven.owner(0) == origin).then_some(0);
    match apex.and_then(|apex| proven.rrset(apex, kind::SOA)) {
        None => errors.push(ZoneError::NoSoa(origin.clone())),
        Some(soa) if proven.rrsets[soa].span.len() > 1 => errors.push(ZoneError::SeveralSoa(origin.clone())),
        Some(_) => {}
    }
    if apex.and_then(|apex| proven.rrset(apex, kind::NS)).is_none() {
        errors.push(ZoneError::NoNs(origin.clone()));
    }
}

fn check_name(proven: &Proven, number: usize, origin: &Name, errors: &mut Errors) {
    let owner = proven.owner(number);
    let is_apex = owner == origin;
    let has = |kind| proven.rrset(number, kind).is_some();
    if has(kind::SOA) && !is_apex {
        errors.push(ZoneError::SoaBelowApex(owner.clone()));
    }
    if has(kind::DNAME) && has(kind::NS) && !is_apex {
        errors.push(ZoneError::DnameAtCut(owner.clone()));
    }
    if has(kind::DS) && (is_apex || !has(kind::NS)) {
        errors.push(ZoneError::DsWithoutCut(owner.clone()));
    }
    let rrsets = &proven.rrsets[proven.owners[number].rrsets.clone()];
    for rrset in rrsets {
        let kind = rrset.kind;
        if matches!(kind, kind::CNAME | kind::DNAME) && rrset.span.len() > 1 {
            errors.push(ZoneError::SeveralAliases { owner: owner.clone(), kind });
        }
        let goes_with_alias = matches!(kind, kind::CNAME | kind::SIG | 25 | kind::RRSIG | kind::NSEC);
        if has(kind::CNAME) && !goes_with_alias {
            errors.push(ZoneError::CnameAndOther { owner: owner.clone(), kind });
        }
    }
}
