//! Keys of a directory that may be sealed: what the server asks for keys.

mod source;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use faros_common::clock;
use serde::Serialize;

use super::disk::{DirectoryLock, RealDisk};
use super::files::{Files, STORE_FILE, is_rest_of};
use super::format::{Header, SealedStore};
use super::opening::{Assembly, Attempts};
use super::payload::KeyFile;
use super::shamir::{Share, interpolate};
use super::slot::{Lock, Passphrase, Slot};
use super::{Key, SealError, SecretBytes};
use crate::keys::{KeyDirectory, KeysError};

pub(super) use source::{add_keys, free_name};

/// The keys of a directory: in clear, in upstream's layout, or sealed in its file [`STORE_FILE`]. Which it is shows at each
/// request, so that a directory can be sealed while it is served. It never goes back: where a store was seen, or is
/// [expected](Self::expect_sealed), its disappearance is an error and no reason to make new keys in clear.
///
/// While it is open its master key is held in memory that is neither swapped nor dumped; the keys themselves are with
/// whoever has loaded them. [`Self::close`] forgets the master key.
pub struct KeyStore {
    clear: KeyDirectory,
    state: Mutex<State>,
    /// One derivation of a key from a passphrase at a time: each takes 64 MiB.
    deriving: Mutex<()>,
}

#[derive(Default)]
struct State {
    expected: bool,
    open: Option<Open>,
    assembly: Assembly,
    attempts: Attempts,
    /// The generation that was last opened: an older one is a rollback.
    generation: u64,
    /// Rises with each opening and closing.
    epoch: u64,
}

struct Open {
    store: String,
    master: SecretBytes,
    /// The shares that opened it, by place: with them further slots can be made.
    shares: Vec<(u8, SecretBytes)>,
}

impl Open {
    fn key(&self) -> Key {
        let mut key = Key::default();
        key.copy_from_slice(&self.master);
        key
    }

    fn shares(&self) -> Vec<Share> {
        let share = |(x, y): &(u8, SecretBytes)| {
            let mut share = Share { x: *x, y: Key::default() };
            share.y.copy_from_slice(y);
            share
        };
        self.shares.iter().map(share).collect()
    }
}

/// How far a store is opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Whether it is still sealed.
    pub sealed: bool,
    /// How many shares have come in; none are kept once it is open.
    pub shares: usize,
    /// How many it takes.
    pub threshold: usize,
}

/// What is known about a store without opening it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// Its random name.
    pub store: String,
    /// How often it was changed.
    pub generation: u64,
    /// When its advertised keys were made, in seconds since 1970.
    pub rotated: u64,
    /// How many slots it takes to open it.
    pub threshold: usize,
    /// Its slots.
    pub slots: Vec<SlotDescription>,
    /// Key files in clear beside it: left over, or newly dropped; taken into the store when it is open.
    pub clear_files: usize,
}

