//! A server in virtual time; what it is put through is in the modules below.

mod checks;
mod life;
mod operator;
mod trouble;

use std::time::{Duration, Instant};

use super::*;
use crate::pool::ConnectFailure;
use faros_common::clock;

const SECOND: Duration = Duration::from_secs(1);

/// As for the API: what a control plane is checked by.
fn api() -> Rules {
    Rules {
        interval: 3 * SECOND,
        fast_interval: SECOND,
        timeout: 2 * SECOND,
        rise: 3,
        fall: 2,
        slow_start: 60 * SECOND,
    }
}

fn plain() -> Rules {
    Rules { rise: 1, fall: 1, slow_start: Duration::ZERO, ..api() }
}

fn bad(reason: &str) -> Outcome {
    Outcome::Bad(reason.to_owned())
}

/// A server in virtual time: its machine is checked whenever it says so.
struct Bench {
    machine: Machine,
    start: Instant,
    now: Instant,
    changes: Vec<(Duration, Change)>,
}

impl Bench {
    fn new(rules: Rules, remembered: Option<Remembered>) -> Self {
        let now = clock::now();
        Self { machine: Machine::new(rules, remembered, 42, now), start: now, now, changes: Vec::new() }
    }

    /// One that has been up for long, at the end of its slow start.
    fn up(rules: Rules) -> Self {
        let mut bench = Self::new(rules, None);
        bench.run(120 * SECOND, |_| Outcome::Good);
        bench.changes.clear();
        bench.start = bench.now;
        bench
    }

    fn note(&mut self, change: Option<Change>) {
        self.changes.extend(change.map(|change| (self.now - self.start, change)));
    }

    /// Lets time pass; `server` says what a check finds at a time since the start.
    fn run(&mut self, time: Duration, server: impl Fn(Duration) -> Outcome) {
        let end = self.now + time;
        loop {
            let check = self.machine.next_check();
            let change = self.machine.next_change(self.now);
            let Some(next) = [check, change].into_iter().flatten().min().filter(|&next| next <= end) else {
                self.now = end;
                let change = self.machine.tick(end);
                return self.note(change);
            };
            self.now = self.now.max(next);
            let change = if check.is_some_and(|check| check <= self.now) {
                self.machine.checked(server(self.now - self.start), self.now)
            } else {
                self.machine.tick(self.now)
            };
            self.note(change);
        }
    }

    fn connect(&mut self, failure: ConnectFailure) {
        let change = self.machine.passive(failure, self.now);
        self.note(change);
    }

    fn operator(&mut self, mode: Mode) {
        let change = self.machine.operator(mode, self.now);
        self.note(change);
    }

    fn conditions(&self) -> Vec<Condition> {
        self.changes.iter().map(|(_, change)| change.to).collect()
    }

    fn condition(&self) -> Condition {
        self.machine.condition()
    }
}
