//! The zones of whole sites, as clients see them.

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

#[test]
fn leases_have_names_while_they_last() {
    let zones = whole("");
    let known = Lease { known: true, ..lease(140, "w1") };
    zones.set_leases(vec![lease(141, "pi"), lease(142, "pi"), lease(143, "cp1"), known.clone()]).unwrap();
    assert_eq!(a(&zones, "pi.edge.example.com."), yes(&["192.168.8.141"]));
    assert_eq!(a(&zones, "pi-2.edge.example.com."), yes(&["192.168.8.142"]));
    assert_eq!(ptr(&zones, "192.168.8.142"), yes(&["pi-2.edge.example.com."]));
    assert_eq!(a(&zones, "cp1.edge.example.com."), yes(&["192.168.8.11"]));
    assert_eq!(ptr(&zones, "192.168.8.143"), yes(&["cp1-2.edge.example.com."]));
    assert_eq!(a(&zones, "w1.edge.example.com."), yes(&["192.168.8.140"]));
    assert_eq!(zones.source_of(&name("PI.edge.example.com.")), Some(Source::Lease));
    assert_eq!(zones.source_of(&name("142.8.168.192.in-addr.arpa.")), Some(Source::Lease));
    assert_eq!(zones.source_of(&name("cp1.edge.example.com.")), Some(Source::Zone));
    zones.set_leases(vec![known]).unwrap();
    assert_eq!(a(&zones, "pi.edge.example.com."), NXDOMAIN);
    assert_eq!(ptr(&zones, "192.168.8.141"), NXDOMAIN);
    assert_eq!(zones.source_of(&name("pi.edge.example.com.")), None);
}

#[test]
fn a_lease_of_a_fixed_address_changes_nothing() {
    let zones = whole("");
    let serial = zones.load().zone(&zones.cluster()).unwrap().serial();
    zones.set_leases(vec![lease(11, "intruder"), lease(1, "gateway"), lease(62, "other")]).unwrap();
    assert_eq!(a(&zones, "intruder.edge.example.com."), NXDOMAIN);
    assert_eq!(ptr(&zones, "192.168.8.11"), yes(&["cp1.edge.example.com."]));
    assert_eq!(zones.load().zone(&zones.cluster()).unwrap().serial(), serial);
}

#[test]
fn the_bootstrap_machine_loses_its_names_and_gets_them_back() {
    let zones = whole("");
    zones.set_bootstrap(false).unwrap();
    assert_eq!(a(&zones, "bootstrap.edge.example.com."), NXDOMAIN);
    assert_eq!(ptr(&zones, "192.168.8.10"), NXDOMAIN);
    assert_eq!(a(&zones, "cp1.edge.example.com."), yes(&["192.168.8.11"]));
    // Its lease does not bring the name back, nor does anybody else get it.
    let own = Lease { known: true, ..lease(10, "bootstrap") };
    zones.set_leases(vec![own, lease(150, "bootstrap")]).unwrap();
    assert_eq!(a(&zones, "bootstrap.edge.example.com."), NXDOMAIN);
    assert_eq!(ptr(&zones, "192.168.8.150"), yes(&["bootstrap-2.edge.example.com."]));
    zones.set_bootstrap(true).unwrap();
    assert_eq!(a(&zones, "bootstrap.edge.example.com."), yes(&["192.168.8.10"]));
    assert_eq!(ptr(&zones, "192.168.8.10"), yes(&["bootstrap.edge.example.com."]));
}

#[test]
fn updates_are_added_and_a_lease_gives_way() {
    let zones = whole("");
    let cluster = zones.cluster();
    zones.set_leases(vec![lease(141, "grafana")]).unwrap();
    let owner = name("grafana.edge.example.com.");
    zones.set_updates(&cluster, vec![record::address(&owner, [192, 168, 8, 2].into(), 300)]).unwrap();
    assert_eq!(a(&zones, "grafana.edge.example.com."), yes(&["192.168.8.2"]));
    assert_eq!(zones.source_of(&owner), Some(Source::Update));
    assert_eq!(ptr(&zones, "192.168.8.141"), yes(&["grafana-2.edge.example.com."]));
    zones.set_updates(&cluster, Vec::new()).unwrap();
    assert_eq!(a(&zones, "grafana.edge.example.com."), NXDOMAIN);
    assert_eq!(a(&zones, "grafana-2.edge.example.com."), yes(&["192.168.8.141"]));
}

