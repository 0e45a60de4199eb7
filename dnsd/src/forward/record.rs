//! Reading the records of an upstream reply. Types that are not known pass as they are (RFC 3597); names that
//! may be compressed inside of record data are written out, so that a record stands alone.

use std::fmt;

use crate::protocol::code::kind;
use crate::protocol::name::Name;

/// Records of all sections that a reply may have. A longer one is refused whole: no honest answer comes near.
pub const RECORDS_MAX: usize = 1000;

/// Pointers followed in one name; an honest name has as many as labels at most.
const POINTERS_MAX: usize = 127;

/// A record that stands alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rr {
    /// Whose it is.
    pub owner: Name,
    /// Its type.
    pub kind: u16,
    /// Its class.
    pub class: u16,
    /// Its time to live in seconds, as sent.
    pub ttl: u32,
    /// Its data, without compression.
    pub rdata: Box<[u8]>,
}

impl Rr {
    /// The name that a CNAME, DNAME, NS or PTR record holds.
    pub fn target(&self) -> Option<Name> {
        Name::from_wire(&self.rdata).ok()
    }

    /// The type that an RRSIG record covers (RFC 4034 section 3.1.1).
    pub fn covered(&self) -> Option<u16> {
        (self.kind == kind::RRSIG).then_some(())?;
        self.rdata.first_chunk().map(|octets| u16::from_be_bytes(*octets))
    }

    /// The zone whose key made an RRSIG record (RFC 4034 section 3.1.7).
    pub fn signer(&self) -> Option<Name> {
        (self.kind == kind::RRSIG).then_some(())?;
        let name = self.rdata.get(18..)?;
        let length = crate::protocol::name::wire_len(name).ok()?;
        Name::from_wire(&name[..length]).ok()
    }
}

/// The options of an upstream's OPT record that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyOpt {
    /// The upper bits of the response code.
    pub rcode_high: u8,
    /// The cookie option: ours and the server's.
    pub cookie: Option<Vec<u8>>,
    /// The first extended error (RFC 8914).
    pub extended_error: Option<u16>,
}

/// A reply, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The response code, extended by the OPT record.
    pub rcode: u16,
    /// AA.
    pub authoritative: bool,
    /// AD.
    pub authentic: bool,
    /// RA.
    pub recursion_available: bool,
    /// The answer section.
    pub answers: Vec<Rr>,
    /// The authority section.
    pub authorities: Vec<Rr>,
    /// The OPT record; the rest of the additional section is of no use here and is not kept.
    pub opt: Option<ReplyOpt>,
}

/// Why a reply cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It ends before what it announces.
    Short,
    /// A name is no name.
    Name,
    /// Record data does not fit its type.
    Data,
    /// There are more records than [`RECORDS_MAX`].
    TooMany,
    /// There is more than one OPT record, or one that is no OPT record (RFC 6891 section 6.1.1).
    Opt,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "the reply ends early",
            Self::Name => "the reply holds a name that is none",
            Self::Data => "the reply holds record data that does not fit its type",
            Self::TooMany => "the reply holds too many records",
            Self::Opt => "the reply's OPT record is malformed",
        })
    }
}

impl std::error::Error for Unreadable {}

/// The offset behind the question section of `message`, whose names must not be compressed there.
pub fn question_end(message: &[u8]) -> Option<usize> {
    let length = crate::protocol::name::wire_len(message.get(12..)?).ok()?;
    let end = 12 + length + 4;
    (end <= message.len()).then_some(end)
}

