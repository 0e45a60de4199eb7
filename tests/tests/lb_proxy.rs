//! PROXY headers: read from those who are trusted, refused from everybody else, and written for the servers behind.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use faros_lab::{Namespace, Process};
use faros_tests::lb::backend::{self, Backend};
use faros_tests::lb::client::{self, End};
use faros_tests::lb::site::{self, Balanced, CHECK_PORT, CLIENT, NODES, PORT, VIP, node, vip};
use faros_tests::lb::{PATIENCE, program};
use faros_tests::{counter, eventually, machine_at, mutate, run, within};

/// Who trusted senders say that they stand for.
const SOURCE: &str = "203.0.113.77:4711";
/// The signature of the binary header.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A site whose front end believes the client's machine, with a server that tells what header it got.
fn site(settings: &str) -> (Balanced, [Backend; 2]) {
    admitting("\"0.0.0.0/0\", \"::/0\"", settings)
}

/// [`site`] for clients of these prefixes only.
fn admitting(allow: &str, settings: &str) -> (Balanced, [Backend; 2]) {
    let settings = format!(
        "allow = [{allow}]\naccept-proxy = [\"{CLIENT}/32\"]\nfirst-byte-timeout = \"3s\"\n{settings}"
    );
    let site = Balanced::running(&site::text("user", "", &site::front(&settings)));
    let servers = [
        Backend::start(&site.nodes[0], node(0, PORT), |mut stream, _| {
            let Ok(line) = backend::read_line(&mut stream) else { return };
            if line.starts_with("PROXY ") {
                let question = backend::read_line(&mut stream).unwrap_or_default();
                let _ = stream.write_all(format!("{line}|{question}").as_bytes());
            } else {
                let _ = stream.write_all(format!("none|{line}").as_bytes());
            }
        }),
        Backend::silent(&site.nodes[0], node(0, CHECK_PORT)),
    ];
    site.await_up("raw", &["n1"]);
    (site, servers)
}

/// What the server says to a connection that begins with `bytes`, and how it ends.
fn sent(from: &Namespace, bytes: &[u8]) -> (String, End) {
    from.inside(|| {
        let mut stream = client::connect(vip(PORT)).unwrap();
        // It may be cut off in the middle of what it says.
        let _ = stream.write_all(bytes);
        let (answer, end) = client::read_to_end(&mut stream);
        (String::from_utf8_lossy(&answer).trim_end().to_owned(), end)
    })
    .unwrap()
}

fn v1(source: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let to: IpAddr =
        if source.is_ipv4() { "192.0.2.1".parse().unwrap() } else { "2001:db8::1".parse().unwrap() };
    format!("PROXY {family} {} {to} {} 443\r\n", source.ip(), source.port()).into_bytes()
}

/// Version and command, family and transport, and what follows.
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, body].concat()
}

fn v2_of(source: SocketAddr, extra: &[u8]) -> Vec<u8> {
    let (family, mut body) = match source.ip() {
        IpAddr::V4(address) => (0x11, [address.octets(), [192, 0, 2, 1]].concat()),
        IpAddr::V6(address) => (0x21, [address.octets(), [0x20; 16]].concat()),
    };
    body.extend(source.port().to_be_bytes());
    body.extend(443_u16.to_be_bytes());
    body.extend(extra);
    v2(1, family, &body)
}

fn question(header: &[u8]) -> Vec<u8> {
    [header, b"who am I?\n"].concat()
}

#[test]
fn what_a_trusted_sender_says_is_handed_on() {
    let (site, _servers) = site("send-proxy = \"v1\"");
    let sources: [SocketAddr; 2] = [SOURCE.parse().unwrap(), "[2001:db8::77]:4711".parse().unwrap()];
    for source in sources {
        for header in [v1(source), v2_of(source, &[]), v2_of(source, &[0x04, 0, 2, 1, 2])] {
            let (answer, end) = sent(&site.client, &question(&header));
            assert_eq!(end, End::Finished, "{header:?}");
            let (header, question) = answer.split_once('|').expect("an answer");
            assert_eq!(question, "who am I?");
            let fields: Vec<&str> = header.trim_end().split(' ').collect();
            assert_eq!((fields[2], fields[4]), (source.ip().to_string().as_str(), "4711"), "{answer}");
        }
    }
}

