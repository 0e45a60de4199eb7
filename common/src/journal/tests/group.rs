//! Many tasks, one journal: what the handle promises.

use std::sync::Arc;
use std::time::Duration;

use super::super::group::{QUEUE_BYTES_MAX, QUEUE_RECORDS_MAX};
use super::super::sim::{Fault, Operation, SimDisk};
use super::super::{Gathering, GroupCommit, Journal, JournalError, JournalOptions, Lsn};
use super::{open, options, recovered, texts};

fn start(disk: &SimDisk) -> GroupCommit {
    GroupCommit::start(open(disk).unwrap().0).unwrap()
}

/// Waits until the thread has given the disk up, so that it can be opened anew.
async fn end(group: GroupCommit) {
    group.shutdown().await.unwrap();
    drop(group);
}

#[tokio::test]
async fn a_durable_record_survives_a_power_cut() {
    let disk = SimDisk::new(1);
    let group = start(&disk);
    let lsn = group.append("a").unwrap();
    group.durable(lsn).await.unwrap();
    assert_eq!(group.progress().borrow().durable, lsn);
    disk.power_cut();
    assert_eq!(recovered(&disk), ["a"]);
}

#[tokio::test]
async fn appends_gather_while_the_disk_is_busy_and_share_one_fdatasync() {
    let disk = SimDisk::new(1);
    let group = start(&disk);
    disk.sync_delay(Duration::from_millis(50));
    let mut last = Lsn(0);
    for number in 0..1000 {
        last = group.append(format!("{number}")).unwrap();
    }
    assert_eq!(last, Lsn(1000));
    group.durable(last).await.unwrap();
    let status = group.status();
    assert!(status.commits < 100, "{} commits", status.commits);
    assert_eq!((status.durable, status.queued), (Lsn(1000), 0));
    end(group).await;
    let expected: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    assert_eq!(recovered(&disk), expected);
}

#[tokio::test]
async fn what_gathers_under_load_is_durable_once_it_is_reported() {
    let disk = SimDisk::new(1);
    let gathering = Some(Gathering { gap: Duration::from_millis(5), records_per_sec_min: 1 });
    let (journal, _) =
        Journal::open_on(Arc::new(disk.clone()), JournalOptions { gathering, ..options() }).unwrap();
    let group = GroupCommit::start(journal).unwrap();
    let mut expected = Vec::new();
    for number in 0..20 {
        let mut last = Lsn(0);
        for part in 0..3 {
            last = group.append(format!("{number}.{part}")).unwrap();
            expected.push(format!("{number}.{part}"));
        }
        group.durable(last).await.unwrap();
    }
    disk.power_cut();
    assert_eq!(recovered(&disk), expected);
}

#[tokio::test]
async fn a_failed_disk_tells_everybody_refuses_appends_and_heals() {
    let disk = SimDisk::new(1);
    let group = start(&disk);
    disk.fail(Operation::Write, Fault::NoSpace, u32::MAX);
    let waiting: Vec<_> = (0..5).map(|_| group.append("waits").unwrap()).collect();
    for lsn in &waiting {
        assert!(group.durable(*lsn).await.unwrap_err().is_full());
    }
    assert!(group.progress().borrow().failed.is_some());
    assert!(group.append("refused").unwrap_err().is_full());
    let status = group.status();
    assert_eq!((status.failed_reason, status.failures), (Some("disk_full"), 1));

    disk.heal();
    let mut progress = group.progress();
    progress.wait_for(|progress| progress.failed.is_none()).await.unwrap();
    group.durable(waiting[4]).await.unwrap();
    let lsn = group.append("after").unwrap();
    assert_eq!(lsn, Lsn(6), "no number was lost to the refused one");
    group.durable(lsn).await.unwrap();
    end(group).await;
    assert_eq!(recovered(&disk), ["waits", "waits", "waits", "waits", "waits", "after"]);
}

#[tokio::test]
async fn a_failed_fdatasync_heals_into_a_fresh_file() {
    let disk = SimDisk::new(1);
    let group = start(&disk);
    disk.fail(Operation::Sync, Fault::Io, 1);
    let lsn = group.append("a").unwrap();
    assert_eq!(group.durable(lsn).await.unwrap_err().reason(), "disk_error");
    group.progress().wait_for(|progress| progress.durable >= lsn).await.unwrap();
    assert_eq!(group.status().generation, 2);
    disk.power_cut();
    assert_eq!(recovered(&disk), ["a"]);
}

#[tokio::test]
async fn a_snapshot_heals_a_failed_journal_at_once() {
    let disk = SimDisk::new(1);
    let group = start(&disk);
    // The same file takes no more, another one does.
    disk.fail(Operation::Write, Fault::NoSpace, 1);
    disk.fail(Operation::Open, Fault::Io, u32::MAX);
    let lsn = group.append("a").unwrap();
    group.durable(lsn).await.unwrap_err();
    group.snapshot(vec![b"all".to_vec()]).unwrap();
    group.progress().wait_for(|progress| progress.durable >= lsn).await.unwrap();
    disk.heal();
    end(group).await;
    assert_eq!(recovered(&disk), ["all"]);
}

