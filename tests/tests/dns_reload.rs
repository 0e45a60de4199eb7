//! The name server's snapshot under load: every answer is the old one or the new one.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use faros_common::clock;
use faros_tests::dns::site::{self, SERVER};
use faros_tests::dns::{Message, PATIENCE, Query, any, kind, lookup, rcode};
use faros_tests::eventually;
use rustix::process::Signal;

const RELOADS: usize = 200;
/// Queries a second while reloading, as far as the machine allows.
const RATE: usize = 50_000;
/// Queries under way at once.
const BATCH: usize = 50;

#[test]
fn two_hundred_reloads_under_load_lose_and_mix_nothing() {
    let old = site::text();
    let new = old.replace("192.168.8.60\"", "192.168.8.70\"").replace("'192.168.8.60'", "'192.168.8.70'");
    assert_ne!(old, new);
    let (lab, client) = site::running(&old);
    let stop = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (client, stop, answered) = (&client, &stop, &answered);
        let load = scope.spawn(move || {
            client.enter().unwrap();
            let socket = UdpSocket::bind(any(SERVER)).unwrap();
            socket.connect(SERVER).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let pause = Duration::from_secs(1) / (RATE / BATCH) as u32;
            let mut buffer = [0; 4096];
            let mut due = clock::now();
            while !stop.load(Ordering::Relaxed) {
                for id in 0..BATCH {
                    // The two records change together; a name with both is never half old.
                    let name =
                        if id % 2 == 0 { "registry.edge.example.com." } else { "chain.edge.example.com." };
                    socket.send(&Query::new(name, kind::A).id(id as u16).bytes()).unwrap();
                }
                for _ in 0..BATCH {
                    let length = socket.recv(&mut buffer).expect("none is lost");
                    let message = Message::read(&buffer[..length]).unwrap();
                    let values = message.values(kind::A);
                    assert!(values == ["192.168.8.60"] || values == ["192.168.8.70"], "{message:?}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                due += pause;
                std::thread::sleep(due.saturating_duration_since(clock::now()));
            }
        });
        for round in 0..RELOADS {
            lab.write_site(if round % 2 == 0 { &new } else { &old }).unwrap();
            lab.admin_post("dnsd", "/reload").unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap();
    });
    println!("{} queries answered over {RELOADS} reloads", answered.load(Ordering::Relaxed));
    assert!(answered.load(Ordering::Relaxed) > RELOADS * BATCH);
    lab.write_site(&new).unwrap();
    lab.admin_post("dnsd", "/reload").unwrap();
    assert_eq!(
        lookup(&client, SERVER, "registry.edge.example.com.", kind::A).values(kind::A),
        ["192.168.8.70"]
    );
}

#[test]
fn a_changed_zone_has_a_larger_serial_and_an_unchanged_one_the_same() {
    let (mut lab, client) = site::running(&site::text());
    let serial = || {
        let soa = lookup(&client, SERVER, site::ZONE, kind::SOA).answers[0].data.clone();
        let at = soa.len() - 20;
        u32::from_be_bytes(soa[at..at + 4].try_into().unwrap())
    };
    let first = serial();
    lab.admin_post("dnsd", "/reload").unwrap();
    assert_eq!(serial(), first);
    lab.write_site(&site::text().replace("192.168.8.61", "192.168.8.71")).unwrap();
    lab.admin_post("dnsd", "/reload").unwrap();
    let second = serial();
    assert!(second.wrapping_sub(first).cast_signed() > 0, "{first} then {second}");
    lab.stop_daemon("dnsd").unwrap();
    lab.start_daemon("dnsd").unwrap();
    assert_eq!(serial(), second, "also over a restart");
}

#[test]
fn a_broken_file_changes_no_answer() {
    let (lab, client) = site::running(&site::text());
    for broken in [
        site::text().replace("type = \"MX\"", "type = \"MXX\""),
        site::text().replace("[dns]", "[dsn]"),
        site::text().replace("'192.168.8.61'", "'192.168.8.361'"),
        "version = 1\n[cluster".to_owned(),
    ] {
        lab.write_site(&broken).unwrap();
        lab.signal_daemon("dnsd", Signal::HUP).unwrap();
        eventually("the reload is refused", || {
            lab.admin_get("dnsd", "/status").unwrap()["last_reload"]["state"] == "refused"
        });
        let answer = lookup(&client, SERVER, "mail.edge.example.com.", kind::A);
        assert_eq!((answer.rcode, answer.values(kind::A)), (rcode::NOERROR, vec!["192.168.8.61".to_owned()]));
        lab.write_site(&site::text()).unwrap();
        lab.admin_post("dnsd", "/reload").unwrap();
    }
}
