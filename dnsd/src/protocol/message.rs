//! A request, read without allocation (RFC 1035 section 4).

mod malformed;
mod walk;

use super::code::{kind, opcode};
use super::edns::{Edns, UDP_SIZE_MAX, UDP_SIZE_PLAIN};
use walk::RecordAt;

pub use malformed::{Echo, Malformed, Reaction};
pub(super) use walk::read_question;

/// The header in front of every message.
pub const HEADER_BYTES: usize = 12;

/// The one question of a request; of an UPDATE, its zone section (RFC 2136 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The name in wire form, as sent: no pointers, no more than 255 octets. Empty in a request that has no
    /// question ([`Query::is_cookie_only`]).
    pub name: &'a [u8],
    /// The type.
    pub kind: u16,
    /// The class.
    pub class: u16,
}

/// A well-formed request: a query, NOTIFY or UPDATE. All its records are known to be whole; of those, only OPT was
/// looked into.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The number by which the client knows the reply.
    pub id: u16,
    /// QUERY, NOTIFY or UPDATE.
    pub opcode: u8,
    /// RD: the client wants names resolved that are not ours.
    pub recursion_desired: bool,
    /// CD: the client validates itself (RFC 4035 section 3.2.2).
    pub checking_disabled: bool,
    /// AD: the client wants to know whether an answer was validated (RFC 6840 section 5.7).
    pub authentic_data: bool,
    /// What is asked.
    pub question: Question<'a>,
    /// Octets of the question section: the name's and 4; 0 where there is no question.
    pub question_len: usize,
    /// What the client says by EDNS, if it speaks it.
    pub edns: Option<Edns<'a>>,
    /// Where the TSIG record begins (RFC 8945); it ends the message.
    pub tsig_at: Option<usize>,
}

impl<'a> Query<'a> {
    /// Reads a message that arrived where requests do. Takes time linear in its length, and no memory.
    ///
    /// # Errors
    /// What is wrong with it; [`Malformed::reaction`] says what to answer.
    pub fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let header = message.first_chunk::<HEADER_BYTES>().ok_or(Malformed::Short)?;
        let [id_high, id_low, flags, more_flags, counts @ ..] = *header;
        if flags & 0x80 != 0 {
            return Err(Malformed::Response);
        }
        let opcode = flags >> 3 & 0x0f;
        if !matches!(opcode, opcode::QUERY | opcode::NOTIFY | opcode::UPDATE) {
            return Err(Malformed::Opcode);
        }
        let [q1, q0, an1, an0, ns1, ns0, ar1, ar0] = counts;
        let questions = u16::from_be_bytes([q1, q0]);
        let (question, question_len) = match questions {
            1 => read_question(message)?,
            0 if opcode == opcode::QUERY => (Question { name: &[], kind: 0, class: 0 }, 0),
            _ => return Err(Malformed::QuestionCount),
        };
        let mut query = Self {
            id: u16::from_be_bytes([id_high, id_low]),
            opcode,
            recursion_desired: flags & 0x01 != 0,
            checking_disabled: more_flags & 0x10 != 0,
            authentic_data: more_flags & 0x20 != 0,
            question,
            question_len,
            edns: None,
            tsig_at: None,
        };
        let early = u32::from(u16::from_be_bytes([an1, an0])) + u32::from(u16::from_be_bytes([ns1, ns0]));
        let additional = u16::from_be_bytes([ar1, ar0]);
        query.read_records(message, early, additional)?;
        if questions == 0 && !query.is_cookie_only() {
            return Err(Malformed::QuestionCount);
        }
        check_kind(&query)?;
        Ok(query)
    }

    /// Whether there is no question but a cookie: the client wants a fresh server cookie, which is all that the
    /// reply holds (RFC 7873 section 5.4).
    pub fn is_cookie_only(&self) -> bool {
        self.question_len == 0 && self.edns.is_some_and(|edns| edns.cookie.is_some())
    }

    /// The longest reply over UDP: what the client offers, within 512 and [`UDP_SIZE_MAX`]; 512 without EDNS.
    pub fn udp_size(&self) -> usize {
        self.edns
            .map_or(UDP_SIZE_PLAIN, |edns| usize::from(edns.udp_size).clamp(UDP_SIZE_PLAIN, UDP_SIZE_MAX))
    }

    /// Whether the client accepts DNSSEC records.
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// Walks all records. `early` ones come before the additional section. Each takes at least 11 octets, so
    /// counts beyond the data end the walk early.
    fn read_records(&mut self, message: &'a [u8], early: u32, additional: u16) -> Result<(), Malformed> {
        let mut at = HEADER_BYTES + self.question_len;
        for _ in 0..early {
            let record = RecordAt::read(message, at)?;
            match record.kind {
                kind::OPT => return Err(Malformed::OptSection),
                kind::TSIG => return Err(Malformed::TsigPlace),
                _ => at = record.end,
            }
        }
        let mut foreign_version = false;
        for left in (0..additional).rev() {
            let record = RecordAt::read(message, at)?;
            match record.kind {
                kind::OPT if message[at] != 0 => return Err(Malformed::OptOwner),
                kind::OPT if self.edns.is_some() => return Err(Malformed::OptTwice),
                kind::OPT => {
                    let edns = Edns::parse(record.class, record.ttl, record.data)?;
                    foreign_version |= edns.version != 0;
                    self.edns = Some(edns);
                }
                kind::TSIG if left > 0 => return Err(Malformed::TsigPlace),
                kind::TSIG => self.tsig_at = Some(at),
                _ => {}
            }
            at = record.end;
        }
        if at != message.len() {
            return Err(Malformed::Trailing);
        }
        if foreign_version { Err(Malformed::Version) } else { Ok(()) }
    }
}

/// Types that no question can have; those of other operations are their own matter.
fn check_kind(query: &Query<'_>) -> Result<(), Malformed> {
    if query.opcode != opcode::QUERY || query.question_len == 0 {
        return Ok(());
    }
    match query.question.kind {
        0 | kind::OPT | kind::TSIG => Err(Malformed::QuestionKind),
        kind::TKEY | kind::MAILA | kind::MAILB => Err(Malformed::QuestionKindObsolete),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
