//! One upstream server: asking it in whatever way works, and keeping an eye on whether it lives.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use faros_common::tasks;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use crate::protocol::code::rcode;

use super::filter;
use super::habits::Habits;
use super::health::Cause;
use super::probe;
use super::query::{Extension, Form, Query};
use super::question::OwnedQuestion;
use super::record::Reply;
use super::stream::{Answered, Connection, StreamError, Tls};
use super::udp::{self, Outcome};
use super::vitals::Vitals;

/// Times that one question is put in another form to the same upstream: without EDNS, with a new cookie, over TCP.
const FORMS_MAX: u32 = 4;
/// How long TCP is tried where UDP did not settle a question.
const FALL_BACK_TIMEOUT: Duration = Duration::from_millis(1500);

/// A reply that answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The reply.
    pub reply: Reply,
    /// Its octets, with the question spelled in lower case.
    pub wire: Vec<u8>,
}

/// Why an upstream gave no answer.
#[derive(Clone, Debug)]
pub enum Failure {
    /// It is down.
    Down(Cause),
    /// It answers, but not this: SERVFAIL, REFUSED and the like.
    Refused {
        /// The response code.
        rcode: u16,
        /// What it said about it (RFC 8914).
        extended_error: Option<u16>,
    },
    /// Its replies cannot be used.
    Malformed,
    /// This host lacks the means to ask: descriptors, memory, ports.
    Exhausted,
    /// Time is up.
    Late,
}

/// Who it is.
#[derive(Clone, PartialEq)]
pub struct Identity {
    /// Its address.
    pub address: SocketAddr,
    /// The name in its certificate; `None` for UDP and TCP.
    pub tls_name: Option<String>,
    /// A question that it answers fast, for probes.
    pub probe: OwnedQuestion,
}

/// An upstream server.
pub struct Upstream {
    identity: Identity,
    tls: Option<Tls>,
    vitals: Arc<Vitals>,
    habits: Mutex<Habits>,
    connection: Mutex<Option<Connection>>,
    replaced: Notify,
    probing: AtomicBool,
}

