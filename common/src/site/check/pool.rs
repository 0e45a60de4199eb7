//! Addresses that are counted on without being reserved: inside the pool they may be leased to a stranger.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use super::each;
use crate::site::raw::RawSite;
use crate::site::read::{Findings, Spot};

pub(super) fn check(raw: &RawSite, found: &mut Findings) {
    let Some(pool) = raw.lan.as_ref().and_then(|lan| lan.pool.as_ref()).map(|pool| pool.value) else {
        return;
    };
    let reserved = reserved(raw);
    let mut counted_on: Vec<(IpAddr, &Spot)> = Vec::new();
    macro_rules! externals {
        ($($table:ident)+) => {$(
            let external = raw.$table.as_ref().and_then(|table| table.external.as_ref());
            counted_on.extend(external.map(|external| (external.value, &external.spot)));
        )+};
    }
    externals!(gateway dhcp dns tftp http tang ntp lb console);
    for forward in raw.gateway.iter().flat_map(|gateway| each(&gateway.forward)) {
        counted_on.extend(forward.to.as_ref().map(|to| (IpAddr::V4(*to.value.0.ip()), &to.spot)));
    }
    for frontend in raw.lb.iter().flat_map(|lb| each(&lb.frontend)) {
        let backends = each(&frontend.backend).filter_map(|backend| backend.address.as_ref());
        counted_on.extend(backends.map(|address| (address.value.0.ip(), &address.spot)));
    }
    for record in raw.dns.iter().flat_map(|dns| each(&dns.record)) {
        let address = record.data.as_ref().and_then(|data| Some((data.value.0.parse().ok()?, &data.spot)));
        counted_on.extend(address);
    }
    for (address, spot) in counted_on {
        if let IpAddr::V4(v4) = address
            && pool.contains(v4)
            && !reserved.contains(&v4)
        {
            found
                .warning(spot, format!("{v4} lies inside the pool, so it may be leased to another machine"))
                .help("reserve it as a [[host]] outside the pool, or make the pool smaller");
        }
    }
}

/// Addresses whose place has a finding of its own.
fn reserved(raw: &RawSite) -> BTreeSet<Ipv4Addr> {
    let nodes = each(&raw.node).flat_map(|node| {
        let bmc = node.bmc.as_ref().and_then(|bmc| bmc.address.as_ref());
        node.address.iter().chain(bmc)
    });
    let hosts = each(&raw.host).filter_map(|host| host.address.as_ref());
    let guests = each(&raw.vm).filter_map(|vm| vm.address.as_ref());
    nodes.chain(hosts).chain(guests).map(|address| address.value).collect()
}
