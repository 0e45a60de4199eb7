//! Transitions one by one, then both ends over a bad link in virtual time.

use std::collections::BTreeMap;

use proptest::prelude::*;

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

/// A client as RFC 7440 describes it: acknowledges whole windows, the last block, and gaps once each.
struct Client {
    windowsize: u64,
    last: u64,
    received: u64,
    since_ack: u64,
    gap_reported: bool,
    rollover: Rollover,
    deadline: Instant,
}

impl Client {
    fn wire(&self, block: u64) -> u16 {
        match self.rollover {
            Rollover::Zero => block as u16,
            Rollover::One => {
                if block == 0 {
                    0
                } else {
                    ((block - 1) % 65535 + 1) as u16
                }
            }
        }
    }

    fn on_data(&mut self, number: u16, now: Instant) -> Option<u16> {
        self.deadline = now + Duration::from_secs(1);
        if number == self.wire(self.received + 1) && self.received < self.last {
            self.received += 1;
            self.since_ack += 1;
            self.gap_reported = false;
            if self.since_ack == self.windowsize || self.received == self.last {
                self.since_ack = 0;
                return Some(self.wire(self.received));
            }
            return None;
        }
        if self.received == self.last {
            return Some(self.wire(self.last));
        }
        if !self.gap_reported {
            self.gap_reported = true;
            self.since_ack = 0;
            return Some(self.wire(self.received));
        }
        None
    }

    fn on_timeout(&mut self, now: Instant) -> u16 {
        self.deadline = now + Duration::from_secs(1);
        self.since_ack = 0;
        self.wire(self.received)
    }
}

#[derive(Clone, Copy)]
enum Packet {
    OptionAck,
    Data(u16),
    Ack(u16),
}

/// A link that loses, doubles and delays packets, from a seed.
struct Link {
    random: u64,
    loss_permille: u64,
    duplicate_permille: u64,
    jitter_micros: u64,
    in_flight: BTreeMap<(Instant, u64), Packet>,
    sequence: u64,
}

impl Link {
    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        if below == 0 { 0 } else { self.random % below }
    }

    fn send(&mut self, packet: Packet, now: Instant) {
        let copies = 1 + u64::from(self.random(1000) < self.duplicate_permille);
        for _ in 0..copies {
            if self.random(1000) < self.loss_permille {
                continue;
            }
            let delay = Duration::from_micros(100 + self.random(self.jitter_micros));
            self.sequence += 1;
            self.in_flight.insert((now + delay, self.sequence), packet);
        }
    }
}

struct Run {
    outcome: Outcome,
    received: u64,
    data_packets: u64,
    elapsed: Duration,
}

fn run(windowsize: u16, last: u64, mut link: Link, rollover: Rollover) -> Run {
    let start = epoch();
    let mut agreement = agreement(windowsize, true);
    agreement.rollover = rollover;
    let (mut transfer, first) = Transfer::start(&agreement, Some(last), start);
    let mut client = Client {
        windowsize: windowsize.into(),
        last,
        received: 0,
        since_ack: 0,
        gap_reported: false,
        rollover,
        deadline: start + Duration::from_secs(1),
    };
    let (mut now, mut data_packets, mut greeted) = (start, 0, false);
    let mut pending = Some(first);
    loop {
        match pending.take() {
            Some(Action::Offer) => link.send(Packet::OptionAck, now),
            Some(Action::Send(Blocks { first, count })) => {
                assert!(count >= 1 && count <= windowsize);
                for block in first..first + u64::from(count) {
                    assert!(block <= last, "block {block} is beyond the end");
                    data_packets += 1;
                    let header = transfer.header(block);
                    link.send(Packet::Data(u16::from_be_bytes([header[2], header[3]])), now);
                }
            }
            Some(Action::Finish(outcome)) => {
                return Run { outcome, received: client.received, data_packets, elapsed: now - start };
            }
            Some(Action::Drop(_)) | None => {}
        }
        let arrival = link.in_flight.first_key_value().map(|((at, _), _)| *at);
        let next = [arrival, Some(transfer.deadline()), greeted.then_some(client.deadline)]
            .into_iter()
            .flatten()
            .min()
            .unwrap();
        now = now.max(next);
        if arrival == Some(next) {
            let (_, packet) = link.in_flight.pop_first().unwrap();
            match packet {
                Packet::OptionAck if client.received == 0 => {
                    greeted = true;
                    client.deadline = now + Duration::from_secs(1);
                    link.send(Packet::Ack(0), now);
                }
                Packet::OptionAck => {}
                Packet::Data(number) => {
                    if let Some(ack) = client.on_data(number, now) {
                        link.send(Packet::Ack(ack), now);
                    }
                }
                Packet::Ack(number) => pending = Some(transfer.on_ack(number, now)),
            }
        } else if transfer.deadline() == next {
            pending = Some(transfer.on_timeout(now));
        } else {
            let ack = client.on_timeout(now);
            link.send(Packet::Ack(ack), now);
        }
    }
}