#[test]
fn octet_by_octet_it_is_the_same_header() {
    let (site, _servers) = site("send-proxy = \"v1\"");
    for header in [v1(SOURCE.parse().unwrap()), v2_of(SOURCE.parse().unwrap(), &[])] {
        let answer = site
            .client
            .inside(|| {
                let mut stream = client::connect(vip(PORT)).unwrap();
                for octet in question(&header) {
                    stream.write_all(&[octet]).unwrap();
                    std::thread::sleep(Duration::from_millis(3));
                }
                client::read_to_end(&mut stream)
            })
            .unwrap();
        let text = String::from_utf8(answer.0).unwrap();
        assert!(text.starts_with("PROXY TCP4 203.0.113.77 "), "{text}");
        assert!(text.ends_with("|who am I?"), "{text}");
    }
}

#[test]
fn a_senders_own_connection_counts_as_the_senders() {
    let (site, _servers) = site("send-proxy = \"v1\"");
    for header in [v2(0, 0, &[]), v2(0, 0x11, &[9; 12]), b"PROXY UNKNOWN\r\n".to_vec()] {
        let (answer, end) = sent(&site.client, &question(&header));
        assert_eq!(end, End::Finished, "{header:?}: {answer}");
        assert!(answer.starts_with(&format!("PROXY TCP4 {CLIENT} ")), "{header:?}: {answer}");
    }
}

/// L27, L28.
#[test]
fn what_is_no_header_is_refused() {
    let (mut site, servers) = site("");
    let source = SOURCE.parse().unwrap();
    let good = v2_of(source, &[]);
    let mut version = good.clone();
    version[12] = 0x31;
    let mut command = good.clone();
    command[12] = 0x2f;
    let bad: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"PROXY\r\n".to_vec(),
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n".to_vec(),
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 70000\r\n".to_vec(),
        b"PROXY TCP4 ::1 ::2 1 2\r\n".to_vec(),
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n".to_vec(),
        [b"PROXY TCP4 ", [b'1'; 200].as_slice(), b"\r\n"].concat(),
        version,
        command,
        v2(1, 0x11, &[1, 2, 3]),
        v2(1, 0x12, &[0; 12]),
        [SIGNATURE, &[0x21, 0x11, 0xff, 0xff], &[0; 70_000]].concat(),
        v2_of(source, &[0x04, 0xff, 0xff, 0]),
    ];
    let before = counter(&site.lab, "lb", "faros_lb_dropped_total");
    let accepted = servers[0].counters.accepted();
    for header in &bad {
        let (answer, end) = sent(&site.client, &question(header));
        assert_eq!(
            (answer.as_str(), end),
            ("", End::Reset),
            "{:?}",
            String::from_utf8_lossy(&header[..header.len().min(40)])
        );
    }
    assert_eq!(servers[0].counters.accepted(), accepted, "no server hears of it");
    eventually("each is counted", || {
        counter(&site.lab, "lb", "faros_lb_dropped_total") >= before + bad.len() as u64
    });
    // A beginning without an end is given up.
    for header in [&good[..20], b"PROXY TC"] {
        let start = faros_common::clock::now();
        let (answer, end) = sent(&site.client, header);
        assert_eq!((answer.as_str(), end), ("", End::Reset));
        assert!(start.elapsed() < PATIENCE);
    }
    // And thousands that are almost right change nothing.
    let mut random = mutate::Random::new(11);
    site.client
        .inside(|| {
            for round in 0..1500 {
                let seed = if round % 2 == 0 { v1(source) } else { v2_of(source, &[0x20, 0, 3, 1, 2, 3]) };
                let bytes = mutate::mutated(&question(&seed), &mut random);
                let mut stream = client::connect(vip(PORT)).unwrap();
                let _ = stream.write_all(&bytes);
                let _ = stream.shutdown(std::net::Shutdown::Write);
                stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
                let (_, end) = client::read_to_end(&mut stream);
                assert_ne!(end, End::Open, "round {round}: {bytes:?}");
            }
        })
        .unwrap();
    assert_eq!(sent(&site.client, &question(&good)), ("none|who am I?".to_owned(), End::Finished));
    assert!(site.lab.daemon("lb").unwrap().ended().is_none());
    assert_eq!(counter(&site.lab, "lb", "faros_lb_panics_total"), 0);
}

