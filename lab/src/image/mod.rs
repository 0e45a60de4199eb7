//! The small system that the lab's virtual machines boot and install, built from Debian packages.
//!
//! Kernel: Debian's cloud kernel. Initial RAM disk: busybox, the virtio modules, the real Ignition engine,
//! and `init.sh` of ours. Disk: GRUB for both kinds of
//! firmware, the same kernel, and a RAM disk without Ignition. Nothing of it is part of this project: it is
//! built where it is used, once for each combination of package versions.

mod cpio;
mod disk;
mod packages;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::FlockOperation;
use sha2::{Digest as _, Sha256};

use crate::error::LabError;
use cpio::Archive;
use packages::Kernel;

const INIT: &str = include_str!("init.sh");
const DHCP: &str = include_str!("dhcp.sh");

/// Raised when the recipe in this module changes.
const RECIPE: &str = "1";

/// Kernel modules in the order in which they have to be loaded.
const MODULES: [&str; 9] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_blk",
];

/// Where packages put the Ignition engine.
const IGNITION: [&str; 2] = ["/usr/lib/dracut/modules.d/30ignition/ignition", "/usr/libexec/ignition"];

const BUSYBOX: &str = "/bin/busybox";

/// A finished image.
#[derive(Clone, Debug)]
pub struct Image {
    /// The kernel.
    pub kernel: PathBuf,
    /// The RAM disk that installs.
    pub initrd: PathBuf,
    /// The disk image, compressed with gzip.
    pub disk: PathBuf,
    /// SHA-256 of [`Image::disk`], in hexadecimal.
    pub disk_sha256: String,
}

/// The image for the packages of this machine: from the cache, or built now, saying so through `say`.
///
/// # Errors
/// A package is missing (the error says which), a download failed, or the cache cannot be written.
pub fn prepare(say: &mut dyn FnMut(&str)) -> Result<Image, LabError> {
    let cache = cache_dir();
    fs::create_dir_all(&cache).map_err(LabError::io("create", &cache))?;
    let lock = File::create(cache.join("lock")).map_err(LabError::io("create", &cache))?;
    // Whoever comes second finds the image finished.
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)
        .map_err(|error| LabError::io("lock", &cache)(error.into()))?;
    let versions = packages::versions()?;
    let finished = cache.join(key(&versions));
    if !finished.join(SHA256).exists() {
        let kernel = &versions["kernel"];
        say(&format!("building the image of the virtual machines ({kernel}, once)"));
        let work = cache.join("work");
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(&work).map_err(LabError::io("create", &work))?;
        build(kernel, &work)?;
        let _ = fs::remove_dir_all(&finished);
        fs::rename(&work, &finished).map_err(LabError::io("rename", &work))?;
    }
    let sha256_file = finished.join(SHA256);
    Ok(Image {
        kernel: finished.join("vmlinuz"),
        initrd: finished.join("initrd"),
        disk: finished.join("disk.img.gz"),
        disk_sha256: fs::read_to_string(&sha256_file).map_err(LabError::io("read", &sha256_file))?,
    })
}

/// Written last: an image without it is unfinished.
const SHA256: &str = "disk.sha256";

/// `FAROS_LAB_CACHE`; in a build tree its `target/lab-image`; otherwise the user's cache.
fn cache_dir() -> PathBuf {
    if let Some(named) = std::env::var_os("FAROS_LAB_CACHE") {
        return named.into();
    }
    let own = std::env::current_exe().unwrap_or_default();
    if let Some(target) = own.ancestors().find(|place| place.join("CACHEDIR.TAG").exists()) {
        return target.join("lab-image");
    }
    let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
    std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| home.join(".cache"), PathBuf::from)
        .join("faros/lab-image")
}

fn key(versions: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for text in [RECIPE, INIT, DHCP] {
        hash.update(text);
        hash.update([0]);
    }
    for (name, version) in versions {
        hash.update(format!("{name}={version}\n"));
    }
    hex(&hash.finalize())[..16].to_owned()
}

