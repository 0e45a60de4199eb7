//! The name server while the uplink fails, and against upstreams that lie.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::{BTreeMap, HashSet};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faros_common::clock;
use faros_lab::{Lab, Namespace};
use faros_tests::dns::site::{self, SERVER, UPSTREAM};
use faros_tests::dns::{Message, PATIENCE, Query, Seen, Upstream, any, ask_udp, kind, lookup, rcode};
use faros_tests::mutate::Random;
use faros_tests::{counter, eventually, resident, within};

const STALE_ANSWER: u16 = 3;
const API: &str = "api.edge.example.com.";
/// How much a flood may cost.
const GROWTH_MAX: u64 = 32 << 20;

fn external(client: &Namespace, name: &str) -> Message {
    lookup(client, SERVER, name, kind::A)
}

/// Cuts the uplink: nothing that is sent to the WAN arrives, and nothing says so.
fn cut(lab: &Lab) {
    lab.wan().ip("link set wan0 down").unwrap();
}

fn mend(lab: &Lab) {
    lab.wan().ip("link set wan0 up").unwrap();
}

/// Median milliseconds of `rounds` answers to `name`, and the slowest of 99 in a hundred.
fn latency(client: &Namespace, name: &str, rounds: usize) -> (f64, f64) {
    let request = Query::new(name, kind::A).edns(1232).bytes();
    let mut times: Vec<f64> = client
        .inside(|| {
            let socket = UdpSocket::bind(any(SERVER)).unwrap();
            socket.connect(SERVER).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut buffer = [0; 4096];
            let once = |_| {
                let began = clock::now();
                socket.send(&request).unwrap();
                socket.recv(&mut buffer).unwrap();
                (clock::now() - began).as_secs_f64() * 1000.0
            };
            (0..rounds).map(once).collect()
        })
        .unwrap();
    times.sort_by(f64::total_cmp);
    (times[rounds / 2], times[rounds * 99 / 100])
}

#[test]
fn outside_names_are_resolved_and_kept() {
    let lab = site::built(&site::text());
    let upstream = Upstream::honest(lab.wan(), UPSTREAM);
    let (_lab, client) = site::started(lab);
    let message = external(&client, "www.example.net.");
    assert_eq!((message.rcode, message.values(kind::A)), (0, vec!["203.0.113.7".to_owned()]));
    assert!(!message.is_authoritative() && message.flags & 0x0080 != 0, "RA without AA");
    for _ in 0..5 {
        assert_eq!(external(&client, "WWW.example.NET.").values(kind::A), ["203.0.113.7"]);
    }
    assert_eq!(upstream.asked("www.example.net."), 1, "asked once, then remembered");
    let through = lookup(&client, SERVER, "away.edge.example.com.", kind::A);
    assert_eq!(through.values(kind::CNAME), ["www.example.net."]);
    assert_eq!(through.values(kind::A), ["203.0.113.7"]);
}

#[test]
fn nothing_is_asked_for_strangers_or_without_the_wish_for_recursion() {
    let lab = site::built(&site::text());
    let upstream = Upstream::honest(lab.wan(), UPSTREAM);
    let (lab, client) = site::started(lab);
    let asked = |flags| {
        let request = Query::new("quiet.example.net.", kind::A).flags(flags).edns(1232).bytes();
        Message::read(&ask_udp(&client, SERVER, &request, PATIENCE).unwrap()).unwrap()
    };
    assert_eq!(asked(0).rcode, rcode::REFUSED);
    client.ip("addr add 10.99.0.2/24 dev eth0").unwrap();
    client.ip("addr del 192.168.8.20/24 dev eth0").unwrap();
    client.ip("route add 192.168.8.1 dev eth0 src 10.99.0.2").unwrap();
    lab.bastion().ip("route add 10.99.0.2 dev lan0").unwrap();
    let refused = asked(0x0100);
    assert_eq!((refused.rcode, refused.extended_error()), (rcode::REFUSED, Some(18)));
    assert_eq!(
        lookup(&client, SERVER, API, kind::A).values(kind::A),
        ["192.168.8.2"],
        "our zones are for all"
    );
    assert_eq!(upstream.asked("quiet.example.net."), 0);
}

