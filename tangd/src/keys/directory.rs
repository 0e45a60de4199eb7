//! The key directory, in upstream's layout.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::forgetting::forget;
use super::listing::{Listing, SUFFIX};
use super::{KeySource, KeysError, Loaded, PrivateJwk, Skipped, SourcedKey, Version};

/// The largest key file, in bytes: a key takes 400. A larger one is passed over.
pub const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;
/// How often a directory that changes while it is read is read again, before the request fails.
const READINGS_MAX: usize = 8;
/// How many hidden files may already bear the name that a key is to be hidden under.
const TWINS_MAX: usize = 100;
/// What the name of a key file that is being written ends with: no key file, and removed before the next is written.
const UNFINISHED: &str = ".jwk.new";
/// The mode of a key file: owner and group may read it, nobody may change it.
const KEY_FILE_MODE: Mode = Mode::from_raw_mode(0o440);

/// A directory with one JWK in each `*.jwk`; a leading `.` marks those that are rotated out. Names mean nothing beyond.
#[derive(Clone, Debug)]
pub struct KeyDirectory {
    path: PathBuf,
}

impl KeyDirectory {
    /// The directory at `path`; it must exist by the time it is read.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a key to the file of this name, which must not exist: 0440, on disk before this returns, and never visible
    /// in part.
    ///
    /// # Errors
    /// [`KeysError::Io`], with [`io::ErrorKind::AlreadyExists`] where the name is taken.
    pub fn add_as(&self, name: &str, key: &PrivateJwk) -> Result<(), KeysError> {
        let listing = Listing::open(&self.path)?;
        listing.lock()?;
        write(&listing, name, key)
    }

    /// Key files that anybody on this host may read, as they must not be.
    ///
    /// # Errors
    /// [`KeysError::Io`] where the directory cannot be read.
    pub fn exposed(&self) -> Result<Vec<String>, KeysError> {
        let listing = Listing::open(&self.path)?;
        let mut names = listing.names()?;
        names.retain(|name| {
            rustix::fs::statat(listing.directory(), &**name, AtFlags::empty())
                .is_ok_and(|stat| Mode::from_raw_mode(stat.st_mode).intersects(Mode::RWXO))
        });
        Ok(names)
    }
}

impl KeySource for KeyDirectory {
    fn load(&self) -> Result<Loaded, KeysError> {
        let listing = Listing::open(&self.path)?;
        for _ in 0..READINGS_MAX {
            // A file that is renamed while names are read may be missed under both of its names.
            let names = listing.names()?;
            if listing.names()? != names {
                continue;
            }
            let (mut keys, mut skipped) = (Vec::new(), Vec::new());
            for file in &names {
                match read(&listing, file) {
                    Ok(jwk) => keys.push(SourcedKey { file: file.clone(), jwk }),
                    Err(Unread::System(error)) => return Err(listing.error(file, error)),
                    Err(Unread::NoKey(reason)) => skipped.push(Skipped { file: file.clone(), reason }),
                }
            }
            if listing.names()? == names {
                return Ok(Loaded::Open { keys, skipped });
            }
        }
        Err(KeysError::Restless(self.path.clone()))
    }

    fn version(&self) -> Result<Version, KeysError> {
        Listing::open(&self.path)?.version()
    }

    fn add(&self, keys: &[PrivateJwk]) -> Result<Vec<String>, KeysError> {
        let listing = Listing::open(&self.path)?;
        listing.lock()?;
        add(&listing, keys)
    }

    fn generate_first(&self) -> Result<Vec<String>, KeysError> {
        let listing = Listing::open(&self.path)?;
        listing.lock()?;
        if listing.names()?.iter().any(|name| !name.starts_with('.')) {
            return Ok(Vec::new());
        }
        add(&listing, &PrivateJwk::pair()?)
    }

    fn hide_all_but(&self, keep: &[String]) -> Result<Vec<(String, String)>, KeysError> {
        let listing = Listing::open(&self.path)?;
        listing.lock()?;
        let mut hidden = Vec::new();
        for name in listing.names()?.into_iter().filter(|name| !name.starts_with('.') && !keep.contains(name))
        {
            let under = hide(&listing, &name)?;
            hidden.push((name, under));
        }
        sync(&listing)?;
        Ok(hidden)
    }

    fn forget(&self, thumbprint: &str) -> Result<Vec<String>, KeysError> {
        let listing = Listing::open(&self.path)?;
        listing.lock()?;
        forget(&listing, thumbprint)
    }
}

/// Why a file gave no key.
pub(super) enum Unread {
    /// The file holds none: the others are served.
    NoKey(String),
    /// It could not be read at this moment: were it passed over, it would be missing until the directory changes.
    System(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        let lacking = [Errno::MFILE, Errno::NFILE, Errno::NOMEM].map(|errno| Some(errno.raw_os_error()));
        if lacking.contains(&error.raw_os_error()) {
            Self::System(error)
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            // Tools that root has run leave such files.
            Self::NoKey(
                "its owner and mode keep it from this daemon; chown it to the directory's owner".to_owned(),
            )
        } else {
            Self::NoKey(error.to_string())
        }
    }
}

