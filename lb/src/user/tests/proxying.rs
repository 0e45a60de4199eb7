//! PROXY headers, from clients and to servers.

use std::thread;

use super::*;
use crate::pool::ProxyOut;
use crate::protocol::proxy;

fn trusting() -> Settings {
    Settings { proxy_in: vec!["127.0.0.0/8".parse().unwrap()], ..settings() }
}

fn suspicious() -> Settings {
    Settings { proxy_in: vec!["192.0.2.0/24".parse().unwrap()], ..settings() }
}

const V1: &[u8] = b"PROXY TCP4 198.51.100.7 203.0.113.5 4000 443\r\n";

fn v2() -> Vec<u8> {
    let mut header = Vec::new();
    proxy::write_v2("[2001:db8::7]:4000".parse().unwrap(), "[2001:db8::5]:443".parse().unwrap(), &mut header);
    header
}

fn read(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut octets = vec![0; len];
    stream.read_exact(&mut octets).unwrap();
    octets
}

#[test]
fn a_trusted_header_is_taken_off_and_believed() {
    for (header, client) in [(V1.to_vec(), "198.51.100.7:4000"), (v2(), "[2001:db8::7]:4000")] {
        let (server, address) = listen();
        let rig = Rig::new(trusting(), &[address]);
        let mut stream = rig.connect();
        stream.write_all(&[&header[..], b"hello"].concat()).unwrap();
        let mut server = accept(&server);
        assert_eq!(read(&mut server, 5), b"hello");
        drop((stream, server));
        wait_until("the report", || rig.notes.ends.lock().unwrap().len() == 1);
        let ends = rig.notes.ends.lock().unwrap();
        assert_eq!(ends[0].client.to_string(), client);
        assert_eq!(ends[0].local.port(), 443);
        assert_eq!(ends[0].sent, 5);
    }
}

#[test]
fn a_header_octet_by_octet_is_a_header() {
    for header in [V1.to_vec(), v2()] {
        let (server, address) = listen();
        let rig = Rig::new(trusting(), &[address]);
        let mut stream = rig.connect();
        stream.set_nodelay(true).unwrap();
        for octet in header {
            stream.write_all(&[octet]).unwrap();
            thread::sleep(Duration::from_micros(500));
        }
        let mut server = accept(&server);
        echo_once(&mut stream, &mut server);
    }
}

#[test]
fn a_health_check_of_the_trusted_counts_as_itself() {
    let (server, address) = listen();
    let rig = Rig::new(Settings { proxy_out: Some(ProxyOut::V1), ..trusting() }, &[address]);
    let mut stream = rig.connect();
    let mut header = Vec::new();
    proxy::write_local(proxy::Version::V2, &mut header);
    stream.write_all(&header).unwrap();
    let mut server = accept(&server);
    let local = stream.local_addr().unwrap();
    let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", local.port(), rig.address.port());
    assert_eq!(read(&mut server, line.len()), line.as_bytes());
}

#[test]
fn a_trusted_source_without_a_header_is_cut() {
    for first in [&b"GET / HTTP/1.1\r\n"[..], b"PROXY TCP4 nonsense\r\n", b"\r\n\r\n\0\r\nQUIT\n\x31"] {
        let (_server, address) = listen();
        let rig = Rig::new(trusting(), &[address]);
        let mut stream = rig.connect();
        stream.write_all(first).unwrap();
        assert!(is_reset(&stream.read(&mut [0; 1])));
        rig.wait_for(Cut::ProxyHeader);
    }
}

#[test]
fn a_trusted_source_that_ends_within_its_header_is_cut() {
    let (_server, address) = listen();
    let rig = Rig::new(trusting(), &[address]);
    let mut stream = rig.connect();
    stream.write_all(&V1[..20]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(is_reset(&stream.read(&mut [0; 1])));
    rig.wait_for(Cut::ProxyHeader);
}

#[test]
fn a_header_from_a_source_that_is_not_trusted_is_refused() {
    for header in [V1.to_vec(), v2()] {
        let (server, address) = listen();
        let rig = Rig::new(suspicious(), &[address]);
        let (mut stream, mut server) = rig.pair(&server);
        stream.set_nodelay(true).unwrap();
        stream.write_all(&header[..3]).unwrap();
        thread::sleep(Duration::from_millis(5));
        stream.write_all(&header[3..]).unwrap();
        assert!(is_reset(&stream.read(&mut [0; 1])));
        let mut nothing = Vec::new();
        assert!(server.read_to_end(&mut nothing).is_err() && nothing.is_empty());
        rig.wait_for(Cut::ProxyHeader);
    }
}

#[test]
fn whoever_is_not_trusted_may_say_anything_else() {
    let (server, address) = listen();
    let rig = Rig::new(suspicious(), &[address]);
    for first in [&b"PRI * HTTP/2.0\r\n"[..], b"POST / HTTP/1.1\r\n", b"\r\n\r\nx", b"\x16\x03\x01"] {
        let (mut stream, mut server) = rig.pair(&server);
        stream.set_nodelay(true).unwrap();
        for octet in first {
            stream.write_all(&[*octet]).unwrap();
        }
        assert_eq!(read(&mut server, first.len()), first);
        server.write_all(b"k").unwrap();
        assert_eq!(read(&mut stream, 1), b"k");
    }
    // The beginning of a header, and then the end: no header.
    let (mut stream, mut server) = rig.pair(&server);
    stream.write_all(b"PROX").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read(&mut server, 4), b"PROX");
}

