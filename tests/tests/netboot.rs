//! Machines that boot from us: real firmware in QEMU, and light nodes.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::process::Command;

use faros_tests::farosctl;
use serde_json::Value;

fn site_file() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/site.toml")
}

fn lab(further: &[&str]) -> Value {
    let mut command: Command = farosctl();
    command.arg("--site").arg(site_file()).args(["-o", "json", "lab"]).args(further);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
    serde_json::from_slice(&output.stdout).expect("a report in JSON")
}

/// Every node went through every stage, with one address all the way.
fn went_through(report: &Value) {
    let nodes = report["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), 3, "{report}");
    for node in nodes {
        for stage in ["dhcp", "loader", "kernel", "ignition", "installed", "disk"] {
            assert!(node["stages"][stage]["secs"].is_number(), "{stage} in {node}");
        }
        assert_eq!(node["addresses"].as_array().map(Vec::len), Some(1), "{node}");
    }
}

#[test]
fn light_nodes_go_all_the_way_from_power_on_to_their_disk() {
    went_through(&lab(&["--light"]));
}

#[test]
fn bios_uefi_pxe_and_uefi_http_machines_install_themselves_and_reboot_into_their_disk() {
    went_through(&lab(&[]));
}
