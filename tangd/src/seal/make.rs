//! Making stores: sealing a directory, its slots, backups.

use std::path::Path;

use super::disk::{Disk, RealDisk};
use super::files::{Files, read_store};
use super::format::{Header, SealedStore, new_store_name};
use super::payload::{self, KeyFile};
use super::slot::{Fitted, Lock, NewSlot, Opener, Passphrase, SLOTS_MAX};
use super::store::{add_keys, free_name, now_secs};
use super::{Key, KeyStore, SealError, aead, shamir};
use crate::keys::{Loaded, PrivateJwk};

/// The mode of key files in clear, as upstream has it.
const CLEAR_MODE: u32 = 0o440;

/// What sealing did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Sealed {
    /// Names of the key files in the store.
    pub files: Vec<String>,
    /// Whether a pair had to be made first: it has never been on the disk in clear.
    pub generated: bool,
    /// How many clear files were overwritten and removed.
    pub wiped: usize,
}

impl KeyStore {
    /// Seals the directory: all its key files go into a new store that any `threshold` of `slots` open, and are overwritten
    /// and removed once the store was read back. A directory without keys gets its first pair, which is never in clear on
    /// the disk. Where a store is there already and every clear file is a leftover of an interrupted sealing, nothing
    /// remains but [`Self::absorb`].
    ///
    /// What overwriting cannot do: a solid-state disk, a file system that copies on write or keeps snapshots, and backups may
    /// still hold the old blocks. Keys that were ever in clear on such a disk are safe once they are rotated and deleted.
    ///
    /// # Errors
    /// [`SealError::AlreadySealed`], [`SealError::Invalid`], and whatever a slot or the system refused. The clear files are
    /// as they were then, or a store exists that holds them.
    pub async fn seal(&self, slots: &[NewSlot], threshold: usize) -> Result<Sealed, SealError> {
        self.seal_with(slots, threshold, Vec::new()).await
    }

    async fn seal_with(
        &self,
        slots: &[NewSlot],
        threshold: usize,
        further: Vec<KeyFile>,
    ) -> Result<Sealed, SealError> {
        if self.has_store() {
            return Err(SealError::AlreadySealed(self.files().store_path()));
        }
        let fitted = fit(slots, threshold).await?;
        self.make_directory()?;
        let _lock = self.lock()?;
        seal_files(&self.files(), fitted, threshold, further)
    }

    /// A host that starts from a backup may not have the directory yet.
    fn make_directory(&self) -> Result<(), SealError> {
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(self.path()).map_err(SealError::io(self.path()))
    }

    /// Adds a slot to the open store.
    ///
    /// # Errors
    /// [`SealError::Sealed`], [`SealError::Invalid`] for a name that is taken, and what the slot or the system refused.
    pub async fn add_slot(&self, slot: &NewSlot) -> Result<(), SealError> {
        let (store, _) = self.opened()?;
        free_slot(&store.header, &slot.name)?;
        let fitted = slot.fit().await?;
        self.change(|_, header| {
            let place = free_slot(header, &fitted.name)?;
            let share = self.share_at(place)?;
            header.slots.push(fitted.with_share(&header.store, header.threshold, &share)?);
            header.last_place = place;
            Ok(())
        })
    }

    /// Removes a slot from the open store. Copies of the store's file made before still open with it, to what they held
    /// then: rotate the keys if that matters.
    ///
    /// # Errors
    /// [`SealError::Sealed`], [`SealError::NoSuchSlot`], and [`SealError::Invalid`] where too few would remain.
    pub fn remove_slot(&self, name: &str) -> Result<(), SealError> {
        self.change(|_, header| {
            if header.slot(name).is_none() {
                return Err(SealError::NoSuchSlot(name.to_owned()));
            }
            if header.slots.len() <= header.threshold {
                return Err(SealError::Invalid(
                    "too few slots would remain to open the store; add another first".to_owned(),
                ));
            }
            header.slots.retain(|slot| slot.name != name);
            Ok(())
        })
    }

