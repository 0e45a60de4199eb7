//! `farosctl tang butane`: the part of a Butane file that encrypts disks and binds them to this site's Tang.
//!
//! Butane makes a MachineConfig (variant `openshift`) or an Ignition file (`fcos`) of it. By its specification a disk is
//! unlocked once `threshold` of the pieces, servers and TPM alike, have given their share: with a TPM only the sum of all
//! means that both are needed.

use std::collections::BTreeMap;

use faros_common::site::{ClusterKind, Role, Site};
use serde::Serialize;

use super::arguments::{ButaneArguments, Pool, Variant};
use super::keys::Listing;
use crate::exit::{Exit, Failure};
use crate::node::name_of;
use crate::output::{Human, Paint, harmless, yaml};
use crate::session::Session;

/// The role of a MachineConfig stands here.
const ROLE_LABEL: &str = "machineconfiguration.openshift.io/role";
/// The first specification of the variant `openshift`, and the latest that is stable where this was written.
const OPENSHIFT_MINORS: std::ops::RangeInclusive<u32> = 8..=21;
/// The specification for a site file that names no version.
const OPENSHIFT_MINOR_USUAL: u32 = 20;
/// A specification of the variant `fcos` that has all we use, and that every Butane of the last years reads.
const FCOS_VERSION: &str = "1.5.0";

pub(super) async fn run(session: &mut Session, arguments: &ButaneArguments) -> Result<Exit, Failure> {
    let site = session.site()?;
    let mut servers = Vec::new();
    if site.tang.enable {
        let listing = Listing::ask(session, arguments.keys.as_deref()).await?;
        let key = listing.keys.iter().find(|key| key.advertised && key.signs());
        let key = key.ok_or_else(|| {
            Failure::failed("there is no signing key to trust; see: farosctl tang show-keys")
        })?;
        servers.push(Server { url: site.tang_url(), thumbprint: key.thumbprint.clone() });
    }
    for text in &arguments.tang {
        servers.push(Server::parse(text)?);
    }
    let butane = Butane::of(&site, arguments, servers)?;
    if arguments.tpm && butane.threshold == 1 {
        session.note("with this threshold the TPM alone unlocks the disk, also in a stolen machine");
    }
    session.show(&butane)?;
    Ok(Exit::Done)
}

/// A Tang server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Server {
    url: String,
    thumbprint: String,
}

impl Server {
    fn parse(text: &str) -> Result<Self, Failure> {
        let (url, thumbprint) = text.split_once('#').unwrap_or((text, ""));
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_url =
            url.strip_prefix("http://").or(url.strip_prefix("https://")).is_some_and(|rest| !rest.is_empty());
        if !is_url || !matches!(thumbprint.len(), 27 | 43) || !thumbprint.bytes().all(letters) {
            return Err(Failure::usage(format!(
                "{} is no Tang server; write http://HOST:PORT#THUMBPRINT, with the thumbprint of a signing key as its \
                 tang-show-keys prints it",
                harmless(text)
            )));
        }
        Ok(Self { url: url.trim_end_matches('/').to_owned(), thumbprint: thumbprint.to_owned() })
    }
}

/// The file.
#[derive(Debug, Serialize)]
struct Butane {
    variant: &'static str,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_device: Option<BootDevice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<Storage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    openshift: Option<Openshift>,
    #[serde(skip)]
    threshold: usize,
}

#[derive(Debug, Serialize)]
struct Metadata {
    name: String,
    labels: BTreeMap<&'static str, &'static str>,
}

#[derive(Debug, Serialize)]
struct BootDevice {
    layout: &'static str,
    luks: Clevis,
}

#[derive(Debug, Serialize)]
struct Storage {
    luks: Vec<Volume>,
}

#[derive(Debug, Serialize)]
struct Volume {
    name: String,
    device: String,
    label: String,
    clevis: Clevis,
}

/// What unlocks a disk.
#[derive(Clone, Debug, Serialize)]
struct Clevis {
    tang: Vec<Server>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tpm2: bool,
    threshold: usize,
}