impl Reply {
    /// Reads `message`, whose header and single question were matched with what was asked.
    ///
    /// # Errors
    /// What is wrong with it; nothing of such a reply is used.
    pub fn read(message: &[u8]) -> Result<Self, Unreadable> {
        let count = |at: usize| -> Result<usize, Unreadable> {
            let octets = message.get(at..at + 2).ok_or(Unreadable::Short)?;
            Ok(usize::from(u16::from_be_bytes([octets[0], octets[1]])))
        };
        let (questions, answers, authorities, additionals) = (count(4)?, count(6)?, count(8)?, count(10)?);
        if answers + authorities + additionals > RECORDS_MAX {
            return Err(Unreadable::TooMany);
        }
        let at = if questions == 0 { 12 } else { question_end(message).ok_or(Unreadable::Short)? };
        let mut reader = Reader { message, at };
        let mut reply = Self {
            rcode: u16::from(message[3] & 0x0f),
            authoritative: message[2] & 0x04 != 0,
            authentic: message[3] & 0x20 != 0,
            recursion_available: message[3] & 0x80 != 0,
            answers: reader.records(answers)?,
            authorities: reader.records(authorities)?,
            opt: None,
        };
        for _ in 0..additionals {
            let record = reader.record()?;
            if record.kind == kind::OPT {
                let opt = ReplyOpt::read(&record)?;
                reply.rcode |= u16::from(opt.rcode_high) << 4;
                if reply.opt.replace(opt).is_some() {
                    return Err(Unreadable::Opt);
                }
            }
        }
        Ok(reply)
    }
}

impl ReplyOpt {
    fn read(record: &Rr) -> Result<Self, Unreadable> {
        if !record.owner.is_root() {
            return Err(Unreadable::Opt);
        }
        let mut opt = Self { rcode_high: (record.ttl >> 24) as u8, ..Self::default() };
        let mut rest = &record.rdata[..];
        while !rest.is_empty() {
            let (head, tail) = rest.split_first_chunk::<4>().ok_or(Unreadable::Opt)?;
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let (value, tail) = tail.split_at_checked(length).ok_or(Unreadable::Opt)?;
            match u16::from_be_bytes([head[0], head[1]]) {
                crate::protocol::code::option::COOKIE => opt.cookie = Some(value.to_vec()),
                crate::protocol::code::option::EXTENDED_ERROR if opt.extended_error.is_none() => {
                    opt.extended_error = value.first_chunk().map(|code| u16::from_be_bytes(*code));
                }
                _ => {}
            }
            rest = tail;
        }
        Ok(opt)
    }
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn records(&mut self, count: usize) -> Result<Vec<Rr>, Unreadable> {
        (0..count).map(|_| self.record()).collect()
    }

    fn record(&mut self) -> Result<Rr, Unreadable> {
        let owner = self.name()?;
        let fixed: [u8; 10] =
            *self.message.get(self.at..).and_then(<[u8]>::first_chunk).ok_or(Unreadable::Short)?;
        self.at += 10;
        let kind = u16::from_be_bytes([fixed[0], fixed[1]]);
        let class = u16::from_be_bytes([fixed[2], fixed[3]]);
        let ttl = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
        let end = self.at + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        if end > self.message.len() {
            return Err(Unreadable::Short);
        }
        let rdata = self.rdata(kind, end)?;
        self.at = end;
        Ok(Rr { owner, kind, class, ttl, rdata })
    }

    /// The data up to `end`. Where names may be compressed (RFC 1035 section 3.3, and SRV, NAPTR, RP, DNAME
    /// and RRSIG, which some servers compress against the rules), they are written out.
    fn rdata(&mut self, kind: u16, end: usize) -> Result<Box<[u8]>, Unreadable> {
        let (before, names, after) = match kind {
            kind::NS
            | kind::CNAME
            | kind::PTR
            | kind::DNAME
            | kind::MB
            | kind::MD
            | kind::MF
            | kind::MG
            | kind::MR => (0, 1, 0),
            kind::MX => (2, 1, 0),
            kind::SRV => (6, 1, 0),
            kind::SOA => (0, 2, 20),
            kind::RP | kind::MINFO => (0, 2, 0),
            kind::A => return self.opaque(end, Some(4)),
            kind::AAAA => return self.opaque(end, Some(16)),
            _ => return self.opaque(end, None),
        };
        let mut data = Vec::with_capacity(end - self.at + 32);
        self.copy(before, end, &mut data)?;
        for _ in 0..names {
            data.extend_from_slice(self.name()?.as_wire());
        }
        self.copy(after, end, &mut data)?;
        if self.at != end {
            return Err(Unreadable::Data);
        }
        Ok(data.into())
    }

