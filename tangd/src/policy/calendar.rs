//! The time of the week.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use faros_common::site::TangWindow;

/// 2025-01-01T00:00:00Z: a clock that shows less has not been set since power-on, for this program is younger.
const BELIEVABLE_FROM: Duration = Duration::from_secs(1_735_689_600);
/// 1970-01-01 was a Thursday.
const EPOCH_DAY: u64 = 3;
const DAY_SECS: u64 = 24 * 3600;

/// Whether it is the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Season {
    /// A window is open, or there are none.
    Open,
    /// All are shut; the next opens in so many minutes.
    Shut {
        /// Until then.
        opens_in: u32,
    },
    /// The clock cannot be believed.
    Unknown,
}

pub(super) fn season(windows: &[TangWindow], now: SystemTime) -> Season {
    if windows.is_empty() {
        return Season::Open;
    }
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    if since < BELIEVABLE_FROM {
        return Season::Unknown;
    }
    let minute = minute_of_week(since);
    if windows.iter().any(|window| window.is_open(minute)) {
        return Season::Open;
    }
    Season::Shut { opens_in: windows.iter().map(|window| window.opens_in(minute)).min().unwrap_or_default() }
}

/// The minute of the week, which begins on Monday at 00:00 UTC.
fn minute_of_week(since_epoch: Duration) -> u32 {
    let days = since_epoch.as_secs() / DAY_SECS;
    let minute = since_epoch.as_secs() % DAY_SECS / 60;
    let of_week = (days + EPOCH_DAY) % 7 * (DAY_SECS / 60) + minute;
    u32::try_from(of_week).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).unwrap()
    }

    fn weekdays() -> [TangWindow; 1] {
        [TangWindow { days: [true, true, true, true, true, false, false], from: 360, minutes: 840 }]
    }

    #[test]
    fn weeks_begin_on_monday() {
        let minute = |text| minute_of_week(at(text).duration_since(UNIX_EPOCH).unwrap());
        assert_eq!(minute("2026-11-23T00:00:00Z"), 0, "a Monday");
        assert_eq!(minute("2026-11-22T23:59:59Z"), 7 * 1440 - 1, "a Sunday");
    }

    #[test]
    fn windows_are_open_in_their_time_and_say_when_they_open() {
        assert_eq!(season(&weekdays(), at("2026-11-20T19:59:59Z")), Season::Open);
        let shut = Season::Shut { opens_in: 2 * 1440 + 600 };
        assert_eq!(season(&weekdays(), at("2026-11-20T20:00:00Z")), shut);
        assert_eq!(season(&[], at("1970-01-01T00:00:00Z")), Season::Open);
    }

    #[test]
    fn a_clock_that_was_never_set_opens_nothing() {
        assert_eq!(season(&weekdays(), at("1970-01-01T12:00:00Z")), Season::Unknown);
        assert_eq!(season(&weekdays(), at("2024-12-31T12:00:00Z")), Season::Unknown);
        assert_eq!(season(&weekdays(), at("2025-01-01T12:00:00Z")), Season::Open);
    }
}
