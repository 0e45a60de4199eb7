//! Times as people read them.

use std::time::{Duration, SystemTime};

/// A length of time in its two largest units: `2 h 5 min`.
pub(crate) fn span(length: Duration) -> String {
    let secs = length.as_secs();
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min", secs / 60),
        3600..86_400 => two(secs / 3600, "h", secs % 3600 / 60, "min"),
        _ => two(secs / 86_400, "d", secs % 86_400 / 3600, "h"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

/// How long ago `time` was; a time to come counts as now, because two clocks never agree.
pub(crate) fn ago(now: SystemTime, time: SystemTime) -> String {
    match now.duration_since(time) {
        Ok(length) if length.as_secs() > 0 => format!("{} ago", span(length)),
        _ => "just now".to_owned(),
    }
}

/// When `time` comes, or how long ago it came.
pub(crate) fn until(now: SystemTime, time: SystemTime) -> String {
    match time.duration_since(now) {
        Ok(length) => format!("in {}", span(length)),
        Err(_) => ago(now, time),
    }
}

/// A time as daemons write it (RFC 3339, UTC).
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_two_units() {
        let shown = |secs| span(Duration::from_secs(secs));
        assert_eq!(
            [shown(0), shown(59), shown(60), shown(3600), shown(3660), shown(90_000), shown(864_000)],
            ["0 s", "59 s", "1 min", "1 h", "1 h 1 min", "1 d 1 h", "10 d"]
        );
    }

    #[test]
    fn the_future_is_now() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        assert_eq!(ago(now, now + Duration::from_secs(5)), "just now");
        assert_eq!(ago(now, now - Duration::from_secs(5)), "5 s ago");
        assert_eq!(until(now, now + Duration::from_secs(90)), "in 1 min");
    }
}
