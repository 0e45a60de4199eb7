//! Answers that are no single copy: negative ones, wildcards', referrals, and chains of aliases, which go from
//! name to name through all zones of ours.

use super::Zone;
use super::lookup::{Answered, Snapshot};
use super::template::{BEFORE_MAX, HEADER_BYTES, Template};
use super::tree::{Node, Role, Tree};
use crate::protocol::body::{TooLong, Written};
use crate::protocol::code::{class, kind, rcode};
use crate::protocol::message::Question;
use crate::protocol::name::{LABELS_MAX, LowerName, NAME_BYTES_MAX, Name};

/// The longest chain of aliases that is followed. A longer one is an error of whoever wrote it: SERVFAIL.
pub const CHAIN_MAX: usize = 16;

/// Octets of a compression pointer, as every owner in an answer is one.
const POINTER_BYTES: usize = 2;
/// Owner, type, class, TTL and length of data.
const RECORD_BYTES: usize = POINTER_BYTES + 10;
/// Where the TTL stands in a record.
const TTL_AT: usize = POINTER_BYTES + 4;
/// The most octets that one step of a chain adds: a DNAME record and the CNAME record made of it.
const STEP_BYTES_MAX: usize = 2 * (RECORD_BYTES + NAME_BYTES_MAX);
// Whatever comes in front of a template, its pointers reach.
const _: () = assert!(HEADER_BYTES + NAME_BYTES_MAX + 4 + (CHAIN_MAX + 1) * STEP_BYTES_MAX <= BEFORE_MAX);

/// An answer in the making.
pub(super) struct Chain<'a> {
    snapshot: &'a Snapshot,
    question: &'a Question<'a>,
    out: &'a mut [u8],
    /// Which octet of the message `out[0]` is.
    base: usize,
    len: usize,
    answers: u16,
    /// The DNAME records in the answer, and where they stand: each stands there once.
    redirects: [(*const Node, usize); CHAIN_MAX + 1],
    redirect_count: usize,
}

/// What one name brings.
#[expect(clippy::large_enum_variant, reason = "it lives on the stack for a moment; a box would allocate")]
enum Step {
    /// The answer is complete.
    Done(Answered),
    /// The answer goes on with this name, which is the data that begin at this octet of the message.
    Alias(Target, usize),
}

/// Where an alias leads: a name in wire form, on the stack.
struct Target {
    wire: [u8; NAME_BYTES_MAX],
    len: usize,
}

impl Target {
    /// The name of these labels in front of another; `None` when it is too long.
    fn joined(labels: &[u8], name: &[u8]) -> Option<Self> {
        let len = labels.len() + name.len();
        let mut target = Self { wire: [0; NAME_BYTES_MAX], len };
        let (front, back) = target.wire.get_mut(..len)?.split_at_mut(labels.len());
        front.copy_from_slice(labels);
        back.copy_from_slice(name);
        Some(target)
    }

    fn as_wire(&self) -> &[u8] {
        &self.wire[..self.len]
    }
}

/// Where in the message the name that is looked up stands.
enum Place<'n> {
    /// It is the question's.
    Question(&'n LowerName),
    /// Its suffixes begin at these octets, by the number of their labels.
    Answer(&'n [u16; LABELS_MAX + 1], usize),
}

impl Place<'_> {
    fn suffix(&self, labels: usize) -> u16 {
        match self {
            Self::Question(name) => (HEADER_BYTES + name.offset(name.label_count() - labels)) as u16,
            Self::Answer(places, _) => places[labels],
        }
    }

    fn whole(&self) -> u16 {
        match self {
            Self::Question(_) => HEADER_BYTES as u16,
            Self::Answer(places, labels) => places[*labels],
        }
    }
}

