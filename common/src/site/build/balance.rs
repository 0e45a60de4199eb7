//! Front ends from the file.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{entries, given};
use crate::site::raw::{RawBackend, RawCheck, RawFrontend, RawLb};
use crate::site::value::Bounded;
use crate::site::{Backend, Balance, Check, CheckKind, Frontend, Lan, Lb, Plane};

const DRAIN: Duration = Duration::from_secs(30);
/// The defaults of the platform's own recommendation: every 5 s, two good, three bad.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(5);
pub(crate) const CHECK_RISE: u32 = 2;
pub(crate) const CHECK_FALL: u32 = 3;

/// `[lb]` with the front ends of the file; the derived ones come later.
pub(super) fn lb(raw: Option<&RawLb>) -> Option<Lb> {
    let plane = raw.and_then(|raw| given(&raw.plane)).unwrap_or(Plane::Auto);
    Some(Lb {
        enable: raw.and_then(|raw| given(&raw.enable)).unwrap_or(true),
        external: raw.and_then(|raw| given(&raw.external)),
        plane,
        drain: raw.and_then(|raw| given(&raw.drain)).unwrap_or(DRAIN),
        frontends: match raw {
            Some(raw) => {
                entries(&raw.frontend, |raw| frontend(raw, plane)).into_iter().collect::<Option<_>>()?
            }
            None => Vec::new(),
        },
    })
}

/// Where front ends listen that say nothing else.
pub(super) fn listen(raw: Option<&RawLb>, lan: &Lan) -> Vec<IpAddr> {
    match raw.and_then(|raw| raw.listen.as_ref()) {
        Some(listen) => listen.value.iter().map(|entry| entry.value.with_default(0).ip()).collect(),
        None => vec![IpAddr::V4(lan.vip)],
    }
}

fn frontend(raw: &RawFrontend, plane: Plane) -> Option<Frontend> {
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
    })
}

fn check(raw: Option<&RawCheck>) -> Option<Check> {
    let count = |key: Option<Bounded<1, 100>>, usual| key.map_or(Some(usual), Bounded::narrow);
    Some(Check {
        kind: raw.and_then(|raw| given(&raw.kind)).unwrap_or(CheckKind::Tcp),
        path: raw.and_then(|raw| given(&raw.path)).map_or_else(|| "/".to_owned(), |path| path.0),
        port: match raw.and_then(|raw| given(&raw.port)) {
            Some(port) => Some(port.narrow()?),
            None => None,
        },
        interval: raw.and_then(|raw| given(&raw.interval)).unwrap_or(CHECK_INTERVAL),
        rise: count(raw.and_then(|raw| given(&raw.rise)), CHECK_RISE)?,
        fall: count(raw.and_then(|raw| given(&raw.fall)), CHECK_FALL)?,
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
