//! The zones of whole sites, as clients see them.

mod changes;

use std::net::Ipv4Addr;
use std::path::Path;

use faros_common::site::{self, Mac, Site};
use hickory_proto::op::Message;

use super::record;
use super::{Listeners, Settings, Source, Zones};
use crate::leases::label::Lease;
use crate::protocol::code::{class, kind, rcode};
use crate::protocol::message::Question;
use crate::protocol::name::{LowerName, Name};
use crate::zone::{Record, Snapshot};

const HEAD: &str =
    "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"openshift\"\n";
const LAN: &str = "[lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\nvip = \"192.168.8.2\"\n";
const NODES: &str = r#"
[[node]]
name = "cp1"
role = "control-plane"
mac = "52:54:00:00:08:11"
address = "192.168.8.11"
bmc = { url = "ipmi://192.168.8.211", user = "u", password = { env = "X" }, address = "192.168.8.211" }
[[node]]
name = "bootstrap"
role = "bootstrap"
mac = "52:54:00:00:08:10"
address = "192.168.8.10"
[[node]]
name = "w1"
role = "worker"
mac = "52:54:00:00:08:21"
[[host]]
name = "printer"
mac = "52:54:00:aa:00:01"
address = "192.168.8.62"
"#;

fn site(parts: &[&str]) -> Site {
    let loaded = site::parse(&parts.concat(), Path::new("site.toml"));
    loaded.unwrap_or_else(|report| panic!("{report}")).site
}

fn settings(site: &Site) -> Settings {
    Settings::of(site, &Listeners::default()).unwrap_or_else(|found| panic!("{found:?}"))
}

fn zones(parts: &[&str]) -> Zones {
    Zones::in_memory(settings(&site(parts))).unwrap()
}