impl<'a> Chain<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, question: &'a Question<'a>, out: &'a mut [u8]) -> Self {
        let base = HEADER_BYTES + question.name.len() + 4;
        let redirects = [(std::ptr::null(), 0); CHAIN_MAX + 1];
        Self { snapshot, question, out, base, len: 0, answers: 0, redirects, redirect_count: 0 }
    }

    /// Answers for the question's name, which is in `zone`.
    pub(super) fn answer(mut self, zone: &Zone, hash: u64, name: &LowerName) -> Result<Answered, TooLong> {
        match self.step(zone, hash, name, self.question.name, &Place::Question(name))? {
            Step::Done(answered) => Ok(answered),
            Step::Alias(target, at) => self.follow(target, at),
        }
    }

    /// Goes along the chain to its end.
    fn follow(mut self, mut target: Target, mut at: usize) -> Result<Answered, TooLong> {
        for _ in 0..CHAIN_MAX {
            let name = LowerName::of(target.as_wire());
            let Some((zone, hash)) = self.snapshot.find(&name, self.question.kind) else {
                let written = self.so_far(rcode::NOERROR);
                let chase = Name::from_wire(target.as_wire()).ok();
                return Ok(Answered { written, chase, referral: false });
            };
            let places = self.locate(&name, at);
            let place = Place::Answer(&places, name.label_count());
            match self.step(zone, hash, &name, target.as_wire(), &place)? {
                Step::Done(answered) => return Ok(answered),
                Step::Alias(next, next_at) => (target, at) = (next, next_at),
            }
        }
        let written = Written::empty(rcode::SERVFAIL);
        Ok(Answered { written, chase: None, referral: false })
    }

    /// Looks one name up; `spelled` is the name as it was written by whoever named it.
    fn step(
        &mut self,
        zone: &Zone,
        hash: u64,
        name: &LowerName,
        spelled: &[u8],
        place: &Place<'_>,
    ) -> Result<Step, TooLong> {
        let tree = &zone.tree;
        if let Some(node) = tree.node(name.as_wire(), hash) {
            // At a delegation only DS is the parent's (RFC 4035 section 3.1.4.1).
            return match node.role {
                Role::Cut if self.question.kind != kind::DS => self.referral(tree, node, spelled, place),
                Role::Redirect if self.question.kind == kind::DNAME && self.redirect_at(node).is_some() => {
                    let written = self.so_far(rcode::NOERROR);
                    Ok(self.done(written))
                }
                _ => self.node(tree, node, place),
            };
        }
        let encloser = tree.encloser(name);
        match encloser.node.role {
            Role::Cut => self.referral(tree, encloser.node, spelled, place),
            Role::Redirect => {
                let below = name.offset(name.label_count() - encloser.labels);
                self.redirect(tree, encloser.node, &spelled[..below], place)
            }
            Role::Plain | Role::Alias => match tree.wildcard(encloser.node) {
                Some(wildcard) => self.node(tree, wildcard, place),
                None => self.negative(tree, rcode::NXDOMAIN, place),
            },
        }
    }

    /// Answers from a node that is the name's, or its wildcard's.
    fn node(&mut self, tree: &Tree, node: &Node, place: &Place<'_>) -> Result<Step, TooLong> {
        if let Some(template) = tree.template(node, self.question.kind) {
            let written = self.put(tree, template, place)?;
            return Ok(self.done(written));
        }
        if node.role != Role::Alias {
            return self.negative(tree, rcode::NOERROR, place);
        }
        let at = self.base + self.len + RECORD_BYTES;
        self.put_leading(tree, node, place)?;
        match Target::joined(&[], tree.target(node)) {
            Some(target) => Ok(Step::Alias(target, at)),
            None => self.negative(tree, rcode::NOERROR, place),
        }
    }

    /// Sends the client to the servers of a delegation. They are of no use without their addresses.
    fn referral(
        &mut self,
        tree: &Tree,
        node: &Node,
        spelled: &[u8],
        place: &Place<'_>,
    ) -> Result<Step, TooLong> {
        let Some(template) = tree.leading(node) else { return self.negative(tree, rcode::NOERROR, place) };
        if tree.arena.octets(template).len() > self.out.len() - self.len {
            return Err(TooLong);
        }
        // AA speaks of the first name (RFC 1035 section 4.1.1).
        let authoritative = self.answers > 0;
        let written = Written { authoritative, ..self.put(tree, template, place)? };
        let chase = if authoritative { Name::from_wire(spelled).ok() } else { None };
        Ok(Step::Done(Answered { written, chase, referral: true }))
    }

    /// The name does not exist, or has no such records (RFC 2308 section 2).
    fn negative(&mut self, tree: &Tree, rcode: u16, place: &Place<'_>) -> Result<Step, TooLong> {
        let written = Written { rcode, ..self.put(tree, &tree.negative, place)? };
        Ok(self.done(written))
    }

    /// Applies a DNAME record to the labels `below` its owner (RFC 6672 section 3.2).
    fn redirect(
        &mut self,
        tree: &Tree,
        node: &Node,
        below: &[u8],
        place: &Place<'_>,
    ) -> Result<Step, TooLong> {
        let dname_at = match self.redirect_at(node) {
            Some(at) => at,
            None => {
                let at = self.len;
                self.put_leading(tree, node, place)?;
                self.redirects[self.redirect_count] = (node, at);
                self.redirect_count += 1;
                at
            }
        };
        let Some(alias) = Target::joined(below, tree.target(node)) else {
            let written = self.so_far(rcode::YXDOMAIN);
            return Ok(self.done(written));
        };
        let at = self.base + self.len + RECORD_BYTES;
        let ttl_at = dname_at + TTL_AT;
        let ttl = [0, 1, 2, 3].map(|octet| self.out[ttl_at + octet]);
        let data_len = below.len() + POINTER_BYTES;
        let target_at = (self.base + dname_at + RECORD_BYTES) as u16;
        self.push(&(0xc000 | place.whole()).to_be_bytes())?;
        self.push(&kind::CNAME.to_be_bytes())?;
        self.push(&class::IN.to_be_bytes())?;
        self.push(&ttl)?;
        self.push(&(data_len as u16).to_be_bytes())?;
        self.push(below)?;
        self.push(&(0xc000 | target_at).to_be_bytes())?;
        self.answers += 1;
        if self.question.kind == kind::CNAME {
            let written = self.so_far(rcode::NOERROR);
            return Ok(self.done(written));
        }
        Ok(Step::Alias(alias, at))
    }

    /// Where the DNAME record of a node stands, if it is in the answer already.
    fn redirect_at(&self, node: &Node) -> Option<usize> {
        let known = &self.redirects[..self.redirect_count];
        known.iter().find(|(known, _)| std::ptr::eq(*known, node)).map(|(_, at)| *at)
    }

    /// Writes the CNAME or DNAME record of a node.
    fn put_leading(&mut self, tree: &Tree, node: &Node, place: &Place<'_>) -> Result<(), TooLong> {
        if let Some(template) = tree.leading(node) {
            let written = self.put(tree, template, place)?;
            (self.len, self.answers) = (written.len, written.answers);
        }
        Ok(())
    }

    /// Writes a template behind what there is. Returns what there is then.
    fn put(&mut self, tree: &Tree, template: &Template, place: &Place<'_>) -> Result<Written, TooLong> {
        let out = &mut self.out[self.len..];
        let len = tree.arena.copy(template, out)?;
        let at = self.base + self.len;
        tree.arena
            .relocate(template, &mut out[..len], at, place.whole(), |labels| place.suffix(labels.into()));
        let mut written = template.written(len);
        written.len += self.len;
        written.additional_at += self.len;
        written.answers += self.answers;
        Ok(written)
    }

    fn push(&mut self, octets: &[u8]) -> Result<(), TooLong> {
        self.out.get_mut(self.len..self.len + octets.len()).ok_or(TooLong)?.copy_from_slice(octets);
        self.len += octets.len();
        Ok(())
    }

    /// The records of the chain alone.
    fn so_far(&self, rcode: u16) -> Written {
        Written {
            len: self.len,
            additional_at: self.len,
            answers: self.answers,
            authoritative: true,
            ..Written::empty(rcode)
        }
    }

    fn done(&self, written: Written) -> Step {
        Step::Done(Answered { written, chase: None, referral: false })
    }

    /// Where the suffixes of `name` begin; it stands at octet `at` of the message, maybe compressed.
    fn locate(&self, name: &LowerName, mut at: usize) -> [u16; LABELS_MAX + 1] {
        let mut places = [0; LABELS_MAX + 1];
        for label in 0..name.label_count() {
            // Pointers lead to earlier octets only, and those in front of the answer are the question's.
            while let Some(&[high, low]) =
                at.checked_sub(self.base).and_then(|at| self.out.get(at..at + 2)?.first_chunk())
                && high >= 0xc0
            {
                at = usize::from(u16::from_be_bytes([high & 0x3f, low]));
            }
            places[name.label_count() - label] = at as u16;
            at += name.label(label).len() + 1;
        }
        places
    }
}
