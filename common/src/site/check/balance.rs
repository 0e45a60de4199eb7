//! Front ends from the file: names, listeners, how connections are treated, and backends.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::service::{bounded, own};
use super::{each, health};
use crate::site::build::same_socket;
use crate::site::raw::{RawFrontend, RawLb, RawSite};
use crate::site::read::{At, Findings, Spot, quoted};
use crate::site::{Balance, ClusterKind, Plane, Site};

/// systemd's own patience with a stopping service, and then some.
const DRAIN_MAX: Duration = Duration::from_secs(3600);
/// Two attempts need that much in a LAN.
const CONNECT_MIN: Duration = Duration::from_millis(50);
/// No client waits longer.
const CONNECT_MAX: Duration = Duration::from_secs(600);
const IDLE_MIN: Duration = Duration::from_secs(1);
const IDLE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
const FIRST_BYTE_MIN: Duration = Duration::from_millis(100);
const FIRST_BYTE_MAX: Duration = Duration::from_secs(3600);
const SLOW_START_MAX: Duration = Duration::from_secs(3600);
/// The Kubernetes API, and how long a watch of it may be silent at least: API servers end watches after 5 to 10
/// minutes.
const API_PORT: u16 = 6443;
const API_IDLE_MIN: Duration = Duration::from_secs(600);
/// The names of derived front ends.
const DERIVED: [&str; 4] = ["api", "machine-config", "ingress-http", "ingress-https"];

pub(super) fn check(raw: &RawSite, found: &mut Findings) {
    let Some(lb) = &raw.lb else { return };
    bounded(lb.drain.as_ref(), Duration::ZERO, DRAIN_MAX, found);
    let kind = raw.cluster.as_ref().and_then(|cluster| cluster.kind.as_ref()).map(|kind| kind.value);
    for entry in lb.listen.iter().flat_map(|list| list.value.iter()) {
        if let Some(port) = entry.value.port() {
            found
                .error(&entry.spot, format!("port {port} has no place here: each front end has its own"))
                .help("give the address alone");
        }
        let ip = entry.value.with_default(0).ip();
        if kind == Some(ClusterKind::Openshift) && off_lan(raw, ip) {
            found
                .error(
                    &entry.spot,
                    format!("{ip} is not on the LAN, and what machine-config hands out is secret"),
                )
                .help("listen on lan.vip; the gateway publishes what gateway.allow names");
        }
    }
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
        if let Some(check) = &frontend.check {
            health::check(check, found);
        }
        treatment(lb, frontend, found);
        backends(frontend, found);
    }
}

/// What needs all front ends, the derived ones too.
pub(super) fn built(raw: &RawSite, site: &Site, found: &mut Findings) {
    let Some(lb) = &raw.lb else { return };
    let configured = site.lb.frontends.iter().filter(|frontend| !frontend.derived);
    for (raw_frontend, frontend) in each(&lb.frontend).zip(configured) {
        for backend in each(&raw_frontend.backend) {
            let Some(address) = &backend.address else { continue };
            looped(raw, site, &frontend.name, address.value.0, &address.spot, found);
        }
        if frontend.plane == Plane::Kernel {
            beyond_kernel(raw_frontend, found);
        }
    }
    if site.lb.plane == Plane::Kernel {
        let asks = lb.ingress_send_proxy.as_ref().map(|at| ("ingress-send-proxy", &at.spot));
        let logs = lb.log.as_ref().filter(|log| log.value).map(|at| ("log", &at.spot));
        for (key, spot) in asks.into_iter().chain(logs) {
            found
                .error(spot, format!("the kernel plane knows no {key}"))
                .help("take it out, or set plane = \"auto\"");
        }
    }
}

/// Whether `ip` is a listener's address that hosts beyond the LAN would ask for.
fn off_lan(raw: &RawSite, ip: IpAddr) -> bool {
    if ip.is_unspecified() || ip.is_loopback() {
        return false; // what comes in on other interfaces is told apart then
    }
    let lan = raw.lan.as_ref();
    let net = lan.and_then(|lan| lan.address.as_ref()).map(|net| IpNet::V4(net.value));
    let net6 = lan.and_then(|lan| lan.address6.as_ref()).map(|net| IpNet::V6(net.value));
    net.is_some() && !net.iter().chain(net6.iter()).any(|net| net.contains(&ip))
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
        if frontend.lan_only.as_ref().is_some_and(|at| at.value) && off_lan(raw, ip) {
            found
                .error(
                    &entry.spot,
                    format!("{ip} is not on the LAN, from where alone this front end is reached"),
                )
                .help("listen on lan.vip, or take lan-only out");
        } else if own.iter().flatten().next().is_some()
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
    }
}

