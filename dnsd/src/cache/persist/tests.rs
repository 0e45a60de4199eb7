use std::fs::{self, OpenOptions};
use std::path::Path;

use proptest::prelude::*;

use super::super::tests::{ask, at, body, denial, key, name, positive, read};
use super::super::{Flush, Hit, Key};
use super::copy::{REWRITE_AFTER_BYTES, TMP_NAME};
use super::*;
use crate::protocol::code::{kind, rcode};
use crate::protocol::name::{LowerName, Name};

const MINUTE: u64 = SAVE_EVERY.as_secs();

fn numbered(number: u32) -> LowerName {
    name(&format!("n{number}.example."))
}

fn fresh() -> Cache {
    Cache::new(4 << 20, 7)
}

fn filled(count: u32) -> Cache {
    let cache = fresh();
    for number in 0..count {
        let name = numbered(number);
        cache.insert(&key(&name, kind::A), &positive(kind::A, 3600, number), at(0)).unwrap();
    }
    cache
}

/// A copy that is up to date with the cache a minute after the start.
fn saved(cache: &Cache, directory: &Path) -> DiskCopy {
    let mut copy = DiskCopy::new(directory.to_owned(), at(0));
    assert!(copy.turn(cache, at(MINUTE), Call::Look).unwrap());
    copy
}

/// What the next process finds.
fn loaded(directory: &Path, now: Now) -> (Cache, Loaded) {
    let cache = fresh();
    let loaded = load(&cache, directory, now);
    cache.check();
    (cache, loaded)
}

/// How many of the numbered names are there, each with its own answer.
fn known(cache: &Cache, count: u32, now: Now) -> u32 {
    let is_known = |number: &u32| {
        let name = numbered(*number);
        let (hit, octets) = ask(cache, &key(&name, kind::A), now, true);
        if hit != Hit::Miss {
            assert_eq!(read(&octets).0, *number, "another one's answer");
        }
        hit != Hit::Miss
    };
    (0..count).filter(is_known).count() as u32
}

/// The same moment in the next process, whose clock that never jumps has begun anew.
fn rebooted(wall_of: u64) -> Now {
    Now { mono_millis: 5000 + wall_of * 1000, wall_secs: at(wall_of).wall_secs }
}

#[test]
fn the_first_start_finds_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (_, loaded) = loaded(directory.path(), at(0));
    assert!(loaded.first_start && !loaded.is_damaged());
}

#[test]
fn a_killed_process_leaves_what_it_knew_a_minute_ago() {
    let directory = tempfile::tempdir().unwrap();
    let cache = filled(3000);
    let denied = name("denied.example.");
    let signed = Key { dnssec_ok: true, ..key(&denied, kind::AAAA) };
    cache.insert(&signed, &denial(rcode::NXDOMAIN, 900, 77), at(0)).unwrap();
    ask(&cache, &signed, at(1), false);
    let _copy = saved(&cache, directory.path());

    let loaded_at = |now| loaded(directory.path(), now);
    let (cache, loaded) = loaded_at(rebooted(600));
    assert_eq!(loaded, Loaded { entries: 3001, ..Loaded::default() });
    let (hit, octets) = ask(&cache, &key(&numbered(5), kind::A), rebooted(600), false);
    assert!(matches!(hit, Hit::Fresh { .. }), "{hit:?}");
    assert_eq!(read(&octets), (5, 3000), "time has passed");
    assert_eq!(read(&ask(&cache, &signed, rebooted(600), false).1), (77, 300));
    assert_eq!(known(&cache, 3000, rebooted(600)), 3000);
    assert!(matches!(ask(&cache, &signed, rebooted(900), true).0, Hit::Stale { .. }));

    // A clock that has only just begun knows the past as well.
    let young = Now { mono_millis: 1, ..rebooted(900) };
    let (cache, _) = loaded_at(young);
    assert_eq!(read(&ask(&cache, &key(&numbered(5), kind::A), young, false).1), (5, 2700));
}

#[test]
fn what_changes_is_appended_and_what_does_not_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let cache = filled(100);
    let mut copy = saved(&cache, directory.path());
    let put = |number, id, now| {
        let name = numbered(number);
        cache.insert(&key(&name, kind::A), &positive(kind::A, 3600, id), now).unwrap();
    };
    let mut turn = |minute: u64| {
        let before = copy.appended_bytes;
        copy.turn(&cache, at(minute * MINUTE), Call::Look).unwrap();
        copy.appended_bytes - before
    };
    assert_eq!(turn(2), 0, "nothing has changed");
    put(1, 1, at(150));
    assert_eq!(turn(3), 0, "only its TTL has, and not by much");
    put(2, 1002, at(200));
    put(200, 200, at(200));
    let two = turn(4);
    assert!(two > 0);
    assert_eq!(turn(5), 0);
    put(1, 1, at(3700));
    assert!((1..two).contains(&turn(62)), "the expiry on disk was far behind");
    assert_eq!(copy.rewrites, 1);

    let (cache, loaded) = loaded(directory.path(), rebooted(63 * MINUTE));
    assert_eq!((loaded.entries, loaded.is_damaged()), (101, false));
    let id = |number| read(&ask(&cache, &key(&numbered(number), kind::A), rebooted(63 * MINUTE), true).1);
    assert_eq!([id(1), id(2), id(200)], [(1, 3520), (1002, 20), (200, 20)]);
}

