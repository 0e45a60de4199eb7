//! DNSSEC validation of what upstream answers (RFC 4033 to 4035, 6840), by hickory's validator over our pools.
//!
//! What bounds the work that a hostile zone can cause (CVE-2023-50387 "KeyTrap", CVE-2023-50868, RFC 9276):
//!
//! | Bound | Where |
//! |---|---|
//! | [`SIGNATURES_MAX`] signatures and [`KEYS_MAX`] keys in a reply, [`SIGNATURES_PER_SET`] for a set, [`KEYS_PER_TAG`] keys of one tag | here, before the validator sees it |
//! | [`QUERIES_MAX`] further questions for one question | here |
//! | [`ITERATIONS_INSECURE`], [`ITERATIONS_BOGUS`] rounds of NSEC3 | the validator |
//! | [`AT_ONCE`] validations at a time; the rest wait | here |
//! | the deadline of the question | here |
//!
//! Nothing of it runs on the threads that serve packets.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::ArcSwap;
use faros_common::clock;
use futures_util::Stream;
use futures_util::stream::once;
use hickory_net::dnssec::DnssecDnsHandle;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::xfer::{DnsHandle, FirstAnswer};
use hickory_net::{DnsError, NetError};
use hickory_proto::dnssec::{Proof, TrustAnchors};
use hickory_proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Query};
use hickory_proto::rr::{Name as HickoryName, RData, Record, RecordType};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::protocol::code::{ede, kind};
use crate::protocol::name::Name;

use super::State;
use super::filter::Filtered;
use super::question::OwnedQuestion;
use super::record::{Reply, Rr};
use super::upstream::Answer;

/// Signatures in one reply; one with more is bogus.
pub const SIGNATURES_MAX: usize = 32;
/// Signatures of one set of records; one with more is bogus.
pub const SIGNATURES_PER_SET: usize = 8;
/// Keys in one reply; one with more is bogus.
pub const KEYS_MAX: usize = 32;
/// Keys with the same tag in one reply; one with more is bogus.
pub const KEYS_PER_TAG: usize = 4;
/// Questions about keys, delegations and cuts that one question may lead to.
pub const QUERIES_MAX: u32 = 48;
/// Rounds of NSEC3 beyond which a denial counts as unsigned (RFC 9276 section 3.2).
pub const ITERATIONS_INSECURE: u16 = 50;
/// Rounds of NSEC3 beyond which a denial is bogus.
pub const ITERATIONS_BOGUS: u16 = 150;
/// Validations at a time.
pub const AT_ONCE: usize = 64;

/// Replies about keys, delegations and cuts that are kept; when full, all are forgotten.
const SUPPORT_MAX: usize = 2048;
/// They are kept for at least this.
const SUPPORT_SECS_MIN: u32 = 5;
/// They are kept for at most this.
const SUPPORT_SECS_MAX: u32 = 3600;
/// Verdicts that the validator keeps.
const VERDICTS_MAX: usize = 8192;
/// A clock before 2026-01-01 has not been set yet. No signature can be judged by it, and NTP needs names to set it.
const CLOCK_SECS_MIN: u64 = 1_767_225_600;

/// What validation found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Signed, and the signatures are right.
    Secure,
    /// Provably not signed, or exempt.
    Insecure,
    /// Signatures are wrong or missing: code and text for the client.
    Bogus((u16, &'static str)),
}

/// The validator; one for the daemon.
pub(super) struct Validator {
    handle: DnssecDnsHandle<Asker>,
    support: Support,
    permits: Semaphore,
}

impl Validator {
    pub(super) fn new(state: Arc<ArcSwap<State>>, anchors: Arc<TrustAnchors>) -> Self {
        let support = Support::default();
        let asker = Asker { state, support: support.clone() };
        let handle = DnssecDnsHandle::with_trust_anchor(asker, anchors)
            .nsec3_iteration_limits(Some(ITERATIONS_INSECURE), Some(ITERATIONS_BOGUS))
            .validation_cache_size(VERDICTS_MAX);
        Self { handle, support, permits: Semaphore::new(AT_ONCE) }
    }

    /// Judges `filtered`, which is what is left of `answer` to `question`. Lowers times to live to what the
    /// signatures allow.
    pub(super) async fn judge(
        &self,
        question: &OwnedQuestion,
        answer: Answer,
        filtered: &mut Filtered,
        is_exempt: impl Fn(&Name) -> bool,
        deadline: Instant,
    ) -> Verdict {
        if clock::wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) < CLOCK_SECS_MIN {
            return Verdict::Insecure;
        }
        if is_abusive(&answer.reply) {
            return Verdict::Bogus((ede::DNSSEC_BOGUS, "more keys or signatures than are checked"));
        }
        let Ok(_permit) = self.permits.acquire().await else { return Verdict::Insecure };
        let Some(name) = to_hickory(&question.name) else {
            return Verdict::Bogus((ede::INVALID_DATA, "the name cannot be validated"));
        };
        let query = Query::query(name, RecordType::from(question.kind));
        let case = Arc::new(Case {
            first: Mutex::new(Some((question.name.clone(), question.kind, answer.wire))),
            left: AtomicU32::new(QUERIES_MAX),
            deadline,
        });
        // The call is in the scope as well: it is then that the validator asks.
        let lookup = async { self.handle.lookup(query, DnsRequestOptions::default()).first_answer().await };
        let verdict = match timeout_at(deadline, Box::pin(CASE.scope(case, lookup))).await {
            Err(_) => Verdict::Bogus((ede::DNSSEC_INDETERMINATE, "validation took too long")),
            Ok(Ok(response)) => weigh(&response, filtered, is_exempt),
            Ok(Err(NetError::Dns(DnsError::Nsec { response, proof, .. }))) => match proof {
                Proof::Insecure => weigh(&response, filtered, is_exempt),
                _ => Verdict::Bogus((ede::NSEC_MISSING, "nothing proves that there is none")),
            },
            Ok(Err(error)) => {
                debug!(name = %question.name, %error, "not validated");
                Verdict::Bogus((ede::DNSSEC_INDETERMINATE, "validation could not be completed"))
            }
        };
        match verdict {
            Verdict::Bogus((ede::DNSSEC_BOGUS, _)) => {
                // What it rested on may be what is wrong.
                self.support.clear();
                Verdict::Bogus(reason(&answer.reply))
            }
            verdict => verdict,
        }
    }
}

