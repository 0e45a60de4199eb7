//! Who gets an answer, and what is written down about it.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use faros_lab::Namespace;
use faros_tests::site::{N1, N2};
use faros_tests::tang::points::CURVES;
use faros_tests::tang::{OURS, Reply, Tang, http};
use faros_tests::{eventually, farosctl_of, leased, machine, machine_at, run};
use serde_json::Value;

fn known_nodes(further: &str) -> Tang {
    let mut site = Tang::built(&format!("policy = \"known-nodes\"\n{further}"));
    for name in ["dhcpd", "tangd"] {
        site.lab.start_daemon(name).unwrap();
    }
    site
}

/// A recovery, asked for by `machine`.
fn recover(site: &Tang, machine: &Namespace) -> Reply {
    let path = format!("/rec/{}", site.thumbprint("deriveKey"));
    let request = http::post(&path, &CURVES[0].random_point().request());
    machine.inside(|| http::exchange(OURS, &request)).unwrap().unwrap()
}

/// The latest entry, once it has this decision: what gave nothing out is written down after it was answered.
fn last(site: &Tang, decision: &str) -> Value {
    let mut latest = Value::Null;
    eventually(&format!("an entry: {decision}"), || {
        latest = site.audit().pop().unwrap_or_default();
        latest["decision"] == decision
    });
    latest
}

/// An address by DHCP, as a machine gets it that boots.
fn boot(site: &Tang, name: &str, mac: &str) -> (Namespace, String) {
    let node = machine(&site.lab, name, mac);
    let lease =
        run(&node, "udhcpc", &["-i", "eth0", "-n", "-q", "-f", "-t", "6", "-T", "1", "-s", "/bin/true"]);
    assert!(lease.status.success(), "{lease:?}");
    let address = leased(&site.lab, mac).expect("a lease");
    node.ip(&format!("addr add {address}/24 dev eth0")).unwrap();
    (node, address)
}

#[test]
fn only_nodes_at_their_own_addresses_recover_keys() {
    let site = known_nodes("");
    let (n1, address) = boot(&site, "n1", N1.0);
    assert_eq!(address, N1.1);
    assert_eq!(recover(&site, &n1).status, 200);
    let entry = last(&site, "recovered");
    assert_eq!(entry["node"], "n1", "{entry}");
    assert_eq!((entry["address"].as_str(), entry["mac"].as_str()), (Some(N1.1), Some(N1.0)), "{entry}");
    assert_eq!(entry["thumbprint"], site.thumbprint("deriveKey"));

    let (guest, _) = boot(&site, "guest", "52:54:00:00:77:05");
    assert_eq!(recover(&site, &guest).status, 403, "a lease alone makes no node");
    let entry = last(&site, "refused");
    assert_eq!(entry["rule"], "known-nodes", "{entry}");

    let squatter = machine_at(&site.lab, "squatter", "52:54:00:00:77:06", &format!("{}/24", N2.1));
    assert_eq!(recover(&site, &squatter).status, 403, "a node's address with another card");
    assert_eq!(recover(&site, &site.client).status, 403, "a stranger");
    let advertised = site.client.inside(|| http::exchange(OURS, &http::get("/adv"))).unwrap().unwrap();
    assert_eq!(advertised.status, 200, "what is public is public");
}

