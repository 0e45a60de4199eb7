//! Clients and servers that mean ill, or are only broken.
//!
//! Each test names the inputs of the project's catalogue of bad inputs that it holds against us. Where the others are:
//!
//! | Input | Test |
//! |---|---|
//! | L3 to L6, L11, L12, L14, L19 | `lb_failover` |
//! | L7, L33, L34, L36 | `lb_limits` |
//! | L20, L21, L30 | `lb_bootstrap` |
//! | L15 to L18 | `lb_health` |
//! | L22, L23 | a server is an address: names are refused with the site file, `lb_choice` |
//! | L24, L26, L31, L32 | `lb_choice` |
//! | L25 | `lb_planes` |
//! | L27 to L29 | `lb_proxy` |
//! | L37, L38 | `lb_reload` |
//! | L42 | timers know nothing of the date: `faros_common::clock` |
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use faros_common::clock;
use faros_tests::lb::backend::{self, Backend};
use faros_tests::lb::client::{self, Crowd, End};
use faros_tests::lb::site::{self, Balanced, PORT, VIP, node, vip};
use faros_tests::{eventually, mutate, noise, on_both_planes, resident, sha256, within};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

on_both_planes!(
    l01_a_flood_of_first_segments_keeps_nobody_out,
    l08_segments_of_one_octet_arrive,
    l09_urgent_octets_break_nothing,
    l10_a_quiet_connection_is_kept,
    l13_a_server_that_hangs_up_at_once_is_the_servers_affair,
    l39_the_vip_goes_and_comes_back,
    l40_the_lan_goes_down_and_comes_up,
    l41_small_packets_only,
);

/// Half-open connections at once.
const FLOOD: usize = 20_000;

/// A site with an echo on the first node.
fn echoing(plane: &str, settings: &str) -> (Balanced, [Backend; 2]) {
    let site = Balanced::running(&site::text(plane, "", &site::front(settings)));
    let servers = [Backend::echo(&site.nodes[0], node(0, PORT)), site.checked(0)];
    site.await_up("raw", &["n1"]);
    (site, servers)
}

fn echoes(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let mut back = vec![0; bytes.len()];
    stream.write_all(bytes)?;
    stream.read_exact(&mut back)?;
    assert!(back == bytes, "other octets came back");
    Ok(())
}

fn l01_a_flood_of_first_segments_keeps_nobody_out(plane: &str) {
    let (mut site, _servers) = echoing(plane, "");
    let before = resident(&mut site.lab, "lb");
    site.client
        .inside(|| {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP)).unwrap();
            socket.set_header_included_v4(true).unwrap();
            let to = SockAddr::from(vip(PORT));
            let mut random = mutate::Random::new(1);
            let mut sent = 0;
            for _ in 0..FLOOD {
                // Nobody has these addresses, so nobody resets what is answered to them.
                let source = Ipv4Addr::new(192, 168, 8, 130 + random.below(100) as u8);
                let segment = first_segment(source, 1024 + random.below(60_000) as u16, random.next() as u32);
                sent += usize::from(socket.send_to(&segment, &to).is_ok());
            }
            assert!(sent > FLOOD / 2, "{sent} of {FLOOD} left this machine");
        })
        .unwrap();
    let crowd = Crowd::does(&site.client, 200, 4, || {
        echoes(&mut client::connect(vip(PORT))?, b"an honest question").map(|()| "n1".to_owned())
    });
    crowd.assert_all_served("beside the flood");
    let grown = resident(&mut site.lab, "lb").saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes");
    let segments = site.lab.bastion().run("nstat", ["-as", "TcpInSegs", "IpInReceives"]).unwrap();
    let received = segments
        .lines()
        .find_map(|line| line.strip_prefix("IpInReceives")?.split_whitespace().next()?.parse().ok());
    assert!(received.is_some_and(|count: usize| count > FLOOD / 2), "the flood did not arrive: {segments}");
}

