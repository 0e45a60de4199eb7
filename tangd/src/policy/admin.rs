//! The operator's verbs: `GET /waiting`, `POST /approve`, `POST /lock`, `POST /unlock`.
//!
//! | Verb | Query | Does |
//! |---|---|---|
//! | `GET /waiting` | | who waits, who is approved, what is locked |
//! | `POST /approve` | `node=NAME\|ADDRESS`, `for=10m` | lets it through, whatever holds it or is shut |
//! | `POST /lock` | `node=NAME\|ADDRESS` or `all=1`, `reason=` | nothing is recovered; ends approvals |
//! | `POST /unlock` | `node=NAME\|ADDRESS` or `all=1` | ends that lock; `all` leaves locks on single nodes |

use std::net::IpAddr;
use std::time::Duration;

use faros_common::admin::{AdminRequest, AdminResponse};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::locks::{Change, Lock};
use super::{Moment, Policy};

/// How long an approval lasts that says nothing else: a machine that boots asks within it, however slow its firmware.
pub const APPROVAL_USUAL: Duration = Duration::from_secs(10 * 60);
/// The longest approval; what is to last longer belongs into the site file.
pub const APPROVAL_MAX: Duration = Duration::from_secs(24 * 3600);
/// The longest reason of a lock, in characters.
const REASON_CHARS_MAX: usize = 200;

/// What a verb answers, and what it did.
#[derive(Debug)]
pub struct Answer {
    /// For the operator.
    pub response: AdminResponse,
    /// For event and audit log, if anything changed.
    pub done: Option<Done>,
}

/// What an operator did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The id of the event: `tang_approved`, `tang_locked` or `tang_unlocked`.
    pub event: &'static str,
    /// The node's name, or an address; none: everything.
    pub subject: Option<String>,
    /// The same, if it is a node: the event belongs into its timeline.
    pub node: Option<String>,
    /// The same in a sentence, for the audit log.
    pub note: String,
}

impl From<AdminResponse> for Answer {
    fn from(response: AdminResponse) -> Self {
        Self { response, done: None }
    }
}

impl Policy {
    /// Answers one of our verbs; none: it is not ours.
    pub async fn admin(&self, request: &AdminRequest) -> Option<Answer> {
        let post = request.method == Method::POST;
        Some(match (request.path.as_str(), post) {
            ("/waiting", false) => AdminResponse::json(&self.waiting()).into(),
            ("/approve", true) => self.approve(request),
            ("/lock", true) => self.lock(request).await,
            ("/unlock", true) => self.unlock(request).await,
            ("/waiting" | "/approve" | "/lock" | "/unlock", _) => {
                AdminResponse::error(StatusCode::METHOD_NOT_ALLOWED, "this verb takes another method").into()
            }
            _ => return None,
        })
    }

    fn waiting(&self) -> Value {
        let now = Moment::now();
        let mut gate = self.gate();
        let approved = gate.approved(now.monotonic).into_iter();
        let approved: Vec<Value> = approved
            .map(|(subject, left)| {
                let until = faros_common::events::rfc3339(now.wall + left);
                json!({ "subject": subject, "until": until, "secs": left.as_secs() })
            })
            .collect();
        json!({ "waiting": gate.waiting(now.monotonic), "approved": approved, "locks": gate.locks })
    }

    fn approve(&self, request: &AdminRequest) -> Answer {
        let subject = match self.subject(request) {
            Ok(Some(subject)) => subject,
            Ok(None) => return bad("approval is given to one node at a time: say which").into(),
            Err(refusal) => return refusal.into(),
        };
        let lasts = match request.query("for").map(humantime::parse_duration) {
            None => APPROVAL_USUAL,
            Some(Ok(lasts)) if lasts > Duration::ZERO && lasts <= APPROVAL_MAX => lasts,
            Some(_) => return bad("for how long? from 1s to 24h").into(),
        };
        let now = Moment::now();
        let mut gate = self.gate();
        let locked = gate.locks.holds(None) || gate.locks.holds(Some(&subject));
        if locked {
            let which = if gate.locks.holds(Some(&subject)) { subject.as_str() } else { "--all" };
            let message =
                format!("{subject} is locked, which no approval opens: farosctl tang unlock {which}");
            return AdminResponse::error(StatusCode::CONFLICT, &message).into();
        }
        let waiting = gate.approve(&subject, now.monotonic + lasts, now.monotonic);
        drop(gate);
        let until = faros_common::events::rfc3339(now.wall + lasts);
        let response =
            AdminResponse::json(&json!({ "approved": subject, "until": until, "waiting": waiting }));
        let note = format!("an operator approved {subject} until {until}");
        self.done(response, "tang_approved", Some(subject), note)
    }

