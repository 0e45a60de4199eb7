//! Signatures of transactions (RFC 8945).
//!
//! A request is verified as it arrived; a reply is signed as it leaves, over the request's signature and its own
//! octets. In a row of replies each later signature covers the one before (section 5.3.1).

mod digest;
mod record;

use std::fmt;
use std::sync::Arc;

use super::keys::{Granted, Keys};
use crate::protocol::code::rcode;
use crate::protocol::name::Name;

pub use digest::Algorithm;
pub use record::TsigRecord;

use digest::Digest;

/// How far the clocks of the two sides may be apart, in seconds, in what we sign (RFC 8945 section 10).
pub const FUDGE_SECS: u16 = 300;
/// The shortest signature that is accepted, in octets (RFC 8945 section 5.2.2.1).
const MAC_BYTES_MIN: usize = 10;

/// A key. It never shows its secret.
pub struct Key {
    name: Name,
    algorithm: Algorithm,
    algorithm_name: Name,
    secret: Vec<u8>,
}

impl Key {
    /// A key with this secret.
    pub fn new(name: &Name, algorithm: Algorithm, secret: Vec<u8>) -> Self {
        Self { name: name.lower(), algorithm, algorithm_name: algorithm.to_name(), secret }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Whether that is its name and algorithm.
    pub fn is(&self, name: &Name, algorithm: &Name) -> bool {
        self.name == *name && self.algorithm_name == *algorithm
    }

    /// How many octets its signature adds to a message at most.
    pub fn room(&self) -> usize {
        // Owner, type, class, TTL, length; algorithm, time, fudge, length and MAC, number, error, length and time.
        self.name.as_wire().len()
            + 10
            + self.algorithm_name.as_wire().len()
            + 10
            + self.algorithm.bytes()
            + 6
            + 6
    }

    fn digest(&self) -> Digest {
        self.algorithm.digest(&self.secret)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} {})", self.name, self.algorithm_name)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.secret.fill(0);
        // Keeps the compiler from leaving the overwriting out.
        std::hint::black_box(&self.secret);
    }
}

/// A request whose signature holds, and what signs the replies to it.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Who signed.
    pub granted: Arc<Granted>,
    /// The signature: of the request, later of the last reply.
    mac: Vec<u8>,
    original_id: u16,
    first: bool,
}

/// A signature that does not hold. The reply is NOTAUTH or FORMERR, and tells why in its own TSIG.
#[derive(Clone, Debug)]
pub enum Refused {
    /// The record itself is wrong: FORMERR.
    Malformed,
    /// The key is unknown.
    BadKey(Box<TsigRecord>),
    /// The signature is wrong.
    BadSignature(Box<TsigRecord>),
    /// The signature is right, but not of this time.
    BadTime(Box<TsigRecord>, Arc<Granted>),
}

impl Refused {
    /// The reason's name, as counted.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Malformed => "tsig_malformed",
            Self::BadKey(_) => "tsig_bad_key",
            Self::BadSignature(_) => "tsig_bad_signature",
            Self::BadTime(..) => "tsig_bad_time",
        }
    }

    /// The response code of the reply.
    pub fn rcode(&self) -> u16 {
        if matches!(self, Self::Malformed) { rcode::FORMERR } else { rcode::NOTAUTH }
    }

    /// Adds to the reply what RFC 8945 section 5.3.2 asks for: unsigned, unless only the time was wrong.
    pub fn sign(&self, reply: &mut Vec<u8>, wall_secs: u64) {
        let (theirs, error) = match self {
            Self::Malformed => return,
            Self::BadKey(theirs) => (theirs, rcode::BADKEY),
            Self::BadSignature(theirs) => (theirs, rcode::BADSIG),
            Self::BadTime(theirs, granted) => {
                let verified = Verified {
                    granted: Arc::clone(granted),
                    mac: theirs.mac.clone(),
                    original_id: theirs.original_id,
                    first: true,
                };
                let time = Time { signed: theirs.time, error: rcode::BADTIME, other: Some(wall_secs) };
                let mac = verified.mac_of(reply, &time);
                time.record(&granted.key, mac, theirs.original_id).append(reply);
                return;
            }
        };
        let ours = TsigRecord {
            key: theirs.key.clone(),
            algorithm: theirs.algorithm.clone(),
            time: theirs.time,
            fudge: FUDGE_SECS,
            mac: Vec::new(),
            original_id: theirs.original_id,
            error,
            other: Vec::new(),
        };
        ours.append(reply);
    }
}

