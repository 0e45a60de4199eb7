//! Files below the boot root, opened so that no path leads out of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use faros_common::loaders;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::protocol::conditional::Version;
use crate::protocol::route::is_seed_name;

/// A regular file, open for reading.
#[derive(Debug)]
pub struct Opened {
    /// The file; it stays the same whatever happens to its name.
    pub file: File,
    /// What identifies this version of it.
    pub version: Version,
}

/// Why a file is not opened.
#[derive(Debug)]
pub enum OpenError {
    /// There is none, or something that is no regular file.
    Missing,
    /// It is there, but not readable for this daemon's user.
    Denied,
    /// It is, by name or by identity, an Ignition file.
    Seed,
    /// The system could not say: out of descriptors, a disk that fails.
    System(io::Error),
}

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        match errno {
            // XDEV and LOOP: a link that leads out of the root, or round in circles.
            Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG | Errno::NXIO => {
                Self::Missing
            }
            // INVAL: a name that this file system cannot have.
            Errno::ISDIR | Errno::INVAL => Self::Missing,
            Errno::ACCESS | Errno::PERM => Self::Denied,
            other => Self::System(other.into()),
        }
    }
}

/// Opens `path` below `root` for anybody to read; `seeds` are the paths of Ignition files.
///
/// # Errors
/// See [`OpenError`].
pub fn open_public<'a>(
    root: &Path,
    path: &str,
    seeds: impl IntoIterator<Item = &'a String>,
) -> Result<Opened, OpenError> {
    let root = open_root(root)?;
    // The name as it was asked for, before anything else: whether such a file exists is nobody's business.
    if path.rsplit('/').next().is_some_and(is_seed_name) {
        return Err(OpenError::Seed);
    }
    let opened = open_at(&root, path)?;
    refuse_seed(&opened, &root, path, seeds)?;
    Ok(opened)
}

/// Opens the loader that is served as `name`, from the root or from where the distribution keeps it.
///
/// # Errors
/// See [`OpenError`].
pub fn open_loader<'a>(
    root: &Path,
    name: &str,
    seeds: impl IntoIterator<Item = &'a String>,
) -> Result<Opened, OpenError> {
    if is_seed_name(name) {
        return Err(OpenError::Seed);
    }
    let path = loaders::find(name, root).ok_or(OpenError::Missing)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = opened(rustix::fs::open(&path, flags, Mode::empty())?)?;
    match open_root(root) {
        Ok(root) => refuse_seed(&opened, &root, name, seeds)?,
        // No root, no seeds: loaders of the distribution are served all the same.
        Err(OpenError::Missing) => {}
        Err(error) => return Err(error),
    }
    Ok(opened)
}

/// Opens the Ignition file `path` below `root`.
///
/// # Errors
/// See [`OpenError`]; never [`OpenError::Seed`].
pub fn open_seed(root: &Path, path: &str) -> Result<Opened, OpenError> {
    open_at(&open_root(root)?, path)
}

fn open_root(root: &Path) -> Result<OwnedFd, OpenError> {
    // Opened anew each time: the tree may be replaced or mounted while we run.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(root, flags, Mode::empty())?)
}

fn open_at(root: &OwnedFd, path: &str) -> Result<Opened, OpenError> {
    if path.is_empty() {
        return Err(OpenError::Missing);
    }
    // Non-blocking: a FIFO would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            // The kernel could not prove that a `..` of a link stayed inside while directories moved.
            Err(Errno::AGAIN) if tries < 8 => tries += 1,
            other => return opened(other?),
        }
    }
}

fn opened(fd: OwnedFd) -> Result<Opened, OpenError> {
    let file = File::from(fd);
    let metadata = file.metadata().map_err(OpenError::System)?;
    if !metadata.is_file() {
        return Err(OpenError::Missing);
    }
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let version = Version {
        inode: metadata.ino(),
        length: metadata.len(),
        modified_nanos: nanos(metadata.mtime(), metadata.mtime_nsec()),
        changed_nanos: nanos(metadata.ctime(), metadata.ctime_nsec()),
    };
    Ok(Opened { file, version })
}

