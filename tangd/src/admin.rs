//! The daemon's own verbs:
//!
//! | Verb | Answer |
//! |---|---|
//! | `GET /keys` | all keys, with who has used each |
//! | `POST /forget?thumbprint=[&force=1]` | a key that is rotated out is deleted, unless somebody still uses it |
//! | `POST /rotate` | a fresh pair is advertised, the keys that were are hidden |
//! | `GET /audit[?since=N][&limit=N]` | the latest entries of the audit log, oldest first, and the end of its chain |
//! | `GET /waiting`, `POST /approve`, `POST /lock`, `POST /unlock` | see [`crate::policy`] |
//! | `GET /explain?mac=&address=&node=&uuid=` | what a client would get, and by which rule |
//! | `GET /audit/verify` | whether the audit log hangs together |

mod forget;

use std::sync::Arc;

use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::events::{Event, rfc3339};
use faros_common::{clock, tasks};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::audit::{self, Entry, KeyUse};
use crate::keys::{KeyEntry, KeysError};
use crate::server::FrontDesk;

/// Entries of the audit log shown unless the request says otherwise.
const ENTRIES_SHOWN: usize = 100;
/// Most entries in one answer.
const ENTRIES_MAX: usize = 10_000;

/// Answers a verb; `None`: there is none of that name.
pub async fn answer(desk: &Arc<FrontDesk>, request: &AdminRequest) -> Option<AdminResponse> {
    let answer = match (request.segments().as_slice(), &request.method) {
        (["keys"], &Method::GET) => keys(desk).await,
        (["rotate"], &Method::POST) => rotate(desk).await,
        (["forget"], &Method::POST) => forget::forget(desk, request).await,
        (["audit"], &Method::GET) => entries(desk, request).await,
        (["audit", "verify"], &Method::GET) => verify(desk).await,
        (["keys" | "rotate" | "forget" | "audit", ..], _) => Err((
            StatusCode::METHOD_NOT_ALLOWED,
            "no such verb: GET keys, POST rotate, POST forget, GET audit, GET audit/verify".to_owned(),
        )),
        (["explain"], &Method::GET) => Ok(desk.policy().explain(request).await),
        _ => return operator(desk, request).await,
    };
    Some(answer.unwrap_or_else(|(status, message)| AdminResponse::error(status, &message)))
}

/// What operators decide about clients, told of and written down.
async fn operator(desk: &Arc<FrontDesk>, request: &AdminRequest) -> Option<AdminResponse> {
    let answer = desk.policy().admin(request).await?;
    if let Some(done) = answer.done {
        desk.events().emit(
            Event::new(done.event)
                .with_some("node", done.node)
                .with_some("subject", done.subject)
                .with("note", done.note.clone()),
        );
        desk.audit().record(Entry::note(clock::wall(), done.note));
    }
    Some(answer.response)
}

type Answered = Result<AdminResponse, (StatusCode, String)>;

/// Runs what reads and writes files beside those that serve.
async fn blocking<T: Send + 'static>(
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<T, (StatusCode, String)> {
    let result = tokio::task::spawn_blocking(move || tasks::contain("admin", body)).await;
    let defect = (StatusCode::INTERNAL_SERVER_ERROR, "a defect of ours; the log has it".to_owned());
    result.ok().flatten().ok_or(defect)
}

fn unavailable(error: &impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

async fn keys(desk: &Arc<FrontDesk>) -> Answered {
    let desk = Arc::clone(desk);
    let shown = blocking(move || {
        let set = desk.keys().current().map_err(|error| unavailable(&error))?;
        // Without a readable log the keys are still worth showing.
        let uses = audit::uses(desk.audit().directory()).unwrap_or_default();
        let directory = desk.config().site.tang.keys.clone();
        let keys: Vec<Value> = set
            .keys()
            .map(|key| {
                // A sealed store has no files of single keys.
                let made = std::fs::metadata(directory.join(&key.file)).and_then(|meta| meta.modified()).ok();
                show(key, &uses, made.map(rfc3339).as_deref())
            })
            .collect();
        Ok(json!({ "keys": keys, "sealed": set.is_sealed() }))
    });
    Ok(AdminResponse::json(&shown.await??))
}

fn show(key: &KeyEntry, uses: &[KeyUse], made: Option<&str>) -> Value {
    let dependants = audit::dependants(uses, key.thumbprint());
    let used_by: Vec<Value> = uses
        .iter()
        .filter(|used| used.thumbprint == key.thumbprint())
        .map(|used| {
            json!({
                "who": used.who,
                "count": used.count,
                "last": used.last,
                "rotated_then": used.key.name() == "rotated",
                "depends": dependants.contains(&used),
            })
        })
        .collect();
    json!({
        "file": key.file,
        "thumbprint": key.thumbprint(),
        "thumbprints": key.thumbprints,
        "purpose": key.purpose,
        "curve": key.curve.name(),
        "advertised": key.advertised,
        "rotated": key.hidden,
        "made": made,
        "used_by": used_by,
    })
}

async fn rotate(desk: &Arc<FrontDesk>) -> Answered {
    let at = Arc::clone(desk);
    let rotated = blocking(move || at.keys().rotate()).await?;
    let rotated = rotated.map_err(|error| match error {
        KeysError::Sealed => (StatusCode::CONFLICT, error.to_string()),
        error => (StatusCode::INTERNAL_SERVER_ERROR, format!("the keys were not rotated: {error}")),
    })?;
    desk.events().emit(Event::new("tang_rotated").with("added", rotated.added.clone()));
    desk.audit()
        .record(Entry::note(clock::wall(), format!("keys rotated: {} added", rotated.added.join(", "))));
    let hidden: Vec<Value> =
        rotated.hidden.iter().map(|(old, new)| json!({ "from": old, "to": new })).collect();
    Ok(AdminResponse::json(&json!({ "added": rotated.added, "hidden": hidden })))
}

async fn entries(desk: &Arc<FrontDesk>, request: &AdminRequest) -> Answered {
    let number = |key: &str, otherwise: u64| match request.query(key) {
        None => Ok(otherwise),
        Some(text) => text.parse().map_err(|_| (StatusCode::BAD_REQUEST, format!("{key} is a number"))),
    };
    let since = number("since", 0)?;
    let limit =
        usize::try_from(number("limit", ENTRIES_SHOWN as u64)?).unwrap_or(ENTRIES_MAX).min(ENTRIES_MAX);
    let head = desk.audit().state().head;
    let directory = desk.audit().directory().to_owned();
    let entries = blocking(move || audit::latest(&directory, since, limit)).await?;
    let entries = entries.map_err(|error| unavailable(&error))?;
    Ok(AdminResponse::json(&json!({ "head": head, "entries": entries })))
}

async fn verify(desk: &Arc<FrontDesk>) -> Answered {
    let directory = desk.audit().directory().to_owned();
    Ok(AdminResponse::json(&match blocking(move || audit::verify(&directory)).await? {
        Ok(verified) => json!({ "whole": true, "log": verified }),
        Err(fault) => json!({ "whole": false, "fault": fault.to_string() }),
    }))
}
