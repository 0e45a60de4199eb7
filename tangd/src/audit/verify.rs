//! Whether the log is as it was written.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::chain::{Digest, Head, Link};
use super::files;

/// A log that hangs together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Its files.
    pub files: usize,
    /// Its lines.
    pub records: u64,
    /// The number of the first line: above 1 where older files have been let go.
    pub first: u64,
    /// Its end. Compare it with one kept elsewhere: what was cut off at the end shows in nothing else.
    pub head: Head,
    /// Bytes of a last line that is not whole; being written at this moment, or left by a process that was killed.
    pub torn_bytes: u64,
}

/// Where a log does not hang together.
#[derive(Debug)]
pub enum Fault {
    /// It cannot be read.
    Io(PathBuf, io::Error),
    /// A line is none of ours.
    Foreign {
        /// Its file.
        file: PathBuf,
        /// Its place in the file, from 1.
        line: u64,
    },
    /// A line does not follow the one before: that one was changed, or lines in between were removed or inserted.
    Broken {
        /// Its file.
        file: PathBuf,
        /// Its place in the file, from 1.
        line: u64,
        /// Its number.
        seq: u64,
        /// The hash that it names.
        names: Digest,
        /// The hash of the line before.
        found: Digest,
    },
    /// A file other than the last ends with part of a line.
    Torn {
        /// The file.
        file: PathBuf,
        /// Bytes after its last whole line.
        bytes: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(formatter, "{}: {error}", path.display()),
            Self::Foreign { file, line } => {
                write!(formatter, "{}, line {line}: not a line of the audit log", file.display())
            }
            Self::Broken { file, line, seq, names, found } => write!(
                formatter,
                "{}, line {line} (seq {seq}): it names {names} as the line before, which is {found}: lines before it were changed, removed or inserted",
                file.display()
            ),
            Self::Torn { file, bytes } => {
                write!(formatter, "{}: ends with {bytes} bytes of a line that is not whole", file.display())
            }
        }
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Foreign { .. } | Self::Broken { .. } | Self::Torn { .. } => None,
        }
    }
}

/// Follows the chain through all files in `directory`, or through one file. Reads everything: for large logs, not for a
/// thread that serves.
///
/// # Errors
/// The first [`Fault`].
pub fn verify(path: &Path) -> Result<Verified, Fault> {
    let at = |error| Fault::Io(path.to_owned(), error);
    let metadata = std::fs::metadata(path).map_err(at)?;
    let files = match metadata.is_dir() {
        true => files::list(path).map_err(at)?.into_iter().map(|(_, file)| file).collect(),
        false => vec![path.to_owned()],
    };
    let mut verified =
        Verified { files: files.len(), records: 0, first: 0, head: Head::default(), torn_bytes: 0 };
    for (index, file) in files.iter().enumerate() {
        let content = std::fs::read(file).map_err(|error| Fault::Io(file.clone(), error))?;
        let (lines, torn) = files::lines(&content);
        for (line, at) in lines.zip(1..) {
            let link = Link::of(line).ok_or_else(|| Fault::Foreign { file: file.clone(), line: at })?;
            if verified.records == 0 {
                verified.first = link.seq;
                // What was before the oldest line that is kept, nobody knows any more; before line 1 there was nothing.
                let before = if link.seq == 1 { Digest::default() } else { link.previous };
                verified.head = Head { seq: link.seq.saturating_sub(1), hash: before };
            }
            let Head { seq, hash } = verified.head;
            if link.previous != hash || link.seq != seq + 1 {
                let (file, names, found) = (file.clone(), link.previous, hash);
                return Err(Fault::Broken { file, line: at, seq: link.seq, names, found });
            }
            verified.head = verified.head.after(line);
            verified.records += 1;
        }
        if index + 1 == files.len() {
            verified.torn_bytes = torn.len() as u64;
        } else if !torn.is_empty() {
            return Err(Fault::Torn { file: file.clone(), bytes: torn.len() as u64 });
        }
    }
    Ok(verified)
}
