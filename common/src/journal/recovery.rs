//! Opening a journal: telling a first start from a loss, a torn tail from damage.

use std::any::Any;
use std::io;
use std::sync::Arc;

use super::compaction::Compaction;
use super::disk::Disk;
use super::files::{Files, write_all};
use super::format::{BadHeader, FORMAT, HEADER_BYTES, Header, Kind, Record};
use super::log::{Journal, State, padded};
use super::scan::Scan;
use super::{JournalError, JournalOptions, Lsn, OnDamage, Recovered, RecoveryReport};

pub(super) fn open(
    disk: Arc<dyn Disk>,
    options: JournalOptions,
) -> Result<(Journal, Recovered), JournalError> {
    let name = padded(options.name);
    let files = Files::new(disk, options.name);
    let names = files.disk.list().map_err(|source| JournalError::Directory {
        path: files.disk.path().to_owned(),
        source: Arc::new(source),
    })?;
    let has = |name: &String| names.contains(name);
    // On a disk that takes no writing now the state can still be read, and be honoured.
    let (lock, mut writable) = match lock(&files) {
        Ok(lock) => (Some(lock), true),
        Err(JournalError::Disk { .. }) if has(&files.journal) => (None, false),
        Err(error) => return Err(error),
    };
    let stale_snapshot = has(&files.tmp);
    if stale_snapshot {
        writable &=
            allowed(files.disk.remove(&files.tmp).map_err(|error| files.error("remove", &files.tmp, error)))?;
    }
    let journal = Journal {
        options,
        lock,
        // Until what has been read is known to be on disk.
        state: State::Rotate,
        header: Header { version: 0, generation: 0, salt: 0, name },
        session: 0,
        end: HEADER_BYTES as u64,
        allocated: HEADER_BYTES as u64,
        sealed_end: HEADER_BYTES as u64,
        durable: Lsn(0),
        affirmed: false,
        pending: Vec::new(),
        compaction: None,
        marker_stale: true,
        files,
    };
    let tmpfs = journal.files.disk.space().is_ok_and(|space| space.tmpfs);
    match (has(&journal.files.journal), has(&journal.files.marker)) {
        (true, marked) => existing(journal, marked, writable, stale_snapshot, tmpfs),
        (false, true) => Err(JournalError::Vanished {
            path: journal.files.journal_path(),
            marker: journal.files.path(&journal.files.marker),
        }),
        (false, false) => first(journal, stale_snapshot, tmpfs),
    }
}

/// Takes the lock that keeps other processes out.
pub(super) fn lock(files: &Files) -> Result<Box<dyn Any + Send>, JournalError> {
    files.disk.lock(&files.lock).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => JournalError::InUse { path: files.path(&files.lock) },
        _ => files.error("lock", &files.lock, error),
    })
}

