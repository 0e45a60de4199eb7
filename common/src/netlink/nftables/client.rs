//! Talking to the packet filter.

use std::fmt;

use rustix::io::Errno;

use super::batch::Batch;
use super::chain::Chain;
use super::element::Element;
use super::event::decode_elements;
use super::object::{Object, ObjectKind};
use super::rule::Rule;
use super::set::Set;
use super::table::{Family, Table, TableId};
use super::{SUBSYSTEM, message};
use crate::netlink::acknowledgement::acknowledgement;
use crate::netlink::attribute::{Attribute, Attributes, Malformed};
use crate::netlink::error::{Error, Refusal};
use crate::netlink::message::{HEADER_BYTES, Message, Messages, Request, flag, kind as message_kind};
use crate::netlink::socket::{Group, Protocol, Socket};

/// The packet filter of this network namespace.
#[derive(Debug)]
pub struct Nftables {
    socket: Socket,
}

/// The number that grows with every transaction, and who made the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The number.
    pub id: u32,
    /// The process of the last transaction; in events.
    pub process: Option<u32>,
    /// Its name; in events.
    pub process_name: Option<String>,
}

/// A message of a transaction that the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which message, from 0.
    pub index: usize,
    /// What it is about: `rule inet faros_lb services "api"`.
    pub subject: String,
    /// Which expression of the rule, from 0, and its name, where the kernel says so.
    pub expression: Option<(usize, String)>,
    /// Why.
    pub refusal: Refusal,
}

impl fmt::Display for Rejection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.subject)?;
        if let Some((index, name)) = &self.expression {
            write!(formatter, ", step {} ({name})", index + 1)?;
        }
        write!(formatter, ": {}", self.refusal)?;
        let hint = [
            (Errno::NOENT, "what it names is not there, or the kernel does not know this kind of step"),
            (Errno::EXIST, "it is there already, in another form"),
            (Errno::BUSY, "something still uses it, or it would change a chain that is there"),
            (Errno::OPNOTSUPP, "not at this hook, in this type of chain or with this kernel"),
            (Errno::PERM, "the table belongs to another process"),
            (Errno::NFILE, "the set is full"),
            (Errno::MLINK, "chains jump to each other too deeply or in a circle"),
        ];
        match hint.iter().find(|(code, _)| self.refusal.is(*code)) {
            Some((_, hint)) => write!(formatter, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Why a transaction did not happen. Nothing of it did.
#[derive(Debug)]
pub enum CommitError {
    /// The kernel refused these messages.
    Rejected(Vec<Rejection>),
    /// Somebody has changed something since [`Batch::only_at`]. List anew, then try again.
    Changed,
    /// The kernel was not reached, refused all of it (`EPERM`: `CAP_NET_ADMIN` is needed), or gave no answer.
    Netlink(Error),
}

impl fmt::Display for CommitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejections) => {
                let mut separator = "the packet filter refused ";
                for rejection in rejections {
                    write!(formatter, "{separator}{rejection}")?;
                    separator = "; ";
                }
                Ok(())
            }
            Self::Changed => formatter.write_str("the packet filter was changed by others at the same time"),
            Self::Netlink(error) => write!(formatter, "packet filter: {error}"),
        }
    }
}

