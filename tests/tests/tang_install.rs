//! The whole way of an encrypted machine: Ignition makes its disk and binds it, and the next start unlocks it.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::time::Duration;

use faros_tests::site::N1;
use faros_tests::tang::machine::{INIT, Machine, empty_disk, image, install_image};
use faros_tests::tang::{OURS, Tang};
use serde_json::json;

/// From power on to the end of an installation: translated instructions take their time.
const INSTALL_MAX: Duration = Duration::from_secs(300);
/// From power on to the marker.
const BOOT_MAX: Duration = Duration::from_secs(240);

#[test]
fn ignition_makes_the_disk_that_unlocks_itself_at_the_next_start() {
    let (installer, image) = (install_image(), image());
    let mut site = Tang::built("policy = \"known-nodes\"");
    for name in ["dhcpd", "ignition-http", "tangd"] {
        site.lab.start_daemon(name).unwrap();
    }
    let busybox = site.lab.boot_root().join("test/busybox");
    std::fs::copy("/bin/busybox", busybox).expect("busybox is installed (package busybox-static)");
    let tang = json!([{ "url": format!("http://{OURS}"), "thumbprint": site.thumbprint("sign") }]);
    let file =
        |path: &str, source: String| json!({ "path": path, "mode": 0o755, "contents": { "source": source } });
    let directories = ["/bin", "/dev", "/proc", "/run", "/sbin", "/sys"].map(|path| json!({ "path": path }));
    let config = json!({
        "ignition": { "version": "3.2.0" },
        "storage": {
            "luks": [{ "name": "root", "device": "/dev/vda", "wipeVolume": true, "clevis": { "tang": tang } }],
            "filesystems": [{ "device": "/dev/mapper/root", "format": "ext4", "wipeFilesystem": true }],
            "directories": directories,
            "files": [
                file("/bin/busybox", "http://192.168.8.1:8080/test/busybox".to_owned()),
                file("/sbin/init", format!("data:;base64,{}", data_encoding::BASE64.encode(INIT.as_bytes()))),
            ],
        },
    });
    std::fs::write(site.lab.boot_root().join("test/secret.ign"), config.to_string()).unwrap();

    let disk = empty_disk(&site);
    let mut machine = Machine::install(&site, &installer, &disk, N1.0);
    machine.wait(INSTALL_MAX, "it is installed", |machine| machine.said().contains("FAROS-INSTALLED"));
    drop(machine);
    println!("installed");

    let mut machine = Machine::start(&site, &image, &disk, N1.0);
    machine.wait(BOOT_MAX, "it runs from its disk", Machine::is_unlocked);
    let recovered = site.audit().into_iter().filter(|entry| entry["decision"] == "recovered").count();
    assert!(recovered >= 1, "{:?}", site.audit());
}
