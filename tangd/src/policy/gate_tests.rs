//! Claims about the decision, in virtual time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use faros_common::clock;
use faros_common::site::{TangAccess, TangPolicy, TangWindow};
use proptest::prelude::*;

use super::identity::{Client, Standing};
use super::locks::{Change, Lock};
use super::{Gate, Moment, Rule, Rules, Verdict};

fn rules(policy: TangPolicy) -> Rules {
    Rules {
        policy,
        served: vec!["192.0.2.0/24".parse().unwrap()],
        rate: None,
        windows: Vec::new(),
        hold: false,
        access: BTreeMap::new(),
    }
}

fn known() -> Rules {
    rules(TangPolicy::KnownNodes)
}

fn node(name: &str, last: u8) -> Client {
    Client {
        node: Some(name.to_owned()),
        standing: Standing::Reserved,
        claims: vec![name.to_owned()],
        ..Client::stranger(IpAddr::from([192, 0, 2, last]))
    }
}

fn at(text: &str) -> Moment {
    Moment { monotonic: clock::now(), wall: humantime::parse_rfc3339(text).unwrap() }
}

fn noon() -> Moment {
    at("2026-11-20T12:00:00Z")
}

fn later(now: Moment, by: Duration) -> Moment {
    Moment { monotonic: now.monotonic + by, wall: now.wall + by }
}

fn lock(gate: &mut Gate, subject: Option<&str>) {
    let lock = Lock::new(SystemTime::UNIX_EPOCH, None);
    gate.locks.apply(Change::Lock { subject: subject.map(str::to_owned), lock });
}

/// Status and rule.
fn decided(verdict: &Verdict) -> (u16, Rule) {
    (verdict.status(), verdict.rule())
}

#[test]
fn open_serves_the_lan_and_refuses_everybody_else() {
    let (mut gate, open) = (Gate::default(), rules(TangPolicy::Open));
    let mut ask = |address: &str| {
        let client = Client::stranger(address.parse().unwrap());
        decided(&gate.on_recovery(&open, &client, "t", noon()))
    };
    assert_eq!(ask("192.0.2.77"), (200, Rule::Open));
    assert_eq!(ask("198.51.100.1"), (403, Rule::Lan));
    assert_eq!(ask("2001:db8::1"), (403, Rule::Lan));
    assert_eq!(ask("fe80::1"), (200, Rule::Open));
    let to_wan = Rules { served: Vec::new(), ..open.clone() };
    let stranger = Client::stranger("198.51.100.1".parse().unwrap());
    assert_eq!(decided(&gate.on_recovery(&to_wan, &stranger, "t", noon())), (200, Rule::Open));
}

#[test]
fn known_nodes_serves_nodes_alone() {
    let mut gate = Gate::default();
    let mut ask = |standing: Standing| {
        let client = Client { standing, ..node("cp1", 1) };
        decided(&gate.on_recovery(&known(), &client, "t", noon()))
    };
    assert_eq!(ask(Standing::Reserved), (200, Rule::Reservation));
    assert_eq!(ask(Standing::Leased), (200, Rule::Lease));
    for standing in
        [Standing::Unknown, Standing::Card, Standing::Bastion, Standing::Contradicted("two cards".to_owned())]
    {
        assert_eq!(ask(standing.clone()), (403, Rule::KnownNodes), "{standing:?}");
    }
    assert_eq!(ask(Standing::Unclear), (503, Rule::Leases));
}

#[test]
fn a_lock_is_stronger_than_an_approval_and_shows_its_reason() {
    let (mut gate, now) = (Gate::default(), noon());
    gate.approve("cp1", now.monotonic + Duration::from_secs(60), now.monotonic);
    lock(&mut gate, Some("cp1"));
    assert_eq!(decided(&gate.on_recovery(&known(), &node("cp1", 1), "t", now)), (403, Rule::Locked));
    assert_eq!(decided(&gate.on_recovery(&known(), &node("cp2", 2), "t", now)), (200, Rule::Reservation));
    lock(&mut gate, None);
    assert_eq!(decided(&gate.on_recovery(&known(), &node("cp2", 2), "t", now)), (403, Rule::Locked));
    let bastion = Client { standing: Standing::Bastion, ..Client::stranger(IpAddr::from([127, 0, 0, 1])) };
    let open = rules(TangPolicy::Open);
    assert_eq!(decided(&gate.on_recovery(&open, &bastion, "t", now)), (403, Rule::Locked));
}