tokio::task_local! {
    /// The question that is being validated.
    static CASE: Arc<Case>;
}

struct Case {
    /// The answer that is to be judged, so that it is not asked for again.
    first: Mutex<Option<(Name, u16, Vec<u8>)>>,
    /// Questions that it may still lead to.
    left: AtomicU32,
    deadline: Instant,
}

/// How the validator asks.
#[derive(Clone)]
struct Asker {
    state: Arc<ArcSwap<State>>,
    support: Support,
}

type Answers = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;

impl DnsHandle for Asker {
    type Response = Answers;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Answers {
        let (asker, case) = (self.clone(), CASE.try_with(Arc::clone));
        let query = request.queries.first().cloned();
        Box::pin(once(async move {
            let (Ok(case), Some(query)) = (case, query) else {
                return Err(NetError::from("nothing is being validated"));
            };
            DnsResponse::from_buffer(asker.ask(&case, &query).await?).map_err(NetError::from)
        }))
    }
}

impl Asker {
    fn ask<'a>(
        &'a self,
        case: &'a Case,
        query: &'a Query,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, NetError>> + Send + 'a>> {
        Box::pin(async move {
            let name = of_hickory(query.name()).ok_or_else(|| NetError::from("no name"))?.lower();
            let kind = u16::from(query.query_type());
            if let Some(first) = case.take_first(&name, kind) {
                return Ok(first);
            }
            if let Some(kept) = self.support.get(&name, kind, Instant::now()) {
                return Ok(kept);
            }
            if case
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_err()
            {
                return Err(NetError::from("too many questions to validate one"));
            }
            let question = OwnedQuestion { dnssec_ok: true, ..OwnedQuestion::new(name.clone(), kind) };
            let state = self.state.load_full();
            let answer = state.routes.of(&name).pool.ask(&question, case.deadline).await;
            let answer = answer.map_err(|_| NetError::from("no answer from upstream"))?;
            if is_abusive(&answer.reply) {
                return Err(NetError::from("more keys or signatures than are checked"));
            }
            self.support.keep(&name, kind, &answer, Instant::now());
            Ok(answer.wire)
        })
    }
}

impl Case {
    fn take_first(&self, name: &Name, kind: u16) -> Option<Vec<u8>> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.take_if(|(asked, asked_kind, _)| asked == name && *asked_kind == kind).map(|(_, _, wire)| wire)
    }
}

type Kept = HashMap<(Name, u16), (Vec<u8>, Instant)>;

/// Replies about keys, delegations and cuts, which many questions share.
#[derive(Clone, Default)]
struct Support(Arc<Mutex<Kept>>);

impl Support {
    fn get(&self, name: &Name, kind: u16, now: Instant) -> Option<Vec<u8>> {
        let kept = self.lock();
        kept.get(&(name.clone(), kind)).filter(|(_, until)| now < *until).map(|(wire, _)| wire.clone())
    }

    fn keep(&self, name: &Name, kind: u16, answer: &Answer, now: Instant) {
        let records = answer.reply.answers.iter().chain(&answer.reply.authorities);
        let secs =
            records.map(|record| record.ttl).min().unwrap_or(0).clamp(SUPPORT_SECS_MIN, SUPPORT_SECS_MAX);
        let mut kept = self.lock();
        if kept.len() >= SUPPORT_MAX {
            kept.clear();
        }
        kept.insert((name.clone(), kind), (answer.wire.clone(), now + Duration::from_secs(secs.into())));
    }

    fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a reply holds more than an honest zone has use for.
fn is_abusive(reply: &Reply) -> bool {
    let mut sets: HashMap<(&Name, Option<u16>), usize> = HashMap::new();
    let mut tags: HashMap<u16, usize> = HashMap::new();
    let (mut signatures, mut keys) = (0, 0);
    for record in reply.answers.iter().chain(&reply.authorities) {
        match record.kind {
            kind::RRSIG => {
                signatures += 1;
                *sets.entry((&record.owner, record.covered())).or_default() += 1;
            }
            kind::DNSKEY => {
                keys += 1;
                *tags.entry(key_tag(&record.rdata)).or_default() += 1;
            }
            _ => {}
        }
    }
    signatures > SIGNATURES_MAX
        || keys > KEYS_MAX
        || sets.values().any(|&count| count > SIGNATURES_PER_SET)
        || tags.values().any(|&count| count > KEYS_PER_TAG)
}

/// The tag of a key (RFC 4034 appendix B).
fn key_tag(rdata: &[u8]) -> u16 {
    let sum = rdata.iter().enumerate().fold(0u32, |sum, (at, octet)| {
        sum.wrapping_add(if at % 2 == 0 { u32::from(*octet) << 8 } else { u32::from(*octet) })
    });
    (sum + (sum >> 16)) as u16
}

/// The verdict on what the filter left, from the proofs that the validator found for each record.
fn weigh(response: &DnsResponse, filtered: &mut Filtered, is_exempt: impl Fn(&Name) -> bool) -> Verdict {
    let mut proofs: HashMap<(Name, u16), (Proof, u32)> = HashMap::new();
    for record in response.answers.iter().chain(&response.authorities) {
        let Some(owner) = of_hickory(&record.name) else { continue };
        let set = proofs.entry((owner, type_of(record))).or_insert((record.proof, record.ttl));
        *set = (worse(set.0, record.proof), set.1.min(record.ttl));
    }
    let dnames: Vec<Name> = filtered
        .answers
        .iter()
        .filter(|record| record.kind == kind::DNAME)
        .map(|record| record.owner.clone())
        .collect();
    let mut verdict = Verdict::Secure;
    let mut judged = 0;
    for record in filtered.answers.iter_mut().chain(&mut filtered.authorities) {
        // What is made of a DNAME is not signed (RFC 6672 section 5.3.1); signatures are judged by what they cover.
        let made = record.kind == kind::CNAME
            && dnames.iter().any(|dname| *dname != record.owner && record.owner.is_within(dname));
        if made || record.kind == kind::RRSIG {
            continue;
        }
        judged += 1;
        if is_exempt(&record.owner) {
            verdict = Verdict::Insecure;
            continue;
        }
        match proofs.get(&(record.owner.clone(), record.kind)) {
            Some((Proof::Secure, ttl)) => record.ttl = record.ttl.min(*ttl),
            Some((Proof::Insecure, _)) => verdict = Verdict::Insecure,
            _ => return Verdict::Bogus((ede::DNSSEC_BOGUS, "signatures do not validate")),
        }
    }
    if judged == 0 { Verdict::Insecure } else { verdict }
}

fn worse(one: Proof, other: Proof) -> Proof {
    let rank = |proof: Proof| match proof {
        Proof::Secure => 0,
        Proof::Insecure => 1,
        Proof::Indeterminate => 2,
        Proof::Bogus => 3,
    };
    if rank(one) >= rank(other) { one } else { other }
}

/// What of a bogus reply can be seen without keys.
fn reason(reply: &Reply) -> (u16, &'static str) {
    let now = clock::wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) as u32;
    let signatures: Vec<&Rr> =
        reply.answers.iter().chain(&reply.authorities).filter(|record| record.kind == kind::RRSIG).collect();
    // Expiration and inception, of serial arithmetic (RFC 4034 section 3.1.5).
    let time = |record: &Rr, at: usize| -> Option<i32> {
        let octets = record.rdata.get(at..)?.first_chunk()?;
        Some(u32::from_be_bytes(*octets).wrapping_sub(now) as i32)
    };
    if signatures.is_empty() {
        (ede::RRSIGS_MISSING, "signatures are missing")
    } else if signatures.iter().all(|record| time(record, 8).is_some_and(|left| left < 0)) {
        (ede::SIGNATURE_EXPIRED, "signatures have expired")
    } else if signatures.iter().all(|record| time(record, 12).is_some_and(|since| since > 0)) {
        (ede::SIGNATURE_NOT_YET_VALID, "signatures are not yet valid")
    } else {
        (ede::DNSSEC_BOGUS, "signatures do not validate")
    }
}

fn type_of(record: &Record<RData>) -> u16 {
    u16::from(record.record_type())
}

fn to_hickory(name: &Name) -> Option<HickoryName> {
    HickoryName::from_labels(name.labels()).ok()
}

fn of_hickory(name: &HickoryName) -> Option<Name> {
    let mut wire = Vec::with_capacity(name.len() + 1);
    for label in name.iter() {
        wire.push(u8::try_from(label.len()).ok()?);
        wire.extend_from_slice(label);
    }
    wire.push(0);
    Name::from_wire(&wire).ok()
}
