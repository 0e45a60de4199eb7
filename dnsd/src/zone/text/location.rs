//! Places on Earth as LOC records have them (RFC 1876).

use std::fmt::{self, Write};

use super::{TextError, Word, Words, next, unfit};

/// Zero degrees: the middle of the range of 32 bits.
const EQUATOR: u32 = 1 << 31;
/// Altitude zero, in centimetres above the base of 100 km below the ellipsoid.
const ALTITUDE_BASE: i64 = 10_000_000;
/// Size, horizontal and vertical precision where they are left out, in centimetres (RFC 1876 section 3).
const DEFAULTS: [u64; 3] = [100, 1_000_000, 1_000];

/// Reads `51 30 12.748 N 0 7 39.611 W 0.00m 0.00m 0.00m 0.00m`; seconds, minutes, and what follows the
/// altitude can be left out.
pub(super) fn parse(words: &mut Words) -> Result<[u8; 16], TextError> {
    let latitude = angle(words, 90, ["N", "S"])?;
    let longitude = angle(words, 180, ["E", "W"])?;
    let altitude = next(words, "an altitude, such as 10m")?;
    let centimetres = metres(&altitude)? + ALTITUDE_BASE;
    let Ok(altitude) = u32::try_from(centimetres) else {
        return Err(unfit(&altitude, "an altitude between -100000m and 42849672m"));
    };
    let mut octets = [0; 16];
    for (place, default) in octets[1..4].iter_mut().zip(DEFAULTS) {
        let centimetres = match words.next() {
            Some(word) => u64::try_from(metres(&word)?).map_err(|_| unfit(&word, "a length of 0 or more"))?,
            None => default,
        };
        *place = mantissa_and_exponent(centimetres);
    }
    octets[4..8].copy_from_slice(&latitude.to_be_bytes());
    octets[8..12].copy_from_slice(&longitude.to_be_bytes());
    octets[12..].copy_from_slice(&altitude.to_be_bytes());
    Ok(octets)
}

/// Writes the sixteen octets as [`parse`] reads them.
pub(in crate::zone) fn write_location(octets: &[u8], out: &mut impl Write) -> fmt::Result {
    let number = |at: usize| {
        octets.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |n| u32::from_be_bytes(*n))
    };
    for (at, [positive, negative]) in [(4, ["N", "S"]), (8, ["E", "W"])] {
        let value = number(at);
        let thousandths = value.abs_diff(EQUATOR);
        let (seconds, fraction) = (thousandths / 1000, thousandths % 1000);
        let (degrees, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let direction = if value >= EQUATOR { positive } else { negative };
        write!(out, "{degrees} {minutes} {seconds}.{fraction:03} {direction} ")?;
    }
    let centimetres = i64::from(number(12)) - ALTITUDE_BASE;
    let sign = if centimetres < 0 { "-" } else { "" };
    let size = centimetres.unsigned_abs();
    write!(out, "{sign}{}.{:02}m", size / 100, size % 100)?;
    for octet in octets.iter().take(4).skip(1) {
        let size = u64::from(octet >> 4) * 10_u64.pow(u32::from(octet & 0x0f).min(9));
        write!(out, " {}.{:02}m", size / 100, size % 100)?;
    }
    Ok(())
}

/// Degrees, minutes and seconds with their direction, in thousandths of a second.
fn angle(words: &mut Words, max: u32, [positive, negative]: [&'static str; 2]) -> Result<u32, TextError> {
    const WHAT: &str = "degrees, minutes, seconds and a direction, such as 51 30 12.748 N";
    const UNITS: [u32; 3] = [3_600_000, 60_000, 1_000];
    let mut sum = 0_u32;
    for (index, unit) in UNITS.into_iter().enumerate() {
        let word = next(words, WHAT)?;
        let limit = if index == 0 { max } else { 59 };
        let thousandths =
            if index == 2 { seconds(&word) } else { word.number().map(|n| n.saturating_mul(unit)) };
        sum += match thousandths {
            Some(thousandths) if thousandths < (limit + 1) * unit => thousandths,
            _ => return Err(unfit(&word, WHAT)),
        };
        if let Some(word) = words.next_if(|word| word.raw.parse::<f64>().is_err()) {
            return direction(&word, sum, max, [positive, negative], WHAT);
        }
    }
    Err(TextError::Missing(WHAT))
}

fn direction(
    word: &Word,
    sum: u32,
    max: u32,
    [positive, negative]: [&str; 2],
    what: &'static str,
) -> Result<u32, TextError> {
    if sum > max * 3_600_000 {
        return Err(unfit(word, what));
    }
    match () {
        () if word.raw.eq_ignore_ascii_case(positive) => Ok(EQUATOR + sum),
        () if word.raw.eq_ignore_ascii_case(negative) => Ok(EQUATOR - sum),
        () => Err(unfit(word, what)),
    }
}

/// Seconds with up to three decimals, in thousandths.
fn seconds(word: &Word) -> Option<u32> {
    fixed(&word.raw, 3)?.try_into().ok()
}

/// Metres with up to two decimals, in centimetres.
fn metres(word: &Word) -> Result<i64, TextError> {
    let text = word.raw.strip_suffix(['m', 'M']).unwrap_or(&word.raw);
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
    let centimetres = fixed(text, 2).filter(|number| *number < 1 << 40);
    centimetres.map(|number| sign * number as i64).ok_or_else(|| unfit(word, "a length, such as 10.50m"))
}

/// A decimal number with up to `decimals` digits after the point, times as many powers of ten.
fn fixed(text: &str, decimals: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_plain =
        !whole.is_empty() && [whole, fraction].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    if !is_plain || fraction.len() > decimals || whole.len() > 10 {
        return None;
    }
    format!("{whole}{fraction:0<decimals$}").parse().ok()
}

/// A length as one digit and a power of ten; lesser digits are cut off, as the format has no room for them.
fn mantissa_and_exponent(centimetres: u64) -> u8 {
    let (mut mantissa, mut exponent) = (centimetres, 0_u8);
    while mantissa > 9 {
        mantissa /= 10;
        exponent += 1;
    }
    if exponent > 9 { 0x99 } else { (mantissa as u8) << 4 | exponent }
}
