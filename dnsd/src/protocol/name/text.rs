//! Names as master files write them (RFC 1035 section 5.1).

use std::fmt;

use super::{LABEL_BYTES_MAX, NAME_BYTES_MAX, NameError, labels_of};

/// The wire form of an absolute name; its final dot may be missing.
pub(super) fn parse(text: &str) -> Result<Box<[u8]>, NameError> {
    if text == "." {
        return Ok(Box::new([0]));
    }
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    let mut wire = Vec::with_capacity(text.len() + 2);
    let mut length_at = 0;
    wire.push(0);
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let octet = match byte {
            b'.' => {
                length_at = end_label(&mut wire, length_at)?;
                continue;
            }
            b'\\' => unescape(&mut rest)?,
            byte if byte.is_ascii() => byte,
            _ => return Err(NameError::NotAscii),
        };
        wire.push(octet);
    }
    // The final dot has already opened the root label.
    if wire.len() > length_at + 1 {
        end_label(&mut wire, length_at)?;
    }
    if wire.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    Ok(wire.into())
}

/// Writes a name in wire form as master files have it, with its final dot.
pub fn write_text(wire: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    let mut is_root = true;
    for label in labels_of(wire) {
        is_root = false;
        for &octet in label {
            match octet {
                b'.' | b'\\' | b'"' | b';' | b'@' | b'$' | b'(' | b')' => {
                    write!(f, "\\{}", char::from(octet))?;
                }
                b'!'..=b'~' => f.write_char(char::from(octet))?,
                _ => write!(f, "\\{octet:03}")?,
            }
        }
        f.write_char('.')?;
    }
    if is_root { f.write_char('.') } else { Ok(()) }
}

/// Writes the length of the label that ends here, and opens the next one. Returns where that one's length goes.
fn end_label(wire: &mut Vec<u8>, length_at: usize) -> Result<usize, NameError> {
    let length = wire.len() - length_at - 1;
    if length == 0 {
        return Err(NameError::LabelEmpty);
    }
    if length > LABEL_BYTES_MAX {
        return Err(NameError::LabelTooLong);
    }
    wire[length_at] = length as u8;
    wire.push(0);
    Ok(wire.len() - 1)
}

fn unescape(rest: &mut impl Iterator<Item = u8>) -> Result<u8, NameError> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let first = rest.next().filter(u8::is_ascii).ok_or(NameError::Escape)?;
    let Some(hundreds) = digit(first) else { return Ok(first) };
    let tens = rest.next().and_then(digit).ok_or(NameError::Escape)?;
    let ones = rest.next().and_then(digit).ok_or(NameError::Escape)?;
    u8::try_from(hundreds * 100 + tens * 10 + ones).map_err(|_| NameError::Escape)
}
