//! Reloads, restarts, another binary, and a sudden death: what clients notice of them, which is nothing.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::time::Duration;

use faros_common::clock;
use faros_lab::{Process, Signal};
use faros_tests::lb::client::{self, Crowd};
use faros_tests::lb::site::{self, Balanced, CHECK_PORT, PORT, VIP, node, vip};
use faros_tests::lb::wrk::{Tally, Wrk};
use faros_tests::lb::{Backend, Manager, Node, count, program};
use faros_tests::{on_both_planes, within};

/// By hand: `FAROS_LB_RELOADS=100 FAROS_LB_RESTARTS=10`.
const RELOADS: usize = 20;
const RESTARTS: usize = 3;
/// Connections that are held over everything. By hand: `FAROS_LB_HELD=9000`.
const HELD: usize = 300;
/// Where the long stream goes.
const STREAM: u16 = 5201;
/// After a death the next one serves soon: 200 ms are wanted, more is allowed to a busy machine.
const BACK_MAX: Duration = Duration::from_secs(3);

on_both_planes!(
    reloads_under_load_lose_no_connection,
    restarts_under_load_lose_no_connection,
    another_binary_under_load_loses_no_connection,
    held_connections_survive_reloads,
    counters_survive_reloads,
);

/// The front end that is loaded, and another one that comes and goes.
fn text(plane: &str, round: usize) -> String {
    let idle = format!("idle-timeout = \"{}h\"", 1 + round % 2);
    let other = if round.is_multiple_of(3) { site::front_on("other", 5002, "") } else { String::new() };
    let stream = site::front_on("stream", STREAM, "");
    site::text(plane, "", &[site::front(&idle), stream, other].concat())
}

fn built(plane: &str) -> (Balanced, Vec<Node>) {
    let site = Balanced::built(&text(plane, 0));
    let cluster = site.cluster();
    (site, cluster)
}

fn load(site: &Balanced) -> Wrk {
    let wrk = Wrk::start(&site.lab, &site.client, &format!("http://{VIP}:{PORT}/"));
    std::thread::sleep(Duration::from_secs(1));
    wrk
}

fn assert_clean(tally: Tally, what: &str) {
    assert!(tally.errors == 0 && tally.answered > 1000, "{what}: {tally:?}");
}

