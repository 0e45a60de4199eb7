//! Objects with state that rules and maps share: named counters, quotas, limits, connection limits.

use super::Counters;
use super::expression::{
    Limit, Quota, decode_connection_limit, decode_limit, decode_quota, encode_connection_limit, encode_limit,
    encode_quota,
};
use super::table::{Family, TableId};
use super::userdata::UserData;
use crate::netlink::attribute::{Attributes, Builder, Fields, Malformed};

/// Kinds of objects (`NFT_OBJECT_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A counter.
    Counter,
    /// A quota.
    Quota,
    /// A rate.
    Limit,
    /// A limit of connections.
    ConnectionLimit,
    /// Another one: helpers, time-outs, expectations, tunnels, …
    Other(u32),
}

impl ObjectKind {
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Counter => 1,
            Self::Quota => 2,
            Self::Limit => 4,
            Self::ConnectionLimit => 5,
            Self::Other(number) => number,
        }
    }

    pub(super) fn from_number(number: u32) -> Result<Self, Malformed> {
        Ok(match number {
            0 => return Err(Malformed::new("an object without a type")),
            1 => Self::Counter,
            2 => Self::Quota,
            4 => Self::Limit,
            5 => Self::ConnectionLimit,
            other => Self::Other(other),
        })
    }
}

/// What an object is and knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectState {
    /// What was counted.
    Counter(Counters),
    /// A quota.
    Quota(Quota),
    /// A rate.
    Limit(Limit),
    /// A limit of connections.
    ConnectionLimit {
        /// How many.
        count: u32,
        /// Goes on if there are more instead.
        above: bool,
    },
    /// Another one, with its attributes as the kernel gave them.
    Other(u32, Vec<u8>),
}

impl ObjectState {
    /// Of which kind it is.
    pub fn kind(&self) -> ObjectKind {
        match self {
            Self::Counter(_) => ObjectKind::Counter,
            Self::Quota(_) => ObjectKind::Quota,
            Self::Limit(_) => ObjectKind::Limit,
            Self::ConnectionLimit { .. } => ObjectKind::ConnectionLimit,
            Self::Other(number, _) => ObjectKind::Other(*number),
        }
    }
}

/// An object of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its table.
    pub table: TableId,
    /// Its name, which is its kind's own: at most 255 octets.
    pub name: String,
    /// What it is and knows.
    pub state: ObjectState,
    /// Comment and private data.
    pub userdata: UserData,
    /// How many rules and elements refer to it; set in dumps.
    pub uses: u32,
    /// The kernel's number; set in dumps.
    pub handle: Option<u64>,
}

mod kind {
    pub(super) const TABLE: u16 = 1;
    pub(super) const NAME: u16 = 2;
    pub(super) const TYPE: u16 = 3;
    pub(super) const DATA: u16 = 4;
    pub(super) const USE: u16 = 5;
    pub(super) const HANDLE: u16 = 6;
    pub(super) const USERDATA: u16 = 8;
}

impl Object {
    /// An object.
    pub fn new(table: &TableId, name: impl Into<String>, state: ObjectState) -> Self {
        let userdata = UserData::default();
        Self { table: table.clone(), name: name.into(), state, userdata, uses: 0, handle: None }
    }

    /// A counter that starts at nothing.
    pub fn counter(table: &TableId, name: impl Into<String>) -> Self {
        Self::new(table, name, ObjectState::Counter(Counters::default()))
    }

    pub(super) fn encode(&self, into: &mut Builder) {
        Self::encode_name(&self.table, &self.name, self.state.kind(), into);
        match &self.state {
            ObjectState::Counter(counters) => into.nest(kind::DATA, |data| counters.encode(data)),
            ObjectState::Quota(quota) => into.nest(kind::DATA, |data| encode_quota(quota, data)),
            ObjectState::Limit(limit) => into.nest(kind::DATA, |data| encode_limit(limit, data)),
            ObjectState::ConnectionLimit { count, above } => {
                into.nest(kind::DATA, |data| encode_connection_limit(*count, *above, data));
            }
            ObjectState::Other(_, data) => into.bytes(kind::DATA, data),
        }
        self.userdata.encode(kind::USERDATA, into);
    }

    pub(super) fn encode_name(table: &TableId, name: &str, object: ObjectKind, into: &mut Builder) {
        into.text(kind::TABLE, &table.name);
        into.text(kind::NAME, name);
        into.u32_be(kind::TYPE, object.number());
    }

    /// All objects of a table, or those of one kind: for listing.
    pub(super) fn encode_table(table: &TableId, object: Option<ObjectKind>, into: &mut Builder) {
        into.text(kind::TABLE, &table.name);
        if let Some(object) = object {
            into.u32_be(kind::TYPE, object.number());
        }
    }

    pub(super) fn decode(family: Family, attributes: Attributes<'_>) -> Result<Self, Malformed> {
        let fields = attributes.fields()?;
        let text = |kind, what| Ok(fields.need(kind, what)?.text()?.to_owned());
        let table = TableId::new(family, text(kind::TABLE, "an object without its table")?);
        let number = fields.need(kind::TYPE, "an object without its type")?.u32_be()?;
        let raw = fields.get(kind::DATA).map_or(&[][..], |data| data.payload);
        let data: Fields<'_> = Attributes::new(raw).fields()?;
        let state = match ObjectKind::from_number(number)? {
            ObjectKind::Counter => ObjectState::Counter(Counters::from_fields(&data)?),
            ObjectKind::Quota => ObjectState::Quota(decode_quota(&data)?),
            ObjectKind::Limit => ObjectState::Limit(decode_limit(&data)?),
            ObjectKind::ConnectionLimit => {
                let (count, above) = decode_connection_limit(&data)?;
                ObjectState::ConnectionLimit { count, above }
            }
            ObjectKind::Other(number) => ObjectState::Other(number, raw.to_vec()),
        };
        let mut object = Self::new(&table, text(kind::NAME, "an object without its name")?, state);
        object.uses = fields.u32_be(kind::USE)?.unwrap_or_default();
        object.handle = fields.u64_be(kind::HANDLE)?;
        if let Some(data) = fields.get(kind::USERDATA) {
            object.userdata = UserData::from_bytes(data.payload);
        }
        Ok(object)
    }
}
