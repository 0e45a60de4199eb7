//! Slow start: a share that grows in steps.

use std::time::{Duration, Instant};

/// The share of a server that came up, and when it grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ramp {
    from: Instant,
    length: Duration,
}

impl Ramp {
    /// Steps from the first share to the full one: each makes a new roster.
    const STEPS: u32 = 20;

    /// A ramp that begins at `from`; `None`: without slow start there is none.
    pub(super) fn new(from: Instant, length: Duration) -> Option<Self> {
        // Shorter steps than a nanosecond would never come to an end.
        (length >= Duration::from_millis(1)).then_some(Self { from, length })
    }

    /// The share, of `full`.
    pub(super) fn share(&self, full: u32, now: Instant) -> u32 {
        let step = self.step(now);
        if step >= Self::STEPS { full } else { (full * (step + 1) / (Self::STEPS + 1)).max(1) }
    }

    /// When the share grows next; `None`: it is the full one.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let step = self.step(now);
        (step < Self::STEPS).then(|| self.from + self.length * (step + 1) / Self::STEPS)
    }

    fn step(&self, now: Instant) -> u32 {
        let elapsed = now.saturating_duration_since(self.from);
        let step = elapsed.as_nanos() * u128::from(Self::STEPS) / self.length.as_nanos();
        u32::try_from(step).unwrap_or(u32::MAX).min(Self::STEPS)
    }
}