/// Whether a repair was done. A disk that fails is no reason not to honour what can be read: the journal heals later.
fn allowed(done: Result<(), JournalError>) -> Result<bool, JournalError> {
    match done {
        Ok(()) => Ok(true),
        Err(JournalError::Disk { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn first(
    mut journal: Journal,
    stale_snapshot: bool,
    tmpfs: bool,
) -> Result<(Journal, Recovered), JournalError> {
    journal.snapshot::<&[u8]>([])?;
    if journal.marker_stale {
        // Without it a loss would look like another first start.
        journal.files.mark(journal.header.generation)?;
        journal.marker_stale = false;
    }
    let report = RecoveryReport {
        first_start: true,
        generation: journal.header.generation,
        version: journal.header.version,
        stale_snapshot,
        tmpfs,
        ..RecoveryReport::default()
    };
    Ok((journal, Recovered { records: Vec::new(), report }))
}

fn existing(
    mut journal: Journal,
    marked: bool,
    writable: bool,
    stale_snapshot: bool,
    tmpfs: bool,
) -> Result<(Journal, Recovered), JournalError> {
    let path = journal.files.journal_path();
    let bytes = journal
        .files
        .disk
        .read(&journal.files.journal)
        .map_err(|error| journal.files.error("read", &journal.files.journal, error))?;
    let scan = Scan::new(&bytes, journal.options.record_bytes_max).map_err(|bad| match bad {
        BadHeader::Foreign => {
            JournalError::Foreign { path: path.clone(), found: "something else".to_owned() }
        }
        BadHeader::Newer(found) => {
            JournalError::Newer { path: path.clone(), what: "file layout", found, supported: FORMAT }
        }
        BadHeader::Damaged => JournalError::Damaged { path: path.clone(), offset: 0, before: 0, after: 0 },
    })?;
    let marked = if marked { Some(journal.files.marked_generation()?) } else { None };
    check_header(&journal, &scan.header, marked)?;
    if let Some(damage) = scan.damage.first()
        && journal.options.on_damage == OnDamage::Refuse
    {
        let (before, after) = scan.around(damage);
        return Err(JournalError::Damaged { path, offset: damage.bytes.start as u64, before, after });
    }

    let report = RecoveryReport {
        first_start: false,
        records: scan.records.len() as u64,
        snapshot_records: scan.snapshot_records as u64,
        last: scan.last,
        generation: scan.header.generation,
        version: scan.header.version,
        bytes_cut: if scan.cut.is_some() { (bytes.len() - scan.end) as u64 } else { 0 },
        cut: scan.cut,
        records_duplicate: scan.duplicates,
        records_corrected: scan.corrected,
        records_lost: scan.records_lost(),
        stale_snapshot,
        tmpfs,
    };
    journal.header = scan.header;
    journal.session = scan.session;
    journal.end = scan.end as u64;
    journal.sealed_end = scan.sealed_end as u64;
    journal.durable = scan.last;
    journal.marker_stale = marked != Some(scan.header.generation);
    let recovered = Recovered {
        records: scan.records.into_iter().map(|record| record.payload.into_owned()).collect(),
        report,
    };
    if writable {
        repair(&mut journal, &bytes, &recovered)?;
    }
    Ok((journal, recovered))
}

fn check_header(journal: &Journal, header: &Header, marked: Option<u64>) -> Result<(), JournalError> {
    let path = journal.files.journal_path();
    if header.name != padded(journal.options.name) {
        let found = String::from_utf8_lossy(&header.name).trim_end_matches('\0').to_owned();
        return Err(JournalError::Foreign { path, found: format!("the journal {found:?}") });
    }
    if header.version > journal.options.version {
        let (found, supported) = (header.version, journal.options.version);
        return Err(JournalError::Newer { path, what: "records", found, supported });
    }
    if let Some(expected) = marked
        && header.generation < expected
    {
        let marker = journal.files.path(&journal.files.marker);
        return Err(JournalError::RolledBack { path, generation: header.generation, expected, marker });
    }
    Ok(())
}

/// Brings the file into the state that the next batch can follow.
fn repair(journal: &mut Journal, bytes: &[u8], recovered: &Recovered) -> Result<(), JournalError> {
    let report = &recovered.report;
    let files = journal.files.clone();
    if report.records_lost > 0 {
        // The original is worth keeping before it is replaced.
        files.replace(&format!("{}.damaged-{}", files.name, report.generation), bytes)?;
    }
    if report.records_lost + report.records_corrected + report.records_duplicate > 0 {
        // What was put right is written down, lest a second flaw beside the first makes it unreadable.
        journal.compaction = Some(Compaction::new(recovered.records.clone(), report.last, report.version));
        let done = loop {
            match journal.step_snapshot() {
                Ok(true) => break Ok(()),
                Ok(false) => {}
                Err(error) => break Err(error),
            }
        };
        return allowed(done).map(|_| ());
    }
    let reaffirmed = reaffirm(journal, bytes, report.cut.is_some());
    allowed(reaffirmed.map_err(|error| files.error("synchronise", &files.journal, error)))?;
    // Never ahead of a journal whose rename may yet be lost.
    if journal.marker_stale && journal.affirmed {
        journal.marker_stale = !allowed(files.mark(report.generation))?;
    }
    Ok(())
}

/// Makes durable what has been read, and begins a session behind it.
///
/// A process that was killed between a write and its `fdatasync`, or after a failed one, leaves pages that can be read
/// and yet are not on disk, some of them marked clean; and it may leave cut what on disk is not cut.
fn reaffirm(journal: &mut Journal, bytes: &[u8], cut: bool) -> io::Result<()> {
    let files = &journal.files;
    let mut file = files.disk.open(&files.journal)?;
    // Also where it has that length already: on disk it may be longer. Durable before anything is written, lest a piece
    // of the new fills a gap in the old, by which a torn batch is known.
    let size = if cut { journal.end } else { bytes.len() as u64 };
    file.truncate(size)?;
    file.sync()?;
    let session = journal.session.checked_add(1).ok_or(io::ErrorKind::QuotaExceeded)?;
    let mut appended = bytes[journal.sealed_end as usize..journal.end as usize].to_vec();
    Record { kind: Kind::Session, sequence: journal.durable.0, place: 0, session, payload: &[] }
        .encode(journal.header.seed(), &mut appended);
    let end = journal.sealed_end + appended.len() as u64;
    let allocated = size.max(end);
    appended.resize((allocated - journal.sealed_end) as usize, 0);
    write_all(&mut *file, journal.sealed_end, &appended)?;
    file.sync()?;
    // The rename that put this file in place may not be durable either.
    files.disk.sync_dir()?;
    journal.session = session;
    journal.end = end;
    journal.allocated = allocated;
    journal.state = State::Sound(file);
    journal.affirmed = true;
    Ok(())
}
