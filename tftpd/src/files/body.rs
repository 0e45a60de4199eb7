//! What is sent: octets that can be read from any position, as often as a client loses them.
//!
//! Small files are read once and shared by all transfers of them, however many boot at the same time.
//! Large ones are read as they are sent, out of the kernel's page cache, which shares them likewise.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

/// Files up to this size, in octets, are kept in memory; larger ones are read as they are sent.
pub const CACHED_FILE_BYTES_MAX: u64 = 8 << 20;
/// What all cached files together may take, in octets. Beyond it those not used for longest are forgotten;
/// a transfer under way keeps its own.
pub const CACHE_BYTES_MAX: u64 = 24 << 20;
/// How often a file is read again that changed while it was read; then it is refused.
const READ_TRIES: u32 = 3;

/// The content of one transfer.
#[derive(Clone, Debug)]
pub enum Body {
    /// In memory, shared.
    Cached(Bytes),
    /// In a file that is read along the way.
    File(Arc<OpenFile>),
}

/// A large file.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    version: Version,
}

impl Body {
    /// Its size in octets.
    pub fn size(&self) -> u64 {
        match self {
            Self::Cached(bytes) => bytes.len() as u64,
            Self::File(file) => file.version.size,
        }
    }
}

impl OpenFile {
    /// Its size in octets when it was opened.
    pub fn size(&self) -> u64 {
        self.version.size
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file became shorter; else what the system says.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// Whether the file is as it was when it was opened. The end of a file that was written to must not
    /// follow the beginning of what it was before.
    pub fn is_unchanged(&self) -> bool {
        Version::of(&self.file).is_ok_and(|version| {
            version.size == self.version.size && version.modified == self.version.modified
        })
    }
}

/// What tells one content of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// The files in memory.
#[derive(Debug, Default)]
pub struct Cache {
    kept: Mutex<Kept>,
}

/// What the cache has done, for the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct CacheStatus {
    /// Files in memory.
    pub files: usize,
    /// Their octets.
    pub bytes: u64,
    /// Requests that needed no reading.
    pub hits: u64,
    /// Times that a file was read whole.
    pub reads: u64,
}

#[derive(Debug, Default)]
struct Kept {
    files: HashMap<Version, Entry>,
    status: CacheStatus,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    /// Filled by the first that asks; the others wait for it.
    content: Arc<OnceLock<Bytes>>,
    used: u64,
}

impl Cache {
    /// The content of `file`, from memory if it is there.
    ///
    /// # Errors
    /// What the system says, or that the file does not stand still.
    pub fn body(&self, file: File) -> io::Result<Body> {
        let version = Version::of(&file)?;
        if version.size > CACHED_FILE_BYTES_MAX {
            return Ok(Body::File(Arc::new(OpenFile { file, version })));
        }
        let content = self.entry(version);
        if let Some(bytes) = content.get() {
            self.lock().status.hits += 1;
            return Ok(Body::Cached(bytes.clone()));
        }
        // One reads and the others wait, so that a rack that boots at once reads the disk once.
        let (mut failure, mut reads) = (None, 0);
        let bytes = content.get_or_init(|| {
            reads = 1;
            read_whole(&file, version).unwrap_or_else(|error| {
                failure = Some(error);
                Bytes::new()
            })
        });
        let failed = failure.is_some() || bytes.len() as u64 != version.size;
        let mut kept = self.lock();
        if failed {
            kept.forget(&version, &content);
            return Err(failure.unwrap_or_else(|| io::Error::other("another reader of the file failed")));
        }
        kept.status.reads += reads;
        kept.status.hits += 1 - reads;
        kept.make_room();
        Ok(Body::Cached(bytes.clone()))
    }

    /// What is in it.
    pub fn status(&self) -> CacheStatus {
        let kept = self.lock();
        CacheStatus { files: kept.files.len(), bytes: kept.bytes(), ..kept.status }
    }

