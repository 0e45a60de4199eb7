//! One file on its way to one client (RFC 1350 section 2, RFC 7440 section 4): a machine that is told what
//! arrived and what time it is, and answers with what to send.
//!
//! ```text
//!           option_ack                    ACK 0
//! request ──────────────► Offered ──────────────────────┐
//!    │                      │ ▲                         ▼
//!    │ no option            └─┘ timeout: OACK again   Sending ◄─┐ ACK: next window
//!    └─────────────────────────────────────────────────►│ │ ▲──┘ gap or timeout: window again,
//!                                                       │ │      in smaller bursts
//!        ACK of the last block → Sent ◄─────────────────┘ └──► ERROR, silence, unreachable → Failed
//! ```
//!
//! Blocks are counted from 1 without end; only the wire sees 16 bits of the count. Block 0 is the OACK.
//!
//! A window belongs to the client: it acknowledges after that many blocks and not before, so the window
//! cannot shrink in the middle of a transfer. What shrinks on loss is the *burst*, the part of a window
//! that is sent at once; the parts follow each other at [`BURST_INTERVAL`].
//!
//! Deviation: RFC 1123 section 4.2.3.1 forbids to answer a duplicate ACK with DATA. With a window of one
//! block that holds here to the letter. With a larger window a repeated ACK is how a client reports that
//! the first block of the window is missing (RFC 7440 section 4), so it is answered, at most once per
//! round trip.

mod action;

use std::time::{Duration, Instant};

pub use action::{Action, Blocks, DropReason, Outcome};

use super::options::{Agreement, Rollover};
use super::packet::data_header;
use super::rtt::RoundTrip;

/// How often the same window is sent before the client counts as gone.
pub const TRIES_MAX: u32 = 5;
/// How long a client may be silent. A client that has answered once and set a longer `timeout` gets two of those.
pub const SILENCE_MAX: Duration = Duration::from_secs(28);
/// How long a client may go on without getting anywhere, for example by repeating one ACK for ever.
pub const STALL_MAX: Duration = Duration::from_secs(60);
/// Time between the parts of a window that is not sent at once.
pub const BURST_INTERVAL: Duration = Duration::from_millis(1);
/// The longest wait before a retransmission, unless the client asked for longer.
const WAIT_MAX: Duration = Duration::from_secs(8);
/// The least wait for an answer to a block whose predecessor's ACK came twice, unless the client set its own.
const AFTER_REPEATED_ACK: Duration = Duration::from_secs(1);
/// Waits grow by this factor.
const BACKOFF: u32 = 3;
/// How often a client's `timeout` is kept to the letter before waits grow. Some clients (atftp) answer a repeated
/// window only when they have heard nothing for a while of their own choice; repeating it evenly would keep them
/// mute until the last try.
const TIMEOUTS_EXACT: u32 = 2;
/// The most octets that are sent at once, before any loss: what fits the receive buffers of common systems.
const BURST_BYTES_MAX: u32 = 128 * 1024;
/// The fewest, as far as blocks allow: what the smallest network cards buffer.
const BURST_BYTES_MIN: u32 = 6 * 1024;
/// Windows without loss before the burst doubles again.
const CLEAN_WINDOWS: u32 = 16;

/// A transfer. See the module's diagram.
#[derive(Clone, Debug)]
pub struct Transfer {
    blksize: u16,
    windowsize: u16,
    timeout: Option<Duration>,
    rollover: Rollover,
    /// The last block's number, where it is known.
    last: Option<u64>,
    /// The oldest block that is not acknowledged; 0 is the OACK.
    base: u64,
    /// The next block to send.
    next: u64,
    /// Where the present window ends; not in it.
    end: u64,
    burst: u16,
    clean_windows: u32,
    rtt: RoundTrip,
    /// When the present window began to be sent, if it has not been sent before (Karn's rule).
    timed_from: Option<Instant>,
    sent_at: Instant,
    /// A repeated ACK is no news of a loss before this time.
    deaf_until: Instant,
    heard_at: Instant,
    progress_at: Instant,
    answered: bool,
    tries: u32,
    deadline: Instant,
    retransmits: u64,
}

