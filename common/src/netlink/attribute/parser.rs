//! Reading attributes: strictly, and never beyond their ends.

use std::fmt;

use super::{ALIGNMENT, HEADER_BYTES, KIND_MASK};

/// What is wrong with octets that should be a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(&'static str);

impl Malformed {
    /// What is wrong, in words: "an attribute that is cut short".
    pub const fn new(what: &'static str) -> Self {
        Self(what)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// Attributes, one after the other. After an error there is none.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(&'a [u8]);

/// An attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its number, without marks.
    pub kind: u16,
    /// Its octets.
    pub payload: &'a [u8],
}

/// How many kinds [`Fields`] keeps; those with higher numbers are left out, as unknown ones are.
const FIELDS: usize = 64;

/// Attributes by kind. Of several of one kind, the last counts.
#[derive(Clone, Debug)]
pub struct Fields<'a>([Option<Attribute<'a>>; FIELDS]);

impl<'a> Attributes<'a> {
    /// The attributes in these octets.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// All of them, by kind.
    ///
    /// # Errors
    /// One of them is cut short.
    pub fn fields(self) -> Result<Fields<'a>, Malformed> {
        let mut fields = [None; FIELDS];
        for attribute in self {
            let attribute = attribute?;
            if let Some(field) = fields.get_mut(usize::from(attribute.kind)) {
                *field = Some(attribute);
            }
        }
        Ok(Fields(fields))
    }

    fn split(&mut self) -> Option<Attribute<'a>> {
        let [low, high, kind_low, kind_high, ..] = *self.0 else { return None };
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let payload = self.0.get(HEADER_BYTES..length)?;
        // The last one may come without its padding.
        self.0 = self.0.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some(Attribute { kind: u16::from_ne_bytes([kind_low, kind_high]) & KIND_MASK, payload })
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let attribute = self.split();
        if attribute.is_none() {
            self.0 = &[];
        }
        Some(attribute.ok_or(Malformed::new("an attribute that is cut short")))
    }
}

impl<'a> Attribute<'a> {
    fn array<const N: usize>(self) -> Result<[u8; N], Malformed> {
        self.payload.try_into().map_err(|_| Malformed::new("a number of another length than it should have"))
    }

    /// One octet.
    ///
    /// # Errors
    /// It is of another length.
    pub fn u8(self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[octet]| octet)
    }

    /// A number in the order of the network.
    ///
    /// # Errors
    /// It is of another length.
    pub fn u16_be(self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// A number in the order of the network.
    ///
    /// # Errors
    /// It is of another length.
    pub fn u32_be(self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// A number in the order of the network.
    ///
    /// # Errors
    /// It is of another length.
    pub fn u64_be(self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// A number in the order of the machine.
    ///
    /// # Errors
    /// It is of another length.
    pub fn u32(self) -> Result<u32, Malformed> {
        self.array().map(u32::from_ne_bytes)
    }

    /// A text, with or without a NUL at its end.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn text(self) -> Result<&'a str, Malformed> {
        let end = self.payload.iter().position(|octet| *octet == 0).unwrap_or(self.payload.len());
        std::str::from_utf8(&self.payload[..end]).map_err(|_| Malformed::new("a text that is not UTF-8"))
    }

    /// An IPv4 or IPv6 address.
    ///
    /// # Errors
    /// It has neither 4 nor 16 octets.
    pub fn address(self) -> Result<std::net::IpAddr, Malformed> {
        match self.payload.len() {
            4 => self.array::<4>().map(Into::into),
            _ => self.array::<16>().map(Into::into),
        }
    }

    /// The attributes of which it consists.
    pub fn nested(self) -> Attributes<'a> {
        Attributes::new(self.payload)
    }
}

impl<'a> Fields<'a> {
    /// The attribute of a kind.
    pub fn get(&self, kind: u16) -> Option<Attribute<'a>> {
        self.0.get(usize::from(kind)).copied().flatten()
    }

    /// The attribute of a kind that must be there.
    ///
    /// # Errors
    /// It is not; `what` says so: "a set without its name".
    pub fn need(&self, kind: u16, what: &'static str) -> Result<Attribute<'a>, Malformed> {
        self.get(kind).ok_or(Malformed::new(what))
    }

    /// One octet, if it is there.
    ///
    /// # Errors
    /// It is of another length.
    pub fn u8(&self, kind: u16) -> Result<Option<u8>, Malformed> {
        self.get(kind).map(Attribute::u8).transpose()
    }

    /// A number in the order of the network, if it is there.
    ///
    /// # Errors
    /// It is of another length.
    pub fn u16_be(&self, kind: u16) -> Result<Option<u16>, Malformed> {
        self.get(kind).map(Attribute::u16_be).transpose()
    }

    /// A number in the order of the network, if it is there.
    ///
    /// # Errors
    /// It is of another length.
    pub fn u32_be(&self, kind: u16) -> Result<Option<u32>, Malformed> {
        self.get(kind).map(Attribute::u32_be).transpose()
    }

    /// A number in the order of the network, if it is there.
    ///
    /// # Errors
    /// It is of another length.
    pub fn u64_be(&self, kind: u16) -> Result<Option<u64>, Malformed> {
        self.get(kind).map(Attribute::u64_be).transpose()
    }

    /// A number in the order of the machine, if it is there.
    ///
    /// # Errors
    /// It is of another length.
    pub fn u32(&self, kind: u16) -> Result<Option<u32>, Malformed> {
        self.get(kind).map(Attribute::u32).transpose()
    }
}
