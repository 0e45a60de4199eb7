use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faros_common::clock;
use proptest::prelude::*;

use super::*;
use crate::pool::{Server, Slot};
use crate::protocol::health::Condition;

const MINUTE: Duration = Duration::from_secs(60);

fn member(name: &str, condition: Condition) -> Member {
    Member {
        server: Server::new("api", name, (Ipv4Addr::LOCALHOST, 6443).into()),
        weight: 1,
        backup: false,
        retired: false,
        condition,
        share: 256,
    }
}

fn backup(condition: Condition) -> Member {
    Member { backup: true, ..member("bootstrap", condition) }
}

fn composed(members: &[Member]) -> (Option<Tier>, Vec<(String, u32)>) {
    let Composition { tier, slots } = compose(members);
    (tier, slots.iter().map(|slot| (slot.server.name.to_string(), slot.weight)).collect())
}

fn names(members: &[Member]) -> Vec<String> {
    composed(members).1.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn only_servers_that_are_up_serve() {
    use Condition::{Down, Drained, Ejected, Held, Maintenance, Unknown, Up};
    let members: Vec<_> = [Up, Down, Drained, Maintenance, Held, Ejected, Unknown, Up]
        .into_iter()
        .enumerate()
        .map(|(number, condition)| member(&format!("cp{number}"), condition))
        .collect();
    assert_eq!(names(&members), ["cp0", "cp7"]);
}

/// L19.
#[test]
fn when_all_are_down_nobody_serves() {
    let members = [
        member("cp1", Condition::Down),
        member("cp2", Condition::Drained),
        member("cp3", Condition::Maintenance),
        backup(Condition::Down),
    ];
    assert_eq!(composed(&members), (None, vec![]));
    assert_eq!(composed(&[]), (None, vec![]));
}

/// L20.
#[test]
fn the_bootstrap_machine_serves_only_while_no_primary_does() {
    let members = |cp1| [member("cp1", cp1), member("cp2", Condition::Down), backup(Condition::Up)];
    assert_eq!(composed(&members(Condition::Down)), (Some(Tier::Backup), vec![("bootstrap".into(), 256)]));
    assert_eq!(composed(&members(Condition::Up)), (Some(Tier::Primary), vec![("cp1".into(), 256)]));
    assert_eq!(names(&members(Condition::Unknown)), ["bootstrap"], "known good before unknown");
    assert_eq!(names(&members(Condition::Ejected)), ["bootstrap"]);
}

#[test]
fn the_last_server_is_never_left_out_for_flapping_or_refusing() {
    let members =
        [member("cp1", Condition::Ejected), member("cp2", Condition::Held), member("cp3", Condition::Down)];
    let (tier, slots) = composed(&members);
    assert_eq!(tier, Some(Tier::WaveringPrimary));
    assert_eq!(slots.len(), 2);
    assert!(tier.unwrap().is_healthy());
    let members = [member("cp1", Condition::Unknown), member("cp2", Condition::Held)];
    assert_eq!(names(&members), ["cp2"]);
}

#[test]
fn unknown_servers_serve_until_one_is_known() {
    let members =
        [member("cp1", Condition::Unknown), member("cp2", Condition::Unknown), backup(Condition::Unknown)];
    let (tier, slots) = composed(&members);
    assert_eq!((tier, slots.len()), (Some(Tier::UnknownPrimary), 2));
    assert!(!tier.unwrap().is_healthy());
}

#[test]
fn a_weight_of_zero_takes_nothing_even_alone() {
    let none = Member { weight: 0, ..member("cp1", Condition::Up) };
    assert_eq!(names(std::slice::from_ref(&none)), [""; 0]);
    assert_eq!(names(&[none, backup(Condition::Up)]), ["bootstrap"]);
}

#[test]
fn a_slow_start_is_relative_to_those_that_serve() {
    let share = |name: &str, weight, share| Member { weight, share, ..member(name, Condition::Up) };
    let weights =
        |members: &[Member]| composed(members).1.into_iter().map(|(_, weight)| weight).collect::<Vec<_>>();
    assert_eq!(weights(&[share("a", 2, 256), share("b", 1, 12)]), [512, 12]);
    assert_eq!(weights(&[share("a", 1, 12)]), [256], "alone, it gets everything at once");
    assert_eq!(weights(&[share("a", 1, 12), share("b", 1, 12)]), [256, 256]);
    assert_eq!(weights(&[share("a", 256, 256), share("b", 1, 0)]), [Slot::WEIGHT_MAX, 1]);
}

fn attendance(up: usize, bootstrap_up: impl Into<Option<bool>>) -> Attendance {
    Attendance { configured: 3, up, bootstrap_up: bootstrap_up.into() }
}

/// Tells the same attendance for `time`, as often as the machine asks for it.
fn stay(
    retirement: &mut Retirement,
    now: &mut Instant,
    time: Duration,
    who: Attendance,
) -> Option<RetirementChange> {
    let end = *now + time;
    let mut change = retirement.observe(who, *now);
    while change.is_none() {
        match retirement.deadline().filter(|&deadline| deadline <= end) {
            Some(deadline) => {
                *now = (*now).max(deadline);
                change = retirement.observe(who, *now);
                assert!(change.is_some(), "the deadline was none");
            }
            None => {
                *now = end;
                return retirement.observe(who, end);
            }
        }
    }
    change
}

#[test]
fn the_bootstrap_machine_retires_when_most_of_the_control_plane_has_taken_over() {
    let mut now = clock::now();
    let mut retirement = Retirement::new(Phase::Serving);
    assert_eq!(stay(&mut retirement, &mut now, 60 * MINUTE, attendance(0, true)), None);
    assert_eq!(stay(&mut retirement, &mut now, 10 * MINUTE, attendance(1, true)), None);
    assert_eq!(
        stay(&mut retirement, &mut now, 10 * MINUTE, attendance(2, true)),
        None,
        "while it is up it stays"
    );
    let gone = now;
    let change = stay(&mut retirement, &mut now, 10 * MINUTE, attendance(2, false)).unwrap();
    assert_eq!((change.phase, now - gone), (Phase::Retired, Retirement::ABSENT));
    assert!(change.reason.contains("(2 of 3)"), "{}", change.reason);
    assert!(retirement.is_retired() && retirement.deadline().is_none());
}

#[test]
fn a_majority_that_breaks_begins_anew() {
    let mut now = clock::now();
    let mut retirement = Retirement::new(Phase::Serving);
    for _ in 0..10 {
        assert_eq!(stay(&mut retirement, &mut now, 4 * MINUTE, attendance(2, false)), None);
        assert_eq!(stay(&mut retirement, &mut now, Duration::from_secs(3), attendance(1, false)), None);
    }
    for _ in 0..10 {
        assert_eq!(stay(&mut retirement, &mut now, MINUTE, attendance(2, false)), None);
        assert_eq!(stay(&mut retirement, &mut now, MINUTE, attendance(2, true)), None);
    }
    assert!(!retirement.is_retired());
}

#[test]
fn half_a_control_plane_is_no_majority() {
    let mut now = clock::now();
    let mut retirement = Retirement::new(Phase::Serving);
    let half = Attendance { configured: 4, up: 2, bootstrap_up: Some(false) };
    assert_eq!(stay(&mut retirement, &mut now, 600 * MINUTE, half), None);
    let none = Attendance { configured: 0, up: 0, bootstrap_up: Some(false) };
    assert_eq!(stay(&mut retirement, &mut now, 600 * MINUTE, none), None);
}

#[test]
fn a_bootstrap_machine_that_is_not_checked_is_not_taken_for_gone() {
    let mut now = clock::now();
    let mut retirement = Retirement::new(Phase::Serving);
    assert_eq!(stay(&mut retirement, &mut now, 600 * MINUTE, attendance(2, None)), None);
}

#[test]
fn a_bootstrap_machine_that_nobody_switched_off_retires_all_the_same() {
    let mut now = clock::now();
    let begun = now;
    let mut retirement = Retirement::new(Phase::Serving);
    let change = stay(&mut retirement, &mut now, 60 * MINUTE, attendance(3, true)).unwrap();
    assert_eq!((change.phase, now - begun), (Phase::Retired, Retirement::ALL));
}

/// L21.
#[test]
fn who_is_retired_stays_retired() {
    let mut now = clock::now();
    let mut retirement = Retirement::new(Phase::Retired);
    assert_eq!(stay(&mut retirement, &mut now, 60 * MINUTE, attendance(0, true)), None);
    let members = [
        member("cp1", Condition::Down),
        Member { retired: retirement.is_retired(), ..backup(Condition::Up) },
    ];
    assert_eq!(compose(&members).tier, None);
}

#[test]
fn the_operator_recalls_a_bootstrap_machine_until_it_has_been_up() {
    let mut now = clock::now();
    let mut retirement = Retirement::new(Phase::Retired);
    assert_eq!(retirement.operator(false).unwrap().phase, Phase::Recalled);
    assert_eq!(retirement.operator(false), None);
    let mut retirement = Retirement::new(retirement.phase());
    assert_eq!(stay(&mut retirement, &mut now, 60 * MINUTE, attendance(3, false)), None, "remembered");
    let change = stay(&mut retirement, &mut now, MINUTE, attendance(3, true)).unwrap();
    assert_eq!(change.phase, Phase::Serving);
    assert_eq!(
        stay(&mut retirement, &mut now, 29 * MINUTE, attendance(3, true)),
        None,
        "the old stretch does not count"
    );
    assert_eq!(retirement.operator(true).unwrap().phase, Phase::Retired);
}

fn fronts(api: usize, ingress: usize) -> [Serving; 3] {
    let serving =
        |name: &str, on_vip, is_api, servers| Serving { frontend: name.to_owned(), on_vip, is_api, servers };
    [
        serving("ingress-https", true, false, ingress),
        serving("api", true, true, api),
        serving("else", false, false, 9),
    ]
}

#[test]
fn the_vip_follows_the_api() {
    let start = clock::now();
    let mut offer = Offer::new(None);
    assert!(!offer.is_offered());
    assert_eq!(offer.observe(&fronts(0, 2), start), None, "ingress alone is no API");
    assert_eq!(offer.deadline(), None);
    assert_eq!(offer.observe(&fronts(1, 2), start), None);
    assert_eq!(offer.deadline(), Some(start + Offer::OFFER_AFTER));
    let change = offer.observe(&fronts(1, 2), start + Offer::OFFER_AFTER).unwrap();
    assert_eq!((change.offered, change.reason.as_str()), (true, "front end api has 1 healthy server"));
    assert!(offer.is_offered() && offer.deadline().is_none());

    let gone = start + MINUTE;
    assert_eq!(offer.observe(&fronts(0, 2), gone), None);
    let change = offer.observe(&fronts(0, 2), offer.deadline().unwrap()).unwrap();
    assert_eq!((change.offered, change.reason.as_str()), (false, "front end api has no healthy server"));
    assert_eq!(offer.because(), "front end api has no healthy server");
}

#[test]
fn a_moment_without_servers_does_not_move_the_vip() {
    let mut now = clock::now();
    let mut offer = Offer::new(Some(true));
    for _ in 0..20 {
        assert_eq!(offer.observe(&fronts(0, 0), now), None);
        now += Offer::WITHDRAW_AFTER - Duration::from_millis(1);
        assert_eq!(offer.observe(&fronts(2, 0), now), None);
    }
    assert!(offer.is_offered());
}

#[test]
fn a_restart_keeps_the_offer_until_servers_are_known() {
    let start = clock::now();
    let mut offer = Offer::new(Some(true));
    assert_eq!(offer.observe(&fronts(0, 0), start), None);
    assert!(offer.is_offered());
    assert!(offer.observe(&fronts(0, 0), start + Offer::WITHDRAW_AFTER).is_some());
}

#[test]
fn without_an_api_any_front_end_on_the_vip_will_do() {
    let now = clock::now();
    let fit = |fronts: &[Serving]| {
        let mut offer = Offer::new(None);
        offer.observe(fronts, now);
        offer.observe(fronts, now + MINUTE);
        offer.is_offered()
    };
    let [ingress, mut api, other] = fronts(1, 1);
    assert!(fit(&[ingress.clone(), other.clone()]));
    assert!(!fit(&[Serving { servers: 0, ..ingress.clone() }, other.clone()]));
    api = Serving { on_vip: false, servers: 0, ..api };
    assert!(fit(&[ingress, api, other.clone()]), "an API elsewhere has no say");
    assert!(fit(&[other]), "nobody needs it");
}

fn condition() -> impl Strategy<Value = Condition> {
    use Condition::{Down, Drained, Ejected, Held, Maintenance, Unknown, Up};
    prop::sample::select(vec![Unknown, Up, Down, Held, Ejected, Drained, Maintenance])
}

fn anybody() -> impl Strategy<Value = Member> {
    (condition(), 0u16..=256, any::<bool>(), any::<bool>(), 0u32..=256).prop_map(
        |(condition, weight, backup, retired, share)| Member {
            weight,
            backup,
            retired,
            share,
            ..member("cp", condition)
        },
    )
}

proptest! {
    #[test]
    fn a_composition_is_sound(members in prop::collection::vec(anybody(), 0..10)) {
        use Condition::{Down, Drained, Ejected, Held, Maintenance, Up};
        let Composition { tier, slots } = compose(&members);
        prop_assert_eq!(tier.is_none(), slots.is_empty());
        prop_assert!(slots.iter().all(|slot| (1..=Slot::WEIGHT_MAX).contains(&slot.weight)));
        let usable = |member: &&Member| member.weight > 0 && !member.retired;
        let chosen: Vec<&Member> = members
            .iter()
            .filter(|member| slots.iter().any(|slot| Arc::ptr_eq(&slot.server, &member.server)))
            .collect();
        for member in &chosen {
            prop_assert!(usable(member));
            prop_assert!(!matches!(member.condition, Down | Drained | Maintenance));
        }
        if members.iter().filter(usable).any(|member| member.condition == Up && !member.backup) {
            prop_assert!(chosen.iter().all(|member| member.condition == Up && !member.backup));
        }
        if members.iter().filter(usable).any(|member| matches!(member.condition, Up | Held | Ejected)) {
            prop_assert!(tier.is_some_and(Tier::is_healthy));
        }
    }
}