/// Refuses a file that is an Ignition file under whatever name: a link, another link to the same inode,
/// another case on a file system that ignores it.
fn refuse_seed<'a>(
    opened: &Opened,
    root: &OwnedFd,
    path: &str,
    seeds: impl IntoIterator<Item = &'a String>,
) -> Result<(), OpenError> {
    let metadata = opened.file.metadata().map_err(OpenError::System)?;
    let identity = (metadata.dev(), metadata.ino());
    let mut identities = BTreeSet::new();
    for seed in seeds {
        if seed.eq_ignore_ascii_case(path) {
            return Err(OpenError::Seed);
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        if let Ok(seed) = rustix::fs::openat2(root, seed, flags, Mode::empty(), resolve)
            && let Ok(stat) = rustix::fs::fstat(seed.as_fd())
        {
            identities.insert((stat.st_dev, stat.st_ino));
        }
    }
    if identities.contains(&identity) {
        return Err(OpenError::Seed);
    }
    // The name behind a link, where the kernel tells it.
    let link = format!("/proc/self/fd/{}", opened.file.as_raw_fd());
    let real = std::fs::read_link(link).unwrap_or_default();
    match real.file_name().is_some_and(|name| is_seed_name(&name.to_string_lossy())) {
        true => Err(OpenError::Seed),
        false => Ok(()),
    }
}

/// The content type of a file by its name. UEFI decides by it what it has downloaded: loaders must be
/// `application/efi`, also under a name such as `shimx64.efi.signed`.
pub fn content_type(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let name = name.strip_suffix(".signed").unwrap_or(&name);
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("efi") => "application/efi",
        Some("iso") => "application/vnd.efi-iso",
        Some("ipxe" | "cfg" | "txt" | "conf" | "ks" | "yaml" | "yml") => "text/plain; charset=utf-8",
        Some("json") => "application/json",
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("xml") => "application/xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("rhcos")).unwrap();
        for path in ["rhcos/kernel", "rhcos/master.ign", "rhcos/seed.yaml", "rhcos/old.ign.bak"] {
            std::fs::write(at(path), path).unwrap();
        }
        symlink("kernel", at("rhcos/inner")).unwrap();
        symlink("/etc/passwd", at("rhcos/outer")).unwrap();
        symlink("../../../../etc/passwd", at("rhcos/climbing")).unwrap();
        symlink("loop", at("rhcos/loop")).unwrap();
        symlink("gone", at("rhcos/dangling")).unwrap();
        symlink("seed.yaml", at("rhcos/alias")).unwrap();
        symlink("old.ign.bak", at("rhcos/alias2")).unwrap();
        std::fs::hard_link(at("rhcos/seed.yaml"), at("rhcos/hard")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("rhcos/fifo"),
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o644),
            0,
        )
        .unwrap();
        root
    }

    fn open(root: &Path, path: &str) -> Result<Opened, OpenError> {
        open_public(root, path, &["rhcos/seed.yaml".to_owned()])
    }

    #[test]
    fn files_and_inner_links_are_opened() {
        let root = tree();
        for path in ["rhcos/kernel", "rhcos/inner"] {
            assert_eq!(open(root.path(), path).unwrap().version.length, 12, "{path}");
        }
    }

    #[test]
    fn whatever_is_no_file_beneath_the_root_is_missing() {
        let root = tree();
        let long = "x".repeat(300);
        for path in [
            "",
            "rhcos",
            "rhcos/none",
            "rhcos/outer",
            "rhcos/climbing",
            "rhcos/loop",
            "rhcos/dangling",
            "rhcos/fifo",
            "rhcos/kernel/x",
            "../etc/passwd",
            "/etc/passwd",
            &long,
        ] {
            assert!(matches!(open(root.path(), path), Err(OpenError::Missing)), "{path}");
        }
        assert!(matches!(open(&root.path().join("none"), "a"), Err(OpenError::Missing)));
    }

    #[test]
    fn no_name_leads_to_a_seed() {
        let root = tree();
        for path in [
            "rhcos/master.ign",
            "rhcos/MASTER.IGN",
            "rhcos/none.ign",
            "rhcos/old.ign.bak",
            "rhcos/seed.yaml",
            "rhcos/alias",
            "rhcos/alias2",
            "rhcos/hard",
        ] {
            assert!(matches!(open(root.path(), path), Err(OpenError::Seed)), "{path}");
        }
        assert!(open_seed(root.path(), "rhcos/master.ign").is_ok());
        assert!(open_seed(root.path(), "rhcos/outer").is_err());
    }

    #[test]
    fn a_seed_is_no_loader_either() {
        let root = tree();
        std::fs::hard_link(root.path().join("rhcos/seed.yaml"), root.path().join("boot.efi")).unwrap();
        std::fs::write(root.path().join("own.efi"), "efi").unwrap();
        let seeds = ["rhcos/seed.yaml".to_owned()];
        assert!(matches!(open_loader(root.path(), "boot.efi", &seeds), Err(OpenError::Seed)));
        assert!(matches!(open_loader(root.path(), "a.ign", &seeds), Err(OpenError::Seed)));
        assert!(matches!(open_loader(root.path(), "none.efi", &seeds), Err(OpenError::Missing)));
        assert_eq!(open_loader(root.path(), "own.efi", &seeds).unwrap().version.length, 3);
    }

    #[test]
    fn firmware_is_told_what_it_gets() {
        assert_eq!(content_type("loaders/snponly.efi"), "application/efi");
        assert_eq!(content_type("shimx64.efi.signed"), "application/efi");
        assert_eq!(content_type("boot.ipxe"), "text/plain; charset=utf-8");
        assert_eq!(content_type("rhcos/kernel"), "application/octet-stream");
    }
}
