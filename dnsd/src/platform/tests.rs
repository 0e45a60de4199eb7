//! Batches over the loopback.

use std::net::UdpSocket;
use std::time::Duration;

use super::*;

fn server(address: &str) -> UdpSocket {
    let server = UdpSocket::bind(address).unwrap();
    server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    server
}

fn echo(server: &UdpSocket, batch: &mut Batch) -> usize {
    let count = batch.receive(server).unwrap();
    for index in 0..count {
        let (datagram, reply) = batch.datagram(index).unwrap();
        let (len, source) = (datagram.bytes.len(), datagram.destination);
        reply[..len].copy_from_slice(datagram.bytes);
        batch.reply(index, len, source);
    }
    assert_eq!(batch.send(server), Sent { sent: count, refused: 0 });
    count
}

#[test]
fn a_batch_is_answered_datagram_by_datagram() {
    let server = server("127.0.0.1:0");
    let clients: Vec<_> = (0..100).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for (number, client) in clients.iter().enumerate() {
        client.send_to(format!("question {number}").as_bytes(), server.local_addr().unwrap()).unwrap();
    }
    let mut batch = Batch::new(false);
    let mut answered = 0;
    while answered < clients.len() {
        answered += echo(&server, &mut batch);
    }
    for (number, client) in clients.iter().enumerate() {
        let mut buffer = [0; 64];
        let len = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], format!("question {number}").as_bytes());
    }
}

#[test]
fn an_answer_comes_from_the_address_that_was_asked() {
    for (any, asked, client) in [("0.0.0.0:0", "127.0.0.5", "127.0.0.1:0"), ("[::]:0", "::1", "[::1]:0")] {
        let server = server(any);
        tell_destination(&server, any.starts_with('[')).unwrap();
        let client = UdpSocket::bind(client).unwrap();
        let asked = SocketAddr::new(asked.parse().unwrap(), server.local_addr().unwrap().port());
        client.send_to(b"question", asked).unwrap();
        assert_eq!(echo(&server, &mut Batch::new(true)), 1);
        let (len, from) = client.recv_from(&mut [0; 64]).unwrap();
        assert_eq!((len, from), (8, asked));
        let (peer, source) = (client.local_addr().unwrap(), asked.ip());
        send_from(&server, b"later", peer, Some(source)).unwrap();
        assert_eq!(client.recv_from(&mut [0; 64]).unwrap(), (5, asked));
    }
}

#[test]
fn what_is_too_long_is_cut_and_says_so() {
    let server = server("127.0.0.1:0");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for len in [REQUEST_BYTES_MAX, REQUEST_BYTES_MAX + 1] {
        client.send_to(&vec![7; len], server.local_addr().unwrap()).unwrap();
    }
    let mut batch = Batch::new(false);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        for index in 0..batch.receive(&server).unwrap() {
            let (datagram, _) = batch.datagram(index).unwrap();
            seen.push((datagram.bytes.len(), datagram.cut));
        }
    }
    assert_eq!(seen, [(REQUEST_BYTES_MAX, false), (REQUEST_BYTES_MAX, true)]);
}

#[test]
fn a_reply_that_cannot_be_sent_does_not_hold_up_the_others() {
    let server = server("127.0.0.1:0");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..3 {
        client.send_to(b"x", server.local_addr().unwrap()).unwrap();
    }
    let mut batch = Batch::new(true);
    let mut count = 0;
    while count < 3 {
        let received = batch.receive(&server).unwrap();
        for index in 0..received {
            // This host has no such address, so nothing can come from there.
            let source = (count == 1).then(|| "203.0.113.9".parse().unwrap());
            batch.reply(index, 1, source);
            count += 1;
        }
        let sent = batch.send(&server);
        assert_eq!(sent.sent + sent.refused, received);
    }
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(client.recv(&mut [0; 1]).unwrap(), 1);
    assert_eq!(client.recv(&mut [0; 1]).unwrap(), 1);
}

#[test]
fn coarse_clocks_follow_the_exact_ones() {
    let (_, date) = coarse_clocks();
    let exact = faros_common::clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(exact.abs_diff(date) <= 1, "{exact} {date}");
    assert!(coarse_clocks().0 > 0);
}
