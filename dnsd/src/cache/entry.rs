//! One entry: an answer as it goes on the wire, and how asking for it last failed.

use crate::protocol::body::{Body, TooLong, Written};
use crate::protocol::code::{kind, rcode};

use super::failure::Failing;
use super::slots::SHARE_BYTES;
use super::{Key, NEGATIVE_TTL_MAX, NotStored, STALE_TTL, TTL_MAX};

/// The type under which the denial of a whole name is kept (RFC 2308 section 5): reserved, so nobody asks for it.
pub(super) const WHOLE_NAME: u16 = 0;
/// What the allocator adds to a piece of memory, in bytes.
const ALLOCATION_BYTES: usize = 16;
/// How far the expiry on disk may lag behind when nothing but the TTL has changed, in milliseconds.
const SAVED_LAG_MAX: i64 = 3600 * 1000;

/// What a table is searched by, beside the name: the type and the flags that change the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sort {
    pub(super) kind: u16,
    /// Bit 0: DO; bit 1: CD.
    pub(super) variant: u8,
}

impl Sort {
    pub(super) const VARIANTS: u8 = 4;

    pub(super) fn of(key: &Key<'_>) -> Self {
        Self { kind: key.kind, variant: u8::from(key.dnssec_ok) | u8::from(key.checking_disabled) << 1 }
    }

    pub(super) fn whole_name(self) -> Self {
        Self { kind: WHOLE_NAME, ..self }
    }
}

/// The fixed part of a kept answer. Times are milliseconds on the clock that never jumps; those of an earlier
/// process may lie before its zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) stored_ms: i64,
    pub(super) expires_ms: i64,
    pub(super) rcode: u16,
    pub(super) answers: u16,
    pub(super) authorities: u16,
    pub(super) additionals: u16,
    /// How many TTL offsets there are.
    pub(super) ttls: u16,
    pub(super) additional_at: u32,
    pub(super) authentic: bool,
    /// It says that there is nothing.
    pub(super) denial: bool,
}

/// An entry. `data` holds the name in lower case, the offsets of the TTL fields, and the octets of the body.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sort: Sort,
    name_len: u8,
    /// How often it was given out since it was stored.
    pub(super) hits: u8,
    /// Somebody was told to refresh it before it expires.
    pub(super) prefetch_told: bool,
    /// What is on disk, if anything, is not this.
    pub(super) unsaved: bool,
    /// When somebody was last told to refresh it after it has expired.
    pub(super) refresh_told_ms: i64,
    /// When what is on disk expires.
    pub(super) saved_expires_ms: i64,
    pub(super) answer: Option<Answer>,
    pub(super) failing: Option<Box<Failing>>,
    data: Box<[u8]>,
}

impl Entry {
    /// An entry without an answer, to note a failure in.
    pub(super) fn empty(sort: Sort, name: &[u8]) -> Self {
        Self {
            sort,
            name_len: name.len() as u8,
            hits: 0,
            prefetch_told: false,
            unsaved: false,
            refresh_told_ms: i64::MIN,
            saved_expires_ms: i64::MIN,
            answer: None,
            failing: None,
            data: name.into(),
        }
    }

    /// An entry with an answer whose TTLs are in the body as they were when it was stored.
    pub(super) fn new(sort: Sort, name: &[u8], answer: Answer, ttls: &[u8], body: &[u8]) -> Self {
        let data = [name, ttls, body].concat().into_boxed_slice();
        Self { answer: Some(answer), data, ..Self::empty(sort, &[]) }.named(name.len())
    }

    fn named(self, name_len: usize) -> Self {
        Self { name_len: name_len as u8, ..self }
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.data[..usize::from(self.name_len)]
    }

    /// The offsets of the TTL fields as they are kept: two octets each, little-endian.
    pub(super) fn ttls(&self) -> &[u8] {
        let (start, count) = (usize::from(self.name_len), self.answer.map_or(0, |answer| answer.ttls));
        &self.data[start..start + 2 * usize::from(count)]
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.data[usize::from(self.name_len) + self.ttls().len()..]
    }

