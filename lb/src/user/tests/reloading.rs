//! New settings, servers that go, and the plane's end.

use super::*;

#[test]
fn a_reload_keeps_connections_and_changes_new_ones() {
    let ((old, old_address), (new, new_address)) = (listen(), listen());
    let rig = Rig::new(settings(), &[old_address]);
    let (mut client, mut server) = rig.pair(&old);
    rig.plane.serve(front(settings(), &[new_address]), Vec::new());
    let (mut later, mut at_new) = rig.pair(&new);
    echo_once(&mut client, &mut server);
    echo_once(&mut later, &mut at_new);
}

#[test]
fn a_reload_loses_nobody_who_is_just_coming() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    let limits = Limits { connections: 100, per_source: None };
    std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            for _ in 0..300 {
                let (mut client, mut server) = rig.pair(&server);
                echo_once(&mut client, &mut server);
            }
        });
        while !clients.is_finished() {
            rig.plane.serve(front(Settings { limits, ..settings() }, &[address]), Vec::new());
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

#[test]
fn a_duplicate_of_a_socket_that_is_served_changes_nothing() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    let duplicates: Vec<TcpListener> =
        rig.plane.listeners().into_iter().map(|(_, listener)| listener).collect();
    assert_eq!(duplicates[0].local_addr().unwrap(), rig.address);
    rig.plane.serve(Arc::clone(&rig.front), duplicates);
    assert_eq!(rig.plane.listeners().len(), 1);
    let (mut client, mut server) = rig.pair(&server);
    echo_once(&mut client, &mut server);
}

#[test]
fn an_address_that_is_no_longer_listed_is_closed() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    let (mut client, mut at_server) = rig.pair(&server);
    let other = TcpListener::bind("127.0.0.2:0").unwrap();
    let other_address = other.local_addr().unwrap();
    let mut moved = Arc::into_inner(front(settings(), &[address])).unwrap();
    moved.listen = vec![other_address];
    rig.plane.serve(Arc::new(moved), vec![other]);
    wait_until("the old address to be closed", || TcpStream::connect(rig.address).is_err());
    let mut later = TcpStream::connect(other_address).unwrap();
    later.write_all(b"x").unwrap();
    // Those who came while the old address was being closed have left at once.
    while accept(&server).read(&mut [0; 1]).unwrap_or(0) == 0 {}
    echo_once(&mut client, &mut at_server);
}

#[test]
fn a_withdrawn_front_end_lets_its_connections_end_by_themselves() {
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    let (mut client, mut at_server) = rig.pair(&server);
    rig.plane.withdraw("test");
    wait_until("the address to be closed", || TcpStream::connect(rig.address).is_err());
    echo_once(&mut client, &mut at_server);
    rig.plane.close_all(Cut::Drained);
    assert!(is_reset(&client.read(&mut [0; 1])));
    rig.wait_for(Cut::Drained);
}

#[test]
fn a_handed_over_socket_goes_on_elsewhere() {
    let ((old, old_address), (new, new_address)) = (listen(), listen());
    let first = Rig::new(settings(), &[old_address]);
    let (mut client, mut at_old) = first.pair(&old);
    let handed: Vec<TcpListener> =
        first.plane.listeners().into_iter().map(|(_, listener)| listener).collect();
    let second = UserPlane::start(1, Arc::new(Notes::default())).unwrap();
    second.serve(front(settings(), &[new_address]), handed);
    first.plane.stop_accepting();
    wait_until("the first to have stopped", || {
        let mut later = first.connect();
        new.set_nonblocking(true).unwrap();
        for _ in 0..100 {
            if let Ok((mut at_new, _)) = new.accept() {
                at_new.set_nonblocking(false).unwrap();
                echo_once(&mut later, &mut at_new);
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    });
    echo_once(&mut client, &mut at_old);
}

#[test]
fn the_connections_of_one_server_are_hung_up() {
    let ((one, one_address), (other, other_address)) = (listen(), listen());
    let rig = Rig::new(settings(), &[one_address, other_address]);
    let clients: Vec<TcpStream> = (0..4).map(|_| rig.connect()).collect();
    let at_one = [accept(&one), accept(&one)];
    let mut at_other = [accept(&other), accept(&other)];
    rig.plane.hang_up(&rig.server(0), Cut::MarkedDown);
    for mut server in at_one {
        assert!(is_reset(&server.read(&mut [0; 1])));
    }
    wait_until("the cuts", || rig.ended(Cut::MarkedDown) == 2);
    wait_until("the others to be left", || rig.plane.active() == 2);
    for server in &mut at_other {
        server.write_all(b"x").unwrap();
    }
    let alive = clients.into_iter().filter_map(|mut client| client.read(&mut [0; 1]).ok()).count();
    assert_eq!(alive, 2);
}

#[test]
fn every_loop_shows_that_it_turns() {
    let rig = Rig::new(settings(), &[]);
    std::thread::sleep(Duration::from_millis(1100));
    assert!(rig.plane.heartbeat() < Duration::from_secs(5));
    assert_eq!(rig.plane.status()["loops"].as_array().unwrap().len(), 2);
}
