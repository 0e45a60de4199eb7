//! What survives a restart, and what must never arm a node.

use faros_common::journal::sim::{Fault, Operation, SimDisk};
use faros_common::site::Site;
use proptest::prelude::*;

use super::*;
use crate::config::tests::site;
use crate::protocol::journey::{ArmedBy, Boot, Plan, Reported};

const PROFILE: &str = "kernel = \"k\"\nargs = \"{report}\"";
const PLAN: Option<Plan> = Some(Plan { files: 1, seed: false, report: true });

fn config(change: impl FnOnce(&mut Site)) -> Config {
    let mut site = site("/srv".as_ref(), PROFILE);
    change(&mut site);
    Config::of(&site).unwrap()
}

fn open(directory: &Path) -> (Store, Config) {
    let store = Store::open(directory).unwrap();
    let config = config(|_| {});
    store.take_up(&config, clock::wall());
    (store, config)
}

async fn report(store: &Store, config: &Config) {
    let machine = &config.roster.machines[0];
    let applied = store.apply(machine, clock::wall(), Journey::on_report).unwrap();
    assert_eq!(applied.answer, Reported::Installed);
    store.durable(applied.lsn).await.unwrap();
}

fn installs(store: &Store, name: &str) -> bool {
    store.journey(name).is_some_and(|journey| journey.boot(PLAN) == Boot::Install)
}

#[tokio::test]
async fn a_node_with_a_profile_is_armed_at_first_sight_only() {
    let directory = tempfile::tempdir().unwrap();
    let (store, config) = open(directory.path());
    assert!(installs(&store, "cp1"));
    assert_eq!(store.journey("spare"), None);
    assert_eq!(store.take_up(&config, clock::wall()), []);
}

#[tokio::test]
async fn an_installed_node_stays_installed_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (store, config) = open(directory.path());
    report(&store, &config).await;
    store.shutdown().await.unwrap();
    drop(store);
    let (store, _) = open(directory.path());
    assert_eq!(store.journey("cp1").unwrap().stage(), Stage::Installed);
}

#[tokio::test]
async fn a_record_is_on_disk_when_it_is_said_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let (store, config) = open(directory.path());
    report(&store, &config).await;
    // As after kill -9: the file as it is now, opened by another process.
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let (store, _) = open(copy.path());
    assert!(!installs(&store, "cp1"));
}

#[tokio::test]
async fn a_journal_that_is_gone_is_no_fresh_start() {
    let directory = tempfile::tempdir().unwrap();
    let (store, config) = open(directory.path());
    report(&store, &config).await;
    store.shutdown().await.unwrap();
    drop(store);
    std::fs::remove_file(directory.path().join("nodes.journal")).unwrap();
    assert!(matches!(Store::open(directory.path()), Err(StartError::System(_))));
}