/// An IPv4 packet with a SYN from `source` to the front end.
fn first_segment(source: Ipv4Addr, port: u16, sequence: u32) -> Vec<u8> {
    let mut tcp = Vec::new();
    tcp.extend(port.to_be_bytes());
    tcp.extend(PORT.to_be_bytes());
    tcp.extend(sequence.to_be_bytes());
    tcp.extend([0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    let pseudo = [&source.octets()[..], &VIP.octets(), &[0, 6, 0, 20]].concat();
    let sum = checksum(&[pseudo, tcp.clone()].concat());
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
    packet.extend(source.octets());
    packet.extend(VIP.octets());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(tcp);
    packet
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Without a time-out a client may wait for the server to speak; with one it may not.
#[test]
fn l02_who_connects_and_says_nothing_is_let_go_where_the_site_file_says_so() {
    let fronts = [site::front("first-byte-timeout = \"1s\""), site::front_on("patient", 5003, "")].concat();
    let site = Balanced::running(&site::text("user", "", &fronts));
    let _servers = [
        Backend::echo(&site.nodes[0], node(0, PORT)),
        Backend::echo(&site.nodes[0], node(0, 5003)),
        site.checked(0),
    ];
    site.await_up("raw", &["n1"]);
    site.await_up("patient", &["n1"]);
    site.client
        .inside(|| {
            let mut waiting = client::connect(vip(5003)).unwrap();
            let mut spoken = client::connect(vip(PORT)).unwrap();
            echoes(&mut spoken, b"first").unwrap();
            let mut silent = client::connect(vip(PORT)).unwrap();
            assert_eq!(client::read_to_end(&mut silent), (Vec::new(), End::Reset));
            std::thread::sleep(Duration::from_secs(2));
            echoes(&mut spoken, b"later").unwrap();
            echoes(&mut waiting, b"at last").unwrap();
        })
        .unwrap();
}

fn l08_segments_of_one_octet_arrive(plane: &str) {
    let (site, _servers) = echoing(plane, "");
    site.client
        .inside(|| {
            let mut stream = client::connect(vip(PORT)).unwrap();
            let content = noise(10_000, 3);
            let mut sending = stream.try_clone().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| content.chunks(1).for_each(|octet| sending.write_all(octet).unwrap()));
                let mut back = vec![0; content.len()];
                stream.read_exact(&mut back).unwrap();
                assert!(back == content);
            });
        })
        .unwrap();
}

/// The user plane passes urgent octets on as ordinary ones or not at all; what comes before and after them arrives.
fn l09_urgent_octets_break_nothing(plane: &str) {
    let (site, _servers) = echoing(plane, "");
    site.client
        .inside(|| {
            let mut stream = client::connect(vip(PORT)).unwrap();
            stream.write_all(b"before").unwrap();
            SockRef::from(&stream).send_out_of_band(b"!").unwrap();
            stream.write_all(b"after").unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let (bytes, end) = client::read_to_end(&mut stream);
            let text = String::from_utf8(bytes).unwrap().replace('!', "");
            assert_eq!((text.as_str(), end), ("beforeafter", End::Finished));
            echoes(&mut client::connect(vip(PORT)).unwrap(), b"and others too").unwrap();
        })
        .unwrap();
}

/// For hours by hand: `FAROS_LB_QUIET_SECS=14400`.
fn l10_a_quiet_connection_is_kept(plane: &str) {
    let (site, _servers) = echoing(plane, "");
    site.client
        .inside(|| {
            let mut stream = client::connect(vip(PORT)).unwrap();
            echoes(&mut stream, b"first").unwrap();
            std::thread::sleep(Duration::from_secs(faros_tests::lb::count("FAROS_LB_QUIET_SECS", 8) as u64));
            echoes(&mut stream, b"later").unwrap();
        })
        .unwrap();
}

/// Only where the site file says so.
#[test]
fn l10_an_idle_time_is_kept_to() {
    let (site, _servers) = echoing("user", "idle-timeout = \"2s\"");
    site.client
        .inside(|| {
            let (mut busy, mut idle) =
                (client::connect(vip(PORT)).unwrap(), client::connect(vip(PORT)).unwrap());
            echoes(&mut idle, b"first").unwrap();
            let end = clock::now() + Duration::from_secs(5);
            while clock::now() < end {
                echoes(&mut busy, b"again").unwrap();
                std::thread::sleep(Duration::from_millis(300));
            }
            idle.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            assert_ne!(client::read_to_end(&mut idle).1, End::Open);
        })
        .unwrap();
}

fn l13_a_server_that_hangs_up_at_once_is_the_servers_affair(plane: &str) {
    let site = Balanced::running(&site::text(plane, "", &site::front("")));
    let _servers = [
        Backend::start(&site.nodes[0], node(0, PORT), |stream, _| drop(stream)),
        Backend::start(&site.nodes[1], node(1, PORT), |stream, _| backend::reset(stream)),
        site.checked(0),
        site.checked(1),
    ];
    site.await_up("raw", &["n1", "n2"]);
    site.client
        .inside(|| {
            for _ in 0..100 {
                // A reset may come while it still connects.
                let Ok(mut stream) = client::connect(vip(PORT)) else { continue };
                let (bytes, end) = client::read_to_end(&mut stream);
                assert!(bytes.is_empty());
                assert_ne!(end, End::Open);
            }
        })
        .unwrap();
}

