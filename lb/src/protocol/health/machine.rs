//! The machine of one server.

mod reason;

use std::time::{Duration, Instant};

use super::damping::Damping;
use super::ejection::Ejection;
use super::ramp::Ramp;
use super::{Change, Condition, Mode, Outcome, Remembered, Rules, View};
use crate::pool::ConnectFailure;
use crate::protocol::balance::mix;

/// Whether one server is up.
///
/// The caller checks the server when [`Machine::next_check`] is due, tells the outcome, and calls
/// [`Machine::tick`] at [`Machine::next_change`]. Whatever returns a [`Change`] (or may move the share) is a
/// reason to compose the roster anew.
#[derive(Clone, Debug)]
pub struct Machine {
    rules: Rules,
    mode: Mode,
    /// What checks (or memory) say; `None`: nothing yet.
    up: Option<bool>,
    /// Whether a check has decided since the start or the last maintenance; until then the next one does.
    proven: bool,
    /// The last check's outcome and how many before it said the same.
    fault: Option<String>,
    streak: u32,
    checked: Option<Instant>,
    due: Instant,
    jitter: u64,
    ramp: Option<Ramp>,
    damping: Damping,
    ejection: Ejection,
    condition: Condition,
    since: Instant,
    reason: String,
    checks: u64,
    checks_failed: u64,
}

/// What may change how a server stands.
#[derive(Clone, Copy)]
enum Cause {
    Check,
    Connect(ConnectFailure),
    Operator,
    Time,
}

impl Machine {
    /// The full share: 256ths of the configured weight.
    pub const SHARE_FULL: u32 = 256;
    /// Checks come early by up to this part of their interval.
    const JITTER: f64 = 0.1;

    /// A server that is to be checked at once. `remembered`: what [`Machine::remembered`] said before the
    /// restart. `seed`: a random number, another for each server.
    pub fn new(rules: Rules, remembered: Option<Remembered>, seed: u64, now: Instant) -> Self {
        let known = remembered.is_some();
        let Remembered { up, mode } = remembered.unwrap_or_default();
        let mut machine = Self {
            rules: sane(rules),
            mode,
            up: up.filter(|_| mode != Mode::Maintenance),
            proven: false,
            fault: None,
            streak: 0,
            checked: None,
            due: now,
            jitter: seed,
            ramp: None,
            damping: Damping::default(),
            ejection: Ejection::default(),
            condition: Condition::Unknown,
            since: now,
            reason: if known { "remembered, not checked yet" } else { "not checked yet" }.to_owned(),
            checks: 0,
            checks_failed: 0,
        };
        machine.condition = machine.condition_at(now);
        machine
    }

    /// A check has ended. Outcomes that come in during maintenance say nothing.
    pub fn checked(&mut self, outcome: Outcome, now: Instant) -> Option<Change> {
        if self.mode == Mode::Maintenance {
            return None;
        }
        let good = outcome == Outcome::Good;
        let same = self.proven && self.fault.is_none() == good;
        self.streak = if same { self.streak.saturating_add(1) } else { 1 };
        self.fault = match outcome {
            Outcome::Good => None,
            Outcome::Bad(reason) => Some(shortened(reason)),
        };
        self.checks += 1;
        self.checks_failed += u64::from(!good);
        let enough = if good { self.rules.rise } else { self.rules.fall };
        let first = !self.proven;
        if first || self.streak >= enough {
            self.decide(good, now);
        }
        self.checked = Some(now);
        self.due = now.max(self.due + self.delay(now));
        let change = self.settle(Cause::Check, now);
        let still_down = self.condition == Condition::Down && !good;
        if change.is_none() && (first || still_down) {
            // It stands as before, but no longer because of what was remembered, or of what was wrong then.
            self.reason = self.reason_for(self.condition, self.condition, Cause::Check, now);
        }
        change
    }

    /// A data plane could not connect. The first failure in a row brings the next check forward to now.
    pub fn passive(&mut self, failure: ConnectFailure, now: Instant) -> Option<Change> {
        if failure == ConnectFailure::Local || self.up == Some(false) || self.mode == Mode::Maintenance {
            return None;
        }
        let ejected = self.ejection.failed(now);
        if self.ejection.failures() == 1 {
            let soonest = self.checked.map_or(now, |checked| checked + Rules::INTERVAL_MIN);
            self.due = self.due.min(soonest.max(now));
        }
        if ejected { self.settle(Cause::Connect(failure), now) } else { None }
    }

    /// A data plane could connect after failures.
    pub fn connected(&mut self) {
        self.ejection.succeeded();
    }

    /// What the operator wants. Enabling also ends holds and ejections: the operator vouches for the server.
    pub fn operator(&mut self, mode: Mode, now: Instant) -> Option<Change> {
        let before = std::mem::replace(&mut self.mode, mode);
        if mode == Mode::Enabled {
            self.damping.forgive();
            self.ejection.forgive();
            if before != Mode::Enabled {
                self.ramp = Ramp::new(now, self.rules.slow_start);
            }
        }
        if mode == Mode::Maintenance || before == Mode::Maintenance {
            // Whatever was known is of before the maintenance.
            self.up = None;
            self.proven = false;
            self.due = now;
        }
        self.settle(Cause::Operator, now)
    }

