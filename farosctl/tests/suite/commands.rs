//! `farosctl` against daemons that answer what they are told to: outputs and exit codes.

use std::io::{self, BufReader};

use farosctl::{Exit, Terminal};
use serde_json::{Value, json};

use crate::fake::{Buffer, Closed, Daemon, Site, event};

fn all(site: &Site) -> [Daemon; 6] {
    let names = ["dhcpd", "tftpd", "ignition-http", "dnsd", "tangd", "lb"];
    let daemons = names.map(|name| Daemon::start(site, name));
    let leases = json!({ "leases": [
        { "address": "192.168.8.11", "mac": "52:54:00:00:08:11", "node": "cp1", "state": "active" },
        { "address": "192.168.8.130", "mac": "52:54:00:00:08:22", "state": "active" },
    ] });
    daemons[0].answer("GET /leases", 200, &leases.to_string());
    let nodes = json!({ "nodes": [
        { "name": "cp1", "state": "disk", "since": "2026-01-31T12:00:00Z" },
        { "name": "w1", "state": "kernel", "since": "2026-01-31T12:00:00Z" },
    ] });
    daemons[2].answer("GET /nodes", 200, &nodes.to_string());
    daemons[2].answer("GET /nodes/w1", 200, &nodes["nodes"][1].to_string());
    daemons
}

#[test]
fn check_ends_with_78_and_names_line_and_key() {
    let site = Site::new();
    let ran = site.run("check");
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    site.write(
        "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\n[lan]\ninterfce = \"lan0\"\n",
    );
    let ran = site.run("check");
    assert_eq!(ran.exit, Exit::SiteRefused);
    assert!(ran.out.contains("site.toml:6:1: error: lan.interfce"), "{}", ran.out);
    let report = site.run("check -o json").json();
    let found = report["diagnostics"].as_array().unwrap().iter().find(|found| found["key"] == "lan.interfce");
    assert_eq!(found.unwrap()["line"], 6, "{report}");
    let ran = site.run("check /does/not/exist");
    assert_eq!(ran.exit, Exit::SiteRefused);
}

#[test]
fn check_warns_of_files_that_are_not_there() {
    let site = Site::new();
    let ran = site.run("check");
    assert!(ran.out.contains("warning: profile.linux.kernel"), "{}", ran.out);
    std::fs::create_dir(site.path("boot/linux")).unwrap();
    std::fs::write(site.path("boot/linux/kernel"), "x").unwrap();
    assert!(!site.run("check").out.contains("profile.linux.kernel"));
}

#[test]
fn status_is_degraded_while_one_is_down() {
    let site = Site::new();
    let [_dhcpd, tftpd, _http, ..] = all(&site);
    let ran = site.run("status");
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    tftpd.stop();
    let ran = site.run("status -o json");
    assert_eq!(ran.exit, Exit::Degraded);
    let status = ran.json();
    assert_eq!((&status["healthy"], &status["daemons"][1]["up"]), (&json!(false), &json!(false)));
    assert!(site.run("status").out.contains("systemctl start faros-tftpd"));
}

#[test]
fn status_is_degraded_after_a_refused_reload_or_with_a_bad_site_file() {
    let site = Site::new();
    let [dhcpd, ..] = all(&site);
    let refused =
        json!({ "version": "0.1.0", "last_reload": { "state": "refused", "reason": "site.toml:3: odd" } });
    dhcpd.answer("GET /status", 200, &refused.to_string());
    let ran = site.run("status");
    assert_eq!(ran.exit, Exit::Degraded);
    assert!(ran.out.contains("site.toml:3: odd"), "{}", ran.out);
    site.write("version = 2");
    let ran = site.run("status");
    assert_eq!(ran.exit, Exit::Degraded);
    assert!(ran.err.contains("farosctl check") && ran.out.contains("ignition-http"), "{ran:?}");
}

