//! The disk that a node is installed with: bootable by BIOS and by UEFI.
//!
//! ```text
//! sector 0      boot record: GRUB's boot.img and the partition table
//! sector 1…     GRUB's core image for BIOS, as boot.img expects it
//! sector 2048…  FAT: EFI/BOOT/BOOTX64.EFI (GRUB for UEFI), faros/vmlinuz, faros/initrd
//! ```

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::LabError;
use crate::netns::run;

const SECTOR: usize = 512;
const PARTITION_START: u32 = 2048;
/// 32 MiB: kernel, RAM disk and boot loader fill two thirds of it.
const PARTITION_SECTORS: u32 = 65_536;

/// Where boot.img keeps code: below the disk's signature and the partition table.
const TABLE: usize = 446;
const EFI_SYSTEM: u8 = 0xef;

/// What GRUB does in either firmware.
const GRUB_CONFIG: &str = "search --no-floppy --set=root --file /faros/vmlinuz\n\
    linux /faros/vmlinuz console=ttyS0 quiet faros.boot=disk\n\
    initrd /faros/initrd\n\
    boot\n";

/// GRUB modules that the configuration above uses.
const GRUB_MODULES: [&str; 9] =
    ["part_msdos", "fat", "search", "search_fs_file", "linux", "normal", "boot", "minicmd", "test"];

const BOOT_IMAGE: &str = "/usr/lib/grub/i386-pc/boot.img";

/// Builds the raw image at `path`; `work` is for what lies in between.
pub(super) fn build(kernel: &Path, initrd: &Path, work: &Path, path: &Path) -> Result<(), LabError> {
    let config = work.join("grub.cfg");
    fs::write(&config, GRUB_CONFIG).map_err(LabError::io("write", &config))?;
    let core = work.join("core.img");
    let efi = work.join("bootx64.efi");
    make_grub("i386-pc", &["biosdisk"], &config, &core)?;
    make_grub("x86_64-efi", &[], &config, &efi)?;

    let boot = fs::read(BOOT_IMAGE).map_err(LabError::io("read", Path::new(BOOT_IMAGE)))?;
    let core = fs::read(&core).map_err(LabError::io("read", &core))?;
    let front = front(&boot, &core).ok_or_else(|| {
        LabError::Unplayable("GRUB's images do not fit before the first partition".to_owned())
    })?;
    fs::write(path, front).map_err(LabError::io("write", path))?;
    let total = u64::from(PARTITION_START + PARTITION_SECTORS) * SECTOR as u64;
    let file = fs::File::options().write(true).open(path).map_err(LabError::io("open", path))?;
    file.set_len(total).map_err(LabError::io("enlarge", path))?;

    let partition = format!("{}@@{}", path.display(), PARTITION_START as usize * SECTOR);
    let mtools = |program: &str, arguments: &[&str]| {
        let mut all = vec!["-i", &partition];
        all.extend(arguments);
        run(program, all).map(drop)
    };
    let (sectors, start) = (PARTITION_SECTORS.to_string(), PARTITION_START.to_string());
    mtools("mformat", &["-T", &sectors, "-h", "16", "-s", "63", "-H", &start, "::"])?;
    mtools("mmd", &["::/EFI", "::/EFI/BOOT", "::/faros"])?;
    for (source, target) in [
        (efi.as_path(), "::/EFI/BOOT/BOOTX64.EFI"),
        (kernel, "::/faros/vmlinuz"),
        (initrd, "::/faros/initrd"),
    ] {
        mtools("mcopy", &[&source.display().to_string(), target])?;
    }
    Ok(())
}

fn make_grub(format: &str, more: &[&str], config: &Path, output: &Path) -> Result<(), LabError> {
    let mut command = Command::new("grub-mkimage");
    command.args(["-O", format, "-p", "/faros", "-c"]).arg(config).arg("-o").arg(output);
    let done = command.args(GRUB_MODULES).args(more).output().map_err(LabError::doing("run grub-mkimage"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    Err(LabError::Command { command: format!("grub-mkimage -O {format}"), said })
}

/// Everything before the partition; `None` if it does not fit.
fn front(boot: &[u8], core: &[u8]) -> Option<Vec<u8>> {
    let room = PARTITION_START as usize * SECTOR;
    if boot.len() != SECTOR || SECTOR + core.len() > room {
        return None;
    }
    let mut front = boot.to_vec();
    front[TABLE..].fill(0);
    let entry = &mut front[TABLE..TABLE + 16];
    // Active; the geometry says "look at the sector numbers instead".
    entry[0..4].copy_from_slice(&[0x80, 0xfe, 0xff, 0xff]);
    entry[4..8].copy_from_slice(&[EFI_SYSTEM, 0xfe, 0xff, 0xff]);
    entry[8..12].copy_from_slice(&PARTITION_START.to_le_bytes());
    entry[12..16].copy_from_slice(&PARTITION_SECTORS.to_le_bytes());
    front[510..].copy_from_slice(&[0x55, 0xaa]);
    front.extend(core);
    front.resize(room, 0);
    Some(front)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_kept_and_the_table_names_one_partition() {
        let front = front(&[7; 512], &[9; 1000]).unwrap();
        assert_eq!(front.len(), 1024 * 1024);
        assert_eq!((front[0], front[445], front[512], front[1511], front[1512]), (7, 7, 9, 9, 0));
        assert_eq!(front[450], EFI_SYSTEM);
        assert_eq!(front[454..458], 2048_u32.to_le_bytes());
        assert_eq!(front[462..510], [0; 48]);
        assert_eq!(front[510..512], [0x55, 0xaa]);
    }

    #[test]
    fn a_core_that_does_not_fit_is_refused() {
        assert!(front(&[0; 512], &vec![0; 1024 * 1024]).is_none());
        assert!(front(&[0; 100], &[]).is_none());
    }
}
