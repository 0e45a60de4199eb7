//! Changes that others, or we, have made.

use super::chain::Chain;
use super::client::{Generation, decode_generation, is};
use super::element::Element;
use super::object::Object;
use super::rule::Rule;
use super::set::Set;
use super::table::{Family, Table};
use super::{SUBSYSTEM, message as number};
use crate::netlink::attribute::{Attribute, Attributes, Malformed};
use crate::netlink::message::Message;

/// In which direction something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It came, or changed.
    New,
    /// It went.
    Deleted,
}

/// A change of the packet filter. After those of a transaction comes its [`Event::Generation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Of a table.
    Table(Change, Table),
    /// Of a chain.
    Chain(Change, Chain),
    /// Of a rule.
    Rule(Change, Rule),
    /// Of a set or map.
    Set(Change, Set),
    /// Of elements of the table and set of these names.
    Elements(Change, String, String, Vec<Element>),
    /// Of an object.
    Object(Change, Object),
    /// A transaction is over.
    Generation(Generation),
}

impl Event {
    /// Reads an event; `None`: it is none, or none of these kinds.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, Malformed> {
        if message.kind >> 8 != SUBSYSTEM {
            return Ok(None);
        }
        let (family, attributes) = message.netfilter()?;
        if is(message, number::NEW_GENERATION) {
            return decode_generation(message).map(|generation| Some(Self::Generation(generation)));
        }
        let family = Family::from_number(family)?;
        let kind = (message.kind & 0xff) as u8;
        let change = match kind {
            number::NEW_TABLE
            | number::NEW_CHAIN
            | number::NEW_RULE
            | number::NEW_SET
            | number::NEW_ELEMENT
            | number::NEW_OBJECT => Change::New,
            _ => Change::Deleted,
        };
        Ok(Some(match kind {
            number::NEW_TABLE | number::DELETE_TABLE => {
                Self::Table(change, Table::decode(family, attributes)?)
            }
            number::NEW_CHAIN | number::DELETE_CHAIN => {
                Self::Chain(change, Chain::decode(family, attributes)?)
            }
            number::NEW_RULE | number::DELETE_RULE => Self::Rule(change, Rule::decode(family, attributes)?),
            number::NEW_SET | number::DELETE_SET => Self::Set(change, Set::decode(family, attributes)?),
            number::NEW_ELEMENT | number::DELETE_ELEMENT => {
                let (table, set, elements) = decode_elements(attributes)?;
                Self::Elements(change, table, set, elements)
            }
            number::NEW_OBJECT | number::DELETE_OBJECT => {
                Self::Object(change, Object::decode(family, attributes)?)
            }
            _ => return Ok(None),
        }))
    }
}

/// The names of table and set, and elements.
pub(super) fn decode_elements(
    attributes: Attributes<'_>,
) -> Result<(String, String, Vec<Element>), Malformed> {
    const TABLE: u16 = 1;
    const SET: u16 = 2;
    const ELEMENTS: u16 = 3;
    let fields = attributes.fields()?;
    let text = |kind, what| Ok(fields.need(kind, what)?.text()?.to_owned());
    let list = fields.get(ELEMENTS).map_or(Attributes::new(&[]), Attribute::nested);
    let elements = list.map(|element| Element::decode(element?.nested())).collect::<Result<_, _>>()?;
    Ok((text(TABLE, "elements without their table")?, text(SET, "elements without their set")?, elements))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::nftables::{Batch, Chain, ChainKind, DataType, ElementValue, Hook, Key, Statements};

    /// Messages of all kinds, as we write them: near enough to the kernel's for damage to reach all parsers.
    fn messages() -> Vec<(u16, Vec<u8>)> {
        let table = Table::new(Family::Inet, "t");
        let id = &table.id;
        let rule = Rule::new(id, "c", Statements::new().tcp().destination_port(80).counter().accept());
        let set = Set::map(id, "s", [DataType::Ipv4Address, DataType::InetService], [DataType::Mark])
            .with_counters();
        let key = Key::new().number(1).port(2).build();
        let element = Element::with_value(key, ElementValue::Data(vec![1, 2, 3, 4]));
        let mut batch = Batch::new();
        batch.add_table(&table).add_chain(&Chain::base(id, "c", ChainKind::Nat, Hook::Output, 0));
        batch.append_rule(&rule.with_comment("x")).add_set(&set).add_elements(id, "s", [&element]);
        batch.add_object(&Object::counter(id, "o"));
        let requests = batch.steps.into_iter().map(|step| step.request);
        requests.map(|request| (request.kind, request.body.build().unwrap())).collect()
    }

    #[test]
    fn what_we_write_is_read() {
        for (kind, body) in messages() {
            let message = Message { kind, flags: 0, sequence: 0, port: 0, body: &body };
            assert!(Event::decode(&message).unwrap().is_some(), "{kind}");
        }
    }

    proptest! {
        #[test]
        fn damaged_messages_are_no_panic(
            which: prop::sample::Index,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let (kind, mut body) = which.get(&messages()).clone();
            for (at, value) in damage {
                let at = at.index(body.len());
                body[at] = value;
            }
            if let Some(cut) = cut {
                body.truncate(cut.index(body.len()));
            }
            let _ = Event::decode(&Message { kind, flags: 0, sequence: 0, port: 0, body: &body });
        }

        #[test]
        fn no_bytes_are_a_panic(number in 0u8..26, body in prop::collection::vec(any::<u8>(), 0..200)) {
            let kind = SUBSYSTEM << 8 | u16::from(number);
            let _ = Event::decode(&Message { kind, flags: 0, sequence: 0, port: 0, body: &body });
        }
    }
}
