//! Peers that keep a server waiting, and requests that are none.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use faros_common::clock;
use faros_tests::tang::points::CURVES;
use faros_tests::tang::{OURS, Tang, count, http};
use faros_tests::{counter, machine_at, mutate, resident, within};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections that never finish a request.
const HALF_OPEN: usize = 2000;
/// For how many seconds others are served beside them. By hand: `FAROS_TANG_HALF_OPEN_SECS=60`.
const SECS: usize = 8;
/// From so many machines: one alone may not have so many.
const ATTACKERS: usize = 8;
/// Memory that the whole daemon may have meanwhile, in bytes.
const BYTES_MAX: u64 = 40_000_000;
/// When the last of them has to be gone.
const REAPED_WITHIN: Duration = Duration::from_secs(15);

#[test]
fn two_thousand_half_open_requests_keep_nobody_waiting() {
    let mut site = Tang::running("");
    let descriptors = Rlimit { current: getrlimit(Resource::Nofile).maximum, ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, descriptors).unwrap();
    let attackers: Vec<_> = (0..ATTACKERS)
        .map(|number| {
            let (name, mac) = (format!("bad{number}"), format!("52:54:00:00:78:0{number}"));
            machine_at(&site.lab, &name, &mac, &format!("192.168.8.{}/24", 30 + number))
        })
        .collect();
    let path = format!("/rec/{}", site.thumbprint("deriveKey"));
    let before = resident(&mut site.lab, "tangd");
    // Nothing, half a head, half a body; and in every third what costs most: halves that are long, or come in chunks.
    let usual = ["", "GET /adv HT", "POST /rec/x HTTP/1.1\r\nContent-Length: 99\r\n\r\n{"];
    let costly = [
        format!("GET /adv HTTP/1.1\r\nA: {}", "b".repeat(8000)),
        "POST /rec/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n63\r\n{".to_owned(),
        format!("POST /rec/x HTTP/1.1\r\nContent-Length: 60000\r\n\r\n{}", "{".repeat(30_000)),
    ];
    let starts: Vec<&str> = usual.into_iter().chain(usual).chain(costly.iter().map(String::as_str)).collect();
    let open = || -> Vec<TcpStream> {
        let each = HALF_OPEN / ATTACKERS;
        let from = |attacker: &faros_lab::Namespace| {
            let connect = |number: usize| {
                let mut stream = TcpStream::connect(OURS).expect("it is accepted");
                // What is refused is not taken to its end.
                let _ = stream.write_all(starts[number % starts.len()].as_bytes());
                stream
            };
            attacker.inside(|| (0..each).map(connect).collect::<Vec<_>>()).unwrap()
        };
        attackers.iter().flat_map(from).collect()
    };
    let mut held = open();
    let (mut served, mut most, mut held_most) = (Vec::new(), 0, 0);
    let end = clock::now() + Duration::from_secs(count("FAROS_TANG_HALF_OPEN_SECS", SECS) as u64);
    while clock::now() < end {
        // What was reaped comes back at once.
        let now_held = counter(&site.lab, "tangd", "faros_tangd_connections_open");
        if now_held < HALF_OPEN as u64 / 4 {
            held = open();
        }
        (most, held_most) = (most.max(resident(&mut site.lab, "tangd")), held_most.max(now_held));
        let request = http::post(&path, &CURVES[0].random_point().request());
        let start = clock::now();
        let reply = site.client.inside(|| http::exchange(OURS, &request)).unwrap().expect("an answer");
        served.push(start.elapsed());
        assert_eq!(reply.status, 200);
        std::thread::sleep(Duration::from_millis(20));
    }
    served.sort();
    println!(
        "{} served, the slowest but one in a hundred in {:?}",
        served.len(),
        served[served.len() * 99 / 100]
    );
    println!("{} KiB before, {} KiB beside {held_most} half-open requests", before >> 10, most >> 10);
    assert!(held_most > HALF_OPEN as u64 / 4, "only {held_most} were ever open");
    assert!(most < BYTES_MAX, "{most} bytes");
    let pid = site.lab.daemon("tangd").unwrap().pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    assert!(children.is_empty(), "it is one process: {children}");
    // From the last one that was opened.
    within(REAPED_WITHIN, "all are gone", || {
        counter(&site.lab, "tangd", "faros_tangd_connections_open") == 0
    });
    drop(held);
}

#[test]
fn requests_that_are_almost_right_change_nothing() {
    let site = Tang::running("");
    let path = format!("/rec/{}", site.thumbprint("deriveKey"));
    let good = http::post(&path, &CURVES[0].random_point().request());
    let mut random = mutate::Random::new(4);
    site.client
        .inside(|| {
            for round in 0..400 {
                let mut bytes = good.clone();
                for _ in 0..=random.below(4) {
                    let at = random.below(bytes.len());
                    match random.below(4) {
                        0 => bytes[at] ^= 1 << random.below(8),
                        1 => drop(bytes.remove(at)),
                        2 => bytes.insert(at, random.next() as u8),
                        _ => bytes.truncate(at.max(1)),
                    }
                }
                let Ok(mut stream) = http::connect(OURS) else { panic!("round {round}: nobody accepts") };
                let _ = stream.write_all(&bytes);
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let mut answer = Vec::new();
                let _ = stream.take(100_000).read_to_end(&mut answer);
                let text = String::from_utf8_lossy(&answer);
                assert!(answer.is_empty() || text.starts_with("HTTP/1.1 "), "round {round}: {text}");
            }
            assert_eq!(http::exchange(OURS, &good).unwrap().status, 200);
        })
        .unwrap();
    assert_eq!(counter(&site.lab, "tangd", "faros_tangd_panics_total"), 0);
}

/// As curl does it, and as those do it who do not wait for answers.
#[test]
fn a_connection_serves_many_requests() {
    let site = Tang::running("");
    let path = format!("/rec/{}", site.thumbprint("deriveKey"));
    let requests: Vec<Vec<u8>> =
        (0..100).map(|_| http::post(&path, &CURVES[0].random_point().request())).collect();
    site.client
        .inside(|| {
            let mut stream = http::connect(OURS).unwrap();
            for request in &requests {
                stream.write_all(request).unwrap();
                assert_eq!(http::receive(&mut stream, false).unwrap().status, 200);
            }
            for status in [200, 404] {
                let path = if status == 200 { "/adv" } else { "/absent" };
                stream.write_all(&http::request("HEAD", path, "", None)).unwrap();
                assert_eq!(
                    http::receive(&mut stream, true).unwrap().status,
                    if status == 200 { 405 } else { 404 }
                );
            }
            stream.write_all(&http::request("GET", "/adv", "Connection: close\r\n", None)).unwrap();
            assert_eq!(http::receive(&mut stream, false).unwrap().status, 200);
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "and it ends when it is asked to");
        })
        .unwrap();
}
