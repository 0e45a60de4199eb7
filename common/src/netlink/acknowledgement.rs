//! Answers that carry nothing: that something worked, or why not (RFC 3549 section 2.3.2.2).

use super::attribute::{Attributes, Malformed};
use super::error::{Error, Refusal};
use super::message::{HEADER_BYTES, Message, flag};

/// The end of a list, which may be the kernel's refusal to go on.
pub(super) fn done(message: &Message<'_>) -> Result<(), Error> {
    let code = message.body.first_chunk::<4>().map_or(0, |code| i32::from_ne_bytes(*code));
    if code >= 0 {
        return Ok(());
    }
    let (text, offset) = extension(message.body.get(4..).unwrap_or_default());
    Err(Error::Refused(Refusal { code: code.saturating_neg(), text, offset }))
}

/// What an answer of type "error" says; `None`: that it worked.
pub(super) fn acknowledgement(message: &Message<'_>) -> Result<Option<Refusal>, Malformed> {
    let cut = Malformed::new("an acknowledgement that is cut short");
    let code = i32::from_ne_bytes(*message.body.first_chunk::<4>().ok_or(cut)?);
    if code == 0 {
        return Ok(None);
    }
    let header = message.body.get(4..4 + HEADER_BYTES).ok_or(cut)?;
    let repeated = if message.flags & flag::CAPPED != 0 {
        HEADER_BYTES
    } else {
        u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize
    };
    let extended = message.flags & flag::EXTENDED != 0;
    let behind = repeated
        .checked_next_multiple_of(4)
        .and_then(|repeated| message.body.get(4usize.checked_add(repeated)?..));
    let (text, offset) = extension(behind.filter(|_| extended).unwrap_or_default());
    Ok(Some(Refusal { code: code.saturating_neg(), text, offset }))
}

/// Text and offset of an extended acknowledgement; one that cannot be read is left out.
fn extension(bytes: &[u8]) -> (Option<String>, Option<u32>) {
    const TEXT: u16 = 1;
    const OFFSET: u16 = 2;
    let Ok(fields) = Attributes::new(bytes).fields() else { return (None, None) };
    let text = fields.get(TEXT).and_then(|text| text.text().ok()).map(str::to_owned);
    (text, fields.u32(OFFSET).ok().flatten())
}
