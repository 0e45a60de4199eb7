//! The TSIG record (RFC 8945 section 4.2).

use super::digest::Digest;
use crate::protocol::code::{class, kind};
use crate::protocol::name::{self, Name};
use crate::update::message::name_at;

/// What a TSIG record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TsigRecord {
    /// The name of the key.
    pub key: Name,
    /// The name of the algorithm.
    pub algorithm: Name,
    /// When it was signed, in seconds since 1970; 48 bits on the wire.
    pub time: u64,
    /// How many seconds the other side's clock may be apart.
    pub fudge: u16,
    /// The signature.
    pub mac: Vec<u8>,
    /// The message's number when it was signed.
    pub original_id: u16,
    /// The extended error.
    pub error: u16,
    /// With BADTIME, the server's time.
    pub other: Vec<u8>,
}

impl TsigRecord {
    /// Reads the record that begins at `at` and ends `message`.
    pub fn read(message: &[u8], at: usize) -> Option<Self> {
        let (key, at) = name_at(message, at)?;
        let fixed = message.get(at..at + 10)?;
        let [k1, k0, c1, c0, t3, t2, t1, t0, l1, l0] = *fixed.first_chunk::<10>()?;
        let well_formed = u16::from_be_bytes([k1, k0]) == kind::TSIG
            && u16::from_be_bytes([c1, c0]) == class::ANY
            && [t3, t2, t1, t0] == [0; 4];
        let data = message.get(at + 10..)?;
        if !well_formed || data.len() != usize::from(u16::from_be_bytes([l1, l0])) {
            return None;
        }
        let algorithm_len = name::wire_len(data).ok()?;
        let algorithm = Name::from_wire(&data[..algorithm_len]).ok()?;
        let mut rest = &data[algorithm_len..];
        let mut take = |length: usize| {
            let (part, tail) = rest.split_at_checked(length)?;
            rest = tail;
            Some(part)
        };
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        let time = number(take(6)?);
        let fudge = number(take(2)?) as u16;
        let mac_len = number(take(2)?) as usize;
        let mac = take(mac_len)?.to_vec();
        let original_id = number(take(2)?) as u16;
        let error = number(take(2)?) as u16;
        let other_len = number(take(2)?) as usize;
        let other = take(other_len)?.to_vec();
        rest.is_empty().then_some(Self { key, algorithm, time, fudge, mac, original_id, error, other })
    }

    /// Appends the record to `message` and counts it.
    pub fn append(&self, message: &mut Vec<u8>) {
        let additionals = u16::from_be_bytes([message[10], message[11]]) + 1;
        message[10..12].copy_from_slice(&additionals.to_be_bytes());
        message.extend(self.key.as_wire());
        message.extend(kind::TSIG.to_be_bytes());
        message.extend(class::ANY.to_be_bytes());
        message.extend([0; 4]);
        let length = self.algorithm.as_wire().len() + 16 + self.mac.len() + self.other.len();
        message.extend((length as u16).to_be_bytes());
        message.extend(self.algorithm.as_wire());
        message.extend(&self.time.to_be_bytes()[2..]);
        message.extend(self.fudge.to_be_bytes());
        message.extend((self.mac.len() as u16).to_be_bytes());
        message.extend(&self.mac);
        message.extend(self.original_id.to_be_bytes());
        message.extend(self.error.to_be_bytes());
        message.extend((self.other.len() as u16).to_be_bytes());
        message.extend(&self.other);
    }

    /// What of it is signed: all but the signature and the number (RFC 8945 section 4.3.3).
    pub(super) fn variables(&self, digest: &mut Digest) {
        digest.update(self.key.lower().as_wire());
        digest.update(&class::ANY.to_be_bytes());
        digest.update(&[0; 4]);
        digest.update(self.algorithm.lower().as_wire());
        digest.update(&self.time.to_be_bytes()[2..]);
        digest.update(&self.fudge.to_be_bytes());
        digest.update(&self.error.to_be_bytes());
        digest.update(&(self.other.len() as u16).to_be_bytes());
        digest.update(&self.other);
    }
}
