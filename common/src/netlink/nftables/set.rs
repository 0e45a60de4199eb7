//! Sets and maps.

use std::time::Duration;

use super::data::DataType;
use super::expression::{Expression, decode_list, encode_list};
use super::object::ObjectKind;
use super::table::{Family, TableId};
use super::userdata::UserData;
use crate::netlink::attribute::{Attributes, Builder, Malformed};

/// What a map has for its keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SetValue {
    /// A verdict.
    Verdict,
    /// Values, side by side.
    Data(Vec<DataType>),
    /// An object of the table.
    Object(ObjectKind),
}

/// How a set behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SetFlags {
    /// It goes with the last rule that uses it, and its name may contain `%d` for a number.
    pub anonymous: bool,
    /// It does not change once a rule uses it.
    pub constant: bool,
    /// Its keys are ranges.
    pub interval: bool,
    /// Its elements can go by themselves.
    pub timeout: bool,
    /// Rules write to it ([`super::DynamicSet`]).
    pub dynamic: bool,
}

/// A set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its table.
    pub table: TableId,
    /// Its name: at most 255 octets.
    pub name: String,
    /// What its keys are, side by side: at most 16 words, at most 5 types where `nft` is to show them.
    pub key: Vec<DataType>,
    /// What it has for its keys; `None`: it is no map.
    pub value: Option<SetValue>,
    /// How it behaves.
    pub flags: SetFlags,
    /// When elements go that do not say otherwise.
    pub timeout: Option<Duration>,
    /// How often gone elements are cleared away; `None`: the kernel decides.
    pub collection: Option<Duration>,
    /// How many elements it takes; `None`: no bound (dynamic: 65535).
    pub size: Option<u32>,
    /// What each element has: counters, limits, …; at most 2.
    pub expressions: Vec<Expression>,
    /// Comment and private data. Where empty, what `nft` needs to show numbers in the order of the machine is added.
    pub userdata: UserData,
    /// A number within the transaction, by which rules find a set without a name of its own.
    pub id: Option<u32>,
    /// The kernel's number; set in dumps.
    pub handle: Option<u64>,
}

mod kind {
    pub(super) const TABLE: u16 = 1;
    pub(super) const NAME: u16 = 2;
    pub(super) const FLAGS: u16 = 3;
    pub(super) const KEY_TYPE: u16 = 4;
    pub(super) const KEY_LENGTH: u16 = 5;
    pub(super) const DATA_TYPE: u16 = 6;
    pub(super) const DATA_LENGTH: u16 = 7;
    pub(super) const DESCRIPTION: u16 = 9;
    pub(super) const ID: u16 = 10;
    pub(super) const TIMEOUT: u16 = 11;
    pub(super) const COLLECTION: u16 = 12;
    pub(super) const USERDATA: u16 = 13;
    pub(super) const OBJECT: u16 = 15;
    pub(super) const HANDLE: u16 = 16;
    pub(super) const EXPRESSION: u16 = 17;
    pub(super) const EXPRESSIONS: u16 = 18;
    pub(super) const DESCRIPTION_SIZE: u16 = 1;
    pub(super) const DESCRIPTION_CONCATENATION: u16 = 2;
    pub(super) const LIST_ELEMENT: u16 = 1;
    pub(super) const FIELD_LENGTH: u16 = 1;
}

mod flag {
    pub(super) const ANONYMOUS: u32 = 0x1;
    pub(super) const CONSTANT: u32 = 0x2;
    pub(super) const INTERVAL: u32 = 0x4;
    pub(super) const MAP: u32 = 0x8;
    pub(super) const TIMEOUT: u32 = 0x10;
    pub(super) const DYNAMIC: u32 = 0x20;
    pub(super) const OBJECT: u32 = 0x40;
    pub(super) const CONCATENATION: u32 = 0x80;
    pub(super) const EXPRESSIONS: u32 = 0x100;
}

/// The type that stands for verdicts (`NFT_DATA_VERDICT`).
const VERDICT_TYPE: u32 = 0xffff_ff00;
/// Entries of the user data of a set, in which `nft` looks for the byte order of keys and values; 1: the machine's.
const ENTRY_KEY_ORDER: u8 = 0;
const ENTRY_DATA_ORDER: u8 = 1;
const HOST_ORDER: u32 = 1;

