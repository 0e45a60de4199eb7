//! `farosctl check` on good and broken files.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::fs;
use std::process::Output;

use faros_tests::{farosctl, site};

fn check(text: &str) -> (Output, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("site.toml");
    fs::write(&path, text).unwrap();
    let output = farosctl().arg("check").arg(&path).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, said)
}

/// A text to look for in the good file, what it becomes, and the line and key to be named.
const BROKEN: &[(&str, &str, &str)] = &[
    ("version = 1", "version = 2", "version"),
    ("name = \"edge\"", "nam = \"edge\"", "cluster.nam"),
    ("domain = \"example.com\"", "domain = \"exa mple.com\"", "cluster.domain"),
    ("kind = \"openshift\"", "kind = \"openshfit\"", "cluster.kind"),
    ("interface = \"lan0\"", "interface = \"a-name-much-too-long-for-linux\"", "lan.interface"),
    ("address = \"192.168.8.1/24\"", "address = \"192.168.8.1\"", "lan.address"),
    ("address = \"192.168.8.1/24\"", "address = \"192.168.8.1/33\"", "lan.address"),
    ("address = \"192.168.8.1/24\"", "address = \"192.168.8.0/24\"", "lan.address"),
    ("vip = \"192.168.8.2\"", "vip = \"192.168.9.2\"", "lan.vip"),
    ("vip = \"192.168.8.2\"", "vip = \"192.168.8.11\"", "lan.vip"),
    ("vip = \"192.168.8.2\"", "vip = \"192.168.8.130\"", "lan.vip"),
    ("pool = \"192.168.8.128-192.168.8.250\"", "pool = \"192.168.8.250-192.168.8.128\"", "lan.pool"),
    ("pool = \"192.168.8.128-192.168.8.250\"", "pool = \"192.168.7.128-192.168.8.250\"", "lan.pool"),
    ("interface = \"up0\"", "interface = \"lan0\"", "wan.interface"),
    ("address = \"198.51.100.2/24\"", "address = \"192.168.8.7/24\"", "wan.address"),
    ("lease = \"10m\"", "lease = \"10 parsecs\"", "dhcp.lease"),
    ("lease = \"10m\"", "lease = \"0s\"", "dhcp.lease"),
    ("lease = \"10m\"", "lease = \"10m\"\nignore = [\"52:54:00\"]", "dhcp.ignore"),
    ("lease = \"10m\"", "lease = \"10m\"\noptions = [{ code = 53, u8 = 1 }]", "dhcp.options"),
    ("port = 8080", "port = 80800", "http.port"),
    ("port = 8080", "port = \"8080\"", "http.port"),
    ("kernel = \"test/vmlinuz\"", "kernel = \"../vmlinuz\"", "profile.test.kernel"),
    ("initrd = [\"test/initrd.img\"]", "initrd = \"test/initrd.img\"\ninitrd2 = 1", "profile.test.initrd2"),
    ("url={ignition}", "url={ignitoin}", "profile.test.args"),
    ("\"*\" = \"test/secret.ign\"", "\"masters\" = \"test/secret.ign\"", "profile.test.ignition"),
    ("name = \"n2\"", "name = \"n1\"", "node[1].name"),
    ("name = \"n2\"", "name = \"api\"", "node[1].name"),
    ("name = \"n2\"", "name = \"n_2\"", "node[1].name"),
    (
        "role = \"control-plane\"\nmac = \"52:54:00:00:08:13\"",
        "role = \"master\"\nmac = \"52:54:00:00:08:13\"",
        "node[2].role",
    ),
    ("mac = \"52:54:00:00:08:13\"", "mac = \"52:54:00:00:08:11\"", "node[2].mac"),
    ("mac = \"52:54:00:00:08:13\"", "mac = \"53:54:00:00:08:13\"", "node[2].mac"),
    ("mac = \"52:54:00:00:08:13\"", "mac = \"52:54:00:00:08:1g\"", "node[2].mac"),
    ("address = \"192.168.8.13\"", "address = \"192.168.8.12\"", "node[2].address"),
    ("address = \"192.168.8.13\"", "address = \"192.168.8.200\"", "node[2].address"),
    ("address = \"192.168.8.13\"", "address = \"192.168.9.13\"", "node[2].address"),
    ("address = \"192.168.8.13\"", "address = \"192.168.8.255\"", "node[2].address"),
    (
        "address = \"192.168.8.13\"\nprofile = \"test\"",
        "address = \"192.168.8.13\"\nprofile = \"tset\"",
        "node[2].profile",
    ),
    (
        "address = \"192.168.8.13\"",
        "address = \"192.168.8.13\"\nbmc = { url = \"redfish://192.168.8.13\", address = \"192.168.8.13\" }",
        "node[2].bmc",
    ),
    (
        "address = \"192.168.8.13\"",
        "address = \"192.168.8.13\"\nbmc = { url = \"redfish://192.168.8.213\", password = \"secret\" }",
        "node[2].bmc.password",
    ),
    ("address = \"192.168.8.62\"", "adress = \"192.168.8.62\"", "host[0].adress"),
    ("mac = \"52:54:00:aa:00:01\"", "mac = \"52:54:00:00:08:12\"", "host[0].mac"),
];

#[test]
fn the_good_file_is_good() {
    let (output, said) = check(site::SITE);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[test]
fn every_broken_file_is_refused_with_its_line_and_key() {
    for (good, broken, key) in BROKEN {
        assert!(site::SITE.contains(good), "{good}");
        let text = site::SITE.replacen(good, broken, 1);
        let (output, said) = check(&text);
        assert_eq!(output.status.code(), Some(78), "{broken}: {said}");
        let changed = text.lines().zip(site::SITE.lines()).position(|(a, b)| a != b).unwrap() + 1;
        // What is said must lie on the changed line or on those that the change added.
        let lines: Vec<usize> = (changed..=changed + broken.matches('\n').count()).collect();
        let named = said.lines().any(|line| {
            line.contains(&format!("error: {key}"))
                && lines.iter().any(|number| line.contains(&format!("site.toml:{number}:")))
        });
        assert!(named, "{broken}: line {lines:?} and {key} are not named in\n{said}");
    }
}

#[test]
fn all_mistakes_are_named_in_one_run() {
    let text = site::SITE
        .replace("kind = \"openshift\"", "kind = \"openshfit\"")
        .replace("pool = ", "pol = ")
        .replace("mac = \"52:54:00:00:08:13\"", "mac = \"52:54:00:00:08:1g\"");
    let (output, said) = check(&text);
    assert_eq!(output.status.code(), Some(78));
    for key in ["cluster.kind", "lan.pol", "node[2].mac"] {
        assert!(said.contains(key), "{key} in\n{said}");
    }
}

#[test]
fn findings_are_json_on_request() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("site.toml");
    fs::write(&path, site::SITE.replace("pool = ", "pol = ")).unwrap();
    let output = farosctl().args(["-o", "json", "check"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = report.to_string();
    assert!(text.contains("\"key\":\"lan.pol\"") && text.contains("\"line\":11"), "{text}");
}