    /// All keys, of an open store or in clear, in one file that `passphrase` opens: a store of its own.
    ///
    /// # Errors
    /// [`SealError::Sealed`], [`SealError::Invalid`] without any keys.
    pub fn backup(&self, passphrase: &Passphrase) -> Result<Vec<u8>, SealError> {
        let (files, rotated) = if self.has_store() {
            let (store, key) = self.opened()?;
            (store.open(&key)?, store.header.rotated)
        } else {
            (self.files().clear()?, now_secs())
        };
        if files.is_empty() {
            return Err(SealError::Invalid(format!("there are no keys in {}", self.path().display())));
        }
        let (lock, key) = super::PassphraseLock::new(passphrase)?;
        let fitted = vec![Fitted { name: "backup".to_owned(), lock: Lock::Passphrase(lock), key }];
        let (header, key) = new_header(fitted, 1, rotated)?;
        let store = SealedStore::seal(header, &key, &files)?;
        Ok(store.to_bytes())
    }

    /// [`Self::backup`] into a new file (mode 0400), which is read back before this returns.
    ///
    /// # Errors
    /// As [`Self::backup`]; also where the file exists.
    pub fn backup_to(&self, path: &Path, passphrase: &Passphrase) -> Result<usize, SealError> {
        let bytes = self.backup(passphrase)?;
        if path.symlink_metadata().is_ok() {
            return Err(SealError::Io(path.to_owned(), std::io::ErrorKind::AlreadyExists.into()));
        }
        let written = RealDisk.write_new(path, &bytes, 0o400).and_then(|()| RealDisk.sync(path));
        let checked =
            written.map_err(SealError::io(path)).and_then(|()| Ok(open_backup(path, passphrase)?.len()));
        if checked.is_err() {
            // Half a backup is worse than none: somebody might rely on it.
            let _ = std::fs::remove_file(path);
        }
        checked
    }

    /// Adds the keys of a backup to the open store, or to clear files; keys that are there already are left as they are. Returns
    /// how many were added.
    ///
    /// # Errors
    /// [`SealError::WrongPassphrase`], [`SealError::Sealed`], [`SealError::Corrupt`].
    pub fn restore(&self, backup: &Path, passphrase: &Passphrase) -> Result<usize, SealError> {
        let restored = open_backup(backup, passphrase)?;
        if self.has_store() {
            return self.change(|files, _| merge(files, restored));
        }
        self.make_directory()?;
        let _lock = self.lock()?;
        let files = self.files();
        let mut all = files.clear()?;
        let first = all.len();
        let added = merge(&mut all, restored)?;
        for file in &all[first..] {
            // Under a name that is no key's until it is whole.
            let path = self.path().join(&file.name);
            let unfinished = self.path().join(format!("{}.new", file.name));
            let _ = std::fs::remove_file(&unfinished);
            RealDisk.write_new(&unfinished, &file.content, CLEAR_MODE).map_err(SealError::io(&unfinished))?;
            RealDisk.sync(&unfinished).map_err(SealError::io(&unfinished))?;
            RealDisk.rename(&unfinished, &path).map_err(SealError::io(&path))?;
        }
        RealDisk.sync_directory(self.path()).map_err(SealError::io(self.path()))?;
        Ok(added)
    }

    /// Seals the directory as [`Self::seal`] does, with the keys of a backup in it, which are never on the disk in clear.
    ///
    /// # Errors
    /// As [`Self::seal`] and [`Self::restore`].
    pub async fn restore_sealed(
        &self,
        backup: &Path,
        passphrase: &Passphrase,
        slots: &[NewSlot],
        threshold: usize,
    ) -> Result<Sealed, SealError> {
        let restored = open_backup(backup, passphrase)?;
        self.seal_with(slots, threshold, restored).await
    }
}

/// Makes the locks of all slots, before anything is touched.
pub(super) async fn fit(slots: &[NewSlot], threshold: usize) -> Result<Vec<Fitted>, SealError> {
    if slots.is_empty() || slots.len() > SLOTS_MAX || threshold == 0 || threshold > slots.len() {
        return Err(SealError::Invalid(format!(
            "a store has 1 to {SLOTS_MAX} slots and takes at most as many as it has"
        )));
    }
    for (index, slot) in slots.iter().enumerate() {
        if slots[..index].iter().any(|other| other.name == slot.name) {
            return Err(SealError::Invalid(format!("two slots are named {}", slot.name)));
        }
    }
    if slots.iter().all(|slot| matches!(slot.with, Opener::Tpm2(_))) {
        return Err(SealError::Invalid(
            "a TPM alone would open the store for whoever carries the machine away, and for nobody once its board is \
             replaced; add a passphrase"
                .to_owned(),
        ));
    }
    let mut fitted = Vec::with_capacity(slots.len());
    for slot in slots {
        fitted.push(slot.fit().await?);
    }
    Ok(fitted)
}

