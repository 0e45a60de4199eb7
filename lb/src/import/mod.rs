//! `haproxy.cfg` as `[[lb.frontend]]`: its TCP subset is taken over, whatever else it says is named with its line, and
//! so is what a cluster suffers from.
//!
//! ```text
//! text ─ words ─► lines ─ sections ─► proxies (defaults filled in) ─ convert ─► front ends ─ write ─► TOML
//!                   └──────────────────────┴───────── findings ─────────┴── lint
//! ```
//!
//! Written from HAProxy's documentation (configuration manual, sections 2, 4 and 5).

mod bind;
mod check;
mod convert;
mod lint;
mod proxy;
mod sections;
mod server;
mod time;
mod words;
mod write;

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

/// A larger file is refused: configurations written by people have some kilobytes.
pub const FILE_MAX: usize = 1024 * 1024;
/// Findings beyond it are left out, with one that says so.
pub const FINDINGS_MAX: usize = 500;
/// Front ends beyond it are left out: so many the site file may hold.
pub const FRONTENDS_MAX: usize = 256;
/// Listeners of one front end, or backends; further ones are left out.
pub const ENTRIES_MAX: usize = 256;

/// What is known beside the file.
pub struct Options<'a> {
    /// The address of a host that the file names, where that is known.
    pub address: &'a dyn Fn(&str) -> Option<IpAddr>,
    /// Ports whose front ends the site file derives from the cluster's kind: those are written as comments.
    pub derived: &'a [u16],
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Options").field("derived", &self.derived).finish_non_exhaustive()
    }
}

/// How much a [`Finding`] weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Taken over, and it harms or does something else here.
    Warning,
    /// Not taken over.
    Unsupported,
}

/// Something about a line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The line, from 1; `None`: the file as a whole.
    pub line: Option<usize>,
    /// How much it weighs.
    pub severity: Severity,
    /// What is the matter.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// `[[lb.frontend]]` tables.
    pub toml: String,
    /// How many of them are live, not comments.
    pub frontends: usize,
    /// What to look at, in the order of the file.
    pub findings: Vec<Finding>,
}

/// Takes over `text`, the content of a `haproxy.cfg`.
pub fn import(text: &str, options: &Options<'_>) -> Import {
    let mut found = Findings::default();
    if text.len() > FILE_MAX {
        found.unsupported(
            None,
            format!("the file is larger than {FILE_MAX} bytes"),
            "give the file that people write",
        );
        return Import { toml: String::new(), frontends: 0, findings: found.into_list() };
    }
    let lines = words::lines(text, &mut found);
    let proxies = sections::proxies(&lines, &mut found);
    let fronts = convert::frontends(&proxies, options, &mut found);
    for front in &fronts {
        lint::check(front, &mut found);
    }
    let live = fronts.iter().filter(|front| front.is_live()).count();
    Import { toml: write::toml(&fronts), frontends: live, findings: found.into_list() }
}

/// Findings while they are collected.
#[derive(Debug, Default)]
struct Findings {
    list: Vec<Finding>,
    more: bool,
}

impl Findings {
    fn note(&mut self, line: impl Into<Option<usize>>, what: impl Into<String>, advice: impl Into<String>) {
        self.push(Severity::Note, line.into(), what.into(), advice.into());
    }

    fn warning(
        &mut self,
        line: impl Into<Option<usize>>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.push(Severity::Warning, line.into(), what.into(), advice.into());
    }

    fn unsupported(
        &mut self,
        line: impl Into<Option<usize>>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.push(Severity::Unsupported, line.into(), what.into(), advice.into());
    }

    fn push(&mut self, severity: Severity, line: Option<usize>, what: String, advice: String) {
        if self.list.len() >= FINDINGS_MAX {
            self.more = true;
            return;
        }
        let finding = Finding { line, severity, what, advice };
        // Defaults are looked at once for each proxy that has them.
        if !self.list.contains(&finding) {
            self.list.push(finding);
        }
    }

    fn into_list(mut self) -> Vec<Finding> {
        self.list.sort_by_key(|finding| finding.line.unwrap_or(usize::MAX));
        if self.more {
            self.list.push(Finding {
                line: None,
                severity: Severity::Unsupported,
                what: format!("further findings beyond the first {FINDINGS_MAX} are left out"),
                advice: "see to these first".to_owned(),
            });
        }
        self.list
    }
}

/// A word of the file inside a message.
fn quoted(word: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let cut: String = word.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    let more = if word.chars().count() > SHOWN_MAX { "…" } else { "" };
    format!("\"{cut}{more}\"")
}

#[cfg(test)]
mod tests;
