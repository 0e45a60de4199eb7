//! What is kept, for how long, and what is given out.

use super::*;

const FAILURE: Failure = Failure { rcode: rcode::SERVFAIL, ede: Some((22, "no answer")) };

fn cache() -> Cache {
    Cache::new(1 << 20, 7)
}

#[test]
fn an_answer_comes_back_with_its_ttls_as_old_as_it_is() {
    let (cache, name) = (cache(), name("www.example."));
    let records = [record(kind::CNAME, 300, &[0xc0, 12]), record(kind::A, 60, &[192, 0, 2, 1])];
    let stored = body(rcode::NOERROR, [&records, &[], &[record(kind::TXT, 20, b"\x01x")]]);
    cache.insert(&key(&name, kind::A), &stored, at(100)).unwrap();
    let (hit, octets) = ask(&cache, &key(&name, kind::A), Now { mono_millis: 129_999, ..at(0) }, false);
    let Hit::Fresh { written: Ok(written), .. } = hit else { panic!("{hit:?}") };
    assert_eq!((written.rcode, written.answers, written.additionals), (0, 2, 1));
    assert!(!written.authoritative, "a cache is no authority");
    assert_eq!(written.additional_at, stored.additional_at as usize);
    let ttl = |at: u16| u32::from_be_bytes(octets[at.into()..usize::from(at) + 4].try_into().unwrap());
    assert_eq!(stored.ttls.iter().map(|at| ttl(*at)).collect::<Vec<_>>(), [271, 31, 0]);
    let mut expected = stored.bytes.to_vec();
    for at in &stored.ttls {
        expected[usize::from(*at)..usize::from(*at) + 4].copy_from_slice(&ttl(*at).to_be_bytes());
    }
    assert_eq!(octets, expected);
    assert_eq!(ask(&cache, &key(&name, kind::A), at(159), false).0, {
        let (hit, _) = (hit, ());
        let Hit::Fresh { written, .. } = hit else { unreachable!() };
        Hit::Fresh { written, prefetch: true }
    });
    assert_eq!(ask(&cache, &key(&name, kind::A), at(160), false).0, Hit::Miss, "its time is over");
}

#[test]
fn answers_differ_by_type_and_flags_and_not_by_case() {
    let (cache, name) = (cache(), name("a.example."));
    let plain = key(&name, kind::A);
    let keys = [
        plain,
        Key { kind: kind::AAAA, ..plain },
        Key { dnssec_ok: true, ..plain },
        Key { checking_disabled: true, ..plain },
        Key { dnssec_ok: true, checking_disabled: true, ..plain },
    ];
    for (id, key) in (0..).zip(&keys) {
        cache.insert(key, &positive(key.kind, 60, id), at(0)).unwrap();
    }
    for (id, key) in (0..).zip(&keys) {
        assert_eq!(read(&ask(&cache, key, at(1), false).1), (id, 59));
    }
    let other_case = LowerName::of(b"\x01A\x07eXample\x00");
    assert_eq!(read(&ask(&cache, &key(&other_case, kind::A), at(1), false).1), (0, 59));
}

#[test]
fn what_must_not_be_kept_is_not() {
    let (cache, name) = (cache(), name("a.example."));
    let of = |kind, body: Body| cache.insert(&key(&name, kind), &body, at(0));
    assert_eq!(of(kind::A, positive(kind::A, 0, 1)), Err(NotStored::TtlZero));
    assert_eq!(of(kind::A, body(rcode::NXDOMAIN, [&[], &[], &[]])), Err(NotStored::NoSoa));
    assert_eq!(of(kind::A, body(rcode::NOERROR, [&[], &[], &[]])), Err(NotStored::NoSoa));
    let referral = body(rcode::NOERROR, [&[], &[record(kind::NS, 60, &[0])], &[]]);
    assert_eq!(of(kind::A, referral), Err(NotStored::NoSoa));
    assert_eq!(of(kind::A, denial(rcode::SERVFAIL, 60, 1)), Err(NotStored::Rcode));
    assert_eq!(of(kind::A, denial(rcode::REFUSED, 60, 1)), Err(NotStored::Rcode));
    assert_eq!(of(kind::AXFR, positive(kind::AXFR, 60, 1)), Err(NotStored::Kind));
    assert_eq!(of(0, positive(0, 60, 1)), Err(NotStored::Kind));
    let fitting = positive(kind::A, 60, 1);
    for ttls in [vec![], vec![5], vec![6, 6], vec![3], vec![11], vec![u16::MAX]] {
        let torn = Body { ttls: ttls.clone().into(), answers: ttls.len().max(1) as u16, ..fitting.clone() };
        let kept = of(kind::A, torn);
        assert!(ttls == [5] || kept == Err(NotStored::Malformed), "{ttls:?}: {kept:?}");
    }
    cache.flush(&Flush::All);
    let huge = body(rcode::NOERROR, [&[record(kind::TXT, 60, &vec![7; 60_000])], &[], &[]]);
    assert_eq!(
        Cache::new(BYTES_MIN, 0).insert(&key(&name, kind::TXT), &huge, at(0)),
        Err(NotStored::TooLarge)
    );
    assert_eq!(cache.stats().entries, 0);
}

