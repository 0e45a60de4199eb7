//! The stages of a light node, from power-on to the second boot.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use faros_common::site::Role;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::firmware::Firmware;
use crate::http;
use crate::image::hex;
use crate::netns::Namespace;

use super::cluster::Services;
use super::message::{Identity, Reply, Speaker};
use super::script::{self, Effects, Outcome};
use super::{Speech, dhcp, tftp};

pub(super) struct Machine {
    /// Not kept alive by the machine: it goes with its [`super::LightNode`], whatever the machine is doing.
    pub(super) namespace: Weak<Namespace>,
    pub(super) identity: Identity,
    pub(super) firmware: Firmware,
    pub(super) stopping: Arc<AtomicBool>,
    pub(super) said: Speech,
}

/// Boots before a machine that is never sent to its disk gives up.
const BOOTS_MAX: u32 = 3;

/// Ignition's own waits: 200 ms, doubled up to 5 s.
const IGNITION_WAIT_FIRST: Duration = Duration::from_millis(200);
const IGNITION_WAIT_MAX: Duration = Duration::from_secs(5);
const IGNITION_ATTEMPTS: u32 = 12;

impl Machine {
    /// From power-on to the second boot, and then as a node of the cluster until it is switched off.
    pub(super) fn run(&mut self, name: &str, role: Role) -> Result<(), String> {
        let mut installed = false;
        for _ in 0..BOOTS_MAX {
            match self.boot_from_network()? {
                Outcome::Boot { arguments } => {
                    self.install(&arguments)?;
                    installed = true;
                }
                Outcome::LocalDisk if !installed => {
                    return Err("sent to its local disk, on which nothing is installed".to_owned());
                }
                Outcome::LocalDisk => {
                    let lease = self.lease(Speaker::System)?;
                    let services = Services::open(name, role)?;
                    self.said.line(&format!("FAROS-NODE disk {}", lease.address));
                    if let Some(services) = services {
                        services.run(&self.stopping);
                    }
                    return Ok(());
                }
            }
        }
        Err(format!("sent into an installation {BOOTS_MAX} times"))
    }

    fn boot_from_network(&mut self) -> Result<Outcome, String> {
        let lease = self.lease(Speaker::Firmware(self.firmware))?;
        let loader = self.fetch_loader(&lease)?;
        self.said.line(&format!("{} bytes of {}", loader, lease.boot_file));

        let mac = self.identity.mac;
        self.said.part(&format!("Configuring (net0 {mac})..."));
        let lease = self.lease(Speaker::Ipxe(self.firmware))?;
        self.said.line(" ok");
        let url = lease.boot_file;
        if !url.starts_with("http://") {
            return Err(format!("iPXE was sent to {url:?} instead of a boot script over HTTP"));
        }
        let text = self.script(&url)?;
        script::run(&text, self)
    }

    /// Returns the loader's size.
    fn fetch_loader(&mut self, lease: &Reply) -> Result<usize, String> {
        let file = &lease.boot_file;
        if file.is_empty() {
            return Err("the DHCP answer names no boot file".to_owned());
        }
        if self.firmware != Firmware::UefiHttp {
            let server = lease
                .option(66)
                .and_then(|name| std::str::from_utf8(name).ok()?.trim_end_matches('\0').parse().ok())
                .unwrap_or(lease.next_server);
            return Ok(tftp::fetch(server, file, self.firmware)?.len());
        }
        if !lease.option(60).is_some_and(|class| class.starts_with(b"HTTPClient")) {
            return Err("the DHCP answer lacks option 60 HTTPClient, so UEFI HTTP boot drops it".to_owned());
        }
        // Firmware asks for the size first, and understands no redirect.
        let agent = [("User-Agent", "UefiHttpBoot/1.0")];
        let head = http::tcp("HEAD", file, &agent).map_err(|error| format!("{file}: {error}"))?;
        let announced = head.header("content-length").and_then(|length| length.parse::<usize>().ok());
        if head.status != 200 {
            return Err(format!("HEAD {file}: status {}", head.status));
        }
        let body = get(file, &agent)?;
        match announced {
            Some(length) if length == body.len() => Ok(length),
            other => Err(format!("HEAD {file} announced {other:?} bytes, GET brought {}", body.len())),
        }
    }

