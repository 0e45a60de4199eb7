//! `farosctl tang forget`: deleting keys that are rotated out.

use serde::Serialize;
use serde_json::Value;

use super::failed;
use crate::daemons::{TANGD, query_value};
use crate::exit::{Exit, Failure};
use crate::output::{Human, Paint, harmless};
use crate::session::Session;

/// What tangd did.
#[derive(Serialize)]
#[serde(transparent)]
struct Forgotten(Value);

pub(super) async fn run(
    session: &mut Session,
    thumbprint: &str,
    force: bool,
    yes: bool,
) -> Result<Exit, Failure> {
    if !yes && session.terminal.in_is_terminal {
        let question = format!(
            "Disks that are still bound to {} are never unlocked again by this site.",
            harmless(thumbprint)
        );
        let agreed = session
            .terminal
            .confirm(&question)
            .map_err(|error| Failure::failed(format!("cannot read the answer: {error}; use --yes")))?;
        if !agreed {
            return Err(Failure::failed("nothing was deleted"));
        }
    }
    let force_too = if force { "&force=1" } else { "" };
    let path = format!("/forget?thumbprint={}{force_too}", query_value(thumbprint));
    let answer = session.daemons.post(TANGD, &path).await.map_err(|error| failed(&error))?;
    session.show(&Forgotten(answer))?;
    session.note("backups, and copies of the key directory, still hold it");
    Ok(Exit::Done)
}

impl Human for Forgotten {
    fn human(&self, _: Paint) -> String {
        let words = |key: &str| -> Vec<String> {
            let list = self.0.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            list.iter().filter_map(Value::as_str).map(|word| harmless(word).to_string()).collect()
        };
        let mut said: String = words("files").iter().map(|file| format!("{file} is deleted\n")).collect();
        let locked_out = words("used_by");
        if !locked_out.is_empty() {
            said += &format!("until they are bound anew, these are locked out: {}\n", locked_out.join(", "));
        }
        said
    }
}
