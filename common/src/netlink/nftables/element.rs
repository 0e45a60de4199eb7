//! Elements of sets and maps.

use std::time::Duration;

use super::Counters;
use super::expression::{Data, encode_value, encode_verdict};
use super::expression::{Expression, decode_list, encode_list};
use super::userdata::UserData;
use super::verdict::Verdict;
use crate::netlink::attribute::{Attributes, Builder, Malformed};

/// What a map has for a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ElementValue {
    /// Octets, as [`super::Key`] writes them.
    Data(Vec<u8>),
    /// A verdict.
    Verdict(Verdict),
    /// An object of the table.
    Object(String),
}

/// An element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Its key, or the lowest one of a range, as [`super::Key`] writes it; empty: [`Self::catch_all`].
    pub key: Vec<u8>,
    /// The highest keys of a range, field by field, in sets of concatenated ranges.
    pub key_end: Option<Vec<u8>>,
    /// In other sets of ranges: the first key that is not in the range any more.
    pub interval_end: bool,
    /// It stands for all keys that have no element.
    pub catch_all: bool,
    /// What the map has for it.
    pub value: Option<ElementValue>,
    /// When it goes; `None`: as the set says.
    pub timeout: Option<Duration>,
    /// In how long it goes; in dumps.
    pub expires: Option<Duration>,
    /// Counters and the like.
    pub expressions: Vec<Expression>,
    /// Comment and private data.
    pub userdata: UserData,
}

mod kind {
    pub(super) const KEY: u16 = 1;
    pub(super) const DATA: u16 = 2;
    pub(super) const FLAGS: u16 = 3;
    pub(super) const TIMEOUT: u16 = 4;
    pub(super) const EXPIRATION: u16 = 5;
    pub(super) const USERDATA: u16 = 6;
    pub(super) const EXPRESSION: u16 = 7;
    pub(super) const OBJECT: u16 = 9;
    pub(super) const KEY_END: u16 = 10;
    pub(super) const EXPRESSIONS: u16 = 11;
}

const INTERVAL_END: u32 = 1;
const CATCH_ALL: u32 = 2;

impl Element {
    /// The element of a key.
    pub fn new(key: impl Into<Vec<u8>>) -> Self {
        Self {
            key: key.into(),
            key_end: None,
            interval_end: false,
            catch_all: false,
            value: None,
            timeout: None,
            expires: None,
            expressions: Vec::new(),
            userdata: UserData::default(),
        }
    }

    /// The element of a map.
    pub fn with_value(key: impl Into<Vec<u8>>, value: ElementValue) -> Self {
        Self { value: Some(value), ..Self::new(key) }
    }

    /// The element of all keys that have no other.
    pub fn catch_all() -> Self {
        Self { catch_all: true, ..Self::new([]) }
    }

    /// The range from `first` to `last`, both included, for a set of ranges that is no concatenation.
    pub fn range(first: impl Into<Vec<u8>>, last: &[u8], value: Option<ElementValue>) -> Vec<Self> {
        let mut elements = vec![Self { value, ..Self::new(first) }];
        // Beyond the highest key there is none: the range is open.
        if let Some(after) = successor(last) {
            elements.push(Self { interval_end: true, ..Self::new(after) });
        }
        elements
    }

    /// The range of a prefix, for a set of ranges that is no concatenation.
    pub fn prefix(prefix: ipnet::IpNet, value: Option<ElementValue>) -> Vec<Self> {
        let octets = |address| super::Key::new().address(address).build();
        Self::range(octets(prefix.network()), &octets(prefix.broadcast()), value)
    }

    /// What its first counter has counted.
    pub fn counters(&self) -> Option<Counters> {
        self.expressions.iter().find_map(|expression| match expression {
            Expression::Counter(counters) => Some(*counters),
            _ => None,
        })
    }

    /// The address that its value begins with (`length` 4 or 16 octets), for maps to addresses.
    pub fn value_address(&self, length: usize) -> Option<std::net::IpAddr> {
        match &self.value {
            Some(ElementValue::Data(octets)) => super::data::address(octets.get(..length)?),
            _ => None,
        }
    }

