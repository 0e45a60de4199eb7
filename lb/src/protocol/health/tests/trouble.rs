//! Flapping, and connections that fail.

use super::*;

/// L18.
#[test]
fn a_server_that_flaps_every_three_seconds_is_held_for_longer_and_longer_but_not_for_ever() {
    let flapping = |time: Duration| {
        if (time.as_secs() / 3).is_multiple_of(2) { bad("refused") } else { Outcome::Good }
    };
    let rules = Rules { interval: SECOND, ..plain() };
    let mut bench = Bench::up(rules);
    bench.run(600 * SECOND, flapping);
    let ups: Vec<_> = bench.changes.iter().filter(|(_, change)| change.to == Condition::Up).collect();
    assert!(ups.len() <= 4, "it came up {} times", ups.len());
    let (when, held) = bench.changes.iter().find(|(_, change)| change.to == Condition::Held).unwrap();
    assert!(*when < 30 * SECOND);
    assert!(
        held.reason.starts_with("its checks are good, but it went down 4 times lately: held for "),
        "{}",
        held.reason
    );

    let calm = bench.now;
    bench.run(1200 * SECOND, |_| Outcome::Good);
    let (when, last) = bench.changes.last().unwrap();
    assert_eq!(
        (last.to, last.reason.as_str()),
        (Condition::Up, "it was held long enough, its checks are good")
    );
    assert!(bench.start + *when <= calm + 300 * SECOND, "held until {when:?}");
    bench.run(1200 * SECOND, |_| Outcome::Good);
    assert_eq!(bench.machine.view(bench.now).flaps, 0, "forgotten");
}

#[test]
fn restarts_now_and_then_are_not_held_against_a_server() {
    let mut bench = Bench::up(plain());
    for _ in 0..20 {
        bench.run(10 * SECOND, |_| bad("refused"));
        bench.run(300 * SECOND, |_| Outcome::Good);
    }
    assert!(!bench.conditions().contains(&Condition::Held));
    assert_eq!(bench.condition(), Condition::Up);
}

#[test]
fn a_server_that_is_held_starts_slowly_when_it_is_let_go() {
    let rules = Rules { slow_start: 60 * SECOND, interval: SECOND, ..plain() };
    let mut bench = Bench::up(rules);
    bench.run(24 * SECOND, |time| {
        if (time.as_secs() / 3).is_multiple_of(2) { bad("refused") } else { Outcome::Good }
    });
    assert_eq!(bench.condition(), Condition::Held);
    while bench.condition() != Condition::Up {
        assert_eq!(bench.machine.share(bench.now), 0);
        bench.run(SECOND, |_| Outcome::Good);
    }
    assert!(bench.machine.share(bench.now) < 30, "{}", bench.machine.share(bench.now));
}

/// L11 and L17: the check is good, and yet connections are refused.
#[test]
fn refused_connections_eject_a_server_at_once_and_bring_a_check_forward() {
    let mut bench = Bench::up(api());
    bench.run(SECOND * 2, |_| Outcome::Good);
    bench.connect(ConnectFailure::Refused);
    assert!(bench.machine.next_check().unwrap() <= bench.now + Rules::INTERVAL_MIN);
    bench.connect(ConnectFailure::Refused);
    assert_eq!(bench.condition(), Condition::Up);
    bench.connect(ConnectFailure::Refused);
    assert_eq!(bench.conditions(), [Condition::Ejected]);
    assert_eq!(
        bench.changes[0].1.reason,
        "its checks are good, but connections are refused: left out for 5 s"
    );
    assert_eq!(bench.machine.view(bench.now).remaining, Some(5 * SECOND));
    bench.run(10 * SECOND, |_| Outcome::Good);
    assert_eq!(bench.conditions(), [Condition::Ejected, Condition::Up]);
    assert_eq!(bench.machine.share(bench.now), 256);
}

/// L12.
#[test]
fn a_black_hole_is_ejected_and_then_down_when_its_check_says_so() {
    let mut bench = Bench::up(api());
    for _ in 0..3 {
        bench.connect(ConnectFailure::TimedOut);
    }
    bench.run(3 * SECOND, |_| bad("no answer from /readyz within 2 s"));
    assert_eq!(bench.conditions(), [Condition::Ejected, Condition::Down]);
}

#[test]
fn ejections_grow_to_a_bound_and_shrink_again() {
    let mut bench = Bench::up(plain());
    let mut times = Vec::new();
    for _ in 0..7 {
        for _ in 0..3 {
            bench.connect(ConnectFailure::Refused);
        }
        let time = bench.machine.view(bench.now).remaining.unwrap();
        times.push(time.as_secs());
        bench.run(time, |_| Outcome::Good);
        assert_eq!(bench.condition(), Condition::Up);
    }
    assert_eq!(times, [5, 10, 20, 40, 60, 60, 60]);
    bench.run(301 * SECOND, |_| Outcome::Good);
    for _ in 0..3 {
        bench.connect(ConnectFailure::Refused);
    }
    assert_eq!(bench.machine.view(bench.now).remaining, Some(5 * SECOND));
}

#[test]
fn failures_that_are_rare_or_answered_or_our_own_eject_nobody() {
    let mut bench = Bench::up(api());
    for _ in 0..20 {
        bench.connect(ConnectFailure::Local);
    }
    for _ in 0..20 {
        bench.connect(ConnectFailure::Refused);
        bench.run(6 * SECOND, |_| Outcome::Good);
    }
    for _ in 0..20 {
        bench.connect(ConnectFailure::Refused);
        bench.connect(ConnectFailure::Refused);
        bench.machine.connected();
    }
    assert!(bench.changes.is_empty(), "{:?}", bench.changes);
}
