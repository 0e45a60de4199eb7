//! The decision about one message.

use std::time::Duration;

use faros_common::fault;

use super::client::{Client, Transport};
use super::limits::Fate;
use super::{Ledger, Source, View};
use crate::cache::{Hit, Key};
use crate::forward::OwnedQuestion;
use crate::protocol::body::{TooLong, Written};
use crate::protocol::code::{class, ede, kind, opcode, rcode};
use crate::protocol::message::{Malformed, Query, Reaction};
use crate::protocol::name::{LowerName, Name};
use crate::protocol::reply;

/// The answer to ANY about names that are not ours: no upstream server is asked (RFC 8482 section 4.2).
const ANY_ANSWER: [u8; 21] = *b"\xc0\x0c\x00\x0d\x00\x01\x00\x00\x0e\xcd\x00\x09\x07RFC8482\x00";

/// An extended error, as it goes to the client (RFC 8914).
pub(super) type Ede = Option<(u16, &'static str)>;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The reply of this length is in the buffer.
    Reply(usize),
    /// Nothing goes out.
    Drop(DropReason),
    /// Somebody else has to be asked: [`Engine::answer_later`](super::Engine::answer_later).
    Ask,
    /// It is no plain question.
    Session(Session),
}

/// What is more than a question and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// A change to a zone (RFC 2136), or a signed question: [`Engine::answer_later`](super::Engine::answer_later).
    Update,
    /// A zone transfer (RFC 5936): [`Engine::transfer`](super::Engine::transfer) over TCP and TLS.
    Transfer,
}

/// Why nothing goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The message is malformed in a way that gets no answer.
    Malformed(Malformed),
    /// The client has had enough.
    Limited,
    /// Not even a header fits.
    NoRoom,
}

impl DropReason {
    /// The name by which it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed(malformed) => malformed.name(),
            Self::Limited => "limited",
            Self::NoRoom => "no_room",
        }
    }
}

/// A question that is being answered.
#[derive(Clone, Copy)]
pub(super) struct Asked<'q> {
    pub(super) query: &'q Query<'q>,
    pub(super) request: &'q [u8],
    pub(super) client: &'q Client,
    /// The name in lower case; the root's where there is no question.
    pub(super) name: &'q LowerName,
    /// The client may have recursion, and is not limited.
    pub(super) of_site: bool,
    /// How long it has waited for somebody else.
    pub(super) waited: Duration,
}

impl<'q> Asked<'q> {
    /// A question that has not waited for anybody.
    #[inline]
    pub(super) fn new(
        query: &'q Query<'q>,
        request: &'q [u8],
        client: &'q Client,
        name: &'q LowerName,
        of_site: bool,
    ) -> Self {
        Self { query, request, client, name, of_site, waited: Duration::ZERO }
    }
}

