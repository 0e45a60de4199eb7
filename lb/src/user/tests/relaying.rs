//! What is passed on, and how a connection ends.

use std::net::Shutdown;
use std::thread;

use super::*;

#[test]
fn octets_go_both_ways_and_are_counted() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    let (mut client, mut server) = rig.pair(&server);
    echo_once(&mut client, &mut server);
    echo_once(&mut client, &mut server);
    drop(client);
    assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
    drop(server);
    rig.wait_for(Cut::ClientDone);
    let ends = rig.notes.ends.lock().unwrap();
    assert_eq!((ends[0].sent, ends[0].received, ends[0].retries), (8, 8, 0));
    assert!(ends[0].connect.is_some() && ends[0].local == rig.address);
    let counters = &rig.server(0).counters;
    let loads = [&counters.total, &counters.sent, &counters.received].map(|one| one.load(Ordering::Relaxed));
    assert_eq!(loads, [1, 8, 8]);
}

#[test]
fn a_server_may_speak_first() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    let (mut client, mut server) = rig.pair(&server);
    server.write_all(b"220 ready").unwrap();
    let mut buffer = [0; 9];
    client.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"220 ready");
}

#[test]
fn a_late_answer_to_a_half_closed_connection_arrives_whole() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    let answer = pattern(1 << 20, 1);
    for _ in 0..20 {
        let (mut client, mut server) = rig.pair(&server);
        client.write_all(b"request").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut request = Vec::new();
        server.read_to_end(&mut request).unwrap();
        assert_eq!(request, b"request");
        thread::scope(|scope| {
            scope.spawn(|| {
                server.write_all(&answer).unwrap();
                drop(server);
            });
            let mut received = Vec::new();
            client.read_to_end(&mut received).unwrap();
            assert!(received == answer, "{} of {}", received.len(), answer.len());
        });
    }
    wait_until("the end", || rig.ended(Cut::ClientDone) == 20);
}

#[test]
fn a_client_may_go_on_after_the_servers_end() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    let (mut client, mut server) = rig.pair(&server);
    server.write_all(b"bye").unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"bye");
    let upload = pattern(300_000, 2);
    thread::scope(|scope| {
        scope.spawn(|| {
            client.write_all(&upload).unwrap();
            drop(client);
        });
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        assert!(received == upload);
    });
    rig.wait_for(Cut::ServerDone);
}

#[test]
fn data_and_end_that_come_together_are_both_passed_on() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    for len in [1, 1000, 70_000, 200_000] {
        let data = pattern(len, 3);
        let (mut client, mut server) = rig.pair(&server);
        thread::scope(|scope| {
            scope.spawn(|| {
                server.write_all(&data).unwrap();
                drop(server);
            });
            let mut received = Vec::new();
            client.read_to_end(&mut received).unwrap();
            assert!(received == data);
        });
    }
}

#[test]
fn a_reset_of_the_server_reaches_the_client_after_what_came_before() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    let (mut client, mut server) = rig.pair(&server);
    echo_once(&mut client, &mut server);
    server.write_all(b"partial").unwrap();
    let mut buffer = [0; 7];
    client.read_exact(&mut buffer).unwrap();
    reset(server);
    assert!(is_reset(&client.read(&mut buffer)));
    rig.wait_for(Cut::ServerReset);
    assert_eq!(rig.server(0).counters.resets.load(Ordering::Relaxed), 1);
}

#[test]
fn a_reset_of_the_client_reaches_the_server() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    let (mut client, mut server) = rig.pair(&server);
    echo_once(&mut client, &mut server);
    reset(client);
    assert!(is_reset(&server.read(&mut [0; 1])));
    rig.wait_for(Cut::ClientReset);
}

#[test]
fn a_reset_after_the_end_of_the_stream_is_passed_on_as_well() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    let (client, mut server) = rig.pair(&server);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
    reset(client);
    rig.wait_for(Cut::ClientReset);
    wait_until("the reset", || (&server).write(&[0; 1]).is_err());
}