fn link(seed: u64, loss_permille: u64, duplicate_permille: u64, jitter_micros: u64) -> Link {
    Link {
        random: seed | 1,
        loss_permille,
        duplicate_permille,
        jitter_micros,
        in_flight: BTreeMap::new(),
        sequence: 0,
    }
}

#[test]
fn a_good_link_carries_every_block_once() {
    for windowsize in [1, 2, 4, 16, 64] {
        let run = run(windowsize, 5000, link(1, 0, 0, 0), Rollover::Zero);
        assert_eq!((run.outcome, run.received, run.data_packets), (Outcome::Sent, 5000, 5000));
    }
}

#[test]
fn duplicated_packets_do_not_double_the_traffic() {
    // Every packet arrives twice, in both directions: the sorcerer's apprentice (RFC 1123 section 4.2.3.1).
    let lock_step = run(1, 2000, link(7, 0, 1000, 0), Rollover::Zero);
    assert_eq!((lock_step.outcome, lock_step.data_packets), (Outcome::Sent, 2000));
    let windowed = run(8, 2000, link(7, 0, 1000, 0), Rollover::Zero);
    assert_eq!(windowed.outcome, Outcome::Sent);
    // A client that answers each doubled block costs repetitions, but a fixed factor of them.
    assert!(windowed.data_packets < 5 * 2000, "{}", windowed.data_packets);
}

#[test]
fn t35_windows_cross_the_rollover_on_a_bad_link() {
    for rollover in [Rollover::Zero, Rollover::One] {
        let run = run(64, 140_000, link(3, 2, 2, 20), rollover);
        assert_eq!((run.outcome, run.received), (Outcome::Sent, 140_000));
    }
}

#[test]
fn a_dead_link_ends_in_time() {
    let run = run(16, 100, link(9, 1000, 0, 0), Rollover::Zero);
    assert_eq!((run.outcome, run.received), (Outcome::Silent, 0));
    assert!(run.elapsed < Duration::from_secs(30));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_file_crosses_a_bad_link(
        seed in any::<u64>(),
        windowsize in prop_oneof![Just(1u16), Just(2), Just(4), Just(16), Just(64)],
        last in 1u64..600,
        loss in 0u64..60,
        duplicate in 0u64..100,
        jitter in 0u64..400,
    ) {
        let run = run(windowsize, last, link(seed, loss, duplicate, jitter), Rollover::Zero);
        prop_assert!(matches!(run.outcome, Outcome::Sent | Outcome::SentUnconfirmed), "{:?}", run.outcome);
        prop_assert_eq!(run.received, last);
    }

    #[test]
    fn no_sequence_of_events_breaks_the_machine(
        windowsize in 1u16..=64,
        last in 1u64..2000,
        events in proptest::collection::vec((0u8..5, any::<u16>(), 0u64..3000), 1..300),
    ) {
        let mut now = epoch();
        let (mut transfer, _) = Transfer::start(&agreement(windowsize, true), Some(last), now);
        for (kind, number, pause) in events {
            now += ms(pause);
            let near = (transfer.oldest_unacknowledged() + u64::from(number) % 70) as u16;
            let action = match kind {
                0 => transfer.on_ack(number, now),
                1 => transfer.on_ack(near, now),
                2 => transfer.on_ack(near.wrapping_sub(2), now),
                3 => transfer.on_timeout(now),
                _ => transfer.on_repeated_request(now),
            };
            if let Action::Send(Blocks { first, count }) = action {
                prop_assert!(first >= 1 && count >= 1 && count <= windowsize);
                prop_assert!(first + u64::from(count) - 1 <= last);
            }
            if matches!(action, Action::Finish(_)) {
                break;
            }
            prop_assert!(transfer.deadline() >= now - Duration::from_secs(60));
        }
    }
}