fn whole(more: &str) -> Zones {
    zones(&[HEAD, LAN, NODES, more])
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// The answer as whoever wrote another program reads it: rcode, answers as text; `None`: not ours.
fn ask(snapshot: &Snapshot, owner: &str, kind: u16) -> Option<(u16, Vec<String>)> {
    let owner = name(owner);
    let question = Question { name: owner.as_wire(), kind, class: class::IN };
    let mut out = vec![0; 4096];
    let answered = snapshot.answer(&question, &LowerName::of(owner.as_wire()), false, &mut out)?.unwrap();
    let written = answered.written;
    let mut message = vec![0, 1, 0x84, written.rcode as u8];
    for count in [1, written.answers, written.authorities, written.additionals] {
        message.extend(count.to_be_bytes());
    }
    message.extend(owner.as_wire());
    message.extend(kind.to_be_bytes());
    message.extend(class::IN.to_be_bytes());
    message.extend(&out[..written.len]);
    let message = Message::from_vec(&message).unwrap();
    let answers = message.answers.iter().map(|record| record.data.to_string()).collect();
    Some((written.rcode, answers))
}

fn a(zones: &Zones, owner: &str) -> Option<(u16, Vec<String>)> {
    ask(&zones.load(), owner, kind::A)
}

fn ptr(zones: &Zones, address: &str) -> Option<(u16, Vec<String>)> {
    let owner = site::pointer_owner(address.parse().unwrap());
    ask(&zones.load(), &owner, kind::PTR)
}

fn yes(answers: &[&str]) -> Option<(u16, Vec<String>)> {
    Some((rcode::NOERROR, answers.iter().map(|&answer| answer.to_owned()).collect()))
}

const NXDOMAIN: Option<(u16, Vec<String>)> = Some((rcode::NXDOMAIN, Vec::new()));
const NODATA: Option<(u16, Vec<String>)> = Some((rcode::NOERROR, Vec::new()));

fn lease(last: u8, wanted: &str) -> Lease {
    Lease {
        address: Ipv4Addr::new(192, 168, 8, last),
        mac: Some(Mac([2, 0, 0, 0, 0, last])),
        wanted: wanted.to_owned(),
        known: false,
        since: last.into(),
    }
}

#[test]
fn the_names_of_the_site_and_one_pointer_per_address() {
    let zones = whole("");
    for (owner, address) in [
        ("bastion", "192.168.8.1"),
        ("api", "192.168.8.2"),
        ("api-int", "192.168.8.2"),
        ("console.apps", "192.168.8.2"),
        ("cp1", "192.168.8.11"),
        ("cp1-mgmt", "192.168.8.211"),
        ("bootstrap", "192.168.8.10"),
        ("printer", "192.168.8.62"),
    ] {
        assert_eq!(a(&zones, &format!("{owner}.edge.example.com.")), yes(&[address]), "{owner}");
        if !owner.contains("api-int") && !owner.contains("apps") {
            let target = format!("{owner}.edge.example.com.");
            assert_eq!(ptr(&zones, address), yes(&[&target]));
        }
    }
    assert_eq!(ask(&zones.load(), "x.apps.edge.example.com.", kind::AAAA), NODATA);
    assert_eq!(a(&zones, "w1.edge.example.com."), NXDOMAIN);
    assert_eq!(ptr(&zones, "192.168.8.200"), NXDOMAIN);
    assert_eq!(a(&zones, "example.com."), None, "the domain above is not ours");
    assert_eq!(a(&zones, "quay.io."), None);
}

#[test]
fn the_apex_names_the_bastion_and_denies_for_minutes() {
    let zones = whole("");
    let snapshot = zones.load();
    for apex in ["edge.example.com.", "8.168.192.in-addr.arpa."] {
        let (_, answers) = ask(&snapshot, apex, kind::SOA).unwrap();
        let words: Vec<&str> = answers[0].split_whitespace().collect();
        assert_eq!(words[..2], ["bastion.edge.example.com.", "hostmaster.edge.example.com."]);
        let minimum: u32 = words[6].parse().unwrap();
        assert!((60..=300).contains(&minimum), "{minimum}");
        assert_eq!(ask(&snapshot, apex, kind::NS), yes(&["bastion.edge.example.com."]));
    }
}

#[test]
fn the_vip_on_the_bastions_address_leaves_it_its_own_name() {
    let zones = zones(&[HEAD, "[lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\n", NODES]);
    assert_eq!(ptr(&zones, "192.168.8.1"), yes(&["bastion.edge.example.com."]));
    assert_eq!(a(&zones, "api.edge.example.com."), yes(&["192.168.8.1"]));
}

#[test]
fn ipv6_has_names_and_pointers_too() {
    let lan = format!("{LAN}address6 = \"fd08::1/64\"\n");
    let zones = zones(&[HEAD, &lan]);
    assert_eq!(ask(&zones.load(), "bastion.edge.example.com.", kind::AAAA), yes(&["fd08::1"]));
    assert_eq!(ptr(&zones, "fd08::1"), yes(&["bastion.edge.example.com."]));
    assert_eq!(ptr(&zones, "fd08::2"), NXDOMAIN);
    // The rest of the unique local addresses is nobody's business outside.
    assert_eq!(ptr(&zones, "fd09::1"), NXDOMAIN);
}

#[test]
fn reverse_zones_follow_the_prefix() {
    let lan = |address: &str| format!("[lan]\ninterface = \"lan0\"\naddress = \"{address}\"\n");
    let wide = zones(&[HEAD, &lan("10.20.4.1/22")]);
    for (address, answer) in [
        ("10.20.4.1", yes(&["bastion.edge.example.com."])),
        ("10.20.7.255", NXDOMAIN),
        // Beside the prefix the local zone of 10/8 denies.
        ("10.20.8.1", NXDOMAIN),
    ] {
        assert_eq!(ptr(&wide, address), answer, "{address}");
    }
    let apexes: Vec<String> = wide.load().zones().map(|zone| zone.origin().to_string()).collect();
    for third in 4..8 {
        assert!(apexes.contains(&format!("{third}.20.10.in-addr.arpa.")), "{third}");
    }
}

#[test]
fn a_partial_reverse_zone_denies_nothing_that_is_not_the_sites() {
    // A public prefix, whose neighbours somebody else has.
    let lan = "[lan]\ninterface = \"lan0\"\naddress = \"203.0.112.129/26\"\npool = \"203.0.112.140-203.0.112.150\"\n";
    let zones = zones(&[HEAD, lan]);
    assert_eq!(ptr(&zones, "203.0.112.129"), yes(&["bastion.edge.example.com."]));
    assert_eq!(ptr(&zones, "203.0.112.130"), NODATA);
    assert_eq!(ptr(&zones, "203.0.112.127"), None);
    assert_eq!(ptr(&zones, "203.0.112.192"), None);
    assert_eq!(ask(&zones.load(), "112.0.203.in-addr.arpa.", kind::SOA), None);
    let lease = Lease { address: Ipv4Addr::new(203, 0, 112, 141), ..lease(141, "pi") };
    zones.set_leases(vec![lease]).unwrap();
    assert_eq!(ptr(&zones, "203.0.112.141"), yes(&["pi.edge.example.com."]));
}

#[test]
fn configured_records_are_served_wherever_they_belong() {
    let zones = whole(
        r#"
[[dns.record]]
name = "registry"
type = "A"
value = "192.168.8.60"
ttl = "10m"
[[dns.record]]
name = "@"
type = "MX"
value = "10 mail"
[[dns.record]]
name = "mail"
type = "CNAME"
value = "registry"
[[dns.record]]
name = "50.8.168.192.in-addr.arpa."
type = "PTR"
value = "registry"
[[dns.record]]
name = "nas.home.arpa."
type = "A"
value = "192.168.8.61"
"#,
    );
    assert_eq!(a(&zones, "registry.edge.example.com."), yes(&["192.168.8.60"]));
    assert_eq!(a(&zones, "mail.edge.example.com."), yes(&["registry.edge.example.com.", "192.168.8.60"]));
    assert_eq!(ask(&zones.load(), "edge.example.com.", kind::MX), yes(&["10 mail.edge.example.com."]));
    assert_eq!(ptr(&zones, "192.168.8.50"), yes(&["registry.edge.example.com."]));
    assert_eq!(a(&zones, "nas.home.arpa."), yes(&["192.168.8.61"]));
    assert_eq!(a(&zones, "other.home.arpa."), NXDOMAIN);
}

#[test]
fn a_pointer_by_hand_takes_the_derived_ones_place() {
    let zones = whole(
        "[[dns.record]]\nname = \"11.8.168.192.in-addr.arpa.\"\ntype = \"PTR\"\nvalue = \"other.example.com.\"\n\
         [[dns.record]]\nname = \"141.8.168.192.in-addr.arpa.\"\ntype = \"PTR\"\nvalue = \"fixed\"\n",
    );
    assert_eq!(ptr(&zones, "192.168.8.11"), yes(&["other.example.com."]));
    zones.set_leases(vec![lease(141, "pi")]).unwrap();
    assert_eq!(ptr(&zones, "192.168.8.141"), yes(&["fixed.edge.example.com."]));
    assert_eq!(a(&zones, "pi.edge.example.com."), yes(&["192.168.8.141"]));
}

#[test]
fn a_name_of_another_domain_is_answered_and_its_domain_is_not() {
    let zones = whole(
        r#"
[[dns.record]]
name = "mirror.corp.example."
type = "A"
value = "192.168.8.60"
[[dns.record]]
name = "www.example.org."
type = "CNAME"
value = "bastion"
[[dns.record]]
name = "*.apps.other.example."
type = "A"
value = "192.168.8.70"
[[dns.record]]
name = "example.com."
type = "TXT"
value = "\"the domain above\""
"#,
    );
    let snapshot = zones.load();
    assert_eq!(a(&zones, "mirror.corp.example."), yes(&["192.168.8.60"]));
    assert_eq!(ask(&snapshot, "mirror.corp.example.", kind::AAAA), NODATA);
    assert_eq!(a(&zones, "www.example.org."), yes(&["bastion.edge.example.com.", "192.168.8.1"]));
    assert_eq!(a(&zones, "x.apps.other.example."), yes(&["192.168.8.70"]));
    assert_eq!(ask(&snapshot, "x.apps.other.example.", kind::AAAA), NODATA);
    assert_eq!(ask(&snapshot, "example.com.", kind::TXT), yes(&["the domain above"]));
    assert_eq!(a(&zones, "cp1.edge.example.com."), yes(&["192.168.8.11"]));
    for outside in [
        "corp.example.",
        "x.mirror.corp.example.",
        "other.corp.example.",
        "example.org.",
        "ftp.example.org.",
        "apps.other.example.",
        "other.example.",
        "www.example.com.",
    ] {
        assert_eq!(a(&zones, outside), None, "{outside}");
        assert_eq!(ask(&snapshot, outside, kind::SOA), None, "{outside}");
    }
}

#[test]
fn a_conditional_zone_is_cut_out_of_what_is_local() {
    let zones = whole(
        "[[dns.conditional]]\nzone = \"20.10.in-addr.arpa\"\nforward = [\"198.51.100.1\"]\n\
         [[dns.conditional]]\nzone = \"test\"\nforward = [\"198.51.100.1\"]\n\
         [[dns.conditional]]\nzone = \"172.in-addr.arpa\"\nforward = [\"198.51.100.1\"]\n\
         [[dns.record]]\nname = \"1.0.20.10.in-addr.arpa.\"\ntype = \"PTR\"\nvalue = \"gw.corp.example.\"\n",
    );
    assert_eq!(ptr(&zones, "10.20.0.2"), None);
    assert_eq!(ptr(&zones, "10.20.0.1"), yes(&["gw.corp.example."]));
    assert_eq!(ptr(&zones, "10.21.0.1"), NXDOMAIN);
    assert_eq!(a(&zones, "www.test."), None);
    assert_eq!(ptr(&zones, "172.16.0.1"), None);
    assert_eq!(a(&zones, "www.invalid."), NXDOMAIN);
}

#[test]
fn local_zones_are_answered_as_rfc_6303_says() {
    let zones = whole("");
    let snapshot = zones.load();
    for apex in
        ["10.in-addr.arpa.", "31.172.in-addr.arpa.", "100.100.in-addr.arpa.", "d.f.ip6.arpa.", "onion."]
    {
        let soa = format!("{apex} nobody.invalid. 1 3600 1200 604800 10800");
        assert_eq!(ask(&snapshot, apex, kind::SOA), yes(&[&soa]), "{apex}");
        assert_eq!(ask(&snapshot, apex, kind::NS), yes(&[apex]), "{apex}");
        assert_eq!(a(&zones, &format!("x.{apex}")), NXDOMAIN, "{apex}");
    }
    assert_eq!(a(&zones, "localhost."), yes(&["127.0.0.1"]));
    assert_eq!(ask(&snapshot, "anything.localhost.", kind::AAAA), yes(&["::1"]));
    assert_eq!(ask(&snapshot, "localhost.", kind::MX), NODATA);
    assert_eq!(ptr(&zones, "127.0.0.1"), yes(&["localhost."]));
    assert_eq!(ptr(&zones, "::1"), yes(&["localhost."]));
    assert_eq!(ask(&snapshot, "_dns.resolver.arpa.", kind::SVCB), NXDOMAIN);
    assert_eq!(a(&zones, "use-application-dns.net."), None);
    assert_eq!(a(&zones, "server.local."), None);
}

#[test]
fn encrypted_listeners_can_be_discovered() {
    let site = site(&[HEAD, LAN, NODES]);
    let listeners = Listeners {
        tls: vec!["192.168.8.1:853".parse().unwrap()],
        https: vec!["192.168.8.1:8443".parse().unwrap()],
        quic: vec!["0.0.0.0:853".parse().unwrap(), "127.0.0.1:853".parse().unwrap()],
    };
    let zones = Zones::in_memory(Settings::of(&site, &listeners).unwrap()).unwrap();
    for owner in ["_dns.resolver.arpa.", "_dns.bastion.edge.example.com."] {
        let (_, mut answers) = ask(&zones.load(), owner, kind::SVCB).unwrap();
        answers.sort();
        assert_eq!(answers.len(), 3, "{answers:?}");
        for (answer, (alpn, port)) in answers.iter().zip([("dot", "853"), ("doq", "853"), ("h2", "8443")]) {
            assert!(answer.contains("bastion.edge.example.com.") && answer.contains(alpn), "{answer}");
            assert!(answer.contains(port) && answer.contains("192.168.8.1"), "{answer}");
        }
        assert!(answers[2].contains("/dns-query{?dns}"), "{answers:?}");
    }
    assert_eq!(a(&zones, "_dns.resolver.arpa."), NODATA);
}

#[test]
fn etcd_is_named_on_request() {
    let zones = whole("[dns]\netcd = true\n");
    assert_eq!(a(&zones, "etcd-0.edge.example.com."), yes(&["192.168.8.11"]));
    let service = ask(&zones.load(), "_etcd-server-ssl._tcp.edge.example.com.", kind::SRV);
    assert_eq!(service, yes(&["0 10 2380 etcd-0.edge.example.com."]));
    assert_eq!(ptr(&zones, "192.168.8.11"), yes(&["cp1.edge.example.com."]));
    assert_eq!(a(&whole(""), "etcd-0.edge.example.com."), NXDOMAIN);
}

/// Servers of delegated zones are asked where their addresses are in the site's own zones.
#[test]
fn the_servers_of_a_delegation_are_known_by_their_addresses() {
    let record = |name: &str, kind: &str, value: &str| {
        format!("[[dns.record]]\nname = \"{name}\"\ntype = \"{kind}\"\nvalue = \"{value}\"\n")
    };
    let records = [
        record("sub", "NS", "ns.sub"),
        record("sub", "NS", "printer"),
        record("ns.sub", "A", "192.168.8.66"),
        record("ns.sub", "AAAA", "fd08::66"),
        record("far", "NS", "ns.elsewhere.net."),
        record("self", "NS", "bastion"),
    ];
    let site = site(&[HEAD, LAN, NODES, &records.concat()]);
    let mut found = settings(&site).delegations(&[site.bastion()]);
    found.iter_mut().for_each(|(_, servers)| servers.sort());
    let expected = ["192.168.8.62", "192.168.8.66", "fd08::66"].map(|text| text.parse().unwrap());
    assert_eq!(found, [(Name::parse("sub.edge.example.com.").unwrap(), expected.to_vec())]);
}
