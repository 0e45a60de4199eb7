//! Servers that refuse, vanish, reset, and close in every order: what clients notice of it.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::time::Duration;

use faros_common::clock;
use faros_tests::lb::backend::{self, Backend, reset, write_last};
use faros_tests::lb::client::{self, Crowd, End};
use faros_tests::lb::site::{self, Balanced, CHECK_PORT, NODES, PORT, node, vip};
use faros_tests::lb::{PATIENCE, count};
use faros_tests::{eventually, noise, on_both_planes, sha256, within};

/// Connections one after the other. By hand: `FAROS_LB_CONNECTIONS=10000`.
const CONNECTIONS: usize = 2000;
/// How many of them are under way at once.
const AT_ONCE: usize = 8;
/// A megabyte, give or take an odd number.
const LARGE: usize = (1 << 20) + 77;

on_both_planes!(
    a_reset_by_the_server_reaches_the_client,
    a_reset_by_the_client_reaches_the_server,
    half_close_by_the_client_loses_no_octet,
    half_close_by_the_server_loses_no_octet,
    octets_with_the_end_arrive_before_it,
    a_long_stream_arrives_as_it_was_sent,
    where_nobody_serves_a_client_knows_at_once,
    clients_of_a_machine_that_dies_are_let_go,
);

/// All nodes answer checks whatever else they do.
fn checkable(site: &Balanced) -> Vec<Backend> {
    (0..NODES.len()).map(|number| Backend::silent(&site.nodes[number], node(number, CHECK_PORT))).collect()
}

fn named(site: &Balanced) -> Vec<Backend> {
    let start = |number: usize| Backend::named(&site.nodes[number], node(number, PORT), NODES[number].0);
    (0..NODES.len()).map(start).collect()
}

/// A site with one server, on the first node.
fn with_one(
    plane: &str,
    handle: impl Fn(std::net::TcpStream, &backend::Counters) + Send + Sync + 'static,
) -> (Balanced, Vec<Backend>) {
    let site = Balanced::running(&site::text(plane, "", &site::front("close-on-down = true")));
    let check = Backend::silent(&site.nodes[0], node(0, CHECK_PORT));
    let served = Backend::start(&site.nodes[0], node(0, PORT), handle);
    site.await_up("raw", &["n1"]);
    (site, vec![served, check])
}

#[test]
fn one_server_that_refuses_costs_no_connection() {
    let site = Balanced::running(&site::text("user", "", &site::front("")));
    let (_checks, servers) = (checkable(&site), named(&site));
    site.await_up("raw", &["n1", "n2", "n3"]);
    servers[1].refuse();
    let count = count("FAROS_LB_CONNECTIONS", CONNECTIONS);
    let crowd = Crowd::asks(&site.client, vip(PORT), count, AT_ONCE);
    crowd.assert_all_served("one of three refuses");
    assert_eq!(crowd.served.keys().map(String::as_str).collect::<Vec<_>>(), ["n1", "n3"]);
    let front = site.front("raw");
    assert!(front["connections"]["retries"].as_u64().unwrap() > 0, "{front}");
    servers[1].listen();
    within(Duration::from_secs(20), "it is used again", || {
        client::ask_from(&site.client, vip(PORT)).unwrap() == "n2"
    });
}

#[test]
fn one_server_that_swallows_everything_costs_no_connection() {
    let site = Balanced::running(&site::text("user", "", &site::front("")));
    let (_checks, _servers) = (checkable(&site), named(&site));
    site.await_up("raw", &["n1", "n2", "n3"]);
    site.swallow(1, PORT);
    let count = count("FAROS_LB_CONNECTIONS", CONNECTIONS) / 2;
    let crowd = Crowd::asks(&site.client, vip(PORT), count, AT_ONCE);
    crowd.assert_all_served("one of three swallows");
    assert_eq!(crowd.served.keys().map(String::as_str).collect::<Vec<_>>(), ["n1", "n3"]);
    // A second attempt joins the first long before the time for connecting (5 s) is over.
    assert!(crowd.time(1.0) < Duration::from_secs(3), "{:?}", crowd.time(1.0));
    let front = site.front("raw");
    assert!(front["connections"]["hedges"].as_u64().unwrap() > 0, "{front}");
    site.spit_out(1);
}

