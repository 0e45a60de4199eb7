//! The sealed store as a source of keys: what is read, when it has changed, and how keys come and go.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use faros_common::clock;

use super::{KeyStore, Open, now_secs};
use crate::keys::{KeySource, KeysError, Loaded, PrivateJwk, Rotated, Version};
use crate::seal::SealError;
use crate::seal::files::STORE_FILE;
use crate::seal::format::Header;
use crate::seal::payload::{self, KeyFile};

/// How long after a change of the store's file another one may leave the same stamp (see [`Version::settled`]).
const SETTLED_AFTER: Duration = Duration::from_secs(1);

impl KeySource for KeyStore {
    fn load(&self) -> Result<Loaded, KeysError> {
        if !self.is_store()? {
            return self.clear.load();
        }
        let store = self.read()?;
        let key = {
            let mut state = self.state();
            // Another store has taken its place: it is sealed.
            state.open.take_if(|open| open.store != store.header.store);
            state.open.as_ref().map(Open::key)
        };
        Ok(match key {
            Some(key) => payload::load(&store.open(&key)?),
            None => Loaded::Sealed(store.header.public),
        })
    }

    fn version(&self) -> Result<Version, KeysError> {
        if !self.is_store()? {
            return self.clear.version();
        }
        let path = self.path().join(STORE_FILE);
        let file = path.metadata().map_err(|error| KeysError::Io(path, error))?;
        let parts = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
        let mut stamp = vec![u64::MAX, self.state().epoch, file.dev(), file.ino(), file.size()];
        stamp.extend(parts.map(i64::cast_unsigned));
        let changed =
            u64::try_from(file.ctime()).ok().and_then(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at)));
        let age = changed.and_then(|at| clock::wall().duration_since(at).ok());
        // The whole second in which it changed has to be over, too.
        let settled = age.is_some_and(|age| age > SETTLED_AFTER + Duration::from_secs(1));
        Ok(Version { stamp, settled })
    }

    fn add(&self, keys: &[PrivateJwk]) -> Result<Vec<String>, KeysError> {
        if !self.is_store()? {
            return self.clear.add(keys);
        }
        Ok(self.change(|files, header| add_keys(files, header, keys))?)
    }

    fn hide_all_but(&self, keep: &[String]) -> Result<Vec<(String, String)>, KeysError> {
        if !self.is_store()? {
            return self.clear.hide_all_but(keep);
        }
        Ok(self.change(|files, _| hide(files, keep))?)
    }

    fn forget(&self, thumbprint: &str) -> Result<Vec<String>, KeysError> {
        if !self.is_store()? {
            return self.clear.forget(thumbprint);
        }
        // What lies beside the store in clear would bring the key back with the next tidying.
        self.absorb()?;
        Ok(self.change(|files, _| forget(files, thumbprint))?)
    }

    /// A store takes the fresh pair and hides the old keys in one step.
    fn rotate(&self) -> Result<Rotated, KeysError> {
        if !self.is_store()? {
            return self.clear.rotate();
        }
        let pair = PrivateJwk::pair()?;
        Ok(self.change(|files, header| {
            let added = add_keys(files, header, &pair)?;
            let hidden = hide(files, &added)?;
            Ok(Rotated { added, hidden })
        })?)
    }
}

impl KeySource for Arc<KeyStore> {
    fn load(&self) -> Result<Loaded, KeysError> {
        KeyStore::load(self)
    }

    fn version(&self) -> Result<Version, KeysError> {
        KeyStore::version(self)
    }

    fn add(&self, keys: &[PrivateJwk]) -> Result<Vec<String>, KeysError> {
        KeySource::add(&**self, keys)
    }

    fn hide_all_but(&self, keep: &[String]) -> Result<Vec<(String, String)>, KeysError> {
        KeyStore::hide_all_but(self, keep)
    }

    fn forget(&self, thumbprint: &str) -> Result<Vec<String>, KeysError> {
        KeyStore::forget(self, thumbprint)
    }

    fn rotate(&self) -> Result<Rotated, KeysError> {
        KeyStore::rotate(self)
    }
}

/// Adds fresh keys. Returns the names of their files.
pub(in crate::seal) fn add_keys(
    files: &mut Vec<KeyFile>,
    header: &mut Header,
    keys: &[PrivateJwk],
) -> Result<Vec<String>, SealError> {
    header.rotated = now_secs();
    let first = files.len();
    for jwk in keys {
        let file = KeyFile::of(jwk)?;
        let name = free_name(files, &file)?;
        files.push(KeyFile { name, ..file });
    }
    Ok(files[first..].iter().map(|file| file.name.clone()).collect())
}

fn hide(files: &mut [KeyFile], keep: &[String]) -> Result<Vec<(String, String)>, SealError> {
    let mut hidden = Vec::new();
    for index in 0..files.len() {
        let old = files[index].name.clone();
        if !files[index].is_visible() || keep.contains(&old) {
            continue;
        }
        let new = (0..)
            .map(|n| if n == 0 { format!(".{old}") } else { format!(".{n}-{old}") })
            .find(|new| files.iter().all(|file| file.name != *new))
            .ok_or_else(|| SealError::Invalid(format!("{old} cannot be hidden")))?;
        files[index].name.clone_from(&new);
        hidden.push((old, new));
    }
    Ok(hidden)
}

fn forget(files: &mut Vec<KeyFile>, thumbprint: &str) -> Result<Vec<String>, SealError> {
    let bears =
        |file: &KeyFile| PrivateJwk::parse(&file.content).is_ok_and(|jwk| jwk.thumbprint() == thumbprint);
    let (found, kept): (Vec<_>, Vec<_>) = std::mem::take(files).into_iter().partition(bears);
    *files = kept;
    if let Some(visible) = found.iter().find(|file| file.is_visible()) {
        return Err(KeysError::InUse(visible.name.clone()).into());
    }
    if found.is_empty() {
        return Err(KeysError::NoSuchKey(thumbprint.to_owned()).into());
    }
    Ok(found.into_iter().map(|file| file.name).collect())
}

/// The name of a file that is to be added: its own, or one derived from it where that is taken.
pub(in crate::seal) fn free_name(files: &[KeyFile], file: &KeyFile) -> Result<String, SealError> {
    let (dot, rest) = if file.is_visible() { ("", &*file.name) } else { (".", &file.name[1..]) };
    let names =
        (0..=payload::FILES_MAX).map(|n| if n == 0 { file.name.clone() } else { format!("{dot}{n}-{rest}") });
    names
        .into_iter()
        .find(|name| files.iter().all(|known| known.name != *name))
        .ok_or_else(|| SealError::Invalid(format!("there are too many keys named {}", file.name)))
}
