//! From the records of a zone to its answers.

use std::collections::HashSet;

use super::prove::{Proven, soa_numbers};
use super::rdata::{host, name_at};
use super::template::{Arena, ArenaFull, Template};
use super::tree::{LEADING, NONE, Node, Parts, Role, Tree, seed};
use super::writer::{Owner, Writer};
use super::{Record, ZoneError};
use crate::protocol::code::kind;
use crate::protocol::name::{LABELS_MAX, LowerName, Name};

/// Makes the answers of a proven zone.
///
/// # Errors
/// An RRset does not fit into a message, or the zone into its tables.
pub(super) fn compile(origin: &Name, proven: &Proven) -> Result<Tree, Vec<ZoneError>> {
    Compiler::new(origin, proven).compile()
}

/// Sections of an answer, as the writer counts them.
const ANSWER: usize = 0;
const AUTHORITY: usize = 1;
const ADDITIONAL: usize = 2;

struct Compiler<'z> {
    origin: &'z Name,
    proven: &'z Proven,
    /// For each name with records, whether it is at or below a delegation, or below a DNAME.
    standing: Vec<Standing>,
    writer: Writer,
    nodes: Vec<Node>,
    names: Vec<u8>,
    templates: Vec<Template>,
    arena: Arena,
    errors: Vec<ZoneError>,
}

/// Whether a name of the zone is the zone's to answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Authoritative,
    /// Delegated to others.
    Cut,
    /// Below a delegation: its addresses can be glue.
    Glue,
    /// Below a DNAME: never seen.
    Hidden,
}

impl<'z> Compiler<'z> {
    fn new(origin: &'z Name, proven: &'z Proven) -> Self {
        Self {
            origin,
            proven,
            standing: standings(origin, proven),
            writer: Writer::new(),
            nodes: Vec::with_capacity(proven.owners.len()),
            names: Vec::new(),
            templates: Vec::with_capacity(proven.rrsets.len()),
            arena: Arena::default(),
            errors: Vec::new(),
        }
    }

    fn compile(mut self) -> Result<Tree, Vec<ZoneError>> {
        let full = |ArenaFull| vec![ZoneError::ZoneTooLarge(self.origin.clone())];
        let negative = match self.nodes().and_then(|()| self.negative()) {
            Ok(negative) => negative,
            Err(error) => return Err(full(error)),
        };
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        Ok(Tree::new(Parts {
            seed: seed(),
            nodes: self.nodes,
            names: self.names,
            templates: self.templates,
            arena: self.arena,
            negative,
        }))
    }

    /// Canonical order brings each name after its ancestors and before its siblings, so that one pass with the
    /// way down from the apex finds the empty non-terminals.
    fn nodes(&mut self) -> Result<(), ArenaFull> {
        let apex_labels = self.origin.label_count();
        let mut way = [0_u32; LABELS_MAX + 1];
        let mut last = LowerName::of(self.origin.as_wire());
        for number in 0..self.proven.owners.len() {
            if !matches!(self.standing[number], Standing::Authoritative | Standing::Cut) {
                continue;
            }
            let name = LowerName::of(self.proven.owner(number).as_wire());
            let labels = name.label_count();
            let known = if number == 0 { 0 } else { shared_labels(&last, &name) + 1 };
            for depth in known.max(apex_labels)..=labels {
                let node = self.node(&name, depth)?;
                if depth > apex_labels && name.label(labels - depth) == b"*" {
                    self.nodes[way[depth - 1] as usize].wildcard = node;
                }
                way[depth] = node;
            }
            self.fill(number, &name)?;
            last = name;
        }
        Ok(())
    }

    /// A node for the suffix of so many labels.
    fn node(&mut self, name: &LowerName, labels: usize) -> Result<u32, ArenaFull> {
        let suffix = name.suffix(name.label_count() - labels);
        let node = Node {
            name_at: place(self.names.len())?,
            target_at: 0,
            templates_at: place(self.templates.len())?,
            wildcard: NONE,
            template_count: 0,
            name_len: suffix.len() as u8,
            labels: labels as u8,
            role: Role::Plain,
        };
        self.names.extend_from_slice(suffix);
        self.nodes.push(node);
        place(self.nodes.len() - 1)
    }

    /// Makes the answers of the last node, which is that of a name with records.
    fn fill(&mut self, number: usize, name: &LowerName) -> Result<(), ArenaFull> {
        let has = |kind| self.proven.rrset(number, kind);
        let (role, leading) = if self.standing[number] == Standing::Cut {
            (Role::Cut, has(kind::NS))
        } else if let Some(alias) = has(kind::CNAME) {
            (Role::Alias, Some(alias))
        } else if let Some(redirect) = has(kind::DNAME) {
            (Role::Redirect, Some(redirect))
        } else {
            (Role::Plain, None)
        };
        let templates_at = place(self.templates.len())?;
        let target_at = place(self.names.len())?;
        // A wildcard delegates and redirects what is below its own name only; in its place for other names its
        // NS and DNAME records are mere data (RFC 4592 sections 4.2 and 4.4 leave it open; NSD does so).
        let is_data = role != Role::Cut || is_wildcard(name);
        if let Some(leading) = leading {
            self.names.extend_from_slice(name_at(&self.proven.first(leading).rdata, 0));
            self.leading(number, name, leading, role)?;
        }
        for rrset in self.proven.owners[number].rrsets.clone() {
            let is_done = Some(rrset) == leading && (role == Role::Alias || !is_wildcard(name));
            if !is_done && (is_data || self.proven.rrsets[rrset].kind == kind::DS) {
                self.answer(number, name, rrset)?;
            }
        }
        let template_count = (self.templates.len() - templates_at as usize) as u16;
        if let Some(node) = self.nodes.last_mut() {
            (node.role, node.target_at) = (role, target_at);
            (node.templates_at, node.template_count) = (templates_at, template_count);
        }
        Ok(())
    }

