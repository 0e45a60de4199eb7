//! What operators do with a balancer, and what it tells them.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io::{Read as _, Write as _};
use std::process::Output;
use std::time::Duration;

use faros_lab::Event;
use faros_tests::lb::Node;
use faros_tests::lb::backend::{self, Backend};
use faros_tests::lb::client::{self, Crowd};
use faros_tests::lb::site::{self, Balanced, CHECK_PORT, CLIENT, NODES, PORT, VIP, node, vip};
use faros_tests::{counter, eventually, farosctl_of, on_both_planes, within};

const SOON: Duration = Duration::from_secs(15);

on_both_planes!(
    a_drained_server_finishes_what_it_has,
    servers_come_and_go_while_it_runs,
    what_is_not_healthy_is_not_offered,
);

fn named(site: &Balanced) -> Vec<Backend> {
    let each = |number: usize| {
        [
            Backend::start(&site.nodes[number], node(number, PORT), move |mut stream, _| {
                // Says its name as often as it is asked.
                while backend::read_line(&mut stream).is_ok() {
                    let _ = writeln!(stream, "{}", NODES[number].0);
                }
            }),
            Backend::silent(&site.nodes[number], node(number, CHECK_PORT)),
        ]
    };
    (0..NODES.len()).flat_map(each).collect()
}

fn running(plane: &str, settings: &str) -> (Balanced, Vec<Backend>) {
    let site = Balanced::running(&site::text(plane, "", &site::front(settings)));
    let servers = named(&site);
    site.await_up("raw", &["n1", "n2", "n3"]);
    (site, servers)
}

