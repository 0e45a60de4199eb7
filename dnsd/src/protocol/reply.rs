//! The frame around a body: header, question, OPT; and what is left out when the client cannot take it all.

use super::body::{TooLong, Written};
use super::code::rcode;
use super::edns::{Asked, Opt};
use super::message::{Echo, HEADER_BYTES, Malformed, Query, Reaction, read_question};

/// QR: the message is a reply.
const RESPONSE: u8 = 0x80;
const AUTHORITATIVE: u8 = 0x04;
const TRUNCATED: u8 = 0x02;
const RECURSION_DESIRED: u8 = 0x01;
const RECURSION_AVAILABLE: u8 = 0x80;
const AUTHENTIC_DATA: u8 = 0x20;
const CHECKING_DISABLED: u8 = 0x10;
/// The highest response code that the header itself can hold.
const HEADER_RCODE_MAX: u16 = 15;

/// Where the body of the reply to this request begins: right after the question.
pub fn body_at(query: &Query<'_>) -> usize {
    HEADER_BYTES + query.question_len
}

/// Writes header, question and OPT around the body that `written` says is in `out` at [`body_at`]. Returns the
/// length of the reply, at most `max` and `out.len()`; 0 where not even header, question and OPT fit, which take
/// no more than 282 octets.
///
/// A reply that is too long loses its additional section first. If that is still too much, or if the body did not fit
/// `out`, all sections go and TC is set (RFC 2181 section 9). A referral without its additional section has TC set
/// too, since the addresses in there are needed (RFC 9471).
pub fn finish(
    query: &Query<'_>,
    request: &[u8],
    out: &mut [u8],
    written: Result<Written, TooLong>,
    opt: Option<&Opt>,
    max: usize,
    recursion_available: bool,
) -> usize {
    let body_at = body_at(query);
    let max = max.min(out.len());
    let Some(room) = max.checked_sub(body_at) else { return 0 };
    let asked = query.edns.as_ref().map(Asked::from);
    let (plain, shorter);
    let mut opt = match opt {
        Some(opt) => opt,
        None => {
            plain = Opt::default();
            &plain
        }
    };
    let mut opt_len = asked.map_or(0, |asked| opt.len(asked));
    if opt_len > room {
        shorter = opt.within(room, asked.unwrap_or_default());
        opt = &shorter;
        opt_len = asked.map_or(0, |asked| opt.len(asked));
    }
    let Some(room) = room.checked_sub(opt_len) else { return 0 };
    let fit = Fit::of(written, room);
    write_header(query, out, &fit.part, fit.truncated, recursion_available);
    out[HEADER_BYTES..body_at].copy_from_slice(&request[HEADER_BYTES..body_at]);
    let end = body_at + fit.part.len;
    match asked {
        Some(asked) => opt.write(out, end, fit.part.rcode, asked, max),
        None => end,
    }
}

/// Writes a reply of header, question and OPT only, for any response code; see [`finish`].
pub fn error(
    query: &Query<'_>,
    request: &[u8],
    out: &mut [u8],
    rcode: u16,
    opt: Option<&Opt>,
    max: usize,
    recursion_available: bool,
) -> usize {
    finish(query, request, out, Ok(Written::empty(rcode)), opt, max, recursion_available)
}

/// Writes a reply with TC set and no records, for a client that should come back over TCP.
pub fn truncated(
    query: &Query<'_>,
    request: &[u8],
    out: &mut [u8],
    opt: Option<&Opt>,
    max: usize,
    recursion_available: bool,
) -> usize {
    finish(query, request, out, Err(TooLong), opt, max, recursion_available)
}

/// Writes the reply to a message that is malformed. Returns its length, which never exceeds the request's by more
/// than an OPT record; `None`: such a message gets no reply.
pub fn refuse(request: &[u8], malformed: Malformed, out: &mut [u8]) -> Option<usize> {
    let Reaction::Answer { rcode, echo } = malformed.reaction() else { return None };
    let header = *request.first_chunk::<HEADER_BYTES>()?;
    let [id_high, id_low, flags, more_flags, _, questions, ..] = header;
    let [.., additional_high, additional_low] = header;
    let question_len = match read_question(request) {
        Ok((_, len)) if echo >= Echo::Question && questions == 1 => len,
        _ => 0,
    };
    let question_end = HEADER_BYTES + question_len;
    let opt = Opt::default();
    // Never in a reply to who sent none (RFC 6891 section 6.1.1).
    let with_opt = echo == Echo::QuestionAndOpt && [additional_high, additional_low] != [0, 0];
    let needed = question_end + if with_opt { opt.len(Asked::default()) } else { 0 };
    let out = out.get_mut(..needed)?;
    let header = [
        id_high,
        id_low,
        RESPONSE | flags & (0x0f << 3 | RECURSION_DESIRED),
        more_flags & CHECKING_DISABLED | (rcode & HEADER_RCODE_MAX) as u8,
        0,
        u8::from(question_len > 0),
        0,
        0,
        0,
        0,
        0,
        u8::from(with_opt),
    ];
    out[..HEADER_BYTES].copy_from_slice(&header);
    out[HEADER_BYTES..question_end].copy_from_slice(&request[HEADER_BYTES..question_end]);
    if with_opt {
        opt.write(out, question_end, rcode, Asked::default(), needed);
    }
    Some(needed)
}

/// How much of a body goes out.
struct Fit {
    part: Written,
    truncated: bool,
}

impl Fit {
    fn of(written: Result<Written, TooLong>, room: usize) -> Self {
        let Ok(whole) = written else {
            return Self { part: Written::empty(rcode::NOERROR), truncated: true };
        };
        if whole.len <= room {
            return Self { part: whole, truncated: false };
        }
        if whole.additional_at <= room && whole.additionals > 0 {
            let part = Written { additionals: 0, len: whole.additional_at, ..whole };
            return Self { part, truncated: whole.is_referral() };
        }
        let part = Written { authoritative: whole.authoritative, ..Written::empty(whole.rcode) };
        Self { part, truncated: true }
    }
}

fn write_header(
    query: &Query<'_>,
    out: &mut [u8],
    part: &Written,
    truncated: bool,
    recursion_available: bool,
) {
    let with_opt = query.edns.is_some();
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let rcode = match part.rcode {
        // Cut to four bits, such a code would read as another one.
        beyond if beyond > HEADER_RCODE_MAX && !with_opt => rcode::SERVFAIL,
        other => other & HEADER_RCODE_MAX,
    };
    // AD only for those who know it (RFC 6840 section 5.8).
    let authentic = part.authentic && (query.authentic_data || query.dnssec_ok());
    let [id_high, id_low] = query.id.to_be_bytes();
    let [an1, an0] = part.answers.to_be_bytes();
    let [ns1, ns0] = part.authorities.to_be_bytes();
    let [ar1, ar0] = part.additionals.saturating_add(u16::from(with_opt)).to_be_bytes();
    let header = [
        id_high,
        id_low,
        RESPONSE
            | query.opcode << 3
            | flag(part.authoritative, AUTHORITATIVE)
            | flag(truncated, TRUNCATED)
            | flag(query.recursion_desired, RECURSION_DESIRED),
        flag(recursion_available, RECURSION_AVAILABLE)
            | flag(authentic, AUTHENTIC_DATA)
            | flag(query.checking_disabled, CHECKING_DISABLED)
            | rcode as u8,
        0,
        u8::from(query.question_len > 0),
        an1,
        an0,
        ns1,
        ns0,
        ar1,
        ar0,
    ];
    out[..HEADER_BYTES].copy_from_slice(&header);
}

#[cfg(test)]
mod tests;
