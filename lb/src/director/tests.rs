use std::sync::Mutex;
use std::time::Instant;

use faros_common::site::Plane;

use super::planes::Sockets;
use super::*;
use crate::checks::Failure;
use crate::config::tests::site;
use crate::kernel::{KernelFront, Surroundings};
use crate::pool::{ConnectFailure, Cut, Front};
use crate::protocol::health::Mode;
use crate::store::{Added, Memory, Removed};

/// Planes that note what they are told.
#[derive(Default)]
struct Fake {
    told: Mutex<Vec<String>>,
    obstacle: Mutex<Option<String>>,
    refusal: Mutex<Option<String>>,
}

impl Fake {
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    fn note(&self, text: String) {
        self.told.lock().unwrap().push(text);
    }
}

impl Planes for Fake {
    fn serve(&self, front: Arc<Front>, _: Vec<TcpListener>) {
        self.note(format!("serve {}", front.name));
    }

    fn withdraw(&self, name: &str) {
        self.note(format!("withdraw {name}"));
    }

    fn hang_up(&self, server: &Arc<Server>, cut: Cut) {
        self.note(format!("hang up {} {} {cut:?}", server.frontend, server.name));
    }

    fn kernel_connections(&self, _: &Server) -> Option<usize> {
        None
    }

    fn obstacle(&self, _: &KernelFront) -> Option<String> {
        self.obstacle.lock().unwrap().clone()
    }

    fn apply(&self, fronts: &[KernelFront]) -> Result<(), String> {
        let describe = |front: &KernelFront| {
            let names: Vec<&str> = front.roster.slots.iter().map(|slot| &*slot.server.name).collect();
            format!("{}={}", front.front.name, names.join("+"))
        };
        self.note(format!("apply {}", fronts.iter().map(describe).collect::<Vec<_>>().join(" ")));
        self.refusal.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn release(&self) {
        self.note("release".to_owned());
    }

    fn relocate(&self, _: &Surroundings) {
        self.note("relocate".to_owned());
    }
}

struct Stage {
    state: State,
    planes: Arc<Fake>,
    events: Events,
    now: Instant,
}

const USER: &str = "[lb]\nplane = \"user\"\n";

impl Stage {
    fn of(text: &str) -> Self {
        Self::with(text, Memory::default(), Fake::default())
    }

    fn with(text: &str, memory: Memory, planes: Fake) -> Self {
        let (planes, events, now) = (Arc::new(planes), Events::new("lb"), clock::now());
        let config = Config::of(&site(text)).unwrap();
        let state =
            State::new(config, Sockets::default(), memory, Arc::clone(&planes) as _, events.clone(), now);
        Self { state, planes, events, now }
    }

    /// Time passes, and every check that becomes due finds what `find` says of its server.
    fn pass(&mut self, secs: f64, find: impl Fn(&Server) -> Result<(), Failure>) {
        let end = self.now + Duration::from_secs_f64(secs);
        while self.now < end {
            self.state.tick(self.now);
            for check in self.state.due(self.now) {
                let verdict = find(&check.subjects[0]);
                self.state.checked(&check.subjects, Some(&verdict), self.now);
            }
            self.now += Duration::from_millis(50);
        }
    }

    fn front(&mut self, name: &str) -> &mut front::FrontState {
        self.state.fronts.iter_mut().find(|front| *front.config.name == *name).unwrap()
    }

    fn serving(&mut self, name: &str) -> Vec<String> {
        let roster = self.front(name).front.roster.load_full();
        roster.slots.iter().map(|slot| slot.server.name.to_string()).collect()
    }

    fn server(&mut self, front: &str, name: &str) -> Arc<Server> {
        let member = self.front(front).members.iter().find(|member| *member.server.name == *name);
        Arc::clone(&member.unwrap().server)
    }