#[test]
fn ttls_are_cut_and_absurd_ones_are_large() {
    let (cache, name) = (cache(), name("a.example."));
    cache.insert(&key(&name, kind::A), &positive(kind::A, 1 << 31, 1), at(0)).unwrap();
    assert_eq!(read(&ask(&cache, &key(&name, kind::A), at(0), false).1).1, TTL_MAX);
    cache.insert(&key(&name, kind::AAAA), &denial(rcode::NOERROR, 1_000_000, 1), at(0)).unwrap();
    assert_eq!(read(&ask(&cache, &key(&name, kind::AAAA), at(0), false).1).1, NEGATIVE_TTL_MAX);
    assert_eq!(ask(&cache, &key(&name, kind::AAAA), at(NEGATIVE_TTL_MAX.into()), false).0, Hit::Miss);
}

#[test]
fn a_denial_lives_as_long_as_the_lesser_of_soa_ttl_and_minimum() {
    for (ttl, minimum, expected) in [(600, 20, 20), (20, 600, 20), (7, 7, 7)] {
        let (cache, name) = (cache(), name("a.example."));
        let denied = body(rcode::NXDOMAIN, [&[], &[soa(ttl, minimum, 1)], &[]]);
        cache.insert(&key(&name, kind::A), &denied, at(0)).unwrap();
        assert_eq!(read(&ask(&cache, &key(&name, kind::A), at(0), false).1), (1, expected));
        assert_eq!(ask(&cache, &key(&name, kind::A), at(expected.into()), false).0, Hit::Miss);
    }
    let (cache, name) = (cache(), name("a.example."));
    let never = body(rcode::NXDOMAIN, [&[], &[soa(600, 0, 1)], &[]]);
    assert_eq!(cache.insert(&key(&name, kind::A), &never, at(0)), Err(NotStored::TtlZero));
}

#[test]
fn no_such_name_holds_for_every_type_and_no_such_data_for_one() {
    let (cache, name) = (cache(), name("a.example."));
    cache.insert(&key(&name, kind::A), &denial(rcode::NOERROR, 60, 1), at(0)).unwrap();
    assert_eq!(ask(&cache, &key(&name, kind::AAAA), at(1), false).0, Hit::Miss);
    cache.insert(&key(&name, kind::MX), &denial(rcode::NXDOMAIN, 60, 2), at(0)).unwrap();
    for asked in [kind::AAAA, kind::TXT, kind::MX] {
        let (hit, octets) = ask(&cache, &key(&name, asked), at(1), false);
        let Hit::Fresh { written: Ok(written), .. } = hit else { panic!("{hit:?}") };
        assert_eq!((written.rcode, read(&octets)), (rcode::NXDOMAIN, (2, 59)));
    }
    let signed = Key { dnssec_ok: true, ..key(&name, kind::TXT) };
    assert_eq!(ask(&cache, &signed, at(1), false).0, Hit::Miss, "it carries no proof");
    // Something is there after all.
    cache.insert(&signed, &positive(kind::TXT, 60, 3), at(2)).unwrap();
    assert_eq!(ask(&cache, &key(&name, kind::AAAA), at(2), false).0, Hit::Miss);
}

