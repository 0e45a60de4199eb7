//! A record's data out of master file text (RFC 1035 section 5.1, RFC 3597 section 5).

mod location;
mod mnemonics;
mod parameters;
mod scan;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};

use super::rdata::{Field, is_shaped, shape_of};
use crate::protocol::name::{Name, NameError};
pub(super) use location::write_location;
use mnemonics::{ALGORITHMS, CERT_KINDS};
pub(super) use parameters::write_parameters;
use scan::{Scan, Word};

/// The longest data (RFC 1035 section 3.2.1); longer ones are refused.
const DATA_BYTES_MAX: usize = 65535;

/// Why a text is no data of its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextError {
    /// The text ends before the data are complete; what is missing.
    Missing(&'static str),
    /// A word is left over.
    Extra(String),
    /// A word is not what stands at its place; what would be.
    Unfit(String, &'static str),
    /// A word is no domain name.
    Name(String, NameError),
    /// A quotation mark is not closed.
    Quote,
    /// A backslash is followed by neither a character nor three digits up to 255.
    Escape,
    /// A semicolon outside of quotation marks begins a comment.
    Comment,
    /// A parenthesis outside of quotation marks; values stand on one line.
    Parenthesis,
    /// A string is longer than 255 octets.
    StringTooLong,
    /// The data are longer than 65535 octets.
    DataTooLong,
    /// `\# LENGTH HEX` with another number of octets than announced, or odd digits.
    Generic,
    /// Data in the form `\# LENGTH HEX` that do not have the form of their type.
    Misshapen,
    /// The type is known by its number only: its data must have the form `\# LENGTH HEX`.
    UnknownKind,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "the value ends where {what} should follow"),
            Self::Extra(word) => write!(f, "nothing can follow where {word:?} stands: remove it"),
            Self::Unfit(word, what) => write!(f, "{word:?} is not {what}"),
            Self::Name(word, error) => write!(f, "{word:?} is no domain name: {error}"),
            Self::Quote => f.write_str("a quotation mark is not closed"),
            Self::Escape => {
                f.write_str("a backslash must be followed by a character, or by three digits up to 255")
            }
            Self::Comment => {
                f.write_str("a semicolon outside of quotation marks begins a comment: quote the string")
            }
            Self::Parenthesis => f.write_str(
                "a parenthesis outside of quotation marks groups lines: quote the string, or remove it",
            ),
            Self::StringTooLong => {
                f.write_str("a string is longer than 255 octets: split it into several quoted ones")
            }
            Self::DataTooLong => f.write_str("the data are longer than 65535 octets"),
            Self::Generic => f.write_str("the octets after \\# are not as many as their number says"),
            Self::Misshapen => f.write_str("the octets after \\# do not have the form of the type"),
            Self::UnknownKind => f.write_str("data of a type without a name are written as \\# LENGTH HEX"),
        }
    }
}

impl std::error::Error for TextError {}

/// The data in wire form. Relative names are below `origin`, and `@` is it. Any type's data may have the form
/// `\# LENGTH HEX`; those of types without a mnemonic must.
///
/// # Errors
/// What keeps the text from being data of the type.
pub fn rdata(kind: u16, value: &str, origin: &Name) -> Result<Box<[u8]>, TextError> {
    let mut words = Scan::words(value)?.into_iter().peekable();
    let mut data = Vec::new();
    if words.next_if(Word::is_generic_mark).is_some() {
        generic(&mut words, &mut data)?;
        if !is_shaped(kind, &data) {
            return Err(TextError::Misshapen);
        }
        return Ok(data.into());
    }
    let shape = shape_of(kind).ok_or(TextError::UnknownKind)?;
    for &field in shape.fields {
        parse(field, &mut words, origin, &mut data)?;
    }
    match words.next() {
        Some(extra) => Err(TextError::Extra(extra.text())),
        None if data.len() > DATA_BYTES_MAX => Err(TextError::DataTooLong),
        None => Ok(data.into()),
    }
}

