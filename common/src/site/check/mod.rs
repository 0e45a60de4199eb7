//! Whether the parts of a site file fit together. Each check works on raw tables, so that it knows the places, and
//! skips what reading has refused already: one mistake is one finding.

mod balance;
mod claim;
mod cluster;
mod dns;
mod dns_lint;
mod gateway;
mod health;
mod lan;
mod machine;
mod pool;
mod profile;
mod record;
mod service;
mod socket;
mod tang;

use super::Site;
use super::raw::RawSite;
use super::read::{At, Findings, List};

/// Checks that need the tables alone.
pub(crate) fn site(raw: &RawSite, found: &mut Findings) {
    cluster::check(raw, found);
    lan::check(raw, found);
    claim::check(raw, found);
    gateway::check(raw, found);
    service::check(raw, found);
    tang::check(raw, found);
    record::check(raw, found);
    balance::check(raw, found);
    machine::check(raw, found);
    profile::check(raw, found);
    pool::check(raw, found);
}

/// Checks that need defaults and derived parts too.
pub(crate) fn built(raw: &RawSite, site: &Site, found: &mut Findings) {
    socket::check(raw, site, found);
    balance::built(raw, site, found);
    dns::built(raw, site, found);
    dns_lint::built(raw, site, found);
}

/// The cluster zone without its final dot, where both of its parts stand.
fn cluster_zone(raw: &RawSite) -> Option<String> {
    let cluster = raw.cluster.as_ref()?;
    Some(format!("{}.{}", cluster.name.as_ref()?.value.0, cluster.domain.as_ref()?.value.0))
}

/// The entries of a list that may be absent.
fn each<T>(list: &Option<At<List<T>>>) -> impl Iterator<Item = &At<T>> {
    list.iter().flat_map(|list| list.value.iter())
}