#[test]
fn a_locked_nodes_card_stays_locked_at_any_address() {
    let mut gate = Gate::default();
    lock(&mut gate, Some("cp1"));
    let moved = Client { standing: Standing::Card, ..node("cp1", 99) };
    assert_eq!(
        decided(&gate.on_recovery(&rules(TangPolicy::Open), &moved, "t", noon())),
        (403, Rule::Locked)
    );
    let mixed = Client { claims: vec!["cp2".to_owned(), "cp1".to_owned()], ..node("cp2", 1) };
    assert_eq!(
        decided(&gate.on_recovery(&rules(TangPolicy::Open), &mixed, "t", noon())),
        (403, Rule::Locked),
        "whatever keeps back either of two nodes counts"
    );
}

#[test]
fn a_held_node_waits_at_once_and_an_approval_lets_it_through_for_its_time() {
    let (mut gate, now) = (Gate::default(), noon());
    let held = Rules { hold: true, ..known() };
    let cp1 = node("cp1", 1);
    for count in 1..=3 {
        let verdict = gate.on_recovery(&held, &cp1, "thumb", now);
        assert!(matches!(verdict, Verdict::Hold { retry_after: 1.., rule: Rule::Hold, .. }), "{verdict:?}");
        let waiting = gate.waiting(now.monotonic);
        assert_eq!((waiting.len(), waiting[0].count, waiting[0].subject.as_str()), (1, count, "cp1"));
    }
    let minute = Duration::from_secs(60);
    assert!(gate.approve("cp1", now.monotonic + minute, now.monotonic), "it is waiting");
    assert!(!gate.approve("cp2", now.monotonic + minute, now.monotonic), "it is not");
    assert_eq!(decided(&gate.on_recovery(&held, &cp1, "thumb", now)), (200, Rule::Approved));
    assert!(gate.waiting(now.monotonic).is_empty());
    assert_eq!(
        decided(&gate.on_recovery(&held, &cp1, "other disk", later(now, minute / 2))),
        (200, Rule::Approved)
    );
    assert_eq!(decided(&gate.on_recovery(&held, &cp1, "thumb", later(now, minute))), (503, Rule::Hold));
}

#[test]
fn a_node_has_its_own_word_about_holding() {
    let (mut gate, now) = (Gate::default(), noon());
    let access = [
        ("free".to_owned(), TangAccess::Allow),
        ("held".to_owned(), TangAccess::Hold),
        ("gone".to_owned(), TangAccess::Deny),
    ];
    for hold in [false, true] {
        let rules = Rules { hold, access: access.clone().into(), ..known() };
        let mut ask = |name: &str| decided(&gate.on_recovery(&rules, &node(name, 1), "t", now)).1;
        assert_eq!((ask("free"), ask("held"), ask("gone")), (Rule::Reservation, Rule::Hold, Rule::Denied));
        assert_eq!(ask("plain"), if hold { Rule::Hold } else { Rule::Reservation });
    }
    gate.approve("gone", now.monotonic + Duration::from_secs(60), now.monotonic);
    let rules = Rules { access: access.into(), ..known() };
    assert_eq!(decided(&gate.on_recovery(&rules, &node("gone", 1), "t", now)), (403, Rule::Denied));
}

#[test]
fn windows_shut_everybody_out_but_the_approved() {
    let mut gate = Gate::default();
    let office = TangWindow { days: [true, true, true, true, true, false, false], from: 360, minutes: 840 };
    let rules = Rules { windows: vec![office], ..known() };
    let cp1 = node("cp1", 1);
    let mut ask = |time: &str| decided(&gate.on_recovery(&rules, &cp1, "t", at(time)));
    assert_eq!(ask("2026-11-20T06:00:00Z"), (200, Rule::Reservation));
    assert_eq!(ask("2026-11-20T20:00:00Z"), (403, Rule::Window));
    assert_eq!(ask("1970-01-01T12:00:00Z"), (503, Rule::Clock));
    let night = at("2026-11-20T20:00:00Z");
    assert_eq!(gate.waiting(night.monotonic).len(), 1, "an operator can see whom to approve");
    gate.approve("cp1", night.monotonic + Duration::from_secs(60), night.monotonic);
    assert_eq!(decided(&gate.on_recovery(&rules, &cp1, "t", night)), (200, Rule::Approved));
}