    /// The records that go for all types, or for all names below: an alias, or a delegation.
    fn leading(
        &mut self,
        number: usize,
        name: &LowerName,
        rrset: usize,
        role: Role,
    ) -> Result<(), ArenaFull> {
        if role == Role::Alias {
            return self.answer(number, name, rrset);
        }
        // Whoever gets it asked for this very name or one below.
        self.writer.begin(name, name.label_count());
        let section = if role == Role::Cut { AUTHORITY } else { ANSWER };
        let kind = if is_wildcard(name) { LEADING } else { self.proven.rrsets[rrset].kind };
        self.write(number, rrset, section, Owner::Name(self.proven.owner(number).as_wire()), kind)
    }

    /// The records of a name and type.
    fn answer(&mut self, number: usize, name: &LowerName, rrset: usize) -> Result<(), ArenaFull> {
        // What a wildcard answers ends in the name above it, not in the wildcard itself.
        let shared = name.label_count() - usize::from(is_wildcard(name));
        self.writer.begin(name, shared);
        self.write(number, rrset, ANSWER, Owner::Asked, self.proven.rrsets[rrset].kind)
    }

    fn write(
        &mut self,
        number: usize,
        rrset: usize,
        section: usize,
        owner: Owner<'_>,
        kind: u16,
    ) -> Result<(), ArenaFull> {
        let records = self.proven.records_of(rrset);
        if !self.writer.rrset(section, owner, records, records[0].ttl) {
            let owner = self.proven.owner(number).clone();
            self.errors.push(ZoneError::RrsetTooLong { owner, kind: records[0].kind });
            return Ok(());
        }
        self.writer.begin_additional();
        self.addresses(records);
        self.templates.push(self.writer.finish(kind, &mut self.arena)?);
        Ok(())
    }

    /// The addresses of the hosts that records name, as far as they are in the zone (RFC 1034 section 4.3.2
    /// step 6). Name servers' may be glue.
    fn addresses(&mut self, records: &[Record]) {
        let mut seen = HashSet::new();
        for record in records {
            let Some(number) = host(record.kind, &record.rdata).and_then(|host| self.proven.find(host))
            else {
                continue;
            };
            let standing = self.standing[number];
            let is_usable = match record.kind {
                kind::NS => standing != Standing::Hidden,
                _ => standing == Standing::Authoritative,
            };
            if !is_usable || !seen.insert(number) {
                continue;
            }
            for kind in [kind::A, kind::AAAA] {
                if let Some(rrset) = self.proven.rrset(number, kind) {
                    let records = self.proven.records_of(rrset);
                    let owner = Owner::Name(records[0].owner.as_wire());
                    self.writer.rrset(ADDITIONAL, owner, records, records[0].ttl);
                }
            }
        }
    }

    /// The SOA record of negative answers: with the time that they may be kept (RFC 2308 section 5).
    fn negative(&mut self) -> Result<Template, ArenaFull> {
        let soa = &self.proven.records[0];
        let ttl = soa.ttl.min(soa_numbers(soa)[4]);
        self.writer.begin(&LowerName::of(self.origin.as_wire()), self.origin.label_count());
        self.writer.rrset(AUTHORITY, Owner::Name(self.origin.as_wire()), std::slice::from_ref(soa), ttl);
        self.writer.begin_additional();
        self.writer.finish(kind::SOA, &mut self.arena)
    }
}

/// Which names are the zone's to answer. What is below a delegation or a DNAME follows it at once in canonical
/// order.
fn standings(origin: &Name, proven: &Proven) -> Vec<Standing> {
    let mut standings = Vec::with_capacity(proven.owners.len());
    let mut above: Option<(&Name, Standing)> = None;
    for number in 0..proven.owners.len() {
        let owner = proven.owner(number);
        if let Some((name, below)) = above
            && owner.is_within(name)
        {
            standings.push(below);
            continue;
        }
        let is_cut = owner != origin && proven.rrset(number, kind::NS).is_some();
        let is_redirect = proven.rrset(number, kind::DNAME).is_some();
        above = match (is_cut, is_redirect) {
            (true, _) => Some((owner, Standing::Glue)),
            (false, true) => Some((owner, Standing::Hidden)),
            (false, false) => None,
        };
        standings.push(if is_cut { Standing::Cut } else { Standing::Authoritative });
    }
    standings
}

fn is_wildcard(name: &LowerName) -> bool {
    name.as_wire().starts_with(b"\x01*")
}

/// How many labels two names share from the right.
fn shared_labels(one: &LowerName, other: &LowerName) -> usize {
    let (ones, others) = (one.label_count(), other.label_count());
    (1..=ones.min(others)).take_while(|back| one.label(ones - back) == other.label(others - back)).count()
}

fn place(length: usize) -> Result<u32, ArenaFull> {
    u32::try_from(length).map_err(|_| ArenaFull)
}
