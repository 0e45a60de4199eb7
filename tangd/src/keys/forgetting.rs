//! Deleting a key of a directory so that it is gone.

use std::fs::File;
use std::io::{self, Read};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::KeysError;
use super::directory::{Unread, read, sync};
use super::listing::Listing;

/// Overwrites and removes every file with the key of this S256 thumbprint. The directory is locked by the caller.
///
/// What overwriting cannot do: a solid-state disk, a file system that copies on write or keeps snapshots, and backups
/// may still hold the old blocks.
pub(super) fn forget(listing: &Listing<'_>, thumbprint: &str) -> Result<Vec<String>, KeysError> {
    let mut names = Vec::new();
    for name in listing.names()? {
        match read(listing, &name) {
            Ok(jwk) if jwk.thumbprint() == thumbprint => names.push(name),
            Ok(_) | Err(Unread::NoKey(_)) => {}
            Err(Unread::System(error)) => return Err(listing.error(&name, error)),
        }
    }
    if let Some(visible) = names.iter().find(|name| !name.starts_with('.')) {
        return Err(KeysError::InUse(visible.clone()));
    }
    if names.is_empty() {
        return Err(KeysError::NoSuchKey(thumbprint.to_owned()));
    }
    for name in &names {
        wipe(listing, name).map_err(|error| listing.error(name, error))?;
    }
    sync(listing)?;
    Ok(names)
}

/// Overwrites and removes a file.
fn wipe(listing: &Listing<'_>, name: &str) -> io::Result<()> {
    let stat = rustix::fs::statat(listing.directory(), name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("no file of its own; delete the key where it is kept"));
    }
    if let Err(error) = overwrite(listing, name) {
        // Gone from the directory is what was asked for; an old block is a lesser evil than a key that stays.
        tracing::warn!(event = "key_not_overwritten", name, %error, "a deleted key may still be on the disk");
    }
    Ok(rustix::fs::unlinkat(listing.directory(), name, AtFlags::empty())?)
}

fn overwrite(listing: &Listing<'_>, name: &str) -> io::Result<()> {
    rustix::fs::chmodat(listing.directory(), name, Mode::RUSR | Mode::WUSR, AtFlags::empty())?;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut file = File::from(rustix::fs::openat(listing.directory(), name, flags, Mode::empty())?);
    let length = file.metadata()?.len();
    io::copy(&mut io::repeat(0).take(length), &mut file)?;
    file.sync_all()
}
