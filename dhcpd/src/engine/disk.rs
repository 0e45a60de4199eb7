//! Whether the journal still lies where a restart will look for it.
//!
//! A file that somebody deletes or cuts while it is written takes every write and keeps none; the writer hears
//! of nothing. So its place is looked at now and then, and what is lost there is written anew from memory.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Watches one file.
#[derive(Debug)]
pub(crate) struct JournalWatch {
    path: PathBuf,
    seen: Option<(u64, u64)>,
}

impl JournalWatch {
    /// Watches the journal called `name` in `directory`.
    pub(crate) fn new(directory: &Path, name: &str) -> Self {
        Self { path: directory.join(format!("{name}.journal")), seen: None }
    }

    /// What has happened to the file since the last look, where that loses records.
    pub(crate) fn look(&mut self) -> Option<String> {
        let found = match std::fs::metadata(&self.path) {
            Ok(found) => (found.ino(), found.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.seen = None;
                return Some(format!("{} was deleted", self.path.display()));
            }
            // A directory that cannot be read says nothing about the file.
            Err(_) => return None,
        };
        let before = self.seen.replace(found);
        let cut = before.is_some_and(|before| before.0 == found.0 && before.1 > found.1);
        cut.then(|| format!("{} was cut short", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_or_cut_file_is_noticed_and_a_replaced_or_grown_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("leases.journal");
        let mut watch = JournalWatch::new(directory.path(), "leases");
        std::fs::write(&path, [1; 100]).unwrap();
        assert_eq!(watch.look(), None);
        std::fs::write(&path, [1; 200]).unwrap();
        assert_eq!(watch.look(), None, "grown");
        std::fs::write(directory.path().join("new"), [1; 10]).unwrap();
        std::fs::rename(directory.path().join("new"), &path).unwrap();
        assert_eq!(watch.look(), None, "a snapshot in its place");
        std::fs::write(&path, [1; 5]).unwrap();
        assert!(watch.look().is_some_and(|what| what.ends_with("cut short")));
        assert_eq!(watch.look(), None, "told once");
        std::fs::remove_file(&path).unwrap();
        assert!(watch.look().is_some_and(|what| what.ends_with("was deleted")));
        assert!(watch.look().is_some(), "as long as it is missing");
    }
}
