//! Front ends from the file.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::{entries, given};
use crate::site::raw::{RawBackend, RawCheck, RawFrontend, RawLb};
use crate::site::read::{At, OneOrMany};
use crate::site::value::{Bounded, CongestionControl, Prefix};
use crate::site::{Backend, Balance, Check, CheckKind, Frontend, Lan, Lb, Plane, ProxyVersion};

const DRAIN: Duration = Duration::from_secs(30);
/// The defaults of the platform's own recommendation: every 5 s, two good, three bad.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
const CHECK_FAST_INTERVAL: Duration = Duration::from_secs(2);
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);
const CHECK_RISE: u32 = 2;
const CHECK_FALL: u32 = 3;
/// Redirections count as life, as everywhere else.
const CHECK_STATUS: RangeInclusive<u16> = 200..=399;
/// Several times what all watches of a small cluster's API need.
const MAX_CONNECTIONS: u32 = 16_384;
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Watches of the API are silent for hours; peers that vanished are found by keepalive.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// The system's may be made for slow links, which costs a fifth of the throughput within a LAN.
const CONGESTION_CONTROL: &str = "cubic";
/// Stands for whatever the system uses.
const CONGESTION_CONTROL_SYSTEM: &str = "system";

/// What holds for every front end that says nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    pub(crate) listen: Vec<IpAddr>,
    pub(crate) max_connections: u32,
    pub(crate) max_per_source: Option<u32>,
    pub(crate) congestion_control: Option<String>,
    pub(crate) log: bool,
    pub(crate) api_ca: Option<PathBuf>,
    pub(crate) ingress_send_proxy: Option<ProxyVersion>,
}

/// `[lb]` with the front ends of the file; the derived ones come later.
pub(super) fn lb(raw: Option<&RawLb>, defaults: &Defaults) -> Option<Lb> {
    let plane = raw.and_then(|raw| given(&raw.plane)).unwrap_or(Plane::Auto);
    Some(Lb {
        enable: raw.and_then(|raw| given(&raw.enable)).unwrap_or(true),
        external: raw.and_then(|raw| given(&raw.external)),
        plane,
        drain: raw.and_then(|raw| given(&raw.drain)).unwrap_or(DRAIN),
        frontends: match raw {
            Some(raw) => entries(&raw.frontend, |raw| frontend(raw, plane, defaults))
                .into_iter()
                .collect::<Option<_>>()?,
            None => Vec::new(),
        },
    })
}

/// What `[lb]` says for all front ends.
pub(super) fn defaults(raw: Option<&RawLb>, lan: &Lan) -> Option<Defaults> {
    let per_source = raw.and_then(|raw| given(&raw.max_per_source));
    Some(Defaults {
        listen: listen(raw, lan),
        max_connections: raw
            .and_then(|raw| given(&raw.max_connections))
            .map_or(Some(MAX_CONNECTIONS), Bounded::narrow)?,
        max_per_source: match per_source {
            Some(bound) => self::per_source(bound)?,
            None => None,
        },
        congestion_control: algorithm(
            raw.and_then(|raw| given(&raw.congestion_control))
                .unwrap_or_else(|| CongestionControl(CONGESTION_CONTROL.to_owned())),
        ),
        log: raw.and_then(|raw| given(&raw.log)).unwrap_or(false),
        api_ca: raw.and_then(|raw| given(&raw.api_ca)).map(|path| path.0),
        ingress_send_proxy: raw.and_then(|raw| given(&raw.ingress_send_proxy)),
    })
}

/// The bound; inside: none where it is 0.
fn per_source(bound: Bounded<0, 1_000_000>) -> Option<Option<u32>> {
    bound.narrow().map(|bound: u32| Some(bound).filter(|bound| *bound > 0))
}

fn algorithm(name: CongestionControl) -> Option<String> {
    Some(name.0).filter(|name| name != CONGESTION_CONTROL_SYSTEM)
}

/// Where front ends listen that say nothing else.
fn listen(raw: Option<&RawLb>, lan: &Lan) -> Vec<IpAddr> {
    match raw.and_then(|raw| raw.listen.as_ref()) {
        Some(listen) => listen.value.iter().map(|entry| entry.value.with_default(0).ip()).collect(),
        None => vec![IpAddr::V4(lan.vip)],
    }
}

