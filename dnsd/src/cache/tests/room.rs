//! What has to go when there is no room.

use super::*;

const BYTES: usize = 256 * 1024;
const HOUR: u32 = 3600;

fn numbered(number: u32) -> LowerName {
    name(&format!("n{number}.flood.example."))
}

fn is_kept(cache: &Cache, name: &LowerName, now: Now) -> bool {
    ask(cache, &key(name, kind::A), now, false).0 != Hit::Miss
}

/// A cache with popular names, pinned ones that nobody asks for, and popular denials.
fn prepared() -> (Cache, Vec<LowerName>, LowerName, Vec<LowerName>) {
    let cache = Cache::new(BYTES, 7);
    let popular: Vec<_> = (0..200).map(|number| name(&format!("p{number}.example."))).collect();
    let denied: Vec<_> = (0..5).map(|number| name(&format!("d{number}.example."))).collect();
    let pinned = name("pinned.example.");
    cache.set_pins([&Name::parse("pinned.example.").unwrap()]);
    cache.insert(&key(&pinned, kind::A), &positive(kind::A, HOUR, 1), at(0)).unwrap();
    for name in &popular {
        cache.insert(&key(name, kind::A), &positive(kind::A, HOUR, 1), at(0)).unwrap();
        (0..3).for_each(|_| assert!(is_kept(&cache, name, at(0))));
    }
    for name in &denied {
        cache.insert(&key(name, kind::A), &denial(rcode::NXDOMAIN, HOUR, 1), at(0)).unwrap();
        (0..3).for_each(|_| assert!(is_kept(&cache, name, at(0))));
    }
    (cache, popular, pinned, denied)
}

/// Floods with what `put` puts in, while the popular names are asked for now and then.
fn flood(put: impl Fn(&Cache, &LowerName)) -> Cache {
    let (cache, popular, pinned, denied) = prepared();
    for number in 0..20_000 {
        put(&cache, &numbered(number));
        if number % 10 == 0 {
            let at_turn = (number / 10) as usize;
            assert!(is_kept(&cache, &popular[at_turn % popular.len()], at(1)), "popular, after {number}");
            assert!(is_kept(&cache, &denied[at_turn % denied.len()], at(1)), "a denial, after {number}");
        }
        if number % 1000 == 0 {
            cache.check();
        }
    }
    cache.check();
    assert!(is_kept(&cache, &pinned, at(1)), "pinned, and never asked for");
    assert!(popular.iter().all(|name| is_kept(&cache, name, at(1))));
    cache
}

#[test]
fn a_flood_of_names_pushes_out_nothing_that_is_wanted() {
    let cache = flood(|cache, name| {
        cache.insert(&key(name, kind::A), &positive(kind::A, HOUR, 1), at(1)).unwrap();
    });
    let stats = cache.stats();
    assert!(stats.evicted.unproven > 15_000, "{stats:?}");
    assert!(stats.bytes > BYTES as u64 * 9 / 10, "the room is used: {stats:?}");
}

#[test]
fn a_flood_of_denials_keeps_to_its_share() {
    let cache = flood(|cache, name| {
        cache.insert(&key(name, kind::A), &denial(rcode::NXDOMAIN, HOUR, 1), at(1)).unwrap();
    });
    let stats = cache.stats();
    assert!(stats.evicted.denials > 15_000, "{stats:?}");
    assert!(stats.bytes < BYTES as u64 / 2, "{stats:?}");
}

#[test]
fn a_flood_of_failures_keeps_to_its_share() {
    let failure = Failure { rcode: rcode::SERVFAIL, ede: None };
    let cache = flood(|cache, name| cache.insert_failure(&key(name, kind::A), failure, at(1)));
    assert!(cache.stats().bytes < BYTES as u64 / 2, "{:?}", cache.stats());
}

#[test]
fn one_that_comes_back_soon_is_believed() {
    let cache = Cache::new(BYTES_MIN, 7);
    let back = name("back.example.");
    let put =
        |name: &LowerName| cache.insert(&key(name, kind::A), &positive(kind::A, HOUR, 1), at(0)).unwrap();
    put(&back);
    let mut number = 0;
    while cache.describe(&back, at(0)).len() == 1 {
        put(&numbered(number));
        number += 1;
    }
    put(&back);
    (0..2 * number).for_each(|more| put(&numbered(number + more)));
    assert_eq!(cache.describe(&back, at(0)).len(), 1, "it would have left by now");
}

#[test]
fn pinned_entries_leave_room_for_others() {
    let cache = Cache::new(BYTES_MIN, 7);
    let names: Vec<Name> =
        (0..2000).map(|number| Name::parse(&format!("p{number}.example.")).unwrap()).collect();
    cache.set_pins(&names);
    for name in &names {
        let name = LowerName::of(name.as_wire());
        cache.insert(&key(&name, kind::A), &positive(kind::A, HOUR, 1), at(0)).unwrap();
    }
    cache.check();
    let stats = cache.stats();
    assert!(stats.pinned > 100 && stats.pinned < stats.entries, "{stats:?}");
    let other = name("other.example.");
    cache.insert(&key(&other, kind::A), &positive(kind::A, HOUR, 1), at(0)).unwrap();
    assert!(is_kept(&cache, &other, at(0)));
}

#[test]
fn less_room_is_made_at_once() {
    let cache = Cache::new(4 * BYTES, 7);
    let wanted = name("wanted.example.");
    cache.insert(&key(&wanted, kind::A), &positive(kind::A, HOUR, 1), at(0)).unwrap();
    (0..3).for_each(|_| assert!(is_kept(&cache, &wanted, at(0))));
    for number in 0..20_000 {
        cache.insert(&key(&numbered(number), kind::A), &positive(kind::A, HOUR, 1), at(0)).unwrap();
    }
    cache.set_bytes_max(BYTES, at(0));
    cache.check();
    assert!(cache.stats().bytes <= BYTES as u64);
    assert!(is_kept(&cache, &wanted, at(0)));
    cache.set_bytes_max(0, at(0));
    cache.check();
    assert!(cache.stats().bytes <= BYTES_MIN as u64);
}

#[test]
fn many_threads_see_only_what_was_put_in() {
    let cache = Cache::new(BYTES, 7);
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let cache = &cache;
            scope.spawn(move || {
                for turn in 0..5000_u32 {
                    let number = turn.wrapping_mul(2_654_435_761) >> 20;
                    let name = numbered(number);
                    match (turn + thread) % 4 {
                        0 => {
                            let body = positive(kind::A, HOUR, number);
                            cache.insert(&key(&name, kind::A), &body, at(0)).unwrap();
                        }
                        1 if turn % 500 == 1 => {
                            _ = cache.flush(&Flush::Name(Name::from_wire(name.as_wire()).unwrap()));
                        }
                        _ => {
                            if let (Hit::Fresh { .. }, octets) =
                                ask(cache, &key(&name, kind::A), at(1), false)
                            {
                                assert_eq!(read(&octets), (number, HOUR - 1));
                            }
                        }
                    }
                }
            });
        }
    });
    cache.check();
    assert!(cache.stats().hits > 0);
}
