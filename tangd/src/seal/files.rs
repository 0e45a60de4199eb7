//! A directory's sealed store: written so that at every moment either the old store or the new one is whole, and clear key
//! files are gone only after what replaces them was read back.
//!
//! ```text
//! lock ─► write keys.sealed.new ─► sync ─► read back, decrypt, compare ─► rename to keys.sealed ─► sync directory
//!      ─► for each clear file that the store holds byte for byte: overwrite, sync, remove ─► sync directory ─► unlock
//! ```
//!
//! Whatever is interrupted is taken up where it was left by the next sealing or opening.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::disk::{Disk, read_limited};
use super::format::{STORE_BYTES_MAX, SealedStore};
use super::payload::{CONTENT_BYTES_MAX, KeyFile, name_is_good};
use super::{Key, SealError, SecretBytes};

/// The store's file in its directory.
pub const STORE_FILE: &str = "keys.sealed";
/// Its name while it is being written; one that was left behind is replaced.
const UNFINISHED_FILE: &str = "keys.sealed.new";
/// Read by its owner, written by nobody: it is only ever replaced.
const MODE: u32 = 0o400;

/// A key directory with or without a store.
#[derive(Debug)]
pub(super) struct Files<'p, D> {
    directory: &'p Path,
    disk: D,
}

impl<'p, D: Disk> Files<'p, D> {
    pub(super) fn new(directory: &'p Path, disk: D) -> Self {
        Self { directory, disk }
    }

    /// Where the store is or would be.
    pub(super) fn store_path(&self) -> PathBuf {
        self.directory.join(STORE_FILE)
    }

    /// The store. None: there is none.
    pub(super) fn read(&self) -> Result<Option<SealedStore>, SealError> {
        read_store(&self.store_path())
    }

    /// Puts `store` in the place of the one that is there, or of none. `key` opens it.
    pub(super) fn write(
        &self,
        store: &SealedStore,
        key: &Key,
        expected: &[KeyFile],
    ) -> Result<(), SealError> {
        let unfinished = self.directory.join(UNFINISHED_FILE);
        if unfinished.symlink_metadata().is_ok() {
            self.disk.remove(&unfinished).map_err(SealError::io(&unfinished))?;
        }
        let bytes = store.to_bytes();
        if bytes.len() as u64 > STORE_BYTES_MAX {
            return Err(SealError::Invalid(
                "the store would grow too large; delete keys that nobody uses".to_owned(),
            ));
        }
        self.disk.write_new(&unfinished, &bytes, MODE).map_err(SealError::io(&unfinished))?;
        self.disk.sync(&unfinished).map_err(SealError::io(&unfinished))?;
        let written =
            read_store(&unfinished)?.ok_or_else(|| SealError::NotSealed(self.directory.to_owned()))?;
        if !same(&written.open(key)?, expected) {
            return Err(SealError::System(format!(
                "{} reads back as something else than was written; the disk is failing",
                unfinished.display()
            )));
        }
        let path = self.store_path();
        self.disk.rename(&unfinished, &path).map_err(SealError::io(&path))?;
        self.disk.sync_directory(self.directory).map_err(SealError::io(self.directory))
    }

    /// The key files in clear, sorted by name.
    pub(super) fn clear(&self) -> Result<Vec<KeyFile>, SealError> {
        let mut files = Vec::new();
        for name in self.clear_names()? {
            let path = self.directory.join(&name);
            let kind = path.symlink_metadata().map_err(SealError::io(&path))?.file_type();
            if !kind.is_file() {
                return Err(SealError::Invalid(format!(
                    "{} is no plain file; put the key itself there",
                    path.display()
                )));
            }
            let content =
                Zeroizing::new(read_limited(&path, CONTENT_BYTES_MAX as u64).map_err(SealError::io(&path))?);
            files.push(KeyFile { name, content: SecretBytes::copy_of(&content)? });
        }
        Ok(files)
    }

    /// The names of key files in clear.
    pub(super) fn clear_names(&self) -> Result<Vec<String>, SealError> {
        let error = || SealError::io(self.directory);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.directory).map_err(error())? {
            let name = entry.map_err(error())?.file_name();
            names.extend(name.to_str().filter(|name| name_is_good(name)).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// Overwrites and removes each clear file whose content is among `kept`, which a store on disk holds. Returns how many.
    pub(super) fn wipe(&self, kept: &[KeyFile]) -> Result<usize, SealError> {
        let mut wiped = 0;
        for file in self.clear()? {
            if !kept.iter().any(|kept| is_rest_of(&file, kept)) {
                continue;
            }
            let path = self.directory.join(&file.name);
            self.disk.overwrite(&path).map_err(SealError::io(&path))?;
            self.disk.remove(&path).map_err(SealError::io(&path))?;
            wiped += 1;
        }
        self.disk.sync_directory(self.directory).map_err(SealError::io(self.directory))?;
        Ok(wiped)
    }
}

/// Whether a clear file is `kept`, or what an interrupted wiping has left of it: no text of a key has zeros in it.
pub(super) fn is_rest_of(file: &KeyFile, kept: &KeyFile) -> bool {
    let blank = file.content.iter().all(|&byte| byte == 0);
    let same_length = file.content.len() == kept.content.len();
    blank
        || same_length
            && file.content.iter().zip(&*kept.content).all(|(&rest, &whole)| rest == 0 || rest == whole)
}

/// The store in this file. None: there is no such file.
pub(super) fn read_store(path: &Path) -> Result<Option<SealedStore>, SealError> {
    match read_limited(path, STORE_BYTES_MAX) {
        Ok(bytes) => SealedStore::parse(&bytes).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SealError::Io(path.to_owned(), error)),
    }
}

fn same(a: &[KeyFile], b: &[KeyFile]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name == b.name && *a.content == *b.content)
}