    /// The memory it takes, with its share of the table, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let failing = if self.failing.is_some() { size_of::<Failing>() + ALLOCATION_BYTES } else { 0 };
        self.data.len() + ALLOCATION_BYTES + failing + SHARE_BYTES
    }

    /// Whether it may be given out, be it stale.
    pub(super) fn is_usable(&self, now_ms: i64, stale_ms: i64) -> bool {
        self.answer.is_some_and(|answer| now_ms < answer.expires_ms.saturating_add(stale_ms))
    }

    /// Whether nothing in it will ever be wanted again.
    pub(super) fn is_dead(&self, now_ms: i64, stale_ms: i64) -> bool {
        !self.is_usable(now_ms, stale_ms)
            && self.failing.as_ref().is_none_or(|failing| failing.is_forgotten(now_ms))
    }

    pub(super) fn is_denial(&self) -> bool {
        self.answer.is_none_or(|answer| answer.denial)
    }

    /// Whether the records are those of `other`, whatever their TTLs.
    pub(super) fn same_records(&self, other: &Self) -> bool {
        let shape =
            |entry: &Self| entry.answer.map(|answer| Answer { stored_ms: 0, expires_ms: 0, ..answer });
        if shape(self) != shape(other) || self.ttls() != other.ttls() {
            return false;
        }
        let mut from = 0;
        for at in offsets(self.ttls()) {
            // Each TTL field is left out of the comparison.
            if self.body()[from..at] != other.body()[from..at] {
                return false;
            }
            from = at + 4;
        }
        self.body()[from..] == other.body()[from..]
    }

    /// Whether the copy on disk has to be written anew, given what was there before.
    pub(super) fn differs_on_disk(&self, before: &Self) -> bool {
        let expires_ms = self.answer.map_or(i64::MIN, |answer| answer.expires_ms);
        before.unsaved
            || expires_ms > before.saved_expires_ms.saturating_add(SAVED_LAG_MAX)
            || !self.same_records(before)
    }

    /// Writes the answer, its TTLs as old as they are; a stale one's are all [`STALE_TTL`].
    pub(super) fn write(&self, answer: &Answer, now_ms: i64, out: &mut [u8]) -> Result<Written, TooLong> {
        let body = self.body();
        let additional_at = answer.additional_at as usize;
        // The additional section is what may be left out (RFC 2181 section 9).
        let (len, additionals) = match body.len() {
            len if len <= out.len() => (len, answer.additionals),
            _ if additional_at <= out.len() => (additional_at, 0),
            _ => return Err(TooLong),
        };
        out[..len].copy_from_slice(&body[..len]);
        let stale = now_ms >= answer.expires_ms;
        let age = u32::try_from((now_ms - answer.stored_ms).max(0) / 1000).unwrap_or(u32::MAX);
        for at in offsets(self.ttls()) {
            let Some(field) = out[..len].get_mut(at..at + 4) else { break };
            let ttl = if stale { STALE_TTL } else { read_u32(field).saturating_sub(age) };
            field.copy_from_slice(&ttl.to_be_bytes());
        }
        Ok(Written {
            len,
            rcode: answer.rcode,
            authoritative: false,
            authentic: answer.authentic,
            answers: answer.answers,
            authorities: answer.authorities,
            additionals,
            additional_at,
        })
    }
}

/// What is kept of a body that was just received.
pub(super) struct Kept {
    pub(super) entry: Entry,
    /// Only stale use is allowed: the TTL is 0.
    pub(super) expired: bool,
}

