//! Black-box tests against software that others wrote.
//!
//! Each file in `tests/` is one theme; each test builds a site of its own in throw-away network namespaces
//! and drives the real daemons with real clients. What a test needs and does not find makes it fail with the
//! name of the Debian package; `cargo xtask test` installs them all.

pub mod dns;
pub mod lb;
pub mod mutate;
pub mod pcap;
pub mod site;
pub mod tang;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use faros_common::clock;
use faros_common::site::Mac;
use faros_lab::{Lab, Namespace};
use sha2::{Digest, Sha256};

/// A site with all daemons running.
pub fn running(site: &str) -> Lab {
    let mut lab = Lab::build_text(site).expect("the lab stands");
    site::furnish(&lab);
    lab.start_daemons().expect("the daemons start");
    lab
}

/// A machine on the LAN without an address.
pub fn machine(lab: &Lab, name: &str, mac: &str) -> Namespace {
    lab.add_node_namespace(name, mac.parse().expect("a MAC")).expect("a namespace")
}

/// A machine on the LAN with a fixed address, as if a client had configured it.
pub fn machine_at(lab: &Lab, name: &str, mac: &str, address: &str) -> Namespace {
    let machine = machine(lab, name, mac);
    machine.ip(&format!("addr add {address} dev eth0")).expect("an address");
    machine
}

/// Runs `program` in `machine` and returns all it said; the test fails if the program cannot be started.
pub fn run(machine: &Namespace, program: &str, arguments: &[&str]) -> Output {
    assert!(found(program), "{program} is not installed; `cargo xtask packages` knows its package");
    machine.output(program, arguments).expect("the program starts")
}

/// Whether `program` is in a directory of `PATH`.
fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    program.starts_with('/') && Path::new(program).exists()
        || std::env::split_paths(&path)
            .chain(["/usr/sbin", "/sbin"].map(Into::into))
            .any(|directory| directory.join(program).exists())
}

/// The program `farosctl` of this build.
pub fn farosctl() -> Command {
    let directory = faros_lab::program("dhcpd").expect("the daemons are built");
    Command::new(directory.with_file_name("farosctl"))
}

/// `farosctl` asking the daemons of `lab`.
pub fn farosctl_of(lab: &Lab) -> Command {
    let mut command = farosctl();
    command.arg("--site").arg(lab.site_file()).arg("--run-dir").arg(lab.run_dir());
    command
}

/// Waits up to ten seconds until `holds`.
pub fn eventually(what: &str, holds: impl FnMut() -> bool) {
    within(Duration::from_secs(10), what, holds);
}

/// Waits up to `limit` until `holds`.
pub fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = clock::now() + limit;
    while !holds() {
        assert!(clock::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `length` bytes that look random and are the same each time.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut random = mutate::Random::new(seed);
    (0..length.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).take(length).collect()
}

/// Resident memory of the daemon `name` in bytes.
pub fn resident(lab: &mut Lab, name: &str) -> u64 {
    let pid = lab.daemon(name).expect("it runs").pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel tells");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
    kib * 1024
}

/// A counter of the daemon `name`, all labels added up; 0 while it has not been counted.
pub fn counter(lab: &Lab, name: &str, metric: &str) -> u64 {
    let text = lab.admin_get(name, "/metrics").expect("metrics");
    let text = text.as_str().expect("metrics are text");
    let value = |line: &str| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok());
    let counts = text
        .lines()
        .filter(|line| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with([' ', '{'])))
        .filter_map(value);
    counts.sum::<f64>() as u64
}

/// The address that `mac` holds by the lease table.
pub fn leased(lab: &Lab, mac: &str) -> Option<String> {
    let mac = mac.parse::<Mac>().expect("a MAC").to_string();
    let answer = lab.admin_get("dhcpd", "/leases").expect("leases");
    let leases = answer["leases"].as_array().expect("a list").clone();
    let mut addresses: Vec<String> = leases
        .iter()
        .filter(|lease| lease["mac"] == mac.as_str() && lease["state"] == "active")
        .map(|lease| lease["address"].as_str().expect("an address").to_owned())
        .collect();
    assert!(addresses.len() <= 1, "{mac} holds {addresses:?}");
    addresses.pop()
}
