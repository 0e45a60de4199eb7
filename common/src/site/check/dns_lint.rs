//! DNS that works as written and hardly as meant: what people who run clusters have tripped over.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::each;
use crate::site::build::absolute;
use crate::site::raw::{RawDns, RawRecord, RawSite};
use crate::site::read::{At, Findings, quoted};
use crate::site::{ClusterKind, Site, pointer_owner};

/// A longer TTL keeps a mistake alive for days after it was mended.
const TTL_LONG: Duration = Duration::from_secs(24 * 3600);

/// Last labels by which a name of the outside world shows that its final dot was forgotten.
const OUTSIDE: [&str; 12] =
    ["com", "org", "net", "io", "dev", "edu", "gov", "int", "arpa", "cloud", "local", "lan"];

/// Top-level domains that mean something to programs, so that a site below them is not found by all, and why.
const SPECIAL: [(&str, &str); 4] = [
    (
        "local",
        "names in .local are asked for by multicast on the link, and many systems ask no server for them",
    ),
    ("localhost", "names in .localhost are this host itself to every program"),
    ("invalid", "names in .invalid exist for nobody"),
    ("onion", "names in .onion are never asked of a server"),
];

pub(super) fn built(raw: &RawSite, site: &Site, found: &mut Findings) {
    if !site.dns.enable {
        return;
    }
    domain(raw, site, found);
    forwarders(raw, site, found);
    let Some(dns) = &raw.dns else { return };
    let names = Names::of(site);
    for record in each(&dns.record) {
        let Some(owner) = &record.name else { continue };
        let absolute = absolute(&owner.value.0, &names.zone);
        if !wildcard(record, &absolute, &names, found) {
            misplaced(record, dns, found);
            special(record, &absolute, found);
        }
        foreign_delegation(record, &absolute, &names, found);
        pointer(record, &absolute, &names, found);
        targets(record, &names, found);
        ttl(record, found);
    }
    rrsets(dns, &names, found);
    conditionals(dns, &names, found);
    for pin in each(&dns.pin).filter(|pin| is_within(&pin.value.0, &names.zone)) {
        found
            .warning(&pin.spot, format!("{} is this site's own and always answered", pin.value.0))
            .help("pin names of the outside world");
    }
    if let Some(etcd) = dns.etcd.as_ref().filter(|etcd| etcd.value)
        && site.cluster.kind == ClusterKind::None
    {
        found
            .warning(&etcd.spot, "there is no cluster whose etcd could be named")
            .help("take it out, or set cluster.kind");
    }
}

/// What the site answers for, without final dots.
struct Names {
    zone: String,
    /// The cluster zone and all domains above it, the nearest first.
    searched: Vec<String>,
    /// Owners of addresses, of configured aliases, and of anything else that can be a target.
    owners: BTreeSet<String>,
    aliases: BTreeSet<String>,
    /// Machines without a fixed address: their leases bring it.
    leased: BTreeSet<String>,
    /// The owner of each derived PTR and what it says.
    pointers: BTreeMap<String, String>,
    reverse: Vec<String>,
}

impl Names {
    fn of(site: &Site) -> Self {
        let zone = site.cluster.zone();
        let mut searched = vec![zone.clone()];
        while let Some((_, above)) = searched.last().and_then(|last| last.split_once('.')) {
            searched.push(above.to_owned());
        }
        let bare = |name: &str| name.strip_suffix('.').unwrap_or(name).to_owned();
        let of_kinds = |kinds: &[&str]| -> BTreeSet<String> {
            let records = site.dns.records.iter().filter(|record| kinds.contains(&record.kind.as_str()));
            records.map(|record| bare(&record.name)).collect()
        };
        let mut owners: BTreeSet<String> = site.names().iter().map(|name| bare(&name.name)).collect();
        owners.extend(of_kinds(&["A", "AAAA", "CNAME", "DNAME", "NS"]));
        let machines = site.nodes.iter().map(|node| &node.name).chain(site.vms.iter().map(|vm| &vm.node));
        let bmcs =
            site.nodes.iter().filter(|node| node.bmc.is_some()).map(|node| format!("{}-mgmt", node.name));
        let leased = machines.cloned().chain(bmcs).map(|name| format!("{name}.{zone}")).collect();
        let pointers =
            site.pointers().into_iter().map(|pointer| (pointer_owner(pointer.address), pointer.name));
        Self {
            searched,
            owners,
            aliases: of_kinds(&["CNAME"]),
            leased,
            pointers: pointers.map(|(owner, name)| (bare(&owner), name)).collect(),
            reverse: site.reverse_zones().iter().map(|zone| bare(&zone.origin)).collect(),
            zone,
        }
    }

    /// Whether an address can be found under `name`, which is in the cluster zone.
    fn leads_somewhere(&self, name: &str) -> bool {
        if self.owners.contains(name) || self.leased.contains(name) {
            return true;
        }
        // A wildcard or a DNAME above it, or a delegation.
        let mut rest = name;
        while let Some((_, above)) = rest.split_once('.') {
            if self.owners.contains(&format!("*.{above}"))
                || (above != self.zone && self.owners.contains(above))
            {
                return true;
            }
            rest = above;
        }
        false
    }
}

