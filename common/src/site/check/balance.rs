//! Front ends from the file: names, listeners, checks and backends.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::each;
use super::service::bounded;
use crate::site::raw::{RawFrontend, RawSite};
use crate::site::read::{At, Findings, Spot, quoted};
use crate::site::{CheckKind, ClusterKind};

const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// The names of derived front ends.
const DERIVED: [&str; 4] = ["api", "machine-config", "ingress-http", "ingress-https"];

pub(super) fn check(raw: &RawSite, found: &mut Findings) {
    let Some(lb) = &raw.lb else { return };
    for entry in lb.listen.iter().flat_map(|list| list.value.iter()) {
        if let Some(port) = entry.value.port() {
            found
                .error(&entry.spot, format!("port {port} has no place here: each front end has its own"))
                .help("give the address alone");
        }
    }
    let kind = raw.cluster.as_ref().and_then(|cluster| cluster.kind.as_ref()).map(|kind| kind.value);
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    if kind != Some(ClusterKind::None) {
        names.extend(DERIVED.map(|name| (name, "derived from cluster.kind".to_owned())));
    }
    for frontend in each(&lb.frontend) {
        if let Some(name) = &frontend.name {
            if let Some(other) = names.get(name.value.0.as_str()) {
                found
                    .error(
                        &name.spot,
                        format!("there is a front end {} already ({other})", quoted(&name.value.0)),
                    )
                    .help("names of front ends are unique");
            } else {
                names.insert(name.value.0.as_str(), name.spot.key.clone());
            }
        }
        listeners(raw, frontend, found);
        health(frontend, found);
        backends(frontend, found);
    }
}

fn listeners(raw: &RawSite, frontend: &At<RawFrontend>, found: &mut Findings) {
    let Some(listen) = &frontend.listen else { return };
    for entry in listen.value.iter() {
        let Some(port) = entry.value.port() else {
            found
                .error(&entry.spot, "a front end listens on a port, and here is none")
                .help(format!("as in {}:5000", entry.value.with_default(0).ip()));
            continue;
        };
        let socket = entry.value.with_default(port);
        let lan = raw.lan.as_ref();
        let own = [
            lan.and_then(|lan| lan.vip.as_ref()).map(|vip| IpAddr::V4(vip.value)),
            lan.and_then(|lan| lan.address.as_ref()).map(|net| IpAddr::V4(net.value.addr())),
            lan.and_then(|lan| lan.address6.as_ref()).map(|net| IpAddr::V6(net.value.addr())),
        ];
        let ip = socket.ip();
        if own.iter().flatten().next().is_some()
            && !own.contains(&Some(ip))
            && !ip.is_unspecified()
            && !ip.is_loopback()
        {
            found
                .warning(
                    &entry.spot,
                    format!("{ip} is neither the VIP nor an address of this bastion on the LAN"),
                )
                .help("front ends usually listen on lan.vip");
        }
        let loops = frontend.backend.iter().flat_map(|list| list.value.iter());
        for address in
            loops.filter_map(|backend| backend.address.as_ref()).filter(|address| address.value.0 == socket)
        {
            found
                .error(&address.spot, format!("{socket} is the front end itself"))
                .help("a backend is another address or port");
        }
    }
}

fn health(frontend: &At<RawFrontend>, found: &mut Findings) {
    let Some(check) = &frontend.check else { return };
    bounded(check.interval.as_ref(), INTERVAL_MIN, INTERVAL_MAX, found);
    let kind = check.kind.as_ref().map_or(CheckKind::Tcp, |kind| kind.value);
    let Some(path) = &check.path else { return };
    if kind == CheckKind::Tcp && !found.mentions(&check.spot.path_of("kind")) {
        found
            .warning(&path.spot, "a check of kind \"tcp\" asks for no path")
            .help("set kind = \"http\" or \"https\", or take the path out");
    }
    let text = path.value.0.as_str();
    if !text.starts_with('/') || text.contains(char::is_whitespace) || !text.is_ascii() {
        found
            .error(&path.spot, format!("{} is no path to ask for", quoted(text)))
            .help("it starts with a slash and has no blanks, as in /healthz");
    }
}

fn backends(frontend: &At<RawFrontend>, found: &mut Findings) {
    let Some(list) = &frontend.backend else { return };
    if list.value.is_empty() && !found.mentions(&list.spot.key) {
        found
            .error(&list.spot, "a front end without a backend serves nobody")
            .help("backend = [{ name = \"…\", address = \"192.168.8.60:5000\" }]");
        return;
    }
    let mut names: BTreeMap<&str, &Spot> = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for backend in list.value.iter() {
        if let Some(name) = &backend.name
            && let Some(other) = names.insert(name.value.0.as_str(), &name.spot)
        {
            found
                .error(
                    &name.spot,
                    format!("there is a backend {} already ({})", quoted(&name.value.0), other.key),
                )
                .help("names of backends are unique within their front end");
        }
        let Some(address) = &backend.address else { continue };
        let ip = address.value.0.ip();
        if ip.is_unspecified() || ip.is_multicast() {
            found
                .error(&address.spot, format!("{ip} is no server's address"))
                .help("give the server's own address");
        } else if let Some(other) = addresses.insert(address.value.0, &address.spot.key) {
            found
                .error(&address.spot, format!("{} is a backend already ({other})", address.value.0))
                .help("use weight for a larger share");
        }
    }
    let none_takes =
        list.value.iter().all(|backend| backend.weight.as_ref().is_some_and(|weight| weight.value.0 == 0));
    if none_takes && !list.value.is_empty() {
        found
            .warning(&list.spot, "every backend has weight 0, so none takes connections")
            .help("give one at least weight 1");
    }
}
