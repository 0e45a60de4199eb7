//! The directories for state and for sockets: made, and given to the user that the daemon becomes.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};

use super::StartError;
use crate::sandbox::Account;

/// Directories of the host that are no daemon's own: never given away, whatever the command line says.
const OF_THE_HOST: [&str; 15] = [
    "/",
    "/dev/shm",
    "/etc",
    "/home",
    "/mnt",
    "/opt",
    "/root",
    "/run",
    "/run/lock",
    "/srv",
    "/tmp",
    "/usr",
    "/var",
    "/var/lib",
    "/var/tmp",
];
/// State lies no deeper; what is below is left as it is.
const DEPTH_MAX: usize = 8;

/// Makes the directory of all admin sockets; the sockets in it are other daemons' too and stay theirs.
pub(super) fn for_sockets(path: &Path, account: Option<&Account>) -> Result<(), StartError> {
    make(path, 0o755).map_err(|error| refused(path, &error))?;
    match account {
        Some(account) if !is_of_the_host(path) => {
            let directory = open(path).map_err(|error| refused(path, &error))?;
            give(directory.as_fd(), account).map_err(|error| refused(path, &error))
        }
        _ => Ok(()),
    }
}

/// Makes the daemon's own directory for state, mode 0700, and gives it with all that is in it to `account`: an
/// earlier run may have had another user.
pub(super) fn for_state(path: &Path, account: Option<&Account>) -> Result<(), StartError> {
    make(path, 0o700).map_err(|error| refused(path, &error))?;
    let Some(account) = account else { return Ok(()) };
    if is_of_the_host(path) {
        return Err(StartError::System(format!(
            "{} cannot be a daemon's own directory for state: name one of its own with --state-dir",
            path.display()
        )));
    }
    let directory = open(path).map_err(|error| refused(path, &error))?;
    give_all(directory.as_fd(), account, DEPTH_MAX).map_err(|error| refused(path, &error))
}

fn refused(path: &Path, error: &io::Error) -> StartError {
    let text = format!("cannot use the directory {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => StartError::Privilege(format!(
            "{text}; start as root, or name directories of your own with --state-dir and --run-dir"
        )),
        _ => StartError::System(text),
    }
}

fn is_of_the_host(path: &Path) -> bool {
    path.canonicalize().is_ok_and(|path| OF_THE_HOST.iter().any(|host| path == Path::new(host)))
}

fn make(path: &Path, mode: u32) -> io::Result<()> {
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is no directory")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(mode).create(path) {
        // Another daemon made the run directory meanwhile, with the mode that it needs.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
    }
}

/// Gives `directory` and what is below it to `account`, without following links: what a daemon of an earlier run left
/// there must not lead root elsewhere. A file with a second name may be somebody else's and stays.
fn give_all(directory: BorrowedFd<'_>, account: &Account, depth: usize) -> io::Result<()> {
    give(directory, account)?;
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => continue,
            opened => opened?,
        };
        let stat = rustix::fs::fstat(&file)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if depth > 0 => {
                give_all(open_inside(directory, name)?.as_fd(), account, depth - 1)?;
            }
            FileType::RegularFile if stat.st_nlink == 1 => give(file.as_fd(), account)?,
            _ => {}
        }
    }
    Ok(())
}

/// A link may stand where the operator put it, but not inside.
fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn open_inside(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

fn give(file: BorrowedFd<'_>, account: &Account) -> io::Result<()> {
    let stat = rustix::fs::fstat(file)?;
    if (stat.st_uid, stat.st_gid) == (account.uid, account.gid) {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    Ok(rustix::fs::chownat(file, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    const ACCOUNT: Account = Account { name: String::new(), uid: 64_321, gid: 64_322 };

    fn may_give_away() -> bool {
        rustix::process::geteuid().is_root()
    }

    fn owner(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().uid()
    }

    #[test]
    fn state_of_another_user_is_taken_over_to_its_depth_and_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let outside = directory.path().join("outside");
        fs::create_dir_all(state.join("inner/deep")).unwrap();
        fs::create_dir(&outside).unwrap();
        for file in [state.join("inner/deep/file"), outside.join("secret"), outside.join("linked")] {
            fs::write(file, "").unwrap();
        }
        symlink(&outside, state.join("inner/link")).unwrap();
        fs::hard_link(outside.join("linked"), state.join("hard")).unwrap();
        if !may_give_away() {
            assert!(matches!(for_state(&state, Some(&ACCOUNT)), Err(StartError::Privilege(_))));
            return;
        }
        for_state(&state, Some(&ACCOUNT)).unwrap();
        assert_eq!(owner(&state.join("inner/deep/file")), ACCOUNT.uid);
        assert_eq!(owner(&state.join("inner/deep")), ACCOUNT.uid);
        for path in [outside.clone(), outside.join("secret"), outside.join("linked")] {
            assert_ne!(owner(&path), ACCOUNT.uid, "{}", path.display());
        }
    }

    #[test]
    fn a_directory_of_the_host_is_never_given_away() {
        let before = owner(Path::new("/tmp"));
        for_sockets(Path::new("/tmp"), Some(&ACCOUNT)).unwrap();
        assert!(matches!(for_state(Path::new("/tmp/../tmp"), Some(&ACCOUNT)), Err(StartError::System(_))));
        assert_eq!(owner(Path::new("/tmp")), before);
    }

    #[test]
    fn a_file_in_the_place_of_a_directory_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = for_state(file.path(), None).unwrap_err().to_string();
        assert!(error.contains("no directory") && error.contains(file.path().to_str().unwrap()), "{error}");
    }
}