fn is_within(name: &str, domain: &str) -> bool {
    name == domain || name.strip_suffix(domain).is_some_and(|front| front.ends_with('.'))
}

fn domain(raw: &RawSite, site: &Site, found: &mut Findings) {
    let spot = raw.cluster.as_ref().and_then(|cluster| cluster.domain.as_ref()).map(|domain| &domain.spot);
    let last = site.cluster.domain.rsplit('.').next().unwrap_or_default();
    if let (Some(spot), Some((_, why))) = (spot, SPECIAL.iter().find(|(top, _)| *top == last)) {
        found
            .warning(spot, format!("{}: {why}", site.cluster.domain))
            .help("use a domain of yours, or one below home.arpa (RFC 8375) or internal");
    }
}

fn forwarders(raw: &RawSite, site: &Site, found: &mut Findings) {
    let dns = raw.dns.as_ref();
    if site.wan.is_some() && site.dns.forward.is_empty() {
        let spot = dns.map(|dns| &dns.spot).or(raw.wan.as_ref().map(|wan| &wan.spot));
        let refused = found.mentions("dns.forward");
        if let Some(spot) = spot.filter(|_| !refused) {
            found
                .warning(spot, "there is an uplink, but nobody to ask about names of the outside world")
                .help("name servers in dns.forward; without them nothing outside resolves");
        }
    }
    let listen: BTreeSet<IpAddr> = site.dns.listen.iter().map(std::net::SocketAddr::ip).collect();
    let servers = dns.into_iter().flat_map(|dns| {
        let conditional = each(&dns.conditional)
            .flat_map(|conditional| conditional.forward.iter().flat_map(|list| list.value.iter()));
        each(&dns.forward).chain(conditional)
    });
    for server in servers {
        let ip = server.value.address.ip();
        if found.mentions(&server.spot.key) {
            continue;
        }
        if listen.contains(&ip) && site.dns.listen.contains(&server.value.address) {
            found
                .error(&server.spot, format!("{} is this name server itself", server.value.address))
                .help("name servers of the outside world");
        } else if let Some(owner) = site.owner_of_address(ip) {
            found
                .warning(
                    &server.spot,
                    format!(
                        "{ip} is {}, which asks this name server: a question could go round for ever",
                        owner.name
                    ),
                )
                .help("name servers of the outside world, or make sure that it never asks back");
        }
    }
}

/// Whether the record is a wildcard where it takes every name of the world away.
fn wildcard(record: &RawRecord, absolute: &str, names: &Names, found: &mut Findings) -> bool {
    let Some(owner) = &record.name else { return false };
    let above = absolute.strip_prefix("*.").map(|above| above.trim_end_matches('.'));
    let Some(above) = above.filter(|above| names.searched.iter().any(|domain| domain == above)) else {
        return false;
    };
    found
        .warning(
            &owner.spot,
            format!(
                "a wildcard in {above}, which pods search: with ndots:5 every name of the outside world becomes one below it"
            ),
        )
        .help("keep wildcards below a name of their own, as *.apps is");
    true
}

/// A name of the outside world whose final dot is missing.
fn misplaced(record: &RawRecord, dns: &RawDns, found: &mut Findings) {
    let Some(owner) = record.name.as_ref().filter(|owner| !found.mentions(&owner.spot.key)) else { return };
    let name = owner.value.0.as_str();
    let Some((_, last)) = name.rsplit_once('.').filter(|_| !name.ends_with('.')) else { return };
    let pinned = each(&dns.pin).any(|pin| pin.value.0 == name);
    if pinned || OUTSIDE.contains(&last) {
        found
            .warning(
                &owner.spot,
                format!(
                    "{} stands in the cluster zone, which pods search: they find it in place of the name outside",
                    quoted(name)
                ),
            )
            .help(format!("if the name outside is meant, end it in a dot: {name}."));
    }
}

fn special(record: &RawRecord, absolute: &str, found: &mut Findings) {
    // What is relative has the domain's ending, which was judged there.
    let Some(owner) = record.name.as_ref().filter(|owner| owner.value.0.ends_with('.')) else { return };
    let last = absolute.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    if let Some((_, why)) = SPECIAL.iter().find(|(top, _)| *top == last) {
        found.warning(&owner.spot, format!("{absolute}: {why}")).help("choose another name");
    }
}

/// Whose zone is somebody else's cannot be delegated here: that is what conditional zones are for.
fn foreign_delegation(record: &RawRecord, absolute: &str, names: &Names, found: &mut Findings) {
    let (Some(owner), Some(kind)) = (&record.name, &record.kind) else { return };
    let name = absolute.trim_end_matches('.');
    let ours = is_within(name, &names.zone) || names.reverse.iter().any(|zone| is_within(name, zone));
    if matches!(kind.value.0.as_str(), "NS" | "DS") && !ours {
        found
            .error(
                &owner.spot,
                format!("{name} is outside of the site's zones, so it cannot be delegated here"),
            )
            .help("name its servers in a [[dns.conditional]] table");
    }
}

