//! What the image takes from Debian packages.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::LabError;
use crate::netns::run;

/// Installed packages that the image is made of.
const INSTALLED: [&str; 6] =
    ["busybox-static", "ignition", "grub-common", "grub-pc-bin", "grub-efi-amd64-bin", "mtools"];

/// The package that names the kernel's package.
const KERNEL: &str = "linux-image-cloud-amd64";

/// The versions of everything, for the image's key; or which packages are missing.
pub(super) fn versions() -> Result<BTreeMap<String, String>, LabError> {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status} ${Package} ${Version}\n"])
        .args(INSTALLED)
        .output()
        .map_err(|error| LabError::Missing(format!("dpkg-query cannot be run ({error}): the image is made of Debian packages; `--light` needs none")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut versions: BTreeMap<_, _> = text
        .lines()
        .filter_map(|line| line.strip_prefix("installed ")?.split_once(' '))
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect();
    let missing: Vec<_> = INSTALLED.into_iter().filter(|name| !versions.contains_key(*name)).collect();
    if !missing.is_empty() {
        return Err(LabError::Missing(format!(
            "the image of virtual machines needs packages that are not installed; run: apt-get install \
             --no-install-recommends {} (or `cargo xtask packages --job lab`)",
            missing.join(" ")
        )));
    }
    versions.insert("kernel".to_owned(), kernel_package()?);
    Ok(versions)
}

/// The kernel's package with its version: what `linux-image-cloud-amd64` depends on.
fn kernel_package() -> Result<String, LabError> {
    let shown = run("apt-cache", ["show", "--no-all-versions", KERNEL])?;
    let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
    let words = depends.split(|c: char| c == ',' || c.is_whitespace());
    let name = words.into_iter().find(|word| word.starts_with("linux-image-")).ok_or_else(|| {
        LabError::Missing(format!("apt knows no kernel package behind {KERNEL}; run apt-get update"))
    })?;
    Ok(name.to_owned())
}

/// A kernel and the directory of its modules.
pub(super) struct Kernel {
    pub(super) image: PathBuf,
    pub(super) modules: PathBuf,
}

/// Downloads and unpacks `package` below `directory`, without installing it.
pub(super) fn unpack_kernel(package: &str, directory: &Path) -> Result<Kernel, LabError> {
    let unpacked = directory.join("kernel");
    fs::create_dir_all(&unpacked).map_err(LabError::io("create", &unpacked))?;
    let mut download = Command::new("apt-get");
    download.args(["-q", "download", package]).current_dir(directory);
    let output = download.output().map_err(LabError::doing("run apt-get"))?;
    if !output.status.success() {
        return Err(LabError::Command {
            command: format!("apt-get download {package}"),
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    let archive = find(directory, |name| name.starts_with(package) && name.ends_with(".deb"))?;
    run("dpkg", ["-x".as_ref(), archive.as_os_str(), unpacked.as_os_str()])?;
    fs::remove_file(&archive).map_err(LabError::io("remove", &archive))?;
    let image = find(&unpacked.join("boot"), |name| name.starts_with("vmlinuz"))?;
    // With a merged /usr the modules lie one level deeper.
    let places = ["lib/modules", "usr/lib/modules"].map(|place| unpacked.join(place));
    let place = places.iter().find(|place| place.exists()).unwrap_or(&places[0]);
    Ok(Kernel { image, modules: find(place, |_| true)? })
}

/// The content of the module `name`, unpacked; `None` where the kernel has it built in.
pub(super) fn module(kernel: &Kernel, name: &str) -> Result<Option<Vec<u8>>, LabError> {
    let Some(path) = find_module(&kernel.modules.join("kernel"), name) else { return Ok(None) };
    if path.extension().is_some_and(|extension| extension == "xz") {
        let output = Command::new("xz").arg("-dc").arg(&path).output().map_err(LabError::doing("run xz"))?;
        return Ok(Some(output.stdout));
    }
    fs::read(&path).map(Some).map_err(LabError::io("read", &path))
}

/// The shared libraries that `program` needs, with the dynamic linker, by absolute path.
pub(super) fn libraries(program: &Path) -> Result<Vec<String>, LabError> {
    let listed = run("ldd", [program])?;
    Ok(library_paths(&listed))
}

fn library_paths(listed: &str) -> Vec<String> {
    let words = listed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    words.map(str::to_owned).collect()
}

fn find_module(directory: &Path, name: &str) -> Option<PathBuf> {
    let plain = format!("{name}.ko");
    for entry in fs::read_dir(directory).ok()?.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = find_module(&path, name) {
                return Some(found);
            }
            continue;
        }
        // File names use dashes where module names have underscores, or not.
        let file = entry.file_name().to_string_lossy().replace('-', "_");
        if file == plain || file == format!("{plain}.xz") {
            return Some(path);
        }
    }
    None
}

fn find(directory: &Path, is_it: impl Fn(&str) -> bool) -> Result<PathBuf, LabError> {
    let entries = fs::read_dir(directory).map_err(LabError::io("read", directory))?;
    let mut names = entries.filter_map(Result::ok).map(|entry| entry.path());
    names.find(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&is_it)).ok_or_else(|| {
        LabError::Unplayable(format!("{} does not hold what was expected", directory.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_says() {
        let said = "\tlinux-vdso.so.1 (0x00007f)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        assert_eq!(library_paths(said), ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        assert!(library_paths("\tstatically linked\n").is_empty());
    }
}
