//! The sections of an UPDATE (RFC 2136 section 2).

use crate::protocol::code::{class, kind};
use crate::protocol::message::{HEADER_BYTES, Query};
use crate::protocol::name::{LABEL_BYTES_MAX, NAME_BYTES_MAX, Name};

/// The most records that one update may have in its two sections; what is beyond is refused as malformed.
pub const RECORDS_MAX: usize = 2000;

/// An update, its names and data uncompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The zone that it is about.
    pub zone: Name,
    /// What must hold for it to be done.
    pub prerequisites: Vec<Entry>,
    /// What it does, in this order.
    pub changes: Vec<Entry>,
}

/// A record in a section of an update; class and type say what is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose records it is about.
    pub owner: Name,
    /// Their type, or ANY.
    pub kind: u16,
    /// IN: this record; ANY: whatever there is; NONE: none.
    pub class: u16,
    /// In seconds.
    pub ttl: u32,
    /// Data, uncompressed; empty where none may be.
    pub rdata: Box<[u8]>,
}

impl Update {
    /// Reads the message that `query` is the head of. `None`: it is malformed, or too long a list.
    pub fn read(query: &Query<'_>, message: &[u8]) -> Option<Self> {
        if query.question.kind != kind::SOA || query.question.class != class::IN {
            return None;
        }
        let zone = Name::from_wire(query.question.name).ok()?;
        let count = |at: usize| usize::from(u16::from_be_bytes([message[at], message[at + 1]]));
        let (prerequisites, changes) = (count(6), count(8));
        if prerequisites + changes > RECORDS_MAX {
            return None;
        }
        let mut at = HEADER_BYTES + query.question_len;
        let mut section = |records: usize| {
            let read = (0..records).map(|_| {
                let (entry, end) = Entry::read(message, at)?;
                at = end;
                Some(entry)
            });
            read.collect::<Option<Vec<_>>>()
        };
        Some(Self { zone, prerequisites: section(prerequisites)?, changes: section(changes)? })
    }
}

impl Entry {
    fn read(message: &[u8], at: usize) -> Option<(Self, usize)> {
        let (owner, at) = name_at(message, at)?;
        let [k1, k0, c1, c0, t3, t2, t1, t0, l1, l0] = *message.get(at..)?.first_chunk::<10>()?;
        let kind = u16::from_be_bytes([k1, k0]);
        let data_at = at + 10;
        let end = data_at + usize::from(u16::from_be_bytes([l1, l0]));
        message.get(data_at..end)?;
        let entry = Self {
            owner,
            kind,
            class: u16::from_be_bytes([c1, c0]),
            ttl: u32::from_be_bytes([t3, t2, t1, t0]),
            rdata: if data_at == end { Box::default() } else { data(&message[..end], kind, data_at)? },
        };
        Some((entry, end))
    }
}

/// Data that begins at `at` and ends the message, with its names uncompressed. Compression is undone also for the
/// types that older senders compress (RFC 3597 section 4).
fn data(message: &[u8], kind: u16, at: usize) -> Option<Box<[u8]>> {
    let (before, names) = match kind {
        kind::NS
        | kind::MD
        | kind::MF
        | kind::CNAME
        | kind::MB
        | kind::MG
        | kind::MR
        | kind::PTR
        | kind::DNAME => (0, 1),
        kind::SOA | kind::MINFO | kind::RP => (0, 2),
        kind::MX => (2, 1),
        kind::SRV => (6, 1),
        _ => return Some(message[at..].into()),
    };
    let mut data = message.get(at..at + before)?.to_vec();
    let mut at = at + before;
    for _ in 0..names {
        let (name, end) = name_at(message, at)?;
        data.extend(name.as_wire());
        at = end;
    }
    data.extend(message.get(at..)?);
    Some(data.into())
}

/// The name at `at`, uncompressed, and where it ends. Pointers must lead back, so that none leads in circles.
pub fn name_at(message: &[u8], at: usize) -> Option<(Name, usize)> {
    let mut wire = Vec::with_capacity(64);
    let (mut at, mut end, mut limit) = (at, None, at);
    loop {
        let length = *message.get(at)?;
        match usize::from(length) {
            0 => break,
            length @ 1..=LABEL_BYTES_MAX => {
                wire.extend(message.get(at..=at + length)?);
                at += length + 1;
            }
            _ if length & 0xc0 == 0xc0 => {
                end.get_or_insert(at + 2);
                at = usize::from(u16::from_be_bytes([length & 0x3f, *message.get(at + 1)?]));
                if at >= limit {
                    return None;
                }
                limit = at;
            }
            _ => return None,
        }
        if wire.len() >= NAME_BYTES_MAX {
            return None;
        }
    }
    wire.push(0);
    Some((Name::from_wire(&wire).ok()?, end.unwrap_or(at + 1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn update(records: &[u8], counts: [u16; 2]) -> Vec<u8> {
        let mut message = vec![0, 1, 0x28, 0, 0, 1];
        message.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
        message.extend([0, 0]);
        message.extend(b"\x07example\x03com\0\0\x06\0\x01");
        message.extend(records);
        message
    }

    #[test]
    fn names_in_data_are_uncompressed() {
        // mail.example.com. MX 10 mail.example.com., both names compressed.
        let record = b"\x04mail\xc0\x0c\0\x0f\0\x01\0\0\0\x3c\0\x04\0\x0a\xc0\x1d";
        let message = update(record, [0, 1]);
        let update = Update::read(&Query::parse(&message).unwrap(), &message).unwrap();
        assert_eq!(update.zone.to_string(), "example.com.");
        let change = &update.changes[0];
        assert_eq!(
            (change.owner.to_string().as_str(), change.kind, change.ttl),
            ("mail.example.com.", kind::MX, 60)
        );
        assert_eq!(*change.rdata, *b"\0\x0a\x04mail\x07example\x03com\0");
    }

    #[test]
    fn pointers_that_do_not_lead_back_are_malformed() {
        for target in [29_u8, 31, 200] {
            let record = [&[0xc0, target][..], b"\0\x01\0\x01\0\0\0\x3c\0\0"].concat();
            let message = update(&record, [0, 1]);
            let read = Query::parse(&message).ok().and_then(|query| Update::read(&query, &message));
            assert_eq!(read, None, "{target}");
        }
        assert_eq!(name_at(b"\x01a\xc0\x00", 0), None);
    }

    #[test]
    fn long_lists_are_refused() {
        let record = b"\0\0\x01\0\xff\0\0\0\0\0\0";
        for (count, taken) in [(RECORDS_MAX, true), (RECORDS_MAX + 1, false)] {
            let message = update(&record.repeat(count), [0, count as u16]);
            let query = Query::parse(&message).unwrap();
            assert_eq!(Update::read(&query, &message).is_some(), taken);
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(records in proptest::collection::vec(any::<u8>(), 0..200), counts: [u8; 2]) {
            let message = update(&records, counts.map(u16::from));
            if let Ok(query) = Query::parse(&message) {
                let _ = Update::read(&query, &message);
            }
        }
    }
}
