//! What the kernel keeps for user space beside tables, chains, rules, sets, elements and objects.

use crate::netlink::attribute::Builder;

/// Entries of a number (0–255) and up to 255 octets each, together at most [`USERDATA_BYTES_MAX`].
///
/// The form is the one that `nft` reads: entry 0 of a rule, table, chain, element or object is its comment; a set has
/// its comment in entry 7 and the byte order of keys and values in entries 0 and 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UserData(Vec<u8>);

/// The kernel takes no more (`NFT_USERDATA_MAXLEN`). Entries that would go beyond are left out by [`UserData::push`].
pub const USERDATA_BYTES_MAX: usize = 256;

/// The entry with the comment, everywhere but in sets.
pub const ENTRY_COMMENT: u8 = 0;
/// The entry with the comment of a set.
pub const ENTRY_SET_COMMENT: u8 = 7;

impl UserData {
    /// What the kernel returned, as it is.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Only a comment, as `nft list ruleset` shows it beside a rule, table, chain, element or object. What is beyond
    /// the 254th octet is cut off.
    pub fn comment(comment: &str) -> Self {
        let mut data = Self::default();
        data.push_text(ENTRY_COMMENT, comment);
        data
    }

    /// Adds an entry. One that does not fit is left out, and the answer is `false`.
    pub fn push(&mut self, entry: u8, bytes: &[u8]) -> bool {
        let Ok(length) = u8::try_from(bytes.len()) else { return false };
        if self.0.len() + 2 + bytes.len() > USERDATA_BYTES_MAX {
            return false;
        }
        self.0.extend_from_slice(&[entry, length]);
        self.0.extend_from_slice(bytes);
        true
    }

    /// Adds a text that ends with NUL, cut at a character so that it fits.
    pub fn push_text(&mut self, entry: u8, text: &str) {
        let room = USERDATA_BYTES_MAX.saturating_sub(self.0.len() + 3).min(254);
        let mut end = text.len().min(room);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut bytes = text.as_bytes()[..end].to_vec();
        bytes.push(0);
        self.push(entry, &bytes);
    }

    /// The octets of an entry.
    pub fn entry(&self, entry: u8) -> Option<&[u8]> {
        let mut rest = self.0.as_slice();
        while let [number, length, tail @ ..] = rest {
            let value = tail.get(..usize::from(*length))?;
            if *number == entry {
                return Some(value);
            }
            rest = &tail[usize::from(*length)..];
        }
        None
    }

    /// The text of an entry, without its NUL.
    pub fn text(&self, entry: u8) -> Option<&str> {
        let bytes = self.entry(entry)?;
        std::str::from_utf8(bytes.strip_suffix(&[0]).unwrap_or(bytes)).ok()
    }

    /// All octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn encode(&self, kind: u16, into: &mut Builder) {
        if !self.0.is_empty() {
            into.bytes(kind, &self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_comment_is_cut_at_a_character() {
        let data = UserData::comment(&"ö".repeat(200));
        assert_eq!(data.text(ENTRY_COMMENT), Some("ö".repeat(126).as_str()));
        assert!(data.as_bytes().len() <= USERDATA_BYTES_MAX);
    }

    #[test]
    fn an_entry_that_does_not_fit_is_left_out() {
        let mut data = UserData::default();
        assert!(data.push(9, &[1; 200]));
        assert!(!data.push(10, &[1; 60]));
        assert_eq!(data.entry(9), Some(&[1u8; 200][..]));
        assert_eq!(data.entry(10), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), entry: u8) {
            let data = UserData::from_bytes(&bytes);
            let _ = (data.entry(entry), data.text(entry));
        }
    }
}
