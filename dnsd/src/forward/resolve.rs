//! One question from beginning to end: asking along the chain, filtering, and making a body of it.

use std::sync::Arc;

use tokio::time::Instant;

use crate::protocol::body::{Body, BodyError, Builder, Section};
use crate::protocol::code::{ede, kind, rcode};
use crate::protocol::name::Name;
use crate::site_zones::Source;

use super::filter::{self, CHAIN_MAX, Filtered, Rules};
use super::record::Rr;
use super::upstream::Failure;
use super::validate::Verdict;
use super::{Forwarder, OwnedQuestion, Resolved, State, late, unreachable};

/// Times that the chain of one question leads to somebody else, who has to be asked in turn.
const TURNS_MAX: usize = 5;
/// An answer that holds data of our own zones is kept for no longer than this: they may change.
const OWN_TTL_SECS: u32 = 30;
/// The size of the numbers of an SOA record.
const SOA_NUMBERS_BYTES: usize = 20;

/// An answer in the making.
struct Draft {
    answers: Vec<Rr>,
    authorities: Vec<Rr>,
    rcode: u16,
    links: usize,
    /// Records were withheld because they lead inside.
    withheld: bool,
    /// Some of it is out of our own zones.
    own: bool,
    /// All of it was validated.
    authentic: bool,
}

