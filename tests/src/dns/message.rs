//! Strict reading: a message that is not whole to its last byte is an error.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::kind;

/// A message as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The number that an answer repeats.
    pub id: u16,
    /// The second 16 bits of the header, as they are.
    pub flags: u16,
    /// The whole response code, with the bits from OPT.
    pub rcode: u16,
    /// The questions: name, type and class. The name is as sent.
    pub questions: Vec<(String, u16, u16)>,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section.
    pub authorities: Vec<Record>,
    /// The additional section without OPT.
    pub additionals: Vec<Record>,
    /// OPT, where there is one.
    pub opt: Option<Opt>,
    /// How long the message is.
    pub len: usize,
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Its owner, lower case, with the trailing dot.
    pub name: String,
    /// Its type.
    pub kind: u16,
    /// How long it may be kept, in seconds.
    pub ttl: u32,
    /// Its data with names uncompressed and in lower case.
    pub data: Vec<u8>,
}

/// What OPT says (RFC 6891 section 6.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opt {
    /// The largest datagram that the sender takes.
    pub udp_size: u16,
    /// Its version.
    pub version: u8,
    /// The bit DO and the reserved ones.
    pub flags: u16,
    /// Its options: code and data.
    pub options: Vec<(u16, Vec<u8>)>,
}

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw(pub String);

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// It breaks a rule, or something follows it.
    pub fn read(bytes: &[u8]) -> Result<Self, Flaw> {
        let mut reader = Reader { bytes, at: 0 };
        let (id, flags) = (reader.u16()?, reader.u16()?);
        let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
        let questions = (0..counts[0]).map(|_| Ok((reader.name()?, reader.u16()?, reader.u16()?)));
        let questions = questions.collect::<Result<Vec<_>, Flaw>>()?;
        let mut sections = [const { Vec::new() }; 3];
        let (mut opt, mut rcode) = (None, flags & 15);
        for (section, count) in sections.iter_mut().zip(&counts[1..]) {
            for _ in 0..*count {
                let name = reader.name()?.to_ascii_lowercase();
                let (kind, class, ttl) = (reader.u16()?, reader.u16()?, reader.u32()?);
                let length = usize::from(reader.u16()?);
                if kind != kind::OPT {
                    section.push(Record { name, kind, ttl, data: reader.data(kind, length)? });
                    continue;
                }
                if opt.is_some() || name != "." {
                    return Err(Flaw("two OPT, or one that is not the root's".to_owned()));
                }
                rcode |= ((ttl >> 24) as u16) << 4;
                let options = reader.options(length)?;
                opt = Some(Opt { udp_size: class, version: (ttl >> 16) as u8, flags: ttl as u16, options });
            }
        }
        if reader.at != bytes.len() {
            return Err(Flaw(format!("{} bytes follow the message", bytes.len() - reader.at)));
        }
        let [answers, authorities, additionals] = sections;
        Ok(Self { id, flags, rcode, questions, answers, authorities, additionals, opt, len: bytes.len() })
    }

    /// Whether the bit QR is set.
    pub fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// Whether the bit AA is set.
    pub fn is_authoritative(&self) -> bool {
        self.flags & 0x0400 != 0
    }

    /// Whether the bit TC is set.
    pub fn is_truncated(&self) -> bool {
        self.flags & 0x0200 != 0
    }

    /// Whether the bit AD is set.
    pub fn is_authentic(&self) -> bool {
        self.flags & 0x0020 != 0
    }

    /// The code of the extended error (RFC 8914), where there is one.
    pub fn extended_error(&self) -> Option<u16> {
        let (_, data) = self.opt.as_ref()?.options.iter().find(|(code, _)| *code == 15)?;
        Some(u16::from_be_bytes([*data.first()?, *data.get(1)?]))
    }

    /// The data of the answer's records of `kind`, as text.
    pub fn values(&self, kind: u16) -> Vec<String> {
        let mut values: Vec<String> =
            self.answers.iter().filter(|record| record.kind == kind).map(Record::value).collect();
        values.sort();
        values
    }
}

