//! What a server asks at each request.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use super::{KeySet, KeySource, KeysError, Loaded, Rotated, Skipped, Version};

/// The keys as they are now: the same [`KeySet`] until the source changes, and the new one from the very next request on.
///
/// Asking costs a few system calls. Reloading is done by one caller, the others wait for it: a few milliseconds.
pub struct Keys {
    source: Box<dyn KeySource>,
    current: ArcSwapOption<Snapshot>,
    reloading: Mutex<BTreeSet<Skipped>>,
}

struct Snapshot {
    version: Version,
    set: Arc<KeySet>,
}

impl Keys {
    /// The keys of `source`; nothing is read yet.
    #[must_use]
    pub fn new(source: Box<dyn KeySource>) -> Self {
        Self { source, current: ArcSwapOption::empty(), reloading: Mutex::default() }
    }

    /// The keys of this moment. Makes the first pair where there is no visible key file, as upstream does.
    ///
    /// # Errors
    /// [`KeysError`] where the source cannot be read, or the first pair not be stored (500).
    pub fn current(&self) -> Result<Arc<KeySet>, KeysError> {
        let version = self.source.version()?;
        if let Some(set) = self.known(&version) {
            return Ok(set);
        }
        let mut reported = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        // Another caller may have been faster. What counts is what the source is like after the wait.
        let mut version = self.source.version()?;
        if let Some(set) = self.known(&version) {
            return Ok(set);
        }
        let mut loaded = match (self.source.load(), &*self.current.load()) {
            // Changed again and again while it was read: what was read last still opens every disk that it did a
            // moment ago, and the next request reads anew.
            (Err(KeysError::Restless(_)), Some(last)) => return Ok(last.set.clone()),
            (loaded, _) => loaded?,
        };
        if lacks_keys(&loaded) {
            match self.source.generate_first() {
                Ok(files) => {
                    tracing::info!(event = "keys_generated", ?files, "the first keys were made");
                    version = self.source.version()?;
                    loaded = self.source.load()?;
                }
                // Keys that are rotated out still serve their disks. The next request tries again.
                Err(error) => {
                    tracing::error!(event = "keys_not_generated", %error, "the first keys cannot be made");
                    version.settled = false;
                }
            }
        }
        if let Loaded::Open { skipped, .. } = &loaded {
            report(skipped, &mut reported);
        }
        let set = Arc::new(KeySet::new(loaded));
        let set = match &*self.current.load() {
            Some(known) if known.set.same_keys(&set) => known.set.clone(),
            _ => set,
        };
        self.current.store(Some(Arc::new(Snapshot { version, set: set.clone() })));
        Ok(set)
    }

    /// Rotates: a fresh pair is advertised, the keys that were are hidden.
    ///
    /// # Errors
    /// See [`KeySource::rotate`].
    pub fn rotate(&self) -> Result<Rotated, KeysError> {
        self.source.rotate()
    }

    /// Deletes a key that is rotated out.
    ///
    /// # Errors
    /// See [`KeySource::forget`].
    pub fn forget(&self, thumbprint: &str) -> Result<Vec<String>, KeysError> {
        self.source.forget(thumbprint)
    }

    /// Where the keys come from.
    #[must_use]
    pub fn source(&self) -> &dyn KeySource {
        &*self.source
    }

    fn known(&self, version: &Version) -> Option<Arc<KeySet>> {
        let current = self.current.load();
        let known = current.as_ref().filter(|known| known.version.settled && known.version == *version)?;
        Some(known.set.clone())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Keys")
            .field("current", &self.current.load().as_ref().map(|known| &known.version))
            .finish_non_exhaustive()
    }
}

/// Whether no file holds a key in use, be it a damaged one: that may be half written, and another pair would be no help.
fn lacks_keys(loaded: &Loaded) -> bool {
    match loaded {
        Loaded::Open { keys, skipped } => {
            let files = keys.iter().map(|key| &key.file).chain(skipped.iter().map(|skipped| &skipped.file));
            files.into_iter().all(|file| file.starts_with('.'))
        }
        Loaded::Sealed(_) => false,
    }
}

/// One line for each file that is passed over, once until it is mended.
fn report(skipped: &[Skipped], reported: &mut BTreeSet<Skipped>) {
    reported.retain(|known| skipped.contains(known));
    for Skipped { file, reason } in skipped.iter().filter(|new| !reported.contains(new)) {
        tracing::warn!(
            event = "key_skipped",
            file,
            reason,
            "a file in the key directory holds no usable key"
        );
    }
    reported.extend(skipped.iter().cloned());
}
