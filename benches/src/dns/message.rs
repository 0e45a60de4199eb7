//! DNS messages as far as a benchmark needs them: a question as clients ask it, and what an answer says.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Octets of a header (RFC 1035 section 4.1.1).
pub const HEADER: usize = 12;
/// The EDNS buffer size that dig announces.
const UDP_SIZE: u16 = 1232;
/// Pointers followed in one name; more make a loop.
const POINTERS_MAX: u32 = 16;

/// Types that are asked for, with their numbers.
const KINDS: [(&str, u16); 4] = [("A", 1), ("PTR", 12), ("AAAA", 28), ("SRV", 33)];

/// A question as a client sends it, with id 0 and recursion desired. `None`: no such type, or not a name.
///
/// `edns`: the way dig asks, with AD and an OPT that holds a cookie (RFC 6891, RFC 7873); without: as plain as can be.
pub fn query(name: &str, kind: &str, edns: bool) -> Option<Vec<u8>> {
    let number = KINDS.iter().find(|(mnemonic, _)| *mnemonic == kind)?.1;
    let mut message = vec![0, 0, 1, if edns { 0x20 } else { 0 }, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    for label in name.trim_end_matches('.').split('.') {
        let len = u8::try_from(label.len()).ok().filter(|len| (1..64).contains(len))?;
        message.push(len);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend(number.to_be_bytes());
    message.extend(1_u16.to_be_bytes());
    if edns {
        message.extend([0, 0, 41]);
        message.extend(UDP_SIZE.to_be_bytes());
        message.extend([0, 0, 0, 0, 0, 12, 0, 10, 0, 8]);
        message.extend(*b"\x8b\x1f\x60\x02\xd4\xc9\x35\xee");
    }
    Some(message)
}

/// Where the question of a message ends; `None`: it has not exactly one, uncompressed.
pub fn question_end(message: &[u8]) -> Option<usize> {
    if message.get(4..6)? != [0, 1] {
        return None;
    }
    let mut at = HEADER;
    loop {
        match *message.get(at)? {
            0 => break,
            len @ 1..64 => at += usize::from(len) + 1,
            _ => return None,
        }
    }
    message.get(..at + 5).map(<[u8]>::len)
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The response code.
    pub rcode: u8,
    /// The records of its answer section, as type and data.
    pub records: Vec<String>,
}

/// Reads an answer; `None`: it is none, or malformed.
pub fn read(message: &[u8]) -> Option<Answer> {
    if message.get(2)? & 0x80 == 0 {
        return None;
    }
    let count = u16::from_be_bytes([*message.get(6)?, *message.get(7)?]);
    let mut at = question_end(message)?;
    let mut records = Vec::new();
    for _ in 0..count {
        at = name_at(message, at)?.1;
        let fixed = message.get(at..at + 10)?;
        let kind = u16::from_be_bytes([fixed[0], fixed[1]]);
        let len = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        at += fixed.len();
        records.push(data(message, kind, at, len)?);
        at += len;
    }
    Some(Answer { rcode: message[3] & 0x0f, records })
}

fn data(message: &[u8], kind: u16, at: usize, len: usize) -> Option<String> {
    let bytes = message.get(at..at + len)?;
    let numbers = |count: usize| {
        let words = bytes.get(..2 * count)?.chunks(2);
        Some(
            words
                .map(|word| u16::from_be_bytes([word[0], word[1]]).to_string())
                .collect::<Vec<_>>()
                .join(" "),
        )
    };
    Some(match kind {
        1 => format!("A {}", Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        12 => format!("PTR {}", name_at(message, at)?.0),
        28 => format!("AAAA {}", Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        33 => format!("SRV {} {}", numbers(3)?, name_at(message, at + 6)?.0),
        other => format!("TYPE{other} of {len}"),
    })
}

/// The name at `at` without its trailing dot, in lower case, and where it ends.
pub fn name_at(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let (mut text, mut end, mut pointers) = (String::new(), None, 0);
    loop {
        let len = *message.get(at)?;
        match len {
            0 => return Some((text, end.unwrap_or(at + 1))),
            1..64 => {
                let label = message.get(at + 1..at + 1 + usize::from(len))?;
                let dot = if text.is_empty() { "" } else { "." };
                let _ = write!(text, "{dot}{}", String::from_utf8_lossy(label).to_ascii_lowercase());
                at += label.len() + 1;
            }
            192.. if pointers < POINTERS_MAX => {
                pointers += 1;
                end = end.or(Some(at + 2));
                at = usize::from(u16::from_be_bytes([len & 0x3f, *message.get(at + 1)?]));
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The answer of `query` with these records, whose owner is the question's name.
    fn answered(query: &[u8], rcode: u8, records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = query[..question_end(query).unwrap()].to_vec();
        message[2] |= 0x80;
        message[3] = rcode;
        message[7] = records.len() as u8;
        message[11] = 0;
        for (kind, data) in records {
            message.extend([0xc0, 12]);
            message.extend(kind.to_be_bytes());
            message.extend([0, 1, 0, 0, 1, 44, 0, data.len() as u8]);
            message.extend_from_slice(data);
        }
        message
    }

    #[test]
    fn a_question_with_edns_differs_by_its_opt() {
        let plain = query("a.bc", "SRV", false).unwrap();
        assert_eq!(plain, b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x21\0\x01");
        let with = query("a.bc.", "SRV", true).unwrap();
        assert_eq!(with.len(), plain.len() + 23);
        assert_eq!(with[plain.len()..][..5], [0, 0, 41, 4, 208]);
        assert_eq!(query("a..b", "A", false), None);
        assert_eq!(query("a", "MX", false), None);
    }

    #[test]
    fn answers_are_read_with_their_compressed_names() {
        let asked = query("x.example.com", "A", false).unwrap();
        let records: [(u16, &[u8]); 3] =
            [(1, &[10, 0, 0, 1]), (12, b"\x02CP\xc0\x0e"), (33, b"\0\0\0\x0a\x01\x85\x01w\xc0\x0e")];
        let answer = read(&answered(&asked, 0, &records)).unwrap();
        assert_eq!(answer.records, ["A 10.0.0.1", "PTR cp.example.com", "SRV 0 10 389 w.example.com"]);
        assert_eq!(read(&answered(&asked, 3, &[])), Some(Answer { rcode: 3, records: vec![] }));
        assert_eq!(read(&asked), None);
    }

    #[test]
    fn a_loop_of_pointers_ends() {
        let asked = query("x", "A", false).unwrap();
        let end = question_end(&asked).unwrap() as u8 + 12;
        assert_eq!(read(&answered(&asked, 0, &[(12, &[0xc0, end])])), None);
    }

    proptest! {
        #[test]
        fn anything_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut message = b"\0\0\x81\0\0\x01\0\x02\0\0\0\0\x01a\0\0\x01\0\x01".to_vec();
            message.extend(bytes);
            let _ = read(&message);
        }
    }
}
