//! Too many of everything: idle connections, slow readers, descriptors, ports.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faros_common::clock;
use faros_tests::lb::client::{self, Crowd};
use faros_tests::lb::site::{self, Balanced, CHECK_PORT, PORT, node, vip};
use faros_tests::lb::{Backend, Manager, backend, count};
use faros_tests::{eventually, within};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

/// Idle connections and for how long. By hand: `FAROS_LB_IDLE=9000 FAROS_LB_IDLE_SECS=1200`.
const IDLE: usize = 2000;
const IDLE_SECS: usize = 5;
/// User memory of an idle connection, in bytes.
const IDLE_BYTES_MAX: u64 = 512;
/// What a process may grow by that has nothing to do with how many they are, in bytes: tables grow by doubling, and
/// status was asked for.
const ANYWAY_BYTES: u64 = 2 << 20;

/// Slow readers and how much is on its way to each, in MB. By hand: `FAROS_LB_SLOW=500 FAROS_LB_SLOW_MB=100`.
const SLOW: usize = 100;
const SLOW_MB: usize = 8;
/// What the balancer may hold back for a slow reader, in bytes: 1 MB.
const HELD_BYTES_MAX: u64 = 1 << 20;
/// The buffers of the test's own sockets, in bytes; the kernel doubles what is asked for.
const OWN_BUFFER: usize = 64 * 1024;

/// Clients of a balancer that may open 1 024 descriptors.
const CROWD: usize = 2000;
/// Connections over a range of 1 200 ports. By hand: `FAROS_LB_SEQUENTIAL=70000`.
const SEQUENTIAL: usize = 6000;

fn raise_limit() {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
}

fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Processor time that a process has used, in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
    fields.map(|field| field.parse::<u64>().unwrap()).sum()
}

#[test]
fn an_idle_connection_costs_next_to_nothing_and_stays() {
    raise_limit();
    let mut site = Balanced::running(&site::text("user", "", &site::front("")));
    let _cluster = site.cluster();
    site.await_up("raw", &["n1", "n2", "n3"]);
    let pid = site.lab.daemon("lb").unwrap().pid();
    Crowd::does(&site.client, 500, 32, || request(&mut client::connect(vip(PORT))?))
        .assert_all_served("to warm up");
    let before = resident(pid);
    let count_idle = count("FAROS_LB_IDLE", IDLE);
    let mut streams = site
        .client
        .inside(|| {
            let open = |number| {
                client::connect(vip(PORT)).unwrap_or_else(|error| panic!("connection {number}: {error}"))
            };
            (0..count_idle).map(open).collect::<Vec<TcpStream>>()
        })
        .unwrap();
    eventually("all are counted", || {
        site.front("raw")["connections"]["active"].as_u64().unwrap() >= count_idle as u64
    });
    std::thread::sleep(Duration::from_secs(count("FAROS_LB_IDLE_SECS", IDLE_SECS) as u64));
    let after = resident(pid);
    let grown = after.saturating_sub(before);
    println!(
        "{count_idle} idle: {} KiB before, {} KiB after, {} bytes each",
        before >> 10,
        after >> 10,
        grown / count_idle as u64
    );
    assert!(grown < IDLE_BYTES_MAX * count_idle as u64 + ANYWAY_BYTES, "{grown} bytes");
    for (number, stream) in streams.iter_mut().enumerate() {
        request(stream).unwrap_or_else(|error| panic!("connection {number}: {error}"));
    }
    drop(streams);
    eventually("all are gone", || site.front("raw")["connections"]["active"].as_u64() == Some(0));
}

/// One request over a connection that stays; the name of the node that answers.
fn request(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")?;
    let mut length = 0;
    loop {
        let line = backend::read_line(stream)?;
        let line = line.trim_end();
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.parse().map_err(std::io::Error::other)?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).trim().to_owned())
}

