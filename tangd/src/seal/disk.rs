//! The steps by which stores reach the disk, one method each, so that a test can end the world between any two of them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Advice, FlockOperation};

/// The steps, as the system takes them. A test has others.
pub(super) trait Disk {
    /// A new file with this content and mode, the directory's owner, and nothing of it promised yet.
    fn write_new(&self, path: &Path, content: &[u8], mode: u32) -> io::Result<()>;
    /// Promises what was written to it.
    fn sync(&self, path: &Path) -> io::Result<()>;
    /// Gives a file another name, in place of whatever had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Promises names.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Overwrites a file's content with zeros, in place, and promises it.
    fn overwrite(&self, path: &Path) -> io::Result<()>;
    /// Removes a name.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The real one.
#[derive(Clone, Copy, Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn write_new(&self, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = parent.unwrap_or(Path::new(".")).metadata()?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (directory.uid(), directory.gid()) {
            // Made by root for a daemon that is not.
            std::os::unix::fs::fchown(&file, Some(directory.uid()), Some(directory.gid()))?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.write_all(content)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        let file = File::open(path)?;
        file.sync_all()?;
        // What is read back next shall come from the disk, as far as the kernel can be asked for that.
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn overwrite(&self, path: &Path) -> io::Result<()> {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let mut file = OpenOptions::new().write(true).open(path)?;
        let length = file.metadata()?.len();
        io::copy(&mut io::repeat(0).take(length), &mut file)?;
        file.flush()?;
        file.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

/// Keeps every other process, and every other thread, from changing the directory until it is dropped. Readers do not ask.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _directory: File,
}

impl DirectoryLock {
    /// Waits for its turn.
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        let directory = File::open(path)?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&directory, FlockOperation::LockExclusive))?;
        Ok(Self { _directory: directory })
    }
}

/// A file's content, refused beyond `limit` bytes.
pub(super) fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes")));
    }
    // Allocated once: a buffer that grows leaves copies of what it held behind.
    let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
    file.take(limit + 1).read_to_end(&mut content)?;
    Ok(content)
}
