//! Every transition by name, then random lives that never wipe a machine.

use proptest::prelude::*;

use super::*;

const INSTALL: Boot = Boot::Install;
const DISK: Boot = Boot::Disk(DiskReason::Installed);

fn plan(ending: Ending) -> Option<Plan> {
    Some(match ending {
        Ending::Report => Plan { files: 2, seed: true, report: true },
        Ending::Ignition => Plan { files: 2, seed: true, report: false },
        Ending::Files => Plan { files: 2, seed: false, report: false },
    })
}

/// Ends an expression whose answer does not matter.
fn done<T>(_: Step<T>) {}

fn seed_sent(journey: &mut Journey) {
    let Seed::Serve(arming) = journey.on_seed(plan(Ending::Report), 4).answer else {
        panic!("not served at {:?}", journey.stage())
    };
    journey.on_seed_sent(arming);
}

/// A journey driven to `stage` by a machine that follows the usual way.
fn driven_to(stage: Stage) -> Journey {
    let mut journey = Journey::first_sight(0);
    let steps: [fn(&mut Journey); 5] = [
        |j| done(j.on_script(plan(Ending::Report), 1)),
        |j| done(j.on_file(0, 2)),
        seed_sent,
        |j| done(j.on_report(5)),
        |j| done(j.on_script(plan(Ending::Report), 6)),
    ];
    for step in steps {
        if journey.stage() == stage {
            break;
        }
        step(&mut journey);
    }
    if stage == Stage::Held {
        return Journey::held("test", 0);
    }
    assert_eq!(journey.stage(), stage);
    journey
}

const STAGES: [Stage; 7] =
    [Stage::Held, Stage::Armed, Stage::Loader, Stage::Kernel, Stage::Ignition, Stage::Installed, Stage::Disk];

/// The stage after one input, from each stage in the order of `STAGES`.
fn after(input: impl Fn(&mut Journey)) -> [Stage; 7] {
    STAGES.map(|stage| {
        let mut journey = driven_to(stage);
        input(&mut journey);
        journey.stage()
    })
}

#[test]
fn every_input_from_every_stage() {
    use Stage::*;
    let script = |ending| after(move |j| done(j.on_script(plan(ending), 9)));
    assert_eq!(script(Ending::Report), [Held, Loader, Loader, Kernel, Ignition, Disk, Disk]);
    assert_eq!(script(Ending::Ignition), [Held, Loader, Loader, Kernel, Disk, Disk, Disk]);
    assert_eq!(
        after(|j| done(j.on_script(None, 9))),
        [Held, Held, Loader, Kernel, Ignition, Installed, Disk],
        "without a profile nothing changes, except that a new node is new no more"
    );
    assert_eq!(after(|j| done(j.on_file(0, 9))), [Held, Armed, Kernel, Kernel, Ignition, Installed, Disk]);
    assert_eq!(after(|j| done(j.on_file(1, 9))), STAGES, "a RAM disk is no stage");
    assert_eq!(
        after(|j| done(j.on_seed(plan(Ending::Report), 9))),
        [Held, Ignition, Ignition, Ignition, Ignition, Installed, Disk]
    );
    assert_eq!(
        after(|j| done(j.on_report(9))),
        [Installed, Installed, Installed, Installed, Installed, Installed, Disk]
    );
    assert_eq!(after(|j| done(j.arm(9))), [Armed; 7]);
    assert_eq!(after(|j| done(j.disarm(9))), [Held, Held, Held, Held, Held, Installed, Disk]);
}

#[test]
fn every_link_survives_retries_until_the_report() {
    let mut journey = Journey::first_sight(0);
    for _ in 0..3 {
        assert_eq!(journey.on_script(plan(Ending::Report), 1).answer, INSTALL);
        journey.on_file(0, 2);
        journey.on_file(1, 2);
        seed_sent(&mut journey);
        assert_eq!(journey.on_script(plan(Ending::Report), 1).answer, INSTALL);
    }
    assert_eq!(journey.on_report(5).answer, Reported::Installed);
    assert_eq!(journey.on_report(6).answer, Reported::Already);
    assert_eq!(journey.on_script(plan(Ending::Report), 7).answer, DISK);
    assert_eq!(journey.on_seed(plan(Ending::Report), 8).answer, Seed::Gone);
}

#[test]
fn without_a_report_the_next_boot_after_the_ignition_ends_the_install() {
    let mut journey = driven_to(Stage::Ignition);
    let step = journey.on_script(plan(Ending::Ignition), 9);
    assert_eq!((step.answer, step.change, step.reached), (DISK, Change::BeforeAnswer, Some(Stage::Disk)));
    assert_eq!(journey.times()[&Stage::Installed], 9);
}

