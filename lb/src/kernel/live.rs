//! Against the kernel, with packets between network namespaces. Needs root; fails without.

mod stage;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use faros_common::clock;
use faros_common::site::Balance;
use stage::{A, A6, B, B6, Stage, VIP, VIP6};

use super::testing::{front, surroundings};
use super::wish::{KernelFront, Surroundings};
use super::{Applied, KernelPlane};
use crate::pool::{ConnectFailure, ConnectionEnd, Observer, Roster, Server};

const API: &str = "10.0.0.2:6443";

#[derive(Default)]
struct Ear {
    failed: Mutex<Vec<(Arc<Server>, ConnectFailure)>>,
    succeeded: AtomicUsize,
}

impl Observer for Ear {
    fn connect_failed(&self, server: &Arc<Server>, failure: ConnectFailure) {
        self.failed.lock().unwrap().push((Arc::clone(server), failure));
    }

    fn connect_succeeded(&self, _: &Arc<Server>) {
        self.succeeded.fetch_add(1, Ordering::Relaxed);
    }

    fn ended(&self, _: &ConnectionEnd) {}
}

fn open(stage: &Stage, site: Surroundings) -> KernelPlane {
    stage.within("lb", || KernelPlane::open(site).unwrap())
}

fn apply(stage: &Stage, plane: &KernelPlane, fronts: &[KernelFront]) -> Applied {
    // Forwarding is switched in the namespace of the caller.
    stage.within("lb", || plane.apply(fronts).unwrap())
}