    fn opaque(&mut self, end: usize, length: Option<usize>) -> Result<Box<[u8]>, Unreadable> {
        let data = &self.message[self.at..end];
        match length {
            Some(length) if data.len() != length => Err(Unreadable::Data),
            _ => Ok(data.into()),
        }
    }

    fn copy(&mut self, length: usize, end: usize, data: &mut Vec<u8>) -> Result<(), Unreadable> {
        if self.at + length > end {
            return Err(Unreadable::Data);
        }
        data.extend_from_slice(&self.message[self.at..self.at + length]);
        self.at += length;
        Ok(())
    }

    /// A name, pointers followed. Pointers go backwards only, so it ends (RFC 1035 section 4.1.4).
    fn name(&mut self) -> Result<Name, Unreadable> {
        let mut wire = [0u8; 255];
        let mut length = 0;
        let mut at = self.at;
        let mut behind = None;
        let mut limit = at;
        for _ in 0..=POINTERS_MAX + 128 {
            let octet = *self.message.get(at).ok_or(Unreadable::Short)?;
            match octet {
                0 => {
                    self.at = behind.unwrap_or(at + 1);
                    if length == wire.len() {
                        return Err(Unreadable::Name);
                    }
                    return Name::from_wire(&wire[..=length]).map_err(|_| Unreadable::Name);
                }
                1..=63 => {
                    let end = at + 1 + usize::from(octet);
                    let label = self.message.get(at..end).ok_or(Unreadable::Short)?;
                    let room = wire.get_mut(length..length + label.len()).ok_or(Unreadable::Name)?;
                    room.copy_from_slice(label);
                    length += label.len();
                    at = end;
                }
                0xc0.. => {
                    let low = *self.message.get(at + 1).ok_or(Unreadable::Short)?;
                    let target = usize::from(octet & 0x3f) << 8 | usize::from(low);
                    if target >= limit {
                        return Err(Unreadable::Name);
                    }
                    behind.get_or_insert(at + 2);
                    limit = target;
                    at = target;
                }
                _ => return Err(Unreadable::Name),
            }
        }
        Err(Unreadable::Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: [u8; 12] = [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 1];

    fn message() -> Vec<u8> {
        let mut message = HEAD.to_vec();
        message.extend_from_slice(b"\x03www\x07example\x00\x00\x05\x00\x01");
        message.extend_from_slice(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x04\x01a\xc0\x10");
        message.extend_from_slice(b"\x00\x00\x29\x04\xd0\x01\x00\x80\x00\x00\x06\x00\x0f\x00\x02\x00\x16");
        message
    }

    #[test]
    fn compressed_names_are_written_out() {
        let reply = Reply::read(&message()).unwrap();
        assert_eq!(reply.answers[0].owner, Name::parse("www.example.").unwrap());
        assert_eq!(reply.answers[0].target(), Some(Name::parse("a.example.").unwrap()));
        assert_eq!(reply.rcode, 16);
        assert_eq!(reply.opt.unwrap().extended_error, Some(22));
    }

    #[test]
    fn every_shortened_message_is_refused() {
        let message = message();
        for length in 0..message.len() {
            assert!(Reply::read(&message[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn pointers_that_do_not_go_back_are_refused() {
        let mut own = HEAD.to_vec();
        own.extend_from_slice(b"\x00\x00\x01\x00\x01");
        let at = own.len() as u8;
        own.extend_from_slice(&[0xc0, at, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Reply::read(&own), Err(Unreadable::Name));
    }

    #[test]
    fn an_announced_flood_of_records_is_refused_before_it_is_read() {
        let mut message = message();
        message[6..8].copy_from_slice(&u16::MAX.to_be_bytes());
        assert_eq!(Reply::read(&message), Err(Unreadable::TooMany));
    }

    #[test]
    fn addresses_of_a_wrong_length_are_refused() {
        let mut message = HEAD.to_vec();
        message[11] = 0;
        message.extend_from_slice(b"\x00\x00\x01\x00\x01");
        message.extend_from_slice(b"\x00\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x05\x01\x02\x03\x04\x05");
        assert_eq!(Reply::read(&message), Err(Unreadable::Data));
    }
}
