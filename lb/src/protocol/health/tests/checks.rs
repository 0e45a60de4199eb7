//! Checks, rise and fall, slow start, memory.

use super::*;

#[test]
fn the_first_check_comes_at_once_and_decides() {
    for (outcome, condition) in [(Outcome::Good, Condition::Up), (bad("refused"), Condition::Down)] {
        let mut bench = Bench::new(api(), None);
        assert_eq!((bench.condition(), bench.machine.share(bench.now)), (Condition::Unknown, 0));
        assert_eq!(bench.machine.next_check(), Some(bench.now));
        bench.run(Duration::ZERO, |_| outcome.clone());
        assert_eq!(bench.condition(), condition);
    }
}

/// L15: an API server that answers, but not well.
#[test]
fn a_bad_readyz_takes_a_server_out_within_six_seconds_and_says_why() {
    let mut bench = Bench::up(api());
    bench.run(6 * SECOND, |_| bad("HTTP 500 from /readyz"));
    let (when, change) = &bench.changes[0];
    assert!(*when <= 4 * SECOND, "{when:?}");
    assert_eq!((change.from, change.to), (Condition::Up, Condition::Down));
    assert_eq!(change.reason, "HTTP 500 from /readyz, 2 of 2");
    assert_eq!(bench.machine.share(bench.now), 0);
    let view = bench.machine.view(bench.now);
    assert_eq!((view.reason.as_str(), view.age), ("HTTP 500 from /readyz, 2 of 2", 6 * SECOND - *when));
    assert_eq!(view.fault.as_deref(), Some("HTTP 500 from /readyz"));
}

/// L15: checks that run into their time-out follow upon one another.
#[test]
fn a_server_that_hangs_is_out_within_two_time_outs_and_an_interval() {
    let mut bench = Bench::up(api());
    let mut out = None;
    while out.is_none() {
        let begun = bench.machine.next_check().unwrap().max(bench.now);
        bench.now = begun + api().timeout;
        out = bench.machine.checked(bad("no answer from /readyz within 2 s"), bench.now);
    }
    assert!(bench.now - bench.start <= 7 * SECOND, "{:?}", bench.now - bench.start);
}

/// L16: the certificate is one more reason among others.
#[test]
fn one_bad_check_is_forgiven() {
    let mut bench = Bench::up(api());
    bench.run(SECOND * 30, |time| {
        if time.as_secs() % 10 < 3 { bad("certificate has expired") } else { Outcome::Good }
    });
    let once = bench.machine.view(bench.now).checks_failed;
    assert!(once >= 3, "the server failed only {once} checks");
    let mut bench = Bench::up(api());
    let due = bench.machine.next_check().unwrap();
    assert_eq!(bench.machine.checked(bad("certificate has expired"), due), None);
    assert!(bench.machine.next_check().unwrap() <= due + SECOND, "looks again soon");
    assert_eq!(bench.machine.checked(Outcome::Good, due + SECOND), None);
    assert_eq!(bench.machine.checked(bad("certificate has expired"), due + 4 * SECOND), None);
    assert_eq!(bench.condition(), Condition::Up);
}

#[test]
fn coming_back_takes_rise_good_checks() {
    let mut bench = Bench::up(api());
    bench.run(60 * SECOND, |_| bad("refused"));
    assert_eq!(bench.condition(), Condition::Down);
    let mut now = bench.now;
    for good in 1..=3 {
        now = bench.machine.next_check().unwrap();
        let change = bench.machine.checked(Outcome::Good, now);
        assert_eq!(change.is_some(), good == 3, "after {good}");
    }
    assert_eq!(bench.machine.view(now).reason, "check is good, 3 of 3");
    // Interrupted, it begins anew.
    let mut bench = Bench::up(api());
    bench.run(60 * SECOND, |_| bad("refused"));
    for outcome in [Outcome::Good, Outcome::Good, bad("refused"), Outcome::Good, Outcome::Good] {
        now = bench.machine.next_check().unwrap();
        assert_eq!(bench.machine.checked(outcome, now), None);
    }
    assert_eq!(bench.condition(), Condition::Down);
}

#[test]
fn checks_are_frequent_only_while_something_changes() {
    let gap = |bench: &mut Bench, outcome: Outcome| {
        let due = bench.machine.next_check().unwrap();
        bench.machine.checked(outcome, due);
        bench.machine.next_check().unwrap() - due
    };
    let slow = Duration::from_millis(2_700)..=3 * SECOND;
    let fast = Duration::from_millis(900)..=SECOND;
    let mut bench = Bench::up(api());
    assert!(slow.contains(&gap(&mut bench, Outcome::Good)));
    assert!(fast.contains(&gap(&mut bench, bad("refused"))));
    assert!(slow.contains(&gap(&mut bench, bad("refused"))), "down is settled");
    assert!(fast.contains(&gap(&mut bench, Outcome::Good)));
    assert!(fast.contains(&gap(&mut bench, Outcome::Good)));
    assert!(slow.contains(&gap(&mut bench, Outcome::Good)), "up is settled");
}

