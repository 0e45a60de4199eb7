//! The algorithm of RFC 1034 section 4.3.2 with RFC 4592 and RFC 6672, as slow and plain as it can be: a map
//! from names to records, walked from the apex down, label by label.

use std::collections::{BTreeMap, BTreeSet};

use super::wire::{Reply, Seen, seen};
use crate::protocol::code::{kind, rcode};
use crate::protocol::name::Name;
use crate::zone::{CHAIN_MAX, Record, ZoneSource};

/// Labels in lower case from the root down.
type Path = Vec<Vec<u8>>;

fn path(name: &Name) -> Path {
    let mut labels: Path = name.labels().map(<[u8]>::to_ascii_lowercase).collect();
    labels.reverse();
    labels
}

struct Zone {
    apex: Path,
    names: BTreeMap<Path, Vec<Record>>,
}

/// Where a walk down from the apex ends.
enum End<'z> {
    /// At records, of the name itself or of a wildcard.
    Records(&'z [Record]),
    /// At a delegation.
    Cut(&'z [Record]),
    /// Above, at a DNAME record.
    Redirect(&'z Record, usize),
    /// Nowhere.
    Nothing,
}

impl Zone {
    fn new(source: &ZoneSource) -> Self {
        let mut names: BTreeMap<Path, Vec<Record>> = BTreeMap::new();
        for record in &source.records {
            let records = names.entry(path(&record.owner)).or_default();
            if !records.iter().any(|other| seen(other) == seen(record)) {
                records.push(record.clone());
            }
        }
        for records in names.values_mut() {
            let least: BTreeMap<u16, u32> = records.iter().fold(BTreeMap::new(), |mut least, record| {
                let ttl = least.entry(record.kind).or_insert(u32::MAX);
                *ttl = record.ttl.min(*ttl);
                least
            });
            records.iter_mut().for_each(|record| record.ttl = least[&record.kind]);
            let mut known = BTreeSet::new();
            records.retain(|record| known.insert(seen(record)));
        }
        Self { apex: path(&source.origin), names }
    }

    /// Whether the name exists, and is not hidden below a delegation or a DNAME record.
    fn shows(&self, name: &[Vec<u8>]) -> bool {
        let hides = |depth: usize| {
            let apex = depth == self.apex.len();
            let hidden = |record: &Record| record.kind == kind::DNAME || (record.kind == kind::NS && !apex);
            self.names.get(&name[..depth]).is_some_and(|records| records.iter().any(hidden))
        };
        self.exists(name) && !(self.apex.len()..name.len()).any(hides)
    }

    fn exists(&self, name: &[Vec<u8>]) -> bool {
        self.names.keys().any(|other| other.starts_with(name))
    }

    fn records(&self, name: &[Vec<u8>]) -> &[Record] {
        self.names.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    fn walk(&self, name: &[Vec<u8>], kind: u16) -> End<'_> {
        for depth in self.apex.len()..=name.len() {
            let here = &name[..depth];
            if !self.exists(here) {
                let mut wildcard = name[..depth - 1].to_vec();
                wildcard.push(b"*".to_vec());
                return if self.exists(&wildcard) {
                    End::Records(self.records(&wildcard))
                } else {
                    End::Nothing
                };
            }
            let records = self.records(here);
            let is_cut = depth > self.apex.len() && records.iter().any(|record| record.kind == kind::NS);
            if is_cut && (depth < name.len() || kind != kind::DS) {
                return End::Cut(records);
            }
            let dname = records.iter().find(|record| record.kind == kind::DNAME);
            if let Some(dname) = dname
                && depth < name.len()
            {
                return End::Redirect(dname, depth);
            }
        }
        let records = self.records(name);
        // Nothing but DS is the parent's at a delegation.
        let is_cut = name.len() > self.apex.len() && records.iter().any(|record| record.kind == kind::NS);
        match records.iter().position(|record| record.kind == kind::DS) {
            Some(at) if is_cut => End::Records(&records[at..=at]),
            None if is_cut => End::Records(&[]),
            _ => End::Records(records),
        }
    }

    /// Whether a name's addresses can go with records of this type.
    fn lends(&self, host: &[Vec<u8>], kind: u16) -> bool {
        for depth in self.apex.len()..=host.len() {
            let records = self.records(&host[..depth]);
            let has = |kind| records.iter().any(|record| record.kind == kind);
            if depth > self.apex.len() && has(kind::NS) {
                return kind == kind::NS;
            }
            if depth < host.len() && has(kind::DNAME) {
                return false;
            }
        }
        true
    }

    fn addresses(&self, records: &[&Record]) -> Vec<Seen> {
        let mut found = BTreeSet::new();
        for record in records {
            let at = match record.kind {
                kind::NS => 0,
                kind::MX => 2,
                kind::SRV => 6,
                _ => continue,
            };
            let host = path(&Name::from_wire(&record.rdata[at..]).unwrap());
            if host.starts_with(&self.apex) && self.lends(&host, record.kind) {
                let addresses = self.records(&host).iter();
                found
                    .extend(addresses.filter(|record| matches!(record.kind, kind::A | kind::AAAA)).map(seen));
            }
        }
        found.into_iter().collect()
    }
}

pub(super) struct Reference {
    zones: Vec<Zone>,
}

impl Reference {
    pub(super) fn new(sources: &[ZoneSource]) -> Self {
        Self { zones: sources.iter().map(Zone::new).collect() }
    }

    fn zone(&self, name: &Path, kind: u16) -> Option<&Zone> {
        let mut above: Vec<&Zone> = self.zones.iter().filter(|zone| name.starts_with(&zone.apex)).collect();
        above.sort_by_key(|zone| zone.apex.len());
        let closest = above.pop()?;
        match above.pop() {
            // Without a delegation it would deny the whole name.
            Some(parent) if kind == kind::DS && closest.apex.len() == name.len() && parent.shows(name) => {
                Some(parent)
            }
            _ => Some(closest),
        }
    }

    /// The answer, and where a chain leads that leaves the zones or ends below a delegation.
    pub(super) fn ask(&self, name: &Name, kind: u16) -> Option<(Reply, Option<Name>)> {
        self.zone(&path(name), kind)?;
        let mut name = name.clone();
        let mut answer: Vec<Seen> = Vec::new();
        let reply = |rcode, authoritative, answer, authority, additional| {
            (Reply { rcode, authoritative, answer, authority, additional }, None)
        };
        for _ in 0..=CHAIN_MAX {
            let Some(zone) = self.zone(&path(&name), kind) else {
                let (reply, _) = reply(rcode::NOERROR, true, answer, vec![], vec![]);
                return Some((reply, Some(name)));
            };
            let soa = || {
                let soa = zone.records(&zone.apex).iter().find(|record| record.kind == kind::SOA).unwrap();
                let minimum = u32::from_be_bytes(soa.rdata[soa.rdata.len() - 4..].try_into().unwrap());
                vec![Seen { ttl: soa.ttl.min(minimum), ..seen(soa) }]
            };
            let asked = |record: &Record| Seen { owner: text(&name), ..seen(record) };
            let target = match zone.walk(&path(&name), kind) {
                End::Nothing => return Some(reply(rcode::NXDOMAIN, true, answer, soa(), vec![])),
                End::Cut(records) => {
                    let servers: Vec<&Record> =
                        records.iter().filter(|record| record.kind == kind::NS).collect();
                    let authority = servers.iter().map(|record| seen(record)).collect();
                    let authoritative = !answer.is_empty();
                    let additional = zone.addresses(&servers);
                    let (reply, _) = reply(rcode::NOERROR, authoritative, answer, authority, additional);
                    return Some((reply, authoritative.then_some(name)));
                }
                End::Records(records) => {
                    let found: Vec<&Record> = records.iter().filter(|record| record.kind == kind).collect();
                    for record in &found {
                        if !answer.contains(&asked(record)) {
                            answer.push(asked(record));
                        }
                    }
                    if !found.is_empty() {
                        return Some(reply(rcode::NOERROR, true, answer, vec![], zone.addresses(&found)));
                    }
                    let Some(alias) = records.iter().find(|record| record.kind == kind::CNAME) else {
                        return Some(reply(rcode::NOERROR, true, answer, soa(), vec![]));
                    };
                    answer.push(asked(alias));
                    Name::from_wire(&alias.rdata).unwrap()
                }
                End::Redirect(dname, depth) => {
                    // A record stands in an answer once.
                    if !answer.contains(&seen(dname)) {
                        answer.push(seen(dname));
                    }
                    let target = Name::from_wire(&dname.rdata).unwrap();
                    let labels: Vec<&[u8]> = name.labels().collect();
                    let below = &labels[..labels.len() - depth];
                    let target = below.iter().rev().try_fold(target, |name, label| name.prepend(label));
                    let Ok(target) = target else {
                        return Some(reply(rcode::YXDOMAIN, true, answer, vec![], vec![]));
                    };
                    let rdata = target.as_wire().into();
                    answer.push(seen(&Record {
                        owner: name.clone(),
                        kind: kind::CNAME,
                        ttl: dname.ttl,
                        rdata,
                    }));
                    if kind == kind::CNAME {
                        return Some(reply(rcode::NOERROR, true, answer, vec![], vec![]));
                    }
                    target
                }
            };
            name = target;
        }
        Some(reply(rcode::SERVFAIL, false, vec![], vec![], vec![]))
    }
}

fn text(name: &Name) -> String {
    seen(&Record { owner: name.clone(), kind: 0, ttl: 0, rdata: Box::default() }).owner
}
