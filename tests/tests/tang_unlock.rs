//! A real machine unlocks its disk by itself: Debian's initial RAM disk with clevis in it, an address by our dhcpd, the key
//! by our tangd. And it does not when it shall not.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::time::Duration;

use faros_tests::farosctl_of;
use faros_tests::site::N1;
use faros_tests::tang::machine::{Machine, bound_disk, image};
use faros_tests::tang::{Tang, keys_in};
use serde_json::Value;

/// From power on to the first request, or to the end: translated instructions take their time.
const BOOT_MAX: Duration = Duration::from_secs(240);
/// A machine that was refused asks again within 5 s and a little.
const AGAIN_MAX: Duration = Duration::from_secs(60);
/// So long two attempts of the machine come to nothing where nobody listens.
const TWO_ATTEMPTS: Duration = Duration::from_secs(15);

fn site(tang: &str) -> Tang {
    let mut site = Tang::built(tang);
    for name in ["dhcpd", "tangd"] {
        site.lab.start_daemon(name).unwrap();
    }
    site
}

/// How many entries of n1 have `value` in `field`.
fn entries(site: &Tang, field: &str, value: &str) -> usize {
    site.audit().iter().filter(|entry| entry["node"] == "n1" && entry[field] == value).count()
}

fn operator(site: &Tang, arguments: &[&str]) {
    let output = farosctl_of(&site.lab).arg("tang").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[test]
fn a_machine_starts_from_its_encrypted_disk_with_nothing_typed() {
    let image = image();
    let site = site("policy = \"known-nodes\"");
    let disk = bound_disk(&site);
    let mut machine = Machine::start(&site, &image, &disk, N1.0);
    machine.wait(BOOT_MAX, "it runs from its disk", Machine::is_unlocked);
    let said = machine.said();
    assert!(said.contains("cryptroot"), "{said}");
    let entry = site.audit().into_iter().find(|entry| entry["decision"] == "recovered").expect("an entry");
    assert_eq!((entry["node"].as_str(), entry["address"].as_str()), (Some("n1"), Some(N1.1)), "{entry}");
    assert_eq!((entry["mac"].as_str(), entry["key"].as_str()), (Some(N1.0), Some("current")), "{entry}");
    assert_eq!(entry["thumbprint"], site.thumbprint("deriveKey"));
    operator(&site, &["audit"]);
}

#[test]
fn a_machine_that_is_kept_waiting_starts_once_it_is_let_through() {
    let image = image();
    let mut site = site("policy = \"known-nodes\"\nhold = true");
    let disk = bound_disk(&site);
    let mut machine = Machine::start(&site, &image, &disk, N1.0);
    machine.wait(BOOT_MAX, "it asks and is held", |_| entries(&site, "decision", "held") > 0);
    machine.wait(AGAIN_MAX, "it asks again", |_| entries(&site, "decision", "held") > 1);

    operator(&site, &["lock", "n1"]);
    machine.wait(AGAIN_MAX, "its lock refuses it", |_| entries(&site, "rule", "locked") > 0);
    operator(&site, &["unlock", "n1"]);

    // With its key gone, not even an approval helps.
    let exchange = site.thumbprint("deriveKey");
    let (file, key) =
        keys_in(&site.keys()).into_iter().find(|(_, key)| thumbprint_of(key) == exchange).unwrap();
    std::fs::remove_file(&file).unwrap();
    operator(&site, &["approve", "n1"]);
    machine.wait(AGAIN_MAX, "its key is missing", |_| {
        site.audit().iter().any(|entry| entry["status"] == 404 && entry["node"] == "n1")
    });
    assert!(!machine.is_unlocked(), "{}", machine.said());

    site.lab.stop_daemon("tangd").unwrap();
    std::fs::write(&file, key.to_string()).unwrap();
    std::thread::sleep(TWO_ATTEMPTS);
    assert!(!machine.is_unlocked(), "nobody listens");
    assert_eq!(entries(&site, "decision", "recovered"), 0);
    site.lab.start_daemon("tangd").unwrap();
    let held = entries(&site, "decision", "held");
    machine.wait(AGAIN_MAX, "it is held again", |_| entries(&site, "decision", "held") > held);
    assert!(!machine.is_unlocked(), "approvals end with the daemon");

    operator(&site, &["approve", "n1"]);
    machine.wait(AGAIN_MAX, "it runs from its disk, without having been started again", Machine::is_unlocked);
    assert_eq!(entries(&site, "decision", "recovered"), 1);
    operator(&site, &["audit"]);
}

fn thumbprint_of(key: &Value) -> String {
    faros_tests::tang::points::thumbprint(key)
}