/// The name that a word stands for: relative ones are below `origin`, and `@` is it.
///
/// # Errors
/// What keeps it from being a name.
pub fn name(word: &str, origin: &Name) -> Result<Name, NameError> {
    if word == "@" {
        return Ok(origin.clone());
    }
    let name = Name::parse(word)?;
    // A final dot counts unless it is escaped, that is: unless an odd number of backslashes is in front of it.
    let is_absolute = word.strip_suffix('.').is_some_and(|rest| {
        let backslashes = rest.bytes().rev().take_while(|byte| *byte == b'\\').count();
        backslashes.is_multiple_of(2)
    });
    if is_absolute {
        return Ok(name);
    }
    let labels = &name.as_wire()[..name.as_wire().len() - 1];
    Name::from_wire(&[labels, origin.as_wire()].concat())
}

type Words = std::iter::Peekable<std::vec::IntoIter<Word>>;

fn next(words: &mut Words, what: &'static str) -> Result<Word, TextError> {
    words.next().ok_or(TextError::Missing(what))
}

/// Reads one part of the data and appends its wire form.
fn parse(field: Field, words: &mut Words, origin: &Name, data: &mut Vec<u8>) -> Result<(), TextError> {
    match field {
        Field::Name | Field::PlainName => {
            let word = next(words, "a domain name")?;
            let name = name(&word.raw, origin).map_err(|error| TextError::Name(word.text(), error))?;
            data.extend_from_slice(name.as_wire());
        }
        Field::U8 => data.push(number(words, u8::MAX.into(), "a number up to 255")? as u8),
        Field::U16 => {
            let number = number(words, u16::MAX.into(), "a number up to 65535")? as u16;
            data.extend_from_slice(&number.to_be_bytes());
        }
        Field::U32 => {
            let number = number(words, u32::MAX, "a number up to 4294967295")?;
            data.extend_from_slice(&number.to_be_bytes());
        }
        Field::Period => data.extend_from_slice(&period(words)?.to_be_bytes()),
        Field::CertKind => {
            let number = mnemonic_or_number(words, CERT_KINDS, u16::MAX, "a certificate type, such as PKIX")?;
            data.extend_from_slice(&number.to_be_bytes());
        }
        Field::Algorithm => {
            data.push(mnemonic_or_number(words, ALGORITHMS, 255, "an algorithm, such as 13")? as u8);
        }
        Field::Ipv4 => {
            let what = "an IPv4 address, such as 192.0.2.1";
            data.extend_from_slice(&parsed::<Ipv4Addr>(words, what)?.octets());
        }
        Field::Ipv6 => {
            let what = "an IPv6 address, such as 2001:db8::1";
            data.extend_from_slice(&parsed::<Ipv6Addr>(words, what)?.octets());
        }
        Field::Text => string(&next(words, "a string")?, data)?,
        Field::Texts => {
            string(&next(words, "a string")?, data)?;
            for word in words {
                string(&word, data)?;
            }
        }
        Field::Tag => {
            let word = next(words, "a tag, such as issue")?;
            if word.octets.is_empty() || !word.octets.iter().all(u8::is_ascii_alphanumeric) {
                return Err(TextError::Unfit(word.text(), "a tag of letters and digits, such as issue"));
            }
            string(&word, data)?;
        }
        Field::LongText => data.extend_from_slice(&next(words, "a quoted string")?.octets),
        Field::Hex => {
            let digits = joined(words, "octets in hexadecimal")?;
            let octets = HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
            data.extend(
                octets.map_err(|_| TextError::Unfit(digits, "an even number of hexadecimal digits"))?,
            );
        }
        Field::Base64 => {
            let text = joined(words, "octets in Base64")?;
            let octets = BASE64.decode(text.as_bytes());
            data.extend(octets.map_err(|_| TextError::Unfit(text, "Base64 with its padding"))?);
        }
        Field::Eui(octets) => {
            grouped(words, octets.into(), 2, '-', "octets such as 00-00-5e-00-53-2a", data)?;
        }
        Field::Locator => grouped(words, 4, 4, ':', "four groups such as 0014:4fff:ff20:ee64", data)?,
        Field::Parameters => parameters::parse(words, data)?,
        Field::Location => data.extend_from_slice(&location::parse(words)?),
    }
    Ok(())
}

