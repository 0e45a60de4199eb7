//! Answers that somebody else has to give: upstream servers, or whoever keeps the books of updates.
//!
//! A question whose answer was known and has expired waits for a fresh one for [`CLIENT_TIME`] only; then, or when
//! asking fails, the old one is good enough (RFC 8767 section 5). Asking goes on all the same.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use faros_common::clock;

use super::client::Client;
use super::decide::{Asked, Decision, Ede, owned, stale_ede};
use super::lane::Pass;
use super::merge;
use super::{Engine, Ledger, MESSAGE_BYTES_MAX, Source, now};
use crate::cache::{Hit, Key};
use crate::forward::{OwnedQuestion, Resolved};
use crate::metrics::Tally;
use crate::protocol::body::{Body, TooLong, Ttl, Written};
use crate::protocol::code::{ede, opcode, rcode};
use crate::protocol::message::Query;
use crate::protocol::name::{LowerName, Name};
use crate::protocol::reply;

/// How long a client waits for a fresh answer where an expired one is at hand (RFC 8767 section 5 recommends 1.8 s;
/// people notice less).
pub const CLIENT_TIME: Duration = Duration::from_millis(300);

/// What frame and options take at most, beside question and body.
const FRAME_BYTES: usize = 1024;

/// An answer without its frame. Its TTLs are right as they stand.
struct Found {
    body: Arc<Body>,
    source: Source,
    ede: Ede,
}

impl Engine {
    /// Everything about one message, for transports that carry whole messages: the reply, or `None` where nothing
    /// goes out.
    pub async fn answer(self: &Arc<Self>, request: &[u8], client: &Client) -> Option<Vec<u8>> {
        self.answer_into(request, client, &self.shared).await
    }

    /// As [`Engine::answer`], and where the answer comes from. It is not counted.
    pub async fn answer_and_source(
        self: &Arc<Self>,
        request: &[u8],
        client: &Client,
    ) -> (Option<Vec<u8>>, Source) {
        let ledger = Ledger { tally: Arc::new(Tally::new(true)), ring: Arc::default() };
        let reply = self.answer_into(request, client, &ledger).await;
        (reply, ledger.tally.source().unwrap_or(Source::Policy))
    }

    /// The reply to a message that could not be answered at once; `None`: nothing goes out.
    pub async fn answer_later(
        self: &Arc<Self>,
        request: &[u8],
        client: &Client,
        pass: Pass,
    ) -> Option<Vec<u8>> {
        self.answer_later_into(request, client, pass, &self.shared).await
    }

    pub(super) async fn answer_into(
        self: &Arc<Self>,
        request: &[u8],
        client: &Client,
        ledger: &Ledger,
    ) -> Option<Vec<u8>> {
        let decision = self.with_scratch(|out| self.view().decide(request, client, ledger, out).taken(out));
        match decision {
            Ok(reply) => Some(reply),
            Err(Decision::Drop(reason)) => {
                self.counters.dropped(reason.name());
                None
            }
            Err(_) => match self.enter(client) {
                Some(pass) => self.answer_later_into(request, client, pass, ledger).await,
                None => self.with_scratch(|out| {
                    self.view().decide_overloaded(request, client, ledger, out).taken(out).ok()
                }),
            },
        }
    }

    async fn answer_later_into(
        self: &Arc<Self>,
        request: &[u8],
        client: &Client,
        pass: Pass,
        ledger: &Ledger,
    ) -> Option<Vec<u8>> {
        let started = clock::now();
        let query = Query::parse(request).ok()?;
        if query.opcode != opcode::QUERY || query.tsig_at.is_some() {
            let _pass = pass;
            return self.answer_signed(&query, request, client, ledger).await;
        }
        let found = self.find(&query).await;
        drop(pass);
        let name = LowerName::of(query.question.name);
        let view = self.view();
        let of_site = view.policy.access.is_of_site(client.address.ip());
        let waited = clock::now().saturating_duration_since(started);
        let asked = Asked { waited, ..Asked::new(&query, request, client, &name, of_site) };
        let body_at = reply::body_at(&query);
        let mut out = vec![0; (body_at + found.body.bytes.len() + FRAME_BYTES).min(MESSAGE_BYTES_MAX)];
        let written = found.body.write(&mut out[body_at..], Ttl::Aged(0));
        match view.conclude(&asked, written, found.source, found.ede, ledger, &mut out) {
            Decision::Reply(len) => {
                out.truncate(len);
                Some(out)
            }
            _ => None,
        }
    }

    /// Asks again in the background for what is about to expire, or has.
    #[cold]
    pub(super) fn refresh(&self, query: &Query<'_>) {
        if let Some(question) = owned(query) {
            self.forwarder.prefetch(question);
        }
    }

