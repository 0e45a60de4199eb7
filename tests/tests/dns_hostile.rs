//! What strangers may do to the name server: nothing that others notice.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::time::Duration;

use faros_lab::{Lab, Namespace};
use faros_tests::dns::site::{self, SERVER, UPSTREAM};
use faros_tests::dns::{
    Message, PATIENCE, Query, Upstream, any, ask_tcp, kind, lookup, receive_framed, send_framed,
};
use faros_tests::mutate::{Random, mutated};
use faros_tests::{counter, eventually, resident, within};

const INPUTS: usize = 400_000;
/// How much memory the server may gain over all of them.
const GROWTH_MAX: u64 = 10 << 20;
const API: &str = "api.edge.example.com.";

fn api() -> Query {
    Query::new(API, kind::A)
}

fn still_serves(client: &Namespace) {
    assert_eq!(lookup(client, SERVER, API, kind::A).values(kind::A), ["192.168.8.2"]);
    let reply = ask_tcp(client, SERVER, &api().bytes(), PATIENCE).expect("an answer over TCP");
    assert_eq!(Message::read(&reply).unwrap().values(kind::A), ["192.168.8.2"]);
}

fn seeds() -> Vec<Vec<u8>> {
    let update = [
        Query::new(site::ZONE, kind::SOA).flags(5 << 11).bytes(),
        faros_tests::dns::upstream::written(&("new.edge.example.com.", kind::A, 60, &[192, 168, 8, 99])),
    ]
    .concat();
    let signature =
        b"\x0bhmac-sha256\0\0\0\x66\0\0\0\x01\x2c\0\x20________________________________\0\x07\0\0\0\0";
    let signed =
        [api().bytes(), faros_tests::dns::upstream::written(&("external-dns.", 250, 0, signature))].concat();
    vec![
        api().bytes(),
        api().edns(4096).option(10, b"12345678").option(8, &[0, 1, 24, 0, 192, 0, 2]).bytes(),
        Query::new("a.b.c.d.e.apps.edge.example.com.", kind::AAAA).dnssec().bytes(),
        Query::new("x.tree.edge.example.com.", kind::MX).edns(512).bytes(),
        Query::new("11.8.168.192.in-addr.arpa.", kind::PTR).bytes(),
        Query::new(site::ZONE, kind::IXFR).bytes(),
        Query::new("version.bind.", kind::TXT).class(3).bytes(),
        update,
        signed,
    ]
}

#[test]
fn hundreds_of_thousands_of_mutated_queries_cost_nothing() {
    let (mut lab, client) = site::running(&site::text());
    let seeds = seeds();
    // A tenth first: tables and buffers reach their size.
    for part in [INPUTS / 10, INPUTS - INPUTS / 10] {
        let before = resident(&mut lab, "dnsd");
        client
            .inside(|| {
                let socket = UdpSocket::bind(any(SERVER)).unwrap();
                socket.connect(SERVER).unwrap();
                socket.set_nonblocking(true).unwrap();
                let mut random = Random::new(part as u64);
                let mut buffer = [0; 65_535];
                for number in 0..part {
                    let _ = socket.send(&mutated(&seeds[number % seeds.len()], &mut random));
                    while let Ok(length) = socket.recv(&mut buffer) {
                        assert!(length <= 1232, "an answer of {length} octets");
                        let read = Message::read(&buffer[..length]);
                        assert!(read.is_ok(), "{read:?}: {:02x?}", &buffer[..length]);
                    }
                    if number % 64 == 0 {
                        std::thread::sleep(Duration::from_micros(300));
                    }
                }
            })
            .unwrap();
        eventually("it answers", || lab.admin_get("dnsd", "/status").is_ok());
        let after = resident(&mut lab, "dnsd");
        assert!(after < before + GROWTH_MAX, "grew from {before} to {after} bytes over {part} inputs");
    }
    assert_eq!(lab.admin_get("dnsd", "/status").unwrap()["panics"], 0);
    let taken =
        counter(&lab, "dnsd", "faros_dnsd_queries_total") + counter(&lab, "dnsd", "faros_dnsd_dropped_total");
    assert!(taken > INPUTS as u64 * 8 / 10, "dnsd saw only {taken}");
    still_serves(&client);
}

#[test]
fn n28_to_n30_broken_streams_end_and_others_go_on() {
    let (_lab, client) = site::running(&site::text());
    client
        .inside(|| {
            let connect = || {
                let stream = TcpStream::connect(SERVER).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
                stream
            };
            let mut nothing = connect();
            nothing.write_all(&[0, 0]).unwrap();
            let mut cut = connect();
            cut.write_all(&[0, 100, 1, 2, 3]).unwrap();
            cut.shutdown(Shutdown::Write).unwrap();
            let mut buffer = Vec::new();
            cut.read_to_end(&mut buffer).unwrap();
            assert!(buffer.is_empty(), "half a message gets no answer");
            let mut trickle = connect();
            trickle.write_all(&[0xff, 0xff]).unwrap();
            let mut ended = false;
            for _ in 0..60 {
                std::thread::sleep(Duration::from_millis(500));
                if trickle.write_all(&[0]).is_err() {
                    ended = true;
                    break;
                }
            }
            assert!(ended, "whoever trickles is sent away");
        })
        .unwrap();
    still_serves(&client);
}

