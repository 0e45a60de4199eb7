//! Lengths of time (configuration manual, section 2.5).

use std::time::Duration;

/// A number with its unit; milliseconds where it has none.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let (of_unit, scale) = match unit {
        "us" => (Duration::from_micros(number), 1),
        "" | "ms" => (Duration::from_millis(number), 1),
        "s" => (Duration::from_secs(number), 1),
        "m" => (Duration::from_secs(number), 60),
        "h" => (Duration::from_secs(number), 3600),
        "d" => (Duration::from_secs(number), 86_400),
        _ => return None,
    };
    of_unit.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_the_manuals() {
        for (text, millis) in
            [("5000", 5000), ("10s", 10_000), ("1m", 60_000), ("2h", 7_200_000), ("1d", 86_400_000)]
        {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("100us"), Some(Duration::from_micros(100)));
        for wrong in ["", "s", "1w", "-1", "1.5s", "99999999999999999999", "18446744073709551615d"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