/// What is known about a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlotDescription {
    /// Its name.
    pub name: String,
    /// `passphrase`, `tang` or `tpm2`.
    pub kind: &'static str,
    /// The server of a Tang slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl KeyStore {
    /// The keys of the directory at `path`. Nothing is read yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { clear: KeyDirectory::new(path), state: Mutex::default(), deriving: Mutex::default() }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.clear.path()
    }

    /// Serves no keys in clear from now on (`sealed = true`): without a sealed store there are none.
    pub fn expect_sealed(&self, expected: bool) {
        self.state().expected |= expected;
    }

    /// Whether there is a sealed store.
    pub fn has_store(&self) -> bool {
        self.path().join(STORE_FILE).exists()
    }

    /// Whether there is a sealed store that is not open.
    pub fn is_sealed(&self) -> bool {
        let open = self.state().open.is_some();
        !open && (self.has_store() || self.state().expected)
    }

    /// Whether the memory that holds the master key is kept out of swap; none while it is sealed.
    pub fn is_locked_in_memory(&self) -> Option<bool> {
        self.state().open.as_ref().map(|open| open.master.is_locked())
    }

    /// What is known without opening it. None: there is no sealed store.
    ///
    /// # Errors
    /// The store cannot be read or is damaged.
    pub fn describe(&self) -> Result<Option<Description>, SealError> {
        let files = self.files();
        let Some(SealedStore { header, .. }) = files.read()? else { return Ok(None) };
        let slot = |slot: &Slot| SlotDescription {
            name: slot.name.clone(),
            kind: slot.lock.kind(),
            url: match &slot.lock {
                Lock::Tang(lock) => Some(lock.upstream.url.clone()),
                Lock::Passphrase(_) | Lock::Tpm2(_) => None,
            },
        };
        Ok(Some(Description {
            slots: header.slots.iter().map(slot).collect(),
            store: header.store,
            generation: header.generation,
            rotated: header.rotated,
            threshold: header.threshold,
            clear_files: files.clear_names()?.len(),
        }))
    }

    /// How far it is opened.
    ///
    /// # Errors
    /// There is no store, or it cannot be read.
    pub fn progress(&self) -> Result<Progress, SealError> {
        let header = self.read()?.header;
        Ok(self.progress_of(&header, &mut self.state()))
    }

    /// Tries a passphrase on every passphrase slot whose share is still missing. Blocks for the derivations: a quarter of a
    /// second each.
    ///
    /// # Errors
    /// [`SealError::WrongPassphrase`], [`SealError::TooManyAttempts`] (also while another passphrase is being tried), and
    /// what is wrong with the store.
    pub fn open_with_passphrase(&self, passphrase: &Passphrase) -> Result<Progress, SealError> {
        let store = self.read()?;
        let header = &store.header;
        let mut pending = Vec::new();
        {
            let mut state = self.state();
            if state.open.is_some() {
                return Ok(self.progress_of(header, &mut state));
            }
            state
                .attempts
                .allow(clock::now())
                .map_err(|wait| SealError::TooManyAttempts(wait.as_secs() + 1))?;
            for slot in &header.slots {
                if let Lock::Passphrase(lock) = &slot.lock {
                    pending.push((slot, lock, state.assembly.holds(slot.place, clock::now())));
                }
            }
        }
        if pending.is_empty() {
            return Err(SealError::NoSuchSlot("for a passphrase".to_owned()));
        }
        let deriving = self.deriving.try_lock();
        let _deriving = match deriving {
            Ok(guard) => guard,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => return Err(SealError::TooManyAttempts(1)),
        };
        for (slot, lock, _) in
            pending.iter().filter(|(.., held)| !held).chain(pending.iter().filter(|(.., held)| *held))
        {
            let Some(share) = slot.share(&header.store, header.threshold, &lock.key(passphrase)?)? else {
                continue;
            };
            self.state().attempts.on_right();
            return self.add(&store, share);
        }
        self.state().attempts.on_wrong(clock::now());
        Err(SealError::WrongPassphrase)
    }

    /// Asks every upstream Tang whose share is missing, once each.
    ///
    /// # Errors
    /// What went wrong with the last one that gave no share, where the store stays sealed.
    pub async fn open_with_upstreams(&self) -> Result<Progress, SealError> {
        let store = self.read()?;
        let mut refused = None;
        for slot in &store.header.slots {
            let Lock::Tang(lock) = &slot.lock else { continue };
            if self.state().open.is_some() {
                break;
            }
            match lock.key().await.and_then(|key| self.offer(&store, slot, &key)) {
                Ok(progress) if !progress.sealed => return Ok(progress),
                Ok(_) => {}
                Err(error) => refused = Some(error),
            }
        }
        let progress = self.progress_of(&store.header, &mut self.state());
        match refused {
            Some(error) if progress.sealed => Err(error),
            _ => Ok(progress),
        }
    }

    /// Has the TPM open its slots. Starts programs, so only before privileges are given up; blocks for seconds.
    ///
    /// # Errors
    /// What went wrong with the last one that gave no share, where the store stays sealed.
    pub fn open_with_tpm(&self) -> Result<Progress, SealError> {
        let store = self.read()?;
        let mut refused = None;
        for slot in &store.header.slots {
            let Lock::Tpm2(lock) = &slot.lock else { continue };
            match lock.key().and_then(|key| self.offer(&store, slot, &key)) {
                Ok(progress) if !progress.sealed => return Ok(progress),
                Ok(_) => {}
                Err(error) => refused = Some(error),
            }
        }
        let progress = self.progress_of(&store.header, &mut self.state());
        match refused {
            Some(error) if progress.sealed => Err(error),
            _ => Ok(progress),
        }
    }

    /// Whether the store has a slot of this kind (`passphrase`, `tang`, `tpm2`). Also false where it cannot be read.
    pub fn has_slot(&self, kind: &str) -> bool {
        let store = self.files().read();
        store.is_ok_and(|store| {
            store.is_some_and(|store| store.header.slots.iter().any(|slot| slot.lock.kind() == kind))
        })
    }

    /// Forgets the master key: sealed from the next request on. Keys that are in use by a request are wiped when it ends.
    ///
    /// # Errors
    /// [`SealError::NotSealed`]: there is no store, so it could never be opened again.
    pub fn close(&self) -> Result<(), SealError> {
        self.read()?;
        let mut state = self.state();
        state.open = None;
        state.assembly.clear();
        state.epoch += 1;
        Ok(())
    }

    /// Takes key files that lie in clear beside an open store into it, and wipes them. Returns how many are gone.
    ///
    /// # Errors
    /// [`SealError::Sealed`], or what the system refused.
    pub fn absorb(&self) -> Result<usize, SealError> {
        if self.files().clear_names()?.is_empty() {
            return Ok(0);
        }
        let _lock = self.lock()?;
        let (store, key) = self.opened()?;
        let (mut held, files) = (store.open(&key)?, self.files());
        let mut added = false;
        for file in files.clear()? {
            if held.iter().any(|known| is_rest_of(&file, known)) {
                continue;
            }
            let name = free_name(&held, &file)?;
            held.push(KeyFile { name, ..file });
            added = true;
        }
        if added {
            let mut header = store.header;
            header.rotated = now_secs();
            self.put(header, &key, &held)?;
        }
        files.wipe(&held)
    }

    /// When the advertised keys were made. None: there are none, or nobody knows.
    pub fn rotated(&self) -> Option<SystemTime> {
        match self.files().read() {
            Ok(Some(store)) => UNIX_EPOCH.checked_add(Duration::from_secs(store.header.rotated)),
            Err(_) => None,
            Ok(None) => {
                let names = self.files().clear_names().ok()?;
                let visible = names.iter().filter(|name| !name.starts_with('.'));
                visible.filter_map(|name| self.path().join(name).metadata().ok()?.modified().ok()).max()
            }
        }
    }

    /// Changes the files of an open store.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<KeyFile>, &mut Header) -> Result<T, SealError>,
    ) -> Result<T, SealError> {
        let _lock = self.lock()?;
        let (store, key) = self.opened()?;
        let mut files = store.open(&key)?;
        let mut header = store.header;
        let result = change(&mut files, &mut header)?;
        self.put(header, &key, &files)?;
        Ok(result)
    }

    /// The share for a slot at `place` of the open store.
    pub(super) fn share_at(&self, place: u8) -> Result<Share, SealError> {
        let state = self.state();
        let shares = state.open.as_ref().ok_or(SealError::Sealed)?.shares();
        Ok(Share { x: place, y: interpolate(&shares.iter().collect::<Vec<_>>(), place) })
    }

    /// The store.
    pub(super) fn read(&self) -> Result<SealedStore, SealError> {
        self.files().read()?.ok_or_else(|| SealError::NotSealed(self.path().to_owned()))
    }

    pub(super) fn files(&self) -> Files<'_, RealDisk> {
        Files::new(self.path(), RealDisk)
    }

    pub(super) fn lock(&self) -> Result<DirectoryLock, SealError> {
        DirectoryLock::take(self.path()).map_err(SealError::io(self.path()))
    }

    /// The store as it is on disk, and the key that opens it.
    pub(super) fn opened(&self) -> Result<(SealedStore, Key), SealError> {
        let store = self.read()?;
        let state = self.state();
        let open =
            state.open.as_ref().filter(|open| open.store == store.header.store).ok_or(SealError::Sealed)?;
        Ok((store, open.key()))
    }

    fn offer(&self, store: &SealedStore, slot: &Slot, key: &Key) -> Result<Progress, SealError> {
        let header = &store.header;
        let share = slot.share(&header.store, header.threshold, key)?;
        // A server or a chip that has another key than the one that the slot was made with.
        let refused =
            || SealError::Invalid(format!("slot {} does not open: it was made for another key", slot.name));
        self.add(store, share.ok_or_else(refused)?)
    }

    fn add(&self, store: &SealedStore, share: Share) -> Result<Progress, SealError> {
        let now = clock::now();
        let mut state = self.state();
        state.assembly.add(share, now);
        if state.open.is_none() {
            let shares = state.assembly.shares(now);
            if let Some(key) = store.header.combine(&shares) {
                let shares = shares.iter().map(|share| Ok((share.x, SecretBytes::copy_of(&*share.y)?)));
                let shares = shares.collect::<Result<_, SealError>>()?;
                if let Err(error) = store.open(&key) {
                    state.assembly.clear();
                    return Err(error);
                }
                if store.header.generation < state.generation {
                    tracing::error!(
                        event = "tang_rolled_back",
                        was = state.generation,
                        is = store.header.generation,
                        "the sealed store is older than the one that was open before"
                    );
                }
                let master = SecretBytes::copy_of(&*key)?;
                if !master.is_locked() {
                    tracing::warn!(
                        event = "memory_not_locked",
                        "the master key may be swapped out; raise LimitMEMLOCK or encrypt the swap"
                    );
                }
                state.open = Some(Open { store: store.header.store.clone(), master, shares });
                state.generation = store.header.generation;
                state.assembly.clear();
                state.epoch += 1;
            }
        }
        Ok(self.progress_of(&store.header, &mut state))
    }

    fn progress_of(&self, header: &Header, state: &mut State) -> Progress {
        Progress {
            sealed: state.open.is_none(),
            shares: state.assembly.shares(clock::now()).len(),
            threshold: header.threshold,
        }
    }

    fn put(&self, header: Header, key: &Key, files: &[KeyFile]) -> Result<(), SealError> {
        let store = SealedStore::seal(header, key, files)?;
        self.files().write(&store, key, files)?;
        self.state().generation = store.header.generation;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether keys come from a store: there is one, or there has to be one.
    fn is_store(&self) -> Result<bool, KeysError> {
        let mut state = self.state();
        if self.has_store() {
            state.expected = true;
        } else if state.expected {
            return Err(KeysError::Store(format!(
                "there is no sealed store at {}; make one with `farosctl tang seal`, or restore it with `farosctl tang restore`",
                self.path().join(STORE_FILE).display()
            )));
        }
        Ok(state.expected)
    }
}

impl std::fmt::Debug for KeyStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KeyStore").field("path", &self.path()).finish_non_exhaustive()
    }
}

/// Now, in whole seconds since 1970.
pub(super) fn now_secs() -> u64 {
    clock::wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
