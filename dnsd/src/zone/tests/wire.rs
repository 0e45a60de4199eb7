//! Questions and answers as a client has them: everything uncompressed, nothing of ours involved.

use std::collections::BTreeSet;

use crate::protocol::body::TooLong;
use crate::protocol::code::class;
use crate::protocol::message::Question;
use crate::protocol::name::{LowerName, Name};
use crate::zone::{Answered, Record, Snapshot};

/// A record of an answer, its names expanded and in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    pub owner: String,
    pub kind: u16,
    pub ttl: u32,
    pub rdata: Vec<u8>,
}

/// An answer, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub rcode: u16,
    pub authoritative: bool,
    pub answer: Vec<Seen>,
    pub authority: Vec<Seen>,
    pub additional: Vec<Seen>,
}

impl Reply {
    /// The answer section in no order.
    pub(super) fn answers(&self) -> BTreeSet<Seen> {
        self.answer.iter().cloned().collect()
    }

    /// The owners and types of the answer section in their order, repetitions left out.
    pub(super) fn outline(&self) -> Vec<(String, u16)> {
        let mut outline: Vec<_> = self.answer.iter().map(|seen| (seen.owner.clone(), seen.kind)).collect();
        outline.dedup();
        outline
    }
}

/// Asks a snapshot, and puts the message together as the server does.
pub(super) fn ask(
    snapshot: &Snapshot,
    name: &Name,
    kind: u16,
    room: usize,
) -> Option<Result<(Answered, Vec<u8>), TooLong>> {
    let question = Question { name: name.as_wire(), kind, class: class::IN };
    let mut out = vec![0xaa; room];
    let answered = match snapshot.answer(&question, &LowerName::of(name.as_wire()), false, &mut out)? {
        Ok(answered) => answered,
        Err(too_long) => return Some(Err(too_long)),
    };
    let written = answered.written;
    let mut message = vec![0; 12];
    message[2] = 0x80 | if written.authoritative { 4 } else { 0 };
    message[3] = written.rcode as u8;
    message[5] = 1;
    message[6..8].copy_from_slice(&written.answers.to_be_bytes());
    message[8..10].copy_from_slice(&written.authorities.to_be_bytes());
    message[10..12].copy_from_slice(&written.additionals.to_be_bytes());
    message.extend_from_slice(name.as_wire());
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&class::IN.to_be_bytes());
    message.extend_from_slice(&out[..written.len]);
    Some(Ok((answered, message)))
}

/// Takes a message apart; panics when it is not one, down to its last octet.
pub(super) fn parse(message: &[u8]) -> Reply {
    let number = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    let mut reader = Reader { message, at: 12 };
    for _ in 0..number(4) {
        reader.name();
        reader.at += 4;
    }
    let mut section = |count: u16| (0..count).map(|_| reader.record()).collect::<Vec<_>>();
    let (answer, authority, additional) = (section(number(6)), section(number(8)), section(number(10)));
    assert_eq!(reader.at, message.len(), "octets follow the last record");
    let additional = additional.into_iter().filter(|seen| seen.kind != 41).collect();
    Reply {
        rcode: u16::from(message[3] & 15),
        authoritative: message[2] & 4 != 0,
        answer,
        authority,
        additional,
    }
}

struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl Reader<'_> {
    fn record(&mut self) -> Seen {
        let owner = self.name();
        let fixed = &self.message[self.at..self.at + 10];
        let kind = u16::from_be_bytes([fixed[0], fixed[1]]);
        let ttl = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
        let end = self.at + 10 + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        self.at += 10;
        let mut rdata = Vec::new();
        let (before, names) = match kind {
            2 | 5 | 12 | 39 => (0, 1),
            6 | 17 => (0, 2),
            15 | 18 => (2, 1),
            33 => (6, 1),
            _ => (0, 0),
        };
        rdata.extend_from_slice(&self.message[self.at..self.at + before]);
        self.at += before;
        for _ in 0..names {
            rdata.extend_from_slice(self.name().as_bytes());
            rdata.push(b' ');
        }
        rdata.extend_from_slice(&self.message[self.at..end]);
        self.at = end;
        Seen { owner, kind, ttl, rdata }
    }

    /// A name as text; its pointers must lead backwards.
    fn name(&mut self) -> String {
        let mut labels = String::new();
        let mut at = self.at;
        let mut end = None;
        loop {
            match self.message[at] {
                0 => break,
                high @ 0xc0.. => {
                    end.get_or_insert(at + 2);
                    let target = usize::from(u16::from_be_bytes([high & 0x3f, self.message[at + 1]]));
                    assert!(target < at, "a pointer leads forward");
                    at = target;
                }
                length => {
                    let label = &self.message[at + 1..=at + usize::from(length)];
                    labels.extend(label.iter().map(|octet| char::from(octet.to_ascii_lowercase())));
                    labels.push('.');
                    at += usize::from(length) + 1;
                }
            }
        }
        self.at = end.unwrap_or(at + 1);
        labels
    }
}

/// A record as a client sees it.
pub(super) fn seen(record: &Record) -> Seen {
    let mut octets = record.owner.as_wire().to_vec();
    octets.extend_from_slice(&record.kind.to_be_bytes());
    octets.extend_from_slice(&class::IN.to_be_bytes());
    octets.extend_from_slice(&record.ttl.to_be_bytes());
    octets.extend_from_slice(&(record.rdata.len() as u16).to_be_bytes());
    octets.extend_from_slice(&record.rdata);
    Reader { message: &octets, at: 0 }.record()
}
