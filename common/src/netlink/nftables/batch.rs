//! Transactions.

use super::chain::Chain;
use super::element::Element;
use super::object::{Object, ObjectKind};
use super::rule::Rule;
use super::set::Set;
use super::table::{Table, TableId};
use super::{SUBSYSTEM, message};
use crate::netlink::attribute::Builder;
use crate::netlink::message::{Request, flag};

/// Changes that happen all at once, or not at all. In order: a table comes before its chains, a set before the rules
/// that use it, and a rule goes before the chain that it jumps to.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(super) steps: Vec<Step>,
    pub(super) generation: Option<u32>,
    sets: u32,
}

/// A message of a transaction, and what it is about.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) request: Request,
    pub(super) subject: String,
}

/// Elements are spread over messages of about this size, because an attribute has at most 65535 octets.
const ELEMENTS_BYTES: usize = 32 * 1024;
/// Numbers for sets that were not given one begin here.
const SET_NUMBERS: u32 = 0x8000_0000;

mod kind {
    pub(super) const ELEMENTS_TABLE: u16 = 1;
    pub(super) const ELEMENTS_SET: u16 = 2;
    pub(super) const ELEMENTS: u16 = 3;
    pub(super) const LIST_ELEMENT: u16 = 1;
    pub(super) const TABLE_NAME: u16 = 1;
    pub(super) const CHAIN_TABLE: u16 = 1;
    pub(super) const CHAIN_NAME: u16 = 3;
}

impl Batch {
    /// No changes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there are no changes.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Only if nobody has changed anything since that generation ([`super::Nftables::generation`]); otherwise it is
    /// refused as [`super::CommitError::Changed`].
    pub fn only_at(&mut self, generation: u32) -> &mut Self {
        self.generation = Some(generation);
        self
    }

    /// Makes a table, or leaves the one that is there as it is.
    pub fn add_table(&mut self, table: &Table) -> &mut Self {
        self.step(&table.id, message::NEW_TABLE, flag::CREATE, format!("table {}", table.id), |body| {
            table.encode(body);
        })
    }

    /// Makes a table that must not be there yet.
    pub fn create_table(&mut self, table: &Table) -> &mut Self {
        let subject = format!("table {}", table.id);
        self.step(&table.id, message::NEW_TABLE, flag::CREATE | flag::EXCLUSIVE, subject, |body| {
            table.encode(body);
        })
    }

    /// Deletes a table with all that is in it; it must be there.
    pub fn delete_table(&mut self, table: &TableId) -> &mut Self {
        let subject = format!("delete table {table}");
        self.step(table, message::DELETE_TABLE, 0, subject, |body| body.text(kind::TABLE_NAME, &table.name))
    }

    /// Makes a table that is empty, whatever is there. Packets see either the old one or the new one.
    pub fn replace_table(&mut self, table: &Table) -> &mut Self {
        self.remove_table(&table.id).add_table(table)
    }

    /// Deletes a table if it is there. Of one that belongs to another socket, this is refused.
    pub fn remove_table(&mut self, table: &TableId) -> &mut Self {
        self.add_table(&Table::new(table.family, &table.name)).delete_table(table)
    }

    /// Makes a chain, or changes the policy of the one that is there.
    pub fn add_chain(&mut self, chain: &Chain) -> &mut Self {
        let subject = format!("chain {chain}");
        self.step(&chain.table, message::NEW_CHAIN, flag::CREATE, subject, |body| chain.encode(body))
    }

    /// Deletes a chain, which must be empty and not be jumped to.
    pub fn delete_chain(&mut self, table: &TableId, chain: &str) -> &mut Self {
        let subject = format!("delete chain {table} {chain}");
        self.step(table, message::DELETE_CHAIN, 0, subject, |body| {
            body.text(kind::CHAIN_TABLE, &table.name);
            body.text(kind::CHAIN_NAME, chain);
        })
    }

    /// Deletes all rules of a chain.
    pub fn flush_chain(&mut self, table: &TableId, chain: &str) -> &mut Self {
        let subject = format!("flush chain {table} {chain}");
        self.step(table, message::DELETE_RULE, 0, subject, |body| {
            Rule::encode_name(table, Some(chain), None, body);
        })
    }

    /// Deletes all rules of a table.
    pub fn flush_table(&mut self, table: &TableId) -> &mut Self {
        let subject = format!("flush table {table}");
        self.step(table, message::DELETE_RULE, 0, subject, |body| Rule::encode_name(table, None, None, body))
    }

    /// Adds a rule at the end of its chain, or behind that of [`Rule::position`].
    pub fn append_rule(&mut self, rule: &Rule) -> &mut Self {
        let rule = Rule { handle: None, ..rule.clone() };
        self.rule(flag::CREATE | flag::APPEND, "", &rule)
    }

    /// Adds a rule at the beginning of its chain, or before that of [`Rule::position`].
    pub fn insert_rule(&mut self, rule: &Rule) -> &mut Self {
        let rule = Rule { handle: None, ..rule.clone() };
        self.rule(flag::CREATE, "insert ", &rule)
    }

