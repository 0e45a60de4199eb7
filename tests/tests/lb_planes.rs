//! The cluster behind its address, on both planes: what nodes do that die, freeze, refuse or are not ready.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeSet;
use std::time::Duration;

use faros_common::clock;
use faros_lab::Namespace;
use faros_tests::lb::node::API;
use faros_tests::lb::site::{self, Balanced, VIP};
use faros_tests::{on_both_planes, run, within};

/// An unready node takes no new connections after six seconds; a busy machine that runs tests gets some more.
const OUT_MAX: Duration = Duration::from_secs(10);
/// How long a connection to the API may take, so that one to a frozen node ends by the balancer, not by the client.
const CLIENT_PATIENCE: &str = "30";

on_both_planes!(
    a_client_reaches_every_node_through_the_vip,
    a_killed_node_is_left_out_until_it_is_back,
    a_frozen_node_is_left_out_and_lets_its_clients_go,
    a_node_without_power_is_left_out,
    an_unready_node_takes_no_new_connections_and_ramps_up_later,
    the_bastion_itself_is_a_client,
    a_node_reaches_itself_through_the_vip,
    ingress_follows_the_routers_own_health,
);

/// The name of the node that answers `client` on the API, if any does.
fn api(client: &Namespace) -> Option<String> {
    let url = format!("https://{VIP}:{API}/");
    let output = run(client, "curl", &["-sk", "--max-time", CLIENT_PATIENCE, &url]);
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

/// The names that answer `count` requests, of which none fails.
fn names(client: &Namespace, count: usize) -> Vec<String> {
    (0..count).map(|round| api(client).unwrap_or_else(|| panic!("request {round} failed"))).collect()
}

fn distinct(names: &[String]) -> BTreeSet<&str> {
    names.iter().map(String::as_str).collect()
}

fn running(plane: &str) -> Balanced {
    Balanced::running(&site::text(plane, "", ""))
}

fn a_client_reaches_every_node_through_the_vip(plane: &str) {
    let site = running(plane);
    let _cluster = site.cluster();
    site.await_up("api", &["n1", "n2", "n3"]);
    let seen = names(&site.client, 30);
    assert_eq!(distinct(&seen), BTreeSet::from(["n1", "n2", "n3"]));
    assert_eq!(site.front("api")["plane"], plane, "{}", site.front("api"));
}

fn a_killed_node_is_left_out_until_it_is_back(plane: &str) {
    let site = running(plane);
    let mut cluster = site.cluster();
    site.await_up("api", &["n1", "n2", "n3"]);
    let events = site.lab.events().unwrap();
    cluster[0].kill();
    if plane == "user" {
        // Nobody notices, also before the checks do.
        assert!(!distinct(&names(&site.client, 20)).contains("n1"));
    }
    site.await_up_within(OUT_MAX, "api", &["n2", "n3"]);
    let event = events
        .wait_for("a node is down", Duration::from_secs(5), |event| {
            event.event == "lb_server_down"
                && event.text("frontend") == Some("api")
                && event.text("before") == Some("up")
        })
        .unwrap();
    assert_eq!(event.text("server"), Some("n1"), "{}", event.fields);
    assert!(event.text("reason").is_some_and(|reason| !reason.is_empty()), "{}", event.fields);
    assert_eq!(distinct(&names(&site.client, 20)), BTreeSet::from(["n2", "n3"]));
    cluster[0].revive();
    site.await_up("api", &["n1", "n2", "n3"]);
    within(Duration::from_secs(60), "it is used again", || api(&site.client).as_deref() == Some("n1"));
}

fn a_frozen_node_is_left_out_and_lets_its_clients_go(plane: &str) {
    let site = running(plane);
    let cluster = site.cluster();
    site.await_up("api", &["n1", "n2", "n3"]);
    cluster[1].freeze();
    let start = clock::now();
    // Some of them meet the frozen node: they are let go when it is found out, not when they lose patience.
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| api(&site.client));
        }
    });
    let longest = start.elapsed();
    println!("{plane}: all clients were done after {longest:?}");
    assert!(longest < Duration::from_secs(25), "{longest:?}");
    site.await_up_within(OUT_MAX, "api", &["n1", "n3"]);
    assert_eq!(distinct(&names(&site.client, 20)), BTreeSet::from(["n1", "n3"]));
    cluster[1].thaw();
    site.await_up("api", &["n1", "n2", "n3"]);
}

fn a_node_without_power_is_left_out(plane: &str) {
    let site = running(plane);
    let _cluster = site.cluster();
    site.await_up("api", &["n1", "n2", "n3"]);
    site.nodes[2].ip("link set eth0 down").unwrap();
    if plane == "user" {
        assert!(!distinct(&names(&site.client, 20)).contains("n3"));
    }
    site.await_up_within(OUT_MAX, "api", &["n1", "n2"]);
    assert_eq!(distinct(&names(&site.client, 20)), BTreeSet::from(["n1", "n2"]));
}

fn an_unready_node_takes_no_new_connections_and_ramps_up_later(plane: &str) {
    let site = running(plane);
    let cluster = site.cluster();
    site.await_up("api", &["n1", "n2", "n3"]);
    cluster[0].set_ready(false);
    let start = clock::now();
    let mut last = Duration::ZERO;
    let mut cut = 0;
    while start.elapsed() < OUT_MAX + Duration::from_secs(3) {
        match api(&site.client) {
            Some(name) if name == "n1" => last = start.elapsed(),
            Some(_) => {}
            None => cut += 1,
        }
    }
    // Connections of a node that is marked down are closed, and one may have been under way.
    assert!(cut <= 1, "{cut} requests were not served");
    println!("{plane}: the unready node got its last connection after {last:?}");
    assert!(last < OUT_MAX, "{last:?}");
    assert!(!site.is_up("api", "n1"));
    cluster[0].set_ready(true);
    site.await_up("api", &["n1", "n2", "n3"]);
    let fresh = site.server("api", "n1")["share"].as_u64().expect("a share");
    let full = site.server("api", "n2")["share"].as_u64().expect("a share");
    assert!(0 < fresh && fresh < full, "it starts with {fresh} of {full}");
    within(Duration::from_secs(30), "its share grows", || {
        site.server("api", "n1")["share"].as_u64().expect("a share") > fresh
    });
}

fn the_bastion_itself_is_a_client(plane: &str) {
    let site = running(plane);
    let _cluster = site.cluster();
    site.await_up("api", &["n1", "n2", "n3"]);
    assert_eq!(distinct(&names(site.lab.bastion(), 30)).len(), 3);
}

fn a_node_reaches_itself_through_the_vip(plane: &str) {
    let site = running(plane);
    let _cluster = site.cluster();
    site.await_up("api", &["n1", "n2", "n3"]);
    // L25: that one of them is itself must not show.
    assert_eq!(distinct(&names(&site.nodes[0], 30)), BTreeSet::from(["n1", "n2", "n3"]));
}

fn ingress_follows_the_routers_own_health(plane: &str) {
    let site = running(plane);
    let cluster = site.cluster();
    site.await_up("ingress-http", &["n1", "n2", "n3"]);
    for node in &cluster[..2] {
        node.set_router_ready(false);
    }
    site.await_up_within(OUT_MAX, "ingress-http", &["n3"]);
    let url = format!("http://{VIP}/");
    for _ in 0..10 {
        assert_eq!(run(&site.client, "curl", &["-s", "--max-time", "5", &url]).stdout, b"n3\n");
    }
    assert!(site.is_up("api", "n1"), "the API has its own check");
}
