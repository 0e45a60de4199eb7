//! Floods, in virtual time.

use proptest::prelude::*;

use super::*;

const NAME: &[u8] = b"\x03www\x07example\x00";

fn at(mono_millis: u64) -> Now {
    Now { mono_millis, wall_secs: 0 }
}

fn limiter(limits: Limits) -> RateLimiter {
    RateLimiter::new(limits, 1024, 42)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// How many of so many replies at one instant go out whole, with TC, and not at all.
fn burst(limiter: &RateLimiter, client: &str, kind: Kind, count: usize, now: Now) -> [usize; 3] {
    let mut totals = [0; 3];
    for _ in 0..count {
        totals[limiter.check(address(client), kind, NAME, now) as usize] += 1;
    }
    totals
}

#[test]
fn a_second_worth_goes_out_then_every_second_reply_slips() {
    let limiter = limiter(Limits::default());
    assert_eq!(burst(&limiter, "192.0.2.1", Kind::Answer, 120, at(5000)), [20, 50, 50]);
    let after: Vec<_> =
        (0..4).map(|_| limiter.check(address("192.0.2.1"), Kind::Answer, NAME, at(5000))).collect();
    assert_eq!(after, [Verdict::Drop, Verdict::Slip, Verdict::Drop, Verdict::Slip]);
}

#[test]
fn slip_can_be_all_or_none() {
    let none = limiter(Limits { slip: 0, ..Limits::default() });
    assert_eq!(burst(&none, "192.0.2.1", Kind::Answer, 120, at(0)), [20, 0, 100]);
    let all = limiter(Limits { slip: 1, ..Limits::default() });
    assert_eq!(burst(&all, "192.0.2.1", Kind::Answer, 120, at(0)), [20, 100, 0]);
    let third = limiter(Limits { slip: 3, ..Limits::default() });
    assert_eq!(burst(&third, "192.0.2.1", Kind::Answer, 119, at(0)), [20, 33, 66]);
}

#[test]
fn a_steady_client_within_its_limit_is_never_limited() {
    let limiter = limiter(Limits::default());
    for n in 0..10_000 {
        assert_eq!(limiter.check(address("192.0.2.1"), Kind::Answer, NAME, at(n * 50)), Verdict::Send);
    }
}

#[test]
fn a_flood_is_remembered_for_the_window() {
    let limiter = limiter(Limits::default());
    burst(&limiter, "192.0.2.1", Kind::Answer, 10_000, at(0));
    assert_eq!(burst(&limiter, "192.0.2.1", Kind::Answer, 1, at(14_000))[0], 0);
    assert_eq!(burst(&limiter, "192.0.2.1", Kind::Answer, 1, at(15_500))[0], 1);
    // And forgotten after it: a whole second's worth again.
    assert_eq!(burst(&limiter, "192.0.2.1", Kind::Answer, 40, at(40_000))[0], 20);
}

#[test]
fn clients_are_prefixes() {
    let limiter = limiter(Limits::default());
    burst(&limiter, "192.0.2.1", Kind::Answer, 100, at(0));
    burst(&limiter, "2001:db8:0:100::1", Kind::Answer, 100, at(0));
    for (client, sent) in [
        ("192.0.2.254", 0),
        ("::ffff:192.0.2.7", 0),
        ("192.0.3.1", 1),
        ("2001:db8:0:1ff::2", 0),
        ("2001:db8:0:200::1", 1),
    ] {
        assert_eq!(burst(&limiter, client, Kind::Answer, 1, at(0))[0], sent, "{client}");
    }
}

#[test]
fn whole_addresses_and_no_addresses_can_be_clients() {
    let each = limiter(Limits { ipv4_bits: 32, ipv6_bits: 128, ..Limits::default() });
    burst(&each, "192.0.2.1", Kind::Answer, 100, at(0));
    assert_eq!(burst(&each, "192.0.2.2", Kind::Answer, 1, at(0))[0], 1);
    let everybody = limiter(Limits { ipv4_bits: 0, ipv6_bits: 0, ..Limits::default() });
    burst(&everybody, "192.0.2.1", Kind::Answer, 100, at(0));
    assert_eq!(burst(&everybody, "198.51.100.1", Kind::Answer, 1, at(0))[0], 0);
}

#[test]
fn kinds_and_names_have_accounts_of_their_own() {
    let limiter = limiter(Limits { nxdomains_per_sec: 5, errors_per_sec: 10, ..Limits::default() });
    assert_eq!(burst(&limiter, "192.0.2.1", Kind::Answer, 60, at(0))[0], 20);
    assert_eq!(burst(&limiter, "192.0.2.1", Kind::NxDomain, 60, at(0))[0], 5);
    assert_eq!(burst(&limiter, "192.0.2.1", Kind::Error, 60, at(0))[0], 10);
    assert_eq!(limiter.check(address("192.0.2.1"), Kind::Answer, b"\x05other\x00", at(0)), Verdict::Send);
}

#[test]
fn names_that_do_not_exist_share_one_account() {
    let limiter = limiter(Limits { nxdomains_per_sec: 5, ..Limits::default() });
    let sent = (0..100u8)
        .filter(|n| limiter.check(address("192.0.2.1"), Kind::NxDomain, &[1, *n, 0], at(0)) == Verdict::Send)
        .count();
    assert_eq!(sent, 5);
}

#[test]
fn all_replies_together_are_limited() {
    let limiter = limiter(Limits::default());
    let sent = (0..=255u8)
        .flat_map(|a| (0..4u8).map(move |b| [2, a, b, 0]))
        .filter(|name| limiter.check(address("192.0.2.1"), Kind::Answer, name, at(0)) == Verdict::Send)
        .count();
    assert_eq!(sent, 200);
}

#[test]
fn zero_is_no_limit() {
    let limiter = limiter(Limits { answers_per_sec: 0, all_per_sec: 0, ..Limits::default() });
    assert_eq!(burst(&limiter, "192.0.2.1", Kind::Answer, 10_000, at(0))[0], 10_000);
}

#[test]
fn the_highest_limits_limit_too() {
    let limiter = limiter(Limits { answers_per_sec: 65_535, all_per_sec: 65_535, ..Limits::default() });
    let sent = burst(&limiter, "192.0.2.1", Kind::Answer, 200_000, at(0))[0];
    assert!((50_000..=70_000).contains(&sent), "{sent}");
}

#[test]
fn a_flood_of_prefixes_neither_grows_the_table_nor_frees_the_flooder() {
    let limiter = limiter(Limits::default());
    burst(&limiter, "192.0.2.1", Kind::Answer, 10_000, at(0));
    for n in 0..100_000u32 {
        limiter.check(IpAddr::V4((0x0a00_0000 + n * 256).into()), Kind::Answer, NAME, at(0));
    }
    assert_eq!(limiter.table.len(), 1024);
    assert_eq!(burst(&limiter, "192.0.2.1", Kind::Answer, 1, at(0))[0], 0);
}

#[test]
fn the_clock_may_come_round() {
    // 40 bits of 64ths of a millisecond.
    let round = (1u64 << 40) / 64;
    for start in [round - 500, u64::MAX - 500] {
        let limiter = limiter(Limits::default());
        let sent = (0..1000).filter(|n| {
            limiter.check(address("192.0.2.1"), Kind::Answer, NAME, at(start.wrapping_add(*n)))
                == Verdict::Send
        });
        let sent = sent.count();
        assert!((20..=40).contains(&sent), "{sent}");
    }
}

proptest! {
    #[test]
    fn nobody_gets_more_than_burst_and_rate(
        per_sec in 1u16..500,
        gaps in prop::collection::vec(0u64..40, 1..2000),
    ) {
        let limits = Limits { answers_per_sec: per_sec, all_per_sec: 0, slip: 0, ..Limits::default() };
        let limiter = limiter(limits);
        let (mut now, mut sent) = (1_000_000, 0);
        let start = now;
        for gap in gaps {
            now += gap;
            sent += u64::from(limiter.check(address("192.0.2.1"), Kind::Answer, NAME, at(now)) == Verdict::Send);
        }
        // Intervals are rounded down to ticks, so that a little more than the rate may pass.
        let allowed = u64::from(per_sec) * (1000 + now - start) / 1000;
        prop_assert!(sent <= allowed + allowed / 50 + 1, "{sent} sent, {allowed} allowed");
    }

    #[test]
    fn any_client_limit_and_time_is_survived(
        steps in prop::collection::vec((any::<u128>(), 0u8..4, prop::collection::vec(any::<u8>(), 0..255), any::<u64>()), 0..200),
        limits in (any::<[u16; 4]>(), any::<u8>(), any::<u16>(), any::<u8>(), any::<u8>()),
    ) {
        let ([answers_per_sec, nxdomains_per_sec, errors_per_sec, all_per_sec], slip, window_secs, ipv4_bits, ipv6_bits) = limits;
        let limiter = RateLimiter::new(
            Limits { answers_per_sec, nxdomains_per_sec, errors_per_sec, all_per_sec, slip, window_secs, ipv4_bits, ipv6_bits },
            0,
            7,
        );
        for (client, kind, name, now) in steps {
            let kind = [Kind::Answer, Kind::Referral, Kind::NxDomain, Kind::Error][usize::from(kind)];
            limiter.check(IpAddr::V6(client.into()), kind, &name, at(now));
        }
    }
}
