//! The records of `[[dns.record]]`, each in the zone that it belongs to.

use std::collections::BTreeSet;

use faros_common::site::{DnsRecord, Site};

use super::plan::{Plan, RecordFlaw, ZoneKind};
use super::record::TTL_SECS;
use crate::protocol::code::kind;
use crate::protocol::name::Name;
use crate::zone::{Record, ZoneError, kind_of, text};

/// Adds the configured records to the zones of `plan`. A PTR that stands in the file replaces the derived one: an
/// address has one name.
///
/// # Errors
/// Those that cannot be served.
pub(super) fn add(plan: &mut Plan, site: &Site) -> Result<(), Vec<RecordFlaw>> {
    let mut flaws = Vec::new();
    let mut read = Vec::new();
    for (index, configured) in site.dns.records.iter().enumerate() {
        match parse(configured, &plan.cluster) {
            Ok(record) => read.push((index, record)),
            Err((message, help)) => flaws.push(RecordFlaw { index, message, help }),
        }
    }
    let by_hand: BTreeSet<&Name> =
        read.iter().filter(|(_, record)| record.kind == kind::PTR).map(|(_, record)| &record.owner).collect();
    for zone in plan.zones.values_mut() {
        zone.records.retain(|record| record.kind != kind::PTR || !by_hand.contains(&record.owner));
    }
    // Aliases last: what else stands at or below their owner has made its zone by then.
    read.sort_by_key(|(index, record)| (record.kind == kind::CNAME, *index));
    for (index, record) in read {
        let foreign = plan.zone_of(&record.owner).is_none_or(|zone| zone.kind.is_transparent());
        let refused = match record.kind {
            kind::NS | kind::DS if foreign => Some((
                "a delegation outside of the site's own zones",
                "name the zone's servers in [[dns.conditional]]",
            )),
            kind::SOA => Some(("a second SOA record", "the name server makes it")),
            kind::NS | kind::DNAME if plan.zones.get(&record.owner).is_some_and(is_own) => Some((
                "a zone's own apex cannot have it here",
                "the name server makes the NS and SOA records of its zones",
            )),
            _ => None,
        };
        if let Some((message, help)) = refused {
            flaws.push(RecordFlaw { index, message: message.to_owned(), help });
        } else if let Err(error) = plan.add(record) {
            flaws.push(RecordFlaw { index, message: error.to_string(), help: "use a shorter name" });
        }
    }
    if flaws.is_empty() { Ok(()) } else { Err(flaws) }
}

/// Which configured record a flaw of a compiled zone is about.
pub(super) fn index_of(site: &Site, error: &ZoneError) -> Option<usize> {
    let owner = match error {
        ZoneError::OutOfZone { owner, .. }
        | ZoneError::CnameAndOther { owner, .. }
        | ZoneError::SeveralAliases { owner, .. }
        | ZoneError::DnameAtCut(owner)
        | ZoneError::DsWithoutCut(owner)
        | ZoneError::NotData { owner, .. }
        | ZoneError::Misshapen { owner, .. }
        | ZoneError::Ttl { owner, .. }
        | ZoneError::RrsetTooLong { owner, .. } => owner,
        _ => return None,
    };
    site.dns.records.iter().position(|record| Name::parse(&record.name).is_ok_and(|name| name == *owner))
}

fn is_own(zone: &super::plan::ZonePlan) -> bool {
    matches!(zone.kind, ZoneKind::Cluster | ZoneKind::Reverse | ZoneKind::Local)
}

fn parse(configured: &DnsRecord, cluster: &Name) -> Result<Record, (String, &'static str)> {
    let owner = Name::parse(&configured.name).map_err(|error| {
        (error.to_string(), "a name relative to the cluster zone, or absolute with a dot")
    })?;
    let unknown = || (format!("{} is no record type", configured.kind), "any common type, or TYPE123");
    let kind = kind_of(&configured.kind).ok_or_else(unknown)?;
    let rdata = text::rdata(kind, &configured.value, cluster)
        .map_err(|error| (error.to_string(), "the data as in a master file"))?;
    let ttl = configured.ttl.map_or(u64::from(TTL_SECS), |ttl| ttl.as_secs());
    // The bound of RFC 2181 section 8 is the site file's too.
    Ok(Record { owner, kind, ttl: u32::try_from(ttl).unwrap_or(TTL_SECS), rdata })
}
