//! Where the distributions' packages put boot loaders.
//!
//! Loaders are never part of this project: they are the distribution's files. TFTP and HTTP ask here for a
//! loader's *served name* and get a path on this machine: first below the boot root, then in its `loaders`
//! folder, then where Debian's and Fedora's packages install it.

use std::path::{Component, Path, PathBuf};

/// One loader and where its file may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loader {
    /// The name under which clients ask for it.
    pub name: &'static str,
    /// What it is for, in a few words.
    pub purpose: &'static str,
    /// The Debian package that holds it, to be named when the file is missing.
    pub package: &'static str,
    /// Absolute paths, best first.
    pub places: &'static [&'static str],
}

/// Shim and GRUB of the Red Hat family stand in the running system's EFI partition, one folder per vendor.
macro_rules! efi_vendors {
    ($file:literal $(, $first:literal)*) => {
        &[
            $($first,)*
            concat!("/boot/efi/EFI/fedora/", $file),
            concat!("/boot/efi/EFI/redhat/", $file),
            concat!("/boot/efi/EFI/centos/", $file),
            concat!("/boot/efi/EFI/rocky/", $file),
            concat!("/boot/efi/EFI/almalinux/", $file),
        ]
    };
}

/// Every loader that is looked for outside the boot root.
const LOADERS: &[Loader] = &[
    Loader {
        name: "undionly.kpxe",
        purpose: "iPXE for BIOS, on the card's own UNDI driver",
        package: "ipxe",
        places: &["/usr/lib/ipxe/undionly.kpxe", "/usr/share/ipxe/undionly.kpxe"],
    },
    Loader {
        name: "undionly.kkpxe",
        purpose: "iPXE for BIOS that keeps PXE and UNDI loaded",
        package: "ipxe",
        places: &["/usr/lib/ipxe/undionly.kkpxe", "/usr/share/ipxe/undionly.kkpxe"],
    },
    Loader {
        name: "ipxe.pxe",
        purpose: "iPXE for BIOS with its own drivers",
        package: "ipxe",
        places: &["/usr/lib/ipxe/ipxe.pxe", "/usr/share/ipxe/ipxe.pxe"],
    },
    Loader {
        name: "ipxe.lkrn",
        purpose: "iPXE as a Linux kernel image",
        package: "ipxe",
        places: &["/usr/lib/ipxe/ipxe.lkrn", "/boot/ipxe.lkrn", "/usr/share/ipxe/ipxe.lkrn"],
    },
    Loader {
        name: "snponly.efi",
        purpose: "iPXE for UEFI x64, on the firmware's network driver",
        package: "ipxe",
        places: &[
            "/usr/lib/ipxe/snponly.efi",
            "/usr/share/ipxe/snponly.efi",
            "/usr/share/ipxe/ipxe-snponly-x86_64.efi",
        ],
    },
    Loader {
        name: "ipxe.efi",
        purpose: "iPXE for UEFI x64 with its own drivers",
        package: "ipxe",
        places: &[
            "/usr/lib/ipxe/ipxe.efi",
            "/boot/ipxe.efi",
            "/usr/share/ipxe/ipxe.efi",
            "/usr/share/ipxe/ipxe-x86_64.efi",
        ],
    },
    Loader {
        name: "snponly-arm64.efi",
        purpose: "iPXE for UEFI arm64, on the firmware's network driver",
        package: "ipxe",
        places: &[
            "/usr/lib/ipxe/snponly-arm64.efi",
            "/usr/lib/ipxe/arm64-efi/snponly.efi",
            "/usr/share/ipxe/arm64-efi/snponly.efi",
            "/usr/share/ipxe/arm64-efi/ipxe-snponly.efi",
            "/usr/share/ipxe/ipxe-snponly-arm64.efi",
        ],
    },
    Loader {
        name: "ipxe-arm64.efi",
        purpose: "iPXE for UEFI arm64 with its own drivers",
        package: "ipxe",
        places: &[
            "/usr/lib/ipxe/ipxe-arm64.efi",
            "/usr/lib/ipxe/arm64-efi/ipxe.efi",
            "/usr/share/ipxe/arm64-efi/ipxe.efi",
            "/usr/share/ipxe/ipxe-arm64.efi",
        ],
    },
    Loader {
        name: "shimx64.efi",
        purpose: "shim for UEFI x64 with Secure Boot; loads grubx64.efi",
        package: "shim-signed",
        places: efi_vendors!("shimx64.efi", "/usr/lib/shim/shimx64.efi.signed"),
    },
    Loader {
        name: "shimaa64.efi",
        purpose: "shim for UEFI arm64 with Secure Boot; loads grubaa64.efi",
        package: "shim-signed",
        places: efi_vendors!("shimaa64.efi", "/usr/lib/shim/shimaa64.efi.signed"),
    },
    Loader {
        name: "grubx64.efi",
        purpose: "GRUB for UEFI x64 that reads its files from the network",
        package: "grub-efi-amd64-signed",
        places: efi_vendors!(
            "grubx64.efi",
            "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
            "/usr/lib/grub/x86_64-efi/monolithic/grubnetx64.efi"
        ),
    },
    Loader {
        name: "grubaa64.efi",
        purpose: "GRUB for UEFI arm64 that reads its files from the network",
        package: "grub-efi-arm64-signed",
        places: efi_vendors!(
            "grubaa64.efi",
            "/usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed",
            "/usr/lib/grub/arm64-efi/monolithic/grubnetaa64.efi"
        ),
    },
    Loader {
        name: "pxelinux.0",
        purpose: "PXELINUX for BIOS, over TFTP",
        package: "pxelinux",
        places: &["/usr/lib/PXELINUX/pxelinux.0", "/usr/share/syslinux/pxelinux.0"],
    },
    Loader {
        name: "lpxelinux.0",
        purpose: "PXELINUX for BIOS, over TFTP and HTTP",
        package: "pxelinux",
        places: &["/usr/lib/PXELINUX/lpxelinux.0", "/usr/share/syslinux/lpxelinux.0"],
    },
    Loader {
        name: "ldlinux.c32",
        purpose: "the module that PXELINUX loads first",
        package: "syslinux-common",
        places: &["/usr/lib/syslinux/modules/bios/ldlinux.c32", "/usr/share/syslinux/ldlinux.c32"],
    },
    Loader {
        name: "syslinux.efi",
        purpose: "SYSLINUX for UEFI x64",
        package: "syslinux-efi",
        places: &["/usr/lib/SYSLINUX.EFI/efi64/syslinux.efi", "/usr/share/syslinux/efi64/syslinux.efi"],
    },
    Loader {
        name: "ldlinux.e64",
        purpose: "the module that SYSLINUX for UEFI x64 loads first",
        package: "syslinux-common",
        places: &["/usr/lib/syslinux/modules/efi64/ldlinux.e64", "/usr/share/syslinux/efi64/ldlinux.e64"],
    },
];