#[tokio::test]
async fn a_damaged_journal_holds_every_node_that_might_install() {
    let directory = tempfile::tempdir().unwrap();
    let (store, config) = open(directory.path());
    let machine = &config.roster.machines[0];
    for _ in 0..20 {
        let applied = store.apply(machine, clock::wall(), Journey::arm).unwrap();
        store.durable(applied.lsn).await.unwrap();
    }
    store.shutdown().await.unwrap();
    drop(store);
    let path = directory.path().join("nodes.journal");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.windows(3).rposition(|window| window == b"cp1").unwrap() / 2;
    bytes[middle..middle + 600].fill(0x55);
    std::fs::write(&path, bytes).unwrap();
    for _ in 0..2 {
        let (store, _) = open(directory.path());
        assert!(!installs(&store, "cp1"), "{:?}", store.journey("cp1"));
        assert!(store.journey("cp1").unwrap().held_because().is_some());
        store.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn after_lost_records_a_node_without_one_is_held() {
    let store = Store::in_memory();
    store.lock().hold_all(0);
    store.take_up(&config(|_| {}), clock::wall());
    assert_eq!(store.journey("cp1").unwrap().stage(), Stage::Held);
}

#[tokio::test]
async fn a_renamed_node_is_the_same_machine() {
    let store = Store::in_memory();
    store.take_up(&config(|_| {}), clock::wall());
    let renamed = config(|site| site.nodes[0].name = "master1".to_owned());
    store.take_up(&renamed, clock::wall());
    assert!(installs(&store, "master1"), "it was never touched under its old name");

    let store = Store::in_memory();
    let before = config(|_| {});
    store.take_up(&before, clock::wall());
    report(&store, &before).await;
    store.take_up(&renamed, clock::wall());
    assert!(!installs(&store, "master1"));
    assert!(store.journey("master1").unwrap().held_because().unwrap().contains("cp1"));
}

#[tokio::test]
async fn a_node_that_gets_its_old_name_back_is_not_new() {
    let directory = tempfile::tempdir().unwrap();
    let (store, before) = open(directory.path());
    let renamed = config(|site| site.nodes[0].name = "master1".to_owned());
    store.take_up(&renamed, clock::wall());
    report(&store, &renamed).await;
    assert_eq!(store.take_up(&before, clock::wall()), [("cp1".to_owned(), Stage::Held)]);
    assert!(store.journey("cp1").unwrap().held_because().unwrap().contains("master1"));
    let third = config(|site| site.nodes[0].name = "another".to_owned());
    store.take_up(&third, clock::wall());
    assert!(!installs(&store, "another"), "one of its former names was never installed, another was");
    store.shutdown().await.unwrap();
    drop(store);
    let (store, _) = open(directory.path());
    assert!(!installs(&store, "cp1"));
}

#[tokio::test]
async fn a_card_keeps_its_past_when_another_node_gets_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, config_before) = open(directory.path());
    report(&store, &config_before).await;
    let with_profile = |site: &mut Site| site.nodes[1].profile = Some("p".to_owned());
    store.take_up(&config(with_profile), clock::wall());
    assert!(installs(&store, "spare"));
    // In one step the two nodes swap their cards; in two steps a card wanders.
    let swapped = config(|site| {
        with_profile(site);
        let (first, second) = site.nodes.split_at_mut(1);
        std::mem::swap(&mut first[0].macs, &mut second[0].macs);
    });
    let wandering = config(|site| {
        with_profile(site);
        site.nodes[0].macs = vec!["52:54:00:00:08:77".parse().unwrap()];
    });
    for steps in [vec![&swapped], vec![&wandering, &swapped]] {
        let copy = Store::in_memory();
        let nodes = store.lock().nodes.clone();
        copy.lock().nodes = nodes;
        for step in steps {
            copy.take_up(step, clock::wall());
        }
        assert!(!installs(&copy, "spare"), "the machine that was cp1 would be wiped");
    }
    // Armed by the operator, under the name that the card has now, it stays armed.
    store.take_up(&swapped, clock::wall());
    let machine = &swapped.roster.machines[1];
    store.claim(machine);
    let applied = store.apply(machine, clock::wall(), Journey::arm).unwrap();
    store.durable(applied.lsn).await.unwrap();
    store.take_up(&swapped, clock::wall());
    assert!(installs(&store, "spare"));
    store.shutdown().await.unwrap();
    drop(store);
    let store = Store::open(directory.path()).unwrap();
    store.take_up(&swapped, clock::wall());
    assert!(installs(&store, "spare"), "also after a restart");
}

#[tokio::test]
async fn a_node_that_leaves_the_site_file_and_returns_is_not_new() {
    let store = Store::in_memory();
    let with = config(|_| {});
    store.take_up(&with, clock::wall());
    report(&store, &with).await;
    store.take_up(&config(|site| drop(site.nodes.remove(0))), clock::wall());
    store.take_up(&with, clock::wall());
    assert!(!installs(&store, "cp1"));
}

#[tokio::test]
async fn a_node_that_went_to_its_disk_without_a_profile_is_not_armed_by_getting_one() {
    let store = Store::in_memory();
    let config_before = config(|_| {});
    store.take_up(&config_before, clock::wall());
    let spare = &config_before.roster.machines[1];
    store.apply(spare, clock::wall(), |journey, now| journey.on_script(None, now)).unwrap();
    store.take_up(&config(|site| site.nodes[1].profile = Some("p".to_owned())), clock::wall());
    assert!(!installs(&store, "spare"));
    store.apply(spare, clock::wall(), Journey::arm).unwrap();
    assert!(installs(&store, "spare"));
    assert_eq!(store.journey("spare").unwrap().armed_by(), ArmedBy::Operator);
}

#[tokio::test]
async fn an_unreadable_record_holds_instead_of_arming() {
    let good = bytes(&Record::Node {
        name: "cp1".to_owned(),
        macs: Vec::new(),
        former: Identities::default(),
        uuid: None,
        journey: Box::new(Journey::first_sight(0)),
    });
    let inner = replay(&[good, b"{\"kind\":\"node\"}".to_vec()]);
    assert!(inner.hold_strangers);
    assert_eq!(inner.nodes["cp1"].journey.stage(), Stage::Held);
}

