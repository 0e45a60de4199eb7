//! `farosctl lb` against an lb that answers what it is told to.

use farosctl::Exit;

use crate::fake::{Daemon, Site};

const FRONTENDS: &str = r#"[
    {"name":"api","listen":["192.168.8.1:6443"],"plane":"kernel","serving":"regular servers",
     "bootstrap":{"phase":"standing by","because":"the control plane is young"},
     "connections":{"active":3,"accepted":70},
     "servers":[
        {"name":"cp1","address":"192.168.8.11:6443","state":"up","mode":"enabled","for_secs":61.0,"serving":true,
         "share":256,"backup":false,"reason":"3 good answers","connections":{"active":3,"failed":0}},
        {"name":"cp2","address":"192.168.8.12:6443","state":"down","mode":"enabled","for_secs":2.0,"serving":false,
         "share":0,"backup":false,"reason":"status 500\u001b[2J","connections":{"active":0,"failed":4}}]},
    {"name":"ingress-http","listen":["192.168.8.1:80"],"plane":"user","bootstrap":null,
     "connections":{"active":0,"accepted":0},"serving":"no server is left: clients are reset at once",
     "servers":[{"name":"cp1","address":"192.168.8.11:80","state":"down","mode":"enabled","serving":false,
         "share":0,"backup":false,"reason":"refused","connections":{"active":0,"failed":0}}]}]"#;
const VIP: &str = r#"{"address":"192.168.8.1","offer":true,"because":"api has a server"}"#;

#[test]
fn a_front_end_that_nobody_serves_is_degraded() {
    let site = Site::new();
    let lb = Daemon::start(&site, "lb");
    lb.answer("GET /frontends", 200, FRONTENDS);
    lb.answer("GET /vip", 200, VIP);
    let ran = site.run("lb status");
    assert_eq!(ran.exit, Exit::Degraded, "{ran:?}");
    for part in ["1 of 2", "0 of 1", "standing by", "no server is left", "VIP 192.168.8.1 offered", "1 min"] {
        assert!(ran.out.contains(part), "{part}: {ran:?}");
    }
    assert!(!ran.out.contains('\u{1b}'), "a server steers the terminal: {ran:?}");
    let ran = site.run("lb status api -o json");
    assert_eq!((ran.exit, ran.json()["frontends"].as_array().unwrap().len()), (Exit::Done, 1));
    let ran = site.run("lb status nothing");
    assert!(ran.exit == Exit::Failed && ran.err.contains("there are: api, ingress-http"), "{ran:?}");
}

/// One server with so many connections.
fn left(connections: u32, mode: &str) -> String {
    format!(
        r#"[{{"name":"api","servers":[{{"name":"cp1","mode":"{mode}","connections":{{"active":{connections}}}}}]}}]"#
    )
}

