//! A transfer over a link that the fuzzer runs: it loses, doubles, delays and reorders packets, and forges some.
//!
//! The client is an honest one (RFC 7440) unless packets are forged in its name.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use faros_tftpd::protocol::options::{Agreement, Rollover, WINDOWSIZE_MAX};
use faros_tftpd::protocol::transfer::{
    Action, Blocks, Outcome, SILENCE_MAX, TRIES_MAX, Transfer, last_block,
};

use crate::Target;
use crate::input::Input;

/// Feeds [`Transfer`].
pub const TARGET: Target = Target { name: "tftp_transfer", run, seeds, memory: (256 * 1024, 4096) };

/// Packets on the link at once; beyond, the oldest is lost.
const IN_FLIGHT_MAX: usize = 256;

#[derive(Clone)]
enum Packet {
    OptionAck,
    Data(u16, Vec<u8>),
    Ack(u16),
}

struct World {
    transfer: Transfer,
    agreement: Agreement,
    now: Instant,
    source: Vec<u8>,
    last: u64,
    link: VecDeque<Packet>,
    received: Vec<u8>,
    /// Blocks received in order.
    blocks: u64,
    since_ack: u16,
    /// The client has said that a block is missing, and says so again only when it loses patience.
    gap_reported: bool,
    /// DATA packets sent, and how many there may be by now.
    sent: u64,
    sent_max: u64,
    /// When a packet of the client last arrived at the server.
    heard: Instant,
    forged: bool,
    outcome: Option<Outcome>,
}

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut agreement = Agreement {
        blksize: 8 + u16::from(input.byte()),
        windowsize: 1 + u16::from(input.below(WINDOWSIZE_MAX as u8)),
        timeout: Some(input.byte()).filter(|&secs| secs > 0).map(|secs| Duration::from_secs(secs.into())),
        rollover: if input.flag() { Rollover::One } else { Rollover::Zero },
        option_ack: input.flag().then(|| vec![0, 6]),
    };
    if agreement.option_ack.is_none() {
        // Nothing was agreed on, so everything is as it always was.
        agreement = Agreement { windowsize: 1, timeout: None, rollover: Rollover::Zero, ..agreement };
    }
    let size = input.u16() % 8192;
    let source: Vec<u8> = (0..size).map(|at| (at ^ at >> 8) as u8).collect();
    let known = input.flag();
    let mut world = World::start(agreement, source, known);
    while !input.is_empty() && world.outcome.is_none() {
        world.step(&mut input);
        world.check();
    }
    if world.outcome.is_none() && !world.forged {
        world.calm();
    }
    if world.outcome.is_none() {
        world.silence();
    }
}

impl World {
    fn start(agreement: Agreement, source: Vec<u8>, known: bool) -> Self {
        static EPOCH: OnceLock<Instant> = OnceLock::new();
        let now = *EPOCH.get_or_init(faros_common::clock::now);
        let last = last_block(source.len() as u64, agreement.blksize);
        let (transfer, first) = Transfer::start(&agreement, known.then_some(last), now);
        let mut world = Self {
            transfer,
            agreement,
            now,
            source,
            last,
            link: VecDeque::new(),
            received: Vec::new(),
            blocks: 0,
            since_ack: 0,
            gap_reported: false,
            sent: 0,
            sent_max: 0,
            heard: now,
            forged: false,
            outcome: None,
        };
        world.act(first);
        world
    }