fn watch(stage: &Stage, plane: &KernelPlane) -> (Arc<Ear>, Arc<AtomicUsize>) {
    let (ear, restored) = (Arc::new(Ear::default()), Arc::new(AtomicUsize::new(0)));
    let (observer, count) = (Arc::clone(&ear), Arc::clone(&restored));
    stage.within("lb", || {
        let watched = plane.watch(observer, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        watched.unwrap();
    });
    (ear, restored)
}

fn api() -> KernelFront {
    front("api", API, &[A, B], Balance::RoundRobin)
}

fn two_servers(stage: &Stage) {
    stage.server("a", "[::]:6443");
    stage.server("b", "[::]:6443");
}

fn served_by_both(stage: &Stage, namespace: &str, to: &str) {
    let names: Vec<_> = (0..10).map(|_| stage.ask(namespace, to).unwrap()).collect();
    for name in ["a", "b"] {
        assert_eq!(names.iter().filter(|other| *other == name).count(), 5, "{names:?}");
    }
}

fn within(limit: Duration, mut done: impl FnMut() -> bool) -> Option<Duration> {
    let start = clock::now();
    while start.elapsed() < limit {
        if done() {
            return Some(start.elapsed());
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

#[test]
fn connections_go_to_servers_in_turn_and_sources_are_kept() {
    let stage = Stage::set();
    two_servers(&stage);
    let plane = open(&stage, surroundings());
    let applied = apply(&stage, &plane, &[api()]);
    assert!(applied.changes > 0 && !applied.took_over);
    served_by_both(&stage, "wan", API);
    let (_, _, peer) = stage.connect("wan", API).unwrap();
    assert_eq!(peer.ip().to_canonical().to_string(), "198.51.100.9");
    served_by_both(&stage, "node", API);
    let (_, _, peer) = stage.connect("node", API).unwrap();
    assert_eq!(peer.ip().to_canonical().to_string(), "10.0.0.1", "else the answer would go past us");
    served_by_both(&stage, "lb", API);
    served_by_both(&stage, "a", API);
    assert_eq!(apply(&stage, &plane, &[api()]).changes, 0, "the same again is nothing to do");
}

#[test]
fn ipv6_too() {
    let stage = Stage::set();
    two_servers(&stage);
    let site = Surroundings { lan: vec!["fd00::1/64".parse().unwrap()], ..surroundings() };
    let plane = open(&stage, site);
    let service = format!("[{VIP6}]:6443");
    apply(&stage, &plane, &[front("api", &service, &[A6, B6], Balance::RoundRobin)]);
    for client in ["wan", "node", "lb"] {
        served_by_both(&stage, client, &service);
    }
    let (_, _, peer) = stage.connect("wan", &service).unwrap();
    assert_eq!(peer.ip().to_string(), "2001:db8::9");
}

#[test]
fn without_a_gateway_servers_see_this_host() {
    let stage = Stage::set();
    two_servers(&stage);
    let plane = open(&stage, Surroundings { gateway: false, ..surroundings() });
    apply(&stage, &plane, &[api()]);
    let (_, _, peer) = stage.connect("wan", API).unwrap();
    assert_eq!(peer.ip().to_canonical().to_string(), "10.0.0.1");
}

#[test]
fn rules_outlive_the_daemon_and_the_next_one_takes_them_over() {
    let stage = Stage::set();
    two_servers(&stage);
    let plane = open(&stage, surroundings());
    apply(&stage, &plane, &[api()]);
    let (mut old, ..) = stage.connect("wan", API).unwrap();
    drop(plane);
    served_by_both(&stage, "wan", API);
    let plane = open(&stage, surroundings());
    let applied = apply(&stage, &plane, &[api()]);
    assert_eq!(applied, Applied { changes: 0, took_over: true, forwarding: false });
    old.write_all(b"still there").unwrap();
    let mut answer = [0; 11];
    old.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"still there");
    let front = api();
    apply(&stage, &plane, std::slice::from_ref(&front));
    plane.refresh().unwrap();
    assert_eq!(front.front.counters.accepted.load(Ordering::Relaxed), 11, "counting goes on over processes");
}

#[test]
fn without_a_server_clients_are_reset_at_once() {
    let stage = Stage::set();
    let plane = open(&stage, surroundings());
    let mut nobody = api();
    nobody.roster = Arc::new(Roster::empty(Balance::RoundRobin));
    apply(&stage, &plane, &[nobody]);
    for client in ["wan", "node", "lb"] {
        let start = clock::now();
        let error = stage.ask(client, API).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{client}");
        assert!(start.elapsed() < Duration::from_secs(1), "{client}");
    }
}

#[test]
fn what_is_for_the_lan_is_refused_elsewhere_and_others_by_the_allow_list() {
    let stage = Stage::set();
    two_servers(&stage);
    let plane = open(&stage, surroundings());
    let mut lan = api();
    lan.lan_only = true;
    let mut listed = front("listed", "10.0.0.2:7443", &[A, B], Balance::RoundRobin);
    Arc::get_mut(&mut listed.front).unwrap().settings.allow = vec!["198.51.100.0/28".parse().unwrap()];
    let mut published = front("published", "10.0.0.2:8443", &[A], Balance::RoundRobin);
    published.published = true;
    apply(&stage, &plane, &[lan, listed, published]);
    let refused = |client: &str, to: &str| {
        let error = stage.ask(client, to).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{client} {to}");
    };
    refused("wan", API);
    served_by_both(&stage, "node", API);
    served_by_both(&stage, "lb", API);
    refused("node", "10.0.0.2:7443");
    served_by_both(&stage, "wan", "10.0.0.2:7443");
    assert_eq!(stage.ask("wan", "198.51.100.1:8443").unwrap(), "a");
    refused("wan", "198.51.100.1:7443");
}

#[test]
fn a_source_beyond_its_limit_is_refused_until_it_lets_one_go() {
    let stage = Stage::set();
    two_servers(&stage);
    let plane = open(&stage, surroundings());
    let mut limited = api();
    Arc::get_mut(&mut limited.front).unwrap().settings.limits.per_source = Some(3);
    apply(&stage, &plane, &[limited]);
    let mut held: Vec<_> = (0..3).map(|_| stage.connect("wan", API).unwrap()).collect();
    let error = stage.ask("wan", API).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(stage.ask("node", API).is_ok(), "others are not counted with it");
    held.pop();
    let freed = within(Duration::from_secs(5), || stage.ask("wan", API).is_ok());
    assert!(freed.is_some());
}

#[test]
fn clients_of_a_server_that_is_cut_learn_it_even_when_they_only_wait() {
    for loose in ["1", "0"] {
        let stage = Stage::set();
        stage.setting("net/netfilter/nf_conntrack_tcp_loose", loose);
        two_servers(&stage);
        let plane = open(&stage, surroundings());
        let _told = watch(&stage, &plane);
        let both = api();
        apply(&stage, &plane, std::slice::from_ref(&both));
        for client in ["wan", "node", "lb"] {
            let connections: Vec<_> = (0..4).map(|_| stage.connect(client, API).unwrap()).collect();
            let (of_a, of_b): (Vec<_>, Vec<_>) =
                connections.into_iter().partition(|(_, name, _)| name == "a");
            plane.cut(&both.servers[0]);
            for (mut stream, ..) in of_a {
                stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
                let start = clock::now();
                let error = stream.read(&mut [0]).unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{client}, loose {loose}");
                println!("{client}, loose {loose}: reset after {:?}", start.elapsed());
            }
            for (mut stream, ..) in of_b {
                stream.write_all(b"?").unwrap();
                stream.read_exact(&mut [0]).unwrap();
            }
        }
    }
}

#[test]
fn a_server_that_refuses_is_told_of_within_a_second_and_so_is_its_return() {
    let stage = Stage::set();
    stage.server("b", "[::]:6443");
    let plane = open(&stage, surroundings());
    let (ear, _) = watch(&stage, &plane);
    apply(&stage, &plane, &[api()]);
    thread::sleep(Duration::from_millis(200));
    for _ in 0..2 {
        let _ = stage.ask("wan", API);
    }
    let told = within(Duration::from_secs(1), || !ear.failed.lock().unwrap().is_empty());
    println!("refusal told after {:?}", told.expect("told"));
    let failed = ear.failed.lock().unwrap().clone();
    assert!(failed.iter().all(|(server, how)| &*server.name == "s0" && *how == ConnectFailure::Refused));
    stage.server("a", "[::]:6443");
    served_by_both(&stage, "wan", API);
    assert!(within(Duration::from_secs(1), || ear.succeeded.load(Ordering::Relaxed) == 1).is_some());
}

#[test]
fn a_server_that_is_silent_is_told_of_within_a_second() {
    let stage = Stage::set();
    two_servers(&stage);
    stage.run("a", "nft add table inet hole");
    stage.run("a", "nft add chain inet hole input { type filter hook input priority 0 ; }");
    stage.run("a", "nft add rule inet hole input tcp dport 6443 drop");
    let plane = open(&stage, surroundings());
    let (ear, _) = watch(&stage, &plane);
    apply(&stage, &plane, &[api()]);
    thread::sleep(Duration::from_millis(200));
    let start = clock::now();
    let told = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| stage.ask("wan", API));
        }
        within(Duration::from_secs(1), || !ear.failed.lock().unwrap().is_empty())
    });
    println!("silence told after {:?} of {:?}", told.expect("told"), start.elapsed());
    let failed = ear.failed.lock().unwrap().clone();
    assert!(failed.iter().all(|(server, how)| &*server.name == "s0" && *how == ConnectFailure::TimedOut));
}

