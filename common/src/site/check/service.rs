//! Who does each service, and the bounds of durations.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::{dns, each};
use crate::site::NtpSourceKind;
use crate::site::raw::RawSite;
use crate::site::read::{At, Findings, Spot};

/// Clients renew at half of it, so a shorter lease is nothing but traffic.
const LEASE_MIN: Duration = Duration::from_secs(60);
/// A longer lease outlives the site.
const LEASE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Beyond it, `local-after` would never come.
const LOCAL_AFTER_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) fn check(raw: &RawSite, found: &mut Findings) {
    macro_rules! who {
        ($($table:ident)+) => {$(
            if let Some(table) = &raw.$table {
                who(stringify!($table), &table.spot, table.enable.as_ref(), table.external.as_ref(), found);
            }
        )+};
    }
    who!(gateway dhcp dns tftp http tang ntp lb console);
    if let Some(dhcp) = &raw.dhcp {
        bounded(dhcp.lease.as_ref(), LEASE_MIN, LEASE_MAX, found);
    }
    dns::check(raw, found);
    ntp(raw, found);
}

/// `external` goes with `enable = false`, and the other way round.
fn who(
    name: &str,
    table: &Spot,
    enable: Option<&At<bool>>,
    external: Option<&At<IpAddr>>,
    found: &mut Findings,
) {
    match (enable, external) {
        (Some(At { value: false, spot }), None)
            if name != "console" && !found.mentions(&table.path_of("external")) =>
        {
            found
                .warning(spot, format!("[{name}] is off, and nobody is named who does its job"))
                .help("add external = \"address\" where another machine does");
        }
        (None | Some(At { value: true, .. }), Some(external)) => {
            found
                .warning(&external.spot, format!("external has no effect while [{name}] runs here"))
                .help("add enable = false, or take external out");
        }
        _ => {}
    }
    if let Some(external) = external
        && (external.value.is_unspecified() || external.value.is_multicast() || external.value.is_loopback())
    {
        found
            .error(&external.spot, format!("{} is no address of another machine", external.value))
            .help("give the address under which the nodes reach it");
    }
}

pub(super) fn bounded(duration: Option<&At<Duration>>, min: Duration, max: Duration, found: &mut Findings) {
    let Some(duration) = duration else { return };
    if !(min..=max).contains(&duration.value) {
        let shown = humantime::format_duration;
        found.error(&duration.spot, format!("{} is out of bounds", shown(duration.value))).help(format!(
            "from {} to {}",
            shown(min),
            shown(max)
        ));
    }
}

/// The addresses that are this bastion's own.
pub(super) fn own(raw: &RawSite) -> Vec<IpAddr> {
    let Some(lan) = &raw.lan else { return Vec::new() };
    let v4 = lan.address.as_ref().map(|net| IpAddr::V4(net.value.addr()));
    let v6 = lan.address6.as_ref().map(|net| IpAddr::V6(net.value.addr()));
    let vip = lan.vip.as_ref().map(|vip| IpAddr::V4(vip.value));
    v4.into_iter().chain(v6).chain(vip).collect()
}

fn ntp(raw: &RawSite, found: &mut Findings) {
    let Some(ntp) = &raw.ntp else { return };
    bounded(ntp.local_after.as_ref(), Duration::ZERO, LOCAL_AFTER_MAX, found);
    let own = own(raw);
    let mut seen: BTreeMap<(String, Option<u16>), &Spot> = BTreeMap::new();
    for source in each(&ntp.sources) {
        let address: Option<IpAddr> = source.value.host.parse().ok();
        let network =
            matches!(source.value.kind, NtpSourceKind::Ntp | NtpSourceKind::Nts | NtpSourceKind::Pool);
        if address.is_some_and(|address| network && (own.contains(&address) || address.is_loopback())) {
            found
                .error(&source.spot, format!("{} is this time server itself", source.value.host))
                .help("name sources of the outside world, or none");
        } else if seen
            .insert(
                (format!("{:?} {}", source.value.kind, source.value.host), source.value.port),
                &source.spot,
            )
            .is_some()
        {
            found
                .warning(&source.spot, format!("{} is in the list already", source.value.host))
                .help("name it once");
        }
    }
}
