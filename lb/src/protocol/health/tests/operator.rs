//! The operator's word.

use super::*;

#[test]
fn a_drain_outlives_a_restart() {
    let mut bench = Bench::up(api());
    bench.operator(Mode::Drained);
    let bench = Bench::new(api(), Some(bench.machine.remembered()));
    assert_eq!(bench.condition(), Condition::Drained);
    assert_eq!(bench.machine.remembered().up, Some(true));
}

#[test]
fn a_drained_server_is_checked_and_comes_back_slowly() {
    let mut bench = Bench::up(api());
    bench.operator(Mode::Drained);
    bench.operator(Mode::Drained);
    assert_eq!(bench.conditions(), [Condition::Drained]);
    let checks = bench.machine.view(bench.now).checks;
    bench.run(30 * SECOND, |_| Outcome::Good);
    assert!(bench.machine.view(bench.now).checks > checks + 5);
    assert_eq!((bench.machine.share(bench.now), bench.machine.next_change(bench.now)), (0, None));
    bench.operator(Mode::Enabled);
    assert_eq!(bench.condition(), Condition::Up);
    assert!(bench.machine.share(bench.now) < 30);
}

#[test]
fn a_server_that_dies_while_drained_does_not_come_back_when_enabled() {
    let mut bench = Bench::up(api());
    bench.operator(Mode::Drained);
    bench.run(30 * SECOND, |_| bad("refused"));
    bench.operator(Mode::Enabled);
    assert_eq!(bench.conditions(), [Condition::Drained, Condition::Down]);
    assert_eq!(bench.changes[1].1.reason, "refused, 2 of 2");
}

#[test]
fn maintenance_stops_checks_and_forgets_what_was_known() {
    let mut bench = Bench::up(api());
    bench.operator(Mode::Maintenance);
    assert_eq!(bench.machine.next_check(), None);
    assert_eq!(bench.machine.checked(bad("refused"), bench.now), None, "a check that was under way");
    bench.run(3600 * SECOND, |_| bad("refused"));
    bench.operator(Mode::Enabled);
    assert_eq!(bench.machine.next_check(), Some(bench.now));
    bench.run(Duration::ZERO, |_| Outcome::Good);
    assert_eq!(bench.conditions(), [Condition::Maintenance, Condition::Unknown, Condition::Up]);
}

#[test]
fn the_operator_ends_holds_and_ejections() {
    let mut bench = Bench::up(plain());
    for _ in 0..3 {
        bench.connect(ConnectFailure::Refused);
    }
    assert_eq!(bench.condition(), Condition::Ejected);
    bench.operator(Mode::Enabled);
    assert_eq!(bench.condition(), Condition::Up);
}
