//! Approving, locking and unlocking.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::{failed, waiting};
use crate::daemons::{TANGD, query_value};
use crate::exit::{Exit, Failure, advice};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone};
use crate::session::Session;

/// The longest approval, as tangd has it.
const APPROVAL_MAX: Duration = Duration::from_secs(24 * 3600);

/// What became of each.
#[derive(Serialize)]
struct Outcomes {
    outcomes: Vec<Outcome>,
}

#[derive(Serialize)]
struct Outcome {
    subject: String,
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What tangd answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
    #[serde(skip)]
    what: String,
}

pub(super) async fn approve(
    session: &mut Session,
    nodes: Vec<String>,
    all: bool,
    lasts: Duration,
) -> Result<Exit, Failure> {
    if lasts.is_zero() || lasts > APPROVAL_MAX {
        return Err(Failure::usage(
            "an approval lasts from 1s to 24h; what is to last longer belongs into the site file",
        ));
    }
    let subjects = match all {
        true => {
            waiting::subjects(&session.daemons.get(TANGD, "/waiting").await.map_err(|error| failed(&error))?)
        }
        false => nodes,
    };
    if subjects.is_empty() {
        return Err(Failure::failed("nobody waits; name who is to be let through"));
    }
    let parameters = format!("&for={}ms", lasts.as_millis());
    post_each(session, "approve", &subjects, &parameters, |answer| {
        let until = text(answer, "until");
        match answer.get("waiting").and_then(Value::as_bool) {
            Some(true) => format!("approved until {until}: it is waiting, and goes on when it asks again"),
            _ => format!("approved until {until}: it is not waiting yet"),
        }
    })
    .await
}

pub(super) async fn lock(
    session: &mut Session,
    nodes: Vec<String>,
    all: bool,
    reason: Option<&str>,
) -> Result<Exit, Failure> {
    let parameters = reason.map(|reason| format!("&reason={}", query_value(reason))).unwrap_or_default();
    let what = |_: &Value| "locked: gets no key until it is unlocked".to_owned();
    post_each(session, "lock", &subjects(nodes, all), &parameters, what).await
}

pub(super) async fn unlock(session: &mut Session, nodes: Vec<String>, all: bool) -> Result<Exit, Failure> {
    post_each(session, "unlock", &subjects(nodes, all), "", |answer| {
        let still =
            answer.get("still_locked").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let still: Vec<&str> = still.iter().filter_map(Value::as_str).collect();
        if answer.get("all_locked").and_then(Value::as_bool) == Some(true) {
            "unlocked, but everything is locked: farosctl tang unlock --all".to_owned()
        } else if still.is_empty() {
            "unlocked".to_owned()
        } else {
            format!("unlocked; still locked: {}", still.join(", "))
        }
    })
    .await
}

/// `*` stands for everything.
fn subjects(nodes: Vec<String>, all: bool) -> Vec<String> {
    if all { vec!["*".to_owned()] } else { nodes }
}

async fn post_each(
    session: &mut Session,
    verb: &str,
    subjects: &[String],
    parameters: &str,
    what: impl Fn(&Value) -> String,
) -> Result<Exit, Failure> {
    let mut outcomes = Vec::new();
    for subject in subjects {
        let whom = if subject == "*" { "all=1".to_owned() } else { format!("node={}", query_value(subject)) };
        let outcome = match session.daemons.post(TANGD, &format!("/{verb}?{whom}{parameters}")).await {
            Ok(answer) => Outcome {
                subject: subject.clone(),
                done: true,
                reason: None,
                what: what(&answer),
                answer: Some(answer),
            },
            Err(error) => Outcome {
                subject: subject.clone(),
                done: false,
                reason: Some(advice(TANGD, &error)),
                what: String::new(),
                answer: None,
            },
        };
        outcomes.push(outcome);
    }
    let all = outcomes.iter().all(|outcome| outcome.done);
    session.show(&Outcomes { outcomes })?;
    Ok(if all { Exit::Done } else { Exit::Failed })
}

impl Human for Outcomes {
    fn human(&self, paint: Paint) -> String {
        let mut table = Table::new(["NODE", "OUTCOME"]);
        for outcome in &self.outcomes {
            let shown = match &outcome.reason {
                None => Cell::new(Tone::Good, &outcome.what),
                Some(reason) => Cell::new(Tone::Bad, reason),
            };
            let subject = if outcome.subject == "*" { "everything" } else { &outcome.subject };
            table.row([Cell::new(Tone::Strong, subject), shown]);
        }
        table.render(paint)
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
