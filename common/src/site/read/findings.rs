//! Findings while they are collected, before their places are known as lines and columns.

use std::path::Path;

use crate::site::{Diagnostic, Place, Report, Severity};

/// More findings than this in one file are left out, with a line that says so: nobody reads them,
/// and a hostile file could otherwise make a report many times its own size.
const FINDINGS_MAX: usize = 500;

/// A quoted value in a message is cut after so many characters.
const QUOTED_MAX: usize = 60;

/// Where something stands: its byte offset and its key path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) offset: Option<usize>,
    pub(crate) key: String,
}

impl Spot {
    /// The path of `key` inside this table.
    pub(crate) fn path_of(&self, key: &str) -> String {
        let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let key = if bare { key.to_owned() } else { quoted(key) };
        if self.key.is_empty() { key } else { format!("{}.{key}", self.key) }
    }

    /// The spot of a key that is not there: the table's place with the key's path.
    pub(crate) fn missing(&self, key: &str) -> Self {
        Self { offset: self.offset, key: self.path_of(key) }
    }
}

/// One finding, by offset.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    severity: Severity,
    spot: Spot,
    message: String,
    help: Option<String>,
    /// Whether it is about something absent, which a syntax error may have swallowed.
    absence: bool,
}

impl Finding {
    /// Says what would be right.
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }
}

/// All findings of one run.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Vec<Finding>,
    /// Takes what is beyond [`FINDINGS_MAX`].
    beyond: Option<Finding>,
    beyond_has_error: bool,
}

impl Findings {
    pub(crate) fn error(&mut self, spot: &Spot, message: impl Into<String>) -> &mut Finding {
        self.push(Severity::Error, spot, message.into(), false)
    }

    pub(crate) fn warning(&mut self, spot: &Spot, message: impl Into<String>) -> &mut Finding {
        self.push(Severity::Warning, spot, message.into(), false)
    }

    /// An error about a key that is not there.
    pub(crate) fn missing(&mut self, spot: &Spot, message: impl Into<String>) -> &mut Finding {
        self.push(Severity::Error, spot, message.into(), true)
    }

    /// Whether further findings are left out; then effort for good advice is wasted.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= FINDINGS_MAX
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.beyond_has_error || self.found.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Whether something was found about `key` itself or inside it; then what is missing there may be refused only.
    pub(crate) fn mentions(&self, key: &str) -> bool {
        self.found.iter().any(|finding| {
            let rest = finding.spot.key.strip_prefix(key);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Forgets what may be a mere consequence of syntax errors on the lines `broken`, in rising order: whatever is
    /// on these lines, whatever is missing, and all from byte `trustworthy` on.
    pub(crate) fn retain_apart_from(&mut self, lines: &Lines<'_>, broken: &[usize], trustworthy: usize) {
        self.found.retain(|finding| {
            !finding.absence
                && finding.spot.offset.is_some_and(|offset| {
                    offset < trustworthy && broken.binary_search(&lines.place(offset).line).is_err()
                })
        });
    }

    /// The report, in the order of the file.
    pub(crate) fn into_report(mut self, lines: &Lines<'_>, path: &Path) -> Report {
        self.found.sort_by_key(|finding| finding.spot.offset);
        let left_out = self.beyond.is_some();
        let mut diagnostics: Vec<_> = self
            .found
            .into_iter()
            .map(|finding| Diagnostic {
                severity: finding.severity,
                place: finding.spot.offset.map(|offset| lines.place(offset)),
                key: finding.spot.key,
                message: finding.message,
                help: finding.help,
            })
            .collect();
        if left_out {
            diagnostics.push(Diagnostic {
                severity: if self.beyond_has_error { Severity::Error } else { Severity::Warning },
                place: None,
                key: String::new(),
                message: format!("further findings beyond the first {FINDINGS_MAX} are left out"),
                help: Some("mend these first".to_owned()),
            });
        }
        Report { path: path.to_owned(), diagnostics }
    }

    fn push(&mut self, severity: Severity, spot: &Spot, message: String, absence: bool) -> &mut Finding {
        let finding = Finding { severity, spot: spot.clone(), message, help: None, absence };
        if self.is_full() {
            self.beyond_has_error |= severity == Severity::Error;
            return self.beyond.insert(finding);
        }
        self.found.push(finding);
        let last = self.found.len() - 1;
        &mut self.found[last]
    }
}

/// The lines of a text, so that each place costs a search instead of a walk.
#[derive(Debug)]
pub(crate) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// Line and column of byte `offset`; a byte order mark takes no column.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|&start| start <= offset).max(1);
        let start = self.starts[line - 1];
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = self.text.get(start..end).unwrap_or_default();
        Place { line, column: before.chars().filter(|&c| c != '\u{feff}').count() + 1 }
    }
}

/// `text` in quotation marks, with everything invisible made visible, and cut where it is long.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED_MAX).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_skip_the_byte_order_mark() {
        let text = "\u{feff}é = 1\r\nb = ä\n";
        let lines = Lines::of(text);
        assert_eq!(lines.place(3), Place { line: 1, column: 1 });
        assert_eq!(lines.place(text.find('ä').unwrap()), Place { line: 2, column: 5 });
        assert_eq!(lines.place(1000).line, 3);
    }

    #[test]
    fn findings_beyond_the_limit_still_refuse_the_file() {
        let mut found = Findings::default();
        for _ in 0..FINDINGS_MAX {
            found.warning(&Spot::default(), "odd");
        }
        assert!(!found.has_errors());
        found.error(&Spot::default(), "wrong");
        found.warning(&Spot::default(), "odd");
        assert!(found.has_errors());
        let report = found.into_report(&Lines::of(""), Path::new("x"));
        assert!(report.has_errors());
        assert_eq!(report.diagnostics.len(), FINDINGS_MAX + 1);
    }
}