#[test]
fn locks_outlive_restarts_and_approvals_open_what_is_held() {
    let mut site = known_nodes("hold = true");
    let operator = |site: &Tang, arguments: &[&str]| {
        let output = farosctl_of(&site.lab).arg("tang").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (n1, _) = boot(&site, "n1", N1.0);
    let held = recover(&site, &n1);
    assert_eq!(held.status, 503);
    assert!(held.field("retry-after").is_some_and(|secs| secs.parse::<u32>().is_ok_and(|secs| secs > 0)));
    last(&site, "held");
    assert!(operator(&site, &["waiting"]).contains("n1"));
    operator(&site, &["approve", "n1"]);
    assert_eq!(recover(&site, &n1).status, 200);
    operator(&site, &["lock", "n1", "--reason", "stolen"]);
    assert_eq!(recover(&site, &n1).status, 403);
    site.lab.kill_daemon("tangd").unwrap();
    site.lab.start_daemon("tangd").unwrap();
    assert_eq!(recover(&site, &n1).status, 403, "a power cut unlocks nothing");
    assert!(operator(&site, &["waiting"]).contains("stolen"));
    operator(&site, &["unlock", "n1"]);
    assert_eq!(recover(&site, &n1).status, 503, "it waits again");
}

#[test]
fn a_node_that_asks_too_often_is_slowed_down_and_no_other_is() {
    let mut site = Tang::built("policy = \"known-nodes\"");
    let text = std::fs::read_to_string(site.lab.site_file()).unwrap();
    site.lab.write_site(&text.replace("rate = 100000", "rate = 5")).unwrap();
    for name in ["dhcpd", "tangd"] {
        site.lab.start_daemon(name).unwrap();
    }
    let (n1, _) = boot(&site, "n1", N1.0);
    let (n2, _) = boot(&site, "n2", N2.0);
    let statuses: Vec<u16> = (0..7).map(|_| recover(&site, &n1).status).collect();
    assert_eq!(statuses[..5], [200; 5], "{statuses:?}");
    assert_eq!(statuses[6], 503, "{statuses:?}");
    assert_eq!(recover(&site, &n2).status, 200);
}

#[test]
fn whatever_is_changed_in_the_log_shows() {
    let mut site = Tang::running("");
    for _ in 0..20 {
        assert_eq!(recover(&site, &site.client).status, 200);
    }
    let verify = |site: &Tang, path: Option<&std::path::Path>| {
        let mut command = farosctl_of(&site.lab);
        command.args(["-o", "json", "tang", "audit"]);
        if let Some(path) = path {
            command.arg("--file").arg(path);
        }
        let output = command.output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(said["whole"] == true, output.status.success(), "{output:?}");
        said
    };
    let said = verify(&site, None);
    assert_eq!(said["whole"], true, "{said}");
    // A process that is killed loses nothing that it has answered.
    site.lab.kill_daemon("tangd").unwrap();
    site.lab.start_daemon("tangd").unwrap();
    assert_eq!(recover(&site, &site.client).status, 200);
    last(&site, "recovered");
    let recovered = site.audit().into_iter().filter(|entry| entry["decision"] == "recovered").count();
    assert_eq!(recovered, 21);
    let said = verify(&site, None);
    assert_eq!(said["whole"], true, "the chain goes on after a kill: {said}");

    let directory = site.lab.state_dir("tangd").join("audit");
    let file = std::fs::read_dir(&directory).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let copy = site.lab.dir().join("audit-000000000001.jsonl");
    let check = |what: &str, content: String, whole: bool| {
        std::fs::write(&copy, content).unwrap();
        let said = verify(&site, Some(&copy));
        assert_eq!(said["whole"], whole, "{what}: {said}");
    };
    let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    check("untouched", text.clone(), true);
    check("another address", text.replacen("192.168.8.20", "192.168.8.21", 1), false);
    check("a line less", joined(&[&lines[..5], &lines[6..]].concat()), false);
    check("a line twice", joined(&[&lines[..5], &lines[4..]].concat()), false);
    let mut swapped = lines.clone();
    swapped.swap(7, 8);
    check("two lines swapped", joined(&swapped), false);
    let head = said["log"]["head"].to_string();
    check("the end cut off", joined(&lines[..lines.len() - 2]), true);
    assert_ne!(verify(&site, Some(&copy))["log"]["head"].to_string(), head, "which the head shows");
}

#[test]
fn nobody_beyond_the_uplink_is_served() {
    let site = known_nodes("");
    site.lab.wan().ip("addr add 198.51.100.77/24 dev wan0").unwrap();
    site.lab.wan().ip("route add 192.168.8.0/24 via 198.51.100.2").unwrap();
    let answer = site.lab.wan().inside(|| http::exchange(OURS, &http::get("/adv"))).unwrap();
    assert!(answer.is_err(), "{answer:?}");
}
