//! The directory of the site's certificates: one pair of files for each name.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use faros_common::sandbox::Account;
use faros_common::tls::Facts;

use super::make::Pair;
use crate::exit::Failure;

/// The name of the authority's own files.
pub(super) const AUTHORITY: &str = "ca";
/// A longer name is refused.
const NAME_MAX: usize = 63;
/// Anybody may see what anybody is shown.
const CERTIFICATE_MODE: u32 = 0o644;
/// Its owner alone: root, or whoever tries things out.
const OWN_KEY_MODE: u32 = 0o600;
/// The daemons' group too.
const SHARED_KEY_MODE: u32 = 0o640;

/// The directory.
pub(super) struct Folder {
    path: PathBuf,
}

/// What is to become of files that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// They stay, and nothing is done.
    Refused,
    /// They give way, each in one step.
    Replaced,
}

/// Refuses what is no plain name of a file.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name == AUTHORITY {
        return Err(Failure::usage(format!(
            "{name} is the authority itself; it is made by: farosctl ca init"
        )));
    }
    if name.is_empty() || name.len() > NAME_MAX || name.starts_with('-') || !name.bytes().all(plain) {
        return Err(Failure::usage(format!(
            "{name:?} is no name for a certificate; lower-case letters, digits and hyphens, such as dnsd"
        )));
    }
    Ok(())
}

impl Folder {
    /// The directory, made if it is not there.
    pub(super) fn make(path: &Path) -> Result<Self, Failure> {
        DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(|error| {
            Failure::failed(format!(
                "cannot make {}: {error}; run as root, or name another --dir",
                path.display()
            ))
        })?;
        Ok(Self { path: path.to_owned() })
    }

    /// The directory, which must have an authority in it.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let folder = Self { path: path.to_owned() };
        if folder.certificate(AUTHORITY).exists() {
            return Ok(folder);
        }
        Err(Failure::failed(format!(
            "there is no authority in {}; make it with: farosctl ca init",
            path.display()
        )))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn certificate(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.crt"))
    }

    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.key"))
    }

    /// What stands in the certificate of `name`.
    pub(super) fn facts(&self, name: &str) -> Result<Facts, Failure> {
        Facts::of_file(&self.certificate(name)).map_err(|error| Failure::failed(error.to_string()))
    }

    /// The names of all certificates but the authority's, in order.
    pub(super) fn names(&self) -> Result<Vec<String>, Failure> {
        let failed =
            |error: io::Error| Failure::failed(format!("cannot read {}: {error}", self.path.display()));
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".crt"));
            names.extend(name.filter(|name| check_name(name).is_ok()).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Puts a new authority there, whose key is its owner's alone.
    pub(super) fn put_authority(&self, pair: &Pair) -> Result<(), Failure> {
        self.refuse_present(AUTHORITY)?;
        self.put_file(&self.key(AUTHORITY), &pair.key, OWN_KEY_MODE, None, Presence::Refused)?;
        self.put_file(
            &self.certificate(AUTHORITY),
            &pair.certificate,
            CERTIFICATE_MODE,
            None,
            Presence::Refused,
        )
    }

    /// Puts a pair there, whose key the daemons may read; tells if they may not.
    pub(super) fn put(&self, name: &str, pair: &Pair, presence: Presence) -> Result<Option<String>, Failure> {
        if presence == Presence::Refused {
            self.refuse_present(name)?;
        }
        let account = rustix::process::geteuid().is_root().then(Account::of_daemons);
        let (mode, group) = match &account {
            Some(account) => (SHARED_KEY_MODE, Some(account.gid)),
            None => (OWN_KEY_MODE, None),
        };
        // The key first: a daemon that looks in between sees that the two do not match, and waits.
        self.put_file(&self.key(name), &pair.key, mode, group, presence)?;
        self.put_file(&self.certificate(name), &pair.certificate, CERTIFICATE_MODE, None, presence)?;
        Ok(match account {
            Some(account) if account.name == "faros" => None,
            Some(account) => Some(format!(
                "there is no user faros: the key of {name} is readable by the group of {}, as which daemons run here",
                account.name
            )),
            None => {
                Some(format!("only you can read the key of {name}; run as root to let the daemons read it"))
            }
        })
    }

    fn refuse_present(&self, name: &str) -> Result<(), Failure> {
        match [self.certificate(name), self.key(name)]
            .into_iter()
            .find(|path| path.symlink_metadata().is_ok())
        {
            Some(path) => Err(taken(name, &path)),
            None => Ok(()),
        }
    }

    /// Writes a file so that nobody ever sees a part of it.
    fn put_file(
        &self,
        path: &Path,
        text: &str,
        mode: u32,
        group: Option<u32>,
        presence: Presence,
    ) -> Result<(), Failure> {
        let draft = path.with_extension(format!("draft-{}", std::process::id()));
        let written = self.write(path, &draft, text, mode, group, presence);
        let _ = fs::remove_file(&draft);
        written.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => taken("it", path),
            ErrorKind::PermissionDenied => {
                Failure::failed(format!("cannot write {}: {error}; run as root", path.display()))
            }
            _ => Failure::failed(format!("cannot write {}: {error}", path.display())),
        })
    }

    fn write(
        &self,
        path: &Path,
        draft: &Path,
        text: &str,
        mode: u32,
        group: Option<u32>,
        presence: Presence,
    ) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(OWN_KEY_MODE).open(draft)?;
        file.write_all(text.as_bytes())?;
        if let Some(group) = group {
            chown(draft, None, Some(group))?;
        }
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        match presence {
            // A link, unlike a renaming, takes nobody's place.
            Presence::Refused => fs::hard_link(draft, path)?,
            Presence::Replaced => fs::rename(draft, path)?,
        }
        File::open(&self.path)?.sync_all()
    }
}

fn taken(name: &str, path: &Path) -> Failure {
    let advice = if path.file_stem().is_some_and(|stem| stem == AUTHORITY) {
        "every client trusts the one that is there; to begin anew move ca.crt and ca.key away first"
            .to_owned()
    } else {
        format!("to make {name} anew: farosctl ca renew {}", path.file_stem().unwrap_or_default().display())
    };
    Failure::failed(format!("{} is there already; {advice}", path.display()))
}
