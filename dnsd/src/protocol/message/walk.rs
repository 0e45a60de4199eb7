//! Walking over the parts of a message.

use super::{HEADER_BYTES, Malformed, Question};
use crate::protocol::name::{LABEL_BYTES_MAX, NAME_BYTES_MAX};

/// Type and class after the name of a question.
const QUESTION_TAIL: usize = 4;
/// Type, class, TTL and length after the owner of a record.
const RECORD_HEAD: usize = 10;
/// The two bits that make a length octet a compression pointer (RFC 1035 section 4.1.4).
const POINTER: u8 = 0xc0;

/// Reads the question after the header. Returns it and its length.
pub(in crate::protocol) fn read_question(message: &[u8]) -> Result<(Question<'_>, usize), Malformed> {
    let section = message.get(HEADER_BYTES..).ok_or(Malformed::QuestionTruncated)?;
    let mut at = 0;
    loop {
        let length = *section.get(at).ok_or(Malformed::QuestionTruncated)?;
        match usize::from(length) {
            0 => break,
            length @ 1..=LABEL_BYTES_MAX => at += length + 1,
            _ if length & POINTER == POINTER => return Err(Malformed::QuestionPointer),
            _ => return Err(Malformed::QuestionLabelType),
        }
        if at >= NAME_BYTES_MAX {
            return Err(Malformed::QuestionNameTooLong);
        }
    }
    let (name, tail) = section.split_at_checked(at + 1).ok_or(Malformed::QuestionTruncated)?;
    let [a, b, c, d] = *tail.first_chunk::<QUESTION_TAIL>().ok_or(Malformed::QuestionTruncated)?;
    let question = Question { name, kind: u16::from_be_bytes([a, b]), class: u16::from_be_bytes([c, d]) };
    Ok((question, name.len() + QUESTION_TAIL))
}

/// The parts of a record that matter before anybody knows what it is.
pub(super) struct RecordAt<'a> {
    pub(super) kind: u16,
    pub(super) class: u16,
    pub(super) ttl: [u8; 4],
    pub(super) data: &'a [u8],
    pub(super) end: usize,
}

impl<'a> RecordAt<'a> {
    pub(super) fn read(message: &'a [u8], at: usize) -> Result<Self, Malformed> {
        let head_at = skip_name(message, at)?;
        let head = message.get(head_at..).and_then(|rest| rest.first_chunk::<RECORD_HEAD>());
        let [k1, k0, c1, c0, t3, t2, t1, t0, l1, l0] = *head.ok_or(Malformed::RecordTruncated)?;
        let data_at = head_at + RECORD_HEAD;
        let end = data_at + usize::from(u16::from_be_bytes([l1, l0]));
        let data = message.get(data_at..end).ok_or(Malformed::RecordTruncated)?;
        let (kind, class) = (u16::from_be_bytes([k1, k0]), u16::from_be_bytes([c1, c0]));
        Ok(Self { kind, class, ttl: [t3, t2, t1, t0], data, end })
    }
}

/// Where the name that begins at `start` ends. A pointer is not followed, as nobody needs the name; but it must
/// point to something before the name, as otherwise it could lead in circles.
fn skip_name(message: &[u8], start: usize) -> Result<usize, Malformed> {
    let mut at = start;
    loop {
        let length = *message.get(at).ok_or(Malformed::RecordTruncated)?;
        match usize::from(length) {
            0 => return Ok(at + 1),
            length @ 1..=LABEL_BYTES_MAX => at += length + 1,
            _ if length & POINTER == POINTER => {
                let low = *message.get(at + 1).ok_or(Malformed::RecordTruncated)?;
                let target = usize::from(u16::from_be_bytes([length & !POINTER, low]));
                let points_back = (HEADER_BYTES..start).contains(&target);
                return if points_back { Ok(at + 2) } else { Err(Malformed::RecordName) };
            }
            _ => return Err(Malformed::RecordName),
        }
        if at - start >= NAME_BYTES_MAX {
            return Err(Malformed::RecordName);
        }
    }
}
