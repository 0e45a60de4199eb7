//! `farosctl tang` against a tangd that answers what it is told to.

use farosctl::Exit;

use crate::fake::{Daemon, Site};

const KEYS: &str = r#"{"sealed":false,"keys":[
    {"file":"a.jwk","thumbprint":"9pEqcrwJ3Qqh-cMZeNTOqQYDSTFuBN3Wy2nk0OIwzJk","thumbprints":["qgmqJSo6AEEuVQY7zVlklqdTMqY"],
     "purpose":"sign","curve":"P-521","advertised":true,"rotated":false,"used_by":[]},
    {"file":".b.jwk","thumbprint":"XpEqcrwJ3Qqh-cMZeNTOqQYDSTFuBN3Wy2nk0OIwzJk","thumbprints":["XgmqJSo6AEEuVQY7zVlklqdTMqY"],
     "purpose":"exchange","curve":"P-521","advertised":false,"rotated":true,
     "used_by":[{"who":"cp1","count":2,"last":"2026-01-31T12:00:00Z","rotated_then":true,"depends":true}]}]}"#;

#[test]
fn approving_names_the_node_and_the_time() {
    let site = Site::new();
    let tangd = Daemon::start(&site, "tangd");
    tangd.answer("POST /approve", 200, r#"{"approved":"cp1","until":"2026-01-31T12:00:00Z","waiting":true}"#);
    let ran = site.run("tang approve cp1 --for 90s");
    assert!(ran.exit == Exit::Done && ran.out.contains("it is waiting"), "{ran:?}");
    assert!(tangd.asked("POST /approve?node=cp1&for=90000ms"));
    assert_eq!(site.run("tang approve cp1 --for 25h").exit, Exit::Usage);
}

#[test]
fn everybody_who_waits_is_approved_at_once() {
    let site = Site::new();
    let tangd = Daemon::start(&site, "tangd");
    tangd.answer("GET /waiting", 200, r#"{"waiting":[],"approved":[],"locks":{"all":null,"single":{}}}"#);
    assert_eq!(site.run("tang approve --all").exit, Exit::Failed);
    tangd.answer("GET /waiting", 200, r#"{"waiting":[{"subject":"cp1"},{"subject":"192.168.8.77"}]}"#);
    tangd.answer("POST /approve", 200, r#"{"until":"2026-01-31T12:00:00Z","waiting":true}"#);
    assert_eq!(site.run("tang approve --all").exit, Exit::Done);
    assert!(tangd.asked("POST /approve?node=cp1&for=600000ms"));
    assert!(tangd.asked("POST /approve?node=192.168.8.77&for=600000ms"));
}

#[test]
fn locks_carry_their_reason_and_a_refusal_fails() {
    let site = Site::new();
    let tangd = Daemon::start(&site, "tangd");
    tangd.answer("POST /lock", 200, r#"{"locked":"cp1","since":"2026-01-31T12:00:00Z"}"#);
    tangd.answer("POST /unlock", 409, r#"{"error":"cp1 is not locked"}"#);
    assert_eq!(site.run("tang lock cp1 --reason stolen").exit, Exit::Done);
    assert_eq!(site.run("tang lock --all").exit, Exit::Done);
    assert!(tangd.asked("POST /lock?node=cp1&reason=stolen") && tangd.asked("POST /lock?all=1"));
    let ran = site.run("tang unlock cp1");
    assert!(ran.exit == Exit::Failed && ran.out.contains("cp1 is not locked"), "{ran:?}");
}

#[test]
fn the_butane_block_has_the_url_and_the_signing_key_of_this_site() {
    let site = Site::new();
    let tangd = Daemon::start(&site, "tangd");
    tangd.answer("GET /keys", 200, KEYS);
    let ran = site.run("tang butane w1 --tpm -o json");
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let json = ran.json();
    let luks = &json["boot_device"]["luks"];
    assert_eq!(luks["tang"][0]["url"], "http://192.168.8.1:7500");
    assert_eq!(luks["tang"][0]["thumbprint"], "9pEqcrwJ3Qqh-cMZeNTOqQYDSTFuBN3Wy2nk0OIwzJk");
    assert_eq!((&luks["threshold"], &luks["tpm2"]), (&2.into(), &true.into()));
    assert_eq!(json["metadata"]["labels"]["machineconfiguration.openshift.io/role"], "worker");
    tangd.answer("GET /keys", 200, r#"{"sealed":true,"keys":[]}"#);
    assert_eq!(site.run("tang butane w1").exit, Exit::Failed);
}

#[test]
fn keys_are_shown_with_whoever_depends_on_them() {
    let site = Site::new();
    let tangd = Daemon::start(&site, "tangd");
    tangd.answer("GET /keys", 200, KEYS);
    let ran = site.run("tang show-keys");
    for part in
        ["advertised", "rotated out", "qgmqJSo6AEEuVQY7zVlklqdTMqY", "bind anew before it is deleted: cp1"]
    {
        assert!(ran.out.contains(part), "{part}: {ran:?}");
    }
}

#[test]
fn a_key_is_forgotten_only_when_nobody_uses_it_or_by_force() {
    let site = Site::new();
    let tangd = Daemon::start(&site, "tangd");
    tangd.answer("POST /forget", 409, r#"{"error":"still used by cp1: bind anew first"}"#);
    let ran = site.run("tang forget XpEqcrwJ3Qqh");
    assert!(ran.exit == Exit::Failed && ran.err.contains("still used by cp1"), "{ran:?}");
    assert!(tangd.asked("POST /forget?thumbprint=XpEqcrwJ3Qqh"));
    tangd.answer(
        "POST /forget",
        200,
        r#"{"thumbprint":"XpEqcrwJ3Qqh","files":[".b.jwk"],"used_by":["cp1"]}"#,
    );
    let ran = site.run("tang forget XpEqcrwJ3Qqh --force");
    assert!(ran.exit == Exit::Done && ran.out.contains(".b.jwk is deleted"), "{ran:?}");
    assert!(ran.out.contains("locked out: cp1"), "{ran:?}");
    assert!(tangd.asked("POST /forget?thumbprint=XpEqcrwJ3Qqh&force=1"));
}

#[test]
fn a_log_that_does_not_hang_together_fails_and_names_the_place() {
    let site = Site::new();
    let tangd = Daemon::start(&site, "tangd");
    tangd.answer("GET /audit", 200, r#"{"entries":[{"time":"t","decision":"recovered","node":"cp1"}]}"#);
    let whole = r#"{"whole":true,"log":{"files":1,"records":7,"first":1,"head":{"seq":7,"hash":"abc"},"torn_bytes":0}}"#;
    tangd.answer("GET /audit/verify", 200, whole);
    let ran = site.run("tang audit -n 5");
    assert!(
        ran.exit == Exit::Done && ran.out.contains("7 entries from number 1, ending with abc"),
        "{ran:?}"
    );
    assert!(tangd.asked("GET /audit?limit=5"));
    tangd.answer("GET /audit/verify", 200, r#"{"whole":false,"fault":"line 3 was changed"}"#);
    let ran = site.run("tang audit");
    assert!(ran.exit == Exit::Failed && ran.out.contains("line 3 was changed"), "{ran:?}");
    let file = site.path("log");
    std::fs::write(&file, "{\"no\":\"line of ours\"}\n").unwrap();
    assert_eq!(site.run(&format!("tang audit --file {}", file.display())).exit, Exit::Failed);
    assert_eq!(site.run("tang audit --file /no/such/log").exit, Exit::Failed);
}