#[derive(Debug, Serialize)]
struct Openshift {
    fips: bool,
}

impl Butane {
    fn of(site: &Site, arguments: &ButaneArguments, servers: Vec<Server>) -> Result<Self, Failure> {
        let variant = arguments.variant.unwrap_or(match site.cluster.kind {
            ClusterKind::Openshift => Variant::Openshift,
            ClusterKind::Kubernetes | ClusterKind::None => Variant::Fcos,
        });
        if arguments.fips && variant != Variant::Openshift {
            return Err(Failure::usage("--fips goes with the variant openshift only"));
        }
        let threshold = threshold(&servers, arguments)?;
        let clevis = Clevis { tang: servers, tpm2: arguments.tpm, threshold };
        let volumes =
            arguments.device.iter().map(|device| volume(device, &clevis)).collect::<Result<Vec<_>, _>>()?;
        let boots = volumes.is_empty();
        let (version, metadata) = match variant {
            Variant::Openshift => {
                let role = machine_config_role(pool(site, arguments)?);
                let what = if boots { "root" } else { "data" };
                let labels = BTreeMap::from([(ROLE_LABEL, role)]);
                let metadata = Metadata { name: format!("99-{role}-luks-{what}"), labels };
                (openshift_version(site)?, Some(metadata))
            }
            Variant::Fcos => (FCOS_VERSION.to_owned(), None),
        };
        Ok(Self {
            variant: if variant == Variant::Openshift { "openshift" } else { "fcos" },
            version,
            metadata,
            boot_device: boots.then(|| BootDevice { layout: arguments.layout.name(), luks: clevis }),
            storage: (!boots).then_some(Storage { luks: volumes }),
            openshift: arguments.fips.then_some(Openshift { fips: true }),
            threshold,
        })
    }
}

/// How many pieces it takes.
fn threshold(servers: &[Server], arguments: &ButaneArguments) -> Result<usize, Failure> {
    if servers.is_empty() {
        return Err(Failure::failed(
            "tang does not run here, and no other server is named; add --tang URL#THUMBPRINT",
        ));
    }
    let mut urls: Vec<&str> = servers.iter().map(|server| server.url.as_str()).collect();
    urls.sort_unstable();
    if let Some(twice) = urls.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Failure::usage(format!("{} is named twice; a server counts once", harmless(twice[0]))));
    }
    let pieces = servers.len() + usize::from(arguments.tpm);
    let usual = if arguments.tpm { pieces } else { 1 };
    let threshold = arguments.threshold.unwrap_or(usual);
    if threshold == 0 || threshold > pieces {
        return Err(Failure::usage(format!("there are {pieces} pieces; a threshold is from 1 to {pieces}")));
    }
    Ok(threshold)
}

fn volume(device: &str, clevis: &Clevis) -> Result<Volume, Failure> {
    let last = device.rsplit('/').next().unwrap_or_default();
    if !device.starts_with("/dev/") || last.is_empty() || device.chars().any(|c| c.is_control() || c == ' ') {
        return Err(Failure::usage(format!(
            "{} is no device; write it as nodes see it, best as /dev/disk/by-id/…",
            harmless(device)
        )));
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let name = format!("luks-{}", last.chars().map(plain).collect::<String>());
    // LUKS2 has room for 47 characters.
    let label = name.chars().take(47).collect();
    Ok(Volume { label, name, device: device.to_owned(), clevis: clevis.clone() })
}

/// For whom a MachineConfig is.
fn pool(site: &Site, arguments: &ButaneArguments) -> Result<Pool, Failure> {
    let of = |role: Role| match role {
        Role::ControlPlane => Some(Pool::ControlPlane),
        Role::Worker => Some(Pool::Worker),
        Role::Bootstrap | Role::Other => None,
    };
    if let Some(argument) = &arguments.node {
        let name = name_of(Some(site), argument)?;
        let role = site.node_by_name(&name).map(|node| node.role);
        return role.and_then(of).ok_or_else(|| {
            Failure::failed(format!(
                "{name} has no role that a MachineConfig is for; control-plane and worker have"
            ))
        });
    }
    if let Some(pool) = arguments.role {
        return Ok(pool);
    }
    let mut pools: Vec<Pool> = site.nodes.iter().filter_map(|node| of(node.role)).collect();
    pools.dedup();
    match pools[..] {
        [only] => Ok(only),
        _ => {
            Err(Failure::usage("a MachineConfig is for one role; add --role control-plane or --role worker"))
        }
    }
}

fn machine_config_role(pool: Pool) -> &'static str {
    match pool {
        Pool::ControlPlane => "master",
        Pool::Worker => "worker",
    }
}