#[test]
fn a_denied_target_of_an_alias_does_not_deny_the_alias() {
    let (cache, name) = (cache(), name("alias.example."));
    let alias = record(kind::CNAME, 60, &[0]);
    let denied = body(rcode::NXDOMAIN, [&[alias], &[soa(60, 60, 1)], &[]]);
    cache.insert(&key(&name, kind::A), &denied, at(0)).unwrap();
    assert!(matches!(ask(&cache, &key(&name, kind::A), at(1), false).0, Hit::Fresh { .. }));
    assert_eq!(ask(&cache, &key(&name, kind::CNAME), at(1), false).0, Hit::Miss);
}

#[test]
fn a_name_that_is_gone_is_not_given_out_stale() {
    let (cache, name) = (cache(), name("a.example."));
    cache.insert(&key(&name, kind::A), &positive(kind::A, 10, 1), at(0)).unwrap();
    cache.insert(&key(&name, kind::A), &denial(rcode::NXDOMAIN, 10, 2), at(20)).unwrap();
    for now in [21, 40] {
        assert_eq!(read(&ask(&cache, &key(&name, kind::A), at(now), true).1).0, 2);
    }
}

#[test]
fn stale_answers_go_out_when_allowed_or_when_asking_has_failed() {
    let (cache, name) = (cache(), name("a.example."));
    let key = key(&name, kind::A);
    cache.insert(&key, &positive(kind::A, 10, 1), at(0)).unwrap();
    assert_eq!(ask(&cache, &key, at(10), false).0, Hit::Miss);
    let (hit, octets) = ask(&cache, &key, at(10), true);
    assert!(matches!(hit, Hit::Stale { written: Ok(_), refresh: true }), "{hit:?}");
    assert_eq!(read(&octets), (1, STALE_TTL));
    cache.insert_failure(&key, FAILURE, at(12));
    let (hit, octets) = ask(&cache, &key, at(12), false);
    assert!(matches!(hit, Hit::Stale { refresh: false, .. }), "{hit:?}");
    assert_eq!(read(&octets), (1, STALE_TTL));
    assert_eq!(ask(&cache, &key, at(13), false).0, Hit::Miss, "the failure is over");
    let last = STALE_DEFAULT.as_secs() + 10;
    assert!(matches!(ask(&cache, &key, at(last - 1), true).0, Hit::Stale { .. }));
    assert_eq!(ask(&cache, &key, at(last), true).0, Hit::Miss, "too old");
    cache.insert(&key, &positive(kind::A, 10, 2), at(last)).unwrap();
    assert_eq!(read(&ask(&cache, &key, at(last), true).1), (2, 10));
    cache.set_stale(Duration::ZERO);
    assert_eq!(ask(&cache, &key, at(last + 10), true).0, Hit::Miss, "switched off");
}

#[test]
fn one_caller_a_second_refreshes_a_stale_answer() {
    let (cache, name) = (cache(), name("a.example."));
    let key = key(&name, kind::A);
    cache.insert(&key, &positive(kind::A, 1, 1), at(0)).unwrap();
    let told = |millis| {
        let now = Now { mono_millis: millis, wall_secs: 0 };
        matches!(ask(&cache, &key, now, true).0, Hit::Stale { refresh: true, .. })
    };
    assert_eq!([5000, 5000, 5999, 6000, 6001].map(told), [true, false, false, true, false]);
}

#[test]
fn one_caller_refreshes_what_is_wanted_and_about_to_expire() {
    let (cache, name) = (cache(), name("a.example."));
    let key = key(&name, kind::A);
    let told = |now| match ask(&cache, &key, at(now), false).0 {
        Hit::Fresh { prefetch, .. } => prefetch,
        hit => panic!("{hit:?}"),
    };
    cache.insert(&key, &positive(kind::A, 100, 1), at(0)).unwrap();
    assert!(!told(95), "one hit is no demand");
    assert!(told(96));
    assert!(!told(97), "somebody is at it");
    cache.insert(&key, &positive(kind::A, 100, 1), at(98)).unwrap();
    assert_eq!([98, 99, 187, 188, 189].map(told), [false, false, false, true, false]);
    // It failed; once that is over, somebody else may try.
    cache.insert_failure(&key, FAILURE, at(190));
    assert_eq!([190, 191].map(told), [false, true]);
}