#[tokio::test]
async fn while_the_disk_fails_nothing_is_promised_and_nothing_is_lost() {
    let sim = SimDisk::new(1);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let store = Store::open_on(&disk).unwrap();
    let config = config(|_| {});
    store.take_up(&config, clock::wall());
    report(&store, &config).await;
    sim.read_only(true);
    let machine = &config.roster.machines[0];
    let promised = match store.apply(machine, clock::wall(), Journey::arm) {
        Ok(applied) => store.durable(applied.lsn).await.is_ok(),
        Err(_) => false,
    };
    assert!(!promised);
    assert!(store.failure().is_some());
    sim.read_only(false);
    let healed = async {
        while store.failure().is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), healed).await.expect("the journal heals");
    let applied = store.apply(machine, clock::wall(), Journey::arm).unwrap();
    store.durable(applied.lsn).await.unwrap();
    assert!(installs(&store, "cp1"));
}

/// What a life on a bad disk is made of.
#[derive(Clone, Copy, Debug)]
enum Op {
    Script,
    Seed,
    Report,
    Arm,
    PowerCut,
    SyncFails,
    Full(bool),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => Just(Op::Script),
        3 => Just(Op::Seed),
        2 => Just(Op::Report),
        2 => Just(Op::Arm),
        2 => Just(Op::PowerCut),
        1 => Just(Op::SyncFails),
        1 => any::<bool>().prop_map(Op::Full),
    ];
    prop::collection::vec(op, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the disk does: a machine that was told that it is installed, or that holds its Ignition by a
    /// profile without a report, is never installed again unless the operator asked for it.
    #[test]
    fn no_disk_fault_wipes_a_machine(ops in ops(), seed in any::<u64>(), reports in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let plan = Some(Plan { files: 1, seed: true, report: reports });
            let sim = SimDisk::new(seed);
            let disk: Arc<dyn Disk> = Arc::new(sim.clone());
            let config = config(|_| {});
            let machine = &config.roster.machines[0];
            let mut store = Store::open_on(&disk).unwrap();
            store.take_up(&config, clock::wall());
            let mut done = false;
            for op in ops {
                match op {
                    Op::Script => {
                        let boot = match store.apply(machine, clock::wall(), |journey, now| journey.on_script(plan, now)) {
                            Ok(applied) => applied.answer,
                            Err(_) => store.journey("cp1").unwrap().boot(plan),
                        };
                        prop_assert!(!(done && boot == Boot::Install), "wiped");
                    }
                    Op::Seed => if let Ok(applied) = store.apply(machine, clock::wall(), |journey, now| journey.on_seed(plan, now))
                        && let crate::protocol::journey::Seed::Serve(arming) = applied.answer
                    {
                        let served = store.durable(applied.lsn).await.is_ok();
                        prop_assert!(!(done && reports && served), "a secret for an installed machine");
                        let _ = store.apply(machine, clock::wall(), |journey, _| match served {
                            true => journey.on_seed_sent(arming),
                            false => journey.on_seed_lost(arming),
                        });
                        done |= served && !reports;
                    },
                    Op::Report => if let Ok(applied) = store.apply(machine, clock::wall(), Journey::on_report)
                        && applied.answer != Reported::Ignored
                        && store.durable(applied.lsn).await.is_ok()
                    {
                        done = true;
                    },
                    // Also one that was refused may have been written.
                    Op::Arm => {
                        if let Ok(applied) = store.apply(machine, clock::wall(), Journey::arm) {
                            let _ = store.durable(applied.lsn).await;
                            done = false;
                        }
                    }
                    Op::PowerCut => {
                        // The process must be gone before the machine comes back: its journal would heal itself.
                        sim.stop_after(0);
                        let _ = store.shutdown().await;
                        drop(store);
                        sim.heal();
                        sim.capacity(None);
                        sim.power_cut();
                        store = Store::open_on(&disk).unwrap();
                        store.take_up(&config, clock::wall());
                    }
                    Op::SyncFails => sim.fail(Operation::Sync, Fault::Io, 1),
                    Op::Full(full) => sim.capacity(full.then(|| sim.used())),
                }
            }
            Ok(())
        })?;
    }
}