/// The key in a file.
pub(super) fn read(listing: &Listing<'_>, name: &str) -> Result<PrivateJwk, Unread> {
    // Never waits: what bears the name of a key may be a pipe.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::openat(listing.directory(), name, flags, Mode::empty());
    let file = File::from(file.map_err(io::Error::from)?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Unread::NoKey("not a regular file".to_owned()));
    }
    if metadata.len() > KEY_FILE_BYTES_MAX {
        return Err(Unread::NoKey(format!("larger than {KEY_FILE_BYTES_MAX} bytes")));
    }
    // Of this size from the beginning: a buffer that grows would leave copies of the key behind.
    let mut content = Zeroizing::new(vec![0; usize::try_from(metadata.len()).unwrap_or(0)]);
    (&file).read_exact(&mut content)?;
    PrivateJwk::parse(&content).map_err(|error| Unread::NoKey(error.to_string()))
}

fn add(listing: &Listing<'_>, keys: &[PrivateJwk]) -> Result<Vec<String>, KeysError> {
    let mut names = Vec::new();
    for key in keys {
        let name = format!("{}{SUFFIX}", key.thumbprint());
        write(listing, &name, key)?;
        names.push(name);
    }
    Ok(names)
}

fn write(listing: &Listing<'_>, name: &str, key: &PrivateJwk) -> Result<(), KeysError> {
    remove_unfinished(listing)?;
    let unfinished = format!("{}{UNFINISHED}", key.thumbprint());
    let written = write_unfinished(listing, &unfinished, key)
        .and_then(|()| rename(listing, &unfinished, name))
        .and_then(|()| sync(listing));
    if written.is_err() {
        remove(listing, &unfinished);
    }
    written
}

/// Removes what a crash has left half written: it may hold a scalar. Called with the lock held, so nobody is writing.
fn remove_unfinished(listing: &Listing<'_>) -> Result<(), KeysError> {
    listing.names_with(UNFINISHED)?.iter().for_each(|name| remove(listing, name));
    Ok(())
}

/// Removes a file that will not be missed; where that fails the next attempt to write a key tries again.
fn remove(listing: &Listing<'_>, name: &str) {
    if let Err(error) = rustix::fs::unlinkat(listing.directory(), name, AtFlags::empty()) {
        tracing::warn!(event = "key_file_left", name, %error, "an unfinished key file cannot be removed");
    }
}

fn write_unfinished(listing: &Listing<'_>, name: &str, key: &PrivateJwk) -> Result<(), KeysError> {
    let content = key.to_json()?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let write = || -> io::Result<()> {
        let file = rustix::fs::openat(listing.directory(), name, flags, KEY_FILE_MODE)?;
        // Whatever the umask has taken away.
        rustix::fs::fchmod(&file, KEY_FILE_MODE)?;
        give_to_owner(listing, &file)?;
        let mut file = File::from(file);
        file.write_all(&content)?;
        file.sync_all()
    };
    write().map_err(|error| listing.error(name, error))
}

/// Has a file belong to whom the directory belongs: made by root, nobody else could read it.
fn give_to_owner(listing: &Listing<'_>, file: &impl AsFd) -> io::Result<()> {
    let (own, directory) = (rustix::fs::fstat(file)?, rustix::fs::fstat(listing.directory())?);
    if (own.st_uid, own.st_gid) == (directory.st_uid, directory.st_gid)
        || !rustix::process::geteuid().is_root()
    {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(directory.st_uid), Gid::from_raw(directory.st_gid));
    Ok(rustix::fs::fchown(file, Some(uid), Some(gid))?)
}

/// Hides a key. Its hidden name may be taken, by the same key put back into use by hand: then it gets another one.
fn hide(listing: &Listing<'_>, name: &str) -> Result<String, KeysError> {
    let stem = name.strip_suffix(SUFFIX).unwrap_or(name);
    for twin in 0..TWINS_MAX {
        let hidden = if twin == 0 { format!(".{name}") } else { format!(".{stem}-{twin}{SUFFIX}") };
        match rename(listing, name, &hidden) {
            Ok(()) => return Ok(hidden),
            Err(KeysError::Io(_, error)) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(listing.error(name, io::ErrorKind::AlreadyExists.into()))
}

/// Renames without ever replacing a file.
fn rename(listing: &Listing<'_>, from: &str, to: &str) -> Result<(), KeysError> {
    let directory = listing.directory();
    let renamed = match rustix::fs::renameat_with(&directory, from, &directory, to, RenameFlags::NOREPLACE) {
        // A file system that lacks the flag; others are kept away by the lock.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            match rustix::fs::statat(&directory, to, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Err(Errno::EXIST),
                Err(Errno::NOENT) => rustix::fs::renameat(&directory, from, &directory, to),
                Err(error) => Err(error),
            }
        }
        renamed => renamed,
    };
    renamed.map_err(|error| listing.error(to, error.into()))
}

pub(super) fn sync(listing: &Listing<'_>) -> Result<(), KeysError> {
    rustix::fs::fsync(listing.directory()).map_err(|error| listing.error("", error.into()))
}
