use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use faros_common::clock;
use proptest::prelude::*;

use super::*;

fn entry(node: &str) -> Entry {
    Entry {
        node: Some(node.to_owned()),
        address: Some([192, 0, 2, 1].into()),
        thumbprint: Some("thp".to_owned()),
        key: Some(KeyAge::Rotated),
        ..Entry::new(clock::wall(), Decision::Recovered)
    }
}

/// A log with entries of these nodes, written and closed.
fn log(directory: &Path, nodes: &[&str]) {
    let audit = Audit::open(directory).unwrap();
    nodes.iter().for_each(|node| audit.record(entry(node)));
}

fn log_files(directory: &Path) -> Vec<PathBuf> {
    files::list(directory).unwrap().into_iter().map(|(_, path)| path).collect()
}

fn only_file(directory: &Path) -> PathBuf {
    let [file] = &log_files(directory)[..] else { panic!("not one file") };
    file.clone()
}

#[test]
fn what_was_written_hangs_together_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    log(directory.path(), &["a", "b"]);
    log(directory.path(), &[]);
    log(directory.path(), &["c"]);
    let verified = verify(directory.path()).unwrap();
    assert_eq!((verified.records, verified.first, verified.head.seq, verified.torn_bytes), (3, 1, 3, 0));
    let nodes: Vec<_> = latest(directory.path(), 0, 10).unwrap();
    let nodes: Vec<_> = nodes.iter().map(|entry| entry["node"].as_str().unwrap()).collect();
    assert_eq!(nodes, ["a", "b", "c"]);
}

#[tokio::test]
async fn an_entry_that_was_waited_for_is_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let audit = Audit::open(directory.path()).unwrap();
    for count in 1..=20 {
        assert!(audit.record_first(entry("a")).await);
        let content = fs::read(only_file(directory.path())).unwrap();
        assert_eq!(content.iter().filter(|&&byte| byte == b'\n').count(), count);
    }
    assert_eq!(audit.state().head, verify(directory.path()).unwrap().head);
}

