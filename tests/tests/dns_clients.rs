//! The name server as others' clients see it: dig, kdig, curl, nsupdate, and machines that get their address from us.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::time::Duration;

use faros_lab::{Lab, Namespace};
use faros_tests::dns::site::{self, SERVER, UPSTREAM};
use faros_tests::dns::{Upstream, kind, lookup, rcode};
use faros_tests::site::{BASTION, N1, STRANGER};
use faros_tests::{eventually, farosctl_of, machine, machine_at, run, within};

/// The secret of the key that may update names: 32 octets in base64.
const SECRET: &str = "ZmFyb3MtdGVzdHMtZmFyb3MtdGVzdHMtZmFyb3MtdDE=";

fn said(client: &Namespace, program: &str, arguments: &[&str]) -> String {
    let output = run(client, program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The site with certificates from its own authority.
fn encrypted() -> (Lab, Namespace, String) {
    let directory = tempfile::tempdir().unwrap().keep();
    let at = |name: &str| directory.join(name).display().to_string();
    let text = site::text().replace(
        "[dns]\n",
        &format!("[dns]\ncertificate = \"{}\"\ncertificate-key = \"{}\"\n", at("dnsd.crt"), at("dnsd.key")),
    );
    let mut lab = site::built(&text);
    for arguments in [&["ca", "init"][..], &["ca", "issue", "dnsd"][..]] {
        let output = farosctl_of(&lab).args(arguments).args(["--dir", &at("")]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    lab.start_daemon("dnsd").unwrap();
    let client = machine_at(&lab, "client", STRANGER, "192.168.8.20/24");
    (lab, client, at("ca.crt"))
}

#[test]
fn clients_agree_over_every_transport() {
    let (lab, client, authority) = encrypted();
    let _upstream = Upstream::honest(lab.wan(), UPSTREAM);
    let server = format!("@{BASTION}");
    let ca = format!("+tls-ca={authority}");
    let host = "+tls-hostname=bastion.edge.example.com";
    for (name, kind, expected) in [
        ("api.edge.example.com", "A", "192.168.8.2"),
        ("api-int.edge.example.com", "A", "192.168.8.2"),
        ("console.apps.edge.example.com", "A", "192.168.8.2"),
        ("n2.edge.example.com", "A", "192.168.8.12"),
        ("www.example.net", "A", "203.0.113.7"),
        ("12.8.168.192.in-addr.arpa", "PTR", "n2.edge.example.com."),
        ("registry.edge.example.com", "MX", "10 mail.edge.example.com."),
        ("x.apps.edge.example.com", "AAAA", ""),
    ] {
        let dig =
            |options: &[&str]| said(&client, "dig", &[&[&*server, "+short", name, kind], options].concat());
        let kdig =
            |options: &[&str]| said(&client, "kdig", &[&[&*server, "+short", name, kind], options].concat());
        assert_eq!(dig(&[]), expected, "{name} {kind} by dig over UDP");
        assert_eq!(dig(&["+tcp"]), expected, "{name} {kind} by dig over TCP");
        assert_eq!(dig(&["+noedns", "+nocookie"]), expected, "{name} {kind} by dig without EDNS");
        assert_eq!(kdig(&[]), expected, "{name} {kind} by kdig over UDP");
        assert_eq!(kdig(&["+tcp", "+keepopen"]), expected, "{name} {kind} by kdig over TCP");
        assert_eq!(kdig(&["+tls", &ca, host]), expected, "{name} {kind} by kdig over TLS");
        assert_eq!(kdig(&["+https", &ca, host]), expected, "{name} {kind} by kdig over HTTPS");
        assert_eq!(kdig(&["+https-get", &ca, host]), expected, "{name} {kind} by kdig over HTTPS with GET");
    }
    let page = run(
        &client,
        "curl",
        &[
            "-sS",
            "--cacert",
            &authority,
            "--doh-url",
            "https://bastion.edge.example.com/dns-query",
            "--resolve",
            &format!("bastion.edge.example.com:443:{BASTION}"),
            "-m",
            "3",
            "-o",
            "/dev/null",
            "-w",
            "%{remote_ip}",
            "http://printer.edge.example.com:9/",
        ],
    );
    assert!(!String::from_utf8_lossy(&page.stderr).contains("resolve"), "{page:?}");
}

#[test]
fn nodes_resolve_by_the_address_that_dhcp_gave_them() {
    let mut lab = site::built(&site::text());
    lab.start_daemons().unwrap();
    let node = machine(&lab, "n1", N1.0);
    run(&node, "dhclient", &["-1", "-v", "-sf", "/bin/true", "-lf", "/dev/null", "-pf", "/dev/null", "eth0"]);
    node.ip(&format!("addr add {}/24 dev eth0", N1.1)).unwrap();
    for (name, kind, expected) in [
        ("api-int.edge.example.com.", kind::A, "192.168.8.2"),
        ("n3.edge.example.com.", kind::A, "192.168.8.13"),
        ("11.8.168.192.in-addr.arpa.", kind::PTR, "n1.edge.example.com."),
    ] {
        assert_eq!(lookup(&node, SERVER, name, kind).values(kind), [expected]);
    }
}

/// A machine that is not in the site file is known by the name it gives itself, while it has its address.
#[test]
fn the_names_of_leases_come_and_go() {
    let text = site::text().replace("lease = \"10m\"", "lease = \"1m\"");
    let mut lab = site::built(&text);
    lab.start_daemons().unwrap();
    let client = machine_at(&lab, "client", "52:54:00:00:77:0f", "192.168.8.20/24");
    let guest = machine(&lab, "guest", STRANGER);
    let udhcpc = ["-i", "eth0", "-n", "-q", "-f", "-s", "/bin/true", "-x", "hostname:laptop"];
    run(&guest, "udhcpc", &udhcpc);
    let address = faros_tests::leased(&lab, STRANGER).expect("a lease");
    let by_name = || lookup(&client, SERVER, "laptop.edge.example.com.", kind::A);
    within(Duration::from_secs(2), "the lease has its name", || {
        by_name().values(kind::A) == [address.clone()]
    });
    let last = address.rsplit('.').next().unwrap();
    let owner = format!("{last}.8.168.192.in-addr.arpa.");
    assert_eq!(lookup(&client, SERVER, &owner, kind::PTR).values(kind::PTR), ["laptop.edge.example.com."]);

    let thief = machine(&lab, "thief", "52:54:00:00:77:03");
    run(&thief, "udhcpc", &["-i", "eth0", "-n", "-q", "-f", "-s", "/bin/true", "-x", "hostname:api"]);
    eventually("the second lease is there", || faros_tests::leased(&lab, "52:54:00:00:77:03").is_some());
    assert_eq!(lookup(&client, SERVER, "api.edge.example.com.", kind::A).values(kind::A), ["192.168.8.2"]);

    lab.admin_post("dhcpd", &format!("/leases/{address}/release")).unwrap();
    within(Duration::from_secs(2), "the name is gone", || by_name().rcode == rcode::NXDOMAIN);
    assert_eq!(lookup(&client, SERVER, &owner, kind::PTR).rcode, rcode::NXDOMAIN);
}

#[test]
fn zones_are_transferred_to_those_who_may() {
    let (lab, client) = site::running(&site::text());
    let axfr = |client: &Namespace| {
        said(
            client,
            "dig",
            &[&format!("@{BASTION}"), "+noidnout", "+nostats", "+nocmd", "edge.example.com", "AXFR"],
        )
    };
    let refused = axfr(&client);
    assert!(refused.contains("Transfer failed"), "{refused}");
    let friend = machine_at(&lab, "friend", "52:54:00:00:77:02", "192.168.8.14/24");
    let zone = axfr(&friend);
    let soas = zone.lines().filter(|line| line.split_whitespace().nth(3) == Some("SOA")).count();
    assert_eq!(soas, 2, "it begins and ends with the SOA:\n{zone}");
    for owner in ["api", "*.apps", "n1", "bastion", "printer", "registry", "kept.wild"] {
        assert!(zone.contains(&format!("{owner}.edge.example.com.")), "{owner} is missing:\n{zone}");
    }
    let own = said(lab.bastion(), "dig", &[&format!("@{BASTION}"), "edge.example.com", "AXFR"]);
    assert!(own.contains("api.edge.example.com."), "the bastion always may");
}

#[test]
fn a_signed_update_stays_in_its_subtree_and_on_disk() {
    let text = format!(
        "{}\n[[dns.key]]\nname = \"external-dns\"\nsecret = {{ env = \"FAROS_TEST_SECRET\" }}\nupdate = [\"dyn\"]\n",
        site::text()
    );
    let secrets = tempfile::tempdir().unwrap().keep();
    let file = secrets.join("secret");
    std::fs::write(&file, SECRET).unwrap();
    let text = text.replace("env = \"FAROS_TEST_SECRET\"", &format!("file = \"{}\"", file.display()));
    let (mut lab, client) = site::running(&text);
    let update = |name: &str, key: Option<&str>| {
        let script = format!(
            "server {BASTION}\nzone edge.example.com\nupdate add {name} 60 A 192.168.8.99\nsend\nquit\n"
        );
        let path = lab.dir().join("update");
        std::fs::write(&path, script).unwrap();
        let path = path.display().to_string();
        let key = key.map(|secret| format!("hmac-sha256:external-dns:{secret}"));
        let arguments = key.as_deref().map_or(vec![], |key| vec!["-y", key]);
        let output = run(&client, "nsupdate", &[&arguments[..], &[&path]].concat());
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (done, why) = update("new.dyn.edge.example.com", Some(SECRET));
    assert!(done, "{why}");
    let value = || lookup(&client, SERVER, "new.dyn.edge.example.com.", kind::A).values(kind::A);
    assert_eq!(value(), ["192.168.8.99"]);
    for (name, key, reason) in [
        ("other.edge.example.com", Some(SECRET), "REFUSED"),
        ("api.edge.example.com", Some(SECRET), "REFUSED"),
        ("new2.dyn.edge.example.com", None, "REFUSED"),
        ("new3.dyn.edge.example.com", Some("d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3I="), "NOTAUTH"),
    ] {
        let (done, why) = update(name, key);
        assert!(!done && why.contains(reason), "{name}: {why}");
        let name = format!("{name}.");
        assert!(
            !lookup(&client, SERVER, &name, kind::A).values(kind::A).contains(&"192.168.8.99".to_owned())
        );
    }
    lab.kill_daemon("dnsd").unwrap();
    lab.start_daemon("dnsd").unwrap();
    assert_eq!(
        lookup(&client, SERVER, "new.dyn.edge.example.com.", kind::A).values(kind::A),
        ["192.168.8.99"]
    );
}

#[test]
fn farosctl_tells_where_an_answer_comes_from() {
    let lab = site::built(&site::text());
    let _upstream = Upstream::honest(lab.wan(), UPSTREAM);
    let (lab, client) = site::started(lab);
    let source = |name: &str| {
        let output = farosctl_of(&lab).args(["-o", "json", "dns", "query", name]).output().unwrap();
        let answer: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        answer["source"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(source("api.edge.example.com"), "zone");
    assert_eq!(source("www.example.net"), "upstream");
    assert_eq!(source("www.example.net"), "cache");
    assert_eq!(lookup(&client, SERVER, "www.example.net.", kind::A).rcode, 0);
}
