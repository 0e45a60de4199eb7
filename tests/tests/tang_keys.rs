//! The life of keys: how they come of age, who may read them, and how they go.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Output};
use std::time::Duration;

use faros_common::clock;
use faros_tests::tang::points::{self, thumbprint};
use faros_tests::tang::{Naming, OURS, Tang, UPSTREAM_PROGRAMS, is_hidden, keys_in};
use faros_tests::{eventually, farosctl_of};

/// The client of these tests, which is no node.
const CLIENT: &str = "192.168.8.20";
/// How soon the daemon looks after its keys once it runs.
const TIDY_WITHIN: Duration = Duration::from_secs(20);

fn farosctl(site: &Tang, line: &str) -> Output {
    farosctl_of(&site.lab).args(line.split(' ')).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

#[test]
fn a_key_goes_once_it_is_rotated_out_and_nobody_needs_it() {
    let site = Tang::running("");
    let clevis = site.clevis();
    let encrypted = clevis.encrypt(OURS, Naming::S256, b"disk").unwrap();
    let [old, signer] = ["deriveKey", "sign"].map(|operation| site.thumbprint(operation));
    let refused = |line: &str, why: &str| {
        let output = farosctl(&site, line);
        assert!(!output.status.success() && said(&output).contains(why), "{line}: {output:?}");
    };
    refused(&format!("tang forget {old}"), "rotate");
    refused(&format!("tang forget {old} --force"), "rotate");
    refused("tang forget qgmqJSo6AEEuVQY7zVlklqdTMqY", "no key");

    assert!(farosctl(&site, "tang rotate").status.success());
    let done = farosctl(&site, &format!("tang forget {signer}"));
    assert!(done.status.success(), "nobody unlocks with a key that signs: {done:?}");
    assert_eq!(clevis.decrypt(OURS, &encrypted).unwrap(), b"disk");
    refused(&format!("tang forget {old}"), CLIENT);
    assert_eq!(clevis.decrypt(OURS, &encrypted).unwrap(), b"disk", "what is refused changes nothing");

    let done = farosctl(&site, &format!("tang forget {old} --force"));
    assert!(done.status.success() && said(&done).contains(CLIENT), "{done:?}");
    assert!(clevis.decrypt(OURS, &encrypted).is_err());
    assert!(keys_in(&site.keys()).iter().all(|(path, _)| !is_hidden(path)));
    let next = clevis.encrypt(OURS, Naming::S256, b"next").unwrap();
    assert_eq!(clevis.decrypt(OURS, &next).unwrap(), b"next");

    let noted = |entry: &serde_json::Value| {
        entry["decision"] == "note" && entry["reason"].as_str().is_some_and(|reason| reason.contains(&old))
    };
    eventually("it is in the log", || site.audit().iter().any(noted));
    let events = farosctl(&site, "events --event tang_forgotten");
    assert!(said(&events).contains(&old), "{events:?}");
    assert!(farosctl(&site, "tang audit").status.success());
}

#[test]
fn keys_of_age_are_rotated_while_the_daemon_runs_and_young_ones_are_not() {
    let mut site = Tang::running("rotate = \"90d\"");
    let encrypted = site.clevis().encrypt(OURS, Naming::S256, b"disk").unwrap();
    let made: Vec<_> = site.visible_keys();
    let age = |site: &Tang, days: u64| {
        let then = clock::wall() - Duration::from_secs(days * 86_400);
        for (path, _) in site.visible_keys() {
            std::fs::File::open(path).unwrap().set_modified(then).unwrap();
        }
    };
    age(&site, 89);
    site.lab.stop_daemon("tangd").unwrap();
    site.lab.start_daemon("tangd").unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(site.visible_keys(), made, "a day too early");

    age(&site, 91);
    site.lab.stop_daemon("tangd").unwrap();
    site.lab.start_daemon("tangd").unwrap();
    faros_tests::within(TIDY_WITHIN, "a fresh pair is in use", || {
        let now = site.visible_keys();
        now.len() == 2
            && now.iter().all(|(_, key)| made.iter().all(|(_, old)| thumbprint(old) != thumbprint(key)))
    });
    assert_eq!(site.clevis().decrypt(OURS, &encrypted).unwrap(), b"disk", "the old one still unlocks");
    let noted = |entry: &serde_json::Value| {
        entry["reason"].as_str().is_some_and(|reason| reason.contains("rotated on schedule"))
    };
    eventually("it is in the log", || site.audit().iter().any(noted));
    let events = farosctl(&site, "events --event tang_rotated");
    assert!(said(&events).contains("schedule"), "{events:?}");
}

#[test]
fn a_key_that_root_alone_may_read_is_told_of_until_it_is_mended() {
    let site = Tang::running("");
    let keys = site.keys();
    // As somebody does who is used to upstream's tools.
    let made = Command::new(format!("{UPSTREAM_PROGRAMS}/tangd-keygen")).arg(&keys).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let owner = std::fs::metadata(&keys).unwrap();
    let foreign = || -> Vec<_> {
        let all = keys_in(&keys).into_iter().map(|(path, _)| path);
        all.filter(|path| std::fs::metadata(path).unwrap().uid() != owner.uid()).collect()
    };
    let foreign_now = foreign();
    assert_eq!(foreign_now.len(), 2, "as upstream makes them");
    let status = farosctl(&site, "status");
    for path in &foreign_now {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(said(&status).contains(name) && said(&status).contains("chown"), "{}", said(&status));
    }
    for path in foreign_now {
        std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    assert!(!said(&farosctl(&site, "status")).contains("chown"), "mended without a restart");
}

#[test]
fn a_key_that_everybody_may_read_is_served_by_nobody() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut site = Tang::built("");
    let (keys, file) = (site.keys(), site.keys().join("exchange.jwk"));
    std::fs::create_dir_all(&keys).unwrap();
    std::fs::write(&file, points::CURVES[0].exchange_key().to_string()).unwrap();
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o755)).unwrap();
    mode(0o644);
    let refused = site.lab.start_daemon("tangd").expect_err("it does not start").to_string();
    let log = std::fs::read_to_string(site.lab.log_file("tangd")).unwrap_or_default();
    assert!(format!("{refused}{log}").contains("chmod 0440"), "{refused}\n{log}");
    mode(0o440);
    site.lab.start_daemon("tangd").expect("it starts");
}
