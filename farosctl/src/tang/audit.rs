//! `farosctl tang audit`: who unlocked what, and whether the log can be trusted.

use std::path::Path;

use faros_tangd::audit;
use serde::Serialize;
use serde_json::Value;

use super::failed;
use crate::daemons::TANGD;
use crate::exit::{Exit, Failure};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone, harmless};
use crate::session::Session;

/// Most entries that tangd gives at once.
const LINES_MAX: usize = 10_000;

/// The end of the log, and what was found out about all of it.
#[derive(Serialize)]
struct Report {
    whole: bool,
    /// Where it does not hang together.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    /// Files, lines and end of a log that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Value>,
    entries: Vec<Value>,
}

pub(super) async fn run(session: &mut Session, path: Option<&Path>, lines: usize) -> Result<Exit, Failure> {
    let report = match path {
        Some(path) => Report::read(path, lines)?,
        None => Report::ask(session, lines).await?,
    };
    let exit = if report.whole { Exit::Done } else { Exit::Failed };
    session.show(&report)?;
    Ok(exit)
}

impl Report {
    async fn ask(session: &Session, lines: usize) -> Result<Self, Failure> {
        let lines = lines.min(LINES_MAX);
        let get = async |path: &str| session.daemons.get(TANGD, path).await.map_err(|error| failed(&error));
        let verdict = get("/audit/verify").await?;
        let latest = get(&format!("/audit?limit={lines}")).await?;
        Ok(Self {
            whole: verdict.get("whole").and_then(Value::as_bool).unwrap_or(false),
            fault: verdict.get("fault").and_then(Value::as_str).map(str::to_owned),
            log: verdict.get("log").cloned(),
            entries: latest.get("entries").and_then(Value::as_array).cloned().unwrap_or_default(),
        })
    }

    fn read(path: &Path, lines: usize) -> Result<Self, Failure> {
        let unreadable = |error: &dyn std::fmt::Display| {
            Failure::failed(format!("{error}; name a file of the audit log, or its directory"))
        };
        let verified = match audit::verify(path) {
            Err(audit::Fault::Io(path, error)) => {
                return Err(unreadable(&format!("{}: {error}", path.display())));
            }
            other => other,
        };
        let entries = match path.is_dir() {
            true => audit::latest(path, 0, lines).map_err(|error| unreadable(&error))?,
            false => {
                let content = std::fs::read(path).map_err(|error| unreadable(&error))?;
                let whole =
                    content.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
                let all: Vec<Value> = whole.collect();
                all[all.len().saturating_sub(lines)..].to_vec()
            }
        };
        let (log, fault) = match verified {
            Ok(log) => (serde_json::to_value(log).ok(), None),
            Err(fault) => (None, Some(fault.to_string())),
        };
        Ok(Self { whole: fault.is_none(), fault, log, entries })
    }
}

impl Human for Report {
    fn human(&self, paint: Paint) -> String {
        let mut table = Table::new(["TIME", "DECISION", "WHO", "ADDRESS", "MAC", "KEY", "RULE", "REASON"]);
        for entry in &self.entries {
            let said = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
            let decision = said("decision");
            let tone = match decision {
                "recovered" => Tone::Good,
                "refused" => Tone::Bad,
                "held" => Tone::Warning,
                _ => Tone::Plain,
            };
            let who = if said("node").is_empty() { said("lease") } else { said("node") };
            let mut reason = said("reason").to_owned();
            for (key, words) in [("suppressed", "like it before"), ("lost", "lost before it")] {
                if let Some(count) = entry.get(key).and_then(Value::as_u64).filter(|count| *count > 0) {
                    reason = format!("{reason} ({count} {words})").trim_start().to_owned();
                }
            }
            table.row([
                said("time").into(),
                Cell::new(tone, decision),
                Cell::new(Tone::Strong, who),
                said("address").into(),
                said("mac").into(),
                said("key").into(),
                said("rule").into(),
                reason.into(),
            ]);
        }
        let mut text = if self.entries.is_empty() { String::new() } else { table.render(paint) + "\n" };
        let number = |key: &str| {
            let log = self.log.as_ref();
            log.and_then(|log| log.get(key)).and_then(Value::as_u64).unwrap_or_default()
        };
        match &self.fault {
            Some(fault) => {
                text += &format!("{} {}\n", paint.tone(Tone::Bad, "NOT AS IT WAS WRITTEN:"), harmless(fault));
            }
            None if !self.whole => text += "tangd does not say whether the log is as it was written\n",
            None => {
                let head = self.log.as_ref().and_then(|log| log.get("head"));
                let hash = head.and_then(|head| head.get("hash")).and_then(Value::as_str).unwrap_or("?");
                text += &format!(
                    "{} {} entries from number {}, ending with {}\n",
                    paint.tone(Tone::Good, "as it was written:"),
                    number("records"),
                    number("first"),
                    harmless(hash)
                );
            }
        }
        text
    }
}
