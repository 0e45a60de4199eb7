//! Whether a worker looks again at once instead of sleeping.
//!
//! On an idle machine a lock-step client answers sooner than a sleeping thread wakes up, and looking again
//! doubles the rate. On a busy one it wastes the processor that the client, perhaps, is waiting for, and the
//! scheduler takes it away; then sleeping is better, because sleepers are served first when they wake up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::platform;

/// How long to look: somewhat more than a sleeping thread takes to wake up.
const PATIENCE: Duration = Duration::from_micros(60);
/// What is gained by an answer that came while looking is one; looking in vain costs this much.
const COST: i32 = 8;
/// No more credit than this is kept.
const CREDIT_MAX: i32 = 32;
/// After so many wake-ups without credit it is tried again.
const SLEEPS: u32 = 128;
/// Every so many answers it is checked whether the machine is busy.
const CHECK_EVERY: u32 = 16;
/// Losing the processor so often between two checks means that others want it.
const SWITCHES: u64 = 2;
/// On a busy machine nothing is tried for so many wake-ups; each time it is still busy for twice as many.
const BAN_MIN: u32 = 512;
/// But no more than this.
const BAN_MAX: u32 = 32_768;

/// How many workers have transfers. Those who look again must leave a processor to the clients and the rest.
#[derive(Debug)]
pub struct Crowd {
    busy: AtomicUsize,
    processors: usize,
}

impl Crowd {
    /// Nobody, on this machine.
    pub fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { busy: AtomicUsize::new(0), processors }
    }

    /// A worker got its first transfer.
    pub fn enter(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    /// A worker lost its last transfer.
    pub fn leave(&self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a processor stays free if every busy worker looks again.
    pub fn has_room(&self) -> bool {
        self.busy.load(Ordering::Relaxed) < self.processors
    }
}

impl Default for Crowd {
    fn default() -> Self {
        Self::new()
    }
}

/// What a worker remembers of looking and sleeping.
#[derive(Debug)]
pub(super) struct Spin {
    credit: i32,
    until: Option<Instant>,
    sleeps: u32,
    answers: u32,
    switches: u64,
    banned: u32,
    ban: u32,
}

impl Default for Spin {
    fn default() -> Self {
        Self { credit: COST, until: None, sleeps: 0, answers: 0, switches: 0, banned: 0, ban: BAN_MIN }
    }
}

impl Spin {
    /// Whether to look again at `now`, rather than to sleep.
    pub(super) fn looks_again(&mut self, now: Instant) -> bool {
        match self.until {
            Some(until) if now < until => true,
            Some(_) => {
                self.until = None;
                self.credit -= COST;
                false
            }
            None => false,
        }
    }

    /// The result of a look, or of a sleep.
    pub(super) fn looked(&mut self, found: bool, looking: bool, now: Instant) {
        self.looked_with(found, looking, now, platform::involuntary_switches);
    }

    fn looked_with(&mut self, found: bool, looking: bool, now: Instant, switches: impl Fn() -> u64) {
        if !found {
            return;
        }
        if self.banned > 0 {
            self.banned -= 1;
            if self.banned == 0 {
                self.switches = switches();
                self.credit = COST;
            }
            return;
        }
        self.answers += 1;
        if self.answers >= CHECK_EVERY {
            self.answers = 0;
            let (before, after) = (self.switches, switches());
            self.switches = after;
            if after.saturating_sub(before) >= SWITCHES {
                self.banned = self.ban;
                self.ban = (self.ban * 2).min(BAN_MAX);
                self.until = None;
                return;
            }
        }
        if looking {
            self.credit = (self.credit + 1).min(CREDIT_MAX);
            if self.credit == CREDIT_MAX {
                self.ban = BAN_MIN;
            }
        } else if self.credit <= 0 {
            self.sleeps += 1;
            if self.sleeps >= SLEEPS {
                self.sleeps = 0;
                self.credit = COST;
            }
        }
        self.until = (self.credit > 0).then(|| now + PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers that come `after` each send; returns how many of them were awaited looking.
    fn looked(spin: &mut Spin, answers: u32, after: Duration, switches: impl Fn(u32) -> u64) -> u32 {
        let mut now = faros_common::clock::now();
        let mut looking = 0;
        for answer in 0..answers {
            let sent = now;
            let mut looked = spin.looks_again(now);
            while looked && now < sent + after {
                now += Duration::from_micros(5);
                looked = spin.looks_again(now);
            }
            now = now.max(sent + after);
            looking += u32::from(looked);
            spin.looked_with(true, looked, now, || switches(answer));
        }
        looking
    }

    #[test]
    fn quick_answers_are_awaited_looking() {
        let looking = looked(&mut Spin::default(), 10_000, Duration::from_micros(20), |_| 0);
        assert!(looking > 9_900, "{looking}");
    }

    #[test]
    fn slow_answers_are_awaited_sleeping() {
        let mut spin = Spin::default();
        let looking = looked(&mut spin, 10_000, Duration::from_micros(500), |_| 0);
        assert_eq!(looking, 0);
        assert!(looked(&mut spin, 10_000, Duration::from_micros(20), |_| 0) > 9_000, "it is tried again");
    }

    #[test]
    fn on_a_busy_machine_nobody_looks() {
        let looking = looked(&mut Spin::default(), 100_000, Duration::from_micros(20), u64::from);
        assert!(looking < 1_000, "{looking}");
    }
}
