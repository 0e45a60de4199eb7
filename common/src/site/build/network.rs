//! Cluster, LAN, WAN and gateway.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{entries, given};
use crate::site::raw::{RawCluster, RawGateway, RawLan, RawWan};
use crate::site::{
    Cluster, ClusterKind, Egress, Forward, Gateway, GatewayMode, Lan, Transport, Wan, WanAddress,
};

pub(super) fn cluster(raw: &RawCluster) -> Option<Cluster> {
    Some(Cluster {
        name: given(&raw.name)?.0,
        domain: given(&raw.domain)?.0,
        kind: given(&raw.kind).unwrap_or(ClusterKind::Openshift),
    })
}

pub(super) fn lan(raw: &RawLan) -> Option<Lan> {
    let address = given(&raw.address)?;
    let members = entries(&raw.members, |member| member.0.clone());
    Some(Lan {
        interface: given(&raw.interface)?.0,
        address,
        address6: given(&raw.address6),
        vip: given(&raw.vip).unwrap_or(address.addr()),
        pool: given(&raw.pool),
        manage: given(&raw.manage).unwrap_or(!members.is_empty()),
        members,
    })
}

pub(super) fn wan(raw: &RawWan) -> Option<Wan> {
    Some(Wan {
        interface: given(&raw.interface)?.0,
        address: given(&raw.address).unwrap_or(WanAddress::Dhcp),
    })
}

pub(super) fn gateway(raw: Option<&RawGateway>, has_wan: bool) -> Option<Gateway> {
    let anyone = || vec![IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
    let usual_mode = if has_wan { GatewayMode::Pat } else { GatewayMode::Off };
    let Some(raw) = raw else {
        return Some(Gateway {
            enable: true,
            external: None,
            mode: usual_mode,
            allow: Vec::new(),
            admins: anyone(),
            forwards: Vec::new(),
            egress: Vec::new(),
        });
    };
    let mut allow = entries(&raw.allow, |published| *published);
    allow.sort_unstable();
    allow.dedup();
    Some(Gateway {
        enable: given(&raw.enable).unwrap_or(true),
        external: given(&raw.external),
        mode: given(&raw.mode).unwrap_or(usual_mode),
        allow,
        admins: if raw.admins.is_some() { entries(&raw.admins, |prefix| prefix.0) } else { anyone() },
        forwards: entries(&raw.forward, |forward| {
            Some(Forward {
                name: given(&forward.name)?.0,
                protocol: given(&forward.protocol).unwrap_or(Transport::Tcp),
                port: given(&forward.port)?.narrow()?,
                to: given(&forward.to)?.0,
                from: entries(&forward.from, |prefix| prefix.0),
            })
        })
        .into_iter()
        .collect::<Option<_>>()?,
        egress: entries(&raw.egress, |egress| {
            Some(Egress {
                to: egress.to.as_ref()?.value.iter().map(|prefix| prefix.value.0).collect(),
                ports: entries(&egress.ports, Clone::clone),
            })
        })
        .into_iter()
        .collect::<Option<_>>()?,
    })
}
