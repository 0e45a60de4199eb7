//! `farosctl dns` and `farosctl render`.

use std::net::UdpSocket;

use farosctl::Exit;
use serde_json::json;

use crate::fake::{Daemon, SITE, Site};

#[test]
fn a_query_shows_the_answer_and_its_source() {
    let site = Site::new();
    let dnsd = Daemon::start(&site, "dnsd");
    let answer = json!({
        "name": "cp1.edge.example.com.", "type": "A", "rcode": "NOERROR", "authoritative": true, "authentic": false,
        "source": "zone", "ede": null, "micros": 12, "bytes": 60,
        "answers": [{ "name": "cp1.edge.example.com.", "ttl": 300, "type": "A", "data": "192.168.8.11" }],
        "authorities": [],
    });
    dnsd.answer("GET /query", 200, &answer.to_string());
    let ran = site.run("dns query cp1");
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    assert!(
        ran.out.starts_with("cp1.edge.example.com. A: NOERROR, from zone in 0.01 ms, authoritative\n"),
        "{ran:?}"
    );
    assert!(ran.out.contains("192.168.8.11"), "{ran:?}");
    assert!(dnsd.asked("GET /query?name=cp1.edge.example.com.&type=A"));
    assert_eq!(site.run("dns query cp1 -o json").json(), answer);
    site.run("dns query 192.168.8.11 --client 192.168.8.21");
    assert!(dnsd.asked("GET /query?name=11.8.168.192.in-addr.arpa.&type=PTR&client=192.168.8.21"));
}

#[test]
fn a_query_that_fails_says_so_by_its_exit_code() {
    let site = Site::new();
    let ran = site.run("dns query quay.io");
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.err.contains("systemctl start faros-dnsd"), "{ran:?}");
    let dnsd = Daemon::start(&site, "dnsd");
    let answer = |rcode: &str| {
        json!({ "name": "quay.io.", "type": "A", "rcode": rcode, "source": "failure", "micros": 1,
                "ede": { "code": 22, "text": "no upstream server answers" }, "answers": [], "authorities": [] })
    };
    dnsd.answer("GET /query", 200, &answer("SERVFAIL").to_string());
    let ran = site.run("dns query quay.io");
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.out.contains("extended error 22: no upstream server answers"), "{ran:?}");
    dnsd.answer("GET /query", 200, &answer("NXDOMAIN").to_string());
    assert_eq!(site.run("dns query quay.io").exit, Exit::Done);
    dnsd.answer("GET /query", 400, r#"{"error":"LUNCH is no type of a record"}"#);
    let ran = site.run("dns query quay.io LUNCH");
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.err.contains("LUNCH"), "{ran:?}");
}

#[test]
fn another_server_can_be_asked_over_the_network() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    faros_common::tasks::spawn_thread("name server", move || {
        let mut buffer = [0; 1500];
        let (length, client) = server.recv_from(&mut buffer).unwrap();
        // The question without its OPT, and one answer.
        let mut reply = buffer[..length - 11].to_vec();
        reply[2] |= 0x84;
        (reply[7], reply[11]) = (1, 0);
        let mut stray = reply.clone();
        stray[0] ^= 0xff;
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 77]);
        server.send_to(&stray, client).unwrap();
        server.send_to(&reply, client).unwrap();
    })
    .unwrap();
    let ran = Site::new().run(&format!("dns query cp1 --server {address} -o json"));
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let answer = ran.json();
    assert_eq!(answer["answers"][0]["data"], "192.0.2.77");
    assert_eq!((&answer["source"], &answer["authoritative"]), (&json!(address.to_string()), &json!(true)));
    let ran = Site::new().run("dns query cp1 --server nowhere");
    assert_eq!(ran.exit, Exit::Usage);
}

#[test]
fn the_cluster_zone_is_rendered_without_any_daemon() {
    let site = Site::new();
    let ran = site.run("render zone");
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let mut lines = ran.out.lines();
    let soa = lines.next().unwrap();
    assert!(
        soa.starts_with(
            "edge.example.com. 300 IN SOA bastion.edge.example.com. hostmaster.edge.example.com. "
        ),
        "{soa}"
    );
    assert!(ran.out.contains("\n*.apps.edge.example.com. 300 IN A 192.168.8.1\n"), "{}", ran.out);
    assert!(ran.out.contains("\nw1.edge.example.com. 300 IN A 192.168.8.21\n"), "{}", ran.out);
    assert_eq!(site.run("render zone edge.example.com").out, ran.out, "the same file, the same zone");
    let reverse = site.run("render zone 8.168.192.in-addr.arpa.");
    assert!(
        reverse.out.contains("\n11.8.168.192.in-addr.arpa. 300 IN PTR cp1.edge.example.com.\n"),
        "{reverse:?}"
    );
    let missing = site.run("render zone nowhere.example");
    assert_eq!(missing.exit, Exit::Failed);
    assert!(missing.err.contains("edge.example.com. 8.168.192.in-addr.arpa."), "{missing:?}");
}

#[test]
fn zones_are_written_as_files() {
    let site = Site::new();
    let out = site.path("zones");
    let ran = site.run(&format!("render zone --out {} -o json", out.display()));
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let zones = ran.json();
    assert_eq!(zones["zones"].as_array().unwrap().len(), 2);
    let text = std::fs::read_to_string(out.join("edge.example.com.zone")).unwrap();
    assert_eq!(text, site.run("render zone").out);
    assert!(out.join("8.168.192.in-addr.arpa.zone").is_file());
    let said = site.run(&format!("render zone --out {}", out.display())).out;
    assert!(said.starts_with("ZONE "), "{said}");
    assert!(site.run("render").out.contains("zone"));
}

#[test]
fn records_that_no_zone_can_hold_are_found_by_check() {
    let site = Site::new();
    site.write(&format!("{SITE}[[dns.record]]\nname = \"here\"\ntype = \"LOC\"\nvalue = \"nowhere\"\n"));
    let ran = site.run("check");
    assert_eq!(ran.exit, Exit::SiteRefused, "{ran:?}");
    assert!(ran.out.contains("dns.record[0]"), "{ran:?}");
    assert_eq!(site.run("render zone").exit, Exit::SiteRefused);
}