/// Names by which firmware and older configurations ask for the same files.
const ALIASES: &[(&str, &str)] = &[
    ("shimx64.efi.signed", "shimx64.efi"),
    ("shimaa64.efi.signed", "shimaa64.efi"),
    ("grubnetx64.efi", "grubx64.efi"),
    ("grubnetx64.efi.signed", "grubx64.efi"),
    ("grubnetaa64.efi", "grubaa64.efi"),
    ("grubnetaa64.efi.signed", "grubaa64.efi"),
    ("bootx64.efi", "shimx64.efi"),
    ("bootaa64.efi", "shimaa64.efi"),
    ("ipxe-x86_64.efi", "ipxe.efi"),
    ("ipxe-snponly-x86_64.efi", "snponly.efi"),
];

/// The folder below a boot root where loaders are looked for after the root itself.
pub const FOLDER: &str = "loaders";

/// Every loader that the distributions provide.
pub fn all() -> &'static [Loader] {
    LOADERS
}

/// The loader that is served under `name`, aliases included; firmware varies in case, so case is ignored.
pub fn named(name: &str) -> Option<&'static Loader> {
    let name = ALIASES
        .iter()
        .find(|(alias, _)| alias.eq_ignore_ascii_case(name))
        .map_or(name, |(_, loader)| *loader);
    LOADERS.iter().find(|loader| loader.name.eq_ignore_ascii_case(name))
}

