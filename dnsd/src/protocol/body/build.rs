//! Making a body, record by record or from a parsed message.

use hickory_proto::op::Message;
use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

use super::compress::Compressor;
use super::{Body, BodyError};
use crate::protocol::code::{class, kind};
use crate::protocol::message::HEADER_BYTES;
use crate::protocol::name;

/// The longest message there is.
const MESSAGE_BYTES_MAX: usize = u16::MAX as usize;
/// TTLs with the highest bit set count as 0 (RFC 2181 section 8).
const TTL_MAX: u32 = i32::MAX as u32;
/// The five numbers at the end of an SOA record; the last is the negative TTL.
const SOA_NUMBERS_BYTES: usize = 20;

/// The sections of a reply, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who is in charge, or proof that there is nothing.
    Authority,
    /// What helps to use the others.
    Additional,
}

/// A body in the making: records are added section by section, in the order of [`Section`].
pub struct Builder {
    /// The message so far, with an empty header, so that pointers are offsets into it.
    message: Vec<u8>,
    body_at: usize,
    names: Compressor,
    section: Section,
    counts: [u16; 3],
    additional_at: Option<usize>,
    ttls: Vec<u16>,
}

impl Builder {
    /// An empty body behind a question with this name, in wire form.
    ///
    /// # Errors
    /// [`BodyError::Question`].
    pub fn new(question: &[u8]) -> Result<Self, BodyError> {
        if name::wire_len(question) != Ok(question.len()) {
            return Err(BodyError::Question);
        }
        let mut message = Vec::with_capacity(512);
        message.resize(HEADER_BYTES, 0);
        let mut names = Compressor::new();
        names.append(&mut message, question);
        message.extend_from_slice(&[0; 4]);
        Ok(Self {
            body_at: message.len(),
            message,
            names,
            section: Section::Answer,
            counts: [0; 3],
            additional_at: None,
            ttls: Vec::new(),
        })
    }

    /// Adds a record of class IN. Owner and data are in wire form, without compression; names in the data are compressed
    /// where RFC 3597 section 4 allows it.
    ///
    /// # Errors
    /// [`BodyError::TooLong`]; what was added before stays.
    ///
    /// # Panics
    /// When `section` comes before that of the record added last.
    pub fn record(
        &mut self,
        section: Section,
        owner: &[u8],
        kind: u16,
        ttl: u32,
        data: &[u8],
    ) -> Result<(), BodyError> {
        self.record_of_class(section, owner, kind, class::IN, ttl, data)
    }

    fn record_of_class(
        &mut self,
        section: Section,
        owner: &[u8],
        kind: u16,
        class: u16,
        ttl: u32,
        data: &[u8],
    ) -> Result<(), BodyError> {
        assert!(section >= self.section, "records are added in the order of the sections");
        // Compression only shortens, so this is enough, and nothing has to be taken back.
        if self.message.len() + owner.len() + 10 + data.len() > MESSAGE_BYTES_MAX {
            return Err(BodyError::TooLong);
        }
        self.section = section;
        if section == Section::Additional {
            self.additional_at.get_or_insert(self.message.len() - self.body_at);
        }
        self.counts[section as usize] += 1;
        self.names.append(&mut self.message, owner);
        self.message.extend_from_slice(&kind.to_be_bytes());
        self.message.extend_from_slice(&class.to_be_bytes());
        self.ttls.push((self.message.len() - self.body_at) as u16);
        let ttl = if ttl > TTL_MAX { 0 } else { ttl };
        self.message.extend_from_slice(&ttl.to_be_bytes());
        let length_at = self.message.len();
        self.message.extend_from_slice(&[0; 2]);
        self.data(kind, data);
        let length = ((self.message.len() - length_at - 2) as u16).to_be_bytes();
        self.message[length_at..length_at + 2].copy_from_slice(&length);
        Ok(())
    }

    /// The body.
    pub fn finish(self, rcode: u16, authoritative: bool, authentic: bool) -> Body {
        let bytes: Box<[u8]> = self.message[self.body_at..].into();
        let [answers, authorities, additionals] = self.counts;
        Body {
            rcode,
            authoritative,
            authentic,
            answers,
            authorities,
            additionals,
            additional_at: self.additional_at.unwrap_or(bytes.len()) as u32,
            bytes,
            ttls: self.ttls.into(),
        }
    }

    /// Appends the data of a record. Data that does not have the form of its type is taken as it is.
    fn data(&mut self, kind: u16, data: &[u8]) {
        // Octets in front of the names, and how many names there are.
        let (front, count) = match kind {
            kind::NS | kind::CNAME | kind::PTR | kind::MD | kind::MF | kind::MB | kind::MG | kind::MR => {
                (0, 1)
            }
            kind::MX => (2, 1),
            kind::SOA | kind::MINFO => (0, 2),
            _ => (data.len(), 0),
        };
        let (fixed, mut rest) = data.split_at(front.min(data.len()));
        self.message.extend_from_slice(fixed);
        for _ in 0..count {
            let Some((name, tail)) = name::wire_len(rest).ok().and_then(|len| rest.split_at_checked(len))
            else {
                break;
            };
            self.names.append(&mut self.message, name);
            rest = tail;
        }
        self.message.extend_from_slice(rest);
    }
}

pub(super) fn of_message(message: &Message, question: &[u8]) -> Result<Body, BodyError> {
    let mut builder = Builder::new(question)?;
    let mut encoded = Vec::with_capacity(512);
    let asked = message.queries.first().map(hickory_proto::op::Query::query_type);
    let is_negative =
        !message.answers.iter().any(|record| asked.is_none_or(|kind| record.record_type() == kind));
    let sections = [
        (Section::Answer, &message.answers),
        (Section::Authority, &message.authorities),
        (Section::Additional, &message.additionals),
    ];
    for (section, records) in sections {
        for record in records {
            let kind = u16::from(record.record_type());
            if matches!(kind, kind::OPT | kind::TSIG | kind::SIG) {
                continue;
            }
            let (owner, data) = encode(record, &mut encoded)?;
            let ttl = match data.last_chunk::<4>() {
                Some(minimum)
                    if is_negative
                        && kind == kind::SOA
                        && section == Section::Authority
                        && data.len() > SOA_NUMBERS_BYTES =>
                {
                    record.ttl.min(u32::from_be_bytes(*minimum))
                }
                _ => record.ttl,
            };
            builder.record_of_class(section, owner, kind, u16::from(record.dns_class), ttl, data)?;
        }
    }
    let metadata = &message.metadata;
    let rcode = u16::from(metadata.response_code);
    Ok(builder.finish(rcode, metadata.authoritative, metadata.authentic_data))
}

/// Owner and data of a record in wire form without compression.
fn encode<'a>(record: &Record, encoded: &'a mut Vec<u8>) -> Result<(&'a [u8], &'a [u8]), BodyError> {
    let refused = |error: hickory_proto::ProtoError| BodyError::Record(error.to_string());
    encoded.clear();
    let mut encoder = BinEncoder::new(encoded);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    record.name.emit(&mut encoder).map_err(refused)?;
    let owner_len = encoder.len();
    record.data.emit(&mut encoder).map_err(refused)?;
    Ok(encoded.split_at(owner_len))
}