impl std::error::Error for CommitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Netlink(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Error> for CommitError {
    fn from(error: Error) -> Self {
        Self::Netlink(error)
    }
}

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const BATCH_GENERATION: u16 = 1;
/// Room for the answers to a transaction: each refused message makes one, small ones count as a page.
const ANSWERS_BYTES: usize = 4 * 1024 * 1024;
/// `ERESTART`, which user space otherwise never sees.
const RESTART: i32 = 85;

mod kind {
    pub(super) const TABLE_NAME: u16 = 1;
    pub(super) const SET_TABLE: u16 = 1;
    pub(super) const SET_NAME: u16 = 2;
    pub(super) const ELEMENTS: u16 = 3;
    pub(super) const LIST_ELEMENT: u16 = 1;
    pub(super) const RULE_EXPRESSIONS: u16 = 4;
    pub(super) const EXPRESSION_NAME: u16 = 1;
    pub(super) const GENERATION_ID: u16 = 1;
    pub(super) const GENERATION_PROCESS: u16 = 2;
    pub(super) const GENERATION_NAME: u16 = 3;
}

impl Nftables {
    /// Opens a socket; privilege is needed only later. Tables that are made as [`Table::owned`] go with it.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn open() -> Result<Self, Error> {
        let mut socket = Socket::open(Protocol::Netfilter)?;
        socket.make_room(ANSWERS_BYTES);
        Ok(Self { socket })
    }

    /// A socket that is told all changes from now on; [`super::Event::decode`] reads them.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn listen() -> Result<Socket, Error> {
        let mut socket = Socket::open(Protocol::Netfilter)?;
        socket.subscribe(Group::NfTables)?;
        Ok(socket)
    }

    /// Makes all changes of a transaction, or none. An empty one is no question to the kernel.
    ///
    /// # Errors
    /// Which messages the kernel refused, and why.
    pub fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let Some(last) = batch.steps.len().checked_sub(1) else { return Ok(()) };
        self.socket.clear();
        let begin = self.socket.next_sequence();
        let mut frame = Request::new(BATCH_BEGIN, &[0, 0, 0, SUBSYSTEM as u8]);
        if let Some(generation) = batch.generation {
            frame.body.u32_be(BATCH_GENERATION, generation);
        }
        let mut bytes = frame.build(0, begin)?;
        let mut sequences = Vec::with_capacity(batch.steps.len());
        for (index, step) in batch.steps.iter().enumerate() {
            let sequence = self.socket.next_sequence();
            // Acknowledged last, it says that all of them were looked at.
            let flags = if index == last { flag::ACK } else { 0 };
            let start = bytes.len();
            bytes.extend(step.request.clone().build(flags, sequence)?);
            sequences.push((sequence, start));
        }
        let end = self.socket.next_sequence();
        bytes.extend(Request::new(BATCH_END, &[0, 0, 0, SUBSYSTEM as u8]).build(0, end)?);
        self.socket.send(&bytes)?;
        self.verdict(batch, &bytes, begin, &sequences)
    }

    /// Reads the answers to a transaction, which are all there.
    fn verdict(
        &mut self,
        batch: &Batch,
        bytes: &[u8],
        begin: u32,
        sequences: &[(u32, usize)],
    ) -> Result<(), CommitError> {
        let mut rejections: Vec<Rejection> = Vec::new();
        let mut whole: Option<Refusal> = None;
        let mut acknowledged = false;
        let last = sequences.last().map(|(sequence, _)| *sequence);
        let answers = self.socket.drain(|message| {
            if message.kind != message_kind::ERROR {
                return Ok(());
            }
            let refusal = acknowledgement(&message)?;
            let index = sequences.iter().position(|(sequence, _)| *sequence == message.sequence);
            match (refusal, index) {
                (None, Some(_)) => acknowledged |= Some(message.sequence) == last,
                (Some(refusal), Some(index)) => {
                    let sent = bytes.get(sequences[index].1..).unwrap_or_default();
                    let expression = refusal.offset.and_then(|offset| faulty_expression(sent, offset));
                    let subject = batch.steps[index].subject.clone();
                    rejections.push(Rejection { index, subject, expression, refusal });
                }
                (Some(refusal), None) if message.sequence == begin => whole = Some(refusal),
                _ => {}
            }
            Ok(())
        });
        if !rejections.is_empty() {
            return Err(CommitError::Rejected(rejections));
        }
        match whole {
            Some(refusal) if refusal.code == RESTART => return Err(CommitError::Changed),
            Some(refusal) => return Err(CommitError::Netlink(Error::Refused(refusal))),
            None => answers?,
        }
        if acknowledged { Ok(()) } else { Err(CommitError::Netlink(Error::TimedOut)) }
    }

    /// The number of the last transaction.
    ///
    /// # Errors
    /// No answer, or one that cannot be read.
    pub fn generation(&mut self) -> Result<Generation, Error> {
        let request = Request::netfilter(SUBSYSTEM, message::GET_GENERATION, 0);
        let answer = self.socket.ask(request, |message| {
            if is(&message, message::NEW_GENERATION) {
                decode_generation(&message).map(Some)
            } else {
                Ok(None)
            }
        })?;
        answer.ok_or(Error::Malformed(Malformed::new("no generation")))
    }

    /// All tables.
    ///
    /// # Errors
    /// The kernel's refusal, or no answer.
    pub fn tables(&mut self) -> Result<Vec<Table>, Error> {
        let request = Request::netfilter(SUBSYSTEM, message::GET_TABLE, 0);
        self.list(&request, message::NEW_TABLE, Table::decode)
    }

    /// A table; `None`: it is not there.
    ///
    /// # Errors
    /// The kernel's refusal, or no answer.
    pub fn table(&mut self, table: &TableId) -> Result<Option<Table>, Error> {
        let mut request = Request::netfilter(SUBSYSTEM, message::GET_TABLE, table.family as u8);
        request.body.text(kind::TABLE_NAME, &table.name);
        let answer =
            self.socket.ask(request, |message| decode_if(&message, message::NEW_TABLE, Table::decode));
        match answer {
            Err(error) if error.is_absent() => Ok(None),
            other => other,
        }
    }

    /// The chains of a table, none where there is no such table.
    ///
    /// # Errors
    /// The kernel's refusal, or no answer.
    pub fn chains(&mut self, table: &TableId) -> Result<Vec<Chain>, Error> {
        let request = Request::netfilter(SUBSYSTEM, message::GET_CHAIN, table.family as u8);
        let mut chains = self.list(&request, message::NEW_CHAIN, Chain::decode)?;
        chains.retain(|chain| chain.table == *table);
        Ok(chains)
    }

    /// The rules of a table, or of one of its chains, in order; none where there is no such table.
    ///
    /// # Errors
    /// The kernel's refusal, or no answer.
    pub fn rules(&mut self, table: &TableId, chain: Option<&str>) -> Result<Vec<Rule>, Error> {
        let mut request = Request::netfilter(SUBSYSTEM, message::GET_RULE, table.family as u8);
        Rule::encode_name(table, chain, None, &mut request.body);
        let mut rules = self.list(&request, message::NEW_RULE, Rule::decode)?;
        rules.retain(|rule| rule.table == *table && chain.is_none_or(|chain| rule.chain == chain));
        Ok(rules)
    }

    /// The sets and maps of a table, without their elements.
    ///
    /// # Errors
    /// The kernel's refusal (also where there is no such table, [`Error::is_absent`]), or no answer.
    pub fn sets(&mut self, table: &TableId) -> Result<Vec<Set>, Error> {
        let mut request = Request::netfilter(SUBSYSTEM, message::GET_SET, table.family as u8);
        Set::encode_table(table, &mut request.body);
        let mut sets = self.list(&request, message::NEW_SET, Set::decode)?;
        sets.retain(|set| set.table == *table);
        Ok(sets)
    }

    /// The elements of a set or map, with their counters. Of a set without [`Set::size`] that is growing at this
    /// moment, the kernel may leave out or repeat some.
    ///
    /// # Errors
    /// The kernel's refusal (also where there is no such set, [`Error::is_absent`]), or no answer.
    pub fn elements(&mut self, table: &TableId, set: &str) -> Result<Vec<Element>, Error> {
        let mut request = Request::netfilter(SUBSYSTEM, message::GET_ELEMENT, table.family as u8);
        request.body.text(kind::SET_TABLE, &table.name);
        request.body.text(kind::SET_NAME, set);
        let pieces = self.socket.dump(&request, |message| {
            if !is(&message, message::NEW_ELEMENT) {
                return Ok(None);
            }
            decode_elements(message.netfilter()?.1).map(|(_, _, elements)| Some(elements))
        })?;
        Ok(pieces.into_iter().flatten().collect())
    }

    /// The element of a key; `None`: it is not there. In sets of ranges, the key may be anywhere in the range.
    ///
    /// # Errors
    /// The kernel's refusal, or no answer.
    pub fn element(&mut self, table: &TableId, set: &str, key: &Element) -> Result<Option<Element>, Error> {
        let mut request = Request::netfilter(SUBSYSTEM, message::GET_ELEMENT, table.family as u8);
        request.body.text(kind::SET_TABLE, &table.name);
        request.body.text(kind::SET_NAME, set);
        request.body.nest(kind::ELEMENTS, |list| list.nest(kind::LIST_ELEMENT, |body| key.encode(body)));
        let answer = self.socket.ask(request, |message| {
            if !is(&message, message::NEW_ELEMENT) {
                return Ok(None);
            }
            decode_elements(message.netfilter()?.1).map(|(_, _, elements)| elements.into_iter().next())
        });
        match answer {
            Err(error) if error.is_absent() => Ok(None),
            other => other,
        }
    }

    /// The objects of a table, or those of one kind.
    ///
    /// # Errors
    /// The kernel's refusal, or no answer.
    pub fn objects(&mut self, table: &TableId, kind: Option<ObjectKind>) -> Result<Vec<Object>, Error> {
        self.list_objects(message::GET_OBJECT, table, kind)
    }

    /// The same, and their counters begin anew.
    ///
    /// # Errors
    /// The kernel's refusal, or no answer.
    pub fn take_objects(&mut self, table: &TableId, kind: Option<ObjectKind>) -> Result<Vec<Object>, Error> {
        self.list_objects(message::GET_OBJECT_RESET, table, kind)
    }

    fn list_objects(
        &mut self,
        question: u8,
        table: &TableId,
        kind: Option<ObjectKind>,
    ) -> Result<Vec<Object>, Error> {
        let mut request = Request::netfilter(SUBSYSTEM, question, table.family as u8);
        Object::encode_table(table, kind, &mut request.body);
        let mut objects = self.list(&request, message::NEW_OBJECT, Object::decode)?;
        objects.retain(|object| object.table == *table);
        Ok(objects)
    }

    fn list<T>(
        &mut self,
        request: &Request,
        answer: u8,
        decode: impl Fn(Family, Attributes<'_>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Error> {
        self.socket.dump(request, |message| decode_if(&message, answer, &decode))
    }
}

