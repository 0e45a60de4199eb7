//! From raw tables to the proven site. Defaults are filled in here; whatever could be wrong was reported before.

mod balance;
mod dns;
mod machine;
mod network;
mod service;
mod tang;

pub(crate) use balance::{CONNECT_TIMEOUT, Defaults, IDLE_TIMEOUT};
pub(crate) use dns::{absolute, same_socket};
pub(crate) use machine::made_mac;
pub(crate) use service::{CONSOLE_PORT, HTTP_PORT};
pub(crate) use tang::TANG_PORT;

use super::raw::RawSite;
use super::read::At;
use super::{DhcpOption, Site};
use crate::site::read::List;

/// The site; none where something required is missing, which reading has reported.
pub(crate) fn site(raw: &RawSite) -> Option<Site> {
    raw.version.as_ref()?;
    let cluster = network::cluster(raw.cluster.as_ref()?)?;
    let lan = network::lan(raw.lan.as_ref()?)?;
    let wan = match &raw.wan {
        Some(wan) => Some(network::wan(wan)?),
        None => None,
    };
    let nodes = machine::nodes(raw)?;
    let raw_lb = raw.lb.as_ref().map(|at| &at.value);
    let defaults = balance::defaults(raw_lb, &lan)?;
    let mut site = Site {
        gateway: network::gateway(raw.gateway.as_ref().map(|at| &at.value), wan.is_some())?,
        dhcp: service::dhcp(raw.dhcp.as_ref().map(|at| &at.value), &lan),
        dns: dns::dns(raw.dns.as_ref().map(|at| &at.value), &lan, &cluster)?,
        tftp: service::tftp(raw.tftp.as_ref().map(|at| &at.value), &lan),
        http: service::http(raw.http.as_ref().map(|at| &at.value), &lan)?,
        tang: tang::tang(raw.tang.as_ref().map(|at| &at.value), &lan)?,
        ntp: service::ntp(raw.ntp.as_ref().map(|at| &at.value), &lan)?,
        lb: balance::lb(raw_lb, &defaults)?,
        console: service::console(raw.console.as_ref().map(|at| &at.value), &lan)?,
        install: match &raw.install {
            Some(install) => Some(machine::install(install)?),
            None => None,
        },
        profiles: machine::profiles(raw)?,
        vms: machine::vms(raw, &cluster)?,
        hosts: machine::hosts(raw)?,
        cluster,
        lan,
        wan,
        nodes,
    };
    let mut frontends = site.derived_frontends(&defaults);
    frontends.append(&mut site.lb.frontends);
    site.lb.frontends = frontends;
    dns::encrypted(raw.dns.as_ref().map(|at| &at.value), &mut site);
    Some(site)
}

/// The value of a key, if it was given.
fn given<T: Clone>(key: &Option<At<T>>) -> Option<T> {
    key.as_ref().map(|at| at.value.clone())
}

/// The entries of a list, if it was given.
fn entries<T, U>(key: &Option<At<List<T>>>, each: impl Fn(&T) -> U) -> Vec<U> {
    key.iter().flat_map(|list| list.value.iter()).map(|entry| each(&entry.value)).collect()
}

fn options(key: &Option<At<List<DhcpOption>>>) -> Vec<DhcpOption> {
    entries(key, Clone::clone)
}
