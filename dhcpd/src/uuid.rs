//! The UUID by which a machine is known (RFC 4578 section 2.3).

use std::fmt;

/// A machine's UUID (option 97) in the byte order of the wire; prints as people write it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// UUIDs that boards carry before anybody gave them one; they name no single machine.
const PLACEHOLDERS: [[u8; 16]; 5] = [
    [0; 16],
    [0xff; 16],
    [0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9],
    [3, 0, 2, 0, 4, 0, 5, 0, 0, 6, 0, 7, 0, 8, 0, 9],
    [0x12, 0x34, 0x56, 0x78, 0x90, 0xab, 0xcd, 0xef, 0x12, 0x34, 0x56, 0x78, 0x90, 0xab, 0xcd, 0xef],
];

impl Uuid {
    /// The UUID in a value of option 97 (RFC 4578 section 2.3): type 0 and 16 bytes that name a machine.
    pub fn of_option(value: &[u8]) -> Option<Self> {
        let bytes: [u8; 16] = value.strip_prefix(&[0])?.try_into().ok()?;
        (!PLACEHOLDERS.contains(&bytes)).then_some(Self(bytes))
    }

    /// The UUID that people and `dmidecode` write as `4e420000-0000-4000-8000-000000000011`; its first three
    /// fields go over the wire in the other byte order, as SMBIOS 2.6 stores them. `None` if the text is
    /// no UUID.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text
            .chars()
            .filter(|&c| c != '-')
            .map(|c| c.to_digit(16).map(|d| d as u8))
            .collect::<Option<_>>()?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        if digits.len() != 32 {
            return None;
        }
        Some(Self(bytes.try_into().ok()?).swapped())
    }

    /// The same UUID with its first three fields in the other byte order.
    ///
    /// Firmware of before SMBIOS 2.6 sends what is printed; a machine is known by either.
    #[must_use]
    pub fn swapped(self) -> Self {
        let mut bytes = self.0;
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        Self(bytes)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.swapped().0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d19_only_a_whole_uuid_that_names_one_machine_counts() {
        let uuid = |value: &[u8]| Uuid::of_option(value);
        assert_eq!(uuid(&[]), None);
        assert_eq!(uuid(&[0; 17]), None, "all zeros");
        assert_eq!(uuid(&[1; 17]), None, "type 1");
        assert_eq!(uuid(&[0; 255]), None);
        let mut value = [0u8; 17];
        value[1..5].copy_from_slice(&[0x4e, 0x42, 0, 0]);
        assert_eq!(uuid(&value).unwrap().to_string(), "0000424e-0000-0000-0000-000000000000");
        assert_eq!(uuid(&value), Uuid::parse("0000424e-0000-0000-0000-000000000000"));
        assert_eq!(uuid(&value).unwrap().swapped().to_string(), "4e420000-0000-0000-0000-000000000000");
        assert_eq!(Uuid::parse("4e42"), None);
    }
}