#[test]
fn changes_under_load_cost_no_connection() {
    let stage = Stage::set();
    two_servers(&stage);
    let plane = open(&stage, surroundings());
    let both = api();
    apply(&stage, &plane, std::slice::from_ref(&both));
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut times: Vec<Duration> = Vec::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    stage.ask("wan", API).unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for turn in 0..100_u32 {
            let mut changed = both.clone();
            let mut slots = both.roster.slots.clone();
            slots[0].weight = 1 + turn % 7;
            if turn % 5 == 0 {
                slots.remove(1);
            }
            changed.roster = Arc::new(Roster::new(Balance::RoundRobin, slots));
            let more = front("more", "10.0.0.2:7443", &[A], Balance::Source);
            let fronts = if turn % 2 == 0 { vec![changed] } else { vec![changed, more] };
            let start = clock::now();
            apply(&stage, &plane, &fronts);
            times.push(start.elapsed());
            thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Ordering::Relaxed);
    });
    times.sort_unstable();
    println!("{done:?} connections, 100 changes, median {:?}, longest {:?}", times[50], times[99]);
    assert!(done.load(Ordering::Relaxed) > 100);
}

#[test]
fn rules_that_somebody_flushes_are_restored_with_their_counts() {
    let stage = Stage::set();
    two_servers(&stage);
    let plane = open(&stage, surroundings());
    let (_, restored) = watch(&stage, &plane);
    let api = api();
    apply(&stage, &plane, std::slice::from_ref(&api));
    served_by_both(&stage, "wan", API);
    thread::sleep(Duration::from_millis(300));
    for (number, blow) in ["flush ruleset", "flush chain inet faros_lb front/api"].into_iter().enumerate() {
        stage.run("lb", &format!("nft {blow}"));
        let after = within(Duration::from_secs(3), || restored.load(Ordering::Relaxed) == number + 1);
        println!("{blow}: restored after {:?}", after.expect("restored"));
        served_by_both(&stage, "wan", API);
    }
    plane.refresh().unwrap();
    assert_eq!(api.front.counters.accepted.load(Ordering::Relaxed), 30);
    stage.run("lb", "nft add table inet bystander");
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(restored.load(Ordering::Relaxed), 2, "other tables are none of our business");
    plane.withdraw().unwrap();
    assert_eq!(stage.run("lb", "nft list tables"), "table inet bystander\n");
}

#[test]
fn the_same_client_finds_the_same_server() {
    let stage = Stage::set();
    two_servers(&stage);
    let plane = open(&stage, surroundings());
    apply(&stage, &plane, &[front("web", API, &[A, B], Balance::Source)]);
    let first = stage.ask("wan", API).unwrap();
    for _ in 0..10 {
        assert_eq!(stage.ask("wan", API).unwrap(), first);
    }
}

