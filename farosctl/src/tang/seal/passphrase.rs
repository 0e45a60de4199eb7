//! Where passphrases come from: files, or whoever sits at the terminal.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use faros_tangd::seal::{PASSPHRASE_BYTES_MAX, Passphrase};
use zeroize::Zeroizing;

use super::{PassphraseArguments, refused};
use crate::exit::Failure;
use crate::session::Session;

/// Passphrases, one after the other.
pub(super) struct Passphrases {
    files: VecDeque<PathBuf>,
    from_files: bool,
}

impl Passphrases {
    pub(super) fn of(arguments: &PassphraseArguments) -> Self {
        let files: VecDeque<_> = arguments.passphrase_file.iter().cloned().collect();
        Self { from_files: !files.is_empty(), files }
    }

    pub(super) fn of_file(file: Option<PathBuf>) -> Self {
        Self { from_files: file.is_some(), files: file.into_iter().collect() }
    }

    /// Whether asking for a further one makes sense.
    pub(super) fn has_more(&self, session: &Session) -> bool {
        if self.from_files { !self.files.is_empty() } else { session.terminal.in_is_terminal }
    }

    /// The next one, as it is typed or stands in its file: one line.
    pub(super) fn next_words(
        &mut self,
        session: &mut Session,
        question: &str,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let words = match self.files.pop_front() {
            Some(path) if path == Path::new("-") => session.terminal.line(PASSPHRASE_BYTES_MAX),
            Some(path) => read(&path)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
            None if self.from_files => {
                return Err(Failure::failed(
                    "another passphrase is needed; give a further --passphrase-file",
                ));
            }
            None => session.terminal.secret(question, PASSPHRASE_BYTES_MAX),
        };
        let words =
            words.map_err(|error| Failure::failed(format!("the passphrase cannot be read: {error}")))?;
        if words.is_empty() {
            return Err(Failure::failed("there is no passphrase; type one, or use --passphrase-file"));
        }
        Ok(words)
    }

    /// The next one.
    pub(super) fn next_passphrase(
        &mut self,
        session: &mut Session,
        question: &str,
    ) -> Result<Passphrase, Failure> {
        Passphrase::new(self.next_words(session, question)?).map_err(refused)
    }

    /// One that opens something from now on: at a terminal it is asked for twice.
    pub(super) fn new_passphrase(
        &mut self,
        session: &mut Session,
        question: &str,
    ) -> Result<Passphrase, Failure> {
        let words = self.next_words(session, question)?;
        if !self.from_files
            && session.terminal.in_is_terminal
            && *self.next_words(session, "Once more: ")? != *words
        {
            return Err(Failure::failed("the two are different; nothing was done"));
        }
        Passphrase::new(words).map_err(refused)
    }
}

/// The first line of a file.
fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(PASSPHRASE_BYTES_MAX + 2));
    let file = std::fs::File::open(path)?.take(PASSPHRASE_BYTES_MAX as u64 + 2);
    io::BufReader::new(file).read_until(b'\n', &mut line)?;
    Ok(line)
}