    fn install(&mut self, arguments: &str) -> Result<(), String> {
        let argument = |name: &str| {
            arguments.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        self.said.line("FAROS-NODE kernel light");
        let lease = self.lease(Speaker::System)?;
        let address = lease.address;
        self.said.line(&format!("FAROS-NODE dhcp {address}"));

        let url =
            argument("ignition.config.url").ok_or("the kernel's arguments name no ignition.config.url")?;
        let seed = fetch_ignition(url)?;
        self.said.line(&format!("FAROS-NODE ignition {url}"));
        if let (Some(image), Some(sha256)) =
            (argument("faros.image"), seeded(&seed, "/etc/faros/image.sha256"))
        {
            let body = get(image, &[])?;
            if hex(&Sha256::digest(&body)) != sha256 {
                return Err(format!("{image} differs from the hash in the Ignition file"));
            }
            self.said.line("FAROS-NODE written");
        }
        let report = argument("faros.report").ok_or("the kernel's arguments name no faros.report")?;
        get(report, &[])?;
        self.said.line(&format!("FAROS-NODE installed {address}"));
        Ok(())
    }

    /// A lease as `speaker`, with the address put onto the card.
    fn lease(&mut self, speaker: Speaker) -> Result<Reply, String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err("switched off".to_owned());
        }
        let namespace = self.namespace.upgrade().ok_or("powered off")?;
        let ip = |command: &str| namespace.ip(command).map_err(|error| error.to_string());
        ip("-4 addr flush dev eth0")?;
        let lease = dhcp::lease(speaker, self.identity)?;
        ip(&format!("addr add {}/{} dev eth0", lease.address, lease.prefix_len()))?;
        if let Some(router) = lease.address_option(3) {
            ip(&format!("route replace default via {router}"))?;
        }
        Ok(lease)
    }
}

impl Effects for Machine {
    fn load(&mut self, url: &str) -> Result<(), String> {
        let size = get(url, &[("User-Agent", "iPXE/1.0.0")])?.len();
        self.said.line(&format!("{size} bytes of {url}"));
        Ok(())
    }

    fn script(&mut self, url: &str) -> Result<String, String> {
        let body = get(url, &[("User-Agent", "iPXE/1.0.0")])?;
        String::from_utf8(body).map_err(|_| format!("{url} is not text"))
    }

    fn setting(&self, name: &str) -> Option<String> {
        let uefi = self.firmware != Firmware::Bios;
        let mac = self.identity.mac;
        Some(match name {
            "net0/mac" | "mac" | "netX/mac" => mac.to_string(),
            "net0/mac:hexhyp" | "mac:hexhyp" | "netX/mac:hexhyp" => mac.hyphenated(),
            "platform" => if uefi { "efi" } else { "pcbios" }.to_owned(),
            "buildarch" | "buildarch:uristring" => if uefi { "x86_64" } else { "i386" }.to_owned(),
            _ => return None,
        })
    }

    fn sleep(&mut self, secs: u64) {
        std::thread::sleep(Duration::from_secs(secs));
    }
}

/// As the real Ignition does it: 5xx and broken connections are tried again, anything else is final.
fn fetch_ignition(url: &str) -> Result<Value, String> {
    let headers = [
        ("User-Agent", "Ignition/2.14.0"),
        ("Accept", "application/vnd.coreos.ignition+json;version=3.3.0, */*;q=0.1"),
        ("Accept-Encoding", "identity"),
    ];
    let mut wait = IGNITION_WAIT_FIRST;
    let mut last = String::new();
    for _ in 0..IGNITION_ATTEMPTS {
        match http::tcp("GET", url, &headers).map(|answer| (answer.status, answer.body())) {
            Ok((200, Ok(body))) => return check_ignition(&body).map_err(|why| format!("{url}: {why}")),
            Ok((status, Ok(_))) if status < 500 => return Err(format!("{url}: status {status}")),
            Ok((status, _)) => last = format!("status {status}"),
            Err(error) => last = error.to_string(),
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(IGNITION_WAIT_MAX);
    }
    Err(format!("{url}: {last}, {IGNITION_ATTEMPTS} times"))
}

fn check_ignition(body: &[u8]) -> Result<Value, String> {
    let seed: Value = serde_json::from_slice(body).map_err(|error| format!("not JSON: {error}"))?;
    match seed.pointer("/ignition/version").and_then(Value::as_str) {
        Some(version) if version.starts_with("3.") => Ok(seed),
        other => Err(format!("Ignition version {other:?} is none of 3.x")),
    }
}

/// The text of a file in an Ignition seed, where it is a plain data URL.
fn seeded<'a>(seed: &'a Value, path: &str) -> Option<&'a str> {
    let files = seed.pointer("/storage/files")?.as_array()?;
    let file = files.iter().find(|file| file.get("path").and_then(Value::as_str) == Some(path))?;
    file.pointer("/contents/source")?.as_str()?.strip_prefix("data:,")
}

fn get(url: &str, headers: &[(&str, &str)]) -> Result<Vec<u8>, String> {
    let mut answer = http::tcp("GET", url, headers).map_err(|error| format!("{url}: {error}"))?;
    let mut body = Vec::new();
    answer.read_to_end(&mut body).map_err(|error| format!("{url}: {error}"))?;
    if (200..300).contains(&answer.status) {
        return Ok(body);
    }
    let why = String::from_utf8_lossy(&body[..body.len().min(200)]).trim().to_owned();
    Err(format!("{url}: status {} {why}", answer.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_tells_its_files() {
        let seed = check_ignition(
            br#"{"ignition":{"version":"3.3.0"},"storage":{"files":[
                {"path":"/a","contents":{"source":"data:,x"}},{"path":"/b","contents":{"source":"data:,y"}}]}}"#,
        )
        .unwrap();
        assert_eq!(seeded(&seed, "/b"), Some("y"));
        assert_eq!(seeded(&seed, "/c"), None);
        assert!(check_ignition(br#"{"ignition":{"version":"2.2.0"}}"#).is_err());
    }
}