#[test]
fn pinned_names_are_on_disk_at_once_and_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let pin = Name::parse("registry.example.").unwrap();
    let pinned = name("registry.example.");
    let cache = filled(10);
    cache.set_pins([&pin]);
    let mut copy = saved(&cache, directory.path());
    assert_eq!(cache.bell.wait(Duration::ZERO), Call::Look);
    cache.insert(&key(&numbered(50), kind::A), &positive(kind::A, 60, 50), at(61)).unwrap();
    assert_eq!(cache.bell.wait(Duration::ZERO), Call::Look, "an ordinary name can wait");
    cache.insert(&key(&pinned, kind::A), &positive(kind::A, 60, 4711), at(61)).unwrap();
    assert_eq!(cache.bell.wait(Duration::ZERO), Call::Ring);
    copy.turn(&cache, at(61), Call::Ring).unwrap();

    let year = 365 * 86_400;
    let cache = fresh();
    cache.set_pins([&pin]);
    let loaded = load(&cache, directory.path(), rebooted(year));
    assert_eq!((loaded.entries, loaded.left_out), (1, 10), "the others are too old");
    let (hit, octets) = ask(&cache, &key(&pinned, kind::A), rebooted(year), true);
    assert!(matches!(hit, Hit::Stale { refresh: true, .. }), "{hit:?}");
    assert_eq!(read(&octets).0, 4711);
}

#[test]
fn denials_reach_the_disk_once_they_were_asked_for_again() {
    let directory = tempfile::tempdir().unwrap();
    let cache = filled(1);
    let mut copy = saved(&cache, directory.path());
    for number in 0..100 {
        let name = numbered(1000 + number);
        cache.insert(&key(&name, kind::A), &denial(rcode::NXDOMAIN, 900, number), at(61)).unwrap();
    }
    copy.turn(&cache, at(2 * MINUTE), Call::Look).unwrap();
    assert_eq!(copy.appended_bytes, 0);
    ask(&cache, &key(&numbered(1007), kind::A), at(130), false);
    copy.turn(&cache, at(3 * MINUTE), Call::Look).unwrap();
    assert_eq!(loaded(directory.path(), rebooted(200)).1.entries, 2);
    // Anew, and the same: what was loaded is as good as what was learned.
    let (cache, _) = loaded(directory.path(), rebooted(200));
    DiskCopy::new(directory.path().to_owned(), at(0)).turn(&cache, rebooted(200), Call::Close).unwrap();
    assert_eq!(loaded(directory.path(), rebooted(200)).1.entries, 2);
}

#[test]
fn of_a_denial_and_an_answer_the_newer_one_counts() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::new(super::super::BYTES_MIN, 7);
    let (first, changing) = (numbered(0), numbered(1));
    cache.insert(&key(&first, kind::A), &positive(kind::A, 60, 0), at(0)).unwrap();
    cache.insert(&key(&changing, kind::AAAA), &positive(kind::AAAA, 600, 1), at(0)).unwrap();
    // The denial takes the place of the first, and so comes before the answer that it is newer than.
    cache.flush(&Flush::Name(Name::parse("n0.example.").unwrap()));
    cache.insert(&key(&changing, kind::A), &denial(rcode::NXDOMAIN, 900, 2), at(30)).unwrap();
    ask(&cache, &key(&changing, kind::A), at(30), false);
    let mut copy = saved(&cache, directory.path());
    let id = |kind, now| {
        let (cache, _) = loaded(directory.path(), now);
        read(&ask(&cache, &key(&changing, kind), now, false).1).0
    };
    assert_eq!(id(kind::TXT, rebooted(60)), 2);
    cache.insert(&key(&changing, kind::A), &positive(kind::A, 600, 3), at(90)).unwrap();
    copy.turn(&cache, at(120), Call::Look).unwrap();
    assert_eq!(id(kind::A, rebooted(120)), 3);
    let cache = loaded(directory.path(), rebooted(120)).0;
    assert_eq!(ask(&cache, &key(&changing, kind::TXT), rebooted(120), false).0, Hit::Miss);
}

