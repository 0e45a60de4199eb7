//! Domain names in wire form (RFC 1035 section 3.1).

mod lower;
mod text;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

pub use lower::{LowerName, hash};
pub use text::write_text;

/// The longest name in wire form, its root label included (RFC 1035 section 2.3.4). Longer ones are refused.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest label (RFC 1035 section 2.3.4). Longer ones are refused.
pub const LABEL_BYTES_MAX: usize = 63;
/// The most labels that a name can have, the root not counted: 127 of one octet each.
pub const LABELS_MAX: usize = 127;

/// Why a text or some octets are no domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing there; the root is written as `.`.
    Empty,
    /// A label has no octets: two dots in a row, or a dot at the start.
    LabelEmpty,
    /// A label is longer than [`LABEL_BYTES_MAX`].
    LabelTooLong,
    /// The name is longer than [`NAME_BYTES_MAX`] in wire form.
    TooLong,
    /// A backslash is followed by neither a character nor three digits up to 255.
    Escape,
    /// A character beyond ASCII.
    NotAscii,
    /// The octets end before the root label.
    Truncated,
    /// A compression pointer or another reserved label type, where neither may be.
    LabelType,
    /// Octets follow the root label.
    Trailing,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the name is empty: write the root as \".\"",
            Self::LabelEmpty => "a label of the name is empty: remove the extra dot",
            Self::LabelTooLong => "a label of the name is longer than 63 octets",
            Self::TooLong => "the name is longer than 255 octets",
            Self::Escape => "a backslash must be followed by a character, or by three digits up to 255",
            Self::NotAscii => "the name has a character beyond ASCII: write the label in its xn-- form",
            Self::Truncated => "the name ends before its root label",
            Self::LabelType => "the name has a compression pointer or an unknown label type",
            Self::Trailing => "octets follow the end of the name",
        })
    }
}

impl std::error::Error for NameError {}

/// A domain name in wire form, uncompressed, its case kept. Equality and hash ignore ASCII case; the order is
/// the canonical one (RFC 4034 section 6.1).
#[derive(Clone)]
pub struct Name(Box<[u8]>);

impl Name {
    /// The root.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Reads an absolute name as master files write it (RFC 1035 section 5.1): `\.` is a dot inside a label,
    /// `\DDD` any octet. The dot at the end may be left out.
    ///
    /// # Errors
    /// What makes the text no name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        text::parse(text).map(Self)
    }

    /// Takes a name over from its uncompressed wire form.
    ///
    /// # Errors
    /// What makes the octets no name: pointers, a wrong length, anything behind the root label.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        match wire_len(wire)? {
            len if len == wire.len() => Ok(Self(wire.into())),
            _ => Err(NameError::Trailing),
        }
    }

    /// The wire form: labels with their lengths, and the root label.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The labels from left to right, without the root.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        labels_of(&self.0)
    }

    /// How many labels there are, without the root.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// The name without its first label; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        match self.0[0] {
            0 => None,
            len => Some(Self(self.0[usize::from(len) + 1..].into())),
        }
    }

    /// Whether this is `apex` or a name below it.
    pub fn is_within(&self, apex: &Self) -> bool {
        let Some(extra) = self.0.len().checked_sub(apex.0.len()) else { return false };
        // The tail must start at a label, not inside of one.
        let mut at = 0;
        while at < extra {
            at += usize::from(self.0[at]) + 1;
        }
        at == extra && self.0[extra..].eq_ignore_ascii_case(&apex.0)
    }

    /// The name with one more label in front.
    ///
    /// # Errors
    /// The label is empty or too long, or the name becomes too long.
    pub fn prepend(&self, label: &[u8]) -> Result<Self, NameError> {
        if label.is_empty() {
            return Err(NameError::LabelEmpty);
        }
        let Some(length) = u8::try_from(label.len()).ok().filter(|_| label.len() <= LABEL_BYTES_MAX) else {
            return Err(NameError::LabelTooLong);
        };
        if label.len() + 1 + self.0.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        let mut wire = Vec::with_capacity(label.len() + 1 + self.0.len());
        wire.push(length);
        wire.extend_from_slice(label);
        wire.extend_from_slice(&self.0);
        Ok(Self(wire.into()))
    }

    /// Whether the first label is a lone asterisk (RFC 4592 section 2.1.1).
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// The name in lower case.
    pub fn lower(&self) -> Self {
        Self(self.0.to_ascii_lowercase().into())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        // Lengths of labels are below 'A', so that comparing whole wire forms is safe.
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(LowerName::of(&self.0).as_wire());
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        let (own, others) = (LowerName::of(&self.0), LowerName::of(&other.0));
        own.canonical_cmp(&others)
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(&self.0, f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(&self.0, f)
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

/// The length of the uncompressed name at the start of `wire`, its root label included.
///
/// # Errors
/// Why there is none.
pub fn wire_len(wire: &[u8]) -> Result<usize, NameError> {
    let mut at = 0;
    loop {
        match wire.get(at) {
            None => return Err(NameError::Truncated),
            Some(0) if at < NAME_BYTES_MAX => return Ok(at + 1),
            Some(&length) if usize::from(length) <= LABEL_BYTES_MAX => at += usize::from(length) + 1,
            Some(_) => return Err(NameError::LabelType),
        }
        if at >= NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
    }
}

fn labels_of(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (&length, tail) = rest.split_first().filter(|(length, _)| **length != 0)?;
        let (label, tail) = tail.split_at_checked(usize::from(length))?;
        rest = tail;
        Some(label)
    })
}

#[cfg(test)]
mod tests;
