//! What is wrong with a site file, where, and what would be right.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// How much a [`Diagnostic`] weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file loads, but somebody should look.
    Warning,
    /// The file is refused.
    Error,
}

/// A place in a text, counted from 1 as editors do; columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Place {
    /// The place of byte `offset` of `text`; beyond its end, the end.
    pub fn of_offset(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

/// One finding about a site file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Where, unless the finding is about something that is not there and has no table either.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// The key, as a path: `node[2].mac`, `lan.pool`.
    pub key: String,
    /// What is wrong, as a fact in lower case.
    pub message: String,
    /// What would be right, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// Everything found in one run over one file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The file, or `-` for text from elsewhere.
    pub path: PathBuf,
    /// All findings.
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// A report on `path` with nothing in it.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), diagnostics: Vec::new() }
    }

    /// Whether the file is refused.
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// The findings that refuse the file.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|found| found.severity == Severity::Error)
    }
}

/// One line per finding: `site.toml:12:8: error: lan.pool: … (help)`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, found) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:", self.path.display())?;
            if let Some(Place { line, column }) = found.place {
                write!(f, "{line}:{column}:")?;
            }
            let severity = match found.severity {
                Severity::Warning => "warning",
                Severity::Error => "error",
            };
            write!(f, " {severity}: ")?;
            if !found.key.is_empty() {
                write!(f, "{}: ", found.key)?;
            }
            f.write_str(&found.message)?;
            if let Some(help) = &found.help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Report {}
