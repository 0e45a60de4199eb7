//! Layer-4 balancing.

use std::net::IpAddr;
use std::time::Duration;

use crate::site::read::{List, OneOrMany, table};
use crate::site::value::{
    AbsolutePath, Bounded, CongestionControl, Endpoint, Label, Listen, Port, Prefix, ServerName, StatusRange,
    Text,
};
use crate::site::{Balance, CheckKind, Plane, ProxyVersion};

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
        /// Connections at a time of every front end that says nothing else, derived ones too; the kernel plane has no
        /// such bound.
        "max-connections" max_connections: optional Bounded<1, 1_000_000> = "16384";
        /// Connections at a time of one source address, for every front end that says nothing else, derived ones too;
        /// `0`: no bound.
        "max-per-source" max_per_source: optional Bounded<0, 1_000_000> = "0";
        /// The algorithm of congestion control of every front end that says nothing else, derived ones too; the kernel plane has no
        /// such bound.
        "congestion-control" congestion_control: optional CongestionControl = "cubic";
        /// Whether each connection's end is an event, with times, octets and who ended it, for every front end that
        /// says nothing else, derived ones too.
        "log" log: optional bool = "false";
        /// The certificates, PEM, that the API servers' own are checked against by the health check of the derived
        /// front end `api`; without it any certificate will do.
        "api-ca" api_ca: optional AbsolutePath = "certificates are not checked";
        /// The PROXY header that the ingress routers get, where they are set to expect one.
        "ingress-send-proxy" ingress_send_proxy: optional ProxyVersion = "none";
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
        /// Who forwards its bytes. What the kernel cannot do (`accept-proxy`, `send-proxy`, `first-byte-timeout`,
        /// `log`) makes `auto` choose the daemon.
        "plane" plane: optional Plane = "lb.plane";
        /// How backends are checked.
        "check" check: optional RawCheck = "a TCP connection every 5 s";
        /// The servers behind it.
        "backend" backend: required List<RawBackend>;
        /// Whether it is kept from the WAN whatever the gateway allows.
        "lan-only" lan_only: optional bool = "false";
        /// How long all attempts to find a backend for a connection may take together, from 50ms to 10m.
        "connect-timeout" connect_timeout: optional Duration = "5s";
        /// A connection over which nothing goes either way is closed after this, from 1s to 1 year. Peers that have
        /// vanished are found much sooner, by keepalive.
        "idle-timeout" idle_timeout: optional Duration = "24h";
        /// How long a client may take to its first octet, from 100ms to 1h. Not for protocols in which the server
        /// speaks first.
        "first-byte-timeout" first_byte_timeout: optional Duration = "for ever";
        /// Connections at a time; beyond it new ones wait in the kernel's queue. The kernel plane has no such bound.
        "max-connections" max_connections: optional Bounded<1, 1_000_000> = "lb.max-connections";
        /// Connections at a time of one source address; beyond it new ones are reset. `0`: no bound.
        "max-per-source" max_per_source: optional Bounded<0, 1_000_000> = "lb.max-per-source";
        /// Who may connect; others are reset. After a PROXY header the client that it names counts.
        "allow" allow: optional OneOrMany<Prefix> = "everybody";
        /// Who must send a PROXY header (version 1 or 2) first and is believed; nobody else may send one.
        "accept-proxy" accept_proxy: optional OneOrMany<Prefix> = "nobody";
        /// The PROXY header that backends get: `v1` is a line of text, `v2` is binary.
        "send-proxy" send_proxy: optional ProxyVersion = "none";
        /// The algorithm of congestion control towards clients and backends, as in
        /// `net.ipv4.tcp_available_congestion_control`; `system`, and whatever this kernel lacks: the system's.
        "congestion-control" congestion_control: optional CongestionControl = "lb.congestion-control";
        /// For how long a backend that comes up again gets a growing share, up to 1h; `0s`: its full share at once. One
        /// that comes up while no other serves gets all at once.
        "slow-start" slow_start: optional Duration = "0s";
        /// Whether connections are closed when their backend goes down, so that clients do not wait for it.
        "close-on-down" close_on_down: optional bool = "false";
        /// Whether each connection's end is an event, with times, octets and who ended it.
        "log" log: optional bool = "lb.log";
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
        /// How often while answers and state disagree: on the way up and on the way down, from 100ms to `interval`.
        "fast-interval" fast_interval: optional Duration = "2s, or `interval` where that is less";
        /// How long an answer may take, from 10ms to 10m.
        "timeout" timeout: optional Duration = "3s, or `interval` where that is less";
        /// Good answers until a backend counts as up.
        "rise" rise: optional Bounded<1, 100> = "2";
        /// Bad answers until it counts as down.
        "fall" fall: optional Bounded<1, 100> = "3";
        /// What a good answer's status is (http and https): numbers, or ranges as in `"200-399"`.
        "status" status: optional OneOrMany<StatusRange> = "200-399";
        /// What a good answer's body contains (http and https), in its first 64 KiB.
        "body" body: optional Text = "anything";
        /// The certificates, PEM, that the backend's own is checked against (https).
        "ca" ca: optional AbsolutePath = "certificates are not checked";
        /// The name that the check asks for (http: `Host`; https: also SNI) and that a checked certificate must carry.
        "server-name" server_name: optional ServerName = "the backend's address";
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