    fn act(&mut self, action: Action) {
        // No event, whatever it is, draws more than one window.
        self.sent_max += u64::from(self.agreement.windowsize);
        match action {
            Action::Offer => {
                assert!(self.agreement.option_ack.is_some(), "an OACK that was not agreed on");
                self.put(Packet::OptionAck);
            }
            Action::Send(Blocks { first, count }) => {
                assert!(first >= 1 && count >= 1 && count <= self.agreement.windowsize);
                assert!(first >= self.transfer.oldest_unacknowledged());
                for block in first..first + u64::from(count) {
                    let start = (block - 1) as usize * usize::from(self.agreement.blksize);
                    let end = (start + usize::from(self.agreement.blksize)).min(self.source.len());
                    if block > self.last {
                        // The size was not known beforehand: here the server finds the end.
                        self.transfer.on_end(self.last);
                        break;
                    }
                    let header = self.transfer.header(block);
                    assert_eq!(header[..2], [0, 3]);
                    let number = u16::from_be_bytes([header[2], header[3]]);
                    let content = self.source[start..end].to_vec();
                    self.sent += 1;
                    self.put(Packet::Data(number, content));
                    if block == self.last {
                        self.transfer.on_end(self.last);
                    }
                }
            }
            Action::Drop(reason) => assert!(!reason.reason().is_empty()),
            Action::Finish(outcome) => self.finish(outcome),
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        if outcome == Outcome::Sent && !self.forged {
            assert_eq!(self.blocks, self.last, "called sent, and the client has {} blocks", self.blocks);
            assert_eq!(self.received, self.source);
        }
        self.outcome = Some(outcome);
    }

    fn put(&mut self, packet: Packet) {
        if self.link.len() == IN_FLIGHT_MAX {
            self.link.pop_front();
        }
        self.link.push_back(packet);
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(12) {
            0..4 => self.deliver(0),
            4 => {
                let place = usize::from(input.byte());
                self.deliver(place % self.link.len().max(1));
            }
            5 => drop(self.link.pop_front()),
            6 => {
                if let Some(packet) = self.link.front().cloned() {
                    self.put(packet);
                }
            }
            7 => self.now += Duration::from_millis(input.u16().into()),
            8 => self.expire(),
            9 => self.impatient(),
            10 => {
                let action = self.transfer.on_repeated_request(self.now);
                self.act(action);
            }
            _ => {
                self.forged = true;
                let number = match input.below(3) {
                    0 => input.u16(),
                    _ => (self.transfer.oldest_unacknowledged() as u16).wrapping_add(input.byte().into()),
                };
                self.on_ack(number);
            }
        }
    }

    /// The deadline comes.
    fn expire(&mut self) {
        self.now = self.now.max(self.transfer.deadline());
        let action = self.transfer.on_timeout(self.now);
        assert!(!matches!(action, Action::Drop(_)), "{action:?} at the deadline");
        self.act(action);
    }

    fn on_ack(&mut self, number: u16) {
        self.heard = self.now;
        let action = self.transfer.on_ack(number, self.now);
        self.act(action);
    }

    fn deliver(&mut self, place: usize) {
        match self.link.remove(place) {
            Some(Packet::OptionAck) if self.blocks == 0 => {
                let number = self.wire(0);
                self.put(Packet::Ack(number));
            }
            Some(Packet::OptionAck) | None => {}
            Some(Packet::Ack(number)) => self.on_ack(number),
            Some(Packet::Data(number, content)) => self.on_data(number, &content),
        }
    }

    /// The client's side.
    fn on_data(&mut self, number: u16, content: &[u8]) {
        if self.blocks < self.last && number == self.wire(self.blocks + 1) {
            self.received.extend_from_slice(content);
            self.blocks += 1;
            self.since_ack += 1;
            self.gap_reported = false;
            assert!(self.source.starts_with(&self.received), "the file is another one");
            let short = content.len() < self.agreement.blksize.into();
            assert_eq!(short, self.blocks == self.last, "only the last block is short");
            if self.since_ack < self.agreement.windowsize && !short {
                return;
            }
        } else if self.blocks < self.last {
            if self.gap_reported {
                return;
            }
            self.gap_reported = true;
        }
        self.since_ack = 0;
        let number = self.wire(self.blocks);
        self.put(Packet::Ack(number));
    }

    /// The client has waited for long enough: it repeats its last word.
    fn impatient(&mut self) {
        (self.since_ack, self.gap_reported) = (0, false);
        let number = self.wire(self.blocks);
        self.put(Packet::Ack(number));
    }

    fn wire(&self, block: u64) -> u16 {
        match self.agreement.rollover {
            Rollover::Zero => block as u16,
            Rollover::One if block == 0 => 0,
            Rollover::One => ((block - 1) % 65535 + 1) as u16,
        }
    }

    fn check(&self) {
        assert!(self.sent <= self.sent_max, "{} blocks sent, {} at most", self.sent, self.sent_max);
        assert!(self.transfer.oldest_unacknowledged() <= self.last + 1);
        if !self.forged {
            assert!(
                self.transfer.oldest_unacknowledged() <= self.blocks + 1,
                "acknowledged what is not there"
            );
        }
    }

    /// From now on the link is good: it comes to an end soon, and with the whole file unless the client had
    /// been given up by then.
    fn calm(&mut self) {
        let mut asked = false;
        for _ in 0..20 * self.last + 2000 {
            if self.outcome.is_some() {
                return;
            }
            self.now += Duration::from_millis(1);
            if !self.link.is_empty() {
                self.deliver(0);
            } else if asked || (self.blocks == 0 && self.agreement.option_ack.is_some()) {
                self.expire();
                asked = false;
            } else {
                self.impatient();
                asked = true;
            }
            self.check();
        }
        panic!("no end over a good link");
    }

    /// Nobody says anything any more.
    fn silence(&mut self) {
        let (from, heard) = (self.now, self.heard);
        let patience = SILENCE_MAX.max(self.agreement.timeout.unwrap_or_default() * 2);
        let windows = u64::from(TRIES_MAX + 1) * (u64::from(self.agreement.windowsize) + 1);
        for turn in 0.. {
            assert!(turn <= windows, "it never ends");
            let before = self.now;
            self.expire();
            if self.outcome.is_some() {
                break;
            }
            assert!(self.transfer.deadline() >= before);
        }
        let waited = self.now.saturating_duration_since(from.max(heard + patience));
        assert!(waited <= Duration::from_secs(1), "{waited:?} beyond its patience of {patience:?}");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let head = |blksize: u8, windowsize: u8, options: u8, size: u16| {
        [&[blksize, windowsize - 1, 0, 0, options][..], &size.to_be_bytes(), &[1]].concat()
    };
    vec![
        [head(0, 1, 0, 20), vec![0; 20]].concat(),
        [head(24, 4, 1, 700), vec![0; 200]].concat(),
        [head(24, 4, 1, 700), [0, 0, 5, 8, 0, 0].repeat(30)].concat(),
        [head(24, 16, 1, 4000), [0, 6, 0, 4, 3, 0, 0].repeat(60)].concat(),
        [head(8, 64, 1, 8000), [0, 0, 0, 7, 0, 200, 8, 9].repeat(40)].concat(),
        [head(8, 2, 0, 100), [11, 1, 1, 0, 11, 0, 3, 3, 10, 0].repeat(10)].concat(),
    ]
}
