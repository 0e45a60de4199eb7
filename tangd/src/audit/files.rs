//! The files of the log: `audit-SEQ.jsonl`, named after their first line, the last one growing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::chain::{Digest, Head, Link};

/// From this size on a new file is begun.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// So many files are kept; beyond, the oldest one goes. At some 400 bytes an entry, that is more than a million.
pub const FILES_MAX: usize = 64;
/// The longest line of ours, in bytes: what is read back is looked for in no more.
pub(super) const LINE_BYTES_MAX: usize = 16 * 1024;

/// The files in `directory`, the oldest first, each with the number of its first line.
pub(super) fn list(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let digits = name.strip_prefix("audit-").and_then(|name| name.strip_suffix(".jsonl"));
        if let Some(first) = digits.and_then(|digits| digits.parse().ok()) {
            files.push((first, path));
        }
    }
    files.sort();
    Ok(files)
}

/// The lines of a file's content, and the bytes after the last newline.
pub(super) fn lines(content: &[u8]) -> (impl Iterator<Item = &[u8]>, &[u8]) {
    let end = content.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    let (whole, torn) = content.split_at(end);
    (whole.split_inclusive(|&byte| byte == b'\n').map(|line| &line[..line.len() - 1]), torn)
}

/// What was found at the end of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// Bytes of a line that was not written to its end, cut off.
    pub(super) torn_bytes: u64,
    /// The last line is none of ours: the chain goes on from its bytes all the same.
    pub(super) foreign: bool,
}

/// The growing end of the log.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    file: File,
    /// Bytes of whole lines in it.
    length: u64,
    bytes_max: u64,
}

impl Files {
    /// Opens the log in `directory`, cuts a torn line off, and finds the chain's head.
    pub(super) fn open(directory: &Path, bytes_max: u64) -> io::Result<(Self, Head, Tail)> {
        if !directory.is_dir() {
            fs::create_dir(directory)?;
        }
        let known = list(directory)?;
        let mut head = Head::default();
        let mut tail = Tail::default();
        let mut open = None;
        // The newest file may be empty: the process ended right after beginning it.
        for (first, path) in known.iter().rev() {
            let mut file = OpenOptions::new().read(true).append(true).open(path)?;
            let length = file.metadata()?.len();
            let end = end_of(&mut file, length)?;
            if open.is_none() {
                tail.torn_bytes = length - end.whole;
                if tail.torn_bytes > 0 {
                    file.set_len(end.whole)?;
                    file.sync_data()?;
                }
                open = Some((file, end.whole));
            }
            if let Some(line) = end.last_line {
                let link = Link::of(&line);
                tail.foreign = link.is_none();
                let seq = link.map_or(*first, |link| link.seq);
                head = Head { seq, hash: Digest::of(&line) };
                break;
            }
        }
        let (file, length) = match open {
            Some(open) => open,
            None => (begin(directory, 1)?, 0),
        };
        Ok((Self { directory: directory.to_owned(), file, length, bytes_max }, head, tail))
    }

    /// Appends whole lines. On an error none of them counts as written.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match self.file.write_all(lines) {
            Ok(()) => {
                self.length += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Part of it may be there; where this fails too, the next start cuts it off.
                let _ = self.file.set_len(self.length);
                Err(error)
            }
        }
    }

    /// Begins a new file where this one is full; true: it did, and old ones may have gone.
    pub(super) fn rotate(&mut self, next_seq: u64) -> io::Result<bool> {
        if self.length < self.bytes_max {
            return Ok(false);
        }
        self.file.sync_data()?;
        self.file = begin(&self.directory, next_seq)?;
        self.length = 0;
        let files = list(&self.directory)?;
        for (_, path) in files.iter().take(files.len().saturating_sub(FILES_MAX)) {
            fs::remove_file(path)?;
        }
        Ok(true)
    }

    /// Another handle of the growing file, to sync it with.
    pub(super) fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

fn begin(directory: &Path, first: u64) -> io::Result<File> {
    let path = directory.join(format!("audit-{first:012}.jsonl"));
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    File::open(directory)?.sync_all()?;
    Ok(file)
}

struct End {
    /// Bytes up to the last newline.
    whole: u64,
    last_line: Option<Vec<u8>>,
}

/// Looks at the end of a file for its last whole line.
fn end_of(file: &mut File, length: u64) -> io::Result<End> {
    let mut window = 4 * LINE_BYTES_MAX as u64;
    loop {
        let from = length.saturating_sub(window);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        Read::by_ref(file).take(length - from).read_to_end(&mut bytes)?;
        let newlines: Vec<usize> = bytes
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at)
            .take(2)
            .collect();
        match newlines[..] {
            [end, before] => {
                return Ok(End {
                    whole: from + end as u64 + 1,
                    last_line: Some(bytes[before + 1..end].to_vec()),
                });
            }
            [end] if from == 0 => {
                return Ok(End { whole: end as u64 + 1, last_line: Some(bytes[..end].to_vec()) });
            }
            [] if from == 0 => return Ok(End { whole: 0, last_line: None }),
            // A line of somebody else's, longer than any of ours.
            _ => window *= 2,
        }
    }
}
