//! Health checks that are answered wrongly, late, by nobody, or by somebody else; and health that does not last.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use faros_common::clock;
use faros_tests::lb::backend::Backend;
use faros_tests::lb::client::{self, Crowd};
use faros_tests::lb::node::Certificate;
use faros_tests::lb::site::{self, Balanced, CHECK_PORT, PORT, front_checked, node, vip};
use faros_tests::lb::{Node, PATIENCE};
use faros_tests::{noise, on_both_planes, within};

on_both_planes!(l17_ready_by_its_check_and_refusing_connections);

#[test]
fn l15_health_that_is_sick_is_no_health() {
    let mode = Arc::new(AtomicUsize::new(0));
    let check = format!(
        "{{ kind = \"http\", path = \"/readyz\", port = {CHECK_PORT}, interval = \"300ms\", timeout = \"300ms\", rise = 1, fall = 2 }}"
    );
    let site = Balanced::running(&site::text("user", "", &front_checked("raw", PORT, &check, "")));
    let (answering, stop) = (Arc::clone(&mode), Arc::new(AtomicBool::new(false)));
    let stopping = Arc::clone(&stop);
    let _health = Backend::start(&site.nodes[0], node(0, CHECK_PORT), move |mut stream, _| {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request);
        let good: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let _ = match answering.load(Ordering::Relaxed) {
            0 => stream.write_all(good),
            1 => stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
            2 => stream.write_all(&noise(5000, 2)),
            3 => stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").and_then(|()| {
                // Headers without an end.
                while !stopping.load(Ordering::Relaxed) {
                    stream.write_all(&[b'x'; 4096])?;
                }
                Ok(())
            }),
            4 => {
                std::thread::sleep(Duration::from_secs(2));
                stream.write_all(good)
            }
            // One octet now and then: every single read is in time, the answer is not.
            5 => good.iter().try_for_each(|octet| {
                std::thread::sleep(Duration::from_millis(100));
                stream.write_all(&[*octet])
            }),
            6 => stream.write_all(b"SSH-2.0-nothing\r\n"),
            7 => stream.write_all(
                b"HTTP/1.1 301 There\r\nLocation: http://192.168.8.12/\r\nContent-Length: 0\r\n\r\n",
            ),
            _ => Ok(()),
        };
    });
    site.await_up("raw", &["n1"]);
    for (number, what) in [
        (1, "500"),
        (2, "noise"),
        (3, "headers without end"),
        (4, "too late"),
        (5, "dribbling"),
        (6, "SSH"),
        (8, "nothing"),
    ] {
        mode.store(number, Ordering::Relaxed);
        within(PATIENCE, &format!("{what} is no health"), || site.server("raw", "n1")["state"] == "down");
        let reason = site.server("raw", "n1")["reason"].as_str().unwrap_or_default().to_owned();
        println!("{what}: {reason}");
        assert!(!reason.is_empty(), "{what}: {}", site.server("raw", "n1"));
        mode.store(0, Ordering::Relaxed);
        // Not more than that: it has gone down so often by now that it is held back.
        within(PATIENCE, &format!("well after {what}"), || site.server("raw", "n1")["state"] != "down");
    }
    // As usual for health checks, a redirection counts as an answer.
    mode.store(7, Ordering::Relaxed);
    std::thread::sleep(Duration::from_secs(2));
    assert_ne!(site.server("raw", "n1")["state"], "down");
    stop.store(true, Ordering::Relaxed);
}

#[test]
fn l16_a_certificate_is_judged_where_an_authority_is_named() {
    let directory = tempfile::tempdir().unwrap();
    // The daemon gives up its rights and still has to read it.
    std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (good, expired) = (Certificate::usual("n1"), Certificate::expired("n2"));
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, [&good.certificate[..], &expired.certificate].concat()).unwrap();
    let check = |more: &str| {
        format!(
            "{{ kind = \"https\", path = \"/readyz\", port = 6443, interval = \"500ms\", rise = 1, fall = 1{more} }}"
        )
    };
    let pinned = format!(", ca = \"{}\"", ca.display());
    let fronts =
        [front_checked("raw", PORT, &check(""), ""), front_checked("pinned", 5004, &check(&pinned), "")];
    let site = Balanced::built(&site::text("user", "", &fronts.concat()));
    let _nodes = [
        Node::start_with(&site.lab, &site.nodes[0], "n1", &good),
        Node::start_with(&site.lab, &site.nodes[1], "n2", &expired),
        // Of an authority that nobody knows: its own.
        Node::start(&site.lab, &site.nodes[2], "n3"),
    ];
    let mut site = site;
    site.start();
    site.await_up("raw", &["n1", "n2", "n3"]);
    site.await_up("pinned", &["n1"]);
    for (server, word) in [("n2", "expired"), ("n3", "issuer")] {
        let reason = site.server("pinned", server)["reason"].as_str().unwrap_or_default().to_lowercase();
        println!("{server}: {reason}");
        assert!(reason.contains(word) || reason.contains("certificate"), "{server}: {reason}");
    }
}

fn l17_ready_by_its_check_and_refusing_connections(plane: &str) {
    let site = Balanced::running(&site::text(plane, "", &site::front("")));
    let servers = site.named();
    site.await_up("raw", &["n1", "n2", "n3"]);
    servers[0].refuse();
    // The kernel plane learns from the first ones.
    let settled = clock::now() + Duration::from_secs(4);
    while clock::now() < settled {
        let outcome = client::ask_from(&site.client, vip(PORT));
        assert!(plane == "kernel" || outcome.is_ok(), "{outcome:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Crowd::asks(&site.client, vip(PORT), 200, 4).assert_all_served("afterwards");
}

#[test]
fn l18_a_server_that_flaps_is_held_back() {
    let site = Balanced::running(&site::text("user", "", &site::front("")));
    let servers = site.named();
    site.await_up("raw", &["n1", "n2", "n3"]);
    let check = &servers[1];
    let state = || site.server("raw", "n1")["state"].as_str().unwrap().to_owned();
    let mut falls = 0;
    // Its check comes and goes every few seconds, until that is held against it.
    within(Duration::from_secs(90), "it is held back", || {
        check.refuse();
        site.await_up("raw", &["n2", "n3"]);
        falls += 1;
        check.listen();
        within(PATIENCE, "its check is good again", || state() != "down");
        state() == "held"
    });
    let start = clock::now();
    println!("held after {falls} falls");
    assert!(falls > 1, "a restart is no flapping");
    while state() == "held" {
        let name = client::ask_from(&site.client, vip(PORT)).unwrap();
        assert!(name != "n1" || state() == "up", "it is used while it is held");
        assert!(start.elapsed() < Duration::from_secs(60), "it is held for ever");
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("trusted again after {:?}", start.elapsed());
    assert!(start.elapsed() > Duration::from_secs(3), "it was hardly held: {:?}", start.elapsed());
    assert_eq!(state(), "up");
}