/// How connections are treated.
fn treatment(raw: &RawLb, frontend: &At<RawFrontend>, found: &mut Findings) {
    bounded(frontend.connect_timeout.as_ref(), CONNECT_MIN, CONNECT_MAX, found);
    bounded(frontend.idle_timeout.as_ref(), IDLE_MIN, IDLE_MAX, found);
    bounded(frontend.first_byte_timeout.as_ref(), FIRST_BYTE_MIN, FIRST_BYTE_MAX, found);
    bounded(frontend.slow_start.as_ref(), Duration::ZERO, SLOW_START_MAX, found);
    if let Some(allow) = frontend.allow.as_ref().filter(|allow| allow.value.is_empty())
        && !found.mentions(&allow.spot.key)
    {
        found.error(&allow.spot, "a front end that nobody may use").help("leave the key out: everybody may");
    }
    for entry in frontend.accept_proxy.iter().flat_map(|list| list.value.iter()) {
        if entry.value.0.prefix_len() == 0 {
            found
                .warning(&entry.spot, "anybody may claim any source with a PROXY header")
                .help("name the balancers in front of this one alone");
        }
    }
    let all = frontend.max_connections.as_ref().or(raw.max_connections.as_ref());
    if let (Some(all), Some(one)) = (all, &frontend.max_per_source)
        && one.value.0 > all.value.0
    {
        found
            .warning(&one.spot, format!("never reached: {} is the bound for all sources", all.value.0))
            .help("set it below max-connections");
    }
    api(frontend, found);
}

/// What the cluster's API does not bear.
fn api(frontend: &At<RawFrontend>, found: &mut Findings) {
    let mut listens = frontend.listen.iter().flat_map(|list| list.value.iter());
    if !listens.any(|entry| entry.value.port() == Some(API_PORT)) {
        return;
    }
    if let Some(balance) = frontend.balance.as_ref().filter(|balance| balance.value == Balance::Source) {
        found
            .warning(&balance.spot, "the cluster's API is balanced without persistence")
            .help("leave the key out: least-connections");
    }
    if let Some(idle) = frontend.idle_timeout.as_ref().filter(|idle| idle.value < API_IDLE_MIN) {
        found
            .warning(&idle.spot, "watches of the cluster's API are silent for longer, and are cut")
            .help("leave the key out: 24h, and peers that vanished are found by keepalive");
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

/// A backend that is a front end of this bastion: each connection would make another one, without end.
fn looped(raw: &RawSite, site: &Site, name: &str, backend: SocketAddr, spot: &Spot, found: &mut Findings) {
    let here = own(raw).contains(&backend.ip()) || backend.ip().is_loopback();
    let taken = |listen: SocketAddr| {
        listen == backend || (here && listen.ip().is_unspecified() && same_socket(listen, backend))
    };
    let front = site.lb.frontends.iter().find(|front| front.listen.iter().any(|&listen| taken(listen)));
    let Some(front) = front else { return };
    if front.name == name {
        found.error(spot, format!("{backend} is the front end itself"))
    } else {
        found.error(spot, format!("{backend} is the front end {} of this bastion", quoted(&front.name)))
    }
    .help("a backend is another address or port");
}

/// What the kernel plane cannot do, where it was chosen.
fn beyond_kernel(frontend: &At<RawFrontend>, found: &mut Findings) {
    let accepts = frontend.accept_proxy.as_ref().map(|at| ("accept-proxy", &at.spot));
    let sends = frontend.send_proxy.as_ref().map(|at| ("send-proxy", &at.spot));
    let waits = frontend.first_byte_timeout.as_ref().map(|at| ("first-byte-timeout", &at.spot));
    let logs = frontend.log.as_ref().filter(|log| log.value).map(|at| ("log", &at.spot));
    for (key, spot) in [accepts, sends, waits, logs].into_iter().flatten() {
        found
            .error(spot, format!("the kernel plane knows no {key}"))
            .help("take it out, or set plane = \"user\" for this front end");
    }
}