fn build(kernel: &str, work: &Path) -> Result<(), LabError> {
    let kernel = packages::unpack_kernel(kernel, work)?;
    let image = work.join("vmlinuz");
    fs::copy(&kernel.image, &image).map_err(LabError::io("copy", &kernel.image))?;
    let initrd = work.join("initrd");
    gzip(&ram_disk(&kernel, true)?, &initrd)?;
    let small = work.join("initrd.small");
    gzip(&ram_disk(&kernel, false)?, &small)?;
    let raw = work.join("disk.img");
    disk::build(&image, &small, work, &raw)?;
    let compressed = work.join("disk.img.gz");
    gzip(&fs::read(&raw).map_err(LabError::io("read", &raw))?, &compressed)?;
    for unneeded in [&raw, &small] {
        fs::remove_file(unneeded).map_err(LabError::io("remove", unneeded))?;
    }
    fs::remove_dir_all(work.join("kernel")).map_err(LabError::io("remove", work))?;
    let content = fs::read(&compressed).map_err(LabError::io("read", &compressed))?;
    let path = work.join(SHA256);
    fs::write(&path, hex(&Sha256::digest(&content))).map_err(LabError::io("write", &path))
}

fn ram_disk(kernel: &Kernel, with_ignition: bool) -> Result<Vec<u8>, LabError> {
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "etc", "modules", "proc", "root", "run", "sys", "tmp"] {
        archive.directory(directory);
    }
    archive.file("init", 0o755, INIT.as_bytes());
    archive.file("dhcp.sh", 0o755, DHCP.as_bytes());
    archive.file("bin/busybox", 0o755, &read(Path::new(BUSYBOX))?);
    let mut order = String::new();
    for name in MODULES {
        if let Some(content) = packages::module(kernel, name)? {
            archive.file(&format!("modules/{name}.ko"), 0o644, &content);
            order.push_str(&format!("{name}\n"));
        }
    }
    archive.file("modules/order", 0o644, order.as_bytes());
    if with_ignition {
        let engine = IGNITION.map(Path::new).into_iter().find(|path| path.exists()).ok_or_else(|| {
            LabError::Missing(format!("the Ignition engine is at none of {}", IGNITION.join(", ")))
        })?;
        archive.file("bin/ignition", 0o755, &read(engine)?);
        let mut directories = Vec::new();
        for library in packages::libraries(engine)? {
            let path = library.trim_start_matches('/');
            add_parents(&mut archive, &mut directories, path);
            archive.file(path, 0o755, &read(Path::new(&library))?);
        }
    }
    Ok(archive.finish())
}

fn add_parents(archive: &mut Archive, known: &mut Vec<String>, path: &str) {
    for (at, _) in path.match_indices('/') {
        let directory = &path[..at];
        if !known.iter().any(|other| other == directory) {
            archive.directory(directory);
            known.push(directory.to_owned());
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, LabError> {
    fs::read(path).map_err(LabError::io("read", path))
}

/// Compresses without name and time, so that equal content gives equal bytes.
fn gzip(content: &[u8], path: &Path) -> Result<(), LabError> {
    let output = File::create(path).map_err(LabError::io("create", path))?;
    let mut child = Command::new("gzip")
        .args(["-n", "-1"])
        .stdin(Stdio::piped())
        .stdout(output)
        .spawn()
        .map_err(LabError::doing("run gzip"))?;
    let mut input = child.stdin.take().expect("standard input was asked for");
    input.write_all(content).map_err(LabError::io("compress", path))?;
    drop(input);
    let status = child.wait().map_err(LabError::doing("run gzip"))?;
    if status.success() {
        return Ok(());
    }
    Err(LabError::Command { command: "gzip".to_owned(), said: status.to_string() })
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_package_version_is_another_image() {
        let versions = |busybox: &str| BTreeMap::from([("busybox-static".to_owned(), busybox.to_owned())]);
        assert_eq!(key(&versions("1")), key(&versions("1")));
        assert_ne!(key(&versions("1")), key(&versions("2")));
    }

    #[test]
    fn parents_are_added_once_and_before_their_children() {
        let mut archive = Archive::default();
        let mut known = Vec::new();
        add_parents(&mut archive, &mut known, "lib/x86_64-linux-gnu/libc.so.6");
        add_parents(&mut archive, &mut known, "lib/x86_64-linux-gnu/libblkid.so.1");
        assert_eq!(known, ["lib", "lib/x86_64-linux-gnu"]);
    }
}
