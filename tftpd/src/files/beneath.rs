//! Opening a path that must not lead out of a directory.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use faros_common::loaders;
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, open as open_path, openat2};
use rustix::io::Errno;

/// How many entries of one directory are compared without regard to case; those beyond are not found so.
pub const ENTRIES_MAX: usize = 10_000;

/// How often a lookup is repeated that a rename elsewhere disturbed.
const DISTURBED_TRIES: u32 = 8;

/// Whether upper and lower case differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseRule {
    /// They do.
    Exact,
    /// They do not: of several files, the first in order of octets.
    Any,
}

/// A regular file that may be read.
#[derive(Debug)]
pub struct Opened {
    /// The file; its content stays what it is when the name gets another one.
    pub file: File,
    /// Its path, links resolved where the system tells.
    pub path: PathBuf,
}

/// Why there is no such file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Nothing has that name.
    Missing,
    /// A link leads out of the directory.
    Outside,
    /// It is a directory.
    Directory,
    /// It is a FIFO, a socket or a device.
    Special,
    /// The server has no right to read it.
    Denied,
    /// The system failed.
    System(Errno),
}

/// Opens `path`, a relative path of normal components, below `base`.
///
/// Links are followed as long as they stay below `base`.
///
/// # Errors
/// See [`OpenError`].
pub fn open(base: &Path, path: &Path, case: CaseRule) -> Result<Opened, OpenError> {
    let directory = open_path(base, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(OpenError::from)?;
    let path = match case {
        CaseRule::Exact => path.to_owned(),
        CaseRule::Any => in_any_case(&directory, path)?,
    };
    match open_regular(&directory, &path, ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS) {
        Err(OpenError::Outside) => open_absolute_link(base, &path),
        other => other,
    }
    .map(|file| Opened { path: real_path(&file).unwrap_or_else(|| base.join(&path)), file })
}

/// Opens an absolute path that the site or a distribution names.
///
/// # Errors
/// See [`OpenError`].
pub fn open_trusted(path: &Path) -> Result<Opened, OpenError> {
    let file = open_regular(CWD, path, ResolveFlags::NO_MAGICLINKS)?;
    Ok(Opened { path: real_path(&file).unwrap_or_else(|| path.to_owned()), file })
}

/// A link may be written absolutely and yet stay below `base`, or lead into a place of loaders.
fn open_absolute_link(base: &Path, path: &Path) -> Result<File, OpenError> {
    let outside = |_| OpenError::Outside;
    let base = base.canonicalize().map_err(outside)?;
    let real = base.join(path).canonicalize().map_err(outside)?;
    if let Ok(inside) = real.strip_prefix(&base) {
        let directory = open_path(&base, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(OpenError::from)?;
        // No link any more: what was checked is what is opened.
        return open_regular(&directory, inside, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS);
    }
    if loaders::folders().iter().any(|folder| real.parent() == Some(folder)) {
        return open_regular(CWD, &real, ResolveFlags::NO_SYMLINKS);
    }
    Err(OpenError::Outside)
}

fn open_regular(directory: impl AsFd, path: &Path, resolve: ResolveFlags) -> Result<File, OpenError> {
    // First without opening it for real: to open a device or a FIFO can have effects of its own.
    let looked_at = open_one(&directory, path, OFlags::PATH, resolve)?;
    let expected = fstat(&looked_at).map_err(OpenError::from)?;
    match FileType::from_raw_mode(expected.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(OpenError::Directory),
        _ => return Err(OpenError::Special),
    }
    let file = open_one(&directory, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, resolve)?;
    let opened = fstat(&file).map_err(OpenError::from)?;
    match FileType::from_raw_mode(opened.st_mode) {
        FileType::RegularFile => Ok(File::from(file)),
        _ => Err(OpenError::Special),
    }
}

fn open_one(
    directory: &impl AsFd,
    path: &Path,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, OpenError> {
    for _ in 0..DISTURBED_TRIES {
        match openat2(directory, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other.map_err(OpenError::from),
        }
    }
    Err(OpenError::System(Errno::AGAIN))
}

/// The path as the directories spell it.
fn in_any_case(base: &OwnedFd, path: &Path) -> Result<PathBuf, OpenError> {
    let mut spelt = PathBuf::new();
    for component in path.components() {
        let Component::Normal(wanted) = component else { return Err(OpenError::Outside) };
        let here = if spelt.as_os_str().is_empty() { Path::new(".") } else { spelt.as_path() };
        let directory = open_one(
            base,
            here,
            OFlags::RDONLY | OFlags::DIRECTORY,
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        )
        .map_err(|error| if matches!(error, OpenError::System(_)) { error } else { OpenError::Missing })?;
        let mut best: Option<OsString> = None;
        for entry in Dir::read_from(&directory).map_err(OpenError::from)?.take(ENTRIES_MAX) {
            let entry = entry.map_err(OpenError::from)?;
            let name = entry.file_name().to_bytes();
            if name.eq_ignore_ascii_case(wanted.as_bytes())
                && best.as_ref().is_none_or(|best| name < best.as_bytes())
            {
                best = Some(std::ffi::OsStr::from_bytes(name).to_owned());
            }
        }
        spelt.push(best.ok_or(OpenError::Missing)?);
    }
    Ok(spelt)
}

fn real_path(file: &File) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

impl From<Errno> for OpenError {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Self::Missing,
            Errno::XDEV | Errno::LOOP => Self::Outside,
            Errno::ISDIR => Self::Directory,
            Errno::NXIO | Errno::NODEV => Self::Special,
            Errno::ACCESS | Errno::PERM => Self::Denied,
            other => Self::System(other),
        }
    }
}