#[test]
fn forwarding_is_switched_on_on_demand_and_opens_nothing_else() {
    let stage = Stage::set();
    two_servers(&stage);
    stage.setting("net/ipv4/ip_forward", "0");
    let plane = open(&stage, surroundings());
    let mut wish = api();
    assert!(stage.within("lb", || plane.obstacle(&wish)).is_some_and(|reason| reason.contains("ip_forward")));
    wish.demanded = true;
    assert_eq!(stage.within("lb", || plane.obstacle(&wish)), None);
    assert!(apply(&stage, &plane, std::slice::from_ref(&wish)).forwarding);
    served_by_both(&stage, "wan", API);
    served_by_both(&stage, "node", API);
    assert!(stage.ask("wan", A).is_err(), "not through us");
    drop(plane);
    let plane = open(&stage, surroundings());
    assert_eq!(apply(&stage, &plane, std::slice::from_ref(&wish)).changes, 0, "the bound is taken over");
    let (_, restored) = watch(&stage, &plane);
    stage.run("lb", "nft flush ruleset");
    assert!(within(Duration::from_secs(3), || restored.load(Ordering::Relaxed) == 1).is_some());
    assert!(stage.ask("wan", A).is_err(), "nor after somebody has emptied the rules");
    stage.run("lb", "nft add table inet faros");
    let opened = within(Duration::from_secs(10), || stage.ask("wan", A).is_ok());
    assert!(opened.is_some(), "the gateway's rules decide now");
    assert_eq!(restored.load(Ordering::Relaxed), 1, "that is no damage");
    stage.run("lb", "nft delete table inet faros");
    apply(&stage, &plane, &[]);
    assert_eq!(stage.read_setting("net/ipv4/ip_forward"), "1", "it was the gateway's by then");
}

#[test]
fn forwarding_that_somebody_switches_off_is_switched_on_again() {
    let stage = Stage::set();
    two_servers(&stage);
    stage.setting("net/ipv4/ip_forward", "0");
    let plane = open(&stage, surroundings());
    let mut wish = api();
    wish.demanded = true;
    apply(&stage, &plane, &[wish]);
    let (_, restored) = watch(&stage, &plane);
    stage.setting("net/ipv4/ip_forward", "0");
    assert!(within(Duration::from_secs(5), || stage.read_setting("net/ipv4/ip_forward") == "1").is_some());
    assert!(within(Duration::from_secs(1), || restored.load(Ordering::Relaxed) == 1).is_some());
    served_by_both(&stage, "wan", API);
}

#[test]
fn what_an_earlier_process_left_can_be_swept_away() {
    let stage = Stage::set();
    stage.setting("net/ipv4/ip_forward", "0");
    assert!(!stage.within("lb", || KernelPlane::sweep().unwrap()), "nothing is there");
    let plane = open(&stage, surroundings());
    let mut wish = api();
    wish.demanded = true;
    apply(&stage, &plane, &[wish]);
    drop(plane);
    assert!(stage.within("lb", || KernelPlane::sweep().unwrap()));
    assert!(stage.run("lb", "nft list tables").is_empty());
    assert_eq!(stage.read_setting("net/ipv4/ip_forward"), "0");
}

#[test]
fn forwarding_goes_with_the_last_front_end_that_needed_it() {
    let stage = Stage::set();
    stage.setting("net/ipv4/ip_forward", "0");
    let plane = open(&stage, surroundings());
    let mut wish = api();
    wish.demanded = true;
    apply(&stage, &plane, &[wish]);
    assert_eq!(stage.read_setting("net/ipv4/ip_forward"), "1");
    apply(&stage, &plane, &[]);
    assert_eq!(stage.read_setting("net/ipv4/ip_forward"), "0");
}

#[test]
fn a_bridge_whose_packets_are_filtered_is_an_obstacle() {
    let stage = Stage::set();
    let plane = open(&stage, surroundings());
    assert_eq!(stage.within("lb", || plane.obstacle(&api())), None);
    stage.setting("net/bridge/bridge-nf-call-iptables", "1");
    let obstacle = stage.within("lb", || plane.obstacle(&api())).unwrap();
    assert!(obstacle.contains("bridge-nf-call-iptables") && obstacle.contains("lan0"), "{obstacle}");
}

#[test]
fn many_front_ends() {
    let stage = Stage::set();
    two_servers(&stage);
    let plane = open(&stage, surroundings());
    let fronts: Vec<_> = (0..60)
        .map(|number| {
            let listen = format!("{VIP}:{}", 6400 + number);
            front(&format!("f{number}"), &listen, &[A, B], Balance::RoundRobin)
        })
        .collect();
    let start = clock::now();
    let applied = apply(&stage, &plane, &fronts);
    println!("{} steps for 60 front ends in {:?}", applied.changes, start.elapsed());
    served_by_both(&stage, "wan", "10.0.0.2:6459");
    drop(plane);
    let plane = open(&stage, surroundings());
    let start = clock::now();
    assert_eq!(apply(&stage, &plane, &fronts).changes, 0);
    println!("taken over in {:?}", start.elapsed());
}