/// Makes the entry for a body, its TTLs bounded.
pub(super) fn keep(key: &Key<'_>, body: &Body, now_ms: i64) -> Result<Kept, NotStored> {
    let records = usize::from(body.answers) + usize::from(body.authorities) + usize::from(body.additionals);
    let in_place = |&at: &u16| at >= 4 && usize::from(at) + 6 <= body.bytes.len();
    let ordered = body.ttls.windows(2).all(|pair| usize::from(pair[0]) + 4 <= usize::from(pair[1]));
    if body.ttls.len() != records
        || !ordered
        || !body.ttls.iter().all(in_place)
        || body.additional_at as usize > body.bytes.len()
    {
        return Err(NotStored::Malformed);
    }
    if matches!(key.kind, WHOLE_NAME | kind::OPT | kind::TKEY..=kind::MAILA) {
        return Err(NotStored::Kind);
    }
    let mut octets = body.bytes.to_vec();
    let (answer_ttls, rest) = body.ttls.split_at(usize::from(body.answers));
    let soa = rest[..usize::from(body.authorities)].iter().find(|&&at| kind_at(&octets, at) == kind::SOA);
    let asked = |at: &u16| key.kind == kind::ANY || kind_at(&octets, *at) == key.kind;
    let positive = match body.rcode {
        rcode::NOERROR => answer_ttls.iter().any(asked),
        rcode::NXDOMAIN => false,
        _ => return Err(NotStored::Rcode),
    };
    // An alias to somewhere else, without a word about what is there.
    let alias = !positive && soa.is_none() && body.rcode == rcode::NOERROR && body.answers > 0;
    if !positive && !alias && soa.is_none() {
        return Err(NotStored::NoSoa);
    }
    let ttl_max = if positive { TTL_MAX } else { NEGATIVE_TTL_MAX };
    let soa_max = soa.filter(|_| !positive).and_then(|&at| soa_minimum(&octets, at));
    let mut lifetime = ttl_max;
    for &at in &body.ttls {
        let field = &mut octets[usize::from(at)..usize::from(at) + 4];
        let mut ttl = read_u32(field).min(ttl_max);
        if soa == Some(&at) {
            ttl = ttl.min(soa_max.unwrap_or(ttl));
        }
        field.copy_from_slice(&ttl.to_be_bytes());
        // What comes along in the additional section may run out before the answer does.
        if u32::from(at) < body.additional_at {
            lifetime = lifetime.min(ttl);
        }
    }
    let answer = Answer {
        stored_ms: now_ms,
        expires_ms: now_ms + i64::from(lifetime) * 1000,
        rcode: body.rcode,
        answers: body.answers,
        authorities: body.authorities,
        additionals: body.additionals,
        ttls: body.ttls.len() as u16,
        additional_at: body.additional_at,
        authentic: body.authentic,
        denial: !positive && !alias,
    };
    let sort = Sort::of(key);
    // With an alias before it, the denial is about the alias's target, not about the name asked for.
    let whole_name = body.rcode == rcode::NXDOMAIN && body.answers == 0;
    let sort = if whole_name { sort.whole_name() } else { sort };
    let ttls: Vec<u8> = body.ttls.iter().flat_map(|at| at.to_le_bytes()).collect();
    let entry = Entry::new(sort, key.name.as_wire(), answer, &ttls, &octets);
    Ok(Kept { entry, expired: lifetime == 0 })
}

/// The offsets of TTL fields, as they are kept.
fn offsets(ttls: &[u8]) -> impl Iterator<Item = usize> {
    ttls.chunks_exact(2).map(|pair| usize::from(u16::from_le_bytes([pair[0], pair[1]])))
}

fn kind_at(octets: &[u8], ttl_at: u16) -> u16 {
    let at = usize::from(ttl_at);
    u16::from_be_bytes([octets[at - 4], octets[at - 3]])
}

/// The MINIMUM field of the SOA whose TTL is at `ttl_at`: its last four octets (RFC 1035 section 3.3.13).
fn soa_minimum(octets: &[u8], ttl_at: u16) -> Option<u32> {
    let at = usize::from(ttl_at);
    let length = usize::from(u16::from_be_bytes([octets[at + 4], octets[at + 5]]));
    let rdata = octets.get(at + 6..at + 6 + length)?;
    rdata.last_chunk().map(|minimum| u32::from_be_bytes(*minimum))
}

fn read_u32(field: &[u8]) -> u32 {
    field.try_into().map_or(0, u32::from_be_bytes)
}
