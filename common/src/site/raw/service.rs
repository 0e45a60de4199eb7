//! The services. Each takes `enable`, `listen` and `external`.

use std::net::IpAddr;
use std::time::Duration;

use crate::site::read::{List, OneOrMany, table};
use crate::site::value::{AbsolutePath, Bounded, Endpoint, Label, Listen, Port, Text};
use crate::site::{Balance, CheckKind, DhcpOption, Mac, NtpSource, Plane};

table! {
    /// DHCP.
    RawDhcp {
        /// Whether it runs here.
        "enable" enable: optional bool = "true";
        /// Where it listens.
        "listen" listen: optional OneOrMany<Listen> = "port 67 of lan.address";
        /// With `enable = false`: who does it instead.
        "external" external: optional IpAddr;
        /// How long a lease lasts, from one minute to one year.
        "lease" lease: optional Duration = "1h";
        /// Machines that are never answered.
        "ignore" ignore: optional List<Mac> = "none";
        /// Options by number, for every client. A node's own win over them.
        "options" options: optional List<DhcpOption> = "none";
        /// Whether clients that ask for an address of another network are told off (NAK, RFC 2131 section 4.3.2).
        "authoritative" authoritative: optional bool = "true";
        /// Whether IPv6 router advertisements are sent on the LAN, so that firmware does not wait for one.
        "router-advertisements" router_advertisements: optional bool = "true";
    }
}

table! {
    /// TFTP.
    RawTftp {
        /// Whether it runs here.
        "enable" enable: optional bool = "true";
        /// Where it listens.
        "listen" listen: optional OneOrMany<Listen> = "port 69 of lan.address";
        /// With `enable = false`: who does it instead.
        "external" external: optional IpAddr;
        /// The tree it serves, read-only.
        "root" root: optional AbsolutePath = "/var/lib/faros/boot";
    }
}

table! {
    /// Boot scripts, Ignition and files over HTTP.
    RawHttp {
        /// Whether it runs here.
        "enable" enable: optional bool = "true";
        /// Where it listens.
        "listen" listen: optional OneOrMany<Listen> = "`port` of lan.address";
        /// With `enable = false`: who does it instead.
        "external" external: optional IpAddr;
        /// Its port.
        "port" port: optional Port = "8080";
        /// The tree it serves. Ignition files in it are given to their node only.
        "root" root: optional AbsolutePath = "/var/lib/faros/boot";
    }
}

table! {
    /// Time.
    RawNtp {
        /// Whether it runs here.
        "enable" enable: optional bool = "true";
        /// Where it listens.
        "listen" listen: optional OneOrMany<Listen> = "port 123 of the LAN addresses";
        /// With `enable = false`: who does it instead.
        "external" external: optional IpAddr;
        /// Where the time comes from: `nts://HOST`, `ntp://HOST`, `pool://HOST`, or a reference clock.
        "sources" sources: optional List<NtpSource> = "none: the local clock alone";
        /// The stratum served after `local-after` without any source, if the clock can be believed.
        "local-stratum" local_stratum: optional Bounded<1, 15> = "10";
        /// How long without any source before that.
        "local-after" local_after: optional Duration = "1h";
    }
}

table! {
    /// Layer-4 balancing. With `kind = "openshift"` these front ends are derived: api 6443 and machine-config 22623
    /// (bootstrap and control-plane nodes), ingress 80 and 443 (workers, or the control plane where there are none).
    RawLb {
        /// Whether it runs here.
        "enable" enable: optional bool = "true";
        /// Where front ends listen that say nothing else; addresses without ports.
        "listen" listen: optional OneOrMany<Listen> = "lan.vip";
        /// With `enable = false`: who does it instead; `api`, `api-int` and `*.apps` then point there.
        "external" external: optional IpAddr;
        /// Who forwards the bytes of every front end that says nothing else.
        "plane" plane: optional Plane = "auto";
        /// How long a stopping or draining front end lets connections finish.
        "drain" drain: optional Duration = "30s";
        /// Further front ends.
        "frontend" frontend: optional List<RawFrontend>;
    }
}

table! {
    /// Addresses that are balanced over backends.
    RawFrontend {
        /// Its name.
        "name" name: required Label;
        /// Where it listens, each with its port.
        "listen" listen: required OneOrMany<Listen>;
        /// How a backend is chosen.
        "balance" balance: optional Balance = "least-connections";
        /// Who forwards its bytes.
        "plane" plane: optional Plane = "lb.plane";
        /// How backends are checked.
        "check" check: optional RawCheck = "a TCP connection every 5 s";
        /// The servers behind it.
        "backend" backend: required List<RawBackend>;
        /// Whether it is kept from the WAN whatever the gateway allows.
        "lan-only" lan_only: optional bool = "false";
    }
}

table! {
    /// A health check.
    RawCheck {
        /// What it speaks.
        "kind" kind: optional CheckKind = "tcp";
        /// What it asks for (http and https).
        "path" path: optional Text = "/";
        /// The port it asks.
        "port" port: optional Port = "the backend's";
        /// How often, from 100ms to 1h.
        "interval" interval: optional Duration = "5s";
        /// Good answers until a backend counts as up.
        "rise" rise: optional Bounded<1, 100> = "2";
        /// Bad answers until it counts as down.
        "fall" fall: optional Bounded<1, 100> = "3";
    }
}

table! {
    /// One server behind a front end.
    RawBackend {
        /// Its name.
        "name" name: required Label;
        /// Its address and port.
        "address" address: required Endpoint;
        /// Its share; 0 takes no new connections.
        "weight" weight: optional Bounded<0, 256> = "1";
        /// Whether it serves only while no other does.
        "backup" backup: optional bool = "false";
    }
}

table! {
    /// The web console.
    RawConsole {
        /// Whether it runs here.
        "enable" enable: optional bool = "true";
        /// Where it listens.
        "listen" listen: optional OneOrMany<Listen> = "`port` of lan.address";
        /// With `enable = false`: who does it instead.
        "external" external: optional IpAddr;
        /// Its port.
        "port" port: optional Port = "9090";
    }
}