impl View<'_> {
    /// Decides about `request` of `client`, which came as a whole message. A reply is written to the front of `out`,
    /// and booked in `ledger`.
    pub fn decide(&self, request: &[u8], client: &Client, ledger: &Ledger, out: &mut [u8]) -> Decision {
        ledger.tally.received(client.transport);
        fault::point("dnsd.request");
        let query = match Query::parse(request) {
            Ok(query) => query,
            Err(malformed) => return self.refuse_malformed(request, malformed, client, ledger, out),
        };
        let name = LowerName::of(query.question.name);
        let of_site = self.policy.access.is_of_site(client.address.ip());
        let asked = Asked::new(&query, request, client, &name, of_site);
        if query.opcode != opcode::QUERY
            || query.tsig_at.is_some()
            || query.question.class != class::IN
            || matches!(query.question.kind, kind::AXFR | kind::IXFR)
        {
            return self.decide_special(&asked, ledger, out);
        }
        let body = &mut out[reply::body_at(&query)..];
        match self.zones.answer(&query.question, &name, query.dnssec_ok(), body) {
            Some(Ok(answered)) if answered.chase.is_some() && of_site && query.recursion_desired => {
                Decision::Ask
            }
            // The servers of a delegation are asked for those who want an answer (RFC 1034 section 4.3.2).
            Some(Ok(answered)) if answered.referral && of_site && query.recursion_desired => {
                self.decide_foreign(&asked, ledger, out)
            }
            Some(answered) => {
                let written = answered.map(|answered| answered.written);
                self.conclude(&asked, written, Source::Zone, None, ledger, out)
            }
            None if of_site && query.recursion_desired => self.decide_foreign(&asked, ledger, out),
            None => {
                let why = if query.recursion_desired {
                    (ede::PROHIBITED, "recursion is for the site only")
                } else {
                    (ede::NOT_AUTHORITATIVE, "not authoritative, and recursion was not desired")
                };
                self.conclude(
                    &asked,
                    Ok(Written::empty(rcode::REFUSED)),
                    Source::Policy,
                    Some(why),
                    ledger,
                    out,
                )
            }
        }
    }

    /// A name that is not ours, asked by a client that may have it.
    fn decide_foreign(&self, asked: &Asked<'_>, ledger: &Ledger, out: &mut [u8]) -> Decision {
        let query = asked.query;
        let body = &mut out[reply::body_at(query)..];
        if query.question.kind == kind::ANY {
            let Some(room) = body.get_mut(..ANY_ANSWER.len()) else {
                return self.conclude(asked, Err(TooLong), Source::Policy, None, ledger, out);
            };
            room.copy_from_slice(&ANY_ANSWER);
            let len = ANY_ANSWER.len();
            let written = Written { len, answers: 1, additional_at: len, ..Written::empty(rcode::NOERROR) };
            return self.conclude(asked, Ok(written), Source::Policy, None, ledger, out);
        }
        let key = Key {
            name: asked.name,
            kind: query.question.kind,
            dnssec_ok: query.dnssec_ok(),
            checking_disabled: query.checking_disabled,
        };
        let down = if self.upstream_down { self.down_ede(query) } else { None };
        match self.engine.cache.answer(&key, self.now, down.is_some(), body) {
            Hit::Fresh { written, prefetch } => {
                if prefetch {
                    self.engine.refresh(query);
                }
                self.conclude(asked, written, Source::Cache, None, ledger, out)
            }
            Hit::Stale { written, refresh } => {
                if refresh {
                    self.engine.refresh(query);
                }
                self.conclude(asked, written, Source::Stale, stale_ede(written), ledger, out)
            }
            Hit::Failed { written, ede } => {
                self.conclude(asked, Ok(written), Source::Failure, ede, ledger, out)
            }
            // What fails at once need not go round by others.
            Hit::Miss if down.is_some() => {
                let written = Written::empty(rcode::SERVFAIL);
                self.conclude(asked, Ok(written), Source::Failure, down, ledger, out)
            }
            Hit::Miss => Decision::Ask,
        }
    }

    /// Why no upstream server can be asked for the name of `query`, if that is so. Conditional zones have servers of
    /// their own.
    #[cold]
    fn down_ede(&self, query: &Query<'_>) -> Ede {
        let name = Name::from_wire(query.question.name).ok()?;
        self.engine.forwarder.down_ede(&name)
    }

    /// What is no question of class IN about data.
    #[cold]
    fn decide_special(&self, asked: &Asked<'_>, ledger: &Ledger, out: &mut [u8]) -> Decision {
        let query = asked.query;
        let refuse = |why| (rcode::REFUSED, Some(why));
        let is_transfer = matches!(query.question.kind, kind::AXFR | kind::IXFR);
        let (code, why) = match query.opcode {
            opcode::UPDATE if query.tsig_at.is_some() => return Decision::Session(Session::Update),
            opcode::UPDATE => refuse((ede::PROHIBITED, "updates must be signed (TSIG)")),
            opcode::QUERY if query.is_cookie_only() => (rcode::NOERROR, None),
            opcode::QUERY if query.question.class != class::IN => {
                refuse((ede::NOT_SUPPORTED, "only class IN is served"))
            }
            opcode::QUERY if is_transfer => match asked.client.transport {
                Transport::Tcp | Transport::Tls => return Decision::Session(Session::Transfer),
                // The client is to come again over TCP (RFC 1995 section 2).
                Transport::Udp if query.question.kind == kind::IXFR => {
                    return self.conclude(asked, Err(TooLong), Source::Policy, None, ledger, out);
                }
                _ => refuse((ede::NOT_SUPPORTED, "zones are transferred over TCP and TLS only")),
            },
            opcode::QUERY => return Decision::Session(Session::Update),
            _ => refuse((ede::NOT_SUPPORTED, "this server is nobody's secondary")),
        };
        self.conclude(asked, Ok(Written::empty(code)), Source::Policy, why, ledger, out)
    }

    #[cold]
    fn refuse_malformed(
        &self,
        request: &[u8],
        malformed: Malformed,
        client: &Client,
        ledger: &Ledger,
        out: &mut [u8],
    ) -> Decision {
        let engine = self.engine;
        engine.counters.malformed(malformed.name());
        let (Some(len), Reaction::Answer { rcode: code, .. }) =
            (reply::refuse(request, malformed, out), malformed.reaction())
        else {
            return Decision::Drop(DropReason::Malformed(malformed));
        };
        let of_site = self.policy.access.is_of_site(client.address.ip());
        if client.transport == Transport::Udp && !of_site {
            // Cookies of what cannot be read prove nothing.
            let fate = engine.limits.fate(client.address.ip(), code, &[], false, self.now);
            if fate != Fate::Send {
                engine.counters.limited("dropped");
                return Decision::Drop(DropReason::Limited);
            }
        }
        ledger.tally.answered(code, Source::Policy);
        Decision::Reply(len)
    }

    /// Refuses a datagram that is longer than any request has to be; `start` is how it begins.
    #[cold]
    pub fn refuse_too_long(
        &self,
        start: &[u8],
        client: &Client,
        ledger: &Ledger,
        out: &mut [u8],
    ) -> Decision {
        ledger.tally.received(client.transport);
        let malformed = match Query::parse(start) {
            Err(malformed) if malformed.reaction() == Reaction::Drop => malformed,
            _ => Malformed::TooLong,
        };
        self.refuse_malformed(start, malformed, client, ledger, out)
    }

    /// Too many questions wait for somebody else: this one fails at once.
    #[cold]
    pub fn decide_overloaded(
        &self,
        request: &[u8],
        client: &Client,
        ledger: &Ledger,
        out: &mut [u8],
    ) -> Decision {
        let query = match Query::parse(request) {
            Ok(query) => query,
            Err(malformed) => return Decision::Drop(DropReason::Malformed(malformed)),
        };
        self.engine.counters.overloaded.inc();
        let name = LowerName::of(query.question.name);
        let of_site = self.policy.access.is_of_site(client.address.ip());
        let asked = Asked::new(&query, request, client, &name, of_site);
        let why = Some((ede::OTHER, "too many questions wait for upstream servers"));
        let body = &mut out[reply::body_at(&query)..];
        let key = Key {
            name: &name,
            kind: query.question.kind,
            dnssec_ok: query.dnssec_ok(),
            checking_disabled: query.checking_disabled,
        };
        let is_question = query.opcode == opcode::QUERY && query.tsig_at.is_none();
        if is_question
            && let Hit::Stale { written, .. } = self.engine.cache.answer(&key, self.now, true, body)
        {
            return self.conclude(&asked, written, Source::Stale, stale_ede(written), ledger, out);
        }
        self.conclude(&asked, Ok(Written::empty(rcode::SERVFAIL)), Source::Failure, why, ledger, out)
    }
}

/// How a stale answer is marked (RFC 8914 sections 4.4 and 4.20).
pub(super) fn stale_ede(written: Result<Written, TooLong>) -> Ede {
    match written {
        Ok(Written { rcode: rcode::NXDOMAIN, .. }) => {
            Some((ede::STALE_NXDOMAIN, "upstream servers do not answer"))
        }
        _ => Some((ede::STALE_ANSWER, "upstream servers do not answer")),
    }
}

/// The question of a query that others are asked.
pub(super) fn owned(query: &Query<'_>) -> Option<OwnedQuestion> {
    Some(OwnedQuestion {
        name: Name::from_wire(query.question.name).ok()?,
        kind: query.question.kind,
        dnssec_ok: query.dnssec_ok(),
        checking_disabled: query.checking_disabled,
    })
}