/// Why there is no draft.
pub(super) enum Broken {
    /// Upstream gave no answer.
    Upstream(Failure),
    /// What upstream gave is of no use, or failed validation.
    Answer((u16, &'static str)),
}

impl Forwarder {
    pub(super) async fn find(&self, question: &OwnedQuestion, deadline: Instant) -> Resolved {
        let state = self.state.load_full();
        let question = question.about(question.name.lower());
        match self.draft(&state, &question, deadline).await {
            Ok(draft) => self.conclude(&question, &draft),
            Err(broken) => self.fail(&question, &broken),
        }
    }

    async fn draft(
        &self,
        state: &State,
        question: &OwnedQuestion,
        deadline: Instant,
    ) -> Result<Draft, Broken> {
        let mut draft = Draft {
            answers: Vec::new(),
            authorities: Vec::new(),
            rcode: rcode::NOERROR,
            links: 0,
            withheld: false,
            own: false,
            authentic: true,
        };
        let mut current = question.clone();
        for turn in 0..TURNS_MAX {
            // The question itself is known not to be ours: the engine has looked.
            let is_own = turn > 0 && self.surroundings.owns(&current.name);
            let own = is_own.then(|| self.surroundings.answer(&current)).flatten();
            let next = match own {
                Some(own) => {
                    draft.take_own(own.rcode, own.answers, own.authorities);
                    own.next
                }
                None => {
                    let filtered =
                        self.ask(state, &current, draft.links, deadline, &mut draft.authentic).await?;
                    draft.take(filtered)
                }
            };
            let Some(next) = next else { return Ok(draft) };
            if draft.links >= CHAIN_MAX || draft.answers.iter().any(|record| record.owner == next) {
                return Err(Broken::Answer((ede::OTHER, "aliases lead in a circle, or too far")));
            }
            current = current.about(next.lower());
        }
        Err(Broken::Answer((ede::OTHER, "aliases lead too far")))
    }

    async fn ask(
        &self,
        state: &State,
        question: &OwnedQuestion,
        links: usize,
        deadline: Instant,
        authentic: &mut bool,
    ) -> Result<Filtered, Broken> {
        let route = state.routes.of(&question.name);
        let is_exempt = |name: &Name| {
            state.routes.of(name).zone.is_some()
                || state.config.negative_trust_anchors.iter().any(|zone| name.is_within(zone))
        };
        let validate = state.config.validate && !question.checking_disabled && !is_exempt(&question.name);
        let asked = OwnedQuestion {
            dnssec_ok: question.dnssec_ok || validate,
            // What upstream would refuse as bogus is wanted where we are told not to validate (RFC 7646 section 1.1).
            checking_disabled: question.checking_disabled || (state.config.validate && !validate),
            ..question.clone()
        };
        let answer = route.pool.ask(&asked, deadline).await.map_err(Broken::Upstream)?;
        let leaves = |name: &Name| self.surroundings.owns(name) || !state.routes.of(name).is_same(&route);
        let may_be_private = |owner: &Name| {
            route.zone.is_some() || state.config.private.iter().any(|zone| owner.is_within(zone))
        };
        let rules = Rules { leaves: &leaves, may_be_private: &may_be_private };
        let mut filtered = filter::filter(question, &answer.reply, links, &rules).map_err(|error| {
            self.counters.dropped(error.name());
            Broken::Answer((ede::INVALID_DATA, "the answer's aliases lead nowhere"))
        })?;
        *authentic &= validate;
        if validate {
            let verdict = self.validator.judge(question, answer, &mut filtered, is_exempt, deadline).await;
            *authentic &= verdict == Verdict::Secure;
            match verdict {
                Verdict::Secure => self.counters.secure.inc(),
                Verdict::Insecure => self.counters.insecure.inc(),
                Verdict::Bogus(why) => {
                    self.counters.bogus.inc();
                    return Err(Broken::Answer(why));
                }
            };
        }
        self.counters.stray_records.inc_by(filtered.dropped as u64);
        self.counters.rebinding_records.inc_by(filtered.rebinding as u64);
        Ok(filtered)
    }

    fn conclude(&self, question: &OwnedQuestion, draft: &Draft) -> Resolved {
        let answered = draft.answers.iter().any(|record| record.kind == question.kind);
        if draft.withheld && !answered {
            self.counters.dropped("rebinding");
            let body = Body::empty(rcode::NOERROR);
            let why = (ede::BLOCKED, "a public server gave a private address");
            return Resolved { body: Arc::new(body), ede: Some(why), source: Source::Policy };
        }
        match draft.body(question) {
            Ok(body) => {
                self.counters.resolved.inc();
                self.surroundings.store(question, &body);
                Resolved { body: Arc::new(body), ede: None, source: Source::Upstream }
            }
            Err(_) => self.fail(question, &Broken::Answer((ede::INVALID_DATA, "the answer is too long"))),
        }
    }

    fn fail(&self, question: &OwnedQuestion, broken: &Broken) -> Resolved {
        self.counters.failed.inc();
        let (why, remembered) = match broken {
            // That is known without asking, and over as soon as a probe is answered: not to be remembered.
            Broken::Upstream(Failure::Down(cause)) => (unreachable(*cause), false),
            Broken::Upstream(Failure::Exhausted) => ((ede::OTHER, "too many questions under way"), false),
            Broken::Upstream(Failure::Late) => (late().ede.unwrap_or_default(), true),
            Broken::Upstream(Failure::Malformed) => {
                ((ede::INVALID_DATA, "upstream answers cannot be read"), true)
            }
            Broken::Upstream(Failure::Refused { extended_error, .. }) => (refusal(*extended_error), true),
            Broken::Answer(why) => (*why, true),
        };
        if remembered {
            self.surroundings.store_failure(question, rcode::SERVFAIL, Some(why));
        }
        Resolved::failure(why)
    }
}

impl Draft {
    fn take(&mut self, filtered: Filtered) -> Option<Name> {
        self.answers.extend(filtered.answers);
        self.authorities = filtered.authorities;
        self.rcode = filtered.rcode;
        self.links = filtered.links;
        self.withheld |= filtered.rebinding > 0;
        filtered.next
    }

    fn take_own(&mut self, rcode: u16, answers: Vec<Rr>, authorities: Vec<Rr>) {
        self.own = true;
        self.authentic = false;
        self.rcode = rcode;
        self.links += answers.iter().filter(|record| record.kind == kind::CNAME).count();
        self.answers.extend(answers);
        self.authorities = authorities;
    }

    fn body(&self, question: &OwnedQuestion) -> Result<Body, BodyError> {
        let mut builder = Builder::new(question.name.as_wire())?;
        let limit = if self.own { OWN_TTL_SECS } else { u32::MAX };
        for record in &self.answers {
            let ttl = record.ttl.min(limit);
            builder.record(Section::Answer, record.owner.as_wire(), record.kind, ttl, &record.rdata)?;
        }
        for record in &self.authorities {
            let ttl = denial_ttl(record).min(limit);
            builder.record(Section::Authority, record.owner.as_wire(), record.kind, ttl, &record.rdata)?;
        }
        Ok(builder.finish(self.rcode, false, self.authentic))
    }
}

/// The time that a denial may be kept (RFC 2308 section 5); of other records, their own.
fn denial_ttl(record: &Rr) -> u32 {
    match record.rdata.last_chunk::<4>() {
        Some(minimum) if record.kind == kind::SOA && record.rdata.len() > SOA_NUMBERS_BYTES => {
            record.ttl.min(u32::from_be_bytes(*minimum))
        }
        _ => record.ttl,
    }
}

/// Passes on what an upstream said about its failure, where a client may conclude something from it.
fn refusal(code: Option<u16>) -> (u16, &'static str) {
    match code {
        Some(code @ ede::UNSUPPORTED_DNSKEY_ALGORITHM..=ede::UNSUPPORTED_DS_DIGEST) => {
            (code, "upstream cannot validate it")
        }
        Some(code @ ede::DNSSEC_INDETERMINATE..=ede::NSEC_MISSING) => (code, "upstream found it bogus"),
        Some(code @ ede::BLOCKED..=ede::FILTERED) => (code, "upstream blocks it"),
        Some(code @ ede::NO_REACHABLE_AUTHORITY..=ede::NETWORK_ERROR) => {
            (code, "upstream reached no server for it")
        }
        _ => (ede::OTHER, "all upstream servers failed on it"),
    }
}