impl Record {
    /// Its data as text: addresses and single names as such, anything else in hexadecimal.
    pub fn value(&self) -> String {
        let whole = || self.data.iter().map(|byte| format!("{byte:02x}")).collect();
        match self.kind {
            kind::A => {
                <[u8; 4]>::try_from(&*self.data).map_or_else(|_| whole(), |a| Ipv4Addr::from(a).to_string())
            }
            kind::AAAA => {
                <[u8; 16]>::try_from(&*self.data).map_or_else(|_| whole(), |a| Ipv6Addr::from(a).to_string())
            }
            kind::NS | kind::CNAME | kind::PTR | kind::DNAME => {
                Reader { bytes: &self.data, at: 0 }.name().unwrap_or_else(|_| whole())
            }
            _ => whole(),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Result<&[u8], Flaw> {
        let part = self.bytes.get(self.at..self.at + length);
        self.at += length;
        part.ok_or_else(|| Flaw(format!("it ends before octet {}", self.at)))
    }

    fn u16(&mut self) -> Result<u16, Flaw> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    fn u32(&mut self) -> Result<u32, Flaw> {
        self.take(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// A name, as sent, uncompressed. Pointers must lead back.
    fn name(&mut self) -> Result<String, Flaw> {
        let mut text = String::new();
        let (mut at, mut resume, mut length) = (self.at, None, 0);
        loop {
            let byte = *self.bytes.get(at).ok_or(Flaw("a name leads out of the message".to_owned()))?;
            match byte {
                0 => break,
                1..64 => {
                    let label = self.bytes.get(at + 1..at + 1 + usize::from(byte));
                    for &byte in label.ok_or(Flaw("a label leads out of the message".to_owned()))? {
                        match byte {
                            b'.' | b'\\' => text.extend(['\\', char::from(byte)]),
                            0x21..0x7f => text.push(char::from(byte)),
                            _ => text.push_str(&format!("\\{byte:03}")),
                        }
                    }
                    text.push('.');
                    length += usize::from(byte) + 1;
                    at += usize::from(byte) + 1;
                }
                0xc0.. => {
                    let low = *self.bytes.get(at + 1).ok_or(Flaw("half a pointer".to_owned()))?;
                    let to = usize::from(byte & 0x3f) << 8 | usize::from(low);
                    if to >= at {
                        return Err(Flaw(format!("a pointer at {at} leads to {to}")));
                    }
                    resume.get_or_insert(at + 2);
                    at = to;
                }
                _ => return Err(Flaw(format!("a label of type {byte:#x}"))),
            }
            if length > 254 {
                return Err(Flaw("a name is too long".to_owned()));
            }
        }
        self.at = resume.unwrap_or(at + 1);
        if text.is_empty() {
            text.push('.');
        }
        Ok(text)
    }

    /// `length` octets of data, with the names in it uncompressed and in lower case.
    fn data(&mut self, kind: u16, length: usize) -> Result<Vec<u8>, Flaw> {
        let end = self.at + length;
        let mut data = Vec::new();
        let (fixed, names) = match kind {
            kind::NS | kind::CNAME | kind::PTR | kind::DNAME => (0, 1),
            kind::MX => (2, 1),
            kind::SRV => (6, 1),
            kind::SOA => (0, 2),
            _ => (length, 0),
        };
        data.extend(self.take(fixed)?);
        for _ in 0..names {
            let name = self.name()?.to_ascii_lowercase();
            data.extend(super::query::wire_name(&name));
        }
        let rest =
            end.checked_sub(self.at).ok_or(Flaw(format!("data of type {kind} is longer than said")))?;
        data.extend(self.take(rest)?);
        Ok(data)
    }

    fn options(&mut self, length: usize) -> Result<Vec<(u16, Vec<u8>)>, Flaw> {
        let end = self.at + length;
        let mut options = Vec::new();
        while self.at < end {
            let (code, length) = (self.u16()?, usize::from(self.u16()?));
            options.push((code, self.take(length)?.to_vec()));
        }
        if self.at == end { Ok(options) } else { Err(Flaw("an option leads out of OPT".to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Query;
    use super::*;

    #[test]
    fn a_query_reads_as_written() {
        let bytes = Query::new("Www.Example.", kind::A).id(7).edns(1232).option(10, b"12345678").bytes();
        let message = Message::read(&bytes).unwrap();
        assert_eq!((message.id, message.flags), (7, 0x0100));
        assert_eq!(message.questions, [("Www.Example.".to_owned(), kind::A, 1)]);
        assert_eq!(message.opt.unwrap().options, [(10, b"12345678".to_vec())]);
    }

    #[test]
    fn what_follows_a_message_is_a_flaw() {
        let mut bytes = Query::new("a.", kind::A).bytes();
        bytes.push(0);
        assert!(Message::read(&bytes).is_err());
        assert!(Message::read(&bytes[..bytes.len() - 2]).is_err());
    }
}
