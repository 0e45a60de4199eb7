//! `farosctl check`: everything that is wrong with a site file, and with what it names on this host.

pub(crate) mod host;
pub(crate) mod render;

use std::path::PathBuf;

use faros_common::site::{self, Diagnostic, Report, Site};
use faros_dnsd::site_zones::{Listeners, Settings};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::{Human, Paint, Tone};
use crate::session::Session;

/// `file` instead of the session's site file, where one is given.
pub(crate) fn run(session: &mut Session, file: Option<PathBuf>) -> Result<Exit, Failure> {
    let path = file.unwrap_or_else(|| session.site_path.clone());
    let report = match site::load(&path) {
        Ok(loaded) => {
            let mut report = loaded.report;
            report.diagnostics.extend(zones(&loaded.site));
            report.diagnostics.extend(host::findings(&loaded.site));
            report
        }
        Err(report) => report,
    };
    let exit = if report.has_errors() { Exit::SiteRefused } else { Exit::Done };
    // The source lines are for people at a terminal; a program or a log wants one line per finding.
    // A pipe has given all it had.
    let again = session.terminal.out_is_terminal && path.is_file();
    let source = again.then(|| std::fs::read_to_string(&path).ok()).flatten();
    session.show(&Checked { report, source })?;
    Ok(exit)
}

/// What dnsd would refuse of the records in the file.
fn zones(site: &Site) -> Vec<Diagnostic> {
    let refused = if site.dns.enable { Settings::of(site, &Listeners::default()).err() } else { None };
    refused.unwrap_or_default()
}

/// The outcome: the report as it is, and for people the lines it is about.
#[derive(Serialize)]
#[serde(transparent)]
struct Checked {
    report: Report,
    #[serde(skip)]
    source: Option<String>,
}

impl Human for Checked {
    fn human(&self, paint: Paint) -> String {
        let mut text = match &self.source {
            Some(source) => render::with_source(&self.report, source, paint),
            None => render::lines(&self.report),
        };
        let errors = self.report.errors().count();
        let warnings = self.report.diagnostics.len() - errors;
        let path = self.report.path.display();
        text += &match (errors, warnings) {
            (0, 0) => paint.tone(Tone::Good, &format!("{path}: good")),
            (0, _) => paint.tone(Tone::Good, &format!("{path}: good, with {}", counted(warnings, "warning"))),
            (_, 0) => paint.tone(Tone::Bad, &format!("{path}: refused, {}", counted(errors, "error"))),
            _ => paint.tone(
                Tone::Bad,
                &format!(
                    "{path}: refused, {} and {}",
                    counted(errors, "error"),
                    counted(warnings, "warning")
                ),
            ),
        };
        text.push('\n');
        text
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use faros_common::site::Severity;

    fn finding(severity: Severity) -> Diagnostic {
        Diagnostic { severity, place: None, key: "lan".to_owned(), message: "odd".to_owned(), help: None }
    }

    #[test]
    fn the_last_line_says_whether_the_file_is_good() {
        let said = |severities: &[Severity]| {
            let mut report = Report::new(Path::new("s.toml"));
            report.diagnostics.extend(severities.iter().copied().map(finding));
            let text = Checked { report, source: None }.human(Paint::default());
            text.lines().last().unwrap().to_owned()
        };
        assert_eq!(said(&[]), "s.toml: good");
        assert_eq!(said(&[Severity::Warning]), "s.toml: good, with 1 warning");
        assert_eq!(said(&[Severity::Error, Severity::Error]), "s.toml: refused, 2 errors");
        assert_eq!(said(&[Severity::Error, Severity::Warning]), "s.toml: refused, 1 error and 1 warning");
    }
}