/// The kernel plane cannot try again; it learns from the connections that failed.
#[test]
fn the_kernel_plane_learns_of_a_refusal_from_its_connections() {
    let site = Balanced::running(&site::text("kernel", "", &site::front("")));
    let (_checks, servers) = (checkable(&site), named(&site));
    site.await_up("raw", &["n1", "n2", "n3"]);
    servers[1].refuse();
    let start = clock::now();
    let mut failed = std::collections::BTreeMap::<u128, usize>::new();
    while start.elapsed() < Duration::from_secs(8) {
        if client::ask_from(&site.client, vip(PORT)).is_err() {
            *failed.entry(start.elapsed().as_millis() / 100).or_default() += 1;
        }
    }
    println!("failed, by tenths of a second: {failed:?}");
    // The check is on another port and good all the time: only passive detection can have done it. From time to time it
    // looks again whether the server is back, each time for some tenths of a second.
    Crowd::asks(&site.client, vip(PORT), 300, AT_ONCE).assert_all_served("afterwards");
    assert!(failed.len() < 25, "too long, of 80 tenths of a second: {failed:?}");
}

fn a_reset_by_the_server_reaches_the_client(plane: &str) {
    let (site, _servers) = with_one(plane, |mut stream, _| {
        let _ = backend::read_line(&mut stream);
        let _ = stream.write_all(b"the first half");
        std::thread::sleep(Duration::from_millis(200));
        reset(stream);
    });
    site.client
        .inside(|| {
            let mut stream = client::connect(vip(PORT)).unwrap();
            stream.write_all(b"go\n").unwrap();
            assert_eq!(client::read_to_end(&mut stream), (b"the first half".to_vec(), End::Reset));
        })
        .unwrap();
}

fn a_reset_by_the_client_reaches_the_server(plane: &str) {
    let (site, servers) = with_one(plane, |mut stream, counters| {
        let mut bytes = Vec::new();
        let outcome = stream.read_to_end(&mut bytes);
        counters.note(&outcome);
        counters.read.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
    });
    site.client
        .inside(|| {
            let mut stream = client::connect(vip(PORT)).unwrap();
            stream.write_all(b"half a question").unwrap();
            std::thread::sleep(Duration::from_millis(300));
            reset(stream);
        })
        .unwrap();
    eventually("the server sees a reset", || {
        servers[0].counters.resets.load(std::sync::atomic::Ordering::Relaxed) == 1
    });
}

fn half_close_by_the_client_loses_no_octet(plane: &str) {
    let answer = noise(LARGE, 5);
    let late = answer.clone();
    let (site, servers) = with_one(plane, move |mut stream, counters| {
        let mut question = Vec::new();
        let outcome = stream.read_to_end(&mut question);
        counters.note(&outcome);
        counters.read.fetch_add(question.len() as u64, std::sync::atomic::Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(300));
        let _ = stream.write_all(&late);
    });
    site.client
        .inside(|| {
            let mut stream = client::connect(vip(PORT)).unwrap();
            stream.write_all(&noise(LARGE, 6)).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let (bytes, end) = client::read_to_end(&mut stream);
            assert_eq!((bytes.len(), end), (LARGE, End::Finished));
            assert!(bytes == answer);
        })
        .unwrap();
    assert_eq!(servers[0].counters.read.load(std::sync::atomic::Ordering::Relaxed), LARGE as u64);
}

fn half_close_by_the_server_loses_no_octet(plane: &str) {
    let answer = noise(LARGE, 7);
    let first = answer.clone();
    let (site, servers) = with_one(plane, move |mut stream, counters| {
        stream.write_all(&first).expect("it is taken");
        stream.shutdown(Shutdown::Write).expect("still connected");
        let mut question = Vec::new();
        let outcome = stream.read_to_end(&mut question);
        counters.note(&outcome);
        counters.read.fetch_add(question.len() as u64, std::sync::atomic::Ordering::Relaxed);
    });
    site.client
        .inside(|| {
            let mut stream = client::connect(vip(PORT)).unwrap();
            let (bytes, end) = client::read_to_end(&mut stream);
            assert_eq!((bytes.len(), end), (LARGE, End::Finished));
            assert!(bytes == answer);
            std::thread::sleep(Duration::from_millis(300));
            stream.write_all(&noise(LARGE, 8)).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        })
        .unwrap();
    let counters = &servers[0].counters;
    eventually("the server has all", || {
        counters.read.load(std::sync::atomic::Ordering::Relaxed) == LARGE as u64
    });
    assert_eq!(counters.resets.load(std::sync::atomic::Ordering::Relaxed), 0);
}

