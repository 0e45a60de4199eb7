//! How a server is found.

use std::thread;

use super::*;

#[test]
fn a_server_that_refuses_is_left_for_the_next() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[closed_port(), address, closed_port()]);
    for _ in 0..12 {
        let (mut client, mut server) = rig.pair(&server);
        echo_once(&mut client, &mut server);
    }
    let failed = rig.notes.failed.lock().unwrap();
    assert!(!failed.is_empty());
    assert!(failed.iter().all(|(name, failure)| &**name != "s1" && *failure == ConnectFailure::Refused));
}

#[test]
fn a_connection_that_nobody_takes_is_reset() {
    let rig = Rig::new(settings(), &[closed_port(), closed_port()]);
    let mut client = rig.connect();
    assert!(is_reset(&client.read(&mut [0; 1])));
    rig.wait_for(Cut::NoServer);
    assert_eq!(rig.notes.failed.lock().unwrap().len(), 2);
}

#[test]
fn a_connection_without_any_server_is_reset() {
    let rig = Rig::new(settings(), &[]);
    let mut client = rig.connect();
    assert!(is_reset(&client.read(&mut [0; 1])));
    rig.wait_for(Cut::NoServer);
}

/// A server that answers no attempt: its queue is full, so the kernel drops what comes.
struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

fn black_hole() -> BlackHole {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let listener: TcpListener = socket.into();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(60)) {
        queue.push(stream);
        assert!(queue.len() < 10, "a queue of none fills");
    }
    BlackHole { address, _listener: listener, _queue: queue }
}

#[test]
fn a_silent_server_gets_a_rival() {
    let (server, address) = listen();
    let hole = black_hole();
    let rig = Rig::new(settings(), &[hole.address, address]);
    for _ in 0..4 {
        let (mut client, mut server) = rig.pair(&server);
        echo_once(&mut client, &mut server);
    }
    let hedges = rig.front.counters.hedges.load(Ordering::Relaxed);
    assert!((1..=4).contains(&hedges), "{hedges}");
    let failed = rig.notes.failed.lock().unwrap();
    assert_eq!(failed.len() as u64, hedges);
    assert!(failed.iter().all(|(name, failure)| &**name == "s0" && *failure == ConnectFailure::TimedOut));
}

#[test]
fn two_silent_servers_do_not_hide_the_third() {
    let (server, address) = listen();
    let holes = [black_hole(), black_hole()];
    let rig = Rig::new(settings(), &[holes[0].address, holes[1].address, address]);
    for _ in 0..3 {
        let (mut client, mut server) = rig.pair(&server);
        echo_once(&mut client, &mut server);
    }
}

#[test]
fn a_silent_server_alone_uses_up_the_time_for_connecting() {
    let hole = black_hole();
    let rig = Rig::new(Settings { connect: Duration::from_millis(600), ..settings() }, &[hole.address]);
    let mut client = rig.connect();
    assert!(is_reset(&client.read(&mut [0; 1])));
    rig.wait_for(Cut::NoServer);
    assert_eq!(rig.notes.failed.lock().unwrap()[..], [("s0".into(), ConnectFailure::TimedOut)]);
}

#[test]
fn a_client_that_leaves_ends_the_search() {
    let hole = black_hole();
    let rig = Rig::new(Settings { connect: PATIENCE, ..settings() }, &[hole.address]);
    reset(rig.connect());
    rig.wait_for(Cut::ClientReset);
}

#[test]
fn a_client_that_only_listens_gets_its_server_also_after_a_search() {
    let (server, address) = listen();
    let hole = black_hole();
    let rig = Rig::new(settings(), &[hole.address, address]);
    for _ in 0..2 {
        let mut client = rig.connect();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut server = accept(&server);
        server.write_all(b"greeting").unwrap();
        drop(server);
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"greeting");
    }
}

#[test]
fn what_the_client_says_while_a_server_is_looked_for_is_not_lost() {
    let (server, address) = listen();
    let hole = black_hole();
    let rig = Rig::new(settings(), &[hole.address, address]);
    for _ in 0..2 {
        let mut client = rig.connect();
        client.write_all(b"early").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut server = accept(&server);
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"early");
    }
}

#[test]
fn a_server_that_is_back_is_told_of() {
    let address = closed_port();
    let rig = Rig::new(settings(), &[address]);
    assert!(is_reset(&rig.connect().read(&mut [0; 1])));
    let server = TcpListener::bind(address).unwrap();
    let _pair = rig.pair(&server);
    wait_until("the word", || rig.notes.succeeded.lock().unwrap().len() == 1);
    let _another = rig.pair(&server);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(rig.notes.succeeded.lock().unwrap().len(), 1);
}
