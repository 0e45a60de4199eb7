//! Where the peers and clients are: `target/peers` (unpacked only, so that no service of theirs starts with the
//! machine; `target/peers/atftpd` for that one, which also brings an `in.tftpd`), then `PATH`, then where Debian
//! keeps daemons.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::work_dir::target;

/// The path of a program of a Debian package.
pub fn find(program: &str) -> Result<PathBuf, Error> {
    let peers = target().join("peers");
    let mut places =
        vec![peers.join("usr/sbin"), peers.join("usr/bin"), peers.join(program).join("usr/sbin")];
    places.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    places.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = places.into_iter().map(|place| place.join(program)).find(|path| is_itself(path, program));
    found.ok_or_else(|| Error::Missing {
        program: program.to_owned(),
        remedy: "run `cargo xtask packages --job bench`".to_owned(),
    })
}

/// The same, as text for a command line.
pub fn path(program: &str) -> Result<String, Error> {
    find(program).map(|path| path.display().to_string())
}

/// Whether a file is the program and not a link to another one: atftpd also calls itself `in.tftpd`.
fn is_itself(path: &Path, program: &str) -> bool {
    path.canonicalize().is_ok_and(|path| path.is_file() && path.file_name() == Some(OsStr::new(program)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_another_program_is_not_the_program() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("atftpd"), directory.path().join("in.tftpd"));
        std::fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(is_itself(&real, "atftpd"));
        assert!(!is_itself(&link, "in.tftpd"));
        assert!(!is_itself(directory.path(), "atftpd"));
    }
}