#[test]
fn without_ignition_the_next_boot_after_all_files_ends_the_install() {
    let mut journey = Journey::first_sight(0);
    journey.on_script(plan(Ending::Files), 1);
    journey.on_file(0, 2);
    assert_eq!(journey.on_script(plan(Ending::Files), 3).answer, INSTALL, "a RAM disk is still missing");
    journey.on_file(1, 4);
    assert_eq!(journey.on_script(plan(Ending::Files), 5).answer, DISK);
}

#[test]
fn an_ignition_that_never_left_does_not_end_the_install() {
    let mut journey = driven_to(Stage::Kernel);
    let Seed::Serve(arming) = journey.on_seed(plan(Ending::Report), 4).answer else { panic!() };
    assert_eq!(journey.on_seed_lost(arming).change, Change::Eventual);
    assert_eq!(journey.stage(), Stage::Kernel);
    assert_eq!(journey.on_script(plan(Ending::Ignition), 5).answer, INSTALL);
}

#[test]
fn a_lost_transfer_beside_one_that_left_changes_nothing() {
    for sent_first in [true, false] {
        let mut journey = driven_to(Stage::Kernel);
        let Seed::Serve(arming) = journey.on_seed(plan(Ending::Report), 4).answer else { panic!() };
        journey.on_seed(plan(Ending::Report), 4);
        if sent_first {
            journey.on_seed_sent(arming);
            journey.on_seed_lost(arming);
        } else {
            journey.on_seed_lost(arming);
            journey.on_seed_sent(arming);
        }
        assert_eq!(journey.stage(), Stage::Ignition);
    }
}

#[test]
fn a_transfer_of_an_earlier_arming_does_not_count() {
    let mut journey = driven_to(Stage::Kernel);
    let Seed::Serve(old) = journey.on_seed(plan(Ending::Report), 4).answer else { panic!() };
    journey.arm(5);
    journey.on_seed(plan(Ending::Report), 6);
    journey.on_seed_lost(old);
    assert_eq!(journey.stage(), Stage::Ignition, "the new transfer is still under way");
}

#[test]
fn after_a_restart_an_ignition_counts_as_sent() {
    let mut journey = driven_to(Stage::Kernel);
    journey.on_seed(plan(Ending::Report), 4);
    let record = serde_json::to_vec(&journey).unwrap();
    let mut journey: Journey = serde_json::from_slice(&record).unwrap();
    assert_eq!(journey.on_script(plan(Ending::Ignition), 5).answer, DISK);
}

#[test]
fn a_report_of_the_old_system_does_not_disarm() {
    let mut journey = driven_to(Stage::Disk);
    journey.arm(7);
    assert_eq!(journey.on_report(8).answer, Reported::Ignored);
    assert_eq!(journey.on_script(plan(Ending::Report), 9).answer, INSTALL);
}

#[test]
fn a_node_installed_by_other_means_is_not_wiped_once_it_has_reported() {
    let mut journey = Journey::first_sight(0);
    assert_eq!(journey.on_report(1).answer, Reported::Installed);
    assert_eq!(journey.on_script(plan(Ending::Report), 2).answer, DISK);
}

#[test]
fn what_is_promised_is_written_before_the_answer() {
    for stage in STAGES {
        assert_eq!(driven_to(stage).arm(9).change, Change::BeforeAnswer);
        let mut journey = driven_to(stage);
        if let Step { answer: Reported::Installed | Reported::Already, change, .. } = journey.on_report(9) {
            assert_eq!(change, Change::BeforeAnswer, "{stage:?}");
        }
        let mut journey = driven_to(stage);
        if let Step { answer: Seed::Serve(_), change, .. } = journey.on_seed(plan(Ending::Report), 9) {
            assert_eq!(change, Change::BeforeAnswer, "{stage:?}");
        }
    }
}

#[test]
fn a_record_survives_serialisation() {
    for stage in STAGES {
        let journey = driven_to(stage);
        let text = serde_json::to_string(&journey).unwrap();
        let back: Journey = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (back.stage(), back.times(), back.fetched),
            (journey.stage(), journey.times(), journey.fetched)
        );
        assert!(text.len() < 1000, "{text}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Script,
    File(u32),
    SeedAsked,
    SeedSent,
    SeedLost,
    Report,
    Arm,
    Disarm,
    Restart,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => Just(Op::Script),
        4 => (0..3u32).prop_map(Op::File),
        4 => Just(Op::SeedAsked),
        3 => Just(Op::SeedSent),
        2 => Just(Op::SeedLost),
        1 => Just(Op::Report),
        1 => Just(Op::Arm),
        1 => Just(Op::Disarm),
        1 => Just(Op::Restart),
    ];
    prop::collection::vec(op, 1..60)
}