#[test]
fn what_was_flushed_does_not_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let cache = filled(10);
    let mut copy = saved(&cache, directory.path());
    cache.flush(&Flush::Name(Name::parse("n3.example.").unwrap()));
    assert_eq!(cache.bell.wait(Duration::ZERO), Call::Ring);
    assert!(copy.turn(&cache, at(70), Call::Ring).unwrap());
    let (again, loaded_now) = loaded(directory.path(), rebooted(70));
    assert_eq!((loaded_now.entries, known(&again, 10, rebooted(70))), (9, 9));
    // Once more right after: not at once, but soon.
    cache.flush(&Flush::All);
    copy.turn(&cache, at(71), Call::Ring).unwrap();
    assert!(copy.turn(&cache, at(76), Call::Look).unwrap());
    assert_eq!(loaded(directory.path(), rebooted(76)).1.entries, 0);
}

#[test]
fn a_clock_that_lost_the_time_makes_nothing_fresh_and_nothing_vanish() {
    let directory = tempfile::tempdir().unwrap();
    saved(&filled(20), directory.path());
    for wall_secs in [0, 1000, at(0).wall_secs - 1] {
        let now = Now { mono_millis: 100, wall_secs };
        let (cache, loaded) = loaded(directory.path(), now);
        assert_eq!((loaded.entries, loaded.is_damaged()), (20, false));
        assert_eq!(ask(&cache, &key(&numbered(1), kind::A), now, false).0, Hit::Miss);
        assert_eq!(known(&cache, 20, now), 20);
    }
}

#[test]
fn when_the_date_is_set_the_dates_on_disk_follow() {
    let directory = tempfile::tempdir().unwrap();
    let boot = Now { mono_millis: 0, wall_secs: 12 };
    let cache = fresh();
    for number in 0..20 {
        let name = numbered(number);
        cache.insert(&key(&name, kind::A), &positive(kind::A, 3600, number), boot).unwrap();
    }
    let mut copy = DiskCopy::new(directory.path().to_owned(), boot);
    copy.turn(&cache, Now { mono_millis: 60_000, wall_secs: 72 }, Call::Look).unwrap();
    let set = Now { mono_millis: 61_000, wall_secs: at(0).wall_secs };
    assert!(copy.turn(&cache, set, Call::Look).unwrap());
    let (cache, _) = loaded(directory.path(), rebooted(0));
    assert_eq!(read(&ask(&cache, &key(&numbered(1), kind::A), rebooted(0), false).1), (1, 3539));
}

#[test]
fn a_file_cut_anywhere_gives_all_before_the_cut() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::new(super::super::BYTES_MIN, 7);
    for number in 0..20 {
        let name = numbered(number);
        cache.insert(&key(&name, kind::A), &positive(kind::A, 3600, number), at(0)).unwrap();
    }
    saved(&cache, directory.path());
    let path = directory.path().join(FILE_NAME);
    let whole = fs::read(&path).unwrap();
    let mut most = 0;
    for length in 0..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (cache, loaded) = loaded(directory.path(), rebooted(60));
        assert_eq!(u64::from(known(&cache, 20, rebooted(60))), loaded.entries);
        assert!(loaded.entries >= most, "{length}");
        assert!(loaded.damaged == 0 || length < 48, "{length}: {loaded:?}");
        most = loaded.entries;
    }
    assert_eq!(most, 20);
}

#[test]
fn a_flipped_bit_costs_one_entry_at_most_and_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::new(super::super::BYTES_MIN, 7);
    for number in 0..8 {
        let name = numbered(number);
        cache.insert(&key(&name, kind::A), &positive(kind::A, 3600, number), at(0)).unwrap();
    }
    saved(&cache, directory.path());
    let path = directory.path().join(FILE_NAME);
    let whole = fs::read(&path).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).unwrap();
        let (cache, loaded) = loaded(directory.path(), rebooted(60));
        let known = known(&cache, 8, rebooted(60));
        if bit / 8 < 48 {
            assert_eq!(known, 8, "the other header is whole");
        } else {
            assert_eq!((known, loaded.damaged + u64::from(loaded.torn)), (7, 1), "bit {bit}: {loaded:?}");
        }
    }
}

#[test]
fn a_file_of_another_version_is_told_and_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    let mut header = file::header(1)[..16].to_vec();
    header[8] = 9;
    header.extend(crc32c::crc32c(&header).to_le_bytes());
    header.extend([0; 4]);
    fs::write(&path, header.repeat(2)).unwrap();
    let (cache, loaded_now) = loaded(directory.path(), at(0));
    assert!(loaded_now.error.as_ref().unwrap().contains("version 9"), "{loaded_now:?}");
    for garbage in [&b"not a cache"[..], &[0; 4096]] {
        fs::write(&path, garbage).unwrap();
        assert_eq!(loaded(directory.path(), at(0)).1.damaged, 1);
    }
    saved(&cache, directory.path());
    assert!(!loaded(directory.path(), at(0)).1.is_damaged());
}