    /// The answer to a question that zones and cache did not answer.
    async fn find(self: &Arc<Self>, query: &Query<'_>) -> Found {
        let Some(question) = owned(query) else { return Found::failure(None) };
        let Some((target, written, octets)) = self.alias(query) else {
            // The cache was looked into already, and had nothing that may be given out while upstream servers are up.
            return match self
                .forwarder
                .is_down_for(&question.name)
                .then(|| self.kept(&question, true))
                .flatten()
            {
                Some(found) => found,
                None => self.ask(&question).await,
            };
        };
        let Some(aliases) = merge::aliases(&question.name, question.kind, written, &octets) else {
            return Found::failure(None);
        };
        let end = question.about(target.clone());
        let found = match self.kept(&end, self.forwarder.is_down_for(&target)) {
            Some(found) => found,
            None => self.ask(&end).await,
        };
        if !matches!(found.body.rcode, rcode::NOERROR | rcode::NXDOMAIN) {
            return found;
        }
        match merge::merge(&question.name, question.kind, &aliases, &target, &found.body) {
            Some(Ok(body)) => Found { body: Arc::new(body), ..found },
            _ => Found::failure(Some((ede::OTHER, "the answer is too long"))),
        }
    }

    /// The alias in a zone of ours with which the answer begins, if it does: where it leads, and its records.
    fn alias(self: &Arc<Self>, query: &Query<'_>) -> Option<(Name, Written, Vec<u8>)> {
        let name = LowerName::of(query.question.name);
        let mut out = vec![0; MESSAGE_BYTES_MAX - reply::body_at(query)];
        let answered = self.zones.load().answer(&query.question, &name, query.dnssec_ok(), &mut out)?.ok()?;
        let target = answered.chase?;
        out.truncate(answered.written.len);
        Some((target, answered.written, out))
    }

    /// The answer of upstream servers, or what is kept where that takes too long or fails.
    async fn ask(self: &Arc<Self>, question: &OwnedQuestion) -> Found {
        // Asking goes on without whoever asked first.
        let mut asking = pin!(self.forwarder.resolve(question));
        let resolved = match tokio::time::timeout(CLIENT_TIME, &mut asking).await {
            Ok(resolved) => resolved,
            Err(_) => match self.kept(question, true) {
                Some(found) => return found,
                None => asking.await,
            },
        };
        let stale = (resolved.source == Source::Failure).then(|| self.kept(question, true)).flatten();
        stale.filter(|kept| kept.source == Source::Stale).unwrap_or_else(|| resolved.into())
    }

    /// What the cache has, as a body of its own. `allow_stale`: even if it is past its time.
    fn kept(self: &Arc<Self>, question: &OwnedQuestion, allow_stale: bool) -> Option<Found> {
        let name = LowerName::of(question.name.as_wire());
        let key = Key {
            name: &name,
            kind: question.kind,
            dnssec_ok: question.dnssec_ok,
            checking_disabled: question.checking_disabled,
        };
        self.with_scratch(|out| match self.cache.answer(&key, now(), allow_stale, out) {
            Hit::Fresh { written, .. } => Found::copied(written, out, Source::Cache, None),
            Hit::Stale { written, .. } => Found::copied(written, out, Source::Stale, stale_ede(written)),
            Hit::Failed { written, ede } => Found::copied(Ok(written), out, Source::Failure, ede),
            Hit::Miss => None,
        })
    }
}

impl Decision {
    /// The reply out of the buffer that it was written to, or else the decision.
    fn taken(self, out: &[u8]) -> Result<Vec<u8>, Self> {
        match self {
            Self::Reply(len) => Ok(out[..len].to_vec()),
            other => Err(other),
        }
    }
}

impl Found {
    fn failure(ede: Ede) -> Self {
        Self { body: Arc::new(Body::empty(rcode::SERVFAIL)), source: Source::Failure, ede }
    }

    /// What was written to `out`, without knowledge of where its TTLs are: they are right as they stand.
    fn copied(written: Result<Written, TooLong>, out: &[u8], source: Source, ede: Ede) -> Option<Self> {
        let written = written.ok()?;
        let body = Body {
            rcode: written.rcode,
            authoritative: written.authoritative,
            authentic: written.authentic,
            answers: written.answers,
            authorities: written.authorities,
            additionals: written.additionals,
            bytes: out[..written.len].into(),
            additional_at: written.additional_at as u32,
            ttls: Box::default(),
        };
        Some(Self { body: Arc::new(body), source, ede })
    }
}

impl From<Resolved> for Found {
    fn from(resolved: Resolved) -> Self {
        Self { body: resolved.body, source: resolved.source, ede: resolved.ede }
    }
}