fn endings() -> impl Strategy<Value = Ending> {
    prop_oneof![Just(Ending::Report), Just(Ending::Ignition), Just(Ending::Files)]
}

#[test]
fn a_profile_that_changes_after_the_installation_does_not_bring_it_back() {
    for (before, afterwards) in [
        (Ending::Ignition, Ending::Report),
        (Ending::Files, Ending::Ignition),
        (Ending::Files, Ending::Report),
    ] {
        let mut journey = Journey::first_sight(0);
        journey.on_script(plan(before), 1);
        (0..2).for_each(|index| done(journey.on_file(index, 2)));
        if before == Ending::Ignition {
            let Seed::Serve(arming) = journey.on_seed(plan(afterwards), 3).answer else { panic!() };
            journey.on_seed_sent(arming);
        }
        assert_eq!(journey.boot(plan(afterwards)), DISK, "{before:?} then {afterwards:?}");
        let more_files = Plan { files: 5, ..plan(before).unwrap() };
        assert_eq!(journey.boot(Some(more_files)), DISK, "{before:?} with more files");
        let kept = serde_json::from_slice::<Journey>(&serde_json::to_vec(&journey).unwrap()).unwrap();
        assert_eq!(kept.boot(plan(afterwards)), DISK, "{before:?} then {afterwards:?} after a restart");
        journey.arm(5);
        assert_eq!(journey.on_script(plan(afterwards), 6).answer, INSTALL);
    }
}

#[test]
fn a_new_node_that_started_without_a_profile_is_held() {
    let mut journey = Journey::first_sight(0);
    assert_eq!(journey.on_script(None, 1).answer, Boot::Disk(DiskReason::NoProfile));
    assert_eq!(journey.boot(plan(Ending::Report)), Boot::Disk(DiskReason::Held));
    // Not so where the operator wants an installation, or one has begun.
    journey.arm(2);
    journey.on_script(None, 3);
    assert_eq!(journey.boot(plan(Ending::Report)), INSTALL);
    journey.on_script(plan(Ending::Report), 4);
    journey.on_script(None, 5);
    assert_eq!(journey.boot(plan(Ending::Report)), INSTALL);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The invariants of the two rules, seen from outside: by what was answered, not by the stage.
    #[test]
    fn no_life_wipes_an_installed_machine(ops in ops(), ending in endings()) {
        let plan = plan(ending);
        let mut journey = Journey::first_sight(0);
        let mut transfers: Vec<Arming> = Vec::new();
        // True from the moment at which the machine may run from its disk until the operator arms it.
        let (mut finished, mut may_have_seed) = (false, false);
        for (now, op) in (1..).zip(ops) {
            let stage_before = journey.stage();
            match op {
                Op::Script => {
                    let step = journey.on_script(plan, now);
                    let again = journey.boot(plan);
                    prop_assert_eq!(step.answer, again, "a retry gets the same answer");
                    prop_assert!(!(finished && step.answer == INSTALL), "wiped");
                    if ending == Ending::Ignition && may_have_seed {
                        prop_assert!(step.answer != INSTALL, "installed twice");
                    }
                    finished |= step.answer == DISK;
                }
                Op::File(index) => done(journey.on_file(index, now)),
                Op::SeedAsked => match journey.on_seed(plan, now).answer {
                    Seed::Serve(arming) => {
                        prop_assert!(!finished, "a secret for an installed machine");
                        transfers.push(arming);
                    }
                    Seed::Gone => prop_assert!(!stage_before.installs()),
                    Seed::Held => prop_assert_eq!(stage_before, Stage::Held),
                },
                Op::SeedSent => if let Some(arming) = transfers.pop() {
                    may_have_seed |= arming == journey.arming;
                    journey.on_seed_sent(arming);
                },
                Op::SeedLost => if let Some(arming) = transfers.pop() {
                    journey.on_seed_lost(arming);
                },
                Op::Report => finished |= journey.on_report(now).answer != Reported::Ignored,
                Op::Arm => {
                    journey.arm(now);
                    (finished, may_have_seed) = (false, false);
                }
                Op::Disarm => {
                    journey.disarm(now);
                    finished = true;
                }
                Op::Restart => {
                    // Connections die with the process; how far they came is not known any more.
                    may_have_seed |= transfers.drain(..).any(|arming| arming == journey.arming);
                    journey = serde_json::from_slice(&serde_json::to_vec(&journey).unwrap()).unwrap();
                }
            }
            if journey.stage() < stage_before {
                let backwards = matches!(op, Op::Arm | Op::Disarm | Op::SeedLost);
                prop_assert!(backwards, "{:?} led from {:?} to {:?}", op, stage_before, journey.stage());
            }
            prop_assert!(!(finished && journey.boot(plan) == INSTALL), "wiped");
        }
    }
}