#[test]
fn a_drain_ends_with_the_last_connection_or_in_time() {
    let site = Site::new();
    let lb = Daemon::start(&site, "lb");
    lb.answer("POST /frontends/api/servers/cp1/drain", 200, r#"{"done":true}"#);
    lb.answer("GET /frontends", 200, &left(0, "drained"));
    let ran = site.run("lb drain cp1 --within 30s");
    assert!(ran.exit == Exit::Done && ran.out.contains("no connection is left"), "{ran:?}");
    assert!(lb.asked("POST /frontends/api/servers/cp1/drain?within=30000ms"));
    lb.answer("GET /frontends", 200, &left(2, "drained"));
    let ran = site.run("lb drain cp1 --timeout 0s");
    assert_eq!(ran.exit, Exit::TimedOut, "{ran:?}");
    assert!(ran.err.contains("2 connections are left") && ran.out.contains("--within 0s"), "{ran:?}");
    let ran = site.run("lb drain cp1 --timeout 0s -o json");
    assert_eq!((&ran.json()["drained"], &ran.json()["left"][0]["connections"]), (&false.into(), &2.into()));
    assert_eq!(site.run("lb drain cp1 --no-wait").exit, Exit::Done);
    lb.answer("GET /frontends", 200, &left(2, "enabled"));
    let ran = site.run("lb drain cp1");
    assert!(ran.exit == Exit::Failed && ran.out.contains("not drained any more"), "{ran:?}");
    let ran = site.run("lb drain cp9");
    assert!(ran.exit == Exit::Failed && ran.err.contains("no front end has a server cp9"), "{ran:?}");
    assert_eq!(site.run("lb drain cp1 --within 8d").exit, Exit::Usage);
}

#[test]
fn a_server_is_meant_in_every_front_end_that_has_it() {
    let site = Site::new();
    let lb = Daemon::start(&site, "lb");
    lb.answer("GET /frontends", 200, FRONTENDS);
    lb.answer("POST /frontends/api/servers/cp1/enable", 200, r#"{"done":true}"#);
    lb.answer("POST /frontends/ingress-http/servers/cp1/enable", 409, r#"{"error":"busy"}"#);
    let ran = site.run("lb enable cp1");
    assert!(ran.exit == Exit::Failed && ran.out.contains("busy"), "{ran:?}");
    let ran = site.run("lb enable cp1 --frontend api");
    assert!(ran.exit == Exit::Done && !ran.out.contains("ingress-http"), "{ran:?}");
    lb.answer("POST /frontends/api/servers/cp2/maintenance", 200, r#"{"done":true}"#);
    assert_eq!(site.run("lb maintenance cp2").exit, Exit::Done);
    lb.answer("POST /frontends/api/servers/cp2/remove", 200, r#"{"done":true}"#);
    assert_eq!(site.run("lb remove cp2 --cut").exit, Exit::Done);
    assert!(lb.asked("POST /frontends/api/servers/cp2/remove?persist=0&cut=1"));
    lb.answer("POST /frontends/api/bootstrap/retire", 200, r#"{"done":true}"#);
    assert_eq!(site.run("lb retire").exit, Exit::Done);
    assert_eq!(site.run("lb recall --frontend ingress-http").exit, Exit::Failed);
}

#[test]
fn servers_are_added_with_what_was_asked_for() {
    let site = Site::new();
    let lb = Daemon::start(&site, "lb");
    lb.answer("POST /frontends/api/servers", 200, r#"{"done":true}"#);
    let ran = site.run("lb add api cp4 192.168.8.14:6443 --weight 3 --persist");
    assert!(ran.exit == Exit::Done && ran.out.contains("once its checks are good"), "{ran:?}");
    assert!(lb.asked("POST /frontends/api/servers?persist=1"));
    lb.answer("POST /frontends/api/servers", 409, r#"{"error":"there is a server cp4 already"}"#);
    let ran = site.run("lb add api cp4 192.168.8.14:6443");
    assert!(ran.exit == Exit::Failed && ran.out.contains("there is a server cp4 already"), "{ran:?}");
}

const HAPROXY: &str = "defaults\n  timeout client 1m\n  timeout server 1m\nlisten api\n  bind *:6443\n  balance source\n\
    \x20 server m cp1.edge.example.com:6443 check fall 2 rise 3\n\
    listen registry\n  bind 192.168.8.1:5000\n  acl x path /\n  server a 192.168.8.60:5000 check\n";

#[test]
fn a_haproxy_cfg_becomes_tables_and_its_faults_are_named() {
    let site = Site::new();
    let file = site.path("haproxy.cfg");
    std::fs::write(&file, HAPROXY).unwrap();
    let ran = site.run(&format!("lb import {} --all", file.display()));
    assert_eq!(ran.exit, Exit::Degraded, "the acl is lost: {ran:?}");
    assert!(ran.out.contains("address = \"192.168.8.11:6443\""), "a node of the site: {ran:?}");
    for part in [
        "haproxy.cfg:7: warning: fall 2 rise 3",
        "haproxy.cfg:2: warning: ",
        "haproxy.cfg:10: not taken over: acl",
    ] {
        assert!(ran.err.contains(part), "{part}: {ran:?}");
    }
    let ran = site.run(&format!("lb import {} -o json", file.display()));
    assert_eq!(ran.json()["frontends"], 1, "the API is derived: {ran:?}");
    assert!(ran.json()["findings"].as_array().unwrap().iter().any(|found| found["line"] == 6));
    assert_eq!(site.run("lb import /no/such/file").exit, Exit::Failed);
    std::fs::write(&file, HAPROXY.replace("  acl x path /\n", "")).unwrap();
    assert_eq!(site.run(&format!("lb import {}", file.display())).exit, Exit::Done);
}
