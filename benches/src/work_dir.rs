//! Where configuration, state and logs of one run lie: beside the workspace's other products, or in `/var/tmp` where the
//! workspace lies in a home directory that others must not enter – a server that gave up its rights is one of them.
//! Both are on a disk: a journal in memory would measure nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::Error;

/// A directory of this run. Dropped: removed.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    /// Makes an empty directory for this process, and removes those of runs that are over.
    pub fn create() -> Result<Self, Error> {
        let target = target();
        let parent = if open_to_all(&target) { target.join("benches") } else { PathBuf::from(ELSEWHERE) };
        fs::create_dir_all(&parent).map_err(Error::file(&parent))?;
        for entry in fs::read_dir(&parent).map_err(Error::file(&parent))?.flatten() {
            let name = entry.file_name();
            let alive = name.to_str().is_some_and(|id| Path::new("/proc").join(id).exists());
            if !alive {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let path = parent.join(std::process::id().to_string());
        let work = Self { path };
        fs::create_dir_all(&work.path).map_err(Error::file(&work.path))?;
        // Servers give up their rights and still have to read what is in here.
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&work.path, open).map_err(Error::file(&work.path))?;
        Ok(work)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An empty directory in it; what was there before is removed.
    pub fn fresh(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(Error::file(&path))?;
        }
        fs::create_dir_all(&path).map_err(Error::file(&path))?;
        Ok(path)
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

const ELSEWHERE: &str = "/var/tmp/faros-benches";

/// Whether everybody may enter a directory and all that it lies in.
fn open_to_all(path: &Path) -> bool {
    let enterable = |path: &Path| fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o001 != 0);
    path.canonicalize().is_ok_and(|path| path.ancestors().all(enterable))
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = manifest.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    here.parent().map_or_else(PathBuf::new, Path::to_owned)
}

/// Where cargo puts what it makes.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_within_a_closed_one_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!open_to_all(&inner));
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(open_to_all(&inner));
        assert!(!open_to_all(&directory.path().join("absent")));
    }
}