impl Set {
    /// A set of keys.
    pub fn new(table: &TableId, name: impl Into<String>, key: impl Into<Vec<DataType>>) -> Self {
        Self {
            table: table.clone(),
            name: name.into(),
            key: key.into(),
            value: None,
            flags: SetFlags::default(),
            timeout: None,
            collection: None,
            size: None,
            expressions: Vec::new(),
            userdata: UserData::default(),
            id: None,
            handle: None,
        }
    }

    /// A map from keys to values.
    pub fn map(
        table: &TableId,
        name: impl Into<String>,
        key: impl Into<Vec<DataType>>,
        value: impl Into<Vec<DataType>>,
    ) -> Self {
        Self { value: Some(SetValue::Data(value.into())), ..Self::new(table, name, key) }
    }

    /// A map from keys to verdicts.
    pub fn verdict_map(table: &TableId, name: impl Into<String>, key: impl Into<Vec<DataType>>) -> Self {
        Self { value: Some(SetValue::Verdict), ..Self::new(table, name, key) }
    }

    /// The same with other flags.
    #[must_use]
    pub fn with_flags(mut self, flags: SetFlags) -> Self {
        self.flags = flags;
        self
    }

    /// The same with at most so many elements.
    #[must_use]
    pub fn with_size(mut self, size: u32) -> Self {
        self.size = Some(size);
        self
    }