fn unfit(word: &Word, what: &'static str) -> TextError {
    TextError::Unfit(word.text(), what)
}

/// A decimal number without a sign.
fn number(words: &mut Words, max: u32, what: &'static str) -> Result<u32, TextError> {
    let word = next(words, what)?;
    word.number().filter(|number| *number <= max).ok_or_else(|| unfit(&word, what))
}

/// Seconds, or a sum such as `1h30m` as all servers read it.
fn period(words: &mut Words) -> Result<u32, TextError> {
    const WHAT: &str = "a time in seconds, up to 2147483647";
    let word = next(words, WHAT)?;
    let mut sum = 0_u64;
    let mut digits: Option<u64> = None;
    for byte in word.octets.iter().map(u8::to_ascii_lowercase) {
        let unit = match byte {
            b'0'..=b'9' => {
                let number = digits.unwrap_or(0).saturating_mul(10).saturating_add((byte - b'0').into());
                digits = Some(number.min(u32::MAX.into()));
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return Err(unfit(&word, WHAT)),
        };
        sum += digits.take().ok_or_else(|| unfit(&word, WHAT))? * unit;
    }
    let is_empty = word.octets.is_empty();
    let secs = u32::try_from(sum + digits.unwrap_or(0)).ok();
    secs.filter(|secs| *secs <= i32::MAX as u32 && !is_empty).ok_or_else(|| unfit(&word, WHAT))
}

fn mnemonic_or_number(
    words: &mut Words,
    mnemonics: &[(&str, u16)],
    max: u16,
    what: &'static str,
) -> Result<u16, TextError> {
    let word = next(words, what)?;
    let known = mnemonics.iter().find(|(mnemonic, _)| word.raw.eq_ignore_ascii_case(mnemonic));
    known
        .map(|(_, number)| *number)
        .or_else(|| word.number().and_then(|number| number.try_into().ok()).filter(|number| *number <= max))
        .ok_or_else(|| unfit(&word, what))
}

fn parsed<T: std::str::FromStr>(words: &mut Words, what: &'static str) -> Result<T, TextError> {
    let word = next(words, what)?;
    word.raw.parse().map_err(|_| unfit(&word, what))
}

/// A length octet and the string.
fn string(word: &Word, data: &mut Vec<u8>) -> Result<(), TextError> {
    data.push(u8::try_from(word.octets.len()).map_err(|_| TextError::StringTooLong)?);
    data.extend_from_slice(&word.octets);
    Ok(())
}

/// All words to the end in one; blanks between them mean nothing.
fn joined(words: &mut Words, what: &'static str) -> Result<String, TextError> {
    let text: String = words.map(|word| word.raw).collect();
    if text.is_empty() { Err(TextError::Missing(what)) } else { Ok(text) }
}

/// Groups of so many hexadecimal digits between separators.
fn grouped(
    words: &mut Words,
    groups: usize,
    digits: usize,
    separator: char,
    what: &'static str,
    data: &mut Vec<u8>,
) -> Result<(), TextError> {
    let word = next(words, what)?;
    let parts: Vec<&str> = word.raw.split(separator).collect();
    if parts.len() != groups {
        return Err(unfit(&word, what));
    }
    for part in parts {
        let padded = format!("{part:0>digits$}");
        let octets = HEXLOWER_PERMISSIVE.decode(padded.as_bytes()).ok();
        data.extend(octets.filter(|octets| octets.len() * 2 == digits).ok_or_else(|| unfit(&word, what))?);
    }
    Ok(())
}

/// The form of RFC 3597 section 5, after its mark.
fn generic(words: &mut Words, data: &mut Vec<u8>) -> Result<(), TextError> {
    let length = number(words, DATA_BYTES_MAX as u32, "the number of octets")?;
    let digits: String = words.map(|word| word.raw).collect();
    let octets = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| TextError::Generic)?;
    if octets.len() != length as usize {
        return Err(TextError::Generic);
    }
    data.extend(octets);
    Ok(())
}