/// L35: without descriptors for pipes a long stream is copied.
#[test]
fn l35_a_long_stream_needs_no_pipe() {
    let site = Balanced::built(&site::text("user", "", &site::front("")));
    let _servers = [Backend::echo(&site.nodes[0], node(0, PORT)), site.checked(0)];
    let mut manager = faros_tests::lb::Manager::new(&site.lab);
    manager.start(&site.lab, &["prlimit", "--nofile=256:256"]);
    site.await_up("raw", &["n1"]);
    let content = noise(20_000_000, 12);
    site.client
        .inside(|| {
            let mut first = client::connect(vip(PORT)).unwrap();
            echoes(&mut first, b"in time").unwrap();
            // From now on it is at its limit.
            let mut others = Vec::new();
            while let Ok(stream) = TcpStream::connect_timeout(&vip(PORT), Duration::from_millis(200)) {
                others.push(stream);
                if others.len() > 400 {
                    break;
                }
            }
            let mut sending = first.try_clone().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    sending.write_all(&content).unwrap();
                    sending.shutdown(std::net::Shutdown::Write).unwrap();
                });
                let (bytes, end) = client::read_to_end(&mut first);
                assert_eq!((bytes.len(), end), (content.len(), End::Finished));
                assert_eq!(sha256(&bytes), sha256(&content));
            });
        })
        .unwrap();
}

fn l39_the_vip_goes_and_comes_back(plane: &str) {
    let site = Balanced::running(&site::text(plane, "", &site::front("")));
    let _servers = site.named();
    site.await_up("raw", &["n1", "n2", "n3"]);
    Crowd::asks(&site.client, vip(PORT), 20, 1).assert_all_served("before");
    for round in 0..3 {
        site.lab.bastion().ip(&format!("addr del {VIP}/32 dev lan0")).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        site.lab.bastion().ip(&format!("addr add {VIP}/32 dev lan0")).unwrap();
        Crowd::asks(&site.client, vip(PORT), 50, 2).assert_all_served(&format!("round {round}"));
    }
}

fn l40_the_lan_goes_down_and_comes_up(plane: &str) {
    let (site, _servers) = echoing(plane, "");
    let mut held = site.client.inside(|| client::connect(vip(PORT)).unwrap()).unwrap();
    echoes(&mut held, b"before").unwrap();
    site.lab.bastion().ip("link set lan0 down").unwrap();
    std::thread::sleep(Duration::from_millis(800));
    site.lab.bastion().ip("link set lan0 up").unwrap();
    within(Duration::from_secs(20), "it serves again", || {
        let short = |()| {
            let stream = TcpStream::connect_timeout(&vip(PORT), Duration::from_secs(1));
            stream.is_ok_and(|mut stream| {
                stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
                echoes(&mut stream, b"again").is_ok()
            })
        };
        site.client.inside(|| short(())).unwrap()
    });
    // Shorter than any time-out: who was connected still is.
    echoes(&mut held, b"after").unwrap();
}

fn l41_small_packets_only(plane: &str) {
    let (site, _servers) = echoing(plane, "");
    site.nodes[0].ip("link set eth0 mtu 1280").unwrap();
    site.client.ip("link set eth0 mtu 1280").unwrap();
    site.client
        .inside(|| {
            let mut stream = client::connect(vip(PORT)).unwrap();
            let content = noise(300_000, 4);
            let mut sending = stream.try_clone().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| sending.write_all(&content).unwrap());
                let mut back = vec![0; content.len()];
                stream.read_exact(&mut back).unwrap();
                assert!(back == content);
            });
        })
        .unwrap();
}

/// X1, X12: a state that was cut short, emptied or scribbled over keeps nobody from being served.
#[test]
fn a_damaged_state_is_reported_and_served_on() {
    let mut site = Balanced::running(&site::text("user", "", &site::front("")));
    let _servers = site.named();
    site.await_up("raw", &["n1", "n2", "n3"]);
    site.operate("raw", "n2", "drain");
    let files = |site: &Balanced| -> Vec<std::path::PathBuf> {
        let mut files = Vec::new();
        let mut directories = vec![site.lab.state_dir("lb")];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
                let list = if entry.file_type().unwrap().is_dir() { &mut directories } else { &mut files };
                list.push(entry.path());
            }
        }
        files
    };
    let drained = || "drained";
    site.lab.kill_daemon("lb").unwrap();
    site.start();
    eventually("what the operator said is remembered", || site.server("raw", "n2")["state"] == drained());
    assert!(!files(&site).is_empty(), "nothing is remembered");
    for damage in [&b""[..], b"\xff\x00garbage", &[0; 5000]] {
        site.lab.kill_daemon("lb").unwrap();
        for file in files(&site) {
            std::fs::write(&file, damage).unwrap();
        }
        site.start();
        site.await_up("raw", &["n1", "n2", "n3"]);
        Crowd::asks(&site.client, vip(PORT), 20, 1).assert_all_served("with a damaged state");
    }
}