    pub(super) fn encode(&self, into: &mut Builder) {
        let end = if self.interval_end { INTERVAL_END } else { 0 };
        let flags = end | if self.catch_all { CATCH_ALL } else { 0 };
        if flags != 0 {
            into.u32_be(kind::FLAGS, flags);
        }
        if !self.catch_all {
            encode_value(kind::KEY, &self.key, into);
        }
        if let Some(key_end) = &self.key_end {
            encode_value(kind::KEY_END, key_end, into);
        }
        match &self.value {
            None => {}
            Some(ElementValue::Data(value)) => encode_value(kind::DATA, value, into),
            Some(ElementValue::Verdict(verdict)) => encode_verdict(kind::DATA, verdict, into),
            Some(ElementValue::Object(name)) => into.text(kind::OBJECT, name),
        }
        if let Some(timeout) = self.timeout {
            into.u64_be(kind::TIMEOUT, timeout.as_millis() as u64);
        }
        match self.expressions.as_slice() {
            [] => {}
            [expression] => into.nest(kind::EXPRESSION, |one| expression.encode(one)),
            expressions => into.nest(kind::EXPRESSIONS, |list| encode_list(expressions, list)),
        }
        self.userdata.encode(kind::USERDATA, into);
    }

    pub(super) fn decode(attributes: Attributes<'_>) -> Result<Self, Malformed> {
        let fields = attributes.fields()?;
        let mut element = Self::new([]);
        let flags = fields.u32_be(kind::FLAGS)?.unwrap_or_default();
        element.interval_end = flags & INTERVAL_END != 0;
        element.catch_all = flags & CATCH_ALL != 0;
        if let Some(key) = fields.get(kind::KEY) {
            element.key = Data::value(key)?;
        }
        element.key_end = fields.get(kind::KEY_END).map(Data::value).transpose()?;
        element.value = match (fields.get(kind::DATA), fields.get(kind::OBJECT)) {
            (Some(data), _) => Some(match Data::decode(data)? {
                Data::Value(value) => ElementValue::Data(value),
                Data::Verdict(verdict) => ElementValue::Verdict(verdict),
            }),
            (None, Some(object)) => Some(ElementValue::Object(object.text()?.to_owned())),
            (None, None) => None,
        };
        element.timeout = fields.u64_be(kind::TIMEOUT)?.map(Duration::from_millis);
        element.expires = fields.u64_be(kind::EXPIRATION)?.map(Duration::from_millis);
        element.expressions = match (fields.get(kind::EXPRESSIONS), fields.get(kind::EXPRESSION)) {
            (Some(list), _) => decode_list(list.nested())?,
            (None, Some(one)) => vec![Expression::decode(one.nested())?],
            (None, None) => Vec::new(),
        };
        if let Some(data) = fields.get(kind::USERDATA) {
            element.userdata = UserData::from_bytes(data.payload);
        }
        Ok(element)
    }
}

/// The next key; `None` after the highest one.
fn successor(key: &[u8]) -> Option<Vec<u8>> {
    let mut next = key.to_vec();
    for octet in next.iter_mut().rev() {
        *octet = octet.wrapping_add(1);
        if *octet != 0 {
            return Some(next);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_before_the_next_key() {
        let range = Element::range([10, 0, 0, 0], &[10, 0, 0, 255], None);
        assert_eq!(range[0].key, [10, 0, 0, 0]);
        assert_eq!((range[1].key.as_slice(), range[1].interval_end), (&[10, 0, 1, 0][..], true));
    }

    #[test]
    fn a_range_to_the_highest_key_is_open() {
        assert_eq!(Element::range([255, 0], &[255, 255], None).len(), 1);
        assert_eq!(Element::prefix("0.0.0.0/0".parse().unwrap(), None).len(), 1);
        assert_eq!(Element::prefix("10.0.0.0/8".parse().unwrap(), None)[1].key, [11, 0, 0, 0]);
    }
}