fn farosctl(site: &Balanced, arguments: &[&str]) -> Output {
    farosctl_of(&site.lab).arg("lb").args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Who answers: so many new connections, each of which asks once.
fn crowd(site: &Balanced, count: usize) -> Crowd {
    Crowd::does(&site.client, count, 4, || client::ask_and_leave(vip(PORT)))
}

fn a_drained_server_finishes_what_it_has(plane: &str) {
    let (site, _servers) = running(plane, "");
    let ask = |stream: &mut std::net::TcpStream| {
        stream.write_all(b"who?\n").and_then(|()| backend::read_line(stream)).expect("it goes on")
    };
    // Connections until one is with n2.
    let mut held = site
        .client
        .inside(|| {
            (0..100).find_map(|_| {
                let mut stream = client::connect(vip(PORT)).unwrap();
                (ask(&mut stream) == "n2").then_some(stream)
            })
        })
        .unwrap()
        .expect("one of them is with n2");
    let output = farosctl(&site, &["drain", "n2", "--frontend", "raw", "--no-wait"]);
    assert!(output.status.success(), "{}", said(&output));
    eventually("no new ones come to it", || {
        let crowd = crowd(&site, 30);
        crowd.failed.is_empty() && !crowd.served.contains_key("n2")
    });
    for _ in 0..10 {
        assert_eq!(ask(&mut held), "n2");
        std::thread::sleep(Duration::from_millis(100));
    }
    let status = said(&farosctl(&site, &["status", "raw"]));
    assert!(status.contains("drained"), "{status}");
    drop(held);
    let output = farosctl(&site, &["enable", "n2", "--frontend", "raw"]);
    assert!(output.status.success(), "{}", said(&output));
    within(SOON, "it is used again", || crowd(&site, 30).served.contains_key("n2"));
}

fn servers_come_and_go_while_it_runs(plane: &str) {
    let (mut site, _servers) = running(plane, "");
    let extra = [
        Backend::named(&site.nodes[0], node(0, 6000), "extra"),
        Backend::named(&site.nodes[1], node(1, 6001), "passing"),
    ];
    let (lasting, passing) = (node(0, 6000).to_string(), node(1, 6001).to_string());
    for arguments in [
        &["add", "raw", "extra", lasting.as_str(), "--persist"][..],
        &["add", "raw", "passing", passing.as_str()],
        &["remove", "n3", "--frontend", "raw", "--persist"],
    ] {
        let output = farosctl(&site, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    }
    within(SOON, "those that were added serve, and the one that was removed does not", || {
        let served = crowd(&site, 60).served;
        served.contains_key("extra") && served.contains_key("passing") && !served.contains_key("n3")
    });
    // A name that is taken, a server that is not there, a front end that is not there.
    for arguments in [
        &["add", "raw", "n1", lasting.as_str()][..],
        &["drain", "nobody", "--no-wait"],
        &["add", "nowhere", "x", lasting.as_str()],
    ] {
        let output = farosctl(&site, arguments);
        assert!(!output.status.success() && !said(&output).is_empty(), "{arguments:?}: {}", said(&output));
    }
    site.lab.stop_daemon("lb").unwrap();
    site.start();
    within(SOON, "what was to last has lasted, and nothing else", || {
        let crowd = crowd(&site, 60);
        let served: Vec<&str> = crowd.served.keys().map(String::as_str).collect();
        crowd.failed.is_empty() && served == ["extra", "n1", "n2"]
    });
    assert!(extra[0].counters.accepted() > 0);
}

fn what_is_not_healthy_is_not_offered(plane: &str) {
    let site = Balanced::running(&site::text(plane, "", ""));
    let offered = |site: &Balanced| site.lab.admin_get("lb", "/vip").unwrap()["offer"] == true;
    assert!(!offered(&site), "nobody is healthy yet");
    let mut cluster = site.cluster();
    let events = site.lab.events().unwrap();
    let told = |id: &str| {
        let event = events.wait_for(id, Duration::from_secs(40), |event: &Event| event.event == id).unwrap();
        assert_eq!(event.address, Some(VIP.into()), "{}", event.fields);
        assert!(event.text("reason").is_some_and(|reason| !reason.is_empty()), "{}", event.fields);
    };
    told("lb_vip_offered");
    assert!(offered(&site));
    cluster[0].kill();
    cluster[1].kill();
    site.await_up("api", &["n3"]);
    assert!(offered(&site), "one is enough");
    cluster[2].kill();
    told("lb_vip_withdrawn");
    assert!(!offered(&site));
    cluster.iter_mut().for_each(Node::revive);
    told("lb_vip_offered");
}

#[test]
fn the_end_of_each_connection_is_told_where_it_is_asked_for() {
    let (site, _servers) = running("user", "log = true");
    let events = site.lab.events().unwrap();
    assert!(NODES.iter().any(|(name, ..)| *name == client_asks(&site)));
    let event = events.wait_for("an end", SOON, |event| event.event == "lb_connection_ended").unwrap();
    assert_eq!(event.address.map(|address| address.to_string()).as_deref(), Some(CLIENT));
    assert_eq!(event.text("cut"), Some("client_done"), "{}", event.fields);
    assert_eq!((event.fields["sent"].as_u64(), event.fields["received"].as_u64()), (Some(5), Some(3)));
    assert!(
        event.fields["total_ms"].is_number() && event.fields["connect_ms"].is_number(),
        "{}",
        event.fields
    );
    // Who cut it is said also where it was not in order.
    site.client
        .inside(|| {
            let mut stream = client::connect(vip(PORT)).unwrap();
            stream.write_all(b"who?\n").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            backend::reset(stream);
        })
        .unwrap();
    let reset =
        |event: &Event| event.event == "lb_connection_ended" && event.text("cut") == Some("client_reset");
    events.wait_for("a reset", SOON, reset).unwrap();
}

fn client_asks(site: &Balanced) -> String {
    site.client.inside(|| client::ask_and_leave(vip(PORT)).expect("it is served")).unwrap()
}

#[test]
fn auto_chooses_the_kernel_where_it_can_and_says_why_not_elsewhere() {
    let fronts = [
        site::front("balance = \"round-robin\""),
        site::front_on("logged", 5005, "log = true"),
        site::front_on("proxied", 5006, "send-proxy = \"v2\""),
        site::front_on("waiting", 5007, "first-byte-timeout = \"5s\""),
    ];
    let site = Balanced::built(&site::text("auto", "", &fronts.concat()));
    site.lab.bastion().run("sh", ["-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]).unwrap();
    let mut site = site;
    site.start();
    let plane = |front: &str| {
        let front = site.front(front);
        (front["plane"].as_str().unwrap().to_owned(), front["because"].as_str().unwrap().to_owned())
    };
    assert_eq!(plane("raw").0, "kernel", "{:?}", plane("raw"));
    for (front, word) in [("logged", "log"), ("proxied", "send-proxy"), ("waiting", "first-byte")] {
        let (chosen, because) = plane(front);
        assert!(chosen == "user" && because.contains(word), "{front}: {chosen}, {because}");
    }
}

/// W33: rules that somebody else has swept away come back, and meanwhile the daemon's own sockets serve.
#[test]
fn rules_that_somebody_sweeps_away_come_back() {
    let (site, _servers) = running("kernel", "");
    crowd(&site, 50).assert_all_served("before");
    for round in 0..3 {
        site.lab.bastion().run("nft", ["flush ruleset"]).unwrap();
        crowd(&site, 50).assert_all_served(&format!("round {round}"));
        within(Duration::from_secs(5), "the rules are back", || {
            site.lab.bastion().run("nft", ["list table inet faros_lb"]).is_ok()
        });
    }
    crowd(&site, 50).assert_all_served("afterwards");
}

#[test]
fn metrics_count_what_has_happened() {
    let (site, _servers) = running("user", "");
    crowd(&site, 40).assert_all_served("all");
    eventually("connections are counted", || {
        counter(&site.lab, "lb", "faros_lb_connections_total") >= 40
            || counter(&site.lab, "lb", "faros_lb_accepted_total") >= 40
    });
    assert!(counter(&site.lab, "lb", "faros_lb_checks_total") > 0);
    assert_eq!(counter(&site.lab, "lb", "faros_lb_panics_total"), 0);
    let answer = site.lab.admin_get("lb", &format!("/explain?address={CLIENT}")).unwrap();
    assert!(answer["because"].as_array().is_some_and(|reasons| !reasons.is_empty()), "{answer}");
}
