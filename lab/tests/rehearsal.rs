//! Light rehearsals with the real daemons, which have to be built (`cargo build --workspace --bins`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use faros_lab::{Firmware, Lab, LabOptions, LightNode, Stage, run};

fn site_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("site.toml")
}

fn quiet_and_light(site: PathBuf) -> LabOptions {
    LabOptions { light: true, quiet: true, ..LabOptions::new(site) }
}

const SOON: Duration = Duration::from_secs(30);

#[test]
fn every_kind_of_firmware_gets_through_with_one_address() {
    let report = run(&quiet_and_light(site_file())).unwrap();
    assert!(report.ok, "{}", report.table());
    let kinds: Vec<_> = report.nodes.iter().map(|node| node.firmware).collect();
    assert_eq!(kinds, Firmware::ALL);
    for node in &report.nodes {
        assert_eq!(node.next_stage(), None, "{}", node.node);
        let is_control_plane = node.node == "bios";
        assert_eq!(node.stages.contains_key(&Stage::Api), is_control_plane, "{}", node.node);
        let addresses: Vec<_> = node.stages.values().filter_map(|reached| reached.address).collect();
        assert!(addresses.iter().all(|address| node.addresses.contains(address)), "{}", node.node);
        assert_eq!(node.ipxe_configuring_secs.len(), 2, "{}: once for each boot", node.node);
    }
}

#[test]
fn an_installed_node_goes_to_its_disk_until_it_is_armed_again() {
    let mut lab = Lab::build(&site_file()).unwrap();
    lab.furnish(true, &mut |_| ()).unwrap();
    lab.start_daemons().unwrap();
    let node = lab.site().nodes[0].clone();
    let boot = |lab: &Lab| LightNode::start(lab, &node, Firmware::Bios).unwrap();

    boot(&lab).console().wait_for("FAROS-NODE disk 192.168.8.11", SOON).unwrap();
    let words = boot(&lab).console().wait_for("FAROS-NODE", SOON).unwrap();
    assert!(words.text.contains("sent to its local disk"), "{words:?}");

    lab.admin_post("ignition-http", &format!("/nodes/{}/install", node.name)).unwrap();
    boot(&lab).console().wait_for("FAROS-NODE installed 192.168.8.11", SOON).unwrap();
}

#[test]
fn a_node_that_gets_no_address_is_told_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let site = directory.path().join("site.toml");
    let text = std::fs::read_to_string(site_file()).unwrap();
    let without_pool: String =
        text.lines().filter(|line| !line.starts_with("pool")).flat_map(|l| [l, "\n"]).collect();
    std::fs::write(&site, without_pool).unwrap();
    let options = LabOptions {
        nodes: vec!["uefi-http".to_owned()],
        stall: Some(Duration::from_secs(3)),
        ..quiet_and_light(site)
    };
    let report = run(&options).unwrap();
    assert!(!report.ok);
    let stall = report.nodes[0].stall.as_ref().unwrap();
    assert_eq!(stall.stage, Stage::Dhcp);
    assert!(stall.why.contains("dhcp_unanswered"), "{}", stall.why);
}

#[test]
fn an_unknown_node_is_refused_before_anything_starts() {
    let options = LabOptions { nodes: vec!["nobody".to_owned()], ..quiet_and_light(site_file()) };
    let error = run(&options).unwrap_err().to_string();
    assert!(error.contains("nobody") && error.contains("uefi-pxe"), "{error}");
}