/// Whether it is this message of the packet filter.
pub(super) fn is(message: &Message<'_>, number: u8) -> bool {
    message.kind == SUBSYSTEM << 8 | u16::from(number)
}

fn decode_if<T>(
    message: &Message<'_>,
    number: u8,
    decode: impl Fn(Family, Attributes<'_>) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    if !is(message, number) {
        return Ok(None);
    }
    let (family, attributes) = message.netfilter()?;
    decode(Family::from_number(family)?, attributes).map(Some)
}

pub(super) fn decode_generation(message: &Message<'_>) -> Result<Generation, Malformed> {
    let fields = message.netfilter()?.1.fields()?;
    let name = fields.get(kind::GENERATION_NAME).map(Attribute::text).transpose()?;
    Ok(Generation {
        id: fields.need(kind::GENERATION_ID, "a generation without its number")?.u32_be()?,
        process: fields.u32_be(kind::GENERATION_PROCESS)?,
        process_name: name.map(str::to_owned),
    })
}

/// Which expression of a rule, as it was sent, is at or around that offset.
fn faulty_expression(sent: &[u8], offset: u32) -> Option<(usize, String)> {
    const FIXED_BYTES: usize = 4;
    let message = Messages::new(sent).next()?.ok()?;
    if !is(&message, message::NEW_RULE) {
        return None;
    }
    let offset = usize::try_from(offset).ok()?;
    let base = message.body.as_ptr().addr() - HEADER_BYTES;
    debug_assert!(message.body.len() >= FIXED_BYTES);
    let list = message.netfilter().ok()?.1.fields().ok()?.get(kind::RULE_EXPRESSIONS)?;
    for (index, element) in list.nested().enumerate() {
        let element = element.ok()?;
        // The header of an attribute is before its octets.
        let start = element.payload.as_ptr().addr() - base - 4;
        if (start..start + 4 + element.payload.len()).contains(&offset) {
            let name = element.nested().fields().ok()?.get(kind::EXPRESSION_NAME)?.text().ok()?;
            return Some((index, name.to_owned()));
        }
    }
    None
}