/// L7, L36.
#[test]
fn slow_readers_hold_back_their_servers_and_nobody_else() {
    raise_limit();
    let mut site = Balanced::running(&site::text("user", "", &site::front("")));
    let readers = count("FAROS_LB_SLOW", SLOW);
    let octets = count("FAROS_LB_SLOW_MB", SLOW_MB) * 1_000_000;
    let poured = Arc::new(AtomicU64::new(0));
    let pouring = Arc::clone(&poured);
    let pour = move |mut stream: TcpStream, counters: &backend::Counters| {
        if backend::read_line(&mut stream).is_ok_and(|line| line == "quick") {
            let _ = stream.write_all(b"at once\n");
            return;
        }
        SockRef::from(&stream).set_send_buffer_size(OWN_BUFFER).expect("an option");
        let piece = faros_tests::noise(10_000, 1);
        let mut left = octets;
        while left > 0 {
            let outcome = stream.write(&piece[..left.min(piece.len())]);
            counters.note(&outcome);
            let Ok(length) = outcome else { return };
            left -= length;
            pouring.fetch_add(length as u64, Ordering::Relaxed);
        }
    };
    let _servers = [
        Backend::start(&site.nodes[0], node(0, PORT), pour),
        Backend::silent(&site.nodes[0], node(0, CHECK_PORT)),
    ];
    site.await_up("raw", &["n1"]);
    let pid = site.lab.daemon("lb").unwrap().pid();
    let before = resident(pid);
    let mut streams = site
        .client
        .inside(|| {
            let open = |_| {
                let socket =
                    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
                // Before connecting: it decides which window is offered.
                socket.set_recv_buffer_size(OWN_BUFFER).unwrap();
                socket.connect(&vip(PORT).into()).unwrap();
                let mut stream = TcpStream::from(socket);
                stream.set_read_timeout(Some(faros_tests::lb::PATIENCE)).unwrap();
                stream.write_all(b"slow\n").unwrap();
                stream
            };
            (0..readers).map(open).collect::<Vec<_>>()
        })
        .unwrap();
    let mut last = 0;
    within(Duration::from_secs(60), "everything has come to rest", || {
        std::thread::sleep(Duration::from_secs(1));
        let now = poured.load(Ordering::Relaxed);
        std::mem::replace(&mut last, now) == now && now > 0
    });
    let each = last / readers as u64;
    let grown = resident(pid).saturating_sub(before);
    println!("{each} bytes on their way to each of {readers} readers, {} KiB of user memory", grown >> 10);
    let own = 4 * OWN_BUFFER as u64;
    assert!(each < HELD_BYTES_MAX + own, "{each} bytes each");
    assert!(grown < 128 * 1024 * readers as u64 + ANYWAY_BYTES, "{grown} bytes of user memory");
    // Whoever reads gets on.
    let quick = Crowd::does(&site.client, 200, 4, || {
        let mut stream = client::connect(vip(PORT))?;
        stream.write_all(b"quick\n")?;
        backend::read_line(&mut stream)
    });
    quick.assert_all_served("beside slow readers");
    // And the slow ones get everything once they want it.
    let piece = faros_tests::noise(10_000, 1);
    let checked = readers.min(20);
    for stream in &mut streams[..checked] {
        let (bytes, end) = client::read_to_end(stream);
        assert_eq!((bytes.len(), end), (octets, client::End::Finished));
        assert!(bytes.chunks(piece.len()).all(|chunk| chunk == &piece[..chunk.len()]));
    }
}

/// L33.
#[test]
fn a_balancer_without_descriptors_neither_spins_nor_dies() {
    raise_limit();
    let site = Balanced::built(&site::text("user", "", &site::front("")));
    let _servers =
        [Backend::echo(&site.nodes[0], node(0, PORT)), Backend::silent(&site.nodes[0], node(0, CHECK_PORT))];
    let mut manager = Manager::new(&site.lab);
    manager.start(&site.lab, &["prlimit", "--nofile=1024:1024"]);
    site.await_up("raw", &["n1"]);
    let pid = manager.process().pid();
    let echoes = |stream: &mut TcpStream| {
        let mut back = [0; 3];
        stream.write_all(b"hey").and_then(|()| stream.read_exact(&mut back)).is_ok()
    };
    // The kernel completes handshakes for those who wait, up to the length of the queue; others stay without an answer.
    let streams = site
        .client
        .inside(|| {
            let mut streams = Vec::new();
            for _ in 0..CROWD {
                let short = Duration::from_millis(300);
                let Ok(stream) = TcpStream::connect_timeout(&vip(PORT), short) else { break };
                stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
                streams.push(stream);
            }
            streams
        })
        .unwrap();
    println!("{} of {CROWD} clients are connected", streams.len());
    assert!(streams.len() > 400);
    std::thread::sleep(Duration::from_secs(1));
    let before = ticks(pid);
    std::thread::sleep(Duration::from_secs(3));
    let used = ticks(pid) - before;
    println!("{used} ticks in 3 s");
    assert!(used < 100, "it spins: {used} of 300 ticks");
    let mut streams = streams;
    for stream in &streams {
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    }
    assert!(echoes(&mut streams[0]), "the first ones are served");
    // The checks have descriptors of their own.
    assert!(site.is_up("raw", "n1"));
    // Room for those who wait: everybody is served in the end.
    let mut served = 0;
    while !streams.is_empty() {
        let batch: Vec<TcpStream> = streams.drain(..streams.len().min(200)).collect();
        for mut stream in batch {
            assert!(echoes(&mut stream), "after {served}");
            served += 1;
        }
    }
    println!("{served} were served");
    site.client
        .inside(|| assert!(echoes(&mut client::connect(vip(PORT)).unwrap()), "and afterwards"))
        .unwrap();
    assert!(manager.process().ended().is_none());
}