#[test]
fn events_of_all_daemons_come_in_order_of_time() {
    let site = Site::new();
    let [dhcpd, tftpd, http, ..] = all(&site);
    dhcpd.answer("GET /events", 200, &event(10, 1, "dhcpd", "dhcp_acked", r#","node":"cp1""#));
    tftpd.answer(
        "GET /events",
        200,
        &event(20, 2, "tftpd", "file_sent", r#","node":"cp1","file":"snponly.efi""#),
    );
    let served = event(30, 0, "ignition-http", "script_served", r#","node":"w1""#)
        + &event(31, 3, "ignition-http", "kernel_served", r#","node":"cp1""#);
    http.answer("GET /events", 200, &served);

    let ids = |line: &str| -> Vec<String> {
        let ran = site.run(line);
        assert_eq!(ran.exit, Exit::Done, "{ran:?}");
        let values = ran.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        values.map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("events -o json"), ["script_served", "dhcp_acked", "file_sent", "kernel_served"]);
    assert_eq!(ids("events -o json --node cp1 -n 2"), ["file_sent", "kernel_served"]);
    assert_eq!(ids("events -o json --daemon tftpd"), ["file_sent"]);
    assert_eq!(ids("events -o json --event dhcp_acked --event file_sent"), ["dhcp_acked", "file_sent"]);
    assert_eq!(ids("events -o json --since 2026-01-31T12:00:02Z"), ["file_sent", "kernel_served"]);
    site.run("events --since 17 --daemon tftpd");
    assert!(tftpd.asked("GET /events?since=17"));
    assert_eq!(site.run("events --daemon nobody").exit, Exit::Usage);
    assert_eq!(site.run("events --since lately").exit, Exit::Usage);
    tftpd.stop();
    assert_eq!(site.run("events").exit, Exit::Degraded);
}

#[test]
fn explain_concludes_where_a_node_stalls() {
    let site = Site::new();
    let [dhcpd, tftpd, http, ..] = all(&site);
    for (daemon, would) in [(&dhcpd, "offer 192.168.8.21"), (&tftpd, "send snponly.efi"), (&http, "install")]
    {
        let answer = json!({ "would": would, "rule": "reservation", "because": ["its MAC is w1's"] });
        daemon.answer("GET /explain", 200, &answer.to_string());
    }
    let served = event(30, 0, "ignition-http", "kernel_served", r#","node":"w1""#);
    http.answer("GET /events", 200, &served);
    let ran = site.run("explain w1");
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    for part in [
        "offer 192.168.8.21",
        "send snponly.efi",
        "its MAC is w1's",
        "kernel_served",
        "Ignition never",
        "http://192.168.8.1:8080/ignition/w1",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(dhcpd.asked("GET /explain?mac=52:54:00:00:08:21&address=192.168.8.21&node=w1&arch=0"));
    assert!(
        tftpd.asked("GET /explain?mac=52:54:00:00:08:21&address=192.168.8.21&node=w1&file=undionly.kpxe")
    );
    for argument in ["52-54-00-00-08-21", "192.168.8.21", "w1.edge.example.com"] {
        let explained = site.run(&format!("explain {argument} -o json")).json();
        assert_eq!(explained["machine"]["name"], "w1", "{argument}");
        assert_eq!(explained["conclusion"]["health"], "stalled");
    }
    assert_eq!(site.run("explain nobody").exit, Exit::Failed);
    http.stop();
    let ran = site.run("explain w1");
    assert_eq!(ran.exit, Exit::Degraded);
    assert!(ran.out.contains("ignition-http does not answer"), "{}", ran.out);
}

#[test]
fn install_arms_without_a_question_off_terminal() {
    let site = Site::new();
    let [_dhcpd, _tftpd, http, ..] = all(&site);
    http.answer("POST /nodes/cp1/install", 200, r#"{"name":"cp1","state":"armed"}"#);
    let ran = site.run("node install cp1");
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    assert!(ran.out.contains("wipes its disk"), "{}", ran.out);
    assert!(http.asked("POST /nodes/cp1/install"));
    let ran = site.run("node install cp9");
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.err.contains("did you mean cp1?"), "{}", ran.err);
    // Of two nodes one is unknown: nothing is done to either.
    http.requests.lock().unwrap().clear();
    assert_eq!(site.run("node install cp1 nobody").exit, Exit::Failed);
    assert!(!http.asked("POST /nodes/cp1/install"));
    http.answer("POST /nodes/w1/disarm", 403, r#"{"error":"posting is for root"}"#);
    let ran = site.run("node disarm w1");
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.out.contains("posting is for root"), "{}", ran.out);
}

#[test]
fn install_asks_on_a_terminal_and_takes_no_for_an_answer() {
    let site = Site::new();
    let [_dhcpd, _tftpd, http, ..] = all(&site);
    http.answer("POST /nodes/cp1/install", 200, "{}");
    let answer = |text: &'static str, line: &str| {
        let (out, err) = (Buffer::default(), Buffer::default());
        let mut terminal = Terminal::new(Box::new(out), Box::new(err.clone()), Box::new(text.as_bytes()));
        terminal.in_is_terminal = true;
        (site.run_on(line, terminal), err.text())
    };
    let (exit, asked) = answer("no\n", "node install cp1");
    assert_eq!(exit, Exit::Failed);
    assert!(asked.contains("WIPES"), "{asked}");
    assert_eq!(answer("", "node install cp1").0, Exit::Failed);
    assert!(!http.asked("POST /nodes/cp1/install"));
    assert_eq!(answer("yes\n", "node install cp1").0, Exit::Done);
    assert!(http.asked("POST /nodes/cp1/install"));
    let (exit, asked) = answer("", "node install cp1 --yes");
    assert_eq!((exit, asked.as_str()), (Exit::Done, ""));
}

#[test]
fn nodes_leases_and_strangers_are_listed() {
    let site = Site::new();
    let _daemons = all(&site);
    let nodes = site.run("node list -o json").json();
    assert_eq!((&nodes["nodes"][0]["state"], &nodes["nodes"][0]["leased"]), (&json!("disk"), &json!(true)));
    let shown = site.run("node show 192.168.8.11");
    assert!(shown.out.contains("cp1") && shown.out.contains("/dev/vda"), "{shown:?}");
    assert!(site.run("leases").out.contains("192.168.8.130"));
    assert_eq!(site.run("lease show cp1 -o json").json()[0]["address"], "192.168.8.11");
    assert_eq!(site.run("lease show 192.168.8.99").exit, Exit::Failed);
    let unknown = site.run("boot unknown -o json").json();
    assert_eq!(unknown["machines"][0]["mac"], "52:54:00:00:08:22");
    assert_eq!(unknown["machines"][0]["resembles"], "w1");
}

#[test]
fn reload_prints_the_reason_of_a_refusal() {
    let site = Site::new();
    let [dhcpd, tftpd, _http, ..] = all(&site);
    dhcpd.answer("POST /reload", 200, r#"{"reloaded":true}"#);
    tftpd.answer("POST /reload", 409, r#"{"error":"site.toml:7:3: error: tftp.root: odd"}"#);
    assert_eq!(site.run("reload dhcpd").exit, Exit::Done);
    let ran = site.run("reload dhcpd tftpd");
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.out.contains("site.toml:7:3: error: tftp.root: odd"), "{}", ran.out);
    assert_eq!(site.run("reload nobody").exit, Exit::Usage);
}

#[test]
fn wait_ends_when_the_stage_is_reached_or_with_5() {
    let site = Site::new();
    let _daemons = all(&site);
    assert_eq!(site.run("wait --for=installed cp1").exit, Exit::Done);
    assert_eq!(site.run("wait --for=dhcp cp1").exit, Exit::Done);
    assert_eq!(site.run("wait --for=up").exit, Exit::Done);
    let ran = site.run("wait --for=ignition cp1 w1 --timeout 10ms");
    assert_eq!(ran.exit, Exit::TimedOut);
    assert!(ran.out.contains("w1 (kernel)"), "{}", ran.out);
    assert_eq!(site.run("wait --for=installed cp9 --timeout 1s").exit, Exit::Failed);
    assert_eq!(site.run("wait --for=installed").exit, Exit::Usage);
}

#[test]
fn every_answer_is_one_json_document() {
    let site = Site::new();
    let [dhcpd, tftpd, http, dnsd, tangd, lb] = all(&site);
    for daemon in [&dhcpd, &tftpd, &http, &dnsd, &tangd, &lb] {
        daemon.answer("GET /explain", 200, r#"{"would":"x","rule":"y","because":[]}"#);
        daemon.answer("POST /reload", 200, "{}");
    }
    http.answer("POST /nodes/cp1/disarm", 200, "{}");
    for line in [
        "check",
        "site show",
        "site names",
        "site schema",
        "status",
        "leases",
        "lease list",
        "lease show cp1",
        "explain cp1",
        "node list",
        "node show cp1",
        "node disarm cp1",
        "boot loaders",
        "boot script cp1",
        "boot unknown",
        "reload",
        "wait --for=up",
        "version",
    ] {
        let ran = site.run(&format!("{line} -o json"));
        assert_eq!(ran.exit, Exit::Done, "{line}: {ran:?}");
        ran.json();
        let ran = site.run(&format!("{line} -o yaml"));
        assert!(ran.out.contains(':') && !ran.out.contains("cannot be shown"), "{line}: {ran:?}");
        let ran = site.run(line);
        assert!(!ran.out.is_empty() && !ran.out.contains('\u{1b}'), "{line}: {ran:?}");
    }
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let site = Site::new();
    let _daemons = all(&site);
    for line in ["status", "node list", "check", "site show", "completions bash", "--help"] {
        let err = Buffer::default();
        let terminal =
            Terminal::new(Box::new(Closed), Box::new(err.clone()), Box::new(BufReader::new(io::empty())));
        assert_eq!(site.run_on(line, terminal), Exit::Done, "{line}");
        assert_eq!(err.text(), "", "{line}");
    }
}

#[test]
fn without_any_daemon_the_reason_is_said() {
    let site = Site::new();
    for line in ["leases", "boot script cp1", "events", "reload"] {
        let ran = site.run(line);
        assert_eq!(ran.exit, Exit::Failed, "{line}: {ran:?}");
        assert!(ran.err.starts_with("farosctl: ") && ran.err.contains("; "), "{line}: {}", ran.err);
    }
    for line in ["status", "node list", "explain cp1"] {
        assert_eq!(site.run(line).exit, Exit::Degraded, "{line}");
    }
}

#[test]
fn a_daemon_that_speaks_nonsense_is_an_error_and_no_panic() {
    let site = Site::new();
    let [dhcpd, _tftpd, http, ..] = all(&site);
    for (status, body) in
        [(200, "not json"), (200, "7"), (200, "[[]]"), (500, ""), (200, "{\"leases\":{\"a\":[]}}")]
    {
        for path in ["/leases", "/status", "/events", "/explain"] {
            dhcpd.answer(&format!("GET {path}"), status, body);
        }
        http.answer("GET /nodes", status, body);
        http.answer("GET /nodes/cp1", status, body);
        for line in [
            "status",
            "leases",
            "node list",
            "node show cp1",
            "explain cp1",
            "events",
            "boot unknown",
            "version",
        ] {
            let ran = site.run(line);
            assert!(matches!(ran.exit, Exit::Done | Exit::Failed | Exit::Degraded), "{line}: {ran:?}");
        }
    }
}
