//! Failures to resolve, remembered for a short while (RFC 9520).

use super::Failure;

/// For how long the first failure is remembered, in milliseconds; RFC 9520 section 3.2 asks for at least a second.
pub(super) const BACKOFF_MIN: u32 = 1000;
/// For how long a failure is remembered after many, in milliseconds; RFC 9520 section 3.2 allows five minutes.
pub(super) const BACKOFF_MAX: u32 = 30_000;
/// How long after a failure's time the next one still counts as one more in a row, in milliseconds.
const IN_A_ROW: i64 = 30_000;

/// How asking last failed, and until when it is not tried again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failing {
    pub(super) failure: Failure,
    until_ms: i64,
    backoff_ms: u32,
    /// It is only of interest while the cache's number is the same.
    epoch: u32,
}

impl Failing {
    /// One more failure after `before`, if any: each doubles the time.
    pub(super) fn after(before: Option<&Self>, failure: Failure, epoch: u32, now_ms: i64) -> Self {
        let before = before.filter(|before| before.epoch == epoch && !before.is_forgotten(now_ms));
        let backoff_ms = match before {
            // Failures of questions that were under way together are one.
            Some(before) if before.is_live(epoch, now_ms) => before.backoff_ms,
            Some(before) => before.backoff_ms.saturating_mul(2).min(BACKOFF_MAX),
            None => BACKOFF_MIN,
        };
        Self { failure, until_ms: now_ms + i64::from(backoff_ms), backoff_ms, epoch }
    }

    /// Whether the question is not to be asked again yet.
    pub(super) fn is_live(&self, epoch: u32, now_ms: i64) -> bool {
        self.epoch == epoch && now_ms < self.until_ms
    }

    /// Whether not even the next failure would make something of it.
    pub(super) fn is_forgotten(&self, now_ms: i64) -> bool {
        now_ms >= self.until_ms + IN_A_ROW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILURE: Failure = Failure { rcode: 2, ede: None };

    #[test]
    fn each_failure_in_a_row_doubles_the_time_up_to_thirty_seconds() {
        let mut now = 0;
        let mut failing = Failing::after(None, FAILURE, 0, now);
        let mut seen = vec![failing.backoff_ms];
        for _ in 0..6 {
            now = failing.until_ms;
            assert!(!failing.is_live(0, now) && failing.is_live(0, now - 1));
            failing = Failing::after(Some(&failing), FAILURE, 0, now);
            seen.push(failing.backoff_ms);
        }
        assert_eq!(seen, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    }

    #[test]
    fn failures_under_way_together_count_once() {
        let first = Failing::after(None, FAILURE, 0, 0);
        let second = Failing::after(Some(&first), FAILURE, 0, 500);
        assert_eq!((second.backoff_ms, second.until_ms), (1000, 1500));
    }

    #[test]
    fn a_failure_long_ago_or_of_another_epoch_counts_for_nothing() {
        let first = Failing::after(None, FAILURE, 0, 0);
        assert!(!first.is_live(1, 0));
        assert_eq!(Failing::after(Some(&first), FAILURE, 1, 1000).backoff_ms, 1000);
        assert_eq!(Failing::after(Some(&first), FAILURE, 0, 1000 + IN_A_ROW).backoff_ms, 1000);
        assert_eq!(Failing::after(Some(&first), FAILURE, 0, 999 + IN_A_ROW).backoff_ms, 2000);
    }
}
