//! Files over HTTP with curl.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::fs;
use std::process::Output;

use faros_lab::{Lab, Namespace};
use faros_tests::{machine_at, noise, run, running, sha256, site};

fn client(lab: &Lab) -> Namespace {
    machine_at(lab, "client", site::STRANGER, "192.168.8.20/24")
}

fn curl(client: &Namespace, path: &str, further: &[&str]) -> Output {
    let url = format!("http://{}:8080{path}", site::BASTION);
    let mut arguments = vec!["-sS", "--path-as-is", "-m", "20"];
    arguments.extend(further);
    arguments.push(&url);
    run(client, "curl", &arguments)
}

fn status(client: &Namespace, path: &str, further: &[&str]) -> String {
    let mut arguments = vec!["-o", "/dev/null", "-w", "%{http_code}"];
    arguments.extend(further);
    String::from_utf8_lossy(&curl(client, path, &arguments).stdout).into_owned()
}

fn header(client: &Namespace, path: &str, name: &str) -> Option<String> {
    let output = curl(client, path, &["-I"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let fields = text.lines().filter_map(|line| line.split_once(": "));
    fields
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
        .next()
}

#[test]
fn a_file_comes_whole_in_parts_and_not_again() {
    let lab = running(site::SITE);
    let client = client(&lab);
    let kernel = noise(site::KERNEL_BYTES, 1);
    assert_eq!(sha256(&curl(&client, "/test/vmlinuz", &[]).stdout), sha256(&kernel));
    assert_eq!(sha256(&curl(&client, "//test//vmlinuz", &[]).stdout), sha256(&kernel));
    assert_eq!(curl(&client, "/test/vmlinuz", &["-r", "1000-1999"]).stdout, &kernel[1000..2000]);
    assert_eq!(curl(&client, "/test/vmlinuz", &["-r", "-77"]).stdout, &kernel[kernel.len() - 77..]);
    assert_eq!(status(&client, "/test/vmlinuz", &["-r", "0-0"]), "206");
    assert_eq!(status(&client, "/test/vmlinuz", &["-r", "99999999-"]), "416");
    assert_eq!(header(&client, "/test/vmlinuz", "content-length"), Some(kernel.len().to_string()));
    let etag = header(&client, "/test/vmlinuz", "etag").expect("an ETag");
    assert_eq!(status(&client, "/test/vmlinuz", &["-H", &format!("If-None-Match: {etag}")]), "304");
    assert_eq!(status(&client, "/test/vmlinuz", &["-H", "If-None-Match: \"other\""]), "200");

    fs::write(lab.boot_root().join("test/vmlinuz"), noise(5000, 3)).unwrap();
    assert_ne!(header(&client, "/test/vmlinuz", "etag"), Some(etag.clone()), "another content, another tag");
    let stale = curl(&client, "/test/vmlinuz", &["-r", "0-9", "-H", &format!("If-Range: {etag}")]);
    assert_eq!(stale.stdout.len(), 5000, "a part of another file is no continuation");
}

#[test]
fn what_is_not_for_everybody_is_refused() {
    let lab = running(site::SITE);
    let client = client(&lab);
    fs::write(lab.dir().join("outside"), "outside").unwrap();
    std::os::unix::fs::symlink("../outside", lab.boot_root().join("link")).unwrap();
    fs::hard_link(lab.boot_root().join("test/secret.ign"), lab.boot_root().join("alias.txt")).unwrap();
    for path in [
        "/../outside",
        "/%2e%2e/outside",
        "/test/..%2f..%2foutside",
        "/link",
        "/test/secret.ign",
        "//test//secret.ign",
        "/test/%73ecret.ign",
        "/alias.txt",
        "/test",
        "/test/",
        "/",
        "/etc/passwd",
        "/ignition/n1",
        "/ignition/nobody",
        "/test/vmlinuz%00.txt",
    ] {
        let output = curl(&client, path, &["-w", "\n%{http_code}"]);
        let text = String::from_utf8_lossy(&output.stdout);
        let (body, code) = text.rsplit_once('\n').unwrap();
        assert!(matches!(code, "400" | "403" | "404"), "{path}: {code}");
        assert!(!body.contains("outside") || body.len() > 20, "{path}: {body}");
        assert!(!body.contains("top") && !body.contains("root:"), "{path}: {body}");
    }
    assert_eq!(status(&client, "/test/vmlinuz", &["-X", "PUT", "-d", "x"]), "405");
    assert_eq!(status(&client, "/test/vmlinuz", &["-X", "DELETE"]), "405");
}

#[test]
fn loaders_are_served_without_redirects() {
    let lab = running(site::SITE);
    let client = client(&lab);
    let head = ["-I", "-A", "UefiHttpBoot/1.0", "-H", &format!("Host: {}", site::BASTION)];
    assert_eq!(status(&client, "/loaders/snponly.efi", &head), "200");
    assert!(curl(&client, "/loaders/snponly.efi", &["-A", "UefiHttpBoot/1.0"]).stdout.len() > 100_000);
}

#[test]
fn the_wan_side_is_not_served() {
    let lab = running(site::SITE);
    lab.wan().ip("addr add 198.51.100.1/24 dev wan0").unwrap();
    lab.wan().ip(&format!("route add {}/32 via 198.51.100.2", site::BASTION)).unwrap();
    for address in ["198.51.100.2", site::BASTION] {
        let url = format!("http://{address}:8080/test/vmlinuz");
        let output = run(lab.wan(), "curl", &["-sS", "-m", "4", &url]);
        assert!(!output.status.success() && output.stdout.is_empty(), "{address}: {}", output.stdout.len());
    }
}
