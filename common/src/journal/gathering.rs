//! Fewer commits when many records come: each costs two disk commands, their interrupts and the wake-ups of all who
//! wait, which under load is more than the records' own work.
//!
//! ```text
//!            ≥ records_per_sec_min in a window
//!  commit at ─────────────────────────────────► commit at most once per gap
//!    once    ◄─────────────────────────────────
//!                        fewer
//! ```

use std::time::{Duration, Instant};

/// The shortest time over which a rate is judged: a few machines that start together are no load yet.
const WINDOW: Duration = Duration::from_millis(10);

/// When a [`GroupCommit`](super::GroupCommit) lets records gather before it commits them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gathering {
    /// Under load there is at least so long from one commit's begin to the next, and no record waits longer for its
    /// own to begin because of it.
    pub gap: Duration,
    /// From so many records per second on it is load.
    pub records_per_sec_min: u32,
}

/// Tells load by the records of the batches so far.
#[derive(Debug)]
pub(super) struct Pace {
    gathering: Option<Gathering>,
    window_began: Instant,
    records: usize,
    loaded: bool,
    last: Instant,
}

impl Pace {
    pub(super) fn start(gathering: Option<Gathering>, now: Instant) -> Self {
        Self { gathering, window_began: now, records: 0, loaded: false, last: now }
    }

    /// How long a batch that could be taken now should go on gathering.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let gap = self.gathering.filter(|_| self.loaded)?.gap;
        (self.last + gap).checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    /// A batch of so many records was taken.
    pub(super) fn on_batch(&mut self, records: usize, now: Instant) {
        let Some(Gathering { records_per_sec_min, .. }) = self.gathering else { return };
        self.last = now;
        self.records += records;
        let window = now.duration_since(self.window_began);
        if window >= WINDOW {
            self.loaded = self.records as f64 >= f64::from(records_per_sec_min) * window.as_secs_f64();
            self.window_began = now;
            self.records = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const GATHERING: Gathering = Gathering { gap: Duration::from_millis(1), records_per_sec_min: 4000 };

    /// Takes a batch of `records` every `gap` for `length`, beginning at `start`; returns the end.
    fn feed(pace: &mut Pace, (start, length): (Instant, Duration), gap: Duration, records: usize) -> Instant {
        let mut now = start;
        while now < start + length {
            now += gap;
            pace.on_batch(records, now);
        }
        now
    }

    #[test]
    fn light_load_never_waits() {
        let start = clock::now();
        let mut pace = Pace::start(Some(GATHERING), start);
        let mut now = start;
        for _ in 0..1000 {
            now += Duration::from_millis(1);
            pace.on_batch(1, now);
            assert_eq!(pace.wait(now), None);
        }
    }

    #[test]
    fn under_load_a_batch_waits_for_the_rest_of_the_gap() {
        let start = clock::now();
        let mut pace = Pace::start(Some(GATHERING), start);
        let now = feed(&mut pace, (start, 2 * WINDOW), Duration::from_micros(200), 2);
        assert_eq!(pace.wait(now), Some(GATHERING.gap));
        let rest = Duration::from_micros(300);
        assert_eq!(pace.wait(now + GATHERING.gap - rest), Some(rest));
        assert_eq!(pace.wait(now + GATHERING.gap), None);
    }

    #[test]
    fn load_goes_on_while_the_gap_itself_makes_batches_rare() {
        let start = clock::now();
        let mut pace = Pace::start(Some(GATHERING), start);
        let now = feed(&mut pace, (start, 2 * WINDOW), Duration::from_micros(200), 2);
        let now = feed(&mut pace, (now, 10 * WINDOW), GATHERING.gap, 10);
        assert!(pace.wait(now).is_some());
    }

    #[test]
    fn after_load_one_window_of_quiet_ends_the_waiting() {
        let start = clock::now();
        let mut pace = Pace::start(Some(GATHERING), start);
        let now = feed(&mut pace, (start, 2 * WINDOW), Duration::from_micros(200), 2);
        let later = now + Duration::from_secs(60);
        assert_eq!(pace.wait(later), None, "the gap is long over");
        pace.on_batch(1, later);
        assert_eq!(pace.wait(later), None);
    }

    #[test]
    fn who_did_not_ask_for_it_never_waits() {
        let start = clock::now();
        let mut pace = Pace::start(None, start);
        let now = feed(&mut pace, (start, 10 * WINDOW), Duration::from_micros(100), 100);
        assert_eq!(pace.wait(now), None);
    }
}