impl Transfer {
    /// Begins a transfer. `last` is the number of the last block ([`last_block`]), where the size is known.
    pub fn start(agreement: &Agreement, last: Option<u64>, now: Instant) -> (Self, Action) {
        let offered = agreement.option_ack.is_some();
        let mut transfer = Self {
            blksize: agreement.blksize,
            windowsize: agreement.windowsize,
            timeout: agreement.timeout,
            rollover: agreement.rollover,
            last,
            base: u64::from(!offered),
            next: 0,
            end: 1,
            burst: 0,
            clean_windows: 0,
            rtt: RoundTrip::default(),
            timed_from: None,
            sent_at: now,
            deaf_until: now,
            heard_at: now,
            progress_at: now,
            answered: false,
            tries: 0,
            deadline: now,
            retransmits: 0,
        };
        transfer.burst = transfer.burst_of(BURST_BYTES_MAX);
        let action = transfer.send_window(now);
        transfer.timed_from = Some(now);
        (transfer, action)
    }

    /// The client acknowledged block `number`.
    pub fn on_ack(&mut self, number: u16, now: Instant) -> Action {
        let in_flight = self.base.saturating_sub(1)..self.next;
        let Some(block) = in_flight.into_iter().find(|&block| self.wire(block) == number) else {
            return Action::Drop(DropReason::AckOutOfRange);
        };
        self.heard_at = now;
        self.answered = true;
        if block < self.base {
            return self.on_repeated_ack(now);
        }
        if let Some(from) = self.timed_from.take() {
            self.rtt.measured(now.saturating_duration_since(from));
        }
        let lost = self.next - (block + 1);
        let whole_window = block + 1 == self.end;
        self.base = block + 1;
        self.progress_at = now;
        self.tries = 0;
        if self.last.is_some_and(|last| block >= last) {
            return Action::Finish(Outcome::Sent);
        }
        if whole_window || lost == 0 {
            self.window_was_clean();
            self.deaf_until = now + self.rtt.shortest() / 2;
        } else {
            self.window_had_loss(lost);
            self.deaf_until = now + self.rtt.typical();
        }
        let action = self.send_window(now);
        self.timed_from = (lost == 0).then_some(now);
        action
    }

    /// The [`Transfer::deadline`] has come.
    pub fn on_timeout(&mut self, now: Instant) -> Action {
        if now < self.deadline {
            return Action::Drop(DropReason::Early);
        }
        if self.next < self.end {
            return self.send_burst(now);
        }
        let silence = now.saturating_duration_since(self.heard_at);
        if self.tries >= TRIES_MAX || silence >= self.silence_max() {
            let only_the_last = self.base > 0 && self.last == Some(self.base);
            let unconfirmed = only_the_last && self.answered;
            return Action::Finish(if unconfirmed { Outcome::SentUnconfirmed } else { Outcome::Silent });
        }
        if now.saturating_duration_since(self.progress_at) >= self.stall_max() {
            return Action::Finish(Outcome::Stalled);
        }
        self.window_had_loss(self.next - self.base);
        self.timed_from = None;
        self.deaf_until = now + self.rtt.typical();
        self.send_window(now)
    }

    /// The client sent ERROR with `code`.
    pub fn on_error(&mut self, code: u16) -> Action {
        Action::Finish(Outcome::Aborted(code))
    }

    /// The client's host says that nothing listens on the client's port.
    pub fn on_unreachable(&mut self) -> Action {
        let unconfirmed = self.base > 0 && self.last == Some(self.base) && self.answered;
        Action::Finish(if unconfirmed { Outcome::SentUnconfirmed } else { Outcome::Unreachable })
    }

    /// The client sent its request again: it has not seen our first packet. That is sent again, but no more
    /// often than a patient client asks, so that repeated requests draw no flood to a forged address.
    pub fn on_repeated_request(&mut self, now: Instant) -> Action {
        let patience = self.rtt.timeout() / 4;
        if self.answered || self.tries >= TRIES_MAX || now.saturating_duration_since(self.sent_at) < patience
        {
            return Action::Drop(DropReason::RequestRepeated);
        }
        self.timed_from = None;
        self.retransmits += 1;
        self.send_window(now)
    }

    /// Nobody looked after the transfer for `time`, in which nothing that the client said was heard.
    pub fn on_standstill(&mut self, time: Duration) {
        self.heard_at += time;
        self.progress_at += time;
    }

    /// The source ended with block `last`, which had been unknown.
    pub fn on_end(&mut self, last: u64) {
        self.last = Some(last);
        self.end = self.end.min(last + 1);
        if self.next >= self.end {
            self.next = self.end;
            self.deadline = self.sent_at + self.wait();
        }
    }

    /// When [`Transfer::on_timeout`] wants to be called.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the client has answered, which shows that it is where its address says.
    pub fn is_answered(&self) -> bool {
        self.answered
    }

    /// The oldest block that the client has not acknowledged; the source need not keep older ones.
    pub fn oldest_unacknowledged(&self) -> u64 {
        self.base
    }

