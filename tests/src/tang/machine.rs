//! A virtual machine whose disk is encrypted and bound to Tang, and that starts from it with nothing typed.
//!
//! Kernel and initial RAM disk are Debian's, with the real clevis in it; they are made once and kept
//! (`target/lab-image/unlock-…`, `install-…`). The disk is made by each test, bound by the real `clevis luks bind`. What is on it is
//! encrypted by us, sector by sector, because many a machine that runs tests may not map devices.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use faros_common::clock;
use faros_common::site::Mac;
use faros_lab::Process;
use openssl::symm::{Cipher, encrypt};
use rustix::fs::{FlockOperation, flock};

use super::{OURS, Tang};

/// What a machine says that has unlocked its disk and runs from it.
pub const MARKER: &str = "FAROS-UNLOCKED";

const RECIPE: &str = include_str!("image.sh");
const INSTALL_RECIPE: &str = include_str!("install.sh");
/// Where Debian's package `ignition` puts the engine.
const ENGINE: &str = "/usr/lib/dracut/modules.d/30ignition/ignition";
/// Where the encrypted data begins on the disk (cryptsetup's usual place), in bytes.
const DATA_OFFSET: u64 = 16 << 20;
/// How large the system on the disk is, in bytes.
const SYSTEM_BYTES: u64 = 8 << 20;
/// The size of an encrypted sector, in bytes.
const SECTOR_BYTES: usize = 4096;
/// Sectors are counted in units of so many bytes.
const COUNTED_BYTES: u64 = 512;

/// The first program of the machine: says who it is and where its root came from, and switches off.
pub const INIT: &str = "#!/bin/busybox sh\n\
    /bin/busybox mount -t proc proc /proc\n\
    /bin/busybox echo \"FAROS-UNLOCKED $(/bin/busybox grep ' / ' /proc/mounts)\" >/dev/console\n\
    /bin/busybox poweroff -f\n";

/// Kernel and initial RAM disk.
#[derive(Clone, Debug)]
pub struct Image {
    kernel: PathBuf,
    initrd: PathBuf,
}

/// The image of a machine that unlocks its disk, of today's packages: kept from before, or made now.
pub fn image() -> Image {
    cached("unlock", RECIPE)
}

/// The image of a machine that installs itself as its Ignition file says, with the engine of this host.
pub fn install_image() -> Image {
    assert!(Path::new(ENGINE).exists(), "{ENGINE} is missing; its Debian package is ignition");
    cached("install", INSTALL_RECIPE)
}

fn cached(name: &str, script: &str) -> Image {
    let cache = cache();
    fs::create_dir_all(&cache).expect("the cache is ours");
    let lock = File::create(cache.join(format!("{name}-lock"))).expect("the cache is ours");
    // Whoever comes second finds it finished.
    flock(&lock, FlockOperation::LockExclusive).expect("a lock");
    let work = cache.join(format!("{name}-work"));
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).expect("the cache is ours");
    let listed = recipe(script, &work, Path::new("/nowhere"), true);
    let key = crate::sha256(&[script.as_bytes(), &listed.stdout].concat());
    let finished = cache.join(format!("{name}-{}", &key[..16]));
    if !finished.exists() {
        let start = clock::now();
        let result = work.join("result");
        recipe(script, &work, &result, false);
        fs::rename(&result, &finished).expect("the same file system");
        println!("the machine's image was made in {:?}", start.elapsed());
    }
    let _ = fs::remove_dir_all(&work);
    Image { kernel: finished.join("vmlinuz"), initrd: finished.join("initrd") }
}

fn recipe(script: &str, work: &Path, result: &Path, list: bool) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", script, "image"]).arg(work).arg(result).arg(ENGINE);
    if list {
        command.env("FAROS_IMAGE_LIST", "1");
    }
    succeed(&mut command)
}

/// Beside the lab's own image.
fn cache() -> PathBuf {
    std::env::var_os("FAROS_LAB_CACHE").map_or_else(
        || {
            let own = std::env::current_exe().expect("a test is a program");
            let target = own.ancestors().find(|place| place.join("CACHEDIR.TAG").exists());
            target.expect("a test lies in the target directory").join("lab-image")
        },
        PathBuf::from,
    )
}

