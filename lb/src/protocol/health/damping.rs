//! Flap damping: a server that goes down again and again stays out longer each time.

use std::time::{Duration, Instant};

/// How often a server went down lately. Each time counts one; one is forgotten for each [`Damping::FORGET`]
/// in which it neither goes down nor is held.
#[derive(Clone, Debug, Default)]
pub(super) struct Damping {
    flaps: u32,
    /// Since when it is quiet: the last time it went down, or the end of the hold for that.
    quiet_since: Option<Instant>,
    held_until: Option<Instant>,
}

impl Damping {
    /// So many downs in short order are a restart or an upgrade, and are not held against anybody.
    const FREE: u32 = 3;
    /// The first hold; each further one is twice as long.
    const HOLD_MIN: Duration = Duration::from_secs(10);
    /// No hold is longer, counted from the last time it went down.
    const HOLD_MAX: Duration = Duration::from_secs(300);
    /// Each such time forgets one.
    const FORGET: Duration = Duration::from_secs(120);
    /// Beyond it, more downs count no more: what is to be forgotten stays bounded as well.
    const FLAPS_MAX: u32 = 10;

    /// It went down.
    pub(super) fn fell(&mut self, now: Instant) {
        self.flaps = (self.flaps(now) + 1).min(Self::FLAPS_MAX);
        self.held_until = self.flaps.checked_sub(Self::FREE + 1).map(|steps| {
            let hold = Self::HOLD_MIN * 2u32.pow(steps.min(Self::FLAPS_MAX));
            now + hold.min(Self::HOLD_MAX)
        });
        self.quiet_since = Some(self.held_until.unwrap_or(now));
    }

    /// Until when it is held; `None`: it is not.
    pub(super) fn held_until(&self, now: Instant) -> Option<Instant> {
        self.held_until.filter(|&until| now < until)
    }

    /// Downs that still count.
    pub(super) fn flaps(&self, now: Instant) -> u32 {
        let Some(since) = self.quiet_since else { return self.flaps };
        let forgotten = now.saturating_duration_since(since).as_secs() / Self::FORGET.as_secs();
        self.flaps.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }

    /// The operator vouches for it.
    pub(super) fn forgive(&mut self) {
        *self = Self::default();
    }
}
