//! The site that the tests of the name server play on.

use std::net::SocketAddr;

use faros_lab::{Lab, Namespace};

use crate::{machine_at, site};

/// Where the name server listens.
pub const SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 8, 1)), 53);
/// Where the upstream on the WAN listens.
pub const UPSTREAM: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1)), 53);
/// The cluster zone.
pub const ZONE: &str = "edge.example.com.";
/// The bastion's own address on the WAN.
pub const WAN: &str = "198.51.100.2";
/// How many TXT records `big` has: more than any datagram holds.
pub const BIG_RECORDS: usize = 60;

/// [`site::SITE`] with records of many types, and the upstream of [`UPSTREAM`].
pub fn text() -> String {
    let mut text = site::SITE.replace(
        "[tftp]",
        "[dns]\nforward = [\"198.51.100.1\"]\npin = [\"pinned.example.net\"]\ntransfer = [\"192.168.8.0/28\"]\n[tftp]",
    );
    let mut record = |name: &str, kind: &str, value: &str| {
        text.push_str(&format!("[[dns.record]]\nname = '{name}'\ntype = \"{kind}\"\nvalue = '{value}'\n"));
    };
    for (name, kind, value) in [
        ("registry", "A", "192.168.8.60"),
        ("registry", "AAAA", "fd08::60"),
        ("registry", "MX", "10 mail"),
        ("mail", "A", "192.168.8.61"),
        ("alias", "CNAME", "registry"),
        ("chain", "CNAME", "alias"),
        ("away", "CNAME", "www.example.net."),
        ("loop-a", "CNAME", "loop-b"),
        ("loop-b", "CNAME", "loop-a"),
        ("deep.under.empty", "A", "192.168.8.63"),
        ("*.wild", "A", "192.168.8.64"),
        ("*.wild", "MX", "10 mail"),
        ("kept.wild", "TXT", "\"only text\""),
        ("a.inner.wild", "A", "192.168.8.65"),
        ("*.alias-wild", "CNAME", "registry"),
        ("_sip._tcp", "SRV", "0 5 5060 registry"),
        ("sub", "NS", "ns.sub"),
        ("ns.sub", "A", "192.168.8.66"),
        ("tree", "DNAME", "wild"),
        ("caa", "CAA", "0 issue \"ca.example.net\""),
        ("two", "A", "192.168.8.67"),
        ("two", "A", "192.168.8.68"),
        ("strange", "TYPE65280", "\\# 4 c0a8083c"),
    ] {
        record(name, kind, value);
    }
    for number in 0..BIG_RECORDS {
        record("big", "TXT", &format!("\"{number:02} {}\"", "text ".repeat(8)));
    }
    text
}

/// A site of `text` whose WAN has a place for the upstream; no daemon runs yet.
pub fn built(text: &str) -> Lab {
    let lab = Lab::build_text(text).expect("the lab stands");
    site::furnish(&lab);
    lab.wan().ip(&format!("addr add {}/24 dev wan0", UPSTREAM.ip())).expect("an address");
    lab
}

/// A site of `text` with the name server running, and a client on its LAN.
pub fn running(text: &str) -> (Lab, Namespace) {
    started(built(text))
}

/// The name server running in `lab`, and a client on its LAN.
pub fn started(mut lab: Lab) -> (Lab, Namespace) {
    lab.start_daemon("dnsd").expect("dnsd starts");
    let client = machine_at(&lab, "client", site::STRANGER, "192.168.8.20/24");
    (lab, client)
}
