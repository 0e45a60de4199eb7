//! Both ends of a transfer over a bad link in virtual time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

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