fn octets_with_the_end_arrive_before_it(plane: &str) {
    let (site, _servers) = with_one(plane, |mut stream, _| {
        if let Ok(line) = backend::read_line(&mut stream) {
            let _ = write_last(&mut stream, format!("{line}, and that was all").as_bytes());
            let _ = stream.read(&mut [0]);
        }
    });
    site.client
        .inside(|| {
            for round in 0..200 {
                let mut stream = client::connect(vip(PORT)).unwrap();
                // L6: question and end in one segment, answer and end in one.
                write_last(&mut stream, format!("question {round}\n").as_bytes()).unwrap();
                let (bytes, end) = client::read_to_end(&mut stream);
                let text = String::from_utf8(bytes).unwrap();
                assert_eq!((text, end), (format!("question {round}, and that was all"), End::Finished));
            }
        })
        .unwrap();
}

fn a_long_stream_arrives_as_it_was_sent(plane: &str) {
    let site = Balanced::running(&site::text(plane, "", &site::front("")));
    let _servers =
        [Backend::echo(&site.nodes[0], node(0, PORT)), Backend::silent(&site.nodes[0], node(0, CHECK_PORT))];
    site.await_up("raw", &["n1"]);
    let content = noise(30_000_000, 9);
    let expected = sha256(&content);
    site.client
        .inside(|| {
            let mut stream = client::connect(vip(PORT)).unwrap();
            let mut sending = stream.try_clone().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    sending.write_all(&content).unwrap();
                    sending.shutdown(Shutdown::Write).unwrap();
                });
                let (bytes, end) = client::read_to_end(&mut stream);
                assert_eq!((bytes.len(), end), (content.len(), End::Finished));
                assert_eq!(sha256(&bytes), expected);
            });
        })
        .unwrap();
}

/// L19: all refuse, and later all are known to be down.
fn where_nobody_serves_a_client_knows_at_once(plane: &str) {
    let site = Balanced::running(&site::text(plane, "", &site::front("")));
    let (checks, servers) = (checkable(&site), named(&site));
    site.await_up("raw", &["n1", "n2", "n3"]);
    let refused = || {
        let start = clock::now();
        let outcome = client::ask_from(&site.client, vip(PORT));
        (outcome.map_err(|error| error.kind()), start.elapsed())
    };
    servers.iter().for_each(Backend::refuse);
    let (outcome, took) = refused();
    assert!(outcome.as_ref().is_err_and(|kind| is_refusal(*kind)), "{outcome:?}");
    println!("{plane}: refused by all after {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    checks.iter().for_each(Backend::refuse);
    site.await_up("raw", &[]);
    let (outcome, took) = refused();
    assert!(outcome.as_ref().is_err_and(|kind| is_refusal(*kind)), "{outcome:?}");
    println!("{plane}: refused with nobody up after {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    checks.iter().chain(&servers).for_each(Backend::listen);
    site.await_up("raw", &["n1", "n2", "n3"]);
    within(PATIENCE, "it serves again", || client::ask_from(&site.client, vip(PORT)).is_ok());
}

fn is_refusal(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset};
    matches!(kind, ConnectionRefused | ConnectionReset | BrokenPipe)
}

#[test]
fn where_all_swallow_a_client_is_reset_when_the_time_is_over() {
    let site = Balanced::running(&site::text("user", "", &site::front("connect-timeout = \"1s\"")));
    let (_checks, _servers) = (checkable(&site), named(&site));
    site.await_up("raw", &["n1", "n2", "n3"]);
    for number in 0..NODES.len() {
        site.swallow(number, PORT);
    }
    let start = clock::now();
    let error = client::ask_from(&site.client, vip(PORT)).unwrap_err();
    println!("reset after {:?}", start.elapsed());
    assert!(is_refusal(error.kind()), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// L14: no FIN and no reset comes from a machine without power.
fn clients_of_a_machine_that_dies_are_let_go(plane: &str) {
    let (site, _servers) = with_one(plane, |mut stream, _| {
        let _ = stream.write_all(b"here\n");
        std::thread::sleep(Duration::from_secs(60));
    });
    site.client
        .inside(|| {
            let mut stream = client::connect(vip(PORT)).unwrap();
            assert_eq!(backend::read_line(&mut stream).unwrap(), "here");
            site.nodes[0].ip("link set eth0 down").unwrap();
            let start = clock::now();
            // The kernel plane can only forget the connection: the client learns of it when it sends.
            let outcome = loop {
                std::thread::sleep(Duration::from_millis(100));
                let sent = stream.write_all(b"still there?\n");
                if let Err(error) = sent {
                    break error;
                }
                assert!(start.elapsed() < PATIENCE, "it was never let go");
            };
            println!("{plane}: let go after {:?}", start.elapsed());
            assert!(backend::is_reset(&outcome), "{outcome}");
        })
        .unwrap();
}