fn pointer(record: &RawRecord, absolute: &str, names: &Names, found: &mut Findings) {
    let (Some(owner), Some(kind), Some(value)) = (&record.name, &record.kind, &record.data) else { return };
    if kind.value.0 != "PTR" {
        return;
    }
    if let Some(derived) = names.pointers.get(absolute.trim_end_matches('.'))
        && *derived != self::absolute(&value.value.0, &names.zone)
    {
        found
            .warning(
                &owner.spot,
                format!(
                    "that address is {derived} already; with this PTR it calls itself {} when it boots",
                    value.value.0
                ),
            )
            .help("an address has one name: take the record out, or rename the machine");
    }
}

/// Targets in the cluster zone that lead nowhere.
fn targets(record: &RawRecord, names: &Names, found: &mut Findings) {
    let (Some(kind), Some(value)) = (&record.kind, &record.data) else { return };
    if found.mentions(&value.spot.key) {
        return;
    }
    let index = match kind.value.0.as_str() {
        "CNAME" | "DNAME" | "NS" => 0,
        "MX" | "AFSDB" => 1,
        "SRV" => 3,
        _ => return,
    };
    let Some(target) = value.value.0.split_whitespace().nth(index).filter(|target| *target != ".") else {
        return;
    };
    let target = absolute(&target.to_ascii_lowercase(), &names.zone);
    let target = target.trim_end_matches('.');
    if !is_within(target, &names.zone) || (kind.value.0 == "DNAME" && target == names.zone) {
        return;
    }
    if !names.leads_somewhere(target) {
        found
            .warning(&value.spot, format!("{target} has no address in this site"))
            .help("add it, or end a name of the outside world in a dot");
    } else if kind.value.0 != "CNAME" && names.aliases.contains(target) {
        found
            .warning(
                &value.spot,
                format!("{target} is an alias, which {} records must not lead to", kind.value.0),
            )
            .help("name what the alias stands for (RFC 2181 section 10.3)");
    }
}

fn ttl(record: &RawRecord, found: &mut Findings) {
    let Some(ttl) = record.ttl.as_ref().filter(|ttl| !found.mentions(&ttl.spot.key)) else { return };
    if ttl.value > TTL_LONG {
        found
            .warning(
                &ttl.spot,
                format!(
                    "others keep this for {}, also after it has changed",
                    humantime::format_duration(ttl.value)
                ),
            )
            .help("a day at most; without ttl it is minutes");
    } else if ttl.value < Duration::from_secs(1) {
        found
            .warning(&ttl.spot, "nobody may keep this: it is asked for each time anew")
            .help("leave ttl out, or give at least a few seconds");
    }
}

/// Records of one name and type with different times to live, and several names for one address.
fn rrsets(dns: &RawDns, names: &Names, found: &mut Findings) {
    let mut seen: BTreeMap<(String, &str), &At<RawRecord>> = BTreeMap::new();
    for record in each(&dns.record) {
        let (Some(owner), Some(kind)) = (&record.name, &record.kind) else { continue };
        let key = (absolute(&owner.value.0, &names.zone), kind.value.0.as_str());
        let Some(first) = seen.get(&key) else {
            seen.insert(key, record);
            continue;
        };
        let ttl = |record: &RawRecord| record.ttl.as_ref().map(|ttl| ttl.value);
        if found.mentions(&record.spot.key) {
            continue;
        }
        if key.1 == "PTR" {
            found
                .warning(&record.spot, format!("{} has another PTR already ({})", key.0, first.spot.key))
                .help("an address has one name, or nobody knows which is meant");
        } else if ttl(first) != ttl(record) {
            found
                .warning(
                    &record.spot,
                    format!("another ttl than {} has, for the same name and type", first.spot.key),
                )
                .help("the shortest goes for all of them (RFC 2181 section 5.2)");
        }
    }
}

fn conditionals(dns: &RawDns, names: &Names, found: &mut Findings) {
    for zone in each(&dns.conditional).filter_map(|conditional| conditional.zone.as_ref()) {
        let name = zone.value.0.as_str();
        if found.mentions(&zone.spot.key) {
            continue;
        }
        if names.searched.iter().skip(1).any(|domain| domain == name) {
            found
                .warning(
                    &zone.spot,
                    format!("{name} is above this site's own zone {}, which its servers cannot answer for", names.zone),
                )
                .help("the site goes on answering for its own zone; have it delegated there, for those who ask them");
        } else if names.reverse.iter().any(|zone| zone == name) {
            found
                .warning(&zone.spot, format!("{name} is the site's own, so these servers are never asked"))
                .help("take it out, or name a part of it");
        } else if let Some((_, why)) = SPECIAL[1..].iter().find(|(top, _)| is_within(name, top)) {
            found.warning(&zone.spot, format!("{name}: {why}")).help("choose another name");
        }
    }
}
