//! What is written down.

use std::net::IpAddr;
use std::time::SystemTime;

use faros_common::events::rfc3339;
use faros_common::site::Mac;
use serde::{Serialize, Serializer};

use super::{Digest, Head};

/// What was decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// An advertisement went out.
    Advertised,
    /// A key took part in an exchange.
    Recovered,
    /// Nothing was given out.
    Refused,
    /// Nothing was given out yet: an operator is to approve.
    Held,
    /// Not a request: the log speaks of itself, or an operator did something.
    Note,
}

/// Whether a key is in use or rotated out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyAge {
    /// Advertised to whoever binds a disk now.
    Current,
    /// Kept for disks that were bound to it.
    Rotated,
}

impl KeyAge {
    /// Of a key that is hidden or not.
    #[must_use]
    pub fn of(hidden: bool) -> Self {
        if hidden { Self::Rotated } else { Self::Current }
    }

    /// Its word in events and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Rotated => "rotated",
        }
    }
}

/// One entry. What is not known of a request is left out.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// When it was decided; RFC 3339, UTC, microseconds.
    #[serde(serialize_with = "as_rfc3339")]
    pub time: SystemTime,
    /// What was decided.
    pub decision: Decision,
    /// Where the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The card behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// The node that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The name in its lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// The S256 thumbprint of the key, or, where there is none of that name, what was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbprint: Option<String>,
    /// Whether the key is in use or rotated out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyAge>,
    /// The status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why nothing was given out; or what the note is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Requests of this kind and address before this one that left no entry, for there were too many.
    #[serde(skip_serializing_if = "is_zero")]
    pub suppressed: u64,
}

impl Entry {
    /// An entry with nothing but its time and decision.
    #[must_use]
    pub fn new(time: SystemTime, decision: Decision) -> Self {
        Self {
            time,
            decision,
            address: None,
            mac: None,
            node: None,
            lease: None,
            thumbprint: None,
            key: None,
            status: None,
            reason: None,
            rule: None,
            suppressed: 0,
        }
    }

    /// A note: something that happened to the keys or to the log, and by what.
    #[must_use]
    pub fn note(time: SystemTime, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::new(time, Decision::Note) }
    }

    /// Its line at the end of the chain, with a newline.
    pub(super) fn line(&self, head: Head, lost: u64) -> Vec<u8> {
        let line = Line { seq: head.seq + 1, entry: self, lost, previous: head.hash };
        let mut bytes = Vec::with_capacity(512);
        serde_json::to_writer(&mut bytes, &line).expect("text and numbers, written to memory");
        bytes.push(b'\n');
        bytes
    }
}

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    #[serde(flatten)]
    entry: &'a Entry,
    /// Entries before this one that could not be kept.
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
    previous: Digest,
}

fn as_rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