impl Upstream {
    /// An upstream that nothing is known of yet.
    pub fn new(identity: Identity, tls: Option<Tls>, vitals: Arc<Vitals>) -> Arc<Self> {
        Arc::new(Self {
            identity,
            tls,
            vitals,
            habits: Mutex::new(Habits::new()),
            connection: Mutex::new(None),
            replaced: Notify::new(),
            probing: AtomicBool::new(false),
        })
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Asks the probe's question, `count` times before unsuccessfully; whether it lives.
    pub(super) async fn ask_probe(self: &Arc<Self>, count: u32) -> Result<(), Failure> {
        // The first goes over the connection in use, which is most likely sound.
        if self.tls.is_some() && count > 0 {
            self.renew().await?;
            // The time that the handshakes took says nothing about answers.
            self.vitals.answered(None, Instant::now());
            return Ok(());
        }
        let started = Instant::now();
        let probe = &self.identity.probe;
        let answer =
            if self.tls.is_some() { self.over_stream(probe).await } else { self.over_udp(probe).await };
        match answer {
            // Whatever it says, it lives.
            Ok(_) | Err(Failure::Refused { .. } | Failure::Malformed) => {
                self.vitals.path(started.elapsed());
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// The probing has ended.
    pub(super) fn on_probed(&self) {
        self.probing.store(false, Ordering::Release);
    }

    /// Its health and counters.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// What was learned of it.
    pub fn habits(&self) -> Habits {
        self.lock_habits().clone()
    }

    /// Asks it. Ends when it answers, refuses, or is found to be down; the caller bounds the time.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask(self: &Arc<Self>, question: &OwnedQuestion) -> Result<Answer, Failure> {
        let suspicious_after = self.vitals.health().hedge_after();
        let watch = async {
            sleep(suspicious_after).await;
            self.probe();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = self.converse(question) => answer,
            cause = self.vitals.until_down() => Err(Failure::Down(cause)),
            () = watch => Err(Failure::Late),
        }
    }

    /// Begins to look whether it lives, unless that is under way.
    pub fn probe(self: &Arc<Self>) {
        if self.probing.swap(true, Ordering::AcqRel) {
            return;
        }
        self.vitals.suspected(Instant::now());
        tasks::spawn("dns_probe", probe::until_answered(Arc::downgrade(self)));
    }

    async fn converse(self: &Arc<Self>, question: &OwnedQuestion) -> Result<Answer, Failure> {
        let answer =
            if self.tls.is_some() { self.over_stream(question).await } else { self.over_udp(question).await };
        if let Err(Failure::Down(cause)) = answer {
            self.vitals.failed(cause, Instant::now());
            self.probe();
        }
        answer
    }

    async fn over_udp(self: &Arc<Self>, question: &OwnedQuestion) -> Result<Answer, Failure> {
        let mut form = self.lock_habits().form(Instant::now());
        let mut without_edns = false;
        for _ in 0..FORMS_MAX {
            let query = Query::new(question, form.clone());
            let resend_after = self.vitals.health().hedge_after();
            let outcome = udp::exchange(self.identity.address, &query, resend_after, &self.vitals).await;
            let (reply, wire) = match outcome.map_err(|error| self.network_failure(&error))? {
                Outcome::Reply(reply, wire, round_trip) => {
                    self.vitals.answered(round_trip, Instant::now());
                    (*reply, wire)
                }
                Outcome::FormatError => {
                    self.vitals.answered(None, Instant::now());
                    if !query.has_edns() {
                        return Err(self.refusal(rcode::FORMERR, None));
                    }
                    form.extension = Extension::None;
                    without_edns = true;
                    continue;
                }
                Outcome::Truncated => {
                    self.vitals.counters().truncated.inc();
                    self.vitals.answered(None, Instant::now());
                    return self.fall_back(question).await;
                }
                Outcome::Suspicious => return self.fall_back(question).await,
                Outcome::CaseFolded => {
                    self.lock_habits().on_case_folded(Instant::now());
                    match self.fall_back(question).await {
                        // No TCP there: what is left to guard the question are id and port.
                        Err(Failure::Malformed) => form.mixed_case = false,
                        ended => return ended,
                    }
                    continue;
                }
            };
            if query.has_edns() && is_edns_stumble(reply.rcode) {
                form.extension = Extension::None;
                without_edns = true;
                continue;
            }
            match self.learn(&form, &reply, without_edns) {
                Lesson::Good => return self.judge(reply, wire),
                Lesson::NewCookie(again) => form = again,
                Lesson::Doubtful => {
                    let answer = self.fall_back(question).await;
                    if answer.is_ok() {
                        self.lock_habits().on_no_cookie();
                    }
                    return answer;
                }
            }
        }
        Err(Failure::Malformed)
    }

    /// Asks over TCP what UDP did not settle. Whether TCP works there says nothing about the upstream's health.
    async fn fall_back(&self, question: &OwnedQuestion) -> Result<Answer, Failure> {
        let answer = timeout(FALL_BACK_TIMEOUT, self.over_stream(question)).await;
        match answer.unwrap_or(Err(Failure::Malformed)) {
            Err(Failure::Down(_)) => Err(Failure::Malformed),
            ended => ended,
        }
    }

    /// Draws the lessons of a reply over UDP.
    fn learn(&self, form: &Form, reply: &Reply, without_edns: bool) -> Lesson {
        let now = Instant::now();
        let mut habits = self.lock_habits();
        if form.mixed_case {
            habits.on_case_echoed();
        }
        if without_edns && !is_edns_stumble(reply.rcode) {
            habits.on_no_edns(now);
        }
        if !matches!(form.extension, Extension::Cookie { .. }) {
            return Lesson::Good;
        }
        let cookie = reply.opt.as_ref().and_then(|opt| opt.cookie.as_deref());
        let is_new = cookie.is_some_and(|cookie| habits.on_cookie(cookie));
        match (reply.rcode, cookie) {
            (rcode::BADCOOKIE, Some(_)) if is_new => Lesson::NewCookie(habits.form(now)),
            (rcode::BADCOOKIE, _) => Lesson::Doubtful,
            (_, None) if habits.expects_cookie() => Lesson::Doubtful,
            _ => Lesson::Good,
        }
    }

    /// Asks over the connection that all questions share; once more over a new one if that breaks or is replaced.
    async fn over_stream(&self, question: &OwnedQuestion) -> Result<Answer, Failure> {
        let mut form = self.lock_habits().stream_form(self.tls.is_some(), Instant::now());
        let mut last = Failure::Malformed;
        let mut without_edns = false;
        for _ in 0..FORMS_MAX {
            let replaced = self.replaced.notified();
            let (connection, fresh) = self.connection();
            let query = Query::new(question, form.clone());
            let has_edns = query.has_edns();
            let started = Instant::now();
            let answered = tokio::select! {
                answered = connection.ask(query) => answered,
                () = replaced => continue,
            };
            match answered {
                Ok(Answered::Reply(reply, _)) if has_edns && is_edns_stumble(reply.rcode) => {
                    form.extension = Extension::None;
                    without_edns = true;
                }
                Ok(Answered::FormatError) if has_edns => {
                    form.extension = Extension::None;
                    without_edns = true;
                }
                Ok(Answered::FormatError) => return Err(self.refusal(rcode::FORMERR, None)),
                Ok(Answered::Reply(reply, wire)) => {
                    // The time that a connection took to come about says nothing about answers.
                    let round_trip = (!fresh && self.tls.is_some()).then(|| started.elapsed());
                    self.vitals.answered(round_trip, Instant::now());
                    if without_edns && !is_edns_stumble(reply.rcode) {
                        self.lock_habits().on_no_edns(Instant::now());
                    }
                    return self.judge(*reply, wire);
                }
                Err(StreamError::Unreadable) => return Err(Failure::Malformed),
                Err(StreamError::Busy) => return Err(Failure::Exhausted),
                Err(StreamError::Closed) if !fresh => {}
                Err(StreamError::Closed) if matches!(last, Failure::Malformed) => {
                    last = Failure::Down(Cause::Network);
                }
                Err(StreamError::Closed) => return Err(last),
                Err(error @ (StreamError::Connect(_) | StreamError::Tls(_))) => {
                    debug!(upstream = self.vitals.label(), %error, "upstream not connected");
                    return Err(match error {
                        StreamError::Connect(error) if udp::is_local(&error) => Failure::Exhausted,
                        StreamError::Connect(_) => Failure::Down(Cause::Network),
                        _ => Failure::Down(Cause::Tls),
                    });
                }
            }
        }
        Err(last)
    }

    /// Whether what it says is an answer.
    fn judge(&self, reply: Reply, wire: Vec<u8>) -> Result<Answer, Failure> {
        if filter::is_lame(&reply) {
            return Err(self.refusal(rcode::REFUSED, None));
        }
        match reply.rcode {
            rcode::NOERROR | rcode::NXDOMAIN => Ok(Answer { reply, wire }),
            rcode::SERVFAIL => {
                let extended_error = reply.opt.and_then(|opt| opt.extended_error);
                Err(Failure::Refused { rcode: rcode::SERVFAIL, extended_error })
            }
            code => Err(self.refusal(code, reply.opt.and_then(|opt| opt.extended_error))),
        }
    }

    fn refusal(&self, rcode: u16, extended_error: Option<u16>) -> Failure {
        self.vitals.refused(Instant::now());
        Failure::Refused { rcode, extended_error }
    }

    fn network_failure(&self, error: &std::io::Error) -> Failure {
        debug!(upstream = self.vitals.label(), %error, "upstream not reached");
        if udp::is_local(error) { Failure::Exhausted } else { Failure::Down(Cause::Network) }
    }

    /// The connection in use, or a new one; and whether it is new.
    fn connection(&self) -> (Connection, bool) {
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.is_closed()) {
            return (connection.clone(), false);
        }
        let connection = Connection::open(self.identity.address, self.tls.clone(), self.vitals.clone());
        *slot = Some(connection.clone());
        (connection, true)
    }

    /// Asks for the probe's question over a connection of its own, which becomes the one in use if it answers:
    /// the other may be dead without knowing, after a change of the network.
    async fn renew(&self) -> Result<(), Failure> {
        let connection = Connection::open(self.identity.address, self.tls.clone(), self.vitals.clone());
        let form = self.lock_habits().stream_form(self.tls.is_some(), Instant::now());
        match connection.ask(Query::new(&self.identity.probe, form)).await {
            Ok(_) => {
                *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
                self.replaced.notify_waiters();
                Ok(())
            }
            Err(StreamError::Tls(_)) => Err(Failure::Down(Cause::Tls)),
            Err(_) => Err(Failure::Down(Cause::Network)),
        }
    }

    fn lock_habits(&self) -> std::sync::MutexGuard<'_, Habits> {
        self.habits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Lesson {
    /// The reply can be used.
    Good,
    /// The server wants its new cookie to be shown.
    NewCookie(Form),
    /// The cookie is missing, or refused although it is the server's last: TCP tells.
    Doubtful,
}

/// Whether a server that knows no EDNS answers so (RFC 6891 section 7); BADVERS is said by those that know another.
fn is_edns_stumble(code: u16) -> bool {
    matches!(code, rcode::FORMERR | rcode::NOTIMP | rcode::BADVERS)
}
