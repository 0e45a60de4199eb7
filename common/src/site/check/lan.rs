//! The LAN in itself, and the LAN beside the WAN.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::each;
use crate::site::WanAddress;
use crate::site::raw::{RawLan, RawSite};
use crate::site::read::{At, Findings};

/// Shorter prefixes are a slip of the keyboard: no site has sixteen million nodes.
const PREFIX_MIN: u8 = 8;
/// A /30 has room for the bastion and one node.
const PREFIX_MAX: u8 = 30;
/// More dynamic leases than this are beyond a bastion.
const POOL_MAX: usize = 65_536;

pub(super) fn check(raw: &RawSite, found: &mut Findings) {
    let Some(lan) = &raw.lan else { return };
    if let Some(address) = &lan.address {
        address_check(address, found);
        pool(lan, address.value, found);
    }
    if let Some(address) = &lan.address6 {
        let net = address.value;
        if net.addr().is_multicast() || net.addr().is_unspecified() {
            found.error(&address.spot, format!("{} cannot be the address of an interface", net.addr()));
        } else if net.addr().is_loopback() {
            reaches_nobody(address, net.addr().into(), found);
        } else if net.addr().is_unicast_link_local() {
            found
                .error(&address.spot, format!("{} is link-local, which is there anyway", net.addr()))
                .help("give an address of a unique local prefix, such as fd08::1/64");
        } else if net.prefix_len() > 126 {
            found.error(&address.spot, format!("{net} leaves no room for nodes")).help("use a /64");
        } else if net.prefix_len() != 64 {
            found
                .warning(
                    &address.spot,
                    format!("nodes cannot make addresses of their own in {}", net.trunc()),
                )
                .help("autoconfiguration needs a /64 (RFC 4862)");
        } else if net.addr() == net.network() {
            found
                .error(&address.spot, format!("{} is the anycast address of all routers", net.addr()))
                .help("end it in ::1, for instance (RFC 4291 section 2.6.1)");
        }
    }
    interfaces(raw, lan, found);
    if let (Some(wan), Some(address)) = (&raw.wan, &lan.address)
        && let Some(At { value: WanAddress::Static(wan_net), spot }) = &wan.address
    {
        let lan_nets =
            [Some(IpNet::V4(address.value)), lan.address6.as_ref().map(|net| IpNet::V6(net.value))];
        for net in lan_nets.into_iter().flatten() {
            if net.contains(wan_net) || wan_net.contains(&net) || net.contains(&wan_net.addr()) {
                found
                    .error(
                        spot,
                        format!("the WAN's network {} overlaps the LAN's {}", wan_net.trunc(), net.trunc()),
                    )
                    .help("give the LAN a network of its own");
            }
        }
        if wan_net.addr().is_loopback() || wan_net.addr().is_multicast() || wan_net.addr().is_unspecified() {
            found.error(spot, format!("{} cannot be the address of an interface", wan_net.addr()));
        }
    }
}

fn address_check(address: &At<Ipv4Net>, found: &mut Findings) {
    let net = address.value;
    let ip = net.addr();
    if !(PREFIX_MIN..=PREFIX_MAX).contains(&net.prefix_len()) {
        found
            .error(&address.spot, format!("a prefix length of /{} makes no LAN", net.prefix_len()))
            .help(format!("from /{PREFIX_MIN} to /{PREFIX_MAX}; /24 is usual"));
    } else if ip.is_multicast() || ip.octets()[0] == 0 || ip.octets()[0] >= 240 {
        found
            .error(&address.spot, format!("{ip} cannot be the address of an interface"))
            .help("use a private network, such as 192.168.8.1/24 (RFC 1918)");
    } else if ip == net.network() {
        found
            .error(&address.spot, format!("{ip} is the network address of {}", net.trunc()))
            .help("give the bastion a host's address, such as the next one");
    } else if ip == net.broadcast() {
        found
            .error(&address.spot, format!("{ip} is the broadcast address of {}", net.trunc()))
            .help("give the bastion a host's address, such as the one before");
    } else if ip.is_loopback() {
        reaches_nobody(address, ip.into(), found);
    }
}

/// A site on the loopback is good for trying the daemons out, which needs no network and no privilege.
fn reaches_nobody<T>(address: &At<T>, ip: IpAddr, found: &mut Findings) {
    found
        .warning(&address.spot, format!("{ip} reaches nobody but this host"))
        .help("for nodes use a private network, such as 192.168.8.1/24 (RFC 1918)");
}

fn pool(lan: &RawLan, net: Ipv4Net, found: &mut Findings) {
    let Some(pool) = &lan.pool else { return };
    for end in [pool.value.first, pool.value.last] {
        if !net.contains(&end) {
            found
                .error(
                    &pool.spot,
                    format!("the pool reaches outside the LAN: {end} is not in {}", net.trunc()),
                )
                .help(format!("choose addresses from {} to {}", first_host(net), last_host(net)));
            return;
        }
    }
    if pool.value.contains(net.network()) || pool.value.contains(net.broadcast()) {
        found
            .error(&pool.spot, format!("the pool holds the network or broadcast address of {}", net.trunc()))
            .help(format!("choose addresses from {} to {}", first_host(net), last_host(net)));
    }
    if pool.value.len() > POOL_MAX {
        found
            .error(&pool.spot, format!("the pool holds {} addresses, more than {POOL_MAX}", pool.value.len()))
            .help("make it smaller");
    }
}

fn first_host(net: Ipv4Net) -> std::net::Ipv4Addr {
    net.hosts().next().unwrap_or(net.network())
}

fn last_host(net: Ipv4Net) -> std::net::Ipv4Addr {
    u32::from(net.broadcast()).checked_sub(1).map_or(net.broadcast(), Into::into)
}

fn interfaces(raw: &RawSite, lan: &RawLan, found: &mut Findings) {
    let bridge = lan.interface.as_ref().map(|interface| interface.value.0.as_str());
    let mut members = BTreeSet::new();
    for member in each(&lan.members) {
        if Some(member.value.0.as_str()) == bridge {
            found
                .error(&member.spot, format!("{} is the bridge itself", member.value.0))
                .help("members are the ports of the bridge lan.interface");
        } else if !members.insert(member.value.0.as_str()) {
            found.error(&member.spot, format!("{} is a member already", member.value.0)).help("name it once");
        }
    }
    if let Some(interface) = lan.interface.as_ref().filter(|interface| interface.value.0 == "lo") {
        found
            .warning(&interface.spot, "lo leads to no node")
            .help("for nodes name the interface of their network");
    }
    let Some(uplink) = raw.wan.as_ref().and_then(|wan| wan.interface.as_ref()) else { return };
    let name = uplink.value.0.as_str();
    if Some(name) == bridge {
        found
            .error(&uplink.spot, format!("{name} is the LAN's interface"))
            .help("LAN and WAN need an interface each");
    } else if members.contains(name) {
        found
            .error(&uplink.spot, format!("{name} is a member of the LAN's bridge"))
            .help("take it out of lan.members, or name another uplink");
    }
    if matches!(name, "lo") {
        found.error(&uplink.spot, "lo leads nowhere").help("name the interface of the uplink");
    }
}
