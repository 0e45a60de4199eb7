//! What follows the question of a reply, ready to be copied: names are compressed against a question at offset 12.

mod build;
mod compress;

use std::fmt;

use hickory_proto::op::Message;

pub use build::{Builder, Section};

/// Answer, authority and additional section of a reply as they go over the wire, without OPT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The response code, up to 4095.
    pub rcode: u16,
    /// AA: an authoritative answer.
    pub authoritative: bool,
    /// AD: the answer was validated.
    pub authentic: bool,
    /// Records in the answer section.
    pub answers: u16,
    /// Records in the authority section.
    pub authorities: u16,
    /// Records in the additional section.
    pub additionals: u16,
    /// The records. Pointers in them count from the start of the message, so they are right only behind a question
    /// with a name of the same length.
    pub bytes: Box<[u8]>,
    /// Where in `bytes` the additional section begins.
    pub additional_at: u32,
    /// Where in `bytes` the TTL fields are, in ascending order.
    pub ttls: Box<[u16]>,
}

/// Why a message cannot be made into a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It does not fit a message of 65535 octets.
    TooLong,
    /// The question's name is none.
    Question,
    /// A record cannot be encoded, for the reason given.
    Record(String),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the records do not fit a message of 65535 octets"),
            Self::Question => f.write_str("the name of the question is not a name in wire form"),
            Self::Record(reason) => write!(f, "a record cannot be encoded: {reason}"),
        }
    }
}

impl std::error::Error for BodyError {}

/// What the TTLs of a body become when it is written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// So many seconds less than stored, at least 0.
    Aged(u32),
    /// All the same: of stale answers (RFC 8767 section 4).
    Fixed(u32),
}

/// What zone and cache wrote into the output buffer right after the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Octets written.
    pub len: usize,
    /// The response code.
    pub rcode: u16,
    /// AA.
    pub authoritative: bool,
    /// AD, before it is known whether the client wants it.
    pub authentic: bool,
    /// Records in the answer section.
    pub answers: u16,
    /// Records in the authority section.
    pub authorities: u16,
    /// Records in the additional section.
    pub additionals: u16,
    /// Where the additional section begins, counted from the start of the body; `len` where there is none.
    pub additional_at: usize,
}

/// The body does not fit the buffer given; the reply is truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body does not fit the buffer")
    }
}

impl std::error::Error for TooLong {}

impl Written {
    /// No records.
    pub fn empty(rcode: u16) -> Self {
        Self {
            len: 0,
            rcode,
            authoritative: false,
            authentic: false,
            answers: 0,
            authorities: 0,
            additionals: 0,
            additional_at: 0,
        }
    }

    /// Whether this sends the client to other servers rather than answering.
    pub fn is_referral(&self) -> bool {
        self.rcode == super::code::rcode::NOERROR
            && !self.authoritative
            && self.answers == 0
            && self.authorities > 0
    }
}

impl Body {
    /// No records.
    pub fn empty(rcode: u16) -> Self {
        Self {
            rcode,
            authoritative: false,
            authentic: false,
            answers: 0,
            authorities: 0,
            additionals: 0,
            bytes: Box::default(),
            additional_at: 0,
            ttls: Box::default(),
        }
    }

    /// Encodes the sections of a message for replies to the question whose name, in wire form, is `question`. OPT,
    /// TSIG and SIG(0) are left out. Takes time linear in the length of the message, however it was made.
    ///
    /// The TTL of the SOA of a negative answer becomes the time that the answer may be kept (RFC 2308 section 5).
    ///
    /// # Errors
    /// The records do not fit, or cannot be encoded.
    pub fn of_message(message: &Message, question: &[u8]) -> Result<Self, BodyError> {
        build::of_message(message, question)
    }

    /// The least TTL of answers and authority: how long the body may be kept. `None` where there are none.
    pub fn min_ttl(&self) -> Option<u32> {
        self.ttls
            .iter()
            .map(|at| usize::from(*at))
            .take_while(|at| *at < self.additional_at as usize)
            .map(|at| {
                u32::from_be_bytes([
                    self.bytes[at],
                    self.bytes[at + 1],
                    self.bytes[at + 2],
                    self.bytes[at + 3],
                ])
            })
            .min()
    }

    /// Copies the records to the front of `out`, with their TTLs as `ttl` says.
    ///
    /// # Errors
    /// `out` is too short; it is left as it was.
    pub fn write(&self, out: &mut [u8], ttl: Ttl) -> Result<Written, TooLong> {
        let out = out.get_mut(..self.bytes.len()).ok_or(TooLong)?;
        out.copy_from_slice(&self.bytes);
        for at in &self.ttls {
            let Some(field) = out[usize::from(*at)..].first_chunk_mut::<4>() else { continue };
            *field = match ttl {
                Ttl::Aged(0) => break,
                Ttl::Aged(secs) => u32::from_be_bytes(*field).saturating_sub(secs),
                Ttl::Fixed(secs) => secs,
            }
            .to_be_bytes();
        }
        Ok(self.written())
    }

    /// What [`write`](Self::write) would return.
    pub fn written(&self) -> Written {
        Written {
            len: self.bytes.len(),
            rcode: self.rcode,
            authoritative: self.authoritative,
            authentic: self.authentic,
            answers: self.answers,
            authorities: self.authorities,
            additionals: self.additionals,
            additional_at: self.additional_at as usize,
        }
    }
}

#[cfg(test)]
mod tests;
