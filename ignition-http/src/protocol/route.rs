//! Which part of the service a path belongs to.

use super::script::Loader;
use super::target::Path;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The boot script of the machine that asks, for a loader.
    Script(Loader),
    /// A boot loader, by its served name.
    Loader(String),
    /// A node's Ignition.
    Ignition(String),
    /// A node says that it is installed.
    Report(String),
    /// A file below the boot root.
    File,
}

impl Route {
    /// The route of `path`. `grub/grub.cfg` and its per-machine variants are where a GRUB that was itself
    /// loaded over HTTP looks for its configuration.
    pub fn of(path: &Path) -> Self {
        let segments: Vec<&str> = path.segments().collect();
        match segments.as_slice() {
            ["boot", "ipxe"] => Self::Script(Loader::Ipxe),
            ["boot", "grub"] | ["grub", "grub.cfg"] | ["loaders", "grub", "grub.cfg"] => {
                Self::Script(Loader::Grub)
            }
            ["loaders", name] => Self::Loader((*name).to_owned()),
            ["ignition", node] => Self::Ignition((*node).to_owned()),
            ["report", node] => Self::Report((*node).to_owned()),
            _ => Self::File,
        }
    }

    /// The value of the `route` label.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Script(_) => "script",
            Self::Loader(_) => "loader",
            Self::Ignition(_) => "ignition",
            Self::Report(_) => "report",
            Self::File => "file",
        }
    }
}

/// Whether a file of this name holds, or once held, an Ignition configuration: `x.ign`, `X.IGN`, `x.ign~`,
/// `x.ign.bak`. Such files have passwords and keys in them and are never served by path.
pub fn is_seed_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.match_indices(".ign")
        .any(|(start, found)| !name[start + found.len()..].starts_with(|c: char| c.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_their_routes() {
        let route = |raw| Route::of(&Path::parse(raw).unwrap());
        assert_eq!(route("/boot/ipxe"), Route::Script(Loader::Ipxe));
        assert_eq!(route("//boot//grub/"), Route::Script(Loader::Grub));
        assert_eq!(route("/grub/grub.cfg"), Route::Script(Loader::Grub));
        assert_eq!(route("/loaders/snponly.efi"), Route::Loader("snponly.efi".to_owned()));
        assert_eq!(route("/ignition/cp1"), Route::Ignition("cp1".to_owned()));
        assert_eq!(route("/report/cp1"), Route::Report("cp1".to_owned()));
        for file in
            ["/", "/boot", "/boot/ipxe/x", "/ignition", "/ignition/a/b", "/rhcos/kernel", "/loaders/a/b"]
        {
            assert_eq!(route(file), Route::File, "{file}");
        }
    }

    #[test]
    fn seeds_are_known_by_name() {
        for name in ["a.ign", "A.IGN", "a.ign~", "a.ign.bak", ".ign", "a.ign-old"] {
            assert!(is_seed_name(name), "{name}");
        }
        for name in ["a.ignore", "sign", "a.img", "ign", "kernel"] {
            assert!(!is_seed_name(name), "{name}");
        }
    }
}
