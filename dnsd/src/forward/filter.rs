//! What of an upstream's reply may be believed: the chain of aliases that begins at the question, the records
//! at its end, and for a negative answer the SOA record of a zone that encloses that end. Everything else –
//! records about other names, referrals, the additional section, other classes – is dropped, so that nothing
//! can slip into the cache beside the answer (RFC 2181 section 5.4.1, RFC 5452 section 6).

use std::fmt;

use crate::protocol::code::{class, kind, rcode};
use crate::protocol::name::Name;

use super::address;
use super::question::OwnedQuestion;
use super::record::{Reply, Rr};

/// Aliases followed for one question; a longer chain is a failure.
pub const CHAIN_MAX: usize = 11;

/// The longest time to live that is believed: seven days (RFC 8767 section 4).
pub const TTL_SECS_MAX: u32 = 604_800;

/// What the filter has to know of this server.
pub struct Rules<'a> {
    /// Whether a name is to be asked elsewhere: it lies in a zone of our own, or other upstreams are responsible.
    /// A chain is cut there.
    pub leaves: &'a (dyn Fn(&Name) -> bool + Sync),
    /// Whether records of an owner may hold private addresses.
    pub may_be_private: &'a (dyn Fn(&Name) -> bool + Sync),
}

/// What is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filtered {
    /// NOERROR or NXDOMAIN; about the end of the chain.
    pub rcode: u16,
    /// The chain in its order and what it leads to.
    pub answers: Vec<Rr>,
    /// Of a negative answer the SOA record, and the DNSSEC proofs where they were asked for.
    pub authorities: Vec<Rr>,
    /// Where the chain leads without the reply telling what is there, or without being believed on it.
    pub next: Option<Name>,
    /// Aliases in the chain.
    pub links: usize,
    /// Records that were dropped as not belonging to the answer.
    pub dropped: usize,
    /// Records that were dropped because they lead inside.
    pub rebinding: usize,
}

/// Why nothing of a reply can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unusable {
    /// The chain is longer than [`CHAIN_MAX`].
    ChainTooLong,
    /// The chain leads back into itself.
    Loop,
    /// A DNAME record makes a name that is too long (RFC 6672 section 2.2).
    NameTooLong,
}

impl Unusable {
    /// The label in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChainTooLong => "chain_too_long",
            Self::Loop => "chain_loop",
            Self::NameTooLong => "name_too_long",
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ChainTooLong => "too many aliases",
            Self::Loop => "aliases lead in a circle",
            Self::NameTooLong => "an alias makes a name that is too long",
        })
    }
}

impl std::error::Error for Unusable {}

/// Whether `reply` only points to other servers, or holds nothing at all: of no use to who asks recursively.
pub fn is_lame(reply: &Reply) -> bool {
    let has = |kind| reply.authorities.iter().any(|record| record.kind == kind);
    reply.rcode == rcode::NOERROR
        && reply.answers.is_empty()
        && !has(kind::SOA)
        && !reply.authoritative
        && (has(kind::NS) || !reply.recursion_available)
}

/// Keeps what answers `question`, whose chain has `links` aliases behind it already.
///
/// # Errors
/// Why the whole reply is of no use.
pub fn filter(
    question: &OwnedQuestion,
    reply: &Reply,
    links: usize,
    rules: &Rules<'_>,
) -> Result<Filtered, Unusable> {
    let mut chain = Chain { question, reply, taken: Vec::new(), visited: Vec::new(), links };
    let mut current = question.name.lower();
    let found = loop {
        if !chain.visited.is_empty() && (rules.leaves)(&current) {
            break End::Elsewhere;
        }
        let target = if let Some(made) = chain.take_dname(&current)? {
            if matches!(question.kind, kind::CNAME | kind::ANY) {
                break End::Found;
            }
            made
        } else if chain.take_answer(&current) {
            break End::Found;
        } else if let Some(target) = chain.take_cname(&current)? {
            target
        } else {
            break End::Nothing;
        };
        if chain.visited.contains(&target) || target == current {
            return Err(Unusable::Loop);
        }
        chain.visited.push(current);
        current = target;
    };
    let mut answers: Vec<Rr> = chain.taken;
    let before = answers.len();
    answers.retain(|record| {
        !address::leads_inside(record.kind, &record.rdata) || (rules.may_be_private)(&record.owner)
    });
    let rebinding = before - answers.len();

    let authorities = match found {
        End::Nothing => denial(question, reply, &current),
        End::Found if question.dnssec_ok => proofs(reply, &answers),
        End::Found | End::Elsewhere => Vec::new(),
    };
    let denied = reply.rcode == rcode::NXDOMAIN || authorities.iter().any(|record| record.kind == kind::SOA);
    let next = match found {
        End::Elsewhere => Some(current),
        End::Nothing if !chain.visited.is_empty() && !denied => Some(current),
        _ => None,
    };
    let kept = answers.len() + authorities.len();
    let mut filtered = Filtered {
        rcode: if matches!(found, End::Nothing) { reply.rcode } else { rcode::NOERROR },
        answers,
        authorities,
        next,
        links: chain.links,
        dropped: (reply.answers.len() + reply.authorities.len()).saturating_sub(kept + rebinding),
        rebinding,
    };
    for record in filtered.answers.iter_mut().chain(&mut filtered.authorities) {
        record.ttl = believed(record.ttl);
    }
    Ok(filtered)
}

enum End {
    Found,
    Nothing,
    Elsewhere,
}

