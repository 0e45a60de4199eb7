//! What forwarding needs of the rest of this server.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::{Cache, Failure, Key};
use crate::protocol::body::Body;
use crate::protocol::code::{class, rcode};
use crate::protocol::message::Question;
use crate::protocol::name::{LowerName, Name};
use crate::protocol::time::Now;
use crate::site_zones::Zones;

use super::question::OwnedQuestion;
use super::record::{Reply, Rr};

/// The room for an answer out of our own zones at the end of a chain.
const OWN_BYTES: usize = 16 * 1024;

/// An answer out of our own zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// The response code.
    pub rcode: u16,
    /// The answer section.
    pub answers: Vec<Rr>,
    /// The authority section.
    pub authorities: Vec<Rr>,
    /// Where an alias leads out of our zones, or below a delegation.
    pub next: Option<Name>,
}

/// The zones and the cache, as forwarding sees them.
pub trait Surroundings: Send + Sync + 'static {
    /// Whether `name` is ours to answer, so that nothing of it is believed from upstream.
    fn owns(&self, name: &Name) -> bool;
    /// Our own answer; `None` if the name is not ours, or delegated to others.
    fn answer(&self, question: &OwnedQuestion) -> Option<Own>;
    /// Keeps what an upstream answered.
    fn store(&self, question: &OwnedQuestion, body: &Body);
    /// Remembers that a question cannot be answered.
    fn store_failure(&self, question: &OwnedQuestion, rcode: u16, ede: Option<(u16, &'static str)>);
    /// For how long a kept answer stays fresh.
    fn remaining(&self, question: &OwnedQuestion) -> Option<Duration>;
    /// These names are kept for as long as it takes.
    fn set_pins(&self, names: &[Name]);
    /// An upstream is back: what failed may work now.
    fn forget_failures(&self);
}

/// The real ones.
pub struct Inside {
    /// The zones.
    pub zones: Arc<Zones>,
    /// The cache.
    pub cache: Arc<Cache>,
    /// What time it is.
    pub now: fn() -> Now,
}

impl Inside {
    fn with_key<T>(question: &OwnedQuestion, body: impl FnOnce(&Key<'_>) -> T) -> T {
        let name = LowerName::of(question.name.as_wire());
        body(&Key {
            name: &name,
            kind: question.kind,
            dnssec_ok: question.dnssec_ok,
            checking_disabled: question.checking_disabled,
        })
    }
}

impl Surroundings for Inside {
    fn owns(&self, name: &Name) -> bool {
        let (zones, name) = (self.zones.load(), LowerName::of(name.as_wire()));
        zones.zone_of(&name).is_some() && !zones.is_delegated(&name)
    }

    fn answer(&self, question: &OwnedQuestion) -> Option<Own> {
        let name = LowerName::of(question.name.as_wire());
        let asked = Question { name: question.name.as_wire(), kind: question.kind, class: class::IN };
        let mut message = vec![0u8; 12];
        message.extend_from_slice(asked.name);
        message.extend_from_slice(&asked.kind.to_be_bytes());
        message.extend_from_slice(&asked.class.to_be_bytes());
        let at = message.len();
        message.resize(at + OWN_BYTES, 0);
        let answered = self.zones.load().answer(&asked, &name, question.dnssec_ok, &mut message[at..])?;
        let failed = Own { rcode: rcode::SERVFAIL, answers: Vec::new(), authorities: Vec::new(), next: None };
        let Ok(answered) = answered else { return Some(failed) };
        let written = answered.written;
        if answered.referral && answered.chase.is_none() {
            return None;
        }
        message.truncate(at + written.additional_at);
        message[2..4].copy_from_slice(&[0x84, (written.rcode & 0x0f) as u8]);
        message[5] = 1;
        message[6..8].copy_from_slice(&written.answers.to_be_bytes());
        message[8..10].copy_from_slice(&written.authorities.to_be_bytes());
        let Ok(reply) = Reply::read(&message) else { return Some(failed) };
        Some(Own {
            rcode: written.rcode,
            answers: reply.answers,
            authorities: if answered.referral { Vec::new() } else { reply.authorities },
            next: answered.chase,
        })
    }

    fn store(&self, question: &OwnedQuestion, body: &Body) {
        // What is not kept is given to the client all the same.
        _ = Self::with_key(question, |key| self.cache.insert(key, body, (self.now)()));
    }

    fn store_failure(&self, question: &OwnedQuestion, rcode: u16, ede: Option<(u16, &'static str)>) {
        Self::with_key(question, |key| self.cache.insert_failure(key, Failure { rcode, ede }, (self.now)()));
    }

    fn remaining(&self, question: &OwnedQuestion) -> Option<Duration> {
        Self::with_key(question, |key| self.cache.remaining(key, (self.now)()))
    }

    fn set_pins(&self, names: &[Name]) {
        self.cache.set_pins(names);
    }

    fn forget_failures(&self) {
        self.cache.forget_failures();
    }
}