#[test]
fn failures_are_remembered_per_question_and_never_hide_an_answer() {
    let (cache, name) = (cache(), name("a.example."));
    let key_a = key(&name, kind::A);
    cache.insert_failure(&key_a, FAILURE, at(0));
    let expected = Hit::Failed { written: Written::empty(rcode::SERVFAIL), ede: FAILURE.ede };
    assert_eq!(ask(&cache, &key_a, at(0), true).0, expected);
    assert_eq!(ask(&cache, &key(&name, kind::AAAA), at(0), true).0, Hit::Miss);
    assert_eq!(ask(&cache, &key_a, at(1), true).0, Hit::Miss);
    cache.insert_failure(&key_a, FAILURE, at(1));
    assert_eq!(ask(&cache, &key_a, at(2), true).0, expected, "the second time is longer");
    cache.forget_failures();
    assert_eq!(ask(&cache, &key_a, at(2), true).0, Hit::Miss);
    cache.insert_failure(&key_a, FAILURE, at(2));
    assert_eq!(ask(&cache, &key_a, at(3), true).0, Hit::Miss, "counted from the start again");
    cache.insert_failure(&key_a, FAILURE, at(3));
    cache.insert(&key_a, &positive(kind::A, 1, 1), at(3)).unwrap();
    assert!(matches!(ask(&cache, &key_a, at(3), false).0, Hit::Fresh { .. }));
    assert_eq!(ask(&cache, &key_a, at(4), false).0, Hit::Miss, "an answer ends the failure");
}

#[test]
fn a_pinned_name_is_given_out_however_stale() {
    let (cache, name) = (cache(), name("registry.example."));
    let pin = Name::parse("Registry.Example.").unwrap();
    let year = 365 * 86_400;
    cache.insert(&key(&name, kind::A), &positive(kind::A, 10, 1), at(0)).unwrap();
    cache.set_pins([&pin]);
    cache.insert(&key(&name, kind::AAAA), &positive(kind::AAAA, 10, 2), at(0)).unwrap();
    cache.insert(&key(&name, kind::TXT), &positive(kind::TXT, 10, 3), at(0)).unwrap();
    assert_eq!(cache.stats().pinned, 2);
    assert_eq!(read(&ask(&cache, &key(&name, kind::A), at(year), true).1).0, 1);
    assert_eq!(read(&ask(&cache, &key(&name, kind::AAAA), at(year), true).1).0, 2);
    assert_eq!(ask(&cache, &key(&name, kind::TXT), at(year), true).0, Hit::Miss);
    // An answer that may not be kept is better than none, later.
    cache.insert(&key(&name, kind::A), &positive(kind::A, 0, 4), at(year)).unwrap();
    assert_eq!(ask(&cache, &key(&name, kind::A), at(year), false).0, Hit::Miss);
    assert_eq!(read(&ask(&cache, &key(&name, kind::A), at(2 * year), true).1).0, 4);
    // While it is denied it is denied; when nobody can tell any more, the last address counts.
    cache.insert(&key(&name, kind::A), &denial(rcode::NXDOMAIN, 10, 5), at(2 * year)).unwrap();
    assert_eq!(read(&ask(&cache, &key(&name, kind::A), at(2 * year), true).1).0, 5);
    assert_eq!(read(&ask(&cache, &key(&name, kind::A), at(2 * year + 10), true).1).0, 4);
    cache.set_pins([]);
    assert_eq!(cache.stats().pinned, 0);
    assert_eq!(ask(&cache, &key(&name, kind::AAAA), at(3 * year), true).0, Hit::Miss);
    cache.check();
}

#[test]
fn an_answer_that_is_over_is_not_kept_for_its_successors_ttl_of_zero() {
    let (cache, name) = (cache(), name("a.example."));
    cache.insert(&key(&name, kind::A), &positive(kind::A, 10, 1), at(0)).unwrap();
    assert_eq!(cache.insert(&key(&name, kind::A), &positive(kind::A, 0, 2), at(20)), Err(NotStored::TtlZero));
    assert_eq!(ask(&cache, &key(&name, kind::A), at(20), true).0, Hit::Miss);
}

