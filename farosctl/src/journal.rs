//! `farosctl journal …`: a daemon's journal on disk.

use std::path::Path;

use faros_common::journal::{self, EntryKind, JournalError};
use serde::Serialize;

use crate::cli::JournalCommand;
use crate::exit::{Exit, Failure};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, harmless};
use crate::session::Session;

/// The longest part of a record that a table shows, in characters.
const SHOWN_CHARS_MAX: usize = 72;

pub(crate) fn run(session: &mut Session, command: &JournalCommand) -> Result<Exit, Failure> {
    match command {
        JournalCommand::Show { file } => {
            let (directory, name) = parts(file)?;
            let entries = journal::inspect(directory, name).map_err(|error| failed(&error))?;
            let records = Records(entries.map(|(offset, entry)| Record::of(offset, entry)).collect());
            let damaged = records.0.iter().any(|record| record.damage.is_some());
            session.show(&records)?;
            Ok(if damaged { Exit::Failed } else { Exit::Done })
        }
        JournalCommand::Repair { file } => {
            let (directory, name) = parts(file)?;
            let report = journal::salvage(directory, name).map_err(|error| failed(&error))?;
            session.show(&Repaired {
                kept: report.records,
                lost: report.records_lost,
                cut: report.bytes_cut,
            })?;
            Ok(Exit::Done)
        }
    }
}

/// `DIRECTORY/NAME.journal` in its parts.
fn parts(file: &Path) -> Result<(&Path, &str), Failure> {
    let name = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".journal"));
    match (file.parent(), name) {
        (Some(directory), Some(name)) if directory.as_os_str().is_empty() => Ok((Path::new("."), name)),
        (Some(directory), Some(name)) => Ok((directory, name)),
        _ => Err(Failure::failed(format!(
            "{} is no journal; name a file such as /var/lib/faros/dhcpd/leases.journal",
            file.display()
        ))),
    }
}

fn failed(error: &JournalError) -> Failure {
    Failure::failed(error.to_string())
}

/// One record, or one range that cannot be read.
#[derive(Serialize)]
struct Record {
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<EntryKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<journal::Lsn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<String>,
}

impl Record {
    fn of(offset: u64, entry: Result<journal::Entry, JournalError>) -> Self {
        match entry {
            Ok(entry) => Self {
                offset,
                kind: Some(entry.kind),
                number: Some(entry.lsn),
                record: Some(readable(&entry.record)),
                damage: None,
            },
            Err(error) => {
                Self { offset, kind: None, number: None, record: None, damage: Some(error.to_string()) }
            }
        }
    }
}

/// Text as it is, anything else in hexadecimal.
fn readable(record: &[u8]) -> String {
    match std::str::from_utf8(record) {
        Ok(text) => text.to_owned(),
        Err(_) => record.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Records(Vec<Record>);

impl Human for Records {
    fn human(&self, paint: Paint) -> String {
        let mut table = Table::new(["OFFSET", "NUMBER", "RECORD"]);
        for record in &self.0 {
            let number = record.number.map_or_else(|| "-".to_owned(), |number| number.to_string());
            let text = record.damage.as_ref().or(record.record.as_ref()).map_or("", String::as_str);
            let text: String = harmless(text).chars().take(SHOWN_CHARS_MAX).collect();
            table.row([record.offset.to_string(), number, text].map(Cell::from));
        }
        table.render(paint)
    }
}

#[derive(Serialize)]
struct Repaired {
    kept: u64,
    lost: u64,
    cut: u64,
}

impl Human for Repaired {
    fn human(&self, _: Paint) -> String {
        format!("{} records kept, {} lost, {} bytes cut off the end\n", self.kept, self.lost, self.cut)
    }
}