    fn entry(&self, version: Version) -> Arc<OnceLock<Bytes>> {
        let mut kept = self.lock();
        kept.clock += 1;
        let used = kept.clock;
        let entry = kept.files.entry(version).or_insert_with(|| Entry { content: Arc::default(), used });
        entry.used = used;
        Arc::clone(&entry.content)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn bytes(&self) -> u64 {
        self.files.keys().map(|version| version.size).sum()
    }

    fn make_room(&mut self) {
        while self.bytes() > CACHE_BYTES_MAX {
            let Some(oldest) =
                self.files.iter().min_by_key(|(_, entry)| entry.used).map(|(version, _)| *version)
            else {
                return;
            };
            self.files.remove(&oldest);
        }
    }

    fn forget(&mut self, version: &Version, content: &Arc<OnceLock<Bytes>>) {
        if self.files.get(version).is_some_and(|entry| Arc::ptr_eq(&entry.content, content)) {
            self.files.remove(version);
        }
    }
}

/// Reads the whole of one version of a file.
fn read_whole(file: &File, version: Version) -> io::Result<Bytes> {
    let size = usize::try_from(version.size).map_err(io::Error::other)?;
    let mut content = vec![0; size];
    for _ in 0..READ_TRIES {
        match file.read_exact_at(&mut content, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            other => other?,
        }
        if Version::of(file)? == version {
            return Ok(content.into());
        }
    }
    Err(io::Error::other("the file is being written to"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use super::*;

    fn cached(cache: &Cache, path: &Path) -> Bytes {
        match cache.body(File::open(path).unwrap()).unwrap() {
            Body::Cached(bytes) => bytes,
            Body::File(_) => panic!("not cached"),
        }
    }

    #[test]
    fn many_boots_read_a_file_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("snponly.efi");
        std::fs::write(&path, vec![7; 200_000]).unwrap();
        let cache = Cache::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        assert_eq!(cached(&cache, &path).len(), 200_000);
                    }
                });
            }
        });
        assert_eq!(cache.status().files, 1);
        assert_eq!((cache.status().reads, cache.status().hits), (1, 399));
    }

    #[test]
    fn a_new_content_is_seen_at_once_and_the_old_one_stays_with_its_reader() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, "old").unwrap();
        let cache = Cache::default();
        let old = cached(&cache, &path);
        let fresh = directory.path().join("b");
        std::fs::write(&fresh, "new").unwrap();
        std::fs::rename(&fresh, &path).unwrap();
        assert_eq!((&old[..], &cached(&cache, &path)[..]), (&b"old"[..], &b"new"[..]));
    }

    #[test]
    fn memory_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::default();
        for index in 0..10 {
            let path = directory.path().join(index.to_string());
            std::fs::write(&path, vec![0; CACHED_FILE_BYTES_MAX as usize]).unwrap();
            cached(&cache, &path);
            assert!(cache.status().bytes <= CACHE_BYTES_MAX);
        }
        let large = directory.path().join("large");
        File::create(&large).unwrap().set_len(CACHED_FILE_BYTES_MAX + 1).unwrap();
        assert!(matches!(cache.body(File::open(&large).unwrap()), Ok(Body::File(_))));
    }

    #[test]
    fn t40_a_file_that_shrinks_or_is_written_to_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("large");
        let mut writer = File::create(&path).unwrap();
        writer.set_len(CACHED_FILE_BYTES_MAX + 5).unwrap();
        let Body::File(open) = Cache::default().body(File::open(&path).unwrap()).unwrap() else {
            panic!("cached")
        };
        assert!(open.is_unchanged());
        open.read(&mut [0; 5], CACHED_FILE_BYTES_MAX).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        writer.write_all(b"x").unwrap();
        assert!(!open.is_unchanged());
        writer.set_len(10).unwrap();
        let error = open.read(&mut [0; 5], CACHED_FILE_BYTES_MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