    /// Blocks and OACKs sent more than once.
    pub fn retransmits(&self) -> u64 {
        self.retransmits
    }

    /// The header of DATA block `block`.
    pub fn header(&self, block: u64) -> [u8; 4] {
        data_header(self.wire(block))
    }

    fn on_repeated_ack(&mut self, now: Instant) -> Action {
        if now.saturating_duration_since(self.progress_at) >= self.stall_max() {
            return Action::Finish(Outcome::Stalled);
        }
        // The client is alive: whatever was lost deserves the full number of tries, and no long wait.
        self.tries = self.tries.min(1);
        if self.next >= self.end {
            self.deadline = self.deadline.min(now + self.wait());
        }
        if self.windowsize == 1 && self.timeout.is_none() {
            // Somebody repeats what was not lost: let a copy under way arrive before another joins it.
            self.deadline = self.deadline.max(self.sent_at + AFTER_REPEATED_ACK);
        }
        let repeats_oack = self.base == 0;
        if self.windowsize == 1 || repeats_oack || now < self.deaf_until {
            return Action::Drop(DropReason::AckRepeated);
        }
        self.window_had_loss(self.next - self.base);
        self.timed_from = None;
        self.deaf_until = now + self.rtt.typical().max(BURST_INTERVAL);
        self.tries = 0;
        self.send_window(now)
    }

    /// Sends the window that begins at `base`.
    fn send_window(&mut self, now: Instant) -> Action {
        self.tries += 1;
        self.next = self.base;
        if self.base == 0 {
            self.next = 1;
            self.end = 1;
            self.sent_at = now;
            self.deadline = now + self.wait();
            return Action::Offer;
        }
        self.end = self.base + u64::from(self.windowsize);
        if let Some(last) = self.last {
            self.end = self.end.min(last + 1);
        }
        self.send_burst(now)
    }

    fn send_burst(&mut self, now: Instant) -> Action {
        let first = self.next;
        let count = (self.end - first).min(self.burst.into()) as u16;
        self.next += u64::from(count);
        self.sent_at = now;
        self.deadline = now + if self.next < self.end { BURST_INTERVAL } else { self.wait() };
        Action::Send(Blocks { first, count })
    }

    /// How long to wait for an answer to what was sent last.
    fn wait(&self) -> Duration {
        let wait = match self.timeout {
            Some(timeout) => timeout * BACKOFF.pow(self.tries.saturating_sub(TIMEOUTS_EXACT)),
            None => {
                (self.rtt.timeout() * BACKOFF.pow(self.tries.saturating_sub(1).min(TRIES_MAX))).min(WAIT_MAX)
            }
        };
        let patience =
            self.silence_max().saturating_sub(self.sent_at.saturating_duration_since(self.heard_at));
        wait.min(patience)
    }

    fn silence_max(&self) -> Duration {
        match self.timeout {
            Some(timeout) if self.answered => SILENCE_MAX.max(timeout * 2),
            _ => SILENCE_MAX,
        }
    }

    fn stall_max(&self) -> Duration {
        STALL_MAX.max(self.timeout.unwrap_or_default() * TRIES_MAX)
    }

    fn window_was_clean(&mut self) {
        self.clean_windows += 1;
        if self.clean_windows >= CLEAN_WINDOWS && self.burst < self.windowsize {
            self.clean_windows = 0;
            self.burst = self.burst.saturating_mul(2).min(self.windowsize);
        }
    }

    fn window_had_loss(&mut self, blocks: u64) {
        self.retransmits += blocks.max(1);
        self.clean_windows = 0;
        self.burst = (self.burst / 2).max(self.burst_of(BURST_BYTES_MIN));
    }

    /// How many blocks, at least one and at most a window, make `bytes`.
    fn burst_of(&self, bytes: u32) -> u16 {
        let blocks = bytes / u32::from(self.blksize);
        u16::try_from(blocks).unwrap_or(u16::MAX).clamp(1, self.windowsize)
    }

    /// The number of `block` on the wire.
    fn wire(&self, block: u64) -> u16 {
        match self.rollover {
            Rollover::Zero => block as u16,
            Rollover::One if block == 0 => 0,
            Rollover::One => ((block - 1) % 65535 + 1) as u16,
        }
    }
}

/// The number of the last block of a file of `size` octets: it is shorter than the others, perhaps empty.
pub fn last_block(size: u64, blksize: u16) -> u64 {
    size / u64::from(blksize) + 1
}

#[cfg(test)]
mod tests;
