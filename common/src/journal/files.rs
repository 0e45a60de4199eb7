//! The files of one journal on a disk: their names, the marker, and whole writes.

use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::error::JournalError;

/// The disk and the names on it.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) name: String,
    pub(super) journal: String,
    pub(super) marker: String,
    pub(super) tmp: String,
    pub(super) lock: String,
}

impl Files {
    pub(super) fn new(disk: Arc<dyn Disk>, name: &str) -> Self {
        Self {
            disk,
            name: name.to_owned(),
            journal: format!("{name}.journal"),
            marker: format!("{name}.marker"),
            tmp: format!("{name}.tmp"),
            lock: format!("{name}.lock"),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.disk.path().join(name)
    }

    pub(super) fn journal_path(&self) -> PathBuf {
        self.path(&self.journal)
    }

    pub(super) fn error(&self, action: &'static str, name: &str, source: std::io::Error) -> JournalError {
        JournalError::disk(action, &self.path(name), source)
    }

    /// The generation that the marker speaks of: 0 if nobody can read it, for its existence says enough.
    pub(super) fn marked_generation(&self) -> Result<u64, JournalError> {
        let bytes = self.disk.read(&self.marker).map_err(|error| self.error("read", &self.marker, error))?;
        let text = String::from_utf8_lossy(&bytes);
        let number = text.lines().find_map(|line| line.strip_prefix("generation ")?.trim().parse().ok());
        Ok(number.unwrap_or(0))
    }

    /// Puts a marker in place that speaks of a generation.
    pub(super) fn mark(&self, generation: u64) -> Result<(), JournalError> {
        let text = format!(
            "A journal stands beside this file; without it the state is lost.\ngeneration {generation}\n"
        );
        self.replace(&self.marker, text.as_bytes())
    }

    /// Writes a whole file, durable under its name or not there at all.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), JournalError> {
        let tmp = format!("{name}.tmp");
        let mut file = self.disk.create(&tmp).map_err(|error| self.error("create", &tmp, error))?;
        write_all(&mut *file, 0, bytes).map_err(|error| self.error("write", &tmp, error))?;
        file.sync().map_err(|error| self.error("synchronise", &tmp, error))?;
        self.disk.rename(&tmp, name).map_err(|error| self.error("rename", name, error))?;
        self.disk.sync_dir().map_err(|error| self.error("synchronise the directory of", name, error))
    }
}

/// Writes all bytes, however short the single writes turn out.
pub(super) fn write_all(file: &mut dyn DiskFile, mut offset: u64, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(offset, bytes) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                bytes = &bytes[written..];
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
