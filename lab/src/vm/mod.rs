//! Virtual machines with real firmware.

mod console;

use std::path::{Path, PathBuf};
use std::process::Command;

use faros_common::site::Node;

pub use console::{Console, ConsoleLine};

use crate::error::LabError;
use crate::firmware::Firmware;
use crate::lab::Lab;
use crate::process::Process;

/// Memory of a machine in MiB: enough for OVMF, the initial RAM disk and the disk image in transit.
const MEMORY_MIB: u32 = 768;

/// Size of an empty disk in bytes: more than the image that is installed on it.
const DISK_BYTES: u64 = 64 * 1024 * 1024;

/// What a machine's disk holds when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VmDisk {
    /// Nothing.
    Empty,
    /// What was left on the disk of that machine at its last start in this lab.
    Kept,
    /// A copy of this raw image.
    Image(PathBuf),
}

/// A running virtual machine. Dropped, it is switched off.
#[derive(Debug)]
pub struct Vm {
    process: Process,
    console: Console,
    firmware: Firmware,
}

impl Vm {
    pub(crate) fn start(
        lab: &Lab,
        node: &Node,
        firmware: Firmware,
        disk: VmDisk,
        tap: &str,
    ) -> Result<Self, LabError> {
        let directory = lab.dir().join("vm");
        std::fs::create_dir_all(&directory).map_err(LabError::io("create", &directory))?;
        let disk = place_disk(&directory, &node.name, disk)?;
        let mut command = lab.bastion().command("qemu-system-x86_64");
        machine(&mut command, firmware, &directory, node)?;
        network_and_disk(&mut command, firmware, tap, node, &disk);
        let log = lab.log_file(&format!("{}.qemu", node.name));
        let serial = directory.join(format!("{}.serial", node.name));
        command.arg("-serial").arg(format!("file:{}", serial.display()));
        // The reader has to find a file, and only what this machine says.
        std::fs::write(&serial, "").map_err(LabError::io("create", &serial))?;
        let console = Console::follow(serial)?;
        let process = Process::start(&mut command, log)?;
        Ok(Self { process, console, firmware })
    }

    /// What it prints on its serial port.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// The kind of its firmware.
    pub fn firmware(&self) -> Firmware {
        self.firmware
    }

    /// The machine's process: for its end, or to pull its plug.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn machine(command: &mut Command, firmware: Firmware, directory: &Path, node: &Node) -> Result<(), LabError> {
    let uuid = Lab::uuid_of(node);
    command
        .args(["-nodefaults", "-display", "none", "-smp", "1", "-m"])
        .arg(MEMORY_MIB.to_string())
        // Hardware acceleration does not survive nested hosts of many kinds; translation always works.
        .args(["-accel", "tcg", "-cpu", "max", "-uuid", &uuid, "-smbios"])
        .arg(format!("type=1,serial=LAB-{}", node.name));
    if firmware == Firmware::Bios {
        // Without graphics SeaBIOS and the ROM speak on the serial port.
        command.args(["-machine", "pc,graphics=off"]);
        return Ok(());
    }
    let (code, variables) = ovmf()?;
    let own = directory.join(format!("{}.vars", node.name));
    if !own.exists() {
        std::fs::copy(variables, &own).map_err(LabError::io("create", &own))?;
    }
    command
        .args(["-machine", "q35", "-drive"])
        .arg(format!("if=pflash,format=raw,readonly=on,file={code}"))
        .arg("-drive")
        .arg(format!("if=pflash,format=raw,file={}", own.display()))
        .args(["-object", "rng-random,filename=/dev/urandom,id=rng0", "-device", "virtio-rng-pci,rng=rng0"]);
    // The firmware tries every way it has in turn; leaving out what is not meant saves minutes of waiting.
    let mut off = vec!["IPv6Support", "IPv6PXESupport"];
    if firmware == Firmware::UefiHttp {
        off.push("IPv4PXESupport");
    }
    for support in off {
        command.arg("-fw_cfg").arg(format!("name=opt/org.tianocore/{support},string=n"));
    }
    Ok(())
}

fn network_and_disk(command: &mut Command, firmware: Firmware, tap: &str, node: &Node, disk: &Path) {
    let mac = Lab::mac_of(node);
    // Without the option ROM the firmware's own PXE client is what boots.
    let rom = if firmware == Firmware::Bios { "" } else { ",romfile=" };
    command
        .arg("-netdev")
        .arg(format!("tap,id=n0,ifname={tap},script=no,downscript=no"))
        .arg("-device")
        .arg(format!("virtio-net-pci,netdev=n0,mac={mac},bootindex=1{rom}"))
        .arg("-drive")
        .arg(format!("file={},if=none,id=d0,format=raw", disk.display()))
        .args(["-device", "virtio-blk-pci,drive=d0,bootindex=2"]);
}

fn place_disk(directory: &Path, name: &str, disk: VmDisk) -> Result<PathBuf, LabError> {
    let path = directory.join(format!("{name}.disk"));
    let create = || {
        let file = std::fs::File::create(&path)?;
        file.set_len(DISK_BYTES)
    };
    let placed = match disk {
        VmDisk::Kept if path.exists() => Ok(()),
        VmDisk::Empty | VmDisk::Kept => create(),
        VmDisk::Image(image) => std::fs::copy(image, &path).map(|_| ()),
    };
    placed.map_err(LabError::io("create", &path))?;
    Ok(path)
}

/// Firmware code and the template of its variables, as Debian and Fedora name them.
const OVMF: [(&str, &str); 3] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
];

fn ovmf() -> Result<(&'static str, &'static str), LabError> {
    OVMF.into_iter().find(|(code, _)| Path::new(code).exists()).ok_or_else(|| {
        LabError::Missing(
            "there is no UEFI firmware for virtual machines; install the package ovmf, or use light nodes (--light)"
                .to_owned(),
        )
    })
}

/// What virtual machines need and this machine lacks; empty if they can run.
pub(crate) fn obstacles() -> Vec<&'static str> {
    let in_path = |program: &str| {
        std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|place| place.join(program).is_file()))
    };
    let mut obstacles = Vec::new();
    if !in_path("qemu-system-x86_64") {
        obstacles.push("QEMU is not installed (package qemu-system-x86)");
    }
    if ovmf().is_err() {
        obstacles.push("UEFI firmware is not installed (package ovmf)");
    }
    if !Path::new("/dev/net/tun").exists() {
        obstacles.push("there is no /dev/net/tun");
    }
    obstacles
}
