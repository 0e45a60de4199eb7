//! Transitions one by one; both ends over a bad link in virtual time are in `link`.

mod link;

use super::*;
use crate::protocol::options;

fn agreement(windowsize: u16, options: bool) -> Agreement {
    Agreement {
        blksize: 1468,
        windowsize,
        timeout: None,
        rollover: Rollover::Zero,
        option_ack: options.then(|| b"\0\x06windowsize\x004\0".to_vec()),
    }
}

/// A moment to start from. The machine never asks for the time itself.
fn epoch() -> Instant {
    faros_common::clock::now()
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn blocks(first: u64, count: u16) -> Action {
    Action::Send(Blocks { first, count })
}

/// A transfer whose OACK is acknowledged after one millisecond, and the time.
fn sending(windowsize: u16, last: u64) -> (Transfer, Instant) {
    let start = epoch();
    let (mut transfer, first) = Transfer::start(&agreement(windowsize, true), Some(last), start);
    assert_eq!(first, Action::Offer);
    let now = start + ms(1);
    let count = u64::from(windowsize).min(last) as u16;
    assert_eq!(transfer.on_ack(0, now), blocks(1, count));
    (transfer, now)
}

#[test]
fn without_options_one_block_comes_first() {
    let (transfer, first) = Transfer::start(&agreement(1, false), Some(3), epoch());
    assert_eq!(first, blocks(1, 1));
    assert_eq!(transfer.header(1), [0, 3, 0, 1]);
}

#[test]
fn t38_before_the_first_ack_no_more_than_one_packet_goes_out_at_a_time() {
    for options in [false, true] {
        let start = epoch();
        let (mut transfer, _) = Transfer::start(&agreement(1, options), Some(100), start);
        let mut packets = 1;
        loop {
            match transfer.on_timeout(transfer.deadline()) {
                Action::Offer | Action::Send(Blocks { first: 1, count: 1 }) => packets += 1,
                Action::Finish(Outcome::Silent) => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(packets <= TRIES_MAX, "{packets}");
    }
}

#[test]
fn a_window_follows_each_ack_of_a_whole_window() {
    let (mut transfer, now) = sending(4, 10);
    assert_eq!(transfer.on_ack(4, now), blocks(5, 4));
    assert_eq!(transfer.on_ack(8, now), blocks(9, 2));
    assert_eq!(transfer.on_ack(10, now), Action::Finish(Outcome::Sent));
    assert_eq!(transfer.retransmits(), 0);
}

#[test]
fn a_gap_is_filled_from_where_it_begins() {
    let (mut transfer, now) = sending(4, 10);
    assert_eq!(transfer.on_ack(2, now), blocks(3, 4));
    assert_eq!(transfer.retransmits(), 2);
}

#[test]
fn t29_a_duplicate_ack_sends_nothing_in_lock_step() {
    let (mut transfer, now) = sending(1, 10);
    assert_eq!(transfer.on_ack(1, now + ms(1)), blocks(2, 1));
    for late in [1, 50, 150] {
        assert_eq!(transfer.on_ack(1, now + ms(late)), Action::Drop(DropReason::AckRepeated));
    }
    assert_eq!(transfer.on_ack(2, now + ms(151)), blocks(3, 1));
    assert_eq!(transfer.retransmits(), 0);
}

#[test]
fn t29_after_a_duplicate_ack_the_block_under_way_gets_a_second() {
    let (mut transfer, now) = sending(1, 10);
    assert_eq!(transfer.on_ack(1, now + ms(1)), blocks(2, 1));
    assert!(transfer.deadline() < now + ms(500), "without duplicates a loss is noticed sooner");
    transfer.on_ack(1, now + ms(2));
    assert_eq!(transfer.deadline(), now + ms(1001));
    assert_eq!(transfer.on_timeout(now + ms(1001)), blocks(2, 1));
}

#[test]
fn t29_an_interval_set_by_the_client_is_kept_whatever_comes_twice() {
    let start = epoch();
    let mut agreement = agreement(1, true);
    agreement.timeout = Some(Duration::from_secs(3));
    let (mut transfer, _) = Transfer::start(&agreement, Some(10), start);
    transfer.on_ack(0, start);
    transfer.on_ack(1, start + ms(1));
    transfer.on_ack(1, start + ms(2));
    assert_eq!(transfer.deadline(), start + ms(3001));
}

#[test]
fn x28_a_standstill_of_ours_is_not_the_client_s_silence() {
    for still in [Duration::from_secs(40), Duration::from_secs(3600)] {
        let (mut transfer, now) = sending(1, 10);
        let later = now + still;
        transfer.on_standstill(still);
        assert_eq!(transfer.on_timeout(later), blocks(1, 1));
        assert_eq!(transfer.on_ack(0, later + ms(1)), Action::Drop(DropReason::AckRepeated));
        assert_eq!(transfer.on_ack(1, later + ms(2)), blocks(2, 1));
    }
}

#[test]
fn a_repeated_ack_restarts_a_window_once_per_round_trip() {
    let (mut transfer, now) = sending(4, 100);
    assert_eq!(transfer.on_ack(4, now + ms(1)), blocks(5, 4));
    // Too soon to be about this window: a duplicate made by the network.
    assert_eq!(transfer.on_ack(4, now + ms(1)), Action::Drop(DropReason::AckRepeated));
    assert_eq!(transfer.on_ack(4, now + ms(3)), blocks(5, 4));
    assert_eq!(transfer.on_ack(4, now + ms(3)), Action::Drop(DropReason::AckRepeated));
    assert_eq!(transfer.on_ack(8, now + ms(4)), blocks(9, 4));
}

#[test]
fn t30_an_ack_ahead_of_the_window_is_dropped() {
    let (mut transfer, now) = sending(4, 100);
    for ahead in [5, 6, 99, 65535] {
        assert_eq!(transfer.on_ack(ahead, now), Action::Drop(DropReason::AckOutOfRange));
    }
    assert_eq!(transfer.on_ack(4, now), blocks(5, 4));
    assert_eq!(transfer.on_ack(3, now), Action::Drop(DropReason::AckOutOfRange));
}

#[test]
fn t33_a_silent_client_is_given_up_in_time() {
    for timeout in [None, Some(1), Some(3), Some(10), Some(255)] {
        let start = epoch();
        let mut agreement = agreement(4, true);
        agreement.timeout = timeout.map(Duration::from_secs);
        let (mut transfer, _) = Transfer::start(&agreement, Some(100), start);
        let (mut sent, mut at) = (1, start);
        let outcome = loop {
            assert!(transfer.deadline() > at, "time stands still");
            at = transfer.deadline();
            match transfer.on_timeout(at) {
                Action::Offer => sent += 1,
                Action::Finish(outcome) => break outcome,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(outcome, Outcome::Silent);
        assert!(sent <= TRIES_MAX, "{sent}");
        assert!(at - start < Duration::from_secs(30), "{timeout:?}: {:?}", at - start);
    }
}

#[test]
fn a_client_that_falls_silent_in_the_middle_is_given_up_in_time() {
    let (mut transfer, now) = sending(64, 1000);
    let mut at = now;
    while !matches!(transfer.on_timeout(at), Action::Finish(Outcome::Silent)) {
        at = transfer.deadline();
    }
    assert!(at - now < Duration::from_secs(30), "{:?}", at - now);
}

#[test]
fn the_client_s_timeout_is_kept_exactly() {
    let start = epoch();
    let mut agreement = agreement(1, true);
    agreement.timeout = Some(Duration::from_secs(3));
    let (transfer, _) = Transfer::start(&agreement, Some(9), start);
    assert_eq!(transfer.deadline(), start + Duration::from_secs(3));
}

#[test]
fn t34_a_lost_last_ack_ends_as_sent_unconfirmed() {
    let (mut transfer, mut now) = sending(1, 2);
    assert_eq!(transfer.on_ack(1, now), blocks(2, 1));
    let mut sent = 1;
    let outcome = loop {
        now = transfer.deadline();
        match transfer.on_timeout(now) {
            Action::Send(Blocks { first: 2, count: 1 }) => sent += 1,
            Action::Finish(outcome) => break outcome,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((outcome, sent), (Outcome::SentUnconfirmed, TRIES_MAX));
}

#[test]
fn t34_a_late_last_ack_ends_the_transfer() {
    let (mut transfer, now) = sending(1, 1);
    let at = transfer.deadline();
    assert_eq!(transfer.on_timeout(at), blocks(1, 1));
    assert!(at > now);
    assert_eq!(transfer.on_ack(1, at + ms(1)), Action::Finish(Outcome::Sent));
}

#[test]
fn t32_an_error_ends_the_transfer() {
    let (mut transfer, _) = Transfer::start(&agreement(4, true), Some(9), epoch());
    assert_eq!(transfer.on_error(8), Action::Finish(Outcome::Aborted(8)));
}

#[test]
fn a_closed_port_ends_the_transfer() {
    let (mut transfer, now) = sending(1, 2);
    assert_eq!(transfer.clone().on_unreachable(), Action::Finish(Outcome::Unreachable));
    transfer.on_ack(1, now);
    assert_eq!(transfer.on_unreachable(), Action::Finish(Outcome::SentUnconfirmed));
}

#[test]
fn a_client_that_only_repeats_itself_is_given_up() {
    for windowsize in [1, 8] {
        let (mut transfer, start) = sending(windowsize, 100);
        let mut now = start;
        let outcome = loop {
            now += ms(100);
            if now >= transfer.deadline()
                && let Action::Finish(outcome) = transfer.on_timeout(now)
            {
                break outcome;
            }
            if let Action::Finish(outcome) = transfer.on_ack(0, now) {
                break outcome;
            }
        };
        assert_eq!(outcome, Outcome::Stalled);
        assert!(now - start <= STALL_MAX + Duration::from_secs(1), "{:?}", now - start);
    }
}

#[test]
fn a_repeated_request_brings_the_first_packet_again_but_no_flood() {
    let start = epoch();
    let (mut transfer, _) = Transfer::start(&agreement(4, true), Some(9), start);
    let mut answers = 0;
    for step in 0..1000 {
        let now = start + ms(step);
        match transfer.on_repeated_request(now) {
            Action::Offer => answers += 1,
            other => assert_eq!(other, Action::Drop(DropReason::RequestRepeated)),
        }
    }
    assert!((1..=4).contains(&answers), "{answers}");
    transfer.on_ack(0, start + ms(1001));
    assert_eq!(transfer.on_repeated_request(start + ms(9000)), Action::Drop(DropReason::RequestRepeated));
}

#[test]
fn loss_shrinks_the_burst_and_clean_windows_restore_it() {
    let (mut transfer, mut now) = sending(64, 1_000_000);
    assert_eq!(transfer.on_ack(10, now), blocks(11, 32));
    now = transfer.deadline();
    assert_eq!(transfer.on_timeout(now), blocks(43, 32));
    assert!(transfer.deadline() > now + BURST_INTERVAL);
    for _ in 0..20 {
        transfer.on_ack((transfer.base + 3) as u16, now);
    }
    assert_eq!(transfer.burst, 4, "bursts have a floor");
    for _ in 0..200 {
        while transfer.next < transfer.end {
            now = transfer.deadline();
            transfer.on_timeout(now);
        }
        transfer.on_ack((transfer.end - 1) as u16, now);
    }
    assert_eq!(transfer.burst, 64);
}

#[test]
fn a_burst_never_exceeds_its_octets() {
    let start = epoch();
    let mut agreement = agreement(64, true);
    agreement.blksize = options::BLKSIZE_MAX;
    let (mut transfer, _) = Transfer::start(&agreement, Some(1000), start);
    assert_eq!(transfer.on_ack(0, start + ms(1)), blocks(1, 2));
}

#[test]
fn t35_block_numbers_roll_over_to_zero_or_as_agreed_to_one() {
    for (rollover, after) in [(Rollover::Zero, [65535u16, 0, 1]), (Rollover::One, [65535, 1, 2])] {
        let mut agreement = agreement(1, true);
        agreement.rollover = rollover;
        let mut now = epoch();
        let last = 200_000;
        let (mut transfer, _) = Transfer::start(&agreement, Some(last), now);
        transfer.on_ack(0, now);
        for block in 1..=last {
            now += ms(1);
            let wire = transfer.header(block);
            let action = transfer.on_ack(u16::from_be_bytes([wire[2], wire[3]]), now);
            if block == last {
                assert_eq!(action, Action::Finish(Outcome::Sent));
            } else {
                assert_eq!(action, blocks(block + 1, 1));
            }
        }
        let wire = [65535, 65536, 65537].map(|block| {
            let header = transfer.header(block);
            u16::from_be_bytes([header[2], header[3]])
        });
        assert_eq!(wire, after);
    }
}

#[test]
fn t35_the_last_block_is_short_or_empty() {
    assert_eq!(last_block(0, 512), 1);
    assert_eq!(last_block(511, 512), 1);
    assert_eq!(last_block(512, 512), 2);
    assert_eq!(last_block(1024, 512), 3);
    assert_eq!(last_block(5 << 30, 1468), (5u64 << 30) / 1468 + 1);
}

#[test]
fn an_end_that_was_unknown_ends_the_window() {
    let start = epoch();
    let (mut transfer, _) = Transfer::start(&agreement(8, true), None, start);
    assert_eq!(transfer.on_ack(0, start + ms(1)), blocks(1, 8));
    transfer.on_end(3);
    assert_eq!(transfer.on_ack(3, start + ms(2)), Action::Finish(Outcome::Sent));
}
