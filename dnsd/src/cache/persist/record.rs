//! The form of an entry on disk.
//!
//! All numbers little-endian; times are seconds since 1970, since the clock that never jumps starts anew with
//! each boot:
//!
//! ```text
//! 1 | flags 1 | type 2 | rcode 2 | answers 2 | authorities 2 | additionals 2 | additional at 4
//!   | stored 8 | expires 8 | name length 1, name | TTL count 2, TTL offsets 2 each | body
//! flags: 1 DO, 2 CD, 4 AD, 8 believed, 16 a denial
//! ```

use crate::cache::entry::{Answer, Entry, Sort};
use crate::cache::{Now, TTL_MAX};
use crate::protocol::code::rcode;
use crate::protocol::name::{LowerName, wire_len};

const TAG_ENTRY: u8 = 1;
const FLAGS_SORT: u8 = 3;
const FLAG_AUTHENTIC: u8 = 4;
const FLAG_BELIEVED: u8 = 8;
const FLAG_DENIAL: u8 = 16;
const FLAGS: u8 = 31;

/// Octets of a message before the question's name.
const HEADER_BYTES: usize = 12;

/// An entry read from disk.
pub(super) struct Restored {
    pub(super) entry: Entry,
    /// It had proven that it is wanted.
    pub(super) believed: bool,
}

/// Appends the record of an entry to `out`. Without an answer there is none.
pub(super) fn encode(entry: &Entry, believed: bool, now: Now, out: &mut Vec<u8>) {
    let Some(answer) = entry.answer else { return };
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let flags = entry.sort.variant
        | flag(answer.authentic, FLAG_AUTHENTIC)
        | flag(believed, FLAG_BELIEVED)
        | flag(answer.denial, FLAG_DENIAL);
    out.extend([TAG_ENTRY, flags]);
    for number in [entry.sort.kind, answer.rcode, answer.answers, answer.authorities, answer.additionals] {
        out.extend(number.to_le_bytes());
    }
    out.extend(answer.additional_at.to_le_bytes());
    // The lifetime stays as it is to the second; rounding goes into the age.
    let age = (now.mono_millis as i64 - answer.stored_ms).div_euclid(1000);
    let stored = (now.wall_secs as i64).saturating_sub(age).max(0);
    let lifetime = (answer.expires_ms - answer.stored_ms).div_euclid(1000);
    out.extend(stored.to_le_bytes());
    out.extend(stored.saturating_add(lifetime).to_le_bytes());
    out.push(entry.name().len() as u8);
    out.extend_from_slice(entry.name());
    out.extend(answer.ttls.to_le_bytes());
    out.extend_from_slice(entry.ttls());
    out.extend_from_slice(entry.body());
}

/// The entry in a record; `None` if it is none, or none that could be given out.
///
/// Where the clock is behind the time at which the entry was stored nobody knows how old it is: it comes back as
/// just expired, to be refreshed when that is possible and used when it is not.
pub(super) fn decode(record: &[u8], now: Now) -> Option<Restored> {
    let mut reader = Reader(record);
    let [TAG_ENTRY, flags] = reader.array()? else { return None };
    let sort = Sort { kind: reader.u16()?, variant: flags & FLAGS_SORT };
    let rcode = reader.u16()?;
    let (answers, authorities, additionals) = (reader.u16()?, reader.u16()?, reader.u16()?);
    let additional_at = u32::from_le_bytes(reader.array()?);
    let (stored, expires) = (i64::from_le_bytes(reader.array()?), i64::from_le_bytes(reader.array()?));
    let [name_len] = reader.array()?;
    let name = reader.take(name_len.into())?;
    let ttl_count = reader.u16()?;
    let ttls = reader.take(2 * usize::from(ttl_count))?;
    let body = reader.0;

    let lifetime = expires.checked_sub(stored).filter(|secs| (0..=i64::from(TTL_MAX)).contains(secs))?;
    let known_name = wire_len(name) == Ok(name.len()) && LowerName::of(name).as_wire() == name;
    let known_rcode = matches!(rcode, rcode::NOERROR | rcode::NXDOMAIN);
    let sections = [answers, authorities, additionals];
    if !known_name || !known_rcode || flags & !FLAGS != 0 || stored < 0 {
        return None;
    }
    let question_end = HEADER_BYTES + name.len() + 4;
    if !is_well_formed(body, question_end, sections, ttls, additional_at as usize) {
        return None;
    }
    let now_ms = now.mono_millis as i64;
    let age = (now.wall_secs as i64).checked_sub(stored).filter(|age| *age >= 0).unwrap_or(lifetime);
    let stored_ms = now_ms.checked_sub(age.checked_mul(1000)?)?;
    let answer = Answer {
        stored_ms,
        expires_ms: stored_ms + lifetime * 1000,
        rcode,
        answers,
        authorities,
        additionals,
        ttls: ttl_count,
        additional_at,
        authentic: flags & FLAG_AUTHENTIC != 0,
        denial: flags & FLAG_DENIAL != 0,
    };
    let mut entry = Entry::new(sort, name, answer, ttls, body);
    entry.saved_expires_ms = answer.expires_ms;
    // Only those denials were saved that were asked for again: they are to be saved the next time, too.
    entry.hits = u8::from(answer.denial);
    Some(Restored { entry, believed: flags & FLAG_BELIEVED != 0 })
}