/// L29: whoever is not trusted may not say who he is, and needs not.
#[test]
fn a_header_from_somebody_else_is_refused() {
    let (site, servers) = site("send-proxy = \"v1\"");
    let other = machine_at(&site.lab, "other", "52:54:00:00:77:02", "192.168.8.21/24");
    let accepted = servers[0].counters.accepted.load(Ordering::Relaxed);
    for header in [v1(SOURCE.parse().unwrap()), v2_of(SOURCE.parse().unwrap(), &[])] {
        let (answer, end) = sent(&other, &question(&header));
        assert_eq!((answer.as_str(), end), ("", End::Reset));
    }
    println!(
        "{} connections reached the server",
        servers[0].counters.accepted.load(Ordering::Relaxed) - accepted
    );
    let (answer, end) = sent(&other, b"who am I?\n");
    assert_eq!(end, End::Finished);
    assert!(answer.starts_with("PROXY TCP4 192.168.8.21 "), "{answer}");
    assert!(answer.ends_with("|who am I?"), "{answer}");
}

/// Who the header names is who has to be admitted, not who carries it.
#[test]
fn the_client_that_a_header_names_has_to_be_admitted() {
    let (site, servers) = admitting("\"203.0.113.0/24\"", "send-proxy = \"v1\"");
    let good = sent(&site.client, &question(&v1(SOURCE.parse().unwrap())));
    assert_eq!(good.1, End::Finished, "{}", good.0);
    let accepted = servers[0].counters.accepted();
    let bad = sent(&site.client, &question(&v1("198.51.100.77:4711".parse().unwrap())));
    assert_eq!(bad, (String::new(), End::Reset));
    assert_eq!(servers[0].counters.accepted(), accepted);
}

fn haproxy(site: &Balanced, place: &Namespace, name: &str, configuration: &str) -> Process {
    let path = site.lab.dir().join(format!("{name}.cfg"));
    let text = format!(
        "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n{configuration}"
    );
    std::fs::write(&path, text).unwrap();
    let mut command = place.command(program("haproxy"));
    command.args(["-db", "-f"]).arg(&path);
    Process::start(&mut command, site.lab.log_file(name)).unwrap()
}

#[test]
fn haproxy_before_us_and_behind_us() {
    for (send, version) in [("send-proxy", "v1"), ("send-proxy-v2", "v2"), ("send-proxy-v2-ssl", "v2")] {
        let settings = format!("accept-proxy = [\"{CLIENT}/32\"]\nsend-proxy = \"{version}\"");
        let site = Balanced::running(&site::text("user", "", &site::front(&settings)));
        let _check = Backend::silent(&site.nodes[0], node(0, CHECK_PORT));
        let receiver = format!(
            "frontend web\n  bind {}:{PORT} accept-proxy\n  mode http\n  \
             http-request return status 200 content-type text/plain lf-string \"%ci:%cp\\n\"\n",
            NODES[0].2
        );
        let _receiver = haproxy(&site, &site.nodes[0], "receiver", &receiver);
        let sender = format!("listen before\n  bind {CLIENT}:9000\n  server us {VIP}:{PORT} {send}\n");
        let _sender = haproxy(&site, &site.client, "sender", &sender);
        site.await_up("raw", &["n1"]);
        let stranger = machine_at(&site.lab, "stranger", "52:54:00:00:77:03", "192.168.8.22/24");
        let url = format!("http://{CLIENT}:9000/");
        let mut said = String::new();
        within(Duration::from_secs(10), "both haproxies understand us", || {
            let output = run(&stranger, "curl", &["-s", "--max-time", "5", "--local-port", "23456", &url]);
            said = String::from_utf8_lossy(&output.stdout).into_owned();
            output.status.success()
        });
        assert_eq!(said, "192.168.8.22:23456\n", "{send}, {version}");
    }
}