    /// Puts a rule in the place of the one of [`Rule::handle`].
    pub fn replace_rule(&mut self, rule: &Rule) -> &mut Self {
        let rule = Rule { position: None, ..rule.clone() };
        self.rule(flag::REPLACE, "replace ", &rule)
    }

    /// Deletes a rule by its handle.
    pub fn delete_rule(&mut self, table: &TableId, chain: &str, handle: u64) -> &mut Self {
        let subject = format!("delete rule {table} {chain} handle {handle}");
        self.step(table, message::DELETE_RULE, 0, subject, |body| {
            Rule::encode_name(table, Some(chain), Some(handle), body);
        })
    }

    /// Makes a set or map, or leaves the one that is there as it is; one of other kind is refused.
    pub fn add_set(&mut self, set: &Set) -> &mut Self {
        self.sets += 1;
        let set = Set { id: Some(set.id.unwrap_or(SET_NUMBERS + self.sets)), ..set.clone() };
        let subject = format!("set {} {}", set.table, set.name);
        self.step(&set.table, message::NEW_SET, flag::CREATE, subject, |body| set.encode(body))
    }

    /// Deletes a set or map, which no rule must use any more.
    pub fn delete_set(&mut self, table: &TableId, set: &str) -> &mut Self {
        let subject = format!("delete set {table} {set}");
        self.step(table, message::DELETE_SET, 0, subject, |body| Set::encode_name(table, set, body))
    }

    /// Adds elements. One that is there already stays as it is; of a map, one with another value is refused.
    pub fn add_elements<'e>(
        &mut self,
        table: &TableId,
        set: &str,
        elements: impl IntoIterator<Item = &'e Element>,
    ) -> &mut Self {
        self.elements(message::NEW_ELEMENT, flag::CREATE, "elements of", (table, set), elements)
    }

    /// Deletes elements, which must be there.
    pub fn delete_elements<'e>(
        &mut self,
        table: &TableId,
        set: &str,
        elements: impl IntoIterator<Item = &'e Element>,
    ) -> &mut Self {
        self.elements(message::DELETE_ELEMENT, 0, "delete elements of", (table, set), elements)
    }

    /// Deletes all elements.
    pub fn flush_set(&mut self, table: &TableId, set: &str) -> &mut Self {
        let subject = format!("flush set {table} {set}");
        self.step(table, message::DELETE_ELEMENT, 0, subject, |body| {
            body.text(kind::ELEMENTS_TABLE, &table.name);
            body.text(kind::ELEMENTS_SET, set);
        })
    }

    /// Makes an object, or leaves the one that is there as it is (limits and quotas change).
    pub fn add_object(&mut self, object: &Object) -> &mut Self {
        let subject = format!("object {} {}", object.table, object.name);
        self.step(&object.table, message::NEW_OBJECT, flag::CREATE, subject, |body| object.encode(body))
    }

    /// Deletes an object, which nothing must use any more.
    pub fn delete_object(&mut self, table: &TableId, object: &str, object_kind: ObjectKind) -> &mut Self {
        let subject = format!("delete object {table} {object}");
        self.step(table, message::DELETE_OBJECT, 0, subject, |body| {
            Object::encode_name(table, object, object_kind, body);
        })
    }

    fn step(
        &mut self,
        table: &TableId,
        message: u8,
        flags: u16,
        subject: String,
        fill: impl FnOnce(&mut Builder),
    ) -> &mut Self {
        let mut request = Request::netfilter(SUBSYSTEM, message, table.family as u8);
        request.flags = flags;
        fill(&mut request.body);
        self.steps.push(Step { request, subject });
        self
    }

    fn rule(&mut self, flags: u16, verb: &str, rule: &Rule) -> &mut Self {
        let comment = rule.comment().map(|comment| format!(" \"{comment}\"")).unwrap_or_default();
        let subject = format!("{verb}rule {} {}{comment}", rule.table, rule.chain);
        self.step(&rule.table, message::NEW_RULE, flags, subject, |body| rule.encode(body))
    }

    fn elements<'e>(
        &mut self,
        message: u8,
        flags: u16,
        verb: &str,
        (table, set): (&TableId, &str),
        elements: impl IntoIterator<Item = &'e Element>,
    ) -> &mut Self {
        let mut elements = elements.into_iter().peekable();
        while elements.peek().is_some() {
            let subject = format!("{verb} {table} {set}");
            self.step(table, message, flags, subject, |body| {
                body.text(kind::ELEMENTS_TABLE, &table.name);
                body.text(kind::ELEMENTS_SET, set);
                body.nest(kind::ELEMENTS, |list| {
                    let start = list.len();
                    while list.len() - start < ELEMENTS_BYTES
                        && let Some(element) = elements.next()
                    {
                        list.nest(kind::LIST_ELEMENT, |body| element.encode(body));
                    }
                });
            });
        }
        self
    }
}