/// The whole story of an outage: stale answers, quick refusals, pinned names after a crash, recovery.
#[test]
fn the_site_lives_on_without_its_uplink() {
    let lab = site::built(&site::text());
    let upstream = Upstream::start(lab.wan(), UPSTREAM, |question| vec![question.answered(2)]);
    let (mut lab, client) = site::started(lab);
    assert_eq!(external(&client, "quay.example.net.").rcode, 0);
    eventually("the pinned name is warm", || upstream.asked("pinned.example.net.") > 0);
    let (local, _) = latency(&client, API, 200);

    cut(&lab);
    std::thread::sleep(Duration::from_millis(2500));
    eventually("an expired name is answered", || external(&client, "quay.example.net.").rcode == 0);
    let stale = external(&client, "quay.example.net.");
    assert_eq!(stale.values(kind::A), ["203.0.113.7"]);
    assert_eq!(stale.extended_error(), Some(STALE_ANSWER));
    assert!(stale.answers[0].ttl <= 30, "{}", stale.answers[0].ttl);
    let (_, slowest) = latency(&client, "quay.example.net.", 500);
    println!("stale: p99 {slowest:.3} ms");

    let began = clock::now();
    let unknown = external(&client, "never.example.net.");
    let first = clock::now() - began;
    assert_eq!(unknown.rcode, rcode::SERVFAIL);
    assert!(unknown.extended_error().is_some_and(|code| [22, 23].contains(&code)), "{unknown:?}");
    let began = clock::now();
    assert_eq!(external(&client, "never.example.net.").rcode, rcode::SERVFAIL);
    println!("uncached: first {first:?}, then {:?}", clock::now() - began);
    let (during, _) = latency(&client, API, 200);
    println!("local: {local:.3} ms before, {during:.3} ms during the outage");

    lab.kill_daemon("dnsd").unwrap();
    lab.start_daemon("dnsd").unwrap();
    let pinned = external(&client, "pinned.example.net.");
    assert_eq!((pinned.rcode, pinned.values(kind::A)), (0, vec!["203.0.113.7".to_owned()]));
    assert_eq!(external(&client, "never.example.net.").rcode, rcode::SERVFAIL);

    mend(&lab);
    within(Duration::from_secs(3), "names outside are resolved again", || {
        external(&client, "never.example.net.").rcode == 0
    });
}

#[test]
fn a_dead_upstream_is_passed_over() {
    let text = site::text().replace("[\"198.51.100.1\"]", "[\"198.51.100.9\", \"198.51.100.1\"]");
    let lab = site::built(&text);
    let _upstream = Upstream::honest(lab.wan(), UPSTREAM);
    let (_lab, client) = site::started(lab);
    for number in 0..20 {
        assert_eq!(external(&client, &format!("n{number}.example.net.")).rcode, 0);
    }
}

/// Whatever an upstream says, only the answer to the question gets into the cache.
#[test]
fn lies_are_not_believed() {
    let poison: [u8; 4] = [198, 18, 6, 6];
    let lab = site::built(&site::text());
    let upstream = Upstream::start(lab.wan(), UPSTREAM, move |question| {
        let forged = question.with(&[(&question.name, kind::A, 600, &poison)]);
        let wrong_id = [&(question.id ^ 1).to_be_bytes()[..], &forged[2..]].concat();
        let other = Seen { name: "other.example.net.".to_owned(), ..question.clone() };
        let wrong_question = other.with(&[(&other.name, kind::A, 600, &poison)]);
        let mut extra = question.head(0, [2, 1, 2]);
        for record in [
            (question.name.as_str(), kind::A, 600, &[203, 0, 113, 7][..]),
            (API, kind::A, 600, &poison),
            ("example.net.", kind::NS, 600, b"\x04evil\x07example\x03net\0"),
            (API, kind::A, 600, &poison),
            ("evil.example.net.", kind::A, 600, &poison),
        ] {
            extra.extend(faros_tests::dns::upstream::written(&record));
        }
        match question.name.to_ascii_lowercase().as_str() {
            "private.example.net." => {
                vec![question.with(&[(&question.name, kind::A, 600, &[192, 168, 8, 11])])]
            }
            "loopback.example.net." => {
                vec![question.with(&[(&question.name, kind::A, 600, &[127, 0, 0, 1])])]
            }
            "inward.example.net." => vec![question.with(&[
                (&question.name, kind::CNAME, 600, &faros_tests::dns::query::wire_name(API)),
                (API, kind::A, 600, &poison),
            ])],
            "victim.example.net." => vec![wrong_id, wrong_question, extra],
            _ => vec![question.answered(600)],
        }
    });
    let (lab, client) = site::started(lab);
    let answer = external(&client, "victim.example.net.");
    assert_eq!(answer.values(kind::A), ["203.0.113.7"], "{answer:?}");
    assert!(answer.authorities.is_empty() && answer.additionals.is_empty(), "{answer:?}");
    for name in ["private.example.net.", "loopback.example.net."] {
        let answer = external(&client, name);
        assert!(answer.answers.is_empty(), "{name}: {answer:?}");
        assert!(answer.extended_error().is_some(), "{name}: {answer:?}");
    }
    assert_eq!(
        external(&client, "inward.example.net.").values(kind::A),
        ["192.168.8.2"],
        "our own zone decides"
    );
    assert_eq!(external(&client, API).values(kind::A), ["192.168.8.2"]);
    let before = upstream.seen().len();
    for name in ["evil.example.net.", "other.example.net."] {
        assert_ne!(
            external(&client, name).values(kind::A),
            ["198.18.6.6"],
            "{name} came from the question alone"
        );
    }
    assert!(upstream.seen().len() > before, "what was slipped in had not been kept");
    assert!(counter(&lab, "dnsd", "faros_dnsd_upstream_mismatches_total") > 0);
}