/// The specification that fits the release of `[install]`.
fn openshift_version(site: &Site) -> Result<String, Failure> {
    let Some(install) = &site.install else { return Ok(format!("4.{OPENSHIFT_MINOR_USUAL}.0")) };
    let mut parts = install.version.split(['.', '-']);
    let minor = parts
        .next()
        .filter(|major| *major == "4")
        .and(parts.next())
        .and_then(|minor| minor.parse::<u32>().ok());
    match minor {
        Some(minor) if minor >= *OPENSHIFT_MINORS.start() => {
            Ok(format!("4.{}.0", minor.min(*OPENSHIFT_MINORS.end())))
        }
        _ => Err(Failure::failed(format!(
            "Butane has no specification for OpenShift {}; from 4.8 on it does (install.version)",
            harmless(&install.version)
        ))),
    }
}

impl Human for Butane {
    fn human(&self, _: Paint) -> String {
        let made = match self.metadata {
            Some(_) => "a MachineConfig",
            None => "an Ignition file; merge it into the nodes' own",
        };
        format!(
            "# Made by farosctl tang butane. `butane FILE` makes {made}.\n\
             # Nodes that have their address by DHCP need no more. One with a static address needs it in its initramfs\n\
             # as well: coreos-installer install --append-karg ip=…\n{}",
            yaml(self)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::arguments::Layout;
    use super::*;

    const THUMBPRINT: &str = "9pEqcrwJ3Qqh-cMZeNTOqQYDSTFuBN3Wy2nk0OIwzJk";

    fn site(more: &str) -> Site {
        let text = format!(
            "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"openshift\"\n\
             [lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\n{more}"
        );
        faros_common::site::parse(&text, Path::new("site.toml"))
            .unwrap_or_else(|report| panic!("{report}"))
            .site
    }

    const CP1: &str = "[[node]]\nname = \"cp1\"\nrole = \"control-plane\"\nmac = \"52:54:00:00:08:11\"\naddress = \"192.168.8.11\"\n";
    const W1: &str = "[[node]]\nname = \"w1\"\nrole = \"worker\"\nmac = \"52:54:00:00:08:21\"\naddress = \"192.168.8.21\"\n";

    fn arguments() -> ButaneArguments {
        ButaneArguments {
            node: None,
            role: None,
            variant: None,
            tpm: false,
            tang: Vec::new(),
            threshold: None,
            device: Vec::new(),
            layout: Layout::X86_64,
            fips: false,
            keys: None,
        }
    }

    fn servers(count: usize) -> Vec<Server> {
        (1..=count)
            .map(|n| Server { url: format!("http://192.168.8.{n}:7500"), thumbprint: THUMBPRINT.into() })
            .collect()
    }

    #[test]
    fn the_block_is_what_butane_reads() {
        let arguments = ButaneArguments { tpm: true, fips: true, ..arguments() };
        let site = site(&format!("[install]\nversion = \"4.18\"\n{CP1}"));
        let butane = Butane::of(&site, &arguments, servers(1)).unwrap();
        let text = butane.human(Paint::default());
        let body: String =
            text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        assert_eq!(
            body,
            format!(
                "variant: openshift\nversion: \"4.18.0\"\nmetadata:\n  name: \"99-master-luks-root\"\n  labels:\n    \
                 machineconfiguration.openshift.io/role: master\nboot_device:\n  layout: x86_64\n  luks:\n    tang:\n      \
                 - url: \"http://192.168.8.1:7500\"\n        thumbprint: \"{THUMBPRINT}\"\n    tpm2: true\n    threshold: 2\n\
                 openshift:\n  fips: true\n"
            )
        );
    }

    #[test]
    fn thresholds_are_all_with_a_tpm_and_any_without() {
        let of = |tpm, count, wanted| {
            let arguments = ButaneArguments { tpm, threshold: wanted, ..arguments() };
            threshold(&servers(count), &arguments).ok()
        };
        assert_eq!((of(false, 1, None), of(false, 3, None)), (Some(1), Some(1)));
        assert_eq!((of(true, 1, None), of(true, 2, None)), (Some(2), Some(3)));
        assert_eq!(
            (of(true, 2, Some(1)), of(true, 2, Some(4)), of(false, 2, Some(0))),
            (Some(1), None, None)
        );
        assert_eq!(of(true, 0, None), None, "a TPM alone is not for us to say");
    }

    #[test]
    fn roles_are_named_found_or_asked_for() {
        let name = |site: &Site, arguments: ButaneArguments| {
            Butane::of(site, &arguments, servers(1)).ok().and_then(|butane| Some(butane.metadata?.name))
        };
        let (one, both) = (site(CP1), site(&format!("{CP1}{W1}")));
        assert_eq!(name(&one, arguments()).as_deref(), Some("99-master-luks-root"));
        assert_eq!(name(&both, arguments()), None);
        let of = |node: &str| ButaneArguments { node: Some(node.to_owned()), ..arguments() };
        assert_eq!(name(&both, of("w1")).as_deref(), Some("99-worker-luks-root"));
        assert_eq!(name(&both, of("nobody")), None);
        let worker = ButaneArguments { role: Some(Pool::Worker), ..arguments() };
        assert_eq!(name(&both, worker).as_deref(), Some("99-worker-luks-root"));
    }

    #[test]
    fn data_disks_are_volumes_and_fcos_has_no_machine_config() {
        let device = vec!["/dev/disk/by-id/nvme-X.1".to_owned()];
        let fcos = ButaneArguments { device, variant: Some(Variant::Fcos), ..arguments() };
        let text = yaml(&Butane::of(&site(""), &fcos, servers(2)).unwrap());
        assert!(
            text.starts_with(
                "variant: fcos\nversion: \"1.5.0\"\nstorage:\n  luks:\n    - name: luks-nvme-X-1\n"
            ),
            "{text}"
        );
        assert!(
            text.contains("threshold: 1") && !text.contains("boot_device") && !text.contains("metadata"),
            "{text}"
        );
        let wrong = ButaneArguments { device: vec!["nvme0n1".to_owned()], ..arguments() };
        assert!(Butane::of(&site(CP1), &wrong, servers(1)).is_err());
    }

    #[test]
    fn releases_without_a_specification_are_refused_and_those_to_come_get_the_latest() {
        let version =
            |version: &str| openshift_version(&site(&format!("[install]\nversion = \"{version}\"\n"))).ok();
        assert_eq!(version("4.20").as_deref(), Some("4.20.0"));
        assert_eq!(version("4.17.3").as_deref(), Some("4.17.0"));
        assert_eq!(version("4.99").as_deref(), Some("4.21.0"));
        assert_eq!((version("4.7"), version("3.11")), (None, None));
        assert_eq!(openshift_version(&site("")).ok().as_deref(), Some("4.20.0"));
    }

    #[test]
    fn further_servers_come_with_their_thumbprint() {
        let server = Server::parse(&format!("https://tang.example.com/#{THUMBPRINT}")).unwrap();
        assert_eq!(server.url, "https://tang.example.com");
        for wrong in
            ["http://a", "a#b", "http://#9pEqcrwJ3Qqh-cMZeNTOqQYDSTFuBN3Wy2nk0OIwzJk", "http://a#short"]
        {
            assert!(Server::parse(wrong).is_err(), "{wrong}");
        }
        let twice = vec![server.clone(), server];
        assert!(threshold(&twice, &arguments()).is_err());
    }
}
