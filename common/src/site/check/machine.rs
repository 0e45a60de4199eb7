//! Nodes, their disks and controllers, and the installation.

use std::collections::{BTreeMap, BTreeSet};

use super::each;
use crate::site::DhcpOption;
use crate::site::raw::{RawNode, RawSite};
use crate::site::read::{At, Findings, List, Spot, quoted};

/// The algorithms of `authorized_keys` entries.
const KEY_TYPES: [&str; 4] = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"];

pub(super) fn check(raw: &RawSite, found: &mut Findings) {
    for node in each(&raw.node) {
        identity(raw, node, found);
        disks(node, found);
        controller(raw, node, found);
        options(&node.options, found);
    }
    for host in each(&raw.host) {
        options(&host.options, found);
    }
    if let Some(dhcp) = &raw.dhcp {
        options(&dhcp.options, found);
    }
    root_disks(raw, found);
    install(raw, found);
}

/// Whether DHCP and the boot server can tell the node.
fn identity(raw: &RawSite, node: &At<RawNode>, found: &mut Findings) {
    let Some(name) = &node.name else { return };
    if let Some(macs) = node.mac.as_ref().filter(|macs| macs.value.is_empty()) {
        // A list whose entries were all refused is empty too.
        if !found.mentions(&macs.spot.key) {
            found
                .error(&macs.spot, "the list of cards is empty")
                .help("name at least one, or leave the key out");
        }
        return;
    }
    let guest = each(&raw.vm).any(|vm| vm.node.as_ref().is_some_and(|own| own.value.0 == name.value.0));
    let spot = node.spot.missing("mac");
    let refused = found.mentions(&spot.key) || found.mentions(&node.spot.path_of("uuid"));
    if node.mac.is_some() || node.uuid.is_some() || guest || refused {
        return;
    }
    if node.profile.is_some() {
        found
            .missing(&spot, format!("node {} has a profile to boot but no mac to be known by", name.value.0))
            .help("add mac = \"52:54:00:…\", the address of the card that boots");
    } else {
        found
            .warning(&spot, format!("node {} has neither mac nor uuid, so DHCP cannot know it", name.value.0))
            .help("add mac = …, or give the machine its address by hand");
    }
}

fn disks(node: &At<RawNode>, found: &mut Findings) {
    let root = node.disk.as_ref().map(|disk| disk.value.0.as_str());
    let mut seen = BTreeSet::new();
    for disk in each(&node.storage_disks) {
        let text = disk.value.0.as_str();
        if Some(text) == root {
            found
                .error(&disk.spot, format!("{text} is the disk that the system is installed on"))
                .help("storage takes whole disks: name others");
        } else if !seen.insert(text) {
            found.error(&disk.spot, format!("{text} is in the list already")).help("name it once");
        }
    }
    let named = node.disk.iter().map(|disk| (&disk.value.0, &disk.spot));
    for (text, spot) in named.chain(each(&node.storage_disks).map(|disk| (&disk.value.0, &disk.spot))) {
        if !text.starts_with("/dev/")
            || text.contains([' ', '"', '\''])
            || text.split('/').any(|part| part == "..")
        {
            found
                .error(spot, format!("{} names no disk", quoted(text)))
                .help("as in /dev/nvme0n1, or safer /dev/disk/by-id/…");
        }
    }
}

/// One disk given as the root of two machines: names by identity belong to one disk in the world.
fn root_disks(raw: &RawSite, found: &mut Findings) {
    let mut seen: BTreeMap<&str, &Spot> = BTreeMap::new();
    let disks = each(&raw.node).flat_map(|node| {
        node.disk
            .iter()
            .map(|disk| (disk.value.0.as_str(), &disk.spot))
            .chain(each(&node.storage_disks).map(|disk| (disk.value.0.as_str(), &disk.spot)))
    });
    let unique =
        |disk: &str| disk.contains("/by-id/") || disk.contains("/by-uuid/") || disk.contains("/by-partuuid/");
    for (disk, spot) in disks.filter(|(disk, _)| unique(disk)) {
        let of = |spot: &Spot| spot.key.split('.').next().map(ToOwned::to_owned);
        match seen.get(disk) {
            Some(other) if of(other) != of(spot) => {
                found
                    .error(spot, format!("{disk} is in another node already ({})", other.key))
                    .help("that name belongs to one disk in the world");
            }
            Some(_) => {}
            None => {
                seen.insert(disk, spot);
            }
        }
    }
}

fn controller(raw: &RawSite, node: &At<RawNode>, found: &mut Findings) {
    let Some(bmc) = &node.bmc else { return };
    let defaults = raw.bmc_defaults.as_ref();
    let user = bmc.user.is_some() || defaults.is_some_and(|defaults| defaults.user.is_some());
    let password = bmc.password.is_some() || defaults.is_some_and(|defaults| defaults.password.is_some());
    let refused = found.mentions(&bmc.spot.key) || found.mentions("bmc-defaults");
    let complete = user && password;
    if !refused && !complete {
        let lacking = if user { "password" } else { "user" };
        found
            .warning(&bmc.spot, format!("the BMC has no {lacking}, so it can hardly be asked"))
            .help(format!("set {lacking} here or in [bmc-defaults]"));
    }
}

/// One option stands once in a list.
fn options(list: &Option<At<List<DhcpOption>>>, found: &mut Findings) {
    let mut seen = BTreeSet::new();
    for option in each(list) {
        if !seen.insert(option.value.code) {
            found
                .error(&option.spot, format!("option {} is in the list already", option.value.code))
                .help("several addresses go into one option: ips = [ … ]");
        }
    }
}

fn install(raw: &RawSite, found: &mut Findings) {
    let Some(install) = &raw.install else { return };
    for key in install.ssh_keys.iter().flat_map(|keys| keys.value.iter()) {
        let text = key.value.0.as_str();
        if text.contains("PRIVATE KEY") {
            // Not repeated: reports end up in logs.
            found
                .error(&key.spot, "a private key stands in the site file")
                .help("give the public half, the .pub file");
            continue;
        }
        let mut words = text.split_whitespace();
        let kind = words.next().unwrap_or_default();
        let body = words.next().unwrap_or_default();
        let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        if !KEY_TYPES.iter().any(|known| kind.starts_with(known))
            || body.len() < 16
            || !body.bytes().all(base64)
        {
            found
                .error(&key.spot, format!("{} is no public SSH key", quoted(text)))
                .help("as in a .pub file: ssh-ed25519 AAAA… comment");
        }
    }
    if let Some(version) = &install.version {
        let text = version.value.0.as_str();
        let numbers = text.split(['.', '-']).next().is_some_and(|first| first.parse::<u32>().is_ok());
        if !numbers || !text.contains('.') {
            found
                .error(&version.spot, format!("{} is no release", quoted(text)))
                .help("as in \"4.20\" or \"4.20.3\"");
        }
    }
}
