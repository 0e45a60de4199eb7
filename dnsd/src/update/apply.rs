//! Prerequisites, permission, and what an update makes of a zone (RFC 2136 section 3).
//!
//! Only records that updates have added can be changed; those of the site file, of leases and the zone's own stay.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::keys::Granted;
use super::message::{Entry, Update};
use crate::protocol::code::{class, kind, rcode};
use crate::protocol::name::Name;
use crate::zone::{Record, Zone, is_data};

/// The longest TTL (RFC 2181 section 8).
const TTL_MAX: u32 = i32::MAX as u32;

/// What updates have added to a zone: an owner's records, in canonical order of owners.
pub type Added = BTreeMap<Name, Vec<Record>>;

/// Whether the prerequisites hold.
///
/// # Errors
/// The response code that RFC 2136 section 3.2 gives.
pub fn prerequisites(update: &Update, zone: &Zone) -> Result<(), u16> {
    let asked: BTreeSet<&Name> = update.prerequisites.iter().map(|entry| &entry.owner).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let mut present: HashMap<&Name, Vec<&Record>> = HashMap::new();
    for record in zone.records().filter(|record| asked.contains(&record.owner)) {
        present.entry(&record.owner).or_default().push(record);
    }
    let mut exactly: BTreeMap<(&Name, u16), BTreeSet<&[u8]>> = BTreeMap::new();
    for entry in &update.prerequisites {
        if entry.ttl != 0 || (entry.class != class::IN && !entry.rdata.is_empty()) {
            return Err(rcode::FORMERR);
        }
        if !entry.owner.is_within(&update.zone) {
            return Err(rcode::NOTZONE);
        }
        let records = present.get(&entry.owner).map_or(&[][..], Vec::as_slice);
        let has = records.iter().any(|record| record.kind == entry.kind);
        match (entry.class, entry.kind) {
            (class::ANY, kind::ANY) if records.is_empty() => return Err(rcode::NXDOMAIN),
            (class::NONE, kind::ANY) if !records.is_empty() => return Err(rcode::YXDOMAIN),
            (class::ANY | class::NONE, kind::ANY) => {}
            (class::ANY, _) if !has => return Err(rcode::NXRRSET),
            (class::NONE, _) if has => return Err(rcode::YXRRSET),
            (class::ANY | class::NONE, _) => {}
            (class::IN, kind) if is_data(kind) => {
                exactly.entry((&entry.owner, kind)).or_default().insert(&entry.rdata);
            }
            _ => return Err(rcode::FORMERR),
        }
    }
    for ((owner, kind), wanted) in exactly {
        let records = present.get(owner).into_iter().flatten().filter(|record| record.kind == kind);
        if records.map(|record| &*record.rdata).collect::<BTreeSet<_>>() != wanted {
            return Err(rcode::NXRRSET);
        }
    }
    Ok(())
}

/// Whether the changes are well-formed, and `granted` may make them. `is_fixed` tells names with records that no
/// update changes.
///
/// # Errors
/// FORMERR, NOTZONE or REFUSED (RFC 2136 sections 3.3 and 3.4.1).
pub fn permitted(update: &Update, granted: &Granted, is_fixed: impl Fn(&Name) -> bool) -> Result<(), u16> {
    for change in &update.changes {
        if !change.owner.is_within(&update.zone) {
            return Err(rcode::NOTZONE);
        }
        let well_formed = match change.class {
            class::IN => is_data(change.kind) && change.ttl <= TTL_MAX && !change.rdata.is_empty(),
            class::ANY => {
                change.ttl == 0
                    && change.rdata.is_empty()
                    && (is_data(change.kind) || change.kind == kind::ANY)
            }
            class::NONE => change.ttl == 0 && is_data(change.kind),
            _ => false,
        };
        if !well_formed {
            return Err(rcode::FORMERR);
        }
    }
    let refused = update.changes.iter().any(|change| {
        // To delete all types of a name, one of them is enough: what it may not touch stays.
        let allowed = match change.kind {
            kind::ANY => granted.kinds.iter().any(|&kind| granted.may_change(&change.owner, kind)),
            kind::SOA | kind::NS => false,
            kind => granted.may_change(&change.owner, kind),
        };
        !allowed || is_fixed(&change.owner)
    });
    if refused { Err(rcode::REFUSED) } else { Ok(()) }
}

/// Makes the changes (RFC 2136 section 3.4.2) and returns the owners that have other records now.
pub fn apply(update: &Update, granted: &Granted, added: &mut Added) -> BTreeSet<Name> {
    let mut changed = BTreeSet::new();
    for change in &update.changes {
        let records = added.entry(change.owner.clone()).or_default();
        let before = records.clone();
        match change.class {
            class::IN => add(records, change),
            class::ANY if change.kind == kind::ANY => {
                records.retain(|record| !granted.may_change(&record.owner, record.kind));
            }
            class::ANY => records.retain(|record| record.kind != change.kind),
            _ => records.retain(|record| record.kind != change.kind || !same(&record.rdata, change)),
        }
        if *records != before {
            changed.insert(change.owner.clone());
        }
        if records.is_empty() {
            added.remove(&change.owner);
        }
    }
    changed
}

/// Adds a record, or replaces the one like it. An alias beside other data is passed over (section 3.4.2.2).
fn add(records: &mut Vec<Record>, change: &Entry) {
    let alias = change.kind == kind::CNAME;
    if records.iter().any(|record| (record.kind == kind::CNAME) != alias) {
        return;
    }
    if alias {
        records.clear();
    }
    records.retain(|record| record.kind != change.kind || !same(&record.rdata, change));
    records.push(Record {
        owner: change.owner.lower(),
        kind: change.kind,
        ttl: change.ttl,
        rdata: change.rdata.clone(),
    });
    // One RRset has one TTL (RFC 2181 section 5.2): the last one given.
    for record in records.iter_mut().filter(|record| record.kind == change.kind) {
        record.ttl = change.ttl;
    }
}

/// Whether data are the same; names in them are in any case.
fn same(rdata: &[u8], change: &Entry) -> bool {
    match change.kind {
        kind::CNAME | kind::DNAME | kind::PTR | kind::MX | kind::SRV | kind::NS => {
            rdata.eq_ignore_ascii_case(&change.rdata)
        }
        _ => *rdata == *change.rdata,
    }
}

#[cfg(test)]
mod tests;