#[test]
fn n32_a_thousand_queries_in_one_segment_are_all_answered() {
    let (_lab, client) = site::running(&site::text());
    client
        .inside(|| {
            let mut stream = TcpStream::connect(SERVER).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut requests = Vec::new();
            for id in 0..1000 {
                send_framed(&mut requests, &api().id(id).bytes()).unwrap();
            }
            let mut writer = stream.try_clone().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(move || writer.write_all(&requests).unwrap());
                let mut missing: std::collections::BTreeSet<u16> = (0..1000).collect();
                while !missing.is_empty() {
                    let message = Message::read(&receive_framed(&mut stream).unwrap()).unwrap();
                    assert_eq!(message.values(kind::A), ["192.168.8.2"]);
                    assert!(missing.remove(&message.id), "{} twice", message.id);
                }
            });
        })
        .unwrap();
}

/// A slow question of one connection does not hold up the others on it (RFC 7766 section 6.2.1.1).
#[test]
fn answers_on_a_connection_come_as_they_are_ready() {
    let lab = site::built(&site::text());
    let _upstream = Upstream::start(lab.wan(), UPSTREAM, |question| {
        std::thread::sleep(Duration::from_millis(200));
        vec![question.answered(60)]
    });
    let (_lab, client) = site::started(lab);
    client
        .inside(|| {
            let mut stream = TcpStream::connect(SERVER).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            send_framed(&mut stream, &Query::new("slow.example.net.", kind::A).id(1).bytes()).unwrap();
            send_framed(&mut stream, &api().id(2).bytes()).unwrap();
            let order = [(); 2].map(|()| Message::read(&receive_framed(&mut stream).unwrap()).unwrap().id);
            assert_eq!(order, [2, 1]);
        })
        .unwrap();
}

#[test]
fn n31_idle_connections_change_nothing_for_others() {
    let (mut lab, client) = site::running(&site::text());
    let sysctl = "ulimit -n 20000; echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range";
    client.run("sh", ["-c", sysctl]).unwrap();
    let before = resident(&mut lab, "dnsd");
    let mut idle: Vec<TcpStream> =
        client.inside(|| (0..1000).filter_map(|_| TcpStream::connect(SERVER).ok()).collect()).unwrap();
    assert!(!idle.is_empty());
    for _ in 0..200 {
        assert_eq!(lookup(&client, SERVER, API, kind::A).values(kind::A), ["192.168.8.2"]);
    }
    let after = resident(&mut lab, "dnsd");
    assert!(after < before + (32 << 20), "grew from {before} to {after} bytes");
    within(Duration::from_secs(30), "they are sent away", || {
        idle.retain_mut(|stream| {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(1)));
            !matches!(stream.read(&mut [0]), Ok(0)) && stream.peer_addr().is_ok()
        });
        idle.len() < 10
    });
    still_serves(&client);
}

/// N35: a victim whose address is forged gets less than was sent in its name, however small the query.
#[test]
fn n35_strangers_are_answered_sparingly() {
    let (lab, client) = site::running(&site::text());
    stand_outside(&lab, &client);
    let (sent, received) = client
        .inside(|| {
            let socket = UdpSocket::bind(any(SERVER)).unwrap();
            socket.connect(SERVER).unwrap();
            socket.set_nonblocking(true).unwrap();
            let request = Query::new("big.edge.example.com.", kind::TXT).edns(4096).bytes();
            let (mut sent, mut received) = (0, 0);
            let mut buffer = [0; 65_535];
            for _ in 0..10_000 {
                sent += socket.send(&request).unwrap_or(0);
                while let Ok(length) = socket.recv(&mut buffer) {
                    received += length;
                }
                std::thread::sleep(Duration::from_micros(20));
            }
            (sent, received)
        })
        .unwrap();
    assert!(received <= 3 * sent, "{received} octets for {sent}");
    assert!(counter(&lab, "dnsd", "faros_dnsd_limited_total") > 1000);
    // Who proves the address, by a cookie or over TCP, is served all the same.
    let reply = ask_tcp(&client, SERVER, &api().bytes(), PATIENCE).expect("an answer over TCP");
    assert_eq!(Message::read(&reply).unwrap().values(kind::A), ["192.168.8.2"]);
}

/// Gives `client` an address outside of the site, with a way to the server and back.
fn stand_outside(lab: &Lab, client: &Namespace) {
    client.ip("addr add 10.99.0.2/24 dev eth0").unwrap();
    client.ip("addr del 192.168.8.20/24 dev eth0").unwrap();
    client.ip("route add 192.168.8.1 dev eth0 src 10.99.0.2").unwrap();
    lab.bastion().ip("route add 10.99.0.2 dev lan0").unwrap();
}
