//! `farosctl ca` and openssl, which has to agree with it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use farosctl::Exit;

use crate::fake::{Ran, SITE, Site};

/// `openssl ARGUMENTS`, which must succeed; what it says.
#[track_caller]
fn openssl(arguments: &[&str]) -> String {
    let ran = Command::new("openssl").args(arguments).output().expect("openssl is installed");
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "openssl {arguments:?}: {out}{err}");
    out.into_owned()
}

fn tls(site: &Site, name: &str) -> String {
    site.path("tls").join(name).display().to_string()
}

/// `farosctl ca LINE` in the site's own directory.
fn ca(site: &Site, line: &str) -> Ran {
    site.run(&format!("ca {line} --dir {}", site.path("tls").display()))
}

#[track_caller]
fn done(ran: &Ran) {
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
}

fn mode(path: &str) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn site_with_authority() -> Site {
    let site = Site::new();
    done(&ca(&site, "init"));
    site
}

#[test]
fn openssl_believes_what_the_authority_signs() {
    let site = site_with_authority();
    let ran = ca(&site, "issue dnsd --san dns.example.com --san fd08::9 -o json");
    done(&ran);
    let made = ran.json();
    let names = &made["made"][0]["facts"]["names"];
    assert_eq!(
        *names,
        serde_json::json!(["bastion.edge.example.com", "192.168.8.1", "dns.example.com", "fd08::9"])
    );
    let (authority, certificate, key) =
        (tls(&site, "ca.crt"), tls(&site, "dnsd.crt"), tls(&site, "dnsd.key"));
    openssl(&["verify", "-x509_strict", "-CAfile", &authority, &authority]);
    for purpose in [
        &["-verify_hostname", "bastion.edge.example.com"],
        &["-verify_ip", "192.168.8.1"],
        &["-verify_ip", "fd08::9"],
    ] {
        let verify = ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", &authority];
        openssl(&[&verify[..], &purpose[..], &[certificate.as_str()]].concat());
    }
    let wrong = Command::new("openssl")
        .args(["verify", "-CAfile", &authority, "-verify_hostname", "api.edge.example.com", &certificate])
        .output()
        .unwrap();
    assert!(!wrong.status.success(), "a name that it lacks");
    let public = |from: &[&str]| openssl(from);
    assert_eq!(
        public(&["x509", "-noout", "-pubkey", "-in", &certificate]),
        public(&["pkey", "-pubout", "-in", &key])
    );
    let text = openssl(&["x509", "-noout", "-text", "-in", &certificate]);
    for expected in
        ["CA:FALSE", "TLS Web Server Authentication", "Digital Signature", "prime256v1", "Authority Key"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let text = openssl(&["x509", "-noout", "-text", "-in", &authority]);
    for expected in ["CA:TRUE, pathlen:0", "Certificate Sign", "Authority of edge.example.com"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    // 397 days, and ten years.
    openssl(&["x509", "-noout", "-in", &certificate, "-checkend", &(396 * 86_400).to_string()]);
    openssl(&["x509", "-noout", "-in", &authority, "-checkend", &(3_650_u64 * 86_400).to_string()]);
}

#[test]
fn keys_are_readable_by_those_who_need_them() {
    let site = site_with_authority();
    done(&ca(&site, "issue dnsd"));
    assert_eq!(mode(&tls(&site, "ca.key")), 0o600);
    assert_eq!(mode(&tls(&site, "ca.crt")), 0o644);
    assert_eq!(mode(&tls(&site, "dnsd.crt")), 0o644);
    let key = tls(&site, "dnsd.key");
    let owner = std::fs::metadata(&key).unwrap();
    if owner.uid() == 0 {
        let account = faros_common::sandbox::Account::of_daemons();
        assert_eq!((mode(&key), owner.gid()), (0o640, account.gid));
    } else {
        assert_eq!(mode(&key), 0o600);
    }
    let left: Vec<_> =
        std::fs::read_dir(site.path("tls")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "{left:?}");
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let site = site_with_authority();
    done(&ca(&site, "issue dnsd"));
    let read = |name: &str| std::fs::read(tls(&site, name)).unwrap();
    let names = ["ca.crt", "ca.key", "dnsd.crt", "dnsd.key"];
    let before: Vec<_> = names.map(read).into();
    let again = ca(&site, "init");
    assert!(again.exit == Exit::Failed && again.err.contains("every client trusts"), "{again:?}");
    let again = ca(&site, "issue dnsd");
    assert!(again.exit == Exit::Failed && again.err.contains("farosctl ca renew dnsd"), "{again:?}");
    // Half of a pair is enough to refuse.
    std::fs::remove_file(tls(&site, "dnsd.crt")).unwrap();
    assert_eq!(ca(&site, "issue dnsd").exit, Exit::Failed);
    std::fs::write(tls(&site, "dnsd.crt"), &before[2]).unwrap();
    assert_eq!(names.map(read).to_vec(), before);
}

#[test]
fn a_renewal_has_a_new_key_and_the_same_names_and_more() {
    let site = site_with_authority();
    done(&ca(&site, "issue dnsd --san dns.example.com"));
    done(&ca(&site, "issue console --days 59"));
    done(&ca(&site, "issue tangd --days 61"));
    let read = |name: &str| std::fs::read_to_string(tls(&site, name)).unwrap();
    let (certificate, key) = (read("dnsd.crt"), read("dnsd.key"));
    site.write(&SITE.replace("[tftp]", "address6 = \"fd08::1/64\"\n[tftp]"));
    // Only what ends within 60 days.
    let renewed = ca(&site, "renew -o json").json();
    assert_eq!(renewed["made"].as_array().unwrap().len(), 1, "{renewed}");
    assert_eq!(renewed["made"][0]["name"], "console");
    assert_eq!(read("dnsd.crt"), certificate);
    assert!(ca(&site, "renew").out.contains("nothing ends soon"));
    let renewed = ca(&site, "renew dnsd -o json").json();
    let names = &renewed["made"][0]["facts"]["names"];
    assert_eq!(
        *names,
        serde_json::json!(["bastion.edge.example.com", "192.168.8.1", "fd08::1", "dns.example.com"])
    );
    assert!(read("dnsd.crt") != certificate && read("dnsd.key") != key);
    openssl(&["verify", "-CAfile", &tls(&site, "ca.crt"), &tls(&site, "dnsd.crt")]);
    assert_eq!(mode(&tls(&site, "dnsd.key")) & 0o007, 0);
    let ran = ca(&site, "renew ntp");
    assert!(ran.exit == Exit::Failed && ran.err.contains("farosctl ca issue ntp"), "{ran:?}");
}

#[test]
fn show_tells_good_from_ending_from_bad() {
    let site = site_with_authority();
    done(&ca(&site, "issue dnsd"));
    let states = |exit: Exit| {
        let ran = ca(&site, "show -o json");
        assert_eq!(ran.exit, exit, "{ran:?}");
        let listing = ran.json();
        let certificates = listing["certificates"].as_array().unwrap().clone();
        let state = |entry: &serde_json::Value| {
            format!("{} {}", entry["name"].as_str().unwrap(), entry["state"].as_str().unwrap())
        };
        certificates.iter().map(state).collect::<Vec<_>>()
    };
    assert_eq!(states(Exit::Done), ["ca good", "dnsd good"]);
    done(&ca(&site, "issue console --days 20"));
    assert_eq!(states(Exit::Degraded), ["ca good", "console ending", "dnsd good"]);
    done(&ca(&site, "renew"));
    std::fs::copy(tls(&site, "console.key"), tls(&site, "dnsd.key")).unwrap();
    assert_eq!(states(Exit::Degraded), ["ca good", "console good", "dnsd bad"]);
    let ran = ca(&site, "show");
    assert!(ran.out.contains("does not belong to"), "{ran:?}");
    assert!(!ran.out.contains("PRIVATE"), "{ran:?}");
    // Of another authority.
    let other = site_with_authority();
    done(&ca(&other, "issue dnsd"));
    for name in ["dnsd.crt", "dnsd.key"] {
        std::fs::copy(tls(&other, name), tls(&site, name)).unwrap();
    }
    // The name of both authorities is the same, so their keys have to tell.
    assert_eq!(states(Exit::Degraded), ["ca good", "console good", "dnsd bad"]);
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_written() {
    let site = Site::new();
    let ran = ca(&site, "issue dnsd");
    assert!(ran.exit == Exit::Failed && ran.err.contains("farosctl ca init"), "{ran:?}");
    assert!(!Path::new(&tls(&site, "")).exists());
    done(&ca(&site, "init"));
    for (line, advice) in [
        ("issue ca", "authority itself"),
        ("issue ../dnsd", "no name for a certificate"),
        ("issue DNSD", "no name for a certificate"),
        ("issue dnsd --san 192.168.8.300", "neither a host name nor an address"),
    ] {
        let ran = ca(&site, line);
        assert!(ran.exit == Exit::Usage && ran.err.contains(advice), "{line}: {ran:?}");
    }
    // A key that is not the authority's.
    let other = site_with_authority();
    let own = std::fs::read(tls(&site, "ca.key")).unwrap();
    std::fs::copy(tls(&other, "ca.key"), tls(&site, "ca.key")).unwrap();
    let ran = ca(&site, "issue dnsd");
    assert!(ran.exit == Exit::Failed && ran.err.contains("does not belong"), "{ran:?}");
    std::fs::write(tls(&site, "ca.key"), "nonsense").unwrap();
    let ran = ca(&site, "issue dnsd");
    assert!(ran.exit == Exit::Failed && ran.err.contains("no key that can sign"), "{ran:?}");
    std::fs::write(tls(&site, "ca.key"), own).unwrap();
    assert!(!Path::new(&tls(&site, "dnsd.key")).exists());
    done(&ca(&site, "issue dnsd"));
}

#[test]
fn check_warns_of_certificates_that_end_or_cannot_serve() {
    let site = Site::new();
    let tls_of = |name: &str| tls(&site, name);
    let text = format!(
        "{SITE}[dns]\ncertificate = \"{}\"\ncertificate-key = \"{}\"\n",
        tls_of("dnsd.crt"),
        tls_of("dnsd.key")
    );
    site.write(&text);
    let said = || {
        let report = site.run("check -o json").json();
        let found = report["diagnostics"].as_array().unwrap().clone();
        let of = |found: &serde_json::Value| found["message"].as_str().unwrap().to_owned();
        found.iter().filter(|found| found["key"] == "dns.certificate").map(of).collect::<Vec<_>>()
    };
    assert!(said().is_empty(), "nobody has asked for certificates yet");
    done(&ca(&site, "init"));
    assert!(said()[0].contains("does not exist"), "{:?}", said());
    done(&ca(&site, "issue dnsd --days 29"));
    assert!(said()[0].contains("the certificate ends in 28 d"), "{:?}", said());
    done(&ca(&site, "renew"));
    assert!(said().is_empty(), "{:?}", said());
    std::fs::write(tls_of("dnsd.key"), "").unwrap();
    assert!(said()[0].contains("holds no private key"), "{:?}", said());
    site.write(&text.replace("[dns]", "[dns]\ntls-listen = []\nhttps-listen = []\nquic-listen = []"));
    assert!(said().is_empty(), "{:?}", said());
}
