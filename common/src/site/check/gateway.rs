//! What the gateway opens, forwards and lets out.

use std::collections::{BTreeMap, BTreeSet};

use super::each;
use crate::site::build::{CONSOLE_PORT, HTTP_PORT, TANG_PORT};
use crate::site::raw::{RawGateway, RawSite};
use crate::site::read::{At, Findings, Spot, quoted};
use crate::site::value::Port;
use crate::site::{GatewayMode, Published, Transport};

pub(super) fn check(raw: &RawSite, found: &mut Findings) {
    let Some(gateway) = &raw.gateway else { return };
    let mode = gateway.mode.as_ref().map(|mode| mode.value);
    if raw.wan.is_none() && !found.mentions("wan") {
        if let Some(mode) = gateway.mode.as_ref().filter(|mode| mode.value != GatewayMode::Off) {
            found
                .warning(&mode.spot, "there is no [wan] to forward to")
                .help("add [wan] with interface = …, or set mode = \"off\"");
        }
        let open = gateway
            .allow
            .as_ref()
            .map(|allow| &allow.spot)
            .or(gateway.forward.as_ref().map(|list| &list.spot));
        if let Some(spot) = open {
            found.warning(spot, "there is no [wan] to open anything to").help("add [wan] with interface = …");
        }
    }
    if mode == Some(GatewayMode::Off) {
        if let Some(forward) = each(&gateway.forward).next() {
            found
                .warning(&forward.spot, "mode \"off\" forwards nothing")
                .help("use mode = \"pat\" or \"nat\", or take the forwards out");
        }
        if let Some(egress) = each(&gateway.egress).next() {
            found
                .warning(&egress.spot, "mode \"off\" lets nothing through")
                .help("take the egress rules out");
        }
    }
    let mut seen = BTreeSet::new();
    for open in each(&gateway.allow) {
        if !seen.insert(open.value) {
            found.warning(&open.spot, "this is allowed already").help("name it once");
        }
    }
    if let Some(admins) = gateway.admins.as_ref().filter(|admins| admins.value.is_empty())
        && !found.mentions(&admins.spot.key)
        && (seen.contains(&Published::Ssh) || seen.contains(&Published::Console))
    {
        found
            .warning(&admins.spot, "nobody on the WAN may reach ssh and console, though they are allowed")
            .help("name the networks of the administrators, or take ssh and console out of allow");
    }
    forwards(raw, gateway, found);
    for egress in each(&gateway.egress) {
        if egress.to.as_ref().is_some_and(|to| to.value.is_empty() && !found.mentions(&to.spot.key)) {
            found
                .error(&egress.spot, "an egress rule without any network lets nothing out")
                .help("to = [\"0.0.0.0/0\", \"::/0\"] is anywhere");
        }
    }
}

fn forwards(raw: &RawSite, gateway: &RawGateway, found: &mut Findings) {
    let mut taken: BTreeMap<(Transport, i64), (String, String)> = BTreeMap::new();
    for open in each(&gateway.allow) {
        for (transport, port) in published(raw, open.value) {
            taken.insert(
                (transport, port),
                (format!("the service {}", quoted(name(open.value))), open.spot.key.clone()),
            );
        }
    }
    let mut names: BTreeMap<&str, &Spot> = BTreeMap::new();
    let controllers: BTreeSet<_> = each(&raw.node)
        .filter_map(|node| {
            let bmc = node.bmc.as_ref()?;
            bmc.address.as_ref().map(|a| a.value).or_else(|| bmc.url.as_ref()?.value.host.parse().ok())
        })
        .collect();
    let net = raw.lan.as_ref().and_then(|lan| lan.address.as_ref()).map(|net| net.value);
    for forward in each(&gateway.forward) {
        if let Some(name) = &forward.name
            && let Some(other) = names.insert(name.value.0.as_str(), &name.spot)
        {
            found
                .error(
                    &name.spot,
                    format!("there is a forward {} already ({})", quoted(&name.value.0), other.key),
                )
                .help("names of forwards are unique");
        }
        let transport = forward.protocol.as_ref().map_or(Transport::Tcp, |protocol| protocol.value);
        if let Some(port) = &forward.port {
            let key = (transport, port.value.0);
            if let Some((other, key)) = taken.get(&key) {
                found
                    .error(
                        &port.spot,
                        format!("port {} of the WAN leads to {other} already ({key})", port.value.0),
                    )
                    .help("choose another port");
            } else {
                taken.insert(key, ("another forward".to_owned(), port.spot.key.clone()));
            }
        }
        let Some(to) = &forward.to else { continue };
        let target = *to.value.0.ip();
        if let Some(net) = net.filter(|net| !net.contains(&target)) {
            found
                .error(&to.spot, format!("{target} is outside the LAN {}", net.trunc()))
                .help("a forward leads to an address of the LAN");
        } else if controllers.contains(&target) {
            found
                .error(&to.spot, format!("{target} is a BMC, and BMCs are never reachable from the WAN"))
                .help("reach it through this bastion instead: farosctl node …");
        } else if let Some(net) = net.filter(|net| target == net.network() || target == net.broadcast()) {
            found
                .error(&to.spot, format!("{target} is the network or broadcast address of {}", net.trunc()))
                .help("a forward leads to one machine");
        }
    }
}

fn name(published: Published) -> &'static str {
    match published {
        Published::Ssh => "ssh",
        Published::Console => "console",
        Published::Api => "api",
        Published::Ingress => "ingress",
        Published::Dns => "dns",
        Published::Ntp => "ntp",
        Published::Tang => "tang",
        Published::Http => "http",
    }
}

/// The WAN ports that a published service takes.
fn published(raw: &RawSite, service: Published) -> Vec<(Transport, i64)> {
    let port = |port: Option<&At<Port>>, usual: u16| port.map_or(i64::from(usual), |port| port.value.0);
    match service {
        Published::Ssh => vec![(Transport::Tcp, 22)],
        Published::Console => {
            vec![(
                Transport::Tcp,
                port(raw.console.as_ref().and_then(|table| table.port.as_ref()), CONSOLE_PORT),
            )]
        }
        Published::Api => vec![(Transport::Tcp, 6443)],
        Published::Ingress => vec![(Transport::Tcp, 80), (Transport::Tcp, 443)],
        Published::Dns => vec![(Transport::Udp, 53), (Transport::Tcp, 53)],
        Published::Ntp => vec![(Transport::Udp, 123)],
        Published::Tang => {
            vec![(Transport::Tcp, port(raw.tang.as_ref().and_then(|table| table.port.as_ref()), TANG_PORT))]
        }
        Published::Http => {
            vec![(Transport::Tcp, port(raw.http.as_ref().and_then(|table| table.port.as_ref()), HTTP_PORT))]
        }
    }
}
