//! Findings as text: one line each, and at a terminal the line of the file with a caret below.

use faros_common::site::{Diagnostic, Place, Report, Severity};

use crate::output::{Paint, Tone, harmless};

/// Longer source lines are cut around the place in question.
const SOURCE_CHARS_MAX: usize = 100;

/// One line per finding: `site.toml:12:8: error: lan.pool: … (help)`.
pub(crate) fn lines(report: &Report) -> String {
    let mut text: String =
        report.to_string().lines().map(harmless).flat_map(|line| [line, "\n".to_owned()]).collect();
    if text == "\n" {
        text.clear();
    }
    text
}

/// Each finding with the line it is about.
pub(crate) fn with_source(report: &Report, source: &str, paint: Paint) -> String {
    let mut text = String::new();
    for found in &report.diagnostics {
        text += &heading(report, found, paint);
        text.push('\n');
        if let Some(excerpt) = found.place.and_then(|place| excerpt(source, place, paint)) {
            text += &excerpt;
        }
        if let Some(help) = &found.help {
            text += &format!("    {} {}\n", paint.tone(Tone::Strong, "help:"), harmless(help));
        }
        text.push('\n');
    }
    text
}

fn heading(report: &Report, found: &Diagnostic, paint: Paint) -> String {
    let (tone, severity) = match found.severity {
        Severity::Warning => (Tone::Warning, "warning"),
        Severity::Error => (Tone::Bad, "error"),
    };
    let place = found.place.map_or_else(String::new, |place| format!("{}:{}:", place.line, place.column));
    let key = if found.key.is_empty() { String::new() } else { format!("{}: ", found.key) };
    format!(
        "{}:{place} {} {}",
        report.path.display(),
        paint.tone(tone, &format!("{severity}:")),
        paint.tone(Tone::Strong, &harmless(&format!("{key}{}", found.message)))
    )
}

/// The line at `place` and a caret below the column; `None` where the file has no such line any more.
fn excerpt(source: &str, place: Place, paint: Paint) -> Option<String> {
    let line = source.trim_start_matches('\u{feff}').lines().nth(place.line.checked_sub(1)?)?;
    let column = place.column.saturating_sub(1);
    let fits = line.chars().count() <= SOURCE_CHARS_MAX;
    let skipped = if fits { 0 } else { column.saturating_sub(SOURCE_CHARS_MAX / 2) };
    let cut = |from: usize, count: usize| -> String {
        // A tab takes one place here, so that the caret stands below what it means.
        line.chars().skip(from).take(count).map(|c| if c.is_control() { ' ' } else { c }).collect()
    };
    let shown = harmless(&cut(skipped, SOURCE_CHARS_MAX));
    let lead = harmless(&cut(skipped, column - skipped)).chars().count();
    let number = place.line.to_string();
    Some(format!(
        "  {} {}\n  {} {}{}\n",
        paint.tone(Tone::Faint, &format!("{number} |")),
        shown.trim_end(),
        paint.tone(Tone::Faint, &format!("{} |", " ".repeat(number.len()))),
        " ".repeat(lead),
        paint.tone(Tone::Bad, "^")
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn report(place: Option<Place>) -> Report {
        let mut report = Report::new(Path::new("site.toml"));
        report.diagnostics.push(Diagnostic {
            severity: Severity::Error,
            place,
            key: "lan.pool".to_owned(),
            message: "lies outside the network".to_owned(),
            help: Some("choose from 192.168.8.0/24".to_owned()),
        });
        report
    }

    #[test]
    fn a_caret_points_at_the_column() {
        let source = "[lan]\n\tpool = \"192.168.9.1-192.168.9.9\"\n";
        let text = with_source(&report(Some(Place { line: 2, column: 9 })), source, Paint::default());
        assert_eq!(
            text,
            "site.toml:2:9: error: lan.pool: lies outside the network\n\
             \x20 2 |  pool = \"192.168.9.1-192.168.9.9\"\n\
             \x20   |         ^\n\
             \x20   help: choose from 192.168.8.0/24\n\n"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let source = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let text = excerpt(&source, Place { line: 1, column: 501 }, Paint::default()).unwrap();
        let (shown, caret) = text.split_once('\n').unwrap();
        assert_eq!(shown.find('X'), caret.find('^'));
        assert!(shown.chars().count() < 120);
        let text = excerpt(&"a".repeat(90), Place { line: 1, column: 80 }, Paint::default()).unwrap();
        assert!(text.contains(&"a".repeat(90)));
    }

    #[test]
    fn a_place_beyond_the_file_shows_no_line() {
        assert_eq!(excerpt("one\n", Place { line: 9, column: 1 }, Paint::default()), None);
        assert_eq!(excerpt("one\n", Place { line: 0, column: 0 }, Paint::default()), None);
        assert!(excerpt("one\n", Place { line: 1, column: 99 }, Paint::default()).is_some());
    }

    #[test]
    fn without_a_terminal_each_finding_is_one_line() {
        assert_eq!(
            lines(&report(Some(Place { line: 2, column: 9 }))),
            "site.toml:2:9: error: lan.pool: lies outside the network (choose from 192.168.8.0/24)\n"
        );
        assert_eq!(lines(&Report::new(Path::new("site.toml"))), "");
    }
}
