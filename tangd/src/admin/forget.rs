//! `POST /forget`: deleting a key that is rotated out.

use std::sync::Arc;

use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::clock;
use faros_common::events::Event;
use hyper::StatusCode;
use serde_json::json;

use super::{Answered, blocking, unavailable};
use crate::audit::{self, Entry};
use crate::keys::KeysError;
use crate::server::FrontDesk;

/// Deletes it unless the log knows somebody who still needs it, and even then with `force=1`. Every hash of a
/// thumbprint names it.
pub(super) async fn forget(desk: &Arc<FrontDesk>, request: &AdminRequest) -> Answered {
    let Some(asked) = request.query("thumbprint").filter(|asked| !asked.is_empty()) else {
        return Err((StatusCode::BAD_REQUEST, "name the key: thumbprint=…".to_owned()));
    };
    let force = matches!(request.query("force"), Some("1" | "true"));
    let (at, asked) = (Arc::clone(desk), asked.to_owned());
    let (thumbprint, files, dependants) = blocking(move || delete(&at, &asked, force)).await??;
    let note = match &dependants[..] {
        [] => format!("the key {thumbprint} was deleted"),
        some => format!("the key {thumbprint} was deleted, though {} still used it", some.join(", ")),
    };
    desk.events().emit(
        Event::new("tang_forgotten")
            .with("thumbprint", thumbprint.clone())
            .with("files", json!(files))
            .with("used_by", json!(dependants)),
    );
    desk.audit().record(Entry { thumbprint: Some(thumbprint.clone()), ..Entry::note(clock::wall(), note) });
    Ok(AdminResponse::json(&json!({ "thumbprint": thumbprint, "files": files, "used_by": dependants })))
}

type Deleted = (String, Vec<String>, Vec<String>);

fn delete(desk: &FrontDesk, asked: &str, force: bool) -> Result<Deleted, (StatusCode, String)> {
    let set = desk.keys().current().map_err(|error| unavailable(&error))?;
    if set.is_sealed() {
        return Err(refused(KeysError::Sealed));
    }
    let key = set.find(asked).ok_or_else(|| refused(KeysError::NoSuchKey(asked.to_owned())))?;
    if !key.hidden {
        return Err(refused(KeysError::InUse(key.file.clone())));
    }
    let thumbprint = key.thumbprint().to_owned();
    // Without the log nobody knows, which is no reason to believe that there is nobody.
    let uses = audit::uses(desk.audit().directory());
    let dependants: Vec<String> = match &uses {
        Ok(uses) => audit::dependants(uses, &thumbprint).into_iter().map(|used| used.who.clone()).collect(),
        Err(_) if force => Vec::new(),
        Err(error) => {
            let message = format!("the audit log, which knows who uses the key, cannot be read: {error}");
            return Err((StatusCode::CONFLICT, message));
        }
    };
    if !dependants.is_empty() && !force {
        let message = format!("still used by {}: bind anew first (clevis luks regen)", dependants.join(", "));
        return Err((StatusCode::CONFLICT, message));
    }
    let files = desk.keys().forget(&thumbprint).map_err(refused)?;
    Ok((thumbprint, files, dependants))
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err hands over")]
fn refused(error: KeysError) -> (StatusCode, String) {
    let status = match error {
        KeysError::NoSuchKey(_) => StatusCode::NOT_FOUND,
        KeysError::InUse(_) | KeysError::Sealed => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, error.to_string())
}
