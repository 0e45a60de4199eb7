//! The services, with where they listen.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::{entries, given, options};
use crate::site::raw::{RawConsole, RawDhcp, RawHttp, RawNtp, RawTftp};
use crate::site::read::{At, OneOrMany};
use crate::site::value::{Listen, Port};
use crate::site::{Console, Dhcp, Http, Lan, Ntp, Tftp};

pub(crate) const DHCP_PORT: u16 = 67;
pub(crate) const TFTP_PORT: u16 = 69;
pub(crate) const NTP_PORT: u16 = 123;
pub(crate) const HTTP_PORT: u16 = 8080;
pub(crate) const CONSOLE_PORT: u16 = 9090;
const BOOT_ROOT: &str = "/var/lib/faros/boot";
pub(crate) const LEASE: Duration = Duration::from_secs(3600);
const LOCAL_STRATUM: u8 = 10;
const LOCAL_AFTER: Duration = Duration::from_secs(3600);

/// Which LAN addresses a service listens on that says nothing else.
#[derive(Clone, Copy)]
pub(super) enum Families {
    /// IPv4: what the boot chain and DHCP speak.
    V4,
    /// Both, where the LAN has IPv6.
    Both,
}

pub(super) fn listen(
    raw: Option<&At<OneOrMany<Listen>>>,
    port: u16,
    lan: &Lan,
    families: Families,
) -> Vec<SocketAddr> {
    if let Some(raw) = raw {
        return raw.value.iter().map(|entry| entry.value.with_default(port)).collect();
    }
    let v4 = std::iter::once(IpAddr::V4(lan.address.addr()));
    let v6 = lan.address6.map(|net| IpAddr::V6(net.addr())).filter(|_| matches!(families, Families::Both));
    v4.chain(v6).map(|address| SocketAddr::new(address, port)).collect()
}

pub(super) fn path(given: Option<crate::site::value::AbsolutePath>, usual: &str) -> PathBuf {
    given.map_or_else(|| PathBuf::from(usual), |path| path.0)
}

/// The port of a service, and none only if the bounds of [`Port`] were wrong.
pub(super) fn port(raw: Option<Port>, usual: u16) -> Option<u16> {
    raw.map_or(Some(usual), Port::narrow)
}

pub(super) fn dhcp(raw: Option<&RawDhcp>, lan: &Lan) -> Dhcp {
    Dhcp {
        enable: raw.and_then(|raw| given(&raw.enable)).unwrap_or(true),
        external: raw.and_then(|raw| given(&raw.external)),
        listen: listen(raw.and_then(|raw| raw.listen.as_ref()), DHCP_PORT, lan, Families::V4),
        lease: raw.and_then(|raw| given(&raw.lease)).unwrap_or(LEASE),
        ignore: raw.map(|raw| entries(&raw.ignore, |mac| *mac)).unwrap_or_default(),
        options: raw.map(|raw| options(&raw.options)).unwrap_or_default(),
        authoritative: raw.and_then(|raw| given(&raw.authoritative)).unwrap_or(true),
        router_advertisements: raw.and_then(|raw| given(&raw.router_advertisements)).unwrap_or(true),
    }
}

pub(super) fn tftp(raw: Option<&RawTftp>, lan: &Lan) -> Tftp {
    Tftp {
        enable: raw.and_then(|raw| given(&raw.enable)).unwrap_or(true),
        external: raw.and_then(|raw| given(&raw.external)),
        listen: listen(raw.and_then(|raw| raw.listen.as_ref()), TFTP_PORT, lan, Families::V4),
        root: path(raw.and_then(|raw| given(&raw.root)), BOOT_ROOT),
    }
}

pub(super) fn http(raw: Option<&RawHttp>, lan: &Lan) -> Option<Http> {
    let port = port(raw.and_then(|raw| given(&raw.port)), HTTP_PORT)?;
    Some(Http {
        enable: raw.and_then(|raw| given(&raw.enable)).unwrap_or(true),
        external: raw.and_then(|raw| given(&raw.external)),
        listen: listen(raw.and_then(|raw| raw.listen.as_ref()), port, lan, Families::V4),
        port,
        root: path(raw.and_then(|raw| given(&raw.root)), BOOT_ROOT),
    })
}

pub(super) fn ntp(raw: Option<&RawNtp>, lan: &Lan) -> Option<Ntp> {
    let stratum = match raw.and_then(|raw| given(&raw.local_stratum)) {
        Some(stratum) => stratum.narrow()?,
        None => LOCAL_STRATUM,
    };
    Some(Ntp {
        enable: raw.and_then(|raw| given(&raw.enable)).unwrap_or(true),
        external: raw.and_then(|raw| given(&raw.external)),
        listen: listen(raw.and_then(|raw| raw.listen.as_ref()), NTP_PORT, lan, Families::Both),
        sources: raw.map(|raw| entries(&raw.sources, Clone::clone)).unwrap_or_default(),
        local_stratum: Some(stratum),
        local_after: raw.and_then(|raw| given(&raw.local_after)).unwrap_or(LOCAL_AFTER),
    })
}

pub(super) fn console(raw: Option<&RawConsole>, lan: &Lan) -> Option<Console> {
    let port = port(raw.and_then(|raw| given(&raw.port)), CONSOLE_PORT)?;
    Some(Console {
        enable: raw.and_then(|raw| given(&raw.enable)).unwrap_or(true),
        external: raw.and_then(|raw| given(&raw.external)),
        listen: listen(raw.and_then(|raw| raw.listen.as_ref()), port, lan, Families::V4),
        port,
    })
}
