//! Who may connect, how many, and for how long.

use std::thread;

use super::*;

#[test]
fn beyond_the_limit_connections_wait() {
    let (server, address) = listen();
    let limits = Limits { connections: 2, per_source: None };
    let rig = Rig::new(Settings { limits, ..settings() }, &[address]);
    let first = rig.pair(&server);
    let _second = rig.pair(&server);
    let mut third = rig.connect();
    server.set_nonblocking(true).unwrap();
    thread::sleep(Duration::from_millis(50));
    assert_eq!(server.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    server.set_nonblocking(false).unwrap();
    drop(first);
    let mut at_server = accept(&server);
    echo_once(&mut third, &mut at_server);
    assert_eq!(rig.front.counters.active.load(Ordering::Relaxed), 2);
}

#[test]
fn one_source_has_no_more_than_its_share() {
    let (server, address) = listen();
    let limits = Limits { connections: 100, per_source: Some(1) };
    let rig = Rig::new(Settings { limits, ..settings() }, &[address]);
    let first = rig.pair(&server);
    assert!(is_reset(&rig.connect().read(&mut [0; 1])));
    assert_eq!(rig.ended(Cut::Limit), 1);
    drop(first);
    wait_until("the first to be over", || rig.front.counters.active.load(Ordering::Relaxed) == 0);
    let (mut client, mut server) = rig.pair(&server);
    echo_once(&mut client, &mut server);
}

#[test]
fn a_source_that_is_not_allowed_is_reset() {
    let (_server, address) = listen();
    let rig = Rig::new(Settings { allow: vec!["192.0.2.0/24".parse().unwrap()], ..settings() }, &[address]);
    assert!(is_reset(&rig.connect().read(&mut [0; 1])));
    rig.wait_for(Cut::Source);
}

#[test]
fn a_client_without_a_first_octet_is_reset_in_time() {
    let (server, address) = listen();
    let first_byte = Some(Duration::from_millis(300));
    let rig = Rig::new(Settings { first_byte, ..settings() }, &[address]);
    let (mut talks, mut at_server) = rig.pair(&server);
    echo_once(&mut talks, &mut at_server);
    let (mut silent, _at_server) = rig.pair(&server);
    assert!(is_reset(&silent.read(&mut [0; 1])));
    assert_eq!(rig.ended(Cut::FirstByte), 1);
    echo_once(&mut talks, &mut at_server);
}

#[test]
fn an_idle_connection_is_reset_and_a_busy_one_is_not() {
    let (server, address) = listen();
    let rig = Rig::new(Settings { idle: Duration::from_millis(400), ..settings() }, &[address]);
    let (mut busy, mut at_server) = rig.pair(&server);
    let (mut idle, _at_server) = rig.pair(&server);
    for _ in 0..12 {
        echo_once(&mut busy, &mut at_server);
        thread::sleep(Duration::from_millis(50));
    }
    assert!(is_reset(&idle.read(&mut [0; 1])));
    assert_eq!(rig.ended(Cut::Idle), 1);
    echo_once(&mut busy, &mut at_server);
}

/// Runs in a process of its own, for the limit is the process's.
#[test]
fn a_process_short_of_descriptors_neither_spins_nor_dies() {
    const CHILD: &str = "FAROS_LB_TEST_DESCRIPTORS";
    if std::env::var_os(CHILD).is_none() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "user::tests::limits::a_process_short_of_descriptors_neither_spins_nor_dies"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Servers and clients are in this process too: each connection takes four, of which the plane may have half.
    let limit = |limit| Rlimit { current: Some(limit), maximum: Some(1000) };
    setrlimit(Resource::Nofile, limit(120)).unwrap();
    setrlimit(Resource::Nofile, Rlimit { current: Some(120), maximum: Some(120) }).unwrap();
    let (server, address) = listen();
    let rig = Rig::new(settings(), &[address]);
    setrlimit(Resource::Nofile, Rlimit { current: Some(60), maximum: Some(120) }).unwrap();
    let mut clients = Vec::new();
    // Until this process has none left at all.
    while let Ok(client) = TcpStream::connect(rig.address) {
        clients.push(client);
        thread::sleep(Duration::from_millis(2));
    }
    assert!(clients.len() > 10);
    let before = cpu_time();
    thread::sleep(Duration::from_millis(400));
    let spent = cpu_time() - before;
    assert!(spent < Duration::from_millis(150), "it spins: {spent:?}");
    drop(clients);
    drop(server);
    wait_until("everybody to leave", || rig.plane.active() == 0);
    let server = TcpListener::bind(address).unwrap();
    let (mut client, mut server) = rig.pair(&server);
    echo_once(&mut client, &mut server);
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