/// The folders outside a boot root that loaders are read from: what a sandbox has to leave readable.
/// A link in one of them may lead into another. Folders that do not exist are listed too.
pub fn folders() -> Vec<&'static Path> {
    let mut folders: Vec<&Path> = LOADERS
        .iter()
        .flat_map(|loader| loader.places)
        .filter_map(|place| Path::new(place).parent())
        .collect();
    folders.sort_unstable();
    folders.dedup();
    folders
}

/// The file to serve as `name`: below `root`, in `root/loaders`, or where a package put it. None: there is none.
///
/// A name is one path component; anything else is nowhere. A file below the root may be a symbolic link if
/// it leads to a place below the root or to one of [`folders`]; a link to anywhere else counts as missing.
pub fn find(name: &str, root: &Path) -> Option<PathBuf> {
    if !is_plain(name) {
        return None;
    }
    let below_root = [root.join(name), root.join(FOLDER).join(name)];
    if let Some(found) = below_root.iter().find_map(|path| confined(path, root)) {
        return Some(found);
    }
    let installed = named(name)?.places.iter().map(Path::new);
    installed.filter(|path| path.is_file()).map(Path::to_owned).next()
}

/// Whether a name is a single component that means itself.
fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    !name.contains(['\0', '/', '\\'])
        && matches!(components.next(), Some(Component::Normal(_)))
        && components.next().is_none()
}

/// The real path of a regular file, if it lies where loaders may lie.
fn confined(path: &Path, root: &Path) -> Option<PathBuf> {
    let real = path.canonicalize().ok()?;
    let root = root.canonicalize().ok()?;
    let allowed = real.starts_with(root) || folders().iter().any(|folder| real.parent() == Some(folder));
    (allowed && real.is_file()).then_some(real)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn names_are_unique_and_places_absolute() {
        let names: BTreeSet<_> = all().iter().map(|loader| loader.name).collect();
        assert_eq!(names.len(), all().len());
        for loader in all() {
            assert!(!loader.places.is_empty(), "{}", loader.name);
            assert!(loader.places.iter().all(|place| place.starts_with('/')), "{}", loader.name);
        }
        for (alias, name) in ALIASES {
            assert!(named(alias).is_some_and(|loader| loader.name == *name), "{alias}");
            assert!(!names.contains(alias), "{alias} shadows a loader");
        }
    }

    #[test]
    fn what_the_dhcp_answer_names_is_known() {
        for name in ["undionly.kpxe", "snponly.efi", "snponly-arm64.efi", "shimx64.efi", "GRUBX64.EFI"] {
            assert!(named(name).is_some(), "{name}");
        }
        assert!(named("vmlinuz").is_none());
    }

    #[test]
    fn the_root_comes_before_its_loaders_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(FOLDER);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("snponly.efi"), "second").unwrap();
        assert!(find("snponly.efi", root.path()).unwrap().ends_with("loaders/snponly.efi"));
        std::fs::write(root.path().join("snponly.efi"), "first").unwrap();
        assert_eq!(std::fs::read(find("snponly.efi", root.path()).unwrap()).unwrap(), b"first");
    }

    #[test]
    fn a_link_out_of_the_root_is_not_followed() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secret = outside.path().join("secret");
        std::fs::write(&secret, "x").unwrap();
        symlink(&secret, root.path().join("own.efi")).unwrap();
        assert_eq!(find("own.efi", root.path()), None);
        std::fs::write(root.path().join("real.efi"), "x").unwrap();
        symlink("real.efi", root.path().join("own2.efi")).unwrap();
        assert!(find("own2.efi", root.path()).is_some());
    }

    #[test]
    fn a_name_that_is_a_path_is_nowhere() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("sub")).unwrap();
        std::fs::write(root.path().join("sub/a.efi"), "x").unwrap();
        for name in ["sub/a.efi", "../a.efi", "..", ".", "", "/etc/passwd", "sub", "a\0b", "sub\\a.efi"] {
            assert_eq!(find(name, root.path()), None, "{name:?}");
        }
    }

    #[test]
    fn folders_are_listed_once() {
        let folders = folders();
        assert!(folders.contains(&Path::new("/usr/lib/ipxe")));
        assert_eq!(folders.iter().collect::<BTreeSet<_>>().len(), folders.len());
    }
}