    /// New rules, as after a reload; what is known stays, and the next check is no later than they say.
    pub fn set_rules(&mut self, rules: Rules, now: Instant) {
        self.rules = sane(rules);
        self.due = self.due.min(now + self.delay(now));
    }

    /// When the next check is due; `None`: not at all (maintenance). Past or now: at once. It does not move
    /// while a check is under way, except forward.
    pub fn next_check(&self) -> Option<Instant> {
        (self.mode != Mode::Maintenance).then_some(self.due)
    }

    /// When the condition or the share changes by time alone.
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        if self.mode != Mode::Enabled || self.up != Some(true) {
            return None;
        }
        let ramp = self.ramp.and_then(|ramp| ramp.next(now));
        [self.ejection.until(now), self.damping.held_until(now), ramp].into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) -> Option<Change> {
        self.settle(Cause::Time, now)
    }

    /// What its checks say, whatever else keeps it out; `None`: nothing yet, or not since maintenance.
    pub fn up(&self) -> Option<bool> {
        self.up
    }

    /// How it stands, as of the last call that changed it.
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// Its share in 256ths of the configured weight; 0 unless it is up.
    pub fn share(&self, now: Instant) -> u32 {
        match self.condition_at(now) {
            Condition::Up => self.ramp.map_or(Self::SHARE_FULL, |ramp| ramp.share(Self::SHARE_FULL, now)),
            _ => 0,
        }
    }

    /// What is to outlive a restart.
    pub fn remembered(&self) -> Remembered {
        Remembered { up: self.up, mode: self.mode }
    }

    /// All that is worth showing.
    pub fn view(&self, now: Instant) -> View {
        let age = |since: Instant| now.saturating_duration_since(since);
        let until = match self.condition {
            Condition::Held => self.damping.held_until(now),
            Condition::Ejected => self.ejection.until(now),
            _ => None,
        };
        View {
            condition: self.condition,
            age: age(self.since),
            reason: self.reason.clone(),
            mode: self.mode,
            share: self.share(now),
            remaining: until.map(|until| until.saturating_duration_since(now)),
            checked: self.checked.map(age),
            fault: self.fault.clone(),
            streak: self.streak,
            checks: self.checks,
            checks_failed: self.checks_failed,
            flaps: self.damping.flaps(now),
            connects_failed: self.ejection.failures(),
        }
    }

    /// The checks say that it is up, or that it is down.
    fn decide(&mut self, up: bool, now: Instant) {
        self.proven = true;
        let before = self.up.replace(up);
        if before == Some(up) {
            return;
        }
        if up {
            let from = self.damping.held_until(now).unwrap_or(now);
            self.ramp = Ramp::new(from, self.rules.slow_start);
        } else if before == Some(true) {
            self.damping.fell(now);
        }
    }

    /// From the start of one check to that of the next.
    fn delay(&mut self, now: Instant) -> Duration {
        let settled = match self.up {
            None => false,
            Some(up) => self.fault.is_none() == up,
        };
        let trusted = self.ejection.until(now).is_none() && !self.ejection.suspect(now);
        let delay = if settled && trusted { self.rules.interval } else { self.rules.fast_interval };
        self.jitter = mix(self.jitter);
        let part = (self.jitter >> 11) as f64 / (1u64 << 53) as f64;
        delay - delay.mul_f64(Self::JITTER * part)
    }

    fn condition_at(&self, now: Instant) -> Condition {
        match (self.mode, self.up) {
            (Mode::Maintenance, _) => Condition::Maintenance,
            (Mode::Drained, _) => Condition::Drained,
            (Mode::Enabled, None) => Condition::Unknown,
            (Mode::Enabled, Some(false)) => Condition::Down,
            (Mode::Enabled, Some(true)) if self.ejection.until(now).is_some() => Condition::Ejected,
            (Mode::Enabled, Some(true)) if self.damping.held_until(now).is_some() => Condition::Held,
            (Mode::Enabled, Some(true)) => Condition::Up,
        }
    }

    fn settle(&mut self, cause: Cause, now: Instant) -> Option<Change> {
        let from = self.condition;
        let to = self.condition_at(now);
        if from == to {
            return None;
        }
        self.condition = to;
        self.since = now;
        self.reason = self.reason_for(from, to, cause, now);
        Some(Change { from, to, reason: self.reason.clone() })
    }
}

fn sane(rules: Rules) -> Rules {
    let interval = rules.interval.max(Rules::INTERVAL_MIN);
    Rules {
        interval,
        fast_interval: rules.fast_interval.clamp(Rules::INTERVAL_MIN, interval),
        rise: rules.rise.max(1),
        fall: rules.fall.max(1),
        ..rules
    }
}

fn shortened(reason: String) -> String {
    match reason.char_indices().nth(Outcome::REASON_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason,
    }
}
