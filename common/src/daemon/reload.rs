//! Reading the site file, at start and again on request.

use std::path::Path;
use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::SystemTime;

use serde_json::{Value, json};
use tracing::{info, warn};

use super::Service;
use crate::clock;
use crate::events::{Event, Events, rfc3339};
use crate::site::{self, Report, Site};

/// Reads the site file and derives the daemon's part of it; warnings come along.
pub(super) fn read<S: Service>(path: &Path) -> Result<(Site, S::Config, Report), Report> {
    let loaded = site::load(path)?;
    match S::configure(&loaded.site) {
        Ok(config) => Ok((loaded.site, config, loaded.report)),
        Err(diagnostics) => {
            let mut report = loaded.report;
            report.diagnostics.extend(diagnostics);
            Err(report)
        }
    }
}

/// What became of the latest reload.
#[derive(Clone, Debug)]
struct Outcome {
    at: SystemTime,
    refused: Option<String>,
}

/// Reloads one at a time and remembers how the last one went.
#[derive(Debug, Default)]
pub(super) struct Reloader {
    last: Mutex<Option<Outcome>>,
}

impl Reloader {
    /// Hands the present site file to `service`, or leaves it as it was and says why.
    pub(super) fn reload<S: Service>(&self, service: &S, path: &Path, events: &Events) -> Result<(), String> {
        // Held for the whole reload: two at once would race for which file wins.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let result = match read::<S>(path) {
            Err(report) => Err(report.to_string()),
            Ok((site, _, _)) if !S::enabled(&site) => {
                Err("the file switches this daemon off; stop it instead".to_owned())
            }
            Ok((_, config, _)) => service.reload(config),
        };
        match &result {
            Ok(()) => {
                info!(event = "reloaded", site = %path.display(), "site file reloaded");
                events.emit(Event::new("reloaded"));
            }
            Err(reason) => {
                warn!(event = "reload_refused", site = %path.display(), %reason, "the old configuration stays");
                events.emit(Event::new("reload_refused").with("reason", reason.as_str()));
            }
        }
        *last = Some(Outcome { at: clock::wall(), refused: result.clone().err() });
        result
    }

    pub(super) fn status(&self) -> Value {
        // Not waiting: a status must be answered while a reload is under way.
        let last = match self.last.try_lock() {
            Ok(last) => last.clone(),
            // A reload that panicked; the outcome before it is still true.
            Err(TryLockError::Poisoned(last)) => last.into_inner().clone(),
            Err(TryLockError::WouldBlock) => return json!({ "state": "under way" }),
        };
        match last {
            None => Value::Null,
            Some(Outcome { at, refused: None }) => json!({ "state": "taken", "at": rfc3339(at) }),
            Some(Outcome { at, refused: Some(reason) }) => {
                json!({ "state": "refused", "at": rfc3339(at), "reason": reason })
            }
        }
    }
}