/// Verifies `message`, whose TSIG record begins at `tsig_at`.
///
/// # Errors
/// Why the signature does not hold.
pub fn verify(message: &[u8], tsig_at: usize, keys: &Keys, wall_secs: u64) -> Result<Verified, Refused> {
    let record = TsigRecord::read(message, tsig_at).ok_or(Refused::Malformed)?;
    let Some(granted) = keys.find(&record.key, &record.algorithm) else {
        return Err(Refused::BadKey(Box::new(record)));
    };
    let whole = granted.key.algorithm.bytes();
    if record.mac.len() > whole || record.mac.len() < MAC_BYTES_MIN.max(whole / 2) {
        return Err(Refused::Malformed);
    }
    let mut digest = granted.key.digest();
    digest.update(&record.original_id.to_be_bytes());
    digest.update(&message[2..10]);
    let additionals = u16::from_be_bytes([message[10], message[11]]).wrapping_sub(1);
    digest.update(&additionals.to_be_bytes());
    digest.update(&message[12..tsig_at]);
    record.variables(&mut digest);
    if !digest.verify(&record.mac) {
        return Err(Refused::BadSignature(Box::new(record)));
    }
    if record.time.abs_diff(wall_secs) > u64::from(record.fudge) {
        return Err(Refused::BadTime(Box::new(record), Arc::clone(granted)));
    }
    Ok(Verified {
        granted: Arc::clone(granted),
        original_id: record.original_id,
        mac: record.mac,
        first: true,
    })
}

impl Verified {
    /// The signature that identifies the request.
    pub fn mac(&self) -> &[u8] {
        &self.mac
    }

    /// Signs a reply; of a row of them, the next.
    pub fn sign(&mut self, reply: &mut Vec<u8>, wall_secs: u64) {
        let time = Time { signed: wall_secs, error: 0, other: None };
        let mac = self.mac_of(reply, &time);
        time.record(&self.granted.key, mac.clone(), self.original_id).append(reply);
        self.mac = mac;
        self.first = false;
    }

    fn mac_of(&self, reply: &[u8], time: &Time) -> Vec<u8> {
        let key = &self.granted.key;
        let mut digest = key.digest();
        digest.update(&(self.mac.len() as u16).to_be_bytes());
        digest.update(&self.mac);
        digest.update(reply);
        if self.first {
            time.record(key, Vec::new(), self.original_id).variables(&mut digest);
        } else {
            digest.update(&time.signed.to_be_bytes()[2..]);
            digest.update(&FUDGE_SECS.to_be_bytes());
        }
        digest.finish()
    }
}

/// What a signature of ours says about itself.
struct Time {
    signed: u64,
    error: u16,
    /// The server's clock, told to a client whose own is wrong.
    other: Option<u64>,
}

impl Time {
    fn record(&self, key: &Key, mac: Vec<u8>, original_id: u16) -> TsigRecord {
        TsigRecord {
            key: key.name.clone(),
            algorithm: key.algorithm_name.clone(),
            time: self.signed,
            fudge: FUDGE_SECS,
            mac,
            original_id,
            error: self.error,
            other: self.other.map_or(Vec::new(), |time| time.to_be_bytes()[2..].to_vec()),
        }
    }
}

#[cfg(test)]
mod tests;