#[tokio::test]
async fn x22_a_disk_that_hangs_blocks_no_append_until_the_queue_is_full() {
    let disk = SimDisk::new(1);
    let group = start(&disk);
    disk.sync_delay(Duration::from_millis(600));
    let first = group.append("first").unwrap();
    while group.stalled().is_none_or(|since| since < Duration::from_millis(20)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(group.status().commit_micros_now.is_some());
    for _ in 0..QUEUE_RECORDS_MAX {
        group.append("x").unwrap();
    }
    assert!(matches!(group.append("x"), Err(JournalError::Busy)));
    assert_eq!(group.progress().borrow().durable, Lsn(0), "all that within one fdatasync");
    group.durable(first).await.unwrap();
    group.durable(Lsn(1 + QUEUE_RECORDS_MAX as u64)).await.unwrap();
    group.append("again").unwrap();
}

#[tokio::test]
async fn the_queue_is_bounded_in_bytes_too() {
    let disk = SimDisk::new(1);
    let options = JournalOptions { record_bytes_max: usize::MAX, ..options() };
    let (journal, _) = Journal::open_on(Arc::new(disk), options).unwrap();
    let group = GroupCommit::start(journal).unwrap();
    assert!(matches!(group.append(vec![0; QUEUE_BYTES_MAX + 1]), Err(JournalError::Busy)));
    group.append(vec![0; 1000]).unwrap();
}

#[tokio::test]
async fn a_snapshot_takes_its_place_among_the_appends() {
    let disk = SimDisk::new(1);
    let group = start(&disk);
    group.append("a").unwrap();
    group.append("b").unwrap();
    group.snapshot((0..50).map(|_| vec![b's'; 400]).collect()).unwrap();
    assert!(matches!(group.snapshot(Vec::new()), Err(JournalError::Busy)));
    for number in 0..20 {
        let lsn = group.append(format!("after {number}")).unwrap();
        group.durable(lsn).await.unwrap();
    }
    end(group).await;
    let (journal, found) = open(&disk).unwrap();
    let texts = texts(&found);
    assert_eq!(
        (texts.len(), &*texts[49], &*texts[50], &*texts[69]),
        (70, &*"s".repeat(400), "after 0", "after 19")
    );
    assert_eq!((journal.last(), journal.generation()), (Lsn(22), 2));
}

#[tokio::test]
async fn a_failed_snapshot_is_reported_and_the_next_one_may_come() {
    let disk = SimDisk::new(1);
    let group = start(&disk);
    disk.fail(Operation::Create, Fault::NoSpace, 1);
    group.snapshot(vec![b"all".to_vec()]).unwrap();
    while group.status().snapshot_failed.is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!group.snapshot_due());
    let lsn = group.append("a").unwrap();
    group.durable(lsn).await.unwrap();
    group.snapshot(vec![b"all".to_vec()]).unwrap();
    end(group).await;
    assert_eq!(recovered(&disk), ["all"]);
}

#[tokio::test]
async fn a_snapshot_is_due_once_enough_was_appended() {
    let disk = SimDisk::new(1);
    let group = start(&disk);
    assert!(!group.snapshot_due());
    let mut last = Lsn(0);
    for _ in 0..80 {
        last = group.append(vec![1; 60_000]).unwrap();
    }
    group.durable(last).await.unwrap();
    assert!(group.snapshot_due());
    group.snapshot(vec![vec![1; 1000]]).unwrap();
    assert!(!group.snapshot_due());
    group.durable(group.append("x").unwrap()).await.unwrap();
    end(group).await;
}

#[tokio::test]
async fn after_a_shutdown_everything_is_on_disk_and_nothing_is_taken() {
    let disk = SimDisk::new(1);
    let group = start(&disk);
    disk.sync_delay(Duration::from_millis(5));
    let lsn = group.append("a").unwrap();
    group.shutdown().await.unwrap();
    group.durable(lsn).await.unwrap();
    assert!(matches!(group.append("b"), Err(JournalError::Closed)));
    assert!(matches!(group.durable(Lsn(2)).await, Err(JournalError::Closed)));
    assert_eq!(recovered(&disk), ["a"]);
}

#[tokio::test]
async fn a_shutdown_on_a_failed_disk_says_so() {
    let disk = SimDisk::new(1);
    let group = start(&disk);
    disk.fail(Operation::Write, Fault::Io, u32::MAX);
    group.append("a").unwrap();
    assert_eq!(group.shutdown().await.unwrap_err().reason(), "disk_error");
}

#[tokio::test]
async fn dropping_the_last_handle_flushes() {
    let disk = SimDisk::new(1);
    let group = start(&disk);
    let mut progress = group.progress();
    group.append("a").unwrap();
    drop(group);
    while progress.changed().await.is_ok() {}
    assert_eq!(progress.borrow().durable, Lsn(1));
}

#[tokio::test]
async fn a_journal_opened_on_a_full_disk_is_failed_from_the_start() {
    let disk = SimDisk::new(1);
    end(start(&disk)).await;
    disk.read_only(true);
    let group = start(&disk);
    group.progress().wait_for(|progress| progress.failed.is_some()).await.unwrap();
    disk.read_only(false);
    group.progress().wait_for(|progress| progress.failed.is_none()).await.unwrap();
    group.durable(group.append("a").unwrap()).await.unwrap();
}

#[tokio::test]
async fn records_of_an_older_version_are_not_appended_to() {
    let disk = SimDisk::new(1);
    drop(open(&disk).unwrap());
    let newer = JournalOptions { version: 2, ..options() };
    let (journal, _) = Journal::open_on(Arc::new(disk.clone()), newer).unwrap();
    assert!(GroupCommit::start(journal).is_err());
}
