//! Numbers, sizes and durations.

use std::time::Duration;

use toml::de::DeValue;

use super::{Flaw, text_value};
use crate::site::read::{Findings, Input, Shape, Value, quoted};

/// A whole number between two bounds, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounded<const MIN: i64, const MAX: i64>(pub(crate) i64);

/// A port that something can listen on.
pub(crate) type Port = Bounded<1, 65535>;

impl<const MIN: i64, const MAX: i64> Bounded<MIN, MAX> {
    /// The number in a narrower type, which its bounds fit.
    pub(crate) fn narrow<T: TryFrom<i64>>(self) -> Option<T> {
        T::try_from(self.0).ok()
    }
}

impl<const MIN: i64, const MAX: i64> Value for Bounded<MIN, MAX> {
    fn read(input: Input<'_>, found: &mut Findings) -> Option<Self> {
        let DeValue::Integer(number) = input.value else {
            input.expected("a whole number", found);
            return None;
        };
        let value = i64::from_str_radix(number.as_str(), number.radix()).ok();
        let value = value.filter(|value| (MIN..=MAX).contains(value));
        if value.is_none() {
            found
                .error(&input.spot, format!("{} is out of bounds", input.description()))
                .help(format!("from {MIN} to {MAX}"));
        }
        value.map(Self)
    }

    fn shape() -> Shape {
        Shape::Integer { min: MIN, max: MAX }
    }
}

/// The version of the format that is read here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FormatVersion;

impl Value for FormatVersion {
    fn read(input: Input<'_>, found: &mut Findings) -> Option<Self> {
        match input.value {
            DeValue::Integer(number) if i64::from_str_radix(number.as_str(), number.radix()) == Ok(1) => {
                Some(Self)
            }
            DeValue::Integer(number) => {
                found
                    .error(
                        &input.spot,
                        format!("version {} of the format is not known here", quoted(number.as_str())),
                    )
                    .help("this faros reads version 1; a newer file needs a newer faros");
                None
            }
            _ => {
                input.expected("the number 1", found);
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Integer { min: 1, max: 1 }
    }
}

text_value!(Duration, "duration, such as 30s, 1h or 1h 30m", |text| {
    humantime::parse_duration(text).map_err(|error| {
        let flaw = Flaw::not(text, "duration, such as 30s, 1h or 1h 30m");
        match error {
            humantime::DurationError::NumberOverflow => Flaw::new("the duration is too long"),
            _ if text.parse::<u64>().is_ok() => flaw.help(format!("add the unit: {text}s")),
            _ => flaw,
        }
    })
});

/// A number of bytes, written with a binary unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

text_value!(Bytes, "size with its unit, such as 512M, 16G or 2T (powers of 1024)", |text| {
    let flaw = || Flaw::not(text, "size with its unit, such as 512M, 16G or 2T (powers of 1024)");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| flaw())?;
    let shift = match unit {
        "K" | "Ki" | "KiB" => 10,
        "M" | "Mi" | "MiB" => 20,
        "G" | "Gi" | "GiB" => 30,
        "T" | "Ti" | "TiB" => 40,
        "" => return Err(flaw().help(format!("add the unit: {text}G"))),
        _ => return Err(flaw()),
    };
    let bytes = number.checked_mul(1 << shift).ok_or_else(|| Flaw::new("the size is too large"))?;
    if bytes == 0 { Err(Flaw::new("a size of nothing")) } else { Ok(Bytes(bytes)) }
});
