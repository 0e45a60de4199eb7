//! Medians, quantiles, ratios. Values that could not be measured are left out before they get here.

use std::time::Duration;

/// The median; of an even number of values the mean of the two in the middle. `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// The smallest value that at least `share` (0 to 1) of all values do not exceed. `None` of nothing.
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let sorted = sorted(values);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to the number of values")]
    let rank = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The smallest and the largest value. `None` of nothing.
pub fn spread(values: &[f64]) -> Option<(f64, f64)> {
    let sorted = sorted(values);
    Some((*sorted.first()?, *sorted.last()?))
}

/// A value in at most four significant digits, with thousands set apart: `12 345`, `1 204`, `85.3`, `0.042`.
pub fn spoken(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => thousands(value),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The median with the smallest and largest value behind it: `9 755 (9 310–9 802)`; a dash of nothing.
pub fn spoken_spread(values: &[f64]) -> String {
    match (median(values), spread(values)) {
        (Some(middle), Some((low, high))) if values.len() > 1 => {
            format!("{} ({}–{})", spoken(middle), spoken(low), spoken(high))
        }
        (Some(only), _) => spoken(only),
        _ => "–".to_owned(),
    }
}

/// Microseconds.
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    if value < 0.0 { format!("-{grouped}") } else { grouped }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn median_takes_the_middle_or_the_mean_of_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn quantile_is_a_value_that_was_measured() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), Some(50.0));
        assert_eq!(quantile(&values, 0.99), Some(99.0));
        assert_eq!(quantile(&values, 1.0), Some(100.0));
        assert_eq!(quantile(&[7.0], 0.01), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn figures_are_spoken_without_false_precision() {
        assert_eq!(spoken(12_345.6), "12 346");
        assert_eq!(spoken(1_234_567.0), "1 234 567");
        assert_eq!(spoken(85.34), "85.3");
        assert_eq!(spoken(1.204), "1.20");
        assert_eq!(spoken(0.0421), "0.042");
        assert_eq!(spoken_spread(&[]), "–");
        assert_eq!(spoken_spread(&[5.0]), "5.00");
        assert_eq!(spoken_spread(&[3.0, 1.0, 2.0]), "2.00 (1.00–3.00)");
    }

    proptest! {
        #[test]
        fn median_lies_within_the_spread(values in prop::collection::vec(-1e9..1e9_f64, 1..50)) {
            let (low, high) = spread(&values).unwrap();
            let middle = median(&values).unwrap();
            prop_assert!(low <= middle && middle <= high);
        }
    }
}