/// An encrypted disk with a system on it, bound to the keys that `site` advertises now.
pub fn bound_disk(site: &Tang) -> PathBuf {
    let directory = site.lab.dir().join("machine");
    let tree = directory.join("tree");
    for name in ["bin", "dev", "proc", "sbin", "sys", "run"] {
        fs::create_dir_all(tree.join(name)).expect("the lab's directory is ours");
    }
    fs::copy("/bin/busybox", tree.join("bin/busybox"))
        .expect("busybox is installed (package busybox-static)");
    fs::write(tree.join("sbin/init"), INIT).expect("the lab's directory is ours");
    fs::set_permissions(tree.join("sbin/init"), fs::Permissions::from_mode(0o755)).expect("ours");
    let (plain, disk) = (directory.join("plain"), directory.join("disk"));
    sized(&plain, SYSTEM_BYTES);
    succeed(
        Command::new("/usr/sbin/mkfs.ext4").args(["-q", "-F", "-b", "4096", "-d"]).arg(&tree).arg(&plain),
    );

    let (passphrase, volume_key) = (directory.join("passphrase"), directory.join("volume-key"));
    fs::write(&passphrase, "typed by nobody").expect("ours");
    let mut key = vec![0; 64];
    openssl::rand::rand_bytes(&mut key).expect("randomness");
    fs::write(&volume_key, &key).expect("ours");
    sized(&disk, DATA_OFFSET + SYSTEM_BYTES);
    let mut format = Command::new("/usr/sbin/cryptsetup");
    format.args([
        "luksFormat",
        "-q",
        "--type",
        "luks2",
        "--pbkdf",
        "pbkdf2",
        "--pbkdf-force-iterations",
        "1000",
    ]);
    format.args(["--cipher", "aes-xts-plain64", "--key-size", "512", "--sector-size", "4096"]);
    succeed(format.arg("--volume-key-file").arg(&volume_key).arg(&disk).arg(&passphrase));
    fill(&disk, &fs::read(&plain).expect("ours"), &key);

    let thumbprint = site.thumbprint("sign");
    let configuration = format!(r#"{{"url":"http://{OURS}","thp":"{thumbprint}"}}"#);
    let mut bind = site.client.command("clevis");
    bind.args(["luks", "bind", "-y", "-k"])
        .arg(&passphrase)
        .arg("-d")
        .arg(&disk)
        .args(["tang", &configuration]);
    let path = std::env::var("PATH").unwrap_or_default();
    succeed(bind.env("PATH", format!("{path}:/usr/sbin:/sbin")));
    disk
}

/// A disk with nothing on it.
pub fn empty_disk(site: &Tang) -> PathBuf {
    let disk = site.lab.dir().join("empty-disk");
    sized(&disk, DATA_OFFSET + (64 << 20));
    disk
}

/// Writes `content` where the kernel's dm-crypt (aes-xts-plain64) will find it.
fn fill(disk: &Path, content: &[u8], key: &[u8]) {
    let file = File::options().write(true).open(disk).expect("ours");
    for (sector, plain) in (0_u64..).zip(content.chunks(SECTOR_BYTES)) {
        let mut tweak = [0; 16];
        tweak[..8].copy_from_slice(&(sector * SECTOR_BYTES as u64 / COUNTED_BYTES).to_le_bytes());
        let sealed = encrypt(Cipher::aes_256_xts(), key, Some(&tweak), plain).expect("a whole sector");
        file.write_all_at(&sealed, DATA_OFFSET + sector * SECTOR_BYTES as u64).expect("there is room");
    }
}

/// A running machine. Dropped, it is switched off.
#[derive(Debug)]
pub struct Machine {
    process: Process,
    console: PathBuf,
}

impl Machine {
    /// Starts a machine with this card from `disk`, which stays as it is.
    pub fn start(site: &Tang, image: &Image, disk: &Path, mac: &str) -> Self {
        // `ip=dhcp` is misread by clevis 19; without an interface's name there is nothing to misread.
        let line = "ip=:::::eth0:dhcp root=/dev/mapper/cryptroot rw \
                    cryptopts=target=cryptroot,source=/dev/vda,luks,initramfs";
        Self::run(site, image, line, &format!("{},snapshot=on", disk.display()), mac, 512)
    }

    /// Starts a machine that installs itself on `disk` as its Ignition file says, and switches off.
    pub fn install(site: &Tang, installer: &Image, disk: &Path, mac: &str) -> Self {
        let line = "rd.systemd.unit=install.target ignition.firstboot ignition.platform.id=metal \
                    ignition.config.url=http://192.168.8.1:8080/ignition/n1";
        Self::run(site, installer, line, &disk.display().to_string(), mac, 1024)
    }

    fn run(site: &Tang, image: &Image, line: &str, disk: &str, mac: &str, mebibytes: u32) -> Self {
        let lab = &site.lab;
        let mac: Mac = mac.parse().expect("a MAC");
        let bastion = lab.bastion();
        // One machine after the other.
        let _ = bastion.ip("link del unlock0");
        bastion.ip("tuntap add dev unlock0 mode tap").expect("a tap device");
        bastion.ip(&format!("link set unlock0 master {} up", lab.site().lan.interface)).expect("a port");
        let console = lab.log_file("unlock.console");
        let mut command = bastion.command("qemu-system-x86_64");
        // Hardware acceleration does not survive nested hosts of many kinds; translation always works.
        command.args([
            "-nodefaults",
            "-accel",
            "tcg",
            "-cpu",
            "max",
            "-m",
            &mebibytes.to_string(),
            "-smp",
            "1",
            "-display",
            "none",
        ]);
        command.arg("-no-reboot").arg("-serial").arg(format!("file:{}", console.display()));
        command.arg("-kernel").arg(&image.kernel).arg("-initrd").arg(&image.initrd);
        command.args(["-append", &format!("console=ttyS0 quiet net.ifnames=0 {line}")]);
        command.arg("-drive").arg(format!("file={disk},format=raw,if=virtio"));
        command.args(["-netdev", "tap,id=n0,ifname=unlock0,script=no,downscript=no", "-device"]);
        command.arg(format!("virtio-net-pci,netdev=n0,mac={mac},romfile="));
        command.args([
            "-object",
            "rng-random,filename=/dev/urandom,id=rng0",
            "-device",
            "virtio-rng-pci,rng=rng0",
        ]);
        let process = Process::start(&mut command, lab.log_file("unlock.qemu")).expect("QEMU starts");
        Self { process, console }
    }

    /// All it has said.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    /// Whether it runs from its disk, or has.
    pub fn is_unlocked(&self) -> bool {
        self.said().contains(MARKER)
    }

    /// Waits until `holds`; the test fails with what the machine said if it ends or takes longer.
    pub fn wait(&mut self, limit: Duration, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = clock::now() + limit;
        while !holds(self) {
            let ended = self.process.ended();
            let over = clock::now() > deadline || ended.is_some() && !holds(self);
            assert!(
                !over,
                "{what}: not within {limit:?} ({ended:?}):\n{}\n{}",
                self.said(),
                self.process.log_tail(5)
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn sized(path: &Path, bytes: u64) {
    let file = File::create(path).expect("the lab's directory is ours");
    file.set_len(bytes).expect("there is room");
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}