#[test]
fn what_does_not_fit_loses_its_additional_section_first() {
    let (cache, name) = (cache(), name("a.example."));
    let records = [record(kind::A, 60, &[1; 4])];
    let stored = body(rcode::NOERROR, [&records, &[], &[record(kind::TXT, 60, &[0; 100])]]);
    cache.insert(&key(&name, kind::A), &stored, at(0)).unwrap();
    let mut out = [0; 512];
    for (room, expected) in
        [(128, Some((128, 1))), (127, Some((16, 0))), (16, Some((16, 0))), (15, None), (0, None)]
    {
        let hit = cache.answer(&key(&name, kind::A), at(0), false, &mut out[..room]);
        let Hit::Fresh { written, .. } = hit else { panic!("{hit:?}") };
        assert_eq!(written.ok().map(|written| (written.len, written.additionals)), expected, "{room}");
    }
}

#[test]
fn what_is_flushed_is_gone() {
    let names = ["example.", "a.example.", "b.a.example.", "xa.example.", "other."].map(name);
    let left = |flush: &Flush| {
        let cache = cache();
        cache.set_pins([&Name::parse("a.example.").unwrap()]);
        for name in &names {
            cache.insert(&key(name, kind::A), &positive(kind::A, 60, 1), at(0)).unwrap();
        }
        let flushed = cache.flush(flush);
        cache.check();
        assert_eq!(
            (cache.stats().entries, cache.stats().evicted.flushed),
            (5 - flushed as u64, flushed as u64)
        );
        names.each_ref().map(|name| ask(&cache, &key(name, kind::A), at(1), true).0 != Hit::Miss)
    };
    let of = |text| Name::parse(text).unwrap();
    assert_eq!(left(&Flush::Name(of("A.example."))), [true, false, true, true, true]);
    assert_eq!(left(&Flush::Subtree(of("A.example."))), [true, false, false, true, true]);
    assert_eq!(left(&Flush::Subtree(of("example."))), [false, false, false, false, true]);
    assert_eq!(left(&Flush::Subtree(Name::root())), [false; 5]);
    assert_eq!(left(&Flush::All), [false; 5]);
}

#[test]
fn what_is_there_can_be_told() {
    let (cache, name) = (cache(), name("a.example."));
    cache.insert(&key(&name, kind::A), &positive(kind::A, 60, 1), at(0)).unwrap();
    assert_eq!(cache.remaining(&key(&name, kind::A), at(20)), Some(Duration::from_secs(40)));
    assert_eq!(cache.remaining(&key(&name, kind::A), at(60)), None);
    assert_eq!(cache.remaining(&key(&name, kind::AAAA), at(0)), None);
    ask(&cache, &key(&name, kind::A), at(1), false);
    let told = cache.describe(&name, at(61));
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].kind, told[0].ttl, told[0].hits, told[0].pinned), (kind::A, -1, 1, false));
    cache.insert(&key(&name, kind::A), &denial(rcode::NXDOMAIN, 60, 1), at(0)).unwrap();
    assert_eq!(cache.remaining(&key(&name, kind::AAAA), at(0)), Some(Duration::from_secs(60)));
}

#[test]
fn a_panic_under_a_lock_costs_one_shard() {
    let (cache, name) = (Cache::new(BYTES_MIN, 7), name("a.example."));
    cache.insert(&key(&name, kind::A), &positive(kind::A, 60, 1), at(0)).unwrap();
    let torn = faros_common::tasks::contain("test", || {
        cache.shards[0].lock().flush(|_| panic!("on purpose"));
    });
    assert!(torn.is_none());
    assert_eq!(ask(&cache, &key(&name, kind::A), at(0), false).0, Hit::Miss);
    cache.insert(&key(&name, kind::A), &positive(kind::A, 60, 1), at(0)).unwrap();
    assert!(matches!(ask(&cache, &key(&name, kind::A), at(0), false).0, Hit::Fresh { .. }));
}