#[test]
fn checks_of_two_servers_drift_apart() {
    let now = clock::now();
    let due = |seed| {
        let mut machine = Machine::new(api(), None, seed, now);
        for _ in 0..20 {
            let due = machine.next_check().unwrap();
            machine.checked(Outcome::Good, due);
        }
        machine.next_check().unwrap()
    };
    assert_eq!(due(1), due(1));
    assert_ne!(due(1), due(2));
}

#[test]
fn slow_start_grows_in_steps_and_ends() {
    let mut bench = Bench::up(api());
    bench.run(60 * SECOND, |_| bad("refused"));
    while bench.condition() != Condition::Up {
        bench.run(SECOND, |_| Outcome::Good);
    }
    let mut shares = vec![bench.machine.share(bench.now)];
    let begun = bench.now;
    while let Some(next) = bench.machine.next_change(bench.now) {
        assert!(next > bench.now, "time does not stand still");
        bench.now = next;
        shares.push(bench.machine.share(next));
    }
    assert!(bench.now - begun <= 60 * SECOND && bench.now - begun > 55 * SECOND);
    assert!(shares[0] < 30 && shares.is_sorted() && shares.len() == 21, "{shares:?}");
    assert_eq!(shares.last(), Some(&Machine::SHARE_FULL));
}

#[test]
fn without_slow_start_the_share_is_full_at_once() {
    let mut bench = Bench::new(plain(), None);
    bench.run(Duration::ZERO, |_| Outcome::Good);
    assert_eq!(bench.machine.share(bench.now), 256);
    assert_eq!(bench.machine.next_change(bench.now), None);
}

#[test]
fn what_a_check_has_confirmed_is_not_called_remembered() {
    for (up, outcome) in [(true, Outcome::Good), (false, bad("500"))] {
        let mut bench = Bench::new(api(), Some(Remembered { up: Some(up), mode: Mode::Enabled }));
        assert!(bench.machine.view(bench.now).reason.contains("not checked yet"));
        assert_eq!(bench.machine.checked(outcome, bench.now), None);
        let reason = bench.machine.view(bench.now).reason;
        assert!(reason.ends_with("first check"), "{reason}");
    }
}

#[test]
fn a_server_that_is_down_says_what_is_wrong_now() {
    let mut bench = Bench::up(plain());
    let mut tell = |fault| {
        bench.machine.checked(bad(fault), bench.now);
        bench.machine.view(bench.now).reason
    };
    assert!(tell("connection refused").starts_with("connection refused"));
    assert!(tell("its certificate has expired").starts_with("its certificate has expired"));
}

#[test]
fn what_was_remembered_counts_until_the_first_check() {
    let remembered = |up| Some(Remembered { up: Some(up), mode: Mode::Enabled });
    let mut bench = Bench::new(api(), remembered(true));
    assert_eq!((bench.condition(), bench.machine.share(bench.now)), (Condition::Up, 256));
    bench.run(Duration::ZERO, |_| Outcome::Good);
    assert_eq!(bench.machine.share(bench.now), 256, "a restart of the balancer warms nobody up again");
    assert!(bench.changes.is_empty());

    let mut bench = Bench::new(api(), remembered(true));
    bench.run(Duration::ZERO, |_| bad("refused"));
    assert_eq!(bench.conditions(), [Condition::Down]);
    assert_eq!(bench.changes[0].1.reason, "refused, first check");

    let mut bench = Bench::new(api(), remembered(false));
    assert_eq!(bench.condition(), Condition::Down);
    bench.run(Duration::ZERO, |_| Outcome::Good);
    assert_eq!(bench.condition(), Condition::Up);
    assert_eq!(bench.machine.remembered(), Remembered { up: Some(true), mode: Mode::Enabled });
}

#[test]
fn a_reload_with_shorter_intervals_checks_sooner() {
    let mut bench = Bench::up(Rules { interval: 3600 * SECOND, ..api() });
    bench.machine.set_rules(api(), bench.now);
    assert!(bench.machine.next_check().unwrap() <= bench.now + 3 * SECOND);
    bench.machine.set_rules(
        Rules { interval: Duration::ZERO, fast_interval: Duration::ZERO, rise: 0, fall: 0, ..api() },
        bench.now,
    );
    let due = bench.machine.next_check().unwrap();
    bench.machine.checked(Outcome::Good, due);
    assert!(
        bench.machine.next_check().unwrap() >= due + Duration::from_millis(90),
        "no check without a pause"
    );
}

#[test]
fn a_reason_from_a_server_is_cut() {
    let mut bench = Bench::new(api(), None);
    bench.run(Duration::ZERO, |_| bad(&"ü".repeat(100_000)));
    assert!(bench.machine.view(bench.now).reason.chars().count() < 230);
}
