//! Installation, boot profiles, nodes, guests and hosts.

use std::collections::BTreeMap;

use super::{entries, given, options};
use crate::site::raw::{RawBmc, RawBmcDefaults, RawHost, RawInstall, RawNode, RawProfile, RawSite, RawVm};
use crate::site::value::Bounded;
use crate::site::{Bmc, BmcTls, Cluster, Host, Install, InstallMethod, Mac, Node, Profile, Vm};

const GIB: u64 = 1 << 30;
const VM_VCPUS: u16 = 2;
const VM_MEMORY: u64 = 4 * GIB;
const VM_DISK: u64 = 20 * GIB;

pub(super) fn install(raw: &RawInstall) -> Option<Install> {
    Some(Install {
        version: given(&raw.version)?.0,
        method: given(&raw.method).unwrap_or(InstallMethod::Agent),
        pull_secret: given(&raw.pull_secret),
        ssh_keys: raw
            .ssh_keys
            .iter()
            .flat_map(|keys| keys.value.iter())
            .map(|key| key.value.0.clone())
            .collect(),
    })
}

pub(super) fn profiles(raw: &RawSite) -> Option<BTreeMap<String, Profile>> {
    let Some(profiles) = &raw.profile else { return Some(BTreeMap::new()) };
    profiles.value.0.iter().map(|(name, raw)| Some((name.clone(), profile(name, raw)?))).collect()
}

fn profile(name: &str, raw: &RawProfile) -> Option<Profile> {
    let initrd = raw.initrd.iter().flat_map(|initrd| initrd.value.iter());
    let ignition = raw.ignition.iter().flat_map(|ignition| ignition.value.0.iter());
    Some(Profile {
        name: name.to_owned(),
        kernel: given(&raw.kernel)?.0,
        initrd: initrd.map(|path| path.value.0.clone()).collect(),
        args: given(&raw.args).map(|args| args.0).unwrap_or_default(),
        ignition: ignition.map(|(role, path)| (role.clone(), path.value.0.clone())).collect(),
    })
}

pub(super) fn nodes(raw: &RawSite) -> Option<Vec<Node>> {
    let defaults = raw.bmc_defaults.as_ref().map(|at| &at.value);
    entries(&raw.node, |raw| node(raw, defaults)).into_iter().collect()
}

fn node(raw: &RawNode, defaults: Option<&RawBmcDefaults>) -> Option<Node> {
    Some(Node {
        name: given(&raw.name)?.0,
        role: given(&raw.role)?,
        macs: raw.mac.iter().flat_map(|macs| macs.value.iter()).map(|mac| mac.value).collect(),
        uuid: given(&raw.uuid).map(|uuid| uuid.0),
        address: given(&raw.address),
        address6: given(&raw.address6),
        disk: given(&raw.disk).map(|disk| disk.0),
        storage_disks: entries(&raw.storage_disks, |disk| disk.0.clone()),
        profile: given(&raw.profile).map(|profile| profile.0),
        bmc: match &raw.bmc {
            Some(raw) => Some(bmc(raw, defaults)?),
            None => None,
        },
        tang: given(&raw.tang),
        options: options(&raw.options),
    })
}

fn bmc(raw: &RawBmc, defaults: Option<&RawBmcDefaults>) -> Option<Bmc> {
    let url = given(&raw.url)?;
    Some(Bmc {
        address: given(&raw.address).or_else(|| url.host.parse().ok()),
        url: url.url,
        mac: given(&raw.mac),
        user: given(&raw.user).or_else(|| defaults.and_then(|raw| given(&raw.user))).map(|user| user.0),
        password: given(&raw.password).or_else(|| defaults.and_then(|raw| given(&raw.password))),
        tls: given(&raw.tls)
            .or_else(|| defaults.and_then(|raw| given(&raw.tls)))
            .unwrap_or(BmcTls::TrustOnFirstUse),
    })
}

pub(super) fn vms(raw: &RawSite, cluster: &Cluster) -> Option<Vec<Vm>> {
    entries(&raw.vm, |raw| vm(raw, cluster)).into_iter().collect()
}

fn vm(raw: &RawVm, cluster: &Cluster) -> Option<Vm> {
    let name = given(&raw.node).or_else(|| given(&raw.name))?.0;
    Some(Vm {
        vcpus: given(&raw.vcpus).map_or(Some(VM_VCPUS), Bounded::narrow)?,
        memory: given(&raw.memory).map_or(VM_MEMORY, |memory| memory.0),
        disk: given(&raw.disk).map_or(VM_DISK, |disk| disk.0),
        autostart: given(&raw.autostart).unwrap_or(false),
        mac: given(&raw.mac).unwrap_or_else(|| made_mac(&name, cluster)),
        address: given(&raw.address),
        node: name,
    })
}

/// An address for a guest's card, always the same for the same name in the same zone; `52:54:00` is what
/// virtual cards are known by.
pub(crate) fn made_mac(name: &str, cluster: &Cluster) -> Mac {
    let [_, a, b, c] = crc32c::crc32c(format!("{name}.{}", cluster.zone()).as_bytes()).to_be_bytes();
    Mac([0x52, 0x54, 0x00, a, b, c])
}

pub(super) fn hosts(raw: &RawSite) -> Option<Vec<Host>> {
    entries(&raw.host, host).into_iter().collect()
}

fn host(raw: &RawHost) -> Option<Host> {
    Some(Host {
        name: given(&raw.name)?.0,
        mac: given(&raw.mac),
        address: given(&raw.address)?,
        options: options(&raw.options),
    })
}