#[test]
fn a_power_cut_brings_all_nodes_at_once_and_none_pays_for_another() {
    let (mut gate, now) = (Gate::default(), noon());
    let rules = Rules { rate: Some(2), ..known() };
    for index in 0..200 {
        let client = node(&format!("n{index}"), index);
        for _ in 0..2 {
            assert!(gate.on_recovery(&rules, &client, "t", now).is_allowed());
        }
        let refused = gate.on_recovery(&rules, &client, "t", now);
        assert_eq!((decided(&refused), refused.retry_after()), ((503, Rule::Rate), Some(30)));
    }
    assert!(gate.on_recovery(&rules, &node("n0", 0), "t", later(now, Duration::from_secs(30))).is_allowed());
}

#[test]
fn whoever_is_held_or_refused_uses_up_no_share() {
    let (mut gate, now) = (Gate::default(), noon());
    let rules = Rules { rate: Some(1), hold: true, ..known() };
    let cp1 = node("cp1", 1);
    for _ in 0..1000 {
        assert_eq!(gate.on_recovery(&rules, &cp1, "t", now).rule(), Rule::Hold);
    }
    gate.approve("cp1", now.monotonic + Duration::from_secs(60), now.monotonic);
    assert!(gate.on_recovery(&rules, &cp1, "t", now).is_allowed());
    assert_eq!(gate.on_recovery(&rules, &cp1, "t", now).rule(), Rule::Rate, "approval lifts no rate");
}

#[test]
fn judging_changes_nothing() {
    let (gate, now) = (Gate::default(), noon());
    let rules = Rules { rate: Some(1), ..known() };
    for _ in 0..10 {
        assert!(gate.judge(&rules, &node("cp1", 1), now).is_allowed());
    }
}

fn any_standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        Just(Standing::Reserved),
        Just(Standing::Leased),
        Just(Standing::Card),
        Just(Standing::Unknown),
        Just(Standing::Unclear),
        Just(Standing::Bastion),
        Just(Standing::Contradicted("so".to_owned())),
    ]
}

proptest! {
    /// Whatever happened before: the locked recover nothing, and with known-nodes nobody does but nodes.
    #[test]
    fn no_history_opens_what_must_stay_shut(
        steps in prop::collection::vec((0u8..4, 0u8..4, any_standing(), 0u64..100), 1..60),
        policy in prop_oneof![Just(TangPolicy::Open), Just(TangPolicy::KnownNodes)],
        hold: bool,
    ) {
        let mut gate = Gate::default();
        let mut now = noon();
        let rules = Rules { hold, rate: Some(3), ..rules(policy) };
        for (step, who, standing, seconds) in steps {
            now = later(now, Duration::from_secs(seconds));
            let name = format!("n{who}");
            match step {
                0 => drop(gate.approve(&name, now.monotonic + Duration::from_secs(30), now.monotonic)),
                1 => lock(&mut gate, Some(&name)),
                2 => gate.locks.apply(Change::Unlock { subject: Some(name) }),
                _ => {
                    let client = Client { standing: standing.clone(), ..node(&name, who) };
                    let verdict = gate.on_recovery(&rules, &client, "t", now);
                    if verdict.is_allowed() {
                        prop_assert!(!gate.locks.holds(Some(&name)));
                        let is_node = matches!(standing, Standing::Reserved | Standing::Leased);
                        prop_assert!(is_node || policy == TangPolicy::Open);
                        let approved = gate.approved(now.monotonic).iter().any(|(subject, _)| *subject == name);
                        prop_assert!(!hold || approved || standing == Standing::Bastion);
                    } else {
                        prop_assert!(matches!(verdict.status(), 403 | 503));
                        prop_assert_eq!(verdict.status() == 503, verdict.retry_after().is_some());
                        prop_assert!(!verdict.reason().is_empty());
                    }
                }
            }
        }
    }
}
