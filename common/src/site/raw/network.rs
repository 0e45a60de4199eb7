//! Cluster, LAN, WAN and gateway.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::site::read::{List, table};
use crate::site::value::{Domain, Endpoint4, Interface, Label, Port, Prefix};
use crate::site::{ClusterKind, GatewayMode, Ipv4Range, PortSpec, Published, Transport, WanAddress};

table! {
    /// The cluster's name and kind.
    RawCluster {
        /// The cluster's short name. With `domain` it makes the cluster zone, such as `edge.example.com`.
        "name" name: required Label;
        /// The domain above it.
        "domain" domain: required Domain;
        /// Which DNS records and front ends are derived.
        "kind" kind: optional ClusterKind = "openshift";
    }
}

table! {
    /// The network of the nodes.
    RawLan {
        /// The interface: a bridge made of `members`; with no members it must exist already.
        "interface" interface: required Interface;
        /// The ports of the bridge.
        "members" members: optional List<Interface> = "none";
        /// This bastion's address on the LAN, with the prefix length of the network.
        "address" address: required Ipv4Net;
        /// This bastion's IPv6 address; its prefix, best a unique local one, is announced to the nodes.
        "address6" address6: optional Ipv6Net = "no IPv6";
        /// Where `api`, `api-int` and `*.apps` point.
        "vip" vip: optional Ipv4Addr = "the bastion's own address";
        /// Addresses for dynamic leases; must not hold a reserved address.
        "pool" pool: optional Ipv4Range = "none: only known machines get an address";
        /// Whether the gateway makes the interface and its addresses itself, instead of the host's own network setup.
        "manage" manage: optional bool = "true where there are members";
    }
}

table! {
    /// The uplink.
    RawWan {
        /// Its interface.
        "interface" interface: required Interface;
        /// `"dhcp"`, or its address with the prefix length.
        "address" address: optional WanAddress = "dhcp";
    }
}

table! {
    /// Routing, NAT and firewall.
    RawGateway {
        /// Whether it runs here.
        "enable" enable: optional bool = "true";
        /// With `enable = false`: the address of the router that does it instead.
        "external" external: optional IpAddr;
        /// `pat`: only the WAN address is reachable; what `allow` names is served or forwarded there.
        /// `nat`: hosts outside may also route to the LAN: the VIP and the nodes that serve them, on the ports that
        /// `allow` names, and whatever forwards publish; everything else stays closed, BMCs always.
        /// `off`: no forwarding and no NAT; the input rules stay.
        "mode" mode: optional GatewayMode = "pat with a [wan], else off";
        /// What is open to the WAN; nothing else is.
        "allow" allow: optional List<Published> = "nothing";
        /// Who on the WAN may reach ssh and console.
        "admins" admins: optional List<Prefix> = "anyone";
        /// WAN ports that lead to a LAN address.
        "forward" forward: optional List<RawForward>;
        /// With any entry the LAN may open only these towards the WAN; with none, anything (BMCs never).
        "egress" egress: optional List<RawEgress>;
    }
}

table! {
    /// One WAN port that leads to a LAN address.
    RawForward {
        /// What it is called in listings.
        "name" name: required Label;
        /// Its transport.
        "protocol" protocol: optional Transport = "tcp";
        /// The WAN port.
        "port" port: required Port;
        /// Where it leads: a LAN address and port.
        "to" to: required Endpoint4;
        /// Who may use it.
        "from" from: optional List<Prefix> = "anyone";
    }
}

table! {
    /// Destinations that the LAN may reach.
    RawEgress {
        /// Networks.
        "to" to: required List<Prefix>;
        /// Transports and ports.
        "ports" ports: optional List<PortSpec> = "all";
    }
}
