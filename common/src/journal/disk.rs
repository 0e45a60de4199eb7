//! The operations that a journal needs of a file system, so that tests can replace it.

use std::any::Any;
use std::fmt;
use std::io;
use std::path::Path;

/// One directory of a file system. Names are plain file names within it.
///
/// Errors are those of the system calls, with their numbers: a journal tells a full disk from a broken one by them.
pub trait Disk: Send + Sync + fmt::Debug {
    /// The directory, for messages.
    fn path(&self) -> &Path;
    /// The whole content of a file, from a descriptor of its own. `NotFound` if there is none.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Opens an existing file for reading and writing. `NotFound` if there is none.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Creates a file, emptying one that exists.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Renames atomically, replacing the target. Durable after [`sync_dir`](Self::sync_dir).
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. Durable after [`sync_dir`](Self::sync_dir).
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes creations, renames and removals durable (`fsync` of the directory).
    fn sync_dir(&self) -> io::Result<()>;
    /// Takes an exclusive lock, held until what is returned is dropped. `WouldBlock` if another process has it.
    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send>>;
    /// Free space and kind of the file system.
    fn space(&self) -> io::Result<Space>;
    /// A number that peers cannot guess, new with every call.
    fn salt(&self) -> u64;
}

/// An open file of a [`Disk`].
pub trait DiskFile: Send + fmt::Debug {
    /// Its length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Reads at an offset; 0 at the end, perhaps fewer bytes than asked for.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Writes at an offset, perhaps fewer bytes than given.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Cuts or extends (with zeroes) to a length.
    fn truncate(&mut self, size: u64) -> io::Result<()>;
    /// Makes the content and the length durable (`fdatasync`). After an error nothing since the last success
    /// is certain, whatever a later call says.
    fn sync(&mut self) -> io::Result<()>;
}

/// What a file system says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that an unprivileged process may still write.
    pub free_bytes: u64,
    /// Whether it lives in memory, so that a restart of the machine loses everything.
    pub tmpfs: bool,
}
