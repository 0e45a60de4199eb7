//! What a client was told stays true: `kill -9` under load.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use faros_common::site::Mac;
use faros_lab::{Lab, Process};
use faros_tests::{machine_at, pcap, within};

/// A site whose pool has room for every client of the load generator.
const WIDE: &str = r#"
version = 1
[cluster]
name = "edge"
domain = "example.com"
kind = "none"
[lan]
interface = "lan0"
address = "10.88.0.1/16"
pool = "10.88.16.0-10.88.95.255"
[dhcp]
lease = "1h"
[tftp]
root = "/replaced"
[http]
root = "/replaced"
"#;

const ROUNDS: usize = 20;

/// The lease table, by address.
fn table(lab: &Lab) -> BTreeMap<Ipv4Addr, Mac> {
    let answer = lab.admin_get("dhcpd", "/leases").unwrap();
    let active = answer["leases"].as_array().unwrap().iter().filter(|lease| lease["state"] == "active");
    let parsed = active.map(|lease| {
        let text = |key: &str| lease[key].as_str().unwrap();
        (text("address").parse::<Ipv4Addr>().unwrap(), text("mac").parse::<Mac>().unwrap())
    });
    let leases: Vec<_> = parsed.collect();
    let table: BTreeMap<_, _> = leases.iter().copied().collect();
    assert_eq!(table.len(), leases.len(), "an address stands twice in the table");
    table
}

#[test]
fn no_acknowledged_lease_is_lost_in_twenty_crashes_under_load() {
    let mut lab = Lab::build_text(WIDE).unwrap();
    lab.start_daemon("dhcpd").unwrap();
    let client = machine_at(&lab, "load", "52:54:00:00:77:01", "10.88.0.9/16");
    let capture = lab.dir().join("acks.pcap");
    let sniffer = lab.capture(&client, "eth0", "udp src port 67", &capture).unwrap();
    let mut promised: BTreeMap<Ipv4Addr, Mac> = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut command = client.command("perfdhcp");
        let rate = "-4 -l eth0 -r 1000 -R 20000 -p 3 -W 100000";
        // Each round begins its clients elsewhere, so that most leases are new.
        command.args(rate.split(' ')).args(["-b", &format!("mac=00:0c:01:{round:02x}:00:00"), "10.88.0.1"]);
        let mut load = Process::start(&mut command, lab.log_file("perfdhcp")).unwrap();
        let before = pcap::datagrams(&capture).len();
        within(Duration::from_secs(20), "the load is on", || pcap::datagrams(&capture).len() > before + 600);
        // A different moment of the batch in every round.
        std::thread::sleep(Duration::from_millis(37 * round as u64 % 400));
        lab.kill_daemon("dhcpd").unwrap();
        let _ = load.kill();
        std::thread::sleep(Duration::from_millis(200));
        for (mac, address) in
            pcap::datagrams(&capture).iter().filter_map(|sent| pcap::dhcp_ack(&sent.payload))
        {
            let owner = *promised.entry(address).or_insert(mac);
            assert_eq!(owner, mac, "{address} was promised twice");
        }
        lab.start_daemon("dhcpd").unwrap();
        let table = table(&lab);
        for (address, mac) in &promised {
            assert_eq!(table.get(address), Some(mac), "round {round}: {address} of {mac} was lost");
        }
    }
    drop(sniffer);
    assert!(promised.len() > ROUNDS * 100, "only {} leases were promised", promised.len());
}