/// Whether a body consists of so many records, with their TTL fields at the given offsets; `start` is where it
/// begins in the message.
fn is_well_formed(body: &[u8], start: usize, sections: [u16; 3], ttls: &[u8], additional_at: usize) -> bool {
    let mut offsets = ttls.chunks_exact(2).map(|pair| usize::from(u16::from_le_bytes([pair[0], pair[1]])));
    let mut at = 0;
    for (section, count) in sections.into_iter().enumerate() {
        if section == 2 && at != additional_at {
            return false;
        }
        for _ in 0..count {
            let Some(fixed) = skip_name(body, at, start) else { return false };
            let Some(&[_, _, _, _, _, _, _, _, high, low]) = body.get(fixed..fixed + 10) else {
                return false;
            };
            if offsets.next() != Some(fixed + 4) {
                return false;
            }
            at = fixed + 10 + usize::from(u16::from_be_bytes([high, low]));
        }
    }
    at == body.len() && offsets.next().is_none() && start + at <= usize::from(u16::MAX)
}

/// Where the name at `at` ends. Its pointer, if any, leads back into the message.
fn skip_name(body: &[u8], mut at: usize, start: usize) -> Option<usize> {
    loop {
        match *body.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += usize::from(length) + 1,
            high @ 0xc0.. => {
                let target = usize::from(high & 0x3f) << 8 | usize::from(*body.get(at + 1)?);
                return (HEADER_BYTES..start + at).contains(&target).then_some(at + 2);
            }
            _ => return None,
        }
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { mono_millis: 9000, wall_secs: 5000 };
    const NAME_AT: usize = 32;

    /// A name of one label, one answer, one additional record.
    fn record() -> Vec<u8> {
        let mut record = vec![1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 16, 0, 0, 0];
        record.extend(4990_i64.to_le_bytes());
        record.extend(5050_i64.to_le_bytes());
        record.extend([3, 1, b'a', 0, 2, 0, 6, 0, 21, 0]);
        record.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        record.extend([0, 0, 16, 0, 1, 0, 0, 0, 60, 0, 2, 1, b'x']);
        record
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let Restored { entry, believed } = decode(&record(), NOW).unwrap();
        assert!(!believed);
        let answer = entry.answer.unwrap();
        assert_eq!((answer.stored_ms, answer.expires_ms), (-1000, 59_000));
        assert_eq!((entry.name(), entry.body().len()), (&[1, b'a', 0][..], 29));
        let mut again = Vec::new();
        encode(&entry, believed, NOW, &mut again);
        assert_eq!(again, record());
    }

    #[test]
    fn what_could_not_be_given_out_is_refused() {
        let name_len = NAME_AT;
        let ttls = name_len + 6;
        let body = ttls + 4;
        let changes: &[(&str, usize, u8)] = &[
            ("another tag", 0, 2),
            ("an unknown flag", 1, 32),
            ("a response code that is not kept", 4, 2),
            ("more answers", 6, 2),
            ("fewer answers", 6, 0),
            ("more authorities", 8, 1),
            ("fewer additionals", 10, 0),
            ("an additional section elsewhere", 12, 15),
            ("stored before 1970", 23, 0x80),
            ("expired before it was stored", 25, 0),
            ("a lifetime of ages", 26, 9),
            ("a name cut short", name_len + 1, 3),
            ("a name in upper case", name_len + 2, b'A'),
            ("more TTLs", name_len + 4, 3),
            ("a TTL elsewhere", ttls, 7),
            ("a pointer into the header", body + 1, 11),
            ("a pointer to itself", body + 1, 19),
            ("a label of an unknown type", body, 0x80),
            ("RDATA beyond its end", body + 11, 5),
            ("the last RDATA beyond its end", body + 26, 3),
        ];
        for (what, at, value) in changes {
            let mut changed = record();
            assert_ne!(changed[*at], *value, "{what}: no change");
            changed[*at] = *value;
            assert!(decode(&changed, NOW).is_none(), "{what}");
        }
        for length in 0..record().len() {
            assert!(decode(&record()[..length], NOW).is_none(), "cut to {length}");
        }
        assert!(decode(&[record(), vec![0]].concat(), NOW).is_none(), "something behind");
    }
}
