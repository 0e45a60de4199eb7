//! What changes while the server runs: leases, updates, the bootstrap machine, another site file.

use super::*;

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