#[test]
fn an_update_that_clashes_is_refused_and_changes_nothing() {
    let zones = whole("");
    let cluster = zones.cluster();
    let before = zones.load().zone(&cluster).unwrap().serial();
    let owner = name("cp1.edge.example.com.");
    let target = name("elsewhere.example.");
    let alias = Record { owner, kind: kind::CNAME, ttl: 60, rdata: target.as_wire().into() };
    let fault = zones.set_updates(&cluster, vec![alias]).unwrap_err();
    assert_eq!(fault.origin, cluster);
    assert!(fault.to_string().contains("cp1.edge.example.com."), "{fault}");
    assert_eq!(a(&zones, "cp1.edge.example.com."), yes(&["192.168.8.11"]));
    assert_eq!(zones.load().zone(&cluster).unwrap().serial(), before);
    zones.set_leases(vec![lease(141, "pi")]).unwrap();
    assert_eq!(a(&zones, "pi.edge.example.com."), yes(&["192.168.8.141"]));
}

#[test]
fn the_site_file_wins_over_an_update_that_was_there_first() {
    let zones = whole("");
    let cluster = zones.cluster();
    let target = name("elsewhere.example.");
    let alias = |owner: &str| Record {
        owner: name(owner),
        kind: kind::CNAME,
        ttl: 60,
        rdata: target.as_wire().into(),
    };
    let updates = vec![alias("nas.edge.example.com."), alias("wiki.edge.example.com.")];
    zones.set_updates(&cluster, updates).unwrap();
    let more = "[[host]]\nname = \"nas\"\naddress = \"192.168.8.63\"\n";
    zones.set_site(settings(&site(&[HEAD, LAN, NODES, more]))).unwrap();
    assert_eq!(a(&zones, "nas.edge.example.com."), yes(&["192.168.8.63"]));
    assert_eq!(a(&zones, "wiki.edge.example.com."), yes(&["elsewhere.example."]));
    zones.set_leases(vec![lease(141, "pi")]).unwrap();
    assert_eq!(a(&zones, "nas.edge.example.com."), yes(&["192.168.8.63"]));
}

#[test]
fn only_what_a_change_touches_is_compiled_and_numbered_anew() {
    let zones = whole("");
    let serials = |zones: &Zones| -> Vec<(String, u32)> {
        zones.load().zones().map(|zone| (zone.origin().to_string(), zone.serial())).collect()
    };
    let before = serials(&zones);
    zones.set_leases(vec![lease(141, "pi")]).unwrap();
    let changed: Vec<String> = serials(&zones)
        .into_iter()
        .zip(&before)
        .filter(|(after, before)| after != *before)
        .map(|(after, _)| after.0)
        .collect();
    assert_eq!(
        changed,
        ["edge.example.com.", "8.168.192.in-addr.arpa."].map(str::to_owned).to_vec().sorted(&before)
    );
    // The same leases once more, and the same site: nothing.
    let middle = serials(&zones);
    zones.set_leases(vec![Lease { since: 7, ..lease(141, "pi") }]).unwrap();
    zones.set_site(settings(&site(&[HEAD, LAN, NODES]))).unwrap();
    assert_eq!(serials(&zones), middle);
    // What goes back to what it was is a change as well.
    zones.set_leases(Vec::new()).unwrap();
    let cluster = zones.cluster();
    let of =
        |list: &[(String, u32)]| list.iter().find(|(origin, _)| *origin == cluster.to_string()).unwrap().1;
    assert!(of(&serials(&zones)) > of(&middle) && of(&middle) > of(&before));
}

trait Sorted {
    fn sorted(self, like: &[(String, u32)]) -> Vec<String>;
}

impl Sorted for Vec<String> {
    /// In the order of the snapshot.
    fn sorted(mut self, like: &[(String, u32)]) -> Vec<String> {
        self.sort_by_key(|origin| like.iter().position(|(other, _)| other == origin));
        self
    }
}