#[test]
fn a_disk_that_refuses_is_tried_again_later() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let cache = filled(5);
    let mut copy = DiskCopy::new(state.clone(), at(0));
    assert!(copy.turn(&cache, at(60), Call::Look).is_err());
    assert!(!copy.turn(&cache, at(61), Call::Ring).unwrap(), "not yet");
    fs::create_dir(&state).unwrap();
    assert!(copy.turn(&cache, at(60 + RETRY_AFTER.as_secs()), Call::Look).unwrap());
    assert_eq!(loaded(&state, rebooted(91)).1.entries, 5);
    // And in the middle of its life: what could not be appended is written with everything else.
    copy.file = Some(OpenOptions::new().write(true).open("/dev/full").unwrap());
    cache.insert(&key(&numbered(7), kind::A), &positive(kind::A, 3600, 7), at(100)).unwrap();
    assert!(copy.turn(&cache, at(151), Call::Look).is_err());
    assert!(copy.turn(&cache, at(181), Call::Look).unwrap());
    assert_eq!(loaded(&state, rebooted(181)).1.entries, 6);
}

#[test]
fn the_file_is_bounded_whatever_comes_and_goes() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::new(1 << 20, 7);
    let mut copy = DiskCopy::new(directory.path().to_owned(), at(0));
    let text = |number: u32| {
        let record = [&[0xc0, 12, 0, 16, 0, 1, 0, 0, 14, 16, 4, 0][..], &number.to_be_bytes(), &[9; 1020]];
        body(rcode::NOERROR, [&[record.concat()], &[], &[]])
    };
    for minute in 1..60 {
        for number in 0..1000 {
            let number = minute as u32 * 1000 + number;
            let name = numbered(number);
            cache.insert(&key(&name, kind::TXT), &text(number), at(minute * MINUTE)).unwrap();
        }
        copy.turn(&cache, at(minute * MINUTE), Call::Look).unwrap();
        let bytes = fs::metadata(directory.path().join(FILE_NAME)).unwrap().len();
        assert!(bytes <= 2 * REWRITE_AFTER_BYTES + (2 << 20), "{bytes} after {minute} minutes");
    }
    assert!(copy.rewrites > 2, "{copy:?}");
    assert!(!directory.path().join(TMP_NAME).exists());
}

#[test]
fn the_thread_saves_when_it_is_rung_for_and_when_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Arc::new(filled(5));
    cache.set_pins([&Name::parse("pinned.example.").unwrap()]);
    let saver = Saver::start(Arc::clone(&cache), directory.path().to_owned(), || at(1)).unwrap();
    let pinned = name("pinned.example.");
    cache.insert(&key(&pinned, kind::A), &positive(kind::A, 60, 1), at(1)).unwrap();
    let deadline = faros_common::clock::now() + Duration::from_secs(60);
    while saver.status().rewrites == 0 {
        assert!(faros_common::clock::now() < deadline, "{:?}", saver.status());
        std::thread::sleep(Duration::from_millis(5));
    }
    cache.insert(&key(&numbered(9), kind::A), &positive(kind::A, 60, 9), at(1)).unwrap();
    saver.stop();
    assert_eq!(loaded(directory.path(), rebooted(1)).1.entries, 7);
}

proptest! {
    /// Whatever stands in a record, what is read of it can be given out, and be written and read again.
    #[test]
    fn any_record_is_an_entry_or_refused(
        mut record in prop::collection::vec(any::<u8>(), 0..80),
        number in 0..300_u32,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        real in any::<bool>(),
    ) {
        if real {
            let cache = filled(1);
            let name = numbered(0);
            cache.insert(&key(&name, kind::A), &positive(kind::A, number, number), at(0)).ok();
            record.clear();
            for shard in 0..cache.shards.len() {
                cache.sweep(shard, 0, at(1), |entry, believed| {
                    record::encode(entry, believed, at(1), &mut record);
                    true
                });
            }
        }
        for (place, value) in flips {
            if !record.is_empty() {
                let place = place.index(record.len());
                record[place] = value;
            }
        }
        if let Some(restored) = record::decode(&record, at(2)) {
            let mut again = Vec::new();
            record::encode(&restored.entry, restored.believed, at(2), &mut again);
            prop_assert_eq!(again.len(), record.len());
            let cache = fresh();
            cache.restore(restored, at(2));
            cache.check();
        }
    }
}