#[test]
fn a_torn_last_line_is_cut_off_and_told_of() {
    let directory = tempfile::tempdir().unwrap();
    log(directory.path(), &["a", "b", "c"]);
    let file = only_file(directory.path());
    let whole = fs::read(&file).unwrap();
    let last_begins = whole[..whole.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    for end in last_begins + 1..whole.len() {
        fs::write(&file, &whole[..end]).unwrap();
        assert_eq!(verify(directory.path()).unwrap().torn_bytes, (end - last_begins) as u64);
        log(directory.path(), &["d"]);
        let verified = verify(directory.path()).unwrap();
        assert_eq!((verified.records, verified.torn_bytes), (4, 0), "a, b, the note, d");
        let note = latest(directory.path(), 2, 1).unwrap();
        let entries = latest(directory.path(), 2, 10).unwrap();
        assert_eq!(entries[0]["decision"], "note", "{note:?}");
        assert!(entries[0]["reason"].as_str().unwrap().contains(&format!("{} bytes", end - last_begins)));
    }
}

#[test]
fn whatever_is_changed_removed_or_inserted_shows() {
    let directory = tempfile::tempdir().unwrap();
    log(directory.path(), &["a", "b", "c", "d"]);
    let file = only_file(directory.path());
    let whole = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let broken = |lines: &[&str]| {
        fs::write(&file, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        matches!(verify(directory.path()), Err(Fault::Broken { .. }))
    };
    assert!(!broken(&lines));
    let changed = lines[1].replace("\"b\"", "\"x\"");
    assert!(broken(&[lines[0], &changed, lines[2], lines[3]]), "changed");
    assert!(broken(&[lines[0], lines[2], lines[3]]), "removed");
    assert!(broken(&[lines[0], lines[1], lines[1], lines[2], lines[3]]), "repeated");
    assert!(broken(&[lines[1], lines[0], lines[2], lines[3]]), "swapped");
    // Only a head that was kept elsewhere shows this.
    assert!(!broken(&lines[..3]), "cut off");
    fs::write(&file, "{}\n").unwrap();
    assert!(matches!(verify(directory.path()), Err(Fault::Foreign { line: 1, .. })));
}

#[test]
fn the_chain_goes_on_from_file_to_file() {
    let directory = tempfile::tempdir().unwrap();
    let audit = Audit::open_with(directory.path(), 1000).unwrap();
    for index in 0..100 {
        audit.record(entry(&format!("node-{index}")));
        if index % 10 == 9 {
            std::thread::sleep(Duration::from_millis(40));
        }
    }
    drop(audit);
    let verified = verify(directory.path()).unwrap();
    assert!(verified.files > 3, "{verified:?}");
    assert_eq!((verified.records, verified.first), (100, 1));
    assert_eq!(latest(directory.path(), 0, 1000).unwrap().len(), 100);
    assert_eq!(latest(directory.path(), 90, 1000).unwrap().len(), 10);
    // The oldest may go; one in between may not.
    let files = log_files(directory.path());
    fs::remove_file(&files[0]).unwrap();
    assert!(verify(directory.path()).unwrap().first > 1);
    fs::remove_file(&files[2]).unwrap();
    assert!(matches!(verify(directory.path()), Err(Fault::Broken { .. })));
}

#[test]
fn a_foreign_last_line_is_kept_and_the_chain_goes_on_after_it() {
    let directory = tempfile::tempdir().unwrap();
    log(directory.path(), &["a"]);
    let file = only_file(directory.path());
    let mut content = fs::read(&file).unwrap();
    content.extend_from_slice(b"somebody was here\n");
    fs::write(&file, &content).unwrap();
    log(directory.path(), &["b"]);
    assert!(fs::read(&file).unwrap().starts_with(&content));
    assert!(matches!(verify(directory.path()), Err(Fault::Foreign { line: 2, .. })));
}

#[test]
fn who_used_a_key_is_known_from_the_log_alone() {
    let directory = tempfile::tempdir().unwrap();
    log(directory.path(), &["a", "b", "a"]);
    let uses = uses(directory.path()).unwrap();
    let told: Vec<_> = uses.iter().map(|used| (used.who.as_str(), used.count, used.key)).collect();
    assert_eq!(told, [("a", 2, KeyAge::Rotated), ("b", 1, KeyAge::Rotated)]);
}

#[tokio::test]
async fn a_file_that_is_moved_away_goes_on_being_written() {
    let directory = tempfile::tempdir().unwrap();
    let audit = Audit::open(directory.path()).unwrap();
    let moved = directory.path().with_extension("moved");
    fs::rename(directory.path(), &moved).unwrap();
    for _ in 0..3 {
        assert!(audit.record_first(entry("b")).await);
    }
    drop(audit);
    assert_eq!(verify(&moved).unwrap().records, 3);
    fs::rename(&moved, directory.path()).unwrap();
}

#[tokio::test]
async fn a_disk_that_takes_nothing_holds_nobody_up_and_loses_nothing_that_memory_can_hold() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", directory.path().join("audit-000000000001.jsonl")).unwrap();
    let audit = Audit::open(directory.path()).unwrap();
    let begun = clock::now();
    for _ in 0..100 {
        assert!(!audit.record_first(entry("a")).await);
    }
    assert!(clock::now() - begun < PATIENCE, "only the first may wait, and only until the disk has refused");
    let state = audit.state();
    assert!(state.failure.is_some());
    assert_eq!((state.waiting, state.lost, state.head.seq), (100, 0, 0));
    for _ in 0..QUEUE_MAX {
        audit.record(entry("b"));
    }
    assert_eq!((audit.state().waiting, audit.state().lost), (QUEUE_MAX, 100));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is at the end of the file after a crash, the log opens, keeps its whole lines and goes on.
    #[test]
    fn whatever_the_end_looks_like_the_log_opens(end in prop::collection::vec(any::<u8>(), 0..200)) {
        let directory = tempfile::tempdir().unwrap();
        log(directory.path(), &["a", "b"]);
        let file = only_file(directory.path());
        let mut content = fs::read(&file).unwrap();
        let whole = content.len();
        content.extend_from_slice(&end);
        fs::write(&file, &content).unwrap();
        log(directory.path(), &["c"]);
        prop_assert_eq!(&fs::read(&file).unwrap()[..whole], &content[..whole]);
        let last = latest(directory.path(), 0, 1).unwrap();
        prop_assert_eq!(last[0]["node"].as_str(), Some("c"));
        if !end.contains(&b'\n') {
            prop_assert!(verify(directory.path()).is_ok());
        }
    }
}