    async fn lock(&self, request: &AdminRequest) -> Answer {
        let subject = match self.subject(request) {
            Ok(subject) => subject,
            Err(refusal) => return refusal.into(),
        };
        let reason = request.query("reason").map(str::trim).filter(|reason| !reason.is_empty());
        let reason = reason.map(|reason| reason.chars().take(REASON_CHARS_MAX).collect());
        let lock = Lock::new(Moment::now().wall, reason);
        let change = Change::Lock { subject: subject.clone(), lock: lock.clone() };
        let _changing = self.changing.lock().await;
        {
            // At once: a thief does not wait for the disk.
            let mut gate = self.gate();
            gate.locks.apply(change.clone());
            match &subject {
                Some(subject) => drop(gate.disapprove(subject)),
                None => gate.disapprove_all(),
            }
        }
        let what = subject.clone().unwrap_or_else(|| "everything".to_owned());
        if let Err(error) = self.store.write(&change).await {
            let message = format!("{what} is locked until tangd restarts, and no longer: {error}");
            return AdminResponse::error(StatusCode::INTERNAL_SERVER_ERROR, &message).into();
        }
        let response = AdminResponse::json(&json!({ "locked": what, "since": lock.since }));
        let because = lock.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        self.done(response, "tang_locked", subject, format!("an operator locked {what}{because}"))
    }

    async fn unlock(&self, request: &AdminRequest) -> Answer {
        let subject = match self.subject(request) {
            Ok(subject) => subject,
            Err(refusal) => return refusal.into(),
        };
        let _changing = self.changing.lock().await;
        let (holds, all, single) = {
            let gate = self.gate();
            let single: Vec<String> = gate.locks.single.keys().cloned().collect();
            (gate.locks.holds(subject.as_deref()), gate.locks.holds(None), single)
        };
        if !holds {
            let message = match &subject {
                Some(subject) if all => {
                    format!(
                        "{subject} has no lock of its own; everything is locked: farosctl tang unlock --all"
                    )
                }
                Some(subject) => format!("{subject} is not locked"),
                None if single.is_empty() => "nothing is locked".to_owned(),
                None => format!("there is no lock on everything; unlock by name: {}", single.join(", ")),
            };
            return AdminResponse::error(StatusCode::CONFLICT, &message).into();
        }
        let change = Change::Unlock { subject: subject.clone() };
        let what = subject.clone().unwrap_or_else(|| "everything".to_owned());
        if let Err(error) = self.store.write(&change).await {
            let message = format!("{what} stays locked: {error}");
            return AdminResponse::error(StatusCode::INTERNAL_SERVER_ERROR, &message).into();
        }
        self.gate().locks.apply(change);
        let still: Vec<&String> = single.iter().filter(|name| Some(*name) != subject.as_ref()).collect();
        let response = AdminResponse::json(
            &json!({ "unlocked": what, "still_locked": still, "all_locked": all && subject.is_some() }),
        );
        self.done(response, "tang_unlocked", subject, format!("an operator unlocked {what}"))
    }

    fn done(
        &self,
        response: AdminResponse,
        event: &'static str,
        subject: Option<String>,
        note: String,
    ) -> Answer {
        let config = self.config.load();
        let node =
            subject.as_deref().and_then(|name| config.roster.by_name(name)).map(|node| node.name.clone());
        Answer { response, done: Some(Done { event, subject, node, note }) }
    }

    /// Whom a verb is about: a node by its name, a stranger by its address, or everything.
    fn subject(&self, request: &AdminRequest) -> Result<Option<String>, AdminResponse> {
        let all = request.query("all").is_some_and(|all| !matches!(all, "" | "0" | "false"));
        let name = match (request.query("node").map(str::trim).filter(|name| !name.is_empty()), all) {
            (Some(name), false) => name,
            (None, true) => return Ok(None),
            _ => return Err(bad("name a node (node=cp1), or everything (all=1)")),
        };
        let config = self.config.load();
        if let Some(machine) = config.roster.by_name(name) {
            return Ok(Some(machine.name.clone()));
        }
        if let Ok(address) = name.parse::<IpAddr>() {
            let address = address.to_canonical();
            // What is asked from a node's address is asked in the node's name.
            let machine = config.roster.by_address(address);
            return Ok(Some(machine.map_or_else(|| address.to_string(), |machine| machine.name.clone())));
        }
        // A node that has left the site file must not stay locked for ever.
        if self.gate().locks.holds(Some(name)) {
            return Ok(Some(name.to_owned()));
        }
        let message = format!("there is no node {name} in the site file; see: farosctl node list");
        Err(AdminResponse::error(StatusCode::NOT_FOUND, &message))
    }
}

fn bad(message: &str) -> AdminResponse {
    AdminResponse::error(StatusCode::BAD_REQUEST, message)
}
