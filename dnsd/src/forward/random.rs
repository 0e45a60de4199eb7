//! Everything about a query that a forger must guess, from a cryptographically secure generator (RFC 5452
//! section 9.2, RFC 6056).

use std::ops::RangeInclusive;

use rand::RngExt;

/// The local ports of queries: all that need no privilege (RFC 6056 section 3.2).
pub const PORTS: RangeInclusive<u16> = 1024..=65535;

/// A message id.
pub fn id() -> u16 {
    rand::rng().random()
}

/// A local port.
pub fn port() -> u16 {
    rand::rng().random_range(PORTS)
}

/// A client cookie (RFC 7873 section 4.1).
pub fn cookie() -> [u8; 8] {
    rand::rng().random()
}

/// Gives every letter of `name`, in wire form, a case of its own ("0x20").
pub fn mix_case(name: &mut [u8]) {
    let mut rng = rand::rng();
    let mut at = 0;
    while let Some(&length) = name.get(at) {
        let end = (at + 1 + usize::from(length)).min(name.len());
        if length == 0 {
            return;
        }
        for letter in &mut name[at + 1..end] {
            if letter.is_ascii_alphabetic() && rng.random() {
                *letter ^= 0x20;
            }
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn mixed_case_changes_letters_and_nothing_else() {
        // A label of 65 octets cannot be; one of 0x41 octets would look like a letter, so lengths matter.
        let name = b"\x0aab-c_1xyzq\x03com\x00".to_vec();
        let mut seen = HashSet::new();
        for _ in 0..200 {
            let mut mixed = name.clone();
            mix_case(&mut mixed);
            assert!(mixed.eq_ignore_ascii_case(&name));
            seen.insert(mixed);
        }
        assert!(seen.len() > 100, "only {} spellings", seen.len());
    }

    #[test]
    fn ten_thousand_ids_and_ports_cover_their_ranges_evenly() {
        // 64 buckets of 156 expected hits, each with a deviation of 12.4: seven deviations either way.
        let spread = |draw: &dyn Fn() -> u32, span: u32| {
            let mut buckets = [0u32; 64];
            for _ in 0..10_000 {
                buckets[(draw() * 64 / span) as usize] += 1;
            }
            assert!(buckets.iter().all(|&hits| (70..=243).contains(&hits)), "{buckets:?}");
        };
        spread(&|| u32::from(id()), 65_536);
        spread(&|| u32::from(port()) - 1024, 64_512);
        let pairs: HashSet<(u16, u16)> = (0..10_000).map(|_| (id(), port())).collect();
        assert!(pairs.len() > 9_990, "pairs repeat");
    }
}
