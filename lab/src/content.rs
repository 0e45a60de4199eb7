//! What the boot root of a rehearsal holds: the lab's own system, and an Ignition file per role.

use std::fs;
use std::path::Path;

use faros_common::loaders;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::error::LabError;
use crate::firmware::Firmware;
use crate::image::{Image, hex};
use crate::site::{IMAGE, INITRD, KERNEL, ROLES, ignition_file};

/// Sizes of the stand-ins that light nodes fetch: like the real ones, so that times mean something.
const KERNEL_BYTES: usize = 8 * 1024 * 1024;
const INITRD_BYTES: usize = 9 * 1024 * 1024;
const IMAGE_BYTES: usize = 12 * 1024 * 1024;
const LOADER_BYTES: usize = 96 * 1024;

/// Puts the image of virtual machines below `root`.
pub(crate) fn place_image(root: &Path, image: &Image) -> Result<(), LabError> {
    create_directory(root)?;
    for (source, name) in [(&image.kernel, KERNEL), (&image.initrd, INITRD), (&image.disk, IMAGE)] {
        let target = root.join(name);
        // A second name costs nothing; on another file system it has to be a copy.
        fs::hard_link(source, &target)
            .or_else(|_| fs::copy(source, &target).map(drop))
            .map_err(LabError::io("create", &target))?;
    }
    place_seeds(root, &image.disk_sha256)
}

/// Puts stand-ins below `root`: light nodes fetch and verify a system, but do not run it.
pub(crate) fn place_stand_ins(root: &Path) -> Result<(), LabError> {
    create_directory(root)?;
    write(&root.join(KERNEL), &noise(1, KERNEL_BYTES))?;
    write(&root.join(INITRD), &noise(2, INITRD_BYTES))?;
    let image = noise(3, IMAGE_BYTES);
    write(&root.join(IMAGE), &image)?;
    place_seeds(root, &hex(&Sha256::digest(&image)))
}

/// Puts stand-ins for loaders that no package provides below `root`; returns their names.
pub(crate) fn place_missing_loaders(root: &Path) -> Result<Vec<&'static str>, LabError> {
    let missing: Vec<_> = ["undionly.kpxe", "snponly.efi"]
        .into_iter()
        .filter(|name| loaders::find(name, root).is_none())
        .collect();
    if !missing.is_empty() {
        let folder = root.join(loaders::FOLDER);
        fs::create_dir_all(&folder).map_err(LabError::io("create", &folder))?;
        for name in &missing {
            write(&folder.join(name), &noise(4, LOADER_BYTES))?;
        }
    }
    Ok(missing)
}

/// The loader that a machine with `firmware` needs and that neither `root` nor a package has.
pub(crate) fn missing_loader(root: &Path, firmware: Firmware) -> Option<&'static str> {
    // A BIOS machine's card has iPXE in its ROM.
    (firmware != Firmware::Bios && loaders::find("snponly.efi", root).is_none()).then_some("snponly.efi")
}

fn place_seeds(root: &Path, image_sha256: &str) -> Result<(), LabError> {
    for role in ROLES {
        let seed = json!({
            "ignition": { "version": "3.3.0" },
            "storage": { "files": [
                { "path": "/etc/faros/role", "mode": 0o644, "contents": { "source": format!("data:,{role}") } },
                { "path": "/etc/faros/image.sha256", "mode": 0o644,
                  "contents": { "source": format!("data:,{image_sha256}") } },
            ] },
        });
        write(&root.join(ignition_file(role)), seed.to_string().as_bytes())?;
    }
    Ok(())
}

fn create_directory(root: &Path) -> Result<(), LabError> {
    let directory = root.join("lab");
    fs::create_dir_all(&directory).map_err(LabError::io("create", &directory))
}

fn write(path: &Path, content: &[u8]) -> Result<(), LabError> {
    fs::write(path, content).map_err(LabError::io("write", path))
}

/// Bytes that do not compress, the same for each `seed` (SplitMix64).
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    });
    words.flatten().take(len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_a_seed_that_names_the_image() {
        let root = tempfile::tempdir().unwrap();
        place_stand_ins(root.path()).unwrap();
        let image = fs::read(root.path().join(IMAGE)).unwrap();
        let sha256 = hex(&Sha256::digest(&image));
        for role in ROLES {
            let seed = fs::read_to_string(root.path().join(ignition_file(role))).unwrap();
            assert!(seed.contains(&sha256), "{role}");
        }
        assert_ne!(noise(1, 64), noise(2, 64));
    }
}
