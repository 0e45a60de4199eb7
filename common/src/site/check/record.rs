//! Configured DNS records beside the derived ones, and zones of others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::service::bounded;
use super::{claim, cluster_zone, each};
use crate::site::ClusterKind;
use crate::site::build::absolute;
use crate::site::raw::{RawDns, RawRecord, RawSite};
use crate::site::read::{At, Findings, Spot, quoted};
use crate::site::value::record_flaw;

/// RFC 2181 section 8.
const TTL_MAX: Duration = Duration::from_secs((1 << 31) - 1);

pub(super) fn check(raw: &RawSite, found: &mut Findings) {
    let Some(dns) = &raw.dns else { return };
    for record in each(&dns.record) {
        bounded(record.ttl.as_ref(), Duration::ZERO, TTL_MAX, found);
        if let (Some(kind), Some(value)) = (&record.kind, &record.data)
            && let Err(flaw) = record_flaw(&kind.value.0, &value.value.0)
        {
            let finding = found.error(&value.spot, flaw.message);
            if let Some(help) = flaw.help {
                finding.help(help);
            }
        }
    }
    let Some(zone) = cluster_zone(raw) else { return };
    owners(raw, dns, &zone, found);
    conditionals(dns, &zone, found);
}

/// Whether owners may have these records beside what is derived and beside each other.
fn owners(raw: &RawSite, dns: &RawDns, zone: &str, found: &mut Findings) {
    let derived = derived(raw, zone);
    let mut by_owner: BTreeMap<String, Vec<(&At<RawRecord>, &str)>> = BTreeMap::new();
    for record in each(&dns.record) {
        let (Some(name), Some(kind)) = (&record.name, &record.kind) else { continue };
        if !name.value.0.ends_with('.')
            && (name.value.0 == zone || name.value.0.ends_with(&format!(".{zone}")))
        {
            found
                .warning(&name.spot, format!("this is {}.{zone}., with the zone twice", name.value.0))
                .help(format!("end it in a dot, {}., or leave the zone out", name.value.0));
        }
        let owner = absolute(&name.value.0, zone);
        let kind = kind.value.0.as_str();
        if owner.len() > 254 {
            found
                .error(&name.spot, "the name is too long once the zone is added")
                .help("at most 253 characters in all");
        }
        if let Some(key) = derived.get(&owner)
            && matches!(kind, "A" | "AAAA" | "CNAME" | "DNAME")
        {
            found
                .error(&name.spot, format!("{} follows from the site file already ({key})", quoted(&owner)))
                .help("choose another name, or change it there");
        }
        if owner == format!("{zone}.") && matches!(kind, "CNAME" | "DNAME" | "NS") {
            found
                .error(&name.spot, format!("the cluster zone itself cannot have a {kind} record here"))
                .help("the name server makes its own SOA and NS records");
        }
        by_owner.entry(owner).or_default().push((record, kind));
    }
    for records in by_owner.values() {
        let mut seen = BTreeSet::new();
        let alias = records.iter().any(|(_, kind)| *kind == "CNAME");
        for (index, (record, kind)) in records.iter().enumerate() {
            let Some(value) = &record.data else { continue };
            if !seen.insert((*kind, value.value.0.as_str())) {
                found
                    .error(&record.spot, "the same record stands there already")
                    .help("take one of them out");
            } else if alias && index > 0 {
                found
                    .error(&record.spot, "a name with a CNAME has no other record")
                    .help("RFC 1034 section 3.6.2: choose another name, or repeat the target's data");
            }
        }
    }
}

/// The owners that follow from the file, with the key they follow from.
fn derived(raw: &RawSite, zone: &str) -> BTreeMap<String, String> {
    let mut derived = BTreeMap::new();
    let mut add = |label: &str, spot: &Spot| {
        derived.insert(absolute(label, zone), spot.key.clone());
    };
    let cluster = Spot { offset: None, key: "cluster".to_owned() };
    let kind = raw.cluster.as_ref().and_then(|cluster| cluster.kind.as_ref()).map(|kind| kind.value);
    add(claim::RESERVED[0], &cluster);
    if kind != Some(ClusterKind::None) {
        for label in ["api", "api-int", "*.apps"] {
            add(label, &cluster);
        }
    }
    for node in each(&raw.node) {
        if let Some(name) = &node.name {
            add(&name.value.0, &name.spot);
            if node.bmc.is_some() {
                add(&format!("{}-mgmt", name.value.0), &name.spot);
            }
        }
    }
    for name in each(&raw.vm).filter_map(|vm| vm.node.as_ref().or(vm.name.as_ref())) {
        add(&name.value.0, &name.spot);
    }
    for name in each(&raw.host).filter_map(|host| host.name.as_ref()) {
        add(&name.value.0, &name.spot);
    }
    derived
}

fn conditionals(dns: &RawDns, zone: &str, found: &mut Findings) {
    let mut seen: BTreeMap<&str, &Spot> = BTreeMap::new();
    for conditional in each(&dns.conditional).filter_map(|conditional| conditional.zone.as_ref()) {
        let name = conditional.value.0.as_str();
        if name == zone || name.ends_with(&format!(".{zone}")) {
            found
                .error(&conditional.spot, format!("{name} is this site's own zone {zone}, or inside it"))
                .help("the site answers for it itself");
        } else if let Some(other) = seen.insert(name, &conditional.spot) {
            found
                .error(&conditional.spot, format!("{name} has servers already ({})", other.key))
                .help("put all servers of a zone into one table");
        }
    }
}