struct Chain<'a> {
    question: &'a OwnedQuestion,
    reply: &'a Reply,
    taken: Vec<Rr>,
    /// Names that an alias was followed from.
    visited: Vec<Name>,
    links: usize,
}

impl Chain<'_> {
    /// Takes the records at `name` that the question asks for, if there are any.
    fn take_answer(&mut self, name: &Name) -> bool {
        let asked = self.question.kind;
        let before = self.taken.len();
        self.take(name, |record| record.kind == asked || asked == kind::ANY);
        if self.taken.len() == before {
            return false;
        }
        self.take_signatures(name, asked);
        true
    }

    /// Takes the alias at `name` and tells where it leads.
    fn take_cname(&mut self, name: &Name) -> Result<Option<Name>, Unusable> {
        let Some(record) = self.alias(kind::CNAME, |owner| owner == name) else { return Ok(None) };
        let Some(target) = record.target() else { return Ok(None) };
        self.link()?;
        self.taken.push(Rr { owner: name.clone(), ..record });
        self.take_signatures(name, kind::CNAME);
        Ok(Some(target.lower()))
    }

    /// Takes the alias of a whole subtree that `name` lies in, and makes the CNAME record that follows from it: the one
    /// in the reply is no more than that, and so is anything else below such an alias (RFC 6672 sections 2.4, 3.1).
    fn take_dname(&mut self, name: &Name) -> Result<Option<Name>, Unusable> {
        let above = |owner: &Name| owner != name && name.is_within(owner);
        let Some(record) = self.alias(kind::DNAME, above) else { return Ok(None) };
        let Some(target) = record.target() else { return Ok(None) };
        self.link()?;
        let made = substitute(name, &record.owner, &target).ok_or(Unusable::NameTooLong)?;
        let (owner, ttl) = (record.owner.clone(), record.ttl);
        if !self.taken.contains(&record) {
            self.taken.push(record);
            self.take_signatures(&owner, kind::DNAME);
        }
        let rdata = made.as_wire().into();
        self.taken.push(Rr { owner: name.clone(), kind: kind::CNAME, class: class::IN, ttl, rdata });
        Ok(Some(made.lower()))
    }

    fn alias(&self, kind: u16, owned: impl Fn(&Name) -> bool) -> Option<Rr> {
        let mut answers = self.reply.answers.iter();
        answers
            .find(|record| record.class == class::IN && record.kind == kind && owned(&record.owner))
            .cloned()
    }

    fn link(&mut self) -> Result<(), Unusable> {
        if self.links == CHAIN_MAX {
            return Err(Unusable::ChainTooLong);
        }
        self.links += 1;
        Ok(())
    }

    fn take_signatures(&mut self, name: &Name, covered: u16) {
        if self.question.dnssec_ok && !matches!(covered, kind::ANY | kind::RRSIG) {
            self.take(name, |record| record.covered() == Some(covered));
        }
    }

    fn take(&mut self, name: &Name, wanted: impl Fn(&Rr) -> bool) {
        for record in &self.reply.answers {
            if record.class == class::IN && record.owner == *name && wanted(record) {
                let record = Rr { owner: name.clone(), ..record.clone() };
                if !self.taken.contains(&record) {
                    self.taken.push(record);
                }
            }
        }
    }
}

/// `name` with the end `owner` replaced by `target`.
fn substitute(name: &Name, owner: &Name, target: &Name) -> Option<Name> {
    let kept = name.as_wire().len() - owner.as_wire().len();
    Name::from_wire(&[&name.as_wire()[..kept], target.as_wire()].concat()).ok()
}

/// The SOA record of a zone that `name` lies in, and with DNSSEC what proves the denial inside of that zone.
fn denial(question: &OwnedQuestion, reply: &Reply, name: &Name) -> Vec<Rr> {
    let mut soas =
        reply.authorities.iter().filter(|record| record.class == class::IN && record.kind == kind::SOA);
    let Some(soa) = soas.find(|record| name.is_within(&record.owner)) else { return Vec::new() };
    let mut taken = vec![soa.clone()];
    if question.dnssec_ok {
        taken.extend(proving(reply, |record| record.owner.is_within(&soa.owner), true));
    }
    taken
}

/// What proves that no closer match than a wildcard exists, from the zones whose signatures are in `answers`.
fn proofs(reply: &Reply, answers: &[Rr]) -> Vec<Rr> {
    let signers: Vec<Name> = answers
        .iter()
        .filter_map(|record| record.signer().filter(|signer| record.owner.is_within(signer)))
        .collect();
    proving(reply, |record| signers.iter().any(|signer| record.owner.is_within(signer)), false).collect()
}

fn proving(reply: &Reply, inside: impl Fn(&Rr) -> bool, of_soa: bool) -> impl Iterator<Item = Rr> {
    let proves = move |kind| matches!(kind, kind::NSEC | kind::NSEC3) || (of_soa && kind == kind::SOA);
    reply.authorities.iter().filter_map(move |record| {
        let wanted =
            record.kind != kind::SOA && (proves(record.kind) || record.covered().is_some_and(proves));
        (record.class == class::IN && wanted && inside(record)).then(|| record.clone())
    })
}

/// A time to live whose top bit is set counts as none (RFC 2181 section 8).
fn believed(ttl: u32) -> u32 {
    if ttl > i32::MAX as u32 { 0 } else { ttl.min(TTL_SECS_MAX) }
}

#[cfg(test)]
mod tests;
