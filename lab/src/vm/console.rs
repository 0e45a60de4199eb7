//! The serial console of a machine, line by line as it speaks.
//!
//! Firmware draws with escape sequences and leaves lines unfinished while it waits, so a line is told both
//! when it begins to mean something and when it ends: the "Configuring … ok" of iPXE spans seconds.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use faros_common::{clock, tasks};

use crate::error::LabError;

/// One finished line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleLine {
    /// When its first character came.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
    /// Its text without escape sequences.
    pub text: String,
}

/// A machine's serial console. Ends when dropped.
#[derive(Debug)]
pub struct Console {
    lines: Mutex<Receiver<ConsoleLine>>,
    ended: Arc<AtomicBool>,
    file: PathBuf,
}

/// How often the console is looked at.
const LOOK: Duration = Duration::from_millis(10);

impl Console {
    pub(crate) fn follow(file: PathBuf) -> Result<Self, LabError> {
        let mut reading = File::open(&file).map_err(LabError::io("open", &file))?;
        let (sender, receiver) = channel();
        let ended = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&ended);
        tasks::spawn_thread("lab console", move || {
            let mut lines = Lines::default();
            let mut buffer = [0; 4096];
            while !stop.load(Ordering::Relaxed) {
                match reading.read(&mut buffer) {
                    Ok(0) => std::thread::sleep(LOOK),
                    Ok(count) => {
                        for line in lines.on_bytes(&buffer[..count], clock::now()) {
                            if sender.send(line).is_err() {
                                return;
                            }
                        }
                    }
                    Err(_) => return,
                }
            }
        })
        .map_err(LabError::doing("start a thread"))?;
        Ok(Self { lines: Mutex::new(receiver), ended, file })
    }

    /// The next finished line within `limit`.
    pub fn next(&self, limit: Duration) -> Option<ConsoleLine> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(limit).ok()
    }

    /// The first line within `limit` that contains `text`; those before it are dropped.
    ///
    /// # Errors
    /// There was none; the error holds the last lines.
    pub fn wait_for(&self, text: &str, limit: Duration) -> Result<ConsoleLine, LabError> {
        let deadline = clock::now() + limit;
        while let Some(line) = self.next(deadline.saturating_duration_since(clock::now())) {
            if line.text.contains(text) {
                return Ok(line);
            }
        }
        let tail = self.tail(8);
        Err(LabError::TimedOut(format!("no {text:?} on the console within {} s:\n{tail}", limit.as_secs())))
    }

    /// The last lines said so far.
    pub fn tail(&self, count: usize) -> String {
        let bytes = std::fs::read(&self.file).unwrap_or_default();
        let mut lines = Lines::default();
        let now = clock::now();
        let mut said = lines.on_bytes(&bytes, now);
        said.extend(lines.on_bytes(b"\n", now));
        let texts: Vec<_> = said.into_iter().map(|line| line.text).collect();
        texts[texts.len().saturating_sub(count)..].join("\n")
    }

    /// The file with all that was said, escape sequences included.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Cuts bytes into lines without escape sequences; empty lines are left out.
#[derive(Default)]
struct Lines {
    text: String,
    began: Option<Instant>,
    escape: Escape,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Begun,
    Sequence,
}

/// A longer line is cut here: firmware that draws without ever ending a line must not grow us.
const LINE_CHARS_MAX: usize = 4096;

impl Lines {
    fn on_bytes(&mut self, bytes: &[u8], now: Instant) -> Vec<ConsoleLine> {
        let mut finished = Vec::new();
        for &byte in bytes {
            match (self.escape, byte) {
                (Escape::None, 0x1b) => {
                    // Cursor movement separates words that stand in different places.
                    self.escape = Escape::Begun;
                }
                (Escape::Begun, b'[') => self.escape = Escape::Sequence,
                (Escape::Sequence, b'A'..=b'Z' | b'a'..=b'z') => {
                    self.escape = Escape::None;
                    if matches!(byte, b'H' | b'J') {
                        finished.extend(self.end(now));
                    }
                }
                (Escape::Sequence, _) => {}
                (Escape::Begun, _) => self.escape = Escape::None,
                (Escape::None, b'\n' | b'\r') => finished.extend(self.end(now)),
                (Escape::None, 0..0x20) => {}
                (Escape::None, _) => {
                    self.began.get_or_insert(now);
                    self.text.push(char::from(byte));
                    if self.text.len() >= LINE_CHARS_MAX {
                        finished.extend(self.end(now));
                    }
                }
            }
        }
        finished
    }

    fn end(&mut self, now: Instant) -> Option<ConsoleLine> {
        let began = self.began.take().unwrap_or(now);
        let text = std::mem::take(&mut self.text).trim().to_owned();
        (!text.is_empty()).then_some(ConsoleLine { began, ended: now, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_knows_when_it_began_and_ended() {
        let mut lines = Lines::default();
        let start = clock::now();
        let later = start + Duration::from_secs(3);
        assert!(lines.on_bytes(b"\x1b[0mConfiguring (net0 52:54:00:00:00:01)...", start).is_empty());
        let line = lines.on_bytes(b"... ok\r\n", later).remove(0);
        assert_eq!(line.text, "Configuring (net0 52:54:00:00:00:01)...... ok");
        assert_eq!(line.ended - line.began, Duration::from_secs(3));
    }

    #[test]
    fn clearing_the_screen_ends_a_line() {
        let mut lines = Lines::default();
        let said = lines.on_bytes(b"Booting\x1b[2JFAROS-NODE kernel 6.1\n", clock::now());
        assert_eq!(
            said.into_iter().map(|line| line.text).collect::<Vec<_>>(),
            ["Booting", "FAROS-NODE kernel 6.1"]
        );
    }

    #[test]
    fn an_endless_line_is_cut() {
        let said = Lines::default().on_bytes(&[b'.'; 3 * LINE_CHARS_MAX], clock::now());
        assert_eq!(said.len(), 3);
    }
}