#[test]
fn without_trust_in_anybody_nothing_is_interpreted() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    let (mut stream, mut server) = rig.pair(&server);
    stream.write_all(V1).unwrap();
    assert_eq!(read(&mut server, V1.len()), V1);
}

#[test]
fn a_server_gets_a_header_before_all_else() {
    for form in [ProxyOut::V1, ProxyOut::V2] {
        let (server, address) = listen();
        let rig = Rig::new(Settings { proxy_out: Some(form), ..settings() }, &[address]);
        for speaks_first in [true, false] {
            let mut stream = rig.connect();
            if speaks_first {
                stream.write_all(b"hello").unwrap();
            }
            let mut server = accept(&server);
            let mut expected = Vec::new();
            match form {
                ProxyOut::V1 => proxy::write_v1(stream.local_addr().unwrap(), rig.address, &mut expected),
                ProxyOut::V2 => proxy::write_v2(stream.local_addr().unwrap(), rig.address, &mut expected),
            }
            assert_eq!(read(&mut server, expected.len()), expected);
            if !speaks_first {
                // It may answer to the header alone.
                server.write_all(b"k").unwrap();
                assert_eq!(read(&mut stream, 1), b"k");
                stream.write_all(b"hello").unwrap();
            }
            assert_eq!(read(&mut server, 5), b"hello");
        }
    }
}

#[test]
fn what_a_header_says_is_passed_on_in_the_next() {
    let (server, address) = listen();
    let rig = Rig::new(Settings { proxy_out: Some(ProxyOut::V1), ..trusting() }, &[address]);
    let mut stream = rig.connect();
    stream.write_all(V1).unwrap();
    assert_eq!(read(&mut accept(&server), V1.len()), V1);
}

/// A v1 header of a client, and what comes of it.
fn announce(rig: &Rig, client: &str) -> TcpStream {
    let mut stream = rig.connect();
    stream.write_all(format!("PROXY TCP4 {client} 203.0.113.5 4000 443\r\n").as_bytes()).unwrap();
    stream
}

#[test]
fn the_client_that_a_header_names_must_be_allowed() {
    let (server, address) = listen();
    let allow = vec!["198.51.100.0/24".parse().unwrap()];
    let rig = Rig::new(Settings { allow, ..trusting() }, &[address]);
    let mut stream = announce(&rig, "198.51.100.7");
    echo_once(&mut stream, &mut accept(&server));
    assert!(is_reset(&announce(&rig, "192.0.2.7").read(&mut [0; 1])));
    assert_eq!(rig.ended(Cut::Source), 1);
}

#[test]
fn the_client_that_a_header_names_has_a_share_of_its_own() {
    let (server, address) = listen();
    let limits = Limits { connections: 100, per_source: Some(1) };
    let rig = Rig::new(Settings { limits, ..trusting() }, &[address]);
    for _ in 0..2 {
        let mut first = announce(&rig, "198.51.100.7");
        let mut at_first = accept(&server);
        echo_once(&mut first, &mut at_first);
        assert!(is_reset(&announce(&rig, "198.51.100.7").read(&mut [0; 1])));
        let mut other = announce(&rig, "198.51.100.8");
        let mut at_other = accept(&server);
        echo_once(&mut other, &mut at_other);
        drop((first, at_first, other, at_other));
        wait_until("the end of all", || rig.front.counters.active.load(Ordering::Relaxed) == 0);
    }
    assert_eq!(rig.ended(Cut::Limit), 2);
}

#[test]
fn whom_a_trusted_source_stands_for_is_judged() {
    let limits = Limits { connections: 100, per_source: Some(1) };
    let allow = vec!["198.51.100.0/24".parse().unwrap()];
    let (server, address) = listen();
    let rig = Rig::new(Settings { limits, allow, ..trusting() }, &[address]);
    let connect = |header: &[u8]| {
        let mut stream = rig.connect();
        stream.write_all(header).unwrap();
        stream
    };
    let first = connect(V1);
    let at_server = accept(&server);
    assert!(is_reset(&connect(V1).read(&mut [0; 1])));
    assert_eq!(rig.ended(Cut::Limit), 1);
    assert!(is_reset(&connect(&v2()).read(&mut [0; 1])));
    assert_eq!(rig.ended(Cut::Source), 1);
    drop((first, at_server));
    wait_until("the first to be over", || rig.front.counters.active.load(Ordering::Relaxed) == 0);
    let mut again = connect(V1);
    echo_once(&mut again, &mut accept(&server));
}
