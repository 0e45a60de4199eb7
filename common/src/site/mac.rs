//! Ethernet addresses, in whatever notation people type them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A 48-bit Ethernet address.
///
/// Reads `52:54:00:00:08:11`, `52-54-00-00-08-11`, `5254.0000.0811` and `525400000811`, in either case;
/// prints the first form in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The address with dashes, as loaders put it into URLs and file names (`52-54-00-00-08-11`).
    pub fn hyphenated(self) -> String {
        self.joined("-")
    }

    /// Whether the address names a group, which no single machine can own.
    pub fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }

    fn joined(self, separator: &str) -> String {
        self.0.map(|byte| format!("{byte:02x}")).join(separator)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.joined(":"))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacError;

impl fmt::Display for MacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a MAC address: twelve hexadecimal digits, such as 52:54:00:00:08:11")
    }
}

impl std::error::Error for MacError {}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let separated = |separator: char, width: usize| {
            text.split(separator).count() == 12 / width
                && text.split(separator).all(|part| part.len() == width)
        };
        let known_form = text.len() == 12
            || separated(':', 2)
            || separated('-', 2)
            || separated('.', 4)
            || separated('-', 4);
        if !known_form {
            return Err(MacError);
        }
        let digits: Vec<u32> = text
            .chars()
            .filter(|c| !matches!(c, ':' | '-' | '.'))
            .map(|c| c.to_digit(16))
            .collect::<Option<_>>()
            .ok_or(MacError)?;
        let mut bytes = [0; 6];
        if digits.len() != 12 {
            return Err(MacError);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (pair[0] << 4 | pair[1]) as u8;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_common_notation_is_one_address() {
        for text in
            ["52:54:00:0A:08:11", "52-54-00-0a-08-11", "5254.000a.0811", "5254000A0811", "5254-000a-0811"]
        {
            assert_eq!(text.parse(), Ok(Mac([0x52, 0x54, 0, 0x0a, 8, 0x11])), "{text}");
        }
    }

    #[test]
    fn near_misses_are_refused() {
        for text in [
            "",
            "52:54:00:0a:08",
            "52:54:00:0a:08:1",
            "52:54:00:0a:08:1g",
            "52:54-00:0a:08:11",
            "é2540000081",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(MacError), "{text}");
        }
    }
}