fn reloads_under_load_lose_no_connection(plane: &str) {
    let (mut site, _cluster) = built(plane);
    site.start();
    site.await_up("raw", &["n1", "n2", "n3"]);
    let wrk = load(&site);
    let reloads = count("FAROS_LB_RELOADS", RELOADS);
    for round in 1..=reloads {
        site.lab.write_site(&text(plane, round)).unwrap();
        site.lab.admin_post("lb", "/reload").unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_clean(wrk.end(), &format!("{reloads} reloads"));
    assert_eq!(site.lab.admin_get("lb", "/status").unwrap()["last_reload"]["state"], "taken");
}

fn restarts_under_load_lose_no_connection(plane: &str) {
    let (site, _cluster) = built(plane);
    let mut manager = Manager::new(&site.lab);
    manager.start(&site.lab, &[]);
    site.await_up("raw", &["n1", "n2", "n3"]);
    println!("kept: {:?}", manager.kept_names());
    let wrk = load(&site);
    let restarts = count("FAROS_LB_RESTARTS", RESTARTS);
    for round in 0..restarts {
        let status = manager.stop();
        assert_eq!(status.code(), Some(0), "round {round}: {:?}", site.lab.log_file("lb"));
        manager.start(&site.lab, &[]);
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_clean(wrk.end(), &format!("{restarts} restarts"));
}

/// The new one asks the old one for its sockets; nobody keeps them in between.
fn another_binary_under_load_loses_no_connection(plane: &str) {
    let (site, _cluster) = built(plane);
    let mut manager = Manager::new(&site.lab);
    manager.start(&site.lab, &[]);
    site.await_up("raw", &["n1", "n2", "n3"]);
    let wrk = load(&site);
    manager.forget();
    let mut old = manager.release();
    let binary = site.lab.dir().join("faros-lb-next");
    std::fs::copy(faros_lab::program("lb").unwrap(), &binary).unwrap();
    manager.set_program(&binary);
    manager.start(&site.lab, &[]);
    let status = old.wait(Duration::from_secs(60)).expect("the old one goes when the new one serves");
    assert_eq!(status.code(), Some(0), "{}", old.log_tail(20));
    std::thread::sleep(Duration::from_secs(1));
    assert_clean(wrk.end(), "another binary");
    let pid = manager.process().pid();
    let running = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    assert_eq!(running, binary);
    site.await_up("raw", &["n1", "n2", "n3"]);
}

/// L37.
fn held_connections_survive_reloads(plane: &str) {
    let mut site = Balanced::built(&text(plane, 0));
    let _servers =
        [Backend::echo(&site.nodes[0], node(0, PORT)), Backend::silent(&site.nodes[0], node(0, CHECK_PORT))];
    site.start();
    site.await_up("raw", &["n1"]);
    let held = count("FAROS_LB_HELD", HELD);
    site.client
        .inside(|| {
            use std::io::{Read as _, Write as _};
            let mut streams: Vec<_> = (0..held).map(|_| client::connect(vip(PORT)).unwrap()).collect();
            for round in 1..=10 {
                site.lab.write_site(&text(plane, round)).unwrap();
                site.lab.admin_post("lb", "/reload").unwrap();
            }
            for (number, stream) in streams.iter_mut().enumerate() {
                stream.write_all(&number.to_be_bytes()).unwrap();
                let mut back = [0; size_of::<usize>()];
                stream.read_exact(&mut back).unwrap_or_else(|error| panic!("connection {number}: {error}"));
                assert_eq!(usize::from_be_bytes(back), number);
            }
        })
        .unwrap();
}

fn counters_survive_reloads(plane: &str) {
    let (mut site, _cluster) = built(plane);
    site.start();
    site.await_up("raw", &["n1", "n2", "n3"]);
    let url = format!("http://{VIP}:{PORT}/");
    for _ in 0..30 {
        assert!(site.client.output("curl", ["-s", "--max-time", "5", &url]).unwrap().status.success());
    }
    let total = |site: &Balanced| -> u64 {
        site::NODES
            .iter()
            .map(|(name, ..)| site.server("raw", name)["connections"]["total"].as_u64().unwrap())
            .sum()
    };
    within(Duration::from_secs(10), "all are counted", || total(&site) >= 30);
    let before = total(&site);
    site.lab.write_site(&text(plane, 1)).unwrap();
    site.lab.admin_post("lb", "/reload").unwrap();
    within(Duration::from_secs(10), "they stay counted", || total(&site) >= before);
}

#[test]
fn the_kernel_plane_goes_on_without_the_daemon() {
    let site = Balanced::built(&text("kernel", 0));
    let _server = Backend::named(&site.nodes[0], node(0, PORT), "n1");
    let _check = Backend::silent(&site.nodes[0], node(0, CHECK_PORT));
    let mut command = site.nodes[0].command(program("iperf3"));
    command.args(["-s", "-p", &STREAM.to_string()]);
    let _receiver = Process::start(&mut command, site.lab.log_file("iperf3-server")).unwrap();
    within(Duration::from_secs(10), "iperf3 listens", || {
        let listening = site.nodes[0].run("ss", ["-Hltn".to_owned(), format!("sport = :{STREAM}")]);
        !listening.unwrap().is_empty()
    });
    let mut manager = Manager::new(&site.lab);
    manager.start(&site.lab, &[]);
    site.await_up("stream", &["n1"]);
    site.await_up("raw", &["n1"]);
    let mut command = site.client.command(program("iperf3"));
    command.args(["-c", &VIP.to_string(), "-p", &STREAM.to_string(), "-t", "6", "-f", "m"]);
    let mut sender = Process::start(&mut command, site.lab.log_file("iperf3")).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert!(sender.ended().is_none(), "{}", sender.log_tail(20));
    manager.kill();
    Crowd::asks(&site.client, vip(PORT), 500, 4).assert_all_served("while the daemon is dead");
    let status = sender.wait(Duration::from_secs(30)).unwrap();
    let said = sender.log_tail(40);
    println!("{said}");
    assert!(status.success(), "{said}");
    let silent = said.lines().filter(|line| line.contains("sec") && line.contains(" 0.00 Mbits/sec"));
    assert_eq!(silent.count(), 0, "it stood still:\n{said}");
    // The next one takes over what it finds, and serves on.
    manager.start(&site.lab, &[]);
    site.await_up("raw", &["n1"]);
    Crowd::asks(&site.client, vip(PORT), 200, 4).assert_all_served("afterwards");
}

#[test]
fn the_user_plane_is_back_at_once_after_a_sudden_death() {
    let site = Balanced::built(&text("user", 0));
    let _server = Backend::named(&site.nodes[0], node(0, PORT), "n1");
    let _check = Backend::silent(&site.nodes[0], node(0, CHECK_PORT));
    let mut manager = Manager::new(&site.lab);
    manager.start(&site.lab, &[]);
    site.await_up("raw", &["n1"]);
    assert!(!manager.kept_names().is_empty(), "it gives its sockets to be kept: {:?}", manager.said());
    for round in 0..count("FAROS_LB_RESTARTS", RESTARTS) {
        assert_eq!(client::ask_from(&site.client, vip(PORT)).unwrap(), "n1");
        manager.kill();
        let start = clock::now();
        manager.spawn(&site.lab, &[]);
        // Nobody is refused in between: who comes meanwhile waits for the next one.
        assert_eq!(client::ask_from(&site.client, vip(PORT)).unwrap(), "n1", "round {round}");
        println!("round {round}: served {:?} after its death", start.elapsed());
        assert!(start.elapsed() < BACK_MAX, "{:?}", start.elapsed());
    }
}

/// L38.
#[test]
fn a_stopping_balancer_lets_connections_finish_and_takes_no_new_ones() {
    use std::io::{Read as _, Write as _};
    let mut site = Balanced::built(&text("user", 0));
    let _servers =
        [Backend::echo(&site.nodes[0], node(0, PORT)), Backend::silent(&site.nodes[0], node(0, CHECK_PORT))];
    site.start();
    site.await_up("raw", &["n1"]);
    let mut stream = site.client.inside(|| client::connect(vip(PORT)).unwrap()).unwrap();
    let mut back = [0; 4];
    stream.write_all(b"one\n").unwrap();
    stream.read_exact(&mut back).unwrap();
    site.lab.signal_daemon("lb", Signal::TERM).unwrap();
    within(Duration::from_secs(10), "new ones are refused", || {
        site.client.inside(|| client::connect(vip(PORT)).is_err()).unwrap()
    });
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(200));
        stream.write_all(b"two\n").unwrap();
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"two\n");
    }
    assert!(site.lab.daemon("lb").unwrap().ended().is_none(), "it waits for the last one");
    drop(stream);
    let status = site.lab.daemon("lb").unwrap().wait(Duration::from_secs(10)).unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_drain_that_takes_too_long_is_cut_short_and_says_so() {
    let text = text("user", 0).replace("drain = \"20s\"", "drain = \"2s\"");
    let mut site = Balanced::built(&text);
    let _servers =
        [Backend::echo(&site.nodes[0], node(0, PORT)), Backend::silent(&site.nodes[0], node(0, CHECK_PORT))];
    site.start();
    site.await_up("raw", &["n1"]);
    let mut stream = site.client.inside(|| client::connect(vip(PORT)).unwrap()).unwrap();
    site.lab.signal_daemon("lb", Signal::TERM).unwrap();
    let status = site.lab.daemon("lb").unwrap().wait(Duration::from_secs(20)).unwrap();
    assert_eq!(status.code(), Some(75));
    let (bytes, end) = client::read_to_end(&mut stream);
    assert_eq!((bytes.len(), end), (0, client::End::Reset), "it is cut off, and knows it");
}