#[test]
fn serials_rise_over_restarts_and_keep_with_the_content() {
    let directory = tempfile::tempdir().unwrap();
    let plain = settings(&site(&[HEAD, LAN, NODES]));
    let serial = |zones: &Zones| zones.load().zone(&zones.cluster()).unwrap().serial();
    let first = serial(&Zones::open(plain.clone(), directory.path(), true).unwrap());
    assert_eq!(serial(&Zones::open(plain.clone(), directory.path(), true).unwrap()), first);
    let zones = Zones::open(plain.clone(), directory.path(), false).unwrap();
    let second = serial(&zones);
    assert!(second > first);
    drop(zones);
    assert!(serial(&Zones::open(plain, directory.path(), true).unwrap()) > second);
}

#[test]
fn another_site_file_takes_effect_and_leases_stay() {
    let zones = whole("");
    zones.set_leases(vec![lease(141, "registry")]).unwrap();
    let more = "[[dns.record]]\nname = \"registry\"\ntype = \"A\"\nvalue = \"192.168.8.60\"\n";
    zones.set_site(settings(&site(&[HEAD, LAN, NODES, more]))).unwrap();
    assert_eq!(a(&zones, "registry.edge.example.com."), yes(&["192.168.8.60"]));
    assert_eq!(ptr(&zones, "192.168.8.141"), yes(&["registry-2.edge.example.com."]));
    let renamed = HEAD.replace("edge", "far");
    zones.set_site(settings(&site(&[&renamed, LAN, NODES]))).unwrap();
    assert_eq!(a(&zones, "cp1.edge.example.com."), None);
    assert_eq!(a(&zones, "registry-2.far.example.com."), yes(&["192.168.8.141"]));
}

#[test]
fn records_that_cannot_be_served_are_named() {
    for (record, fragment) in [
        ("name = \"sub.corp.example.\"\ntype = \"TYPE43\"\nvalue = \"\\\\# 5 00010801ff\"", "outside"),
        ("name = \"x\"\ntype = \"LOC\"\nvalue = \"nowhere\"", ""),
        ("name = \"cp1\"\ntype = \"TYPE5\"\nvalue = \"\\\\# 1 00\"", "CNAME"),
    ] {
        let site = site(&[HEAD, LAN, NODES, "[[dns.record]]\n", record, "\n"]);
        let found = Settings::of(&site, &Listeners::default()).unwrap_err();
        assert_eq!(found[0].key, "dns.record[0]", "{found:?}");
        assert!(found[0].message.contains(fragment) && found[0].help.is_some(), "{found:?}");
    }
}

#[test]
fn thousands_of_leases_are_named() {
    let zones =
        zones(&[HEAD, "[lan]\ninterface = \"lan0\"\naddress = \"10.0.0.1/16\"\nvip = \"10.0.0.2\"\n"]);
    let leases = (0..4000u16).map(|index| Lease {
        address: Ipv4Addr::new(10, 0, 16 + (index >> 8) as u8, index as u8),
        mac: None,
        wanted: format!("host{}", index % 1000),
        known: false,
        since: index.into(),
    });
    zones.set_leases(leases.collect()).unwrap();
    assert_eq!(zones.lease_names().len(), 4000);
    assert_eq!(a(&zones, "host999-4.edge.example.com."), yes(&["10.0.31.159"]));
    assert_eq!(ptr(&zones, "10.0.31.159"), yes(&["host999-4.edge.example.com."]));
}

#[test]
fn what_is_served_can_be_listed_and_rendered() {
    let zones = whole("");
    zones.set_leases(vec![lease(141, "pi")]).unwrap();
    let list = zones.list();
    assert_eq!(
        (&list["zones"][0]["zone"], &list["zones"][0]["kind"]),
        (&"edge.example.com.".into(), &"cluster".into())
    );
    assert_eq!(list["zones"][0]["leases"], 1);
    let text = zones.master_file(&zones.cluster()).unwrap();
    assert!(text.contains("\ncp1.edge.example.com. 300 IN A 192.168.8.11\n"), "{text}");
    assert!(text.contains("\npi.edge.example.com. 60 IN A 192.168.8.141\n"), "{text}");
    assert_eq!(zones.master_file(&name("nowhere.example.")), None);
    assert_eq!(zones.status()["lease_names"], 1);
    // Without a daemon it is the same but for leases and the serial.
    let alone = zones.settings().zones(7);
    let served = zones.load();
    assert_eq!(alone[0].1.origin(), &zones.cluster());
    assert_eq!(
        (alone[0].1.serial(), alone[0].1.records().len() + 1),
        (7, served.zone(&zones.cluster()).unwrap().records().len())
    );
    assert_eq!(alone.len(), served.zones().len());
}