#[test]
fn a_reset_ends_a_connection_whose_other_side_does_not_read() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    let (client, mut server) = rig.pair(&server);
    server.set_nonblocking(true).unwrap();
    // Until every buffer on the way is full, and stays so.
    let mut quiet = 0;
    while quiet < 20 {
        match server.write(&[7; 65536]) {
            Ok(_some) => quiet = 0,
            Err(_) => {
                quiet += 1;
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
    reset(server);
    wait_until("the reset", || rig.ended(Cut::ServerReset) == 1);
    drop(client);
}

#[test]
fn single_octets_arrive_one_by_one() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    let (mut client, mut server) = rig.pair(&server);
    client.set_nodelay(true).unwrap();
    for number in 0..=255 {
        client.write_all(&[number]).unwrap();
        let mut octet = [0; 1];
        server.read_exact(&mut octet).unwrap();
        assert_eq!(octet[0], number);
    }
}

#[test]
fn long_streams_in_both_directions_at_once_arrive_unharmed() {
    let (server, address) = listen();
    let rig = Rig::new(Settings { congestion: Some("cubic".to_owned()), ..settings() }, &[address]);
    let (client, server) = rig.pair(&server);
    let (up, down) = (pattern(24 << 20, 4), pattern(16 << 20, 5));
    let receive = |mut stream: &TcpStream| {
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        received
    };
    let send = |mut stream: &TcpStream, data: &[u8]| {
        stream.write_all(data).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    };
    thread::scope(|scope| {
        scope.spawn(|| send(&client, &up));
        scope.spawn(|| send(&server, &down));
        let at_client = scope.spawn(|| receive(&client));
        assert!(receive(&server) == up);
        assert!(at_client.join().unwrap() == down);
    });
    let status = rig.plane.status().to_string();
    assert!(status.contains("\"pipes\":1") || status.contains("\"pipes\":2"), "spliced: {status}");
}

#[test]
fn a_slow_reader_leaves_little_on_the_way() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    let (mut client, mut server) = rig.pair(&server);
    SockRef::from(&client).set_recv_buffer_size(4096).unwrap();
    server.set_nonblocking(true).unwrap();
    SockRef::from(&server).set_send_buffer_size(4096).unwrap();
    let mut taken = 0;
    let mut quiet = 0;
    while quiet < 40 {
        match server.write(&[7; 16384]) {
            Ok(count) => (taken, quiet) = (taken + count, 0),
            Err(_) => {
                quiet += 1;
                // A trickle, so that buffers that grow with use would grow.
                let _some = client.read(&mut [0; 1024]).unwrap();
                thread::sleep(Duration::from_millis(2));
            }
        }
    }
    assert!(taken < 1_400_000, "{taken} octets are on the way");
}

#[test]
fn a_broken_client_does_not_keep_what_the_server_has_said() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    // The server answers, closes with the request unread, and so resets behind its answer.
    for _ in 0..20 {
        let (mut client, mut server) = rig.pair(&server);
        client.write_all(b"request").unwrap();
        server.write_all(b"answer").unwrap();
        let mut answer = [0; 6];
        client.read_exact(&mut answer).unwrap();
        wait_until("the request", || server.peek(&mut [0; 7]).unwrap() == 7);
        drop(server);
        assert!(is_reset(&client.read(&mut answer)));
    }
}

#[test]
fn a_long_stream_gets_past_urgent_octets() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    let (mut client, mut server) = rig.pair(&server);
    let stream = pattern(8 << 20, 5);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..4 {
                client.write_all(&stream).unwrap();
                SockRef::from(&client).send_out_of_band(b"!").unwrap();
            }
            client.write_all(&stream).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        // An urgent octet that another one follows before it is read becomes one like all others.
        let more = received.len() - 5 * stream.len();
        assert!(more <= 4 && received.starts_with(&stream) && received.ends_with(&stream), "{more}");
    });
}

/// Sends a stream with its end, and goes as a system does that has forgotten the connection.
fn send_and_vanish(mut writer: TcpStream, stream: &[u8]) {
    writer.write_all(stream).unwrap();
    writer.shutdown(Shutdown::Write).unwrap();
    let unsent = || crate::platform::unacknowledged_octets(std::os::fd::AsFd::as_fd(&writer)).unwrap();
    wait_until("all to be taken", || unsent() == 0);
    // So that the end of the stream is an event of its own.
    thread::sleep(Duration::from_millis(50));
    reset(writer);
    thread::sleep(Duration::from_millis(50));
}

#[test]
fn a_slow_client_gets_the_rest_from_a_server_that_is_long_gone() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    for len in [150_000, 300_000, 450_000] {
        let (mut client, server) = rig.pair(&server);
        SockRef::from(&client).set_recv_buffer_size(4096).unwrap();
        let answer = pattern(len, 6);
        send_and_vanish(server, &answer);
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert!(received == answer, "{} of {len}", received.len());
    }
}

#[test]
fn a_slow_server_gets_the_rest_from_a_client_that_is_long_gone() {
    let (server, address) = listen();
    SockRef::from(&server).set_recv_buffer_size(4096).unwrap();
    let rig = Rig::new(settings(), &[address]);
    let (client, mut server) = rig.pair(&server);
    let upload = pattern(400_000, 7);
    send_and_vanish(client, &upload);
    let mut received = Vec::new();
    server.read_to_end(&mut received).unwrap();
    assert!(received == upload, "{} of {}", received.len(), upload.len());
}
