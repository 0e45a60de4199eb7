//! When keys are due to be rotated. Told the time, as everything here.

use std::time::{Duration, SystemTime};

/// The shortest time between two rotations that a schedule may ask for: each leaves a hidden pair behind that is kept for the
/// disks bound to it.
pub const PERIOD_MIN: Duration = Duration::from_secs(3600);

/// Whether keys made at `made` are due at `now`. A clock that is behind the keys is wrong, and decides nothing.
#[must_use]
pub fn is_due(made: SystemTime, now: SystemTime, period: Duration) -> bool {
    now.duration_since(made).is_ok_and(|age| age >= period.max(PERIOD_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86400);

    #[test]
    fn keys_are_due_at_their_age_and_not_before() {
        let made = SystemTime::UNIX_EPOCH + 20000 * DAY;
        assert!(!is_due(made, made + 90 * DAY - Duration::from_secs(1), 90 * DAY));
        assert!(is_due(made, made + 90 * DAY, 90 * DAY));
    }

    #[test]
    fn a_clock_that_is_behind_the_keys_rotates_nothing() {
        let made = SystemTime::UNIX_EPOCH + 20000 * DAY;
        assert!(!is_due(made, SystemTime::UNIX_EPOCH, 90 * DAY));
    }

    #[test]
    fn no_schedule_fills_the_store_within_a_day() {
        let made = SystemTime::UNIX_EPOCH;
        assert!(!is_due(made, made + Duration::from_secs(60), Duration::ZERO));
    }
}
