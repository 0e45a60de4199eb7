//! A directory of the real file system.

use std::any::Any;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};

use super::{Disk, DiskFile, Space};

const TMPFS_MAGIC: u64 = 0x0102_1994;
const RAMFS_MAGIC: u64 = 0x8584_58f6;

/// A directory of the real file system, held open: what happens to its path later does not matter.
///
/// Files are readable by their owner alone. Those that root creates are given to the owner of the directory,
/// so that the service finds them usable after it has given up root.
#[derive(Debug)]
pub struct RealDisk {
    directory: File,
    path: PathBuf,
}

impl RealDisk {
    /// Opens the directory, which must exist.
    ///
    /// # Errors
    /// Those of opening it: it is missing, not a directory, or not accessible.
    pub fn new(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { directory: directory.into(), path: path.to_owned() })
    }

    fn open_with(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(rustix::fs::openat(&self.directory, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    fn create_owned(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let file = self.open_with(name, flags | OFlags::RDWR | OFlags::CREATE)?;
        if rustix::process::geteuid().is_root() {
            let owner = rustix::fs::fstat(&self.directory)?;
            let uid = rustix::process::Uid::from_raw(owner.st_uid);
            let gid = rustix::process::Gid::from_raw(owner.st_gid);
            // Best effort: a file system without owners, or a container without the right, works as it is.
            let _ = rustix::fs::fchown(&file, Some(uid), Some(gid));
        }
        Ok(file)
    }
}

impl Disk for RealDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut file = self.open_with(name, OFlags::RDONLY)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.open_with(name, OFlags::RDWR)?))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.create_owned(name, OFlags::TRUNC)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.directory, from, &self.directory, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.directory, name, AtFlags::empty())?)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.directory)? {
            // Names that are not UTF-8 are not ours.
            if let Ok(name) = entry?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.directory)?)
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send>> {
        let file = self.create_owned(name, OFlags::empty())?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }

    fn space(&self) -> io::Result<Space> {
        let numbers = rustix::fs::fstatvfs(&self.directory)?;
        // The type's width and sign differ between architectures; the magic numbers have 32 bits.
        let kind = rustix::fs::fstatfs(&self.directory)?.f_type as u64 & 0xffff_ffff;
        Ok(Space {
            free_bytes: numbers.f_bavail.saturating_mul(numbers.f_frsize),
            tmpfs: kind == TMPFS_MAGIC || kind == RAMFS_MAGIC,
        })
    }

    fn salt(&self) -> u64 {
        // Keyed from the system's random numbers.
        RandomState::new().build_hasher().finish()
    }
}

impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, into, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn truncate(&mut self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
