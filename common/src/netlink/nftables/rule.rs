//! Rules.

use super::expression::{Expression, decode_list, encode_list};
use super::table::{Family, TableId};
use super::userdata::{ENTRY_COMMENT, UserData};
use super::{Counters, Statements};
use crate::netlink::attribute::{Attributes, Builder, Malformed};

/// A rule of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its table.
    pub table: TableId,
    /// Its chain.
    pub chain: String,
    /// What it does, step by step.
    pub expressions: Vec<Expression>,
    /// Comment and private data.
    pub userdata: UserData,
    /// The kernel's number. Set in dumps; for [`Batch::replace_rule`](super::Batch::replace_rule), which rule.
    pub handle: Option<u64>,
    /// The handle of the rule before it, in dumps; the one after (append) or before (insert) which it goes, if set.
    pub position: Option<u64>,
}

mod kind {
    pub(super) const TABLE: u16 = 1;
    pub(super) const CHAIN: u16 = 2;
    pub(super) const HANDLE: u16 = 3;
    pub(super) const EXPRESSIONS: u16 = 4;
    pub(super) const POSITION: u16 = 6;
    pub(super) const USERDATA: u16 = 7;
}

impl Rule {
    /// A rule that does `statements`.
    pub fn new(table: &TableId, chain: impl Into<String>, statements: impl Into<Vec<Expression>>) -> Self {
        Self {
            table: table.clone(),
            chain: chain.into(),
            expressions: statements.into(),
            userdata: UserData::default(),
            handle: None,
            position: None,
        }
    }

    /// The same with a comment, which `nft` shows and by which the rule is found again.
    #[must_use]
    pub fn with_comment(mut self, comment: &str) -> Self {
        self.userdata = UserData::comment(comment);
        self
    }

    /// Its comment.
    pub fn comment(&self) -> Option<&str> {
        self.userdata.text(ENTRY_COMMENT)
    }

    /// What its first counter has counted.
    pub fn counters(&self) -> Option<Counters> {
        self.expressions.iter().find_map(|expression| match expression {
            Expression::Counter(counters) => Some(*counters),
            _ => None,
        })
    }

    /// Whether it does the same as `other` and says the same of itself, whatever was counted and wherever it is.
    pub fn is_same(&self, other: &Self) -> bool {
        let steps = |rule: &Self| rule.expressions.iter().map(Expression::without_state).collect::<Vec<_>>();
        self.table == other.table
            && self.chain == other.chain
            && self.userdata == other.userdata
            && steps(self) == steps(other)
    }

    pub(super) fn encode(&self, into: &mut Builder) {
        into.text(kind::TABLE, &self.table.name);
        into.text(kind::CHAIN, &self.chain);
        if let Some(handle) = self.handle {
            into.u64_be(kind::HANDLE, handle);
        }
        if let Some(position) = self.position {
            into.u64_be(kind::POSITION, position);
        }
        into.nest(kind::EXPRESSIONS, |list| encode_list(&self.expressions, list));
        self.userdata.encode(kind::USERDATA, into);
    }

    /// Names one rule, or all of the chain or table: for deletion and for listing.
    pub(super) fn encode_name(table: &TableId, chain: Option<&str>, handle: Option<u64>, into: &mut Builder) {
        into.text(kind::TABLE, &table.name);
        if let Some(chain) = chain {
            into.text(kind::CHAIN, chain);
        }
        if let Some(handle) = handle {
            into.u64_be(kind::HANDLE, handle);
        }
    }

    pub(super) fn decode(family: Family, attributes: Attributes<'_>) -> Result<Self, Malformed> {
        let mut rule = Self::new(&TableId::new(family, ""), "", Vec::new());
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                kind::TABLE => rule.table.name = attribute.text()?.to_owned(),
                kind::CHAIN => rule.chain = attribute.text()?.to_owned(),
                kind::HANDLE => rule.handle = Some(attribute.u64_be()?),
                kind::EXPRESSIONS => rule.expressions = decode_list(attribute.nested())?,
                kind::POSITION => rule.position = Some(attribute.u64_be()?),
                kind::USERDATA => rule.userdata = UserData::from_bytes(attribute.payload),
                _ => {}
            }
        }
        Ok(rule)
    }
}

impl From<Statements> for Vec<Expression> {
    fn from(statements: Statements) -> Self {
        statements.into_expressions()
    }
}