    fn emitted(&self, id: &str) -> usize {
        let (_, events) = self.events.after(0, usize::MAX);
        events.iter().filter(|event| event.json.contains(&format!("\"event\":\"{id}\""))).count()
    }
}

fn good(_: &Server) -> Result<(), Failure> {
    Ok(())
}

fn except(name: &'static str) -> impl Fn(&Server) -> Result<(), Failure> {
    move |server| if *server.name == *name { Err(Failure::Status(500)) } else { Ok(()) }
}

#[test]
fn before_the_first_check_everybody_may_serve_and_after_it_those_that_are_up() {
    let mut stage = Stage::of(USER);
    assert_eq!(stage.serving("api"), ["cp1", "cp2"]);
    stage.pass(0.2, except("cp1"));
    assert_eq!(stage.serving("api"), ["cp2"]);
    assert!(stage.emitted("lb_server_up") > 0 && stage.emitted("lb_server_down") > 0);
}

#[test]
fn a_server_whose_readyz_turns_bad_is_out_within_six_seconds_and_its_connections_are_closed() {
    let mut stage = Stage::of(USER);
    stage.pass(120.0, good);
    stage.planes.told();
    stage.pass(6.0, except("cp1"));
    assert_eq!(stage.serving("api"), ["cp2"]);
    let told = stage.planes.told();
    assert!(told.contains(&"hang up api cp1 MarkedDown".to_owned()), "{told:?}");
}

#[test]
fn the_bootstrap_machine_serves_only_while_nobody_else_does() {
    let mut stage = Stage::of(USER);
    let down = |server: &Server| if *server.name == *"boot" { Ok(()) } else { Err(Failure::Refused) };
    stage.pass(5.0, down);
    assert_eq!(stage.serving("api"), ["boot"]);
    stage.pass(30.0, good);
    assert_eq!(stage.serving("api"), ["cp1", "cp2"]);
    stage.pass(400.0, except("boot"));
    assert!(stage.emitted("lb_bootstrap_retired") > 0);
    stage.pass(60.0, down);
    assert!(stage.serving("api").is_empty(), "a retired machine serves no more");
    let memory = stage.state.memory();
    let mut next = Stage::with(USER, memory, Fake::default());
    next.pass(5.0, down);
    assert!(next.serving("api").is_empty(), "also after a restart");
}

#[test]
fn what_an_operator_drained_stays_drained_over_reload_and_restart() {
    let mut stage = Stage::of(USER);
    stage.pass(1.0, good);
    let (server, now) = (stage.server("api", "cp1"), stage.now);
    let change = stage.front("api").member_mut(&server).unwrap().machine.operator(Mode::Drained, now);
    stage.state.announce(&server, change, now);
    stage.state.settle(now);
    assert_eq!(stage.serving("api"), ["cp2"]);
    let config = stage.state.config.clone();
    stage.state.take(config, BTreeMap::new(), now);
    stage.pass(10.0, good);
    assert_eq!(stage.serving("api"), ["cp2"]);
    let lasting = stage.state.memory().lasting();
    let mut next = Stage::with(USER, lasting, Fake::default());
    assert_eq!(next.serving("api"), ["cp2"], "without waiting for a check");
    next.pass(10.0, good);
    assert_eq!(next.serving("api"), ["cp2"]);
}

#[test]
fn a_reload_keeps_what_stays_and_tells_the_planes_of_changes_only() {
    let mut stage = Stage::of(USER);
    stage.pass(1.0, good);
    let before = stage.server("api", "cp1");
    before.counters.total.store(7, Ordering::Relaxed);
    stage.planes.told();
    let mut config = stage.state.config.clone();
    stage.state.take(config.clone(), BTreeMap::new(), stage.now);
    let told = stage.planes.told();
    assert!(told.iter().all(|told| told.starts_with("apply")), "{told:?}");

    config.frontends.retain(|front| *front.name != *"ingress-http");
    let api = config.frontends.iter_mut().find(|front| *front.name == *"api").unwrap();
    api.settings.idle = Duration::from_secs(60);
    api.servers.retain(|server| server.name != "cp2");
    stage.state.take(config, BTreeMap::new(), stage.now);
    let mut told = stage.planes.told();
    told.retain(|told| !told.starts_with("apply"));
    assert_eq!(told, ["withdraw ingress-http", "serve api"]);
    assert!(Arc::ptr_eq(&before, &stage.server("api", "cp1")));
    assert_eq!(stage.server("api", "cp1").counters.total.load(Ordering::Relaxed), 7);
    assert_eq!(stage.serving("api"), ["cp1"], "nothing was forgotten");
}

#[test]
fn who_asks_the_same_shares_the_answer() {
    let mut stage = Stage::of(USER);
    let checks = stage.state.due(stage.now);
    let ingress: Vec<_> = checks.iter().filter(|check| check.probe.target.port() == 1936).collect();
    assert_eq!(ingress.len(), 2, "one for each machine");
    assert!(ingress.iter().all(|check| check.subjects.len() == 2), "of two front ends");
    assert!(stage.state.due(stage.now).is_empty(), "all are under way");
}

#[test]
fn a_check_that_this_host_cannot_make_says_nothing_of_the_server() {
    let mut stage = Stage::of(USER);
    stage.pass(1.0, good);
    stage.pass(30.0, |_| Err(Failure::Local("too many open files".to_owned())));
    assert_eq!(stage.serving("api"), ["cp1", "cp2"]);
}

#[test]
fn connections_that_fail_have_a_server_checked_and_left_out() {
    let mut stage = Stage::of(USER);
    stage.pass(120.0, good);
    let server = stage.server("api", "cp1");
    for _ in 0..3 {
        stage.state.reported(&server, Some(ConnectFailure::Refused), stage.now);
    }
    assert_eq!(stage.serving("api"), ["cp2"]);
    let gone = Server::new("api", "nobody", "192.0.2.1:1".parse().unwrap());
    stage.state.reported(&gone, Some(ConnectFailure::Refused), stage.now);
}

#[test]
fn the_vip_is_offered_while_the_api_has_a_healthy_server() {
    let mut stage = Stage::of(USER);
    stage.pass(5.0, good);
    assert!(stage.state.offer.is_offered());
    stage.pass(20.0, |_| Err(Failure::Refused));
    assert!(!stage.state.offer.is_offered());
    assert_eq!((stage.emitted("lb_vip_offered"), stage.emitted("lb_vip_withdrawn")), (1, 1));
}

#[test]
fn the_kernel_forwards_where_nothing_speaks_against_it() {
    let mut stage = Stage::of("");
    assert!(stage.state.fronts.iter().all(|front| front.choice.kernel));
    stage.pass(1.0, except("cp1"));
    let told = stage.planes.told();
    assert!(told.iter().any(|told| told.contains("serve api")), "the user plane stands by: {told:?}");
    let applied = told.iter().rfind(|told| told.starts_with("apply")).unwrap();
    assert!(applied.contains("api=cp2 ") && !applied.contains("cp1"), "{told:?}");
    let closed = told.iter().position(|told| told == "hang up api cp1 MarkedDown").unwrap();
    assert!(
        told[..closed].iter().any(|told| told.contains("api=cp2 ")),
        "first others, then closed: {told:?}"
    );
    stage.pass(1.0, except("cp1"));
    assert!(stage.planes.told().is_empty(), "nothing to change, nothing to apply");
}

#[test]
fn an_obstacle_leaves_it_to_the_user_plane_and_is_told() {
    let planes = Fake::default();
    *planes.obstacle.lock().unwrap() = Some("no nf_tables".to_owned());
    let stage = Stage::with("", Memory::default(), planes);
    assert!(
        stage.state.fronts.iter().all(|front| !front.choice.kernel && front.choice.because == "no nf_tables")
    );
    assert_eq!(stage.emitted("lb_plane_chosen"), stage.state.fronts.len());
    assert!(stage.state.fronts.iter().all(|front| front.config.plane == Plane::Auto));
}

#[test]
fn an_obstacle_that_comes_or_goes_changes_the_plane() {
    let mut stage = Stage::of("");
    stage.pass(3.0, good);
    assert!(stage.state.fronts.iter().all(|front| front.choice.kernel));
    *stage.planes.obstacle.lock().unwrap() = Some("forwarding is off".to_owned());
    stage.planes.told();
    stage.pass(3.0, good);
    assert!(stage.state.fronts.iter().all(|front| !front.choice.kernel));
    assert_eq!(stage.planes.told().iter().filter(|told| *told == "apply ").count(), 1);
    *stage.planes.obstacle.lock().unwrap() = None;
    stage.pass(3.0, good);
    assert!(stage.state.fronts.iter().all(|front| front.choice.kernel));
}

#[test]
fn a_kernel_that_refuses_is_asked_again() {
    let planes = Fake::default();
    *planes.refusal.lock().unwrap() = Some("busy".to_owned());
    let mut stage = Stage::with("", Memory::default(), planes);
    stage.pass(12.0, good);
    let tries = stage.planes.told().iter().filter(|told| told.starts_with("apply")).count();
    assert!((2..=4).contains(&tries), "{tries}");
    assert_eq!(stage.emitted("lb_kernel_failed"), 1);
    *stage.planes.refusal.lock().unwrap() = None;
    stage.pass(6.0, good);
    assert_eq!((stage.emitted("lb_kernel_healed"), stage.state.kernel_trouble.clone()), (1, None));
}

#[test]
fn while_a_successor_has_the_pen_the_kernel_is_left_alone() {
    let mut stage = Stage::of("");
    stage.pass(1.0, good);
    stage.planes.told();
    stage.state.suspend(true, stage.now);
    stage.pass(30.0, except("cp1"));
    let told = stage.planes.told();
    assert!(
        told.contains(&"release".to_owned()) && !told.iter().any(|told| told.starts_with("apply")),
        "{told:?}"
    );
    stage.state.suspend(false, stage.now);
    assert!(stage.planes.told().iter().any(|told| told.contains("api=cp2")));
}

#[test]
fn added_and_removed_servers_outlive_a_reload_and_as_asked_for_a_restart() {
    let added = |name: &str, host: u8, persist| Added {
        name: name.to_owned(),
        address: SocketAddr::from(([192, 168, 8, host], 6443)),
        weight: 1,
        backup: false,
        persist,
    };
    let mut stage = Stage::of(USER);
    let now = stage.now;
    assert!(stage.front("api").add(&added("extra", 40, true), now).is_some());
    assert!(stage.front("api").add(&added("guest", 41, false), now).is_some());
    assert!(stage.front("api").add(&added("cp1", 42, false), now).is_none(), "the name is taken");
    assert!(stage.front("api").add(&added("other", 11, false), now).is_none(), "the address is taken");
    assert!(stage.front("api").remove("cp2", true).is_some());
    let config = stage.state.config.clone();
    stage.state.take(config, BTreeMap::new(), now);
    stage.pass(1.0, good);
    assert_eq!(stage.serving("api"), ["cp1", "extra", "guest"]);
    let lasting = stage.state.memory().lasting();
    assert_eq!(lasting.frontends["api"].removed, [Removed { name: "cp2".to_owned(), persist: true }]);
    let mut next = Stage::with(USER, lasting, Fake::default());
    next.pass(1.0, good);
    assert_eq!(next.serving("api"), ["cp1", "extra"]);
    // A server of the site file comes back by being added as it stands there.
    let now = next.now;
    assert!(next.front("api").add(&added("cp2", 12, false), now).is_some());
    assert!(next.front("api").removed.is_empty());
}