#[test]
fn ten_thousand_questions_spread_over_ports_numbers_and_letters() {
    let lab = site::built(&site::text());
    let upstream = Upstream::honest(lab.wan(), UPSTREAM);
    let (_lab, client) = site::started(lab);
    client
        .inside(|| {
            let socket = UdpSocket::bind(any(SERVER)).unwrap();
            socket.connect(SERVER).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut buffer = [0; 4096];
            for batch in 0..500 {
                for number in 0..20 {
                    let name = format!("question{}.of-many.example.net.", batch * 20 + number);
                    socket.send(&Query::new(&name, kind::A).id(number).bytes()).unwrap();
                }
                for _ in 0..20 {
                    socket.recv(&mut buffer).unwrap();
                }
            }
        })
        .unwrap();
    let seen: Vec<Seen> = upstream
        .seen()
        .into_iter()
        .filter(|seen| !seen.tcp && seen.name.to_ascii_lowercase().contains("of-many"))
        .collect();
    assert!(seen.len() >= 10_000, "{}", seen.len());
    let distinct = |values: Vec<u16>| values.into_iter().collect::<HashSet<_>>().len();
    // Of 10 000 drawn from 64 512 ports some 9260 are distinct, of 65 536 numbers some 9270.
    let ports = distinct(seen.iter().map(|seen| seen.source.port()).collect());
    let numbers = distinct(seen.iter().map(|seen| seen.id).collect());
    assert!(ports > 9000 && numbers > 9000, "{ports} ports, {numbers} numbers");
    let mut octiles: BTreeMap<u16, usize> = BTreeMap::new();
    for seen in &seen {
        *octiles.entry(seen.id >> 13).or_default() += 1;
    }
    assert!(octiles.len() == 8 && octiles.values().all(|&count| count > seen.len() / 10), "{octiles:?}");
    let spread = seen
        .iter()
        .map(|seen| seen.source.port())
        .fold((u16::MAX, 0), |(low, high), port| (low.min(port), high.max(port)));
    assert!(spread.0 < 1200 && spread.1 > 65_300, "{spread:?}");
    let mixed = seen
        .iter()
        .filter(|seen| seen.name.contains(char::is_uppercase) && seen.name.contains(char::is_lowercase));
    assert!(mixed.count() > seen.len() * 9 / 10, "letters change case");
}

#[test]
fn a_flood_of_random_names_costs_local_names_nothing() {
    let (mut lab, client) = site::running(&site::text());
    cut(&lab);
    let before = resident(&mut lab, "dnsd");
    let lost = AtomicUsize::new(0);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let client = &client;
        let flood = scope.spawn(move || {
            client.enter().unwrap();
            let socket = UdpSocket::bind(any(SERVER)).unwrap();
            socket.connect(SERVER).unwrap();
            socket.set_nonblocking(true).unwrap();
            let (mut random, mut buffer) = (Random::new(3), [0; 4096]);
            for _ in 0..200_000 {
                let name = format!("{:016x}.example.net.", random.next());
                let _ = socket.send(&Query::new(&name, kind::A).bytes());
                while socket.recv(&mut buffer).is_ok() {}
            }
        });
        let (lost, answered) = (&lost, &answered);
        scope.spawn(move || {
            client.enter().unwrap();
            let socket = UdpSocket::bind(any(SERVER)).unwrap();
            socket.connect(SERVER).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            let mut buffer = [0; 4096];
            while !flood.is_finished() {
                socket.send(&Query::new(API, kind::A).bytes()).unwrap();
                match socket.recv(&mut buffer) {
                    Ok(length) => {
                        let message = Message::read(&buffer[..length]).unwrap();
                        assert_eq!(message.values(kind::A), ["192.168.8.2"]);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => drop(lost.fetch_add(1, Ordering::Relaxed)),
                }
            }
        });
    });
    let (lost, answered) = (lost.into_inner(), answered.into_inner());
    assert!(lost == 0 && answered > 100, "{lost} local queries lost, {answered} answered");
    let after = resident(&mut lab, "dnsd");
    assert!(after < before + GROWTH_MAX, "grew from {before} to {after} bytes");
    assert_eq!(lab.admin_get("dnsd", "/status").unwrap()["panics"], 0);
}

#[test]
fn questions_asked_by_many_are_asked_once() {
    let lab = site::built(&site::text());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let _upstream = Upstream::start(lab.wan(), UPSTREAM, move |question| {
        if question.name.eq_ignore_ascii_case("popular.example.net.") {
            counted.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(40));
        }
        vec![question.answered(60)]
    });
    let (_lab, client) = site::started(lab);
    client
        .inside(|| {
            let socket = UdpSocket::bind(any(SERVER)).unwrap();
            socket.connect(SERVER).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            for id in 0..100 {
                socket.send(&Query::new("popular.example.net.", kind::A).id(id).bytes()).unwrap();
            }
            let mut ids = HashSet::new();
            let mut buffer = [0; 4096];
            while ids.len() < 100 {
                let length = socket.recv(&mut buffer).expect("each client is answered");
                let message = Message::read(&buffer[..length]).unwrap();
                assert_eq!(message.values(kind::A), ["203.0.113.7"]);
                ids.insert(message.id);
            }
        })
        .unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 1);
}