fn frontend(raw: &RawFrontend, plane: Plane, defaults: &Defaults) -> Option<Frontend> {
    let listen = raw.listen.as_ref()?.value.iter().map(|entry| {
        let port = entry.value.port()?;
        Some(SocketAddr::new(entry.value.with_default(port).ip(), port))
    });
    Some(Frontend {
        name: given(&raw.name)?.0,
        listen: listen.collect::<Option<_>>()?,
        balance: given(&raw.balance).unwrap_or(Balance::LeastConnections),
        plane: given(&raw.plane).unwrap_or(plane),
        check: check(raw.check.as_ref().map(|at| &at.value))?,
        backends: raw.backend.as_ref()?.value.iter().map(|raw| backend(raw)).collect::<Option<_>>()?,
        derived: false,
        lan_only: given(&raw.lan_only).unwrap_or(false),
        connect_timeout: given(&raw.connect_timeout).unwrap_or(CONNECT_TIMEOUT),
        idle_timeout: given(&raw.idle_timeout).unwrap_or(IDLE_TIMEOUT),
        first_byte_timeout: given(&raw.first_byte_timeout),
        max_connections: given(&raw.max_connections)
            .map_or(Some(defaults.max_connections), Bounded::narrow)?,
        max_per_source: match given(&raw.max_per_source) {
            Some(bound) => per_source(bound)?,
            None => defaults.max_per_source,
        },
        allow: prefixes(raw.allow.as_ref()),
        accept_proxy: prefixes(raw.accept_proxy.as_ref()),
        send_proxy: given(&raw.send_proxy),
        congestion_control: given(&raw.congestion_control)
            .map_or_else(|| defaults.congestion_control.clone(), algorithm),
        slow_start: given(&raw.slow_start).unwrap_or(Duration::ZERO),
        close_on_down: given(&raw.close_on_down).unwrap_or(false),
        log: given(&raw.log).unwrap_or(defaults.log),
    })
}

fn prefixes(key: Option<&At<OneOrMany<Prefix>>>) -> Vec<IpNet> {
    key.into_iter().flat_map(|list| list.value.iter()).map(|entry| entry.value.0).collect()
}

fn check(raw: Option<&RawCheck>) -> Option<Check> {
    let count = |key: Option<Bounded<1, 100>>, usual| key.map_or(Some(usual), Bounded::narrow);
    let interval = raw.and_then(|raw| given(&raw.interval)).unwrap_or(CHECK_INTERVAL);
    let statuses = raw.and_then(|raw| raw.status.as_ref());
    Some(Check {
        kind: raw.and_then(|raw| given(&raw.kind)).unwrap_or(CheckKind::Tcp),
        path: raw.and_then(|raw| given(&raw.path)).map_or_else(|| "/".to_owned(), |path| path.0),
        port: match raw.and_then(|raw| given(&raw.port)) {
            Some(port) => Some(port.narrow()?),
            None => None,
        },
        interval,
        fast_interval: raw
            .and_then(|raw| given(&raw.fast_interval))
            .unwrap_or_else(|| interval.min(CHECK_FAST_INTERVAL)),
        timeout: raw.and_then(|raw| given(&raw.timeout)).unwrap_or_else(|| interval.min(CHECK_TIMEOUT)),
        rise: count(raw.and_then(|raw| given(&raw.rise)), CHECK_RISE)?,
        fall: count(raw.and_then(|raw| given(&raw.fall)), CHECK_FALL)?,
        status: statuses.map_or_else(
            || vec![CHECK_STATUS],
            |list| list.value.iter().map(|entry| entry.value.0.clone()).collect(),
        ),
        body: raw.and_then(|raw| given(&raw.body)).map(|text| text.0),
        ca: raw.and_then(|raw| given(&raw.ca)).map(|path| path.0),
        server_name: raw.and_then(|raw| given(&raw.server_name)).map(|name| name.0),
    })
}

fn backend(raw: &RawBackend) -> Option<Backend> {
    Some(Backend {
        name: given(&raw.name)?.0,
        address: given(&raw.address)?.0,
        weight: given(&raw.weight).map_or(Some(1), Bounded::narrow)?,
        backup: given(&raw.backup).unwrap_or(false),
    })
}
