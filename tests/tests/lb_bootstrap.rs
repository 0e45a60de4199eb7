//! The bootstrap machine serves until the control plane does, and never again; what it hands out stays on the LAN.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use faros_lab::Namespace;
use faros_tests::lb::Node;
use faros_tests::lb::node::{API, MACHINE_CONFIG};
use faros_tests::lb::site::{self, Balanced, VIP, WAN};
use faros_tests::{machine_at, on_both_planes, run, within};

const BOOTSTRAP: (&str, &str, &str) = ("bootstrap", "52:54:00:00:08:10", "192.168.8.10");

on_both_planes!(
    the_bootstrap_machine_serves_only_while_nobody_else_does,
    a_retired_bootstrap_machine_stays_retired,
    machine_configs_are_refused_to_the_wan,
);

fn text(plane: &str) -> String {
    let (name, mac, address) = BOOTSTRAP;
    let node = format!(
        "[[node]]\nname = \"{name}\"\nrole = \"bootstrap\"\nmac = \"{mac}\"\naddress = \"{address}\"\nprofile = \"test\"\n"
    );
    site::text(plane, "", &node)
}

/// A site with a bootstrap machine that serves, and nodes that do not yet.
fn beginning(plane: &str) -> (Balanced, Namespace, Node) {
    let site = Balanced::built(&text(plane));
    let (name, mac, address) = BOOTSTRAP;
    let namespace = machine_at(&site.lab, name, mac, &format!("{address}/24"));
    let bootstrap = Node::start(&site.lab, &namespace, name);
    (site, namespace, bootstrap)
}

fn ask(client: &Namespace, port: u16) -> Option<String> {
    let url = format!("https://{VIP}:{port}/");
    let output = run(client, "curl", &["-sk", "--max-time", "10", &url]);
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

fn names(client: &Namespace) -> BTreeSet<String> {
    (0..30).map(|_| ask(client, API).expect("it is served")).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// L20.
fn the_bootstrap_machine_serves_only_while_nobody_else_does(plane: &str) {
    let (mut site, _namespace, _bootstrap) = beginning(plane);
    site.start();
    within(Duration::from_secs(20), "the bootstrap machine serves", || ask(&site.client, API).is_some());
    assert_eq!(names(&site.client), set(&["bootstrap"]));
    assert_eq!(ask(&site.client, MACHINE_CONFIG).as_deref(), Some("bootstrap"));
    let mut cluster = site.cluster();
    site.await_up("api", &["n1", "n2", "n3"]);
    within(Duration::from_secs(10), "it serves no more", || names(&site.client) == set(&["n1", "n2", "n3"]));
    // It has not retired yet: an API server that restarts must not end an installation.
    cluster.iter_mut().for_each(Node::kill);
    site.await_up("api", &[]);
    within(Duration::from_secs(10), "it serves again", || {
        ask(&site.client, API).as_deref() == Some("bootstrap")
    });
}

/// L21.
fn a_retired_bootstrap_machine_stays_retired(plane: &str) {
    let (mut site, _namespace, _bootstrap) = beginning(plane);
    let mut cluster = site.cluster();
    site.start();
    site.await_up("api", &["n1", "n2", "n3"]);
    for front in ["api", "machine-config"] {
        site.lab.admin_post("lb", &format!("/frontends/{front}/bootstrap/retire")).unwrap();
    }
    cluster.iter_mut().for_each(Node::kill);
    site.await_up("api", &[]);
    // It is there and well, and still gets nothing.
    assert_eq!(ask(&site.client, API), None);
    site.lab.stop_daemon("lb").unwrap();
    site.start();
    within(Duration::from_secs(20), "its checks are good", || {
        site.is_up("api", "bootstrap") || retired(&site)
    });
    std::thread::sleep(Duration::from_secs(3));
    assert!(retired(&site), "{}", site.front("api"));
    assert_eq!(ask(&site.client, API), None, "also after a restart");
    cluster.iter_mut().for_each(Node::revive);
    site.await_up("api", &["n1", "n2", "n3"]);
    assert_eq!(names(&site.client), set(&["n1", "n2", "n3"]));
}

fn retired(site: &Balanced) -> bool {
    site.front("api")["bootstrap"]["phase"] == "retired"
}

/// Nobody has to retire it by hand: a majority that is up for five minutes and two minutes without it do. So long this
/// takes, beside the others.
#[test]
fn it_retires_by_itself() {
    let (mut site, _namespace, mut bootstrap) = beginning("user");
    let _cluster = site.cluster();
    site.start();
    site.await_up("api", &["n1", "n2", "n3"]);
    let events = site.lab.events().unwrap();
    bootstrap.kill();
    let event = events
        .wait_for("retirement", Duration::from_secs(400), |event| {
            event.event == "lb_bootstrap_retired" && event.text("frontend") == Some("api")
        })
        .unwrap();
    println!("{}", event.fields);
    bootstrap.revive();
    assert!(retired(&site));
}

/// L30: neither on this host's address there, nor on the VIP by way of it.
fn machine_configs_are_refused_to_the_wan(plane: &str) {
    let mut site = Balanced::built(&text(plane));
    let _cluster = site.cluster();
    site.start();
    site.await_up("machine-config", &["n1", "n2", "n3"]);
    assert!(ask(&site.client, MACHINE_CONFIG).is_some(), "the LAN is served");
    site.lab.wan().ip(&format!("route add 192.168.8.0/24 via {WAN}")).unwrap();
    let wan_address: SocketAddr = format!("{WAN}:{MACHINE_CONFIG}").parse().unwrap();
    for address in [wan_address, site::vip(MACHINE_CONFIG)] {
        let served = site.lab.wan().inside(|| {
            use std::io::{Read as _, Write as _};
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            // A TLS hello that every server answers, if only with an alert.
            stream.write_all(&[22, 3, 1, 0, 4, 1, 0, 0, 0]).ok()?;
            let mut octet = [0];
            matches!(stream.read(&mut octet), Ok(1)).then_some(())
        });
        assert_eq!(served.unwrap(), None, "{address} answers the WAN");
    }
    assert!(ask(&site.client, MACHINE_CONFIG).is_some());
}