/// L34.
#[test]
fn ports_are_used_again_as_soon_as_they_can_be() {
    let site = Balanced::built(&site::text("user", "", &site::front("")));
    let range = "echo 32768 33967 >/proc/sys/net/ipv4/ip_local_port_range";
    site.lab.bastion().run("sh", ["-c", range]).unwrap();
    // The client is one machine with ports of its own, and no part of the question.
    let reuse =
        "echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range; echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse";
    site.client.run("sh", ["-c", reuse]).unwrap();
    let mut site = site;
    site.start();
    let _servers = [
        Backend::start(&site.nodes[0], node(0, PORT), |mut stream, _| {
            // It leaves the closing to the others.
            if let Ok(line) = backend::read_line(&mut stream) {
                let _ = stream.write_all(format!("{line}\n").as_bytes());
                if line == "leave" {
                    return;
                }
                let _ = stream.read(&mut [0]);
            }
        }),
        Backend::silent(&site.nodes[0], node(0, CHECK_PORT)),
    ];
    site.await_up("raw", &["n1"]);
    let start = clock::now();
    let count = count("FAROS_LB_SEQUENTIAL", SEQUENTIAL);
    Crowd::does(&site.client, count, 2, || client::ask_and_leave(vip(PORT)))
        .assert_all_served("the client leaves first");
    Crowd::does(&site.client, count / 4, 2, || {
        let mut stream = client::connect(vip(PORT))?;
        stream.write_all(b"leave\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer == "leave\n" { Ok(answer) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
    })
    .assert_all_served("the server leaves first");
    println!("{} connections in {:?}", count + count / 4, start.elapsed());
}

#[test]
fn connections_beyond_the_limit_of_a_source_are_reset() {
    let site = Balanced::running(&site::text("user", "", &site::front("max-per-source = 10")));
    let _servers =
        [Backend::echo(&site.nodes[0], node(0, PORT)), Backend::silent(&site.nodes[0], node(0, CHECK_PORT))];
    site.await_up("raw", &["n1"]);
    let other = faros_tests::machine_at(&site.lab, "other", "52:54:00:00:77:02", "192.168.8.21/24");
    site.client
        .inside(|| {
            let echoes = |stream: &mut TcpStream| {
                let mut back = [0];
                stream.write_all(b"x").and_then(|()| stream.read_exact(&mut back)).is_ok()
            };
            let mut streams: Vec<_> = (0..10).map(|_| client::connect(vip(PORT)).unwrap()).collect();
            assert!(streams.iter_mut().all(echoes));
            let refused = |_: &()| client::connect(vip(PORT)).map_or(true, |mut stream| !echoes(&mut stream));
            assert!(refused(&()), "the eleventh");
            other
                .inside(|| {
                    assert!(echoes(&mut client::connect(vip(PORT)).unwrap()), "another source has its own");
                })
                .unwrap();
            assert!(streams.iter_mut().all(echoes), "those before go on");
            drop(streams.pop());
            eventually("one that goes makes room", || {
                client::connect(vip(PORT)).is_ok_and(|mut stream| echoes(&mut stream))
            });
        })
        .unwrap();
}

#[test]
fn connections_beyond_the_limit_of_a_front_end_wait() {
    let site = Balanced::running(&site::text("user", "", &site::front("max-connections = 20")));
    let _servers =
        [Backend::echo(&site.nodes[0], node(0, PORT)), Backend::silent(&site.nodes[0], node(0, CHECK_PORT))];
    site.await_up("raw", &["n1"]);
    site.client
        .inside(|| {
            let mut streams: Vec<_> = (0..21).map(|_| client::connect(vip(PORT)).unwrap()).collect();
            for stream in &mut streams {
                stream.write_all(b"x").unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
            }
            // Which one it is, is the kernel's affair: it spreads them over several queues.
            let (mut waiting, mut served): (Vec<_>, Vec<_>) =
                streams.into_iter().partition(|mut stream| stream.read(&mut [0]).is_err());
            assert_eq!((served.len(), waiting.len()), (20, 1));
            drop(served.pop());
            waiting[0].set_read_timeout(Some(faros_tests::lb::PATIENCE)).unwrap();
            waiting[0].read_exact(&mut [0]).expect("it is its turn");
        })
        .unwrap();
}