    /// The same whose elements go after that time.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self.flags.timeout = true;
        self
    }

    /// The same with a counter in each element.
    #[must_use]
    pub fn with_counters(mut self) -> Self {
        self.expressions = vec![Expression::COUNTER];
        self
    }

    pub(super) fn encode(&self, into: &mut Builder) {
        Self::encode_name(&self.table, &self.name, into);
        into.u32_be(kind::FLAGS, self.flags_number());
        into.u32_be(kind::KEY_TYPE, DataType::concatenation(&self.key));
        into.u32_be(kind::KEY_LENGTH, DataType::total(&self.key));
        match &self.value {
            None => {}
            Some(SetValue::Verdict) => into.u32_be(kind::DATA_TYPE, VERDICT_TYPE),
            Some(SetValue::Data(types)) => {
                into.u32_be(kind::DATA_TYPE, DataType::concatenation(types));
                into.u32_be(kind::DATA_LENGTH, DataType::total(types));
            }
            Some(SetValue::Object(object)) => into.u32_be(kind::OBJECT, object.number()),
        }
        // The kernel wants a number of every set that a transaction makes.
        into.u32_be(kind::ID, self.id.unwrap_or(0));
        self.encode_description(into);
        if let Some(timeout) = self.timeout {
            into.u64_be(kind::TIMEOUT, timeout.as_millis() as u64);
        }
        if let Some(interval) = self.collection {
            into.u32_be(kind::COLLECTION, interval.as_millis() as u32);
        }
        self.user_data().encode(kind::USERDATA, into);
        match self.expressions.as_slice() {
            [] => {}
            [expression] => into.nest(kind::EXPRESSION, |one| expression.encode(one)),
            expressions => into.nest(kind::EXPRESSIONS, |list| encode_list(expressions, list)),
        }
    }

    pub(super) fn encode_name(table: &TableId, name: &str, into: &mut Builder) {
        into.text(kind::TABLE, &table.name);
        into.text(kind::NAME, name);
    }

    /// All sets of a table: for listing.
    pub(super) fn encode_table(table: &TableId, into: &mut Builder) {
        into.text(kind::TABLE, &table.name);
    }

    fn encode_description(&self, into: &mut Builder) {
        let concatenated_ranges = self.is_range_concatenation();
        if self.size.is_none() && !concatenated_ranges {
            return;
        }
        into.nest(kind::DESCRIPTION, |description| {
            if let Some(size) = self.size {
                description.u32_be(kind::DESCRIPTION_SIZE, size);
            }
            if concatenated_ranges {
                description.nest(kind::DESCRIPTION_CONCATENATION, |list| {
                    for part in &self.key {
                        list.nest(kind::LIST_ELEMENT, |field| {
                            field.u32_be(kind::FIELD_LENGTH, part.octets());
                        });
                    }
                });
            }
        });
    }

    fn is_range_concatenation(&self) -> bool {
        self.flags.interval && self.key.len() > 1
    }

    fn flags_number(&self) -> u32 {
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        flag(self.flags.anonymous, flag::ANONYMOUS)
            | flag(self.flags.constant, flag::CONSTANT)
            | flag(self.flags.interval, flag::INTERVAL)
            | flag(self.flags.timeout, flag::TIMEOUT)
            | flag(self.flags.dynamic, flag::DYNAMIC)
            | flag(matches!(self.value, Some(SetValue::Verdict | SetValue::Data(_))), flag::MAP)
            | flag(matches!(self.value, Some(SetValue::Object(_))), flag::OBJECT)
            | flag(self.is_range_concatenation(), flag::CONCATENATION)
            | flag(self.expressions.len() > 1, flag::EXPRESSIONS)
    }

    fn user_data(&self) -> UserData {
        let mut data = self.userdata.clone();
        let is_host = |types: &[DataType]| matches!(types, [only] if only.is_in_host_order());
        if data.as_bytes().is_empty() {
            if is_host(&self.key) {
                data.push(ENTRY_KEY_ORDER, &HOST_ORDER.to_ne_bytes());
            }
            if matches!(&self.value, Some(SetValue::Data(types)) if is_host(types)) {
                data.push(ENTRY_DATA_ORDER, &HOST_ORDER.to_ne_bytes());
            }
        }
        data
    }

    pub(super) fn decode(family: Family, attributes: Attributes<'_>) -> Result<Self, Malformed> {
        let fields = attributes.fields()?;
        let text = |kind, what| Ok(fields.need(kind, what)?.text()?.to_owned());
        let table = TableId::new(family, text(kind::TABLE, "a set without its table")?);
        let number = |kind| Ok(fields.u32_be(kind)?.unwrap_or_default());
        let flags = number(kind::FLAGS)?;
        let mut set = Self::new(&table, text(kind::NAME, "a set without its name")?, Vec::new());
        set.key = DataType::parts(number(kind::KEY_TYPE)?, number(kind::KEY_LENGTH)?);
        set.value = if let Some(object) = fields.u32_be(kind::OBJECT)?.filter(|_| flags & flag::OBJECT != 0) {
            Some(SetValue::Object(ObjectKind::from_number(object)?))
        } else if flags & flag::MAP == 0 {
            None
        } else {
            Some(match number(kind::DATA_TYPE)? {
                VERDICT_TYPE => SetValue::Verdict,
                types => SetValue::Data(DataType::parts(types, number(kind::DATA_LENGTH)?)),
            })
        };
        set.flags = SetFlags {
            anonymous: flags & flag::ANONYMOUS != 0,
            constant: flags & flag::CONSTANT != 0,
            interval: flags & flag::INTERVAL != 0,
            timeout: flags & flag::TIMEOUT != 0,
            dynamic: flags & flag::DYNAMIC != 0,
        };
        set.timeout = fields.u64_be(kind::TIMEOUT)?.filter(|millis| *millis != 0).map(Duration::from_millis);
        let interval = fields.u32_be(kind::COLLECTION)?.filter(|millis| *millis != 0);
        set.collection = interval.map(|millis| Duration::from_millis(millis.into()));
        if let Some(description) = fields.get(kind::DESCRIPTION) {
            let size = description.nested().fields()?.u32_be(kind::DESCRIPTION_SIZE)?;
            set.size = size.filter(|size| *size != 0);
        }
        set.userdata =
            fields.get(kind::USERDATA).map(|data| UserData::from_bytes(data.payload)).unwrap_or_default();
        set.expressions = match (fields.get(kind::EXPRESSIONS), fields.get(kind::EXPRESSION)) {
            (Some(list), _) => decode_list(list.nested())?,
            (None, Some(one)) => vec![Expression::decode(one.nested())?],
            (None, None) => Vec::new(),
        };
        set.handle = fields.u64_be(kind::HANDLE)?;
        Ok(set)
    }

    /// Whether it is the same set as `other` wants it to be, so that only elements need to change.
    pub fn is_same(&self, other: &Self) -> bool {
        let steps = |set: &Self| set.expressions.iter().map(Expression::without_state).collect::<Vec<_>>();
        let value = |set: &Self| match &set.value {
            Some(SetValue::Data(types)) => {
                (Some(DataType::concatenation(types)), Some(DataType::total(types)))
            }
            Some(SetValue::Verdict) => (Some(VERDICT_TYPE), None),
            Some(SetValue::Object(object)) => (None, Some(object.number())),
            None => (None, None),
        };
        self.table == other.table
            && self.name == other.name
            && DataType::concatenation(&self.key) == DataType::concatenation(&other.key)
            && DataType::total(&self.key) == DataType::total(&other.key)
            && value(self) == value(other)
            && self.flags_number() == other.flags_number()
            && self.timeout == other.timeout
            && self.size == other.size
            && self.user_data() == other.user_data()
            && steps(self) == steps(other)
    }
}