/// Puts all clear files, and `further` ones, into a new store, and wipes them. The directory is locked by the caller.
pub(super) fn seal_files<D: Disk>(
    files: &Files<'_, D>,
    fitted: Vec<Fitted>,
    threshold: usize,
    further: Vec<KeyFile>,
) -> Result<Sealed, SealError> {
    if files.store_path().exists() {
        return Err(SealError::AlreadySealed(files.store_path()));
    }
    let (mut header, key) = new_header(fitted, threshold, now_secs())?;
    let mut held = files.clear()?;
    merge(&mut held, further)?;
    let generated = !has_visible_key(&held);
    if generated {
        add_keys(&mut held, &mut header, &PrivateJwk::pair()?)?;
    }
    let store = SealedStore::seal(header, &key, &held)?;
    files.write(&store, &key, &held)?;
    let wiped = files.wipe(&held)?;
    Ok(Sealed { files: held.into_iter().map(|file| file.name).collect(), generated, wiped })
}

/// The header of a new store and its key, split among the slots.
fn new_header(fitted: Vec<Fitted>, threshold: usize, rotated: u64) -> Result<(Header, Key), SealError> {
    let (store, key) = (new_store_name()?, aead::new_key()?);
    let places: Vec<u8> = (1..=SLOTS_MAX as u8).take(fitted.len()).collect();
    let shares = shamir::split(&key, threshold, &places)?;
    let slots = fitted.into_iter().zip(&shares);
    let slots =
        slots.map(|(fitted, share)| fitted.with_share(&store, threshold, share)).collect::<Result<_, _>>()?;
    Ok((Header::new(store, threshold, slots, rotated), key))
}

/// The place of a further slot, if its name is free.
fn free_slot(header: &Header, name: &str) -> Result<u8, SealError> {
    if header.slot(name).is_some() {
        return Err(SealError::Invalid(format!("there is a slot {name} already")));
    }
    let place = header.last_place.checked_add(1).filter(|_| header.slots.len() < SLOTS_MAX);
    place
        .ok_or_else(|| SealError::Invalid(format!("the store has had all its slots ({SLOTS_MAX} at a time)")))
}

fn open_backup(path: &Path, passphrase: &Passphrase) -> Result<Vec<KeyFile>, SealError> {
    let missing = || SealError::Io(path.to_owned(), std::io::ErrorKind::NotFound.into());
    let store = read_store(path)?.ok_or_else(missing)?;
    let header = &store.header;
    for slot in &header.slots {
        let Lock::Passphrase(lock) = &slot.lock else { continue };
        let Some(share) = slot.share(&header.store, header.threshold, &lock.key(passphrase)?)? else {
            continue;
        };
        let key = header.combine(&[&share]).ok_or_else(|| {
            SealError::Invalid("this is a store that several slots open together, no backup".to_owned())
        })?;
        return store.open(&key);
    }
    Err(SealError::WrongPassphrase)
}

/// Adds the files whose content is not there yet. Returns how many.
fn merge(files: &mut Vec<KeyFile>, further: Vec<KeyFile>) -> Result<usize, SealError> {
    let first = files.len();
    for file in further {
        if files.iter().any(|known| *known.content == *file.content) {
            continue;
        }
        let name = free_name(files, &file)?;
        files.push(KeyFile { name, ..file });
    }
    Ok(files.len() - first)
}

/// Whether one of the files is advertised and holds a key.
fn has_visible_key(files: &[KeyFile]) -> bool {
    match payload::load(files) {
        Loaded::Open { keys, .. } => keys.iter().any(|key| !key.file.starts_with('.')),
        Loaded::Sealed(_) => false,
    }
}
