//! Our part of the site file: who is served where, and what each node boots.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use faros_common::loaders;
use faros_common::site::{Diagnostic, Node, Piece, Place, Profile, Published, Severity, Site, placeholders};
use ipnet::IpNet;

use crate::protocol::identity::{Machine, Roster, Uuid};
use crate::protocol::ignition::{CONFIG_BYTES_MAX, prepare};
use crate::protocol::journey::Plan;
use crate::protocol::script::{self, Loader};
use crate::protocol::target::Path;

/// What `ignition-http` needs to know of a site.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// The tree of files.
    pub root: PathBuf,
    /// Its own URL as nodes reach it, without a final slash.
    pub base_url: String,
    /// The TFTP server, for loaders whose HTTP is limited.
    pub tftp: Option<IpAddr>,
    /// Whom it serves; everybody where empty (`gateway.allow` has `http`).
    pub prefixes: Vec<IpNet>,
    /// This bastion's own addresses.
    pub own: Vec<IpAddr>,
    /// Whether leases can be asked for at this bastion's dhcpd.
    pub dhcpd: bool,
    /// All nodes, for telling machines apart.
    pub roster: Roster,
    /// What each node boots, in the order of the roster.
    pub nodes: Vec<NodePlan>,
    /// Every file that a profile boots, by path, with the profiles that name it.
    pub boot_files: BTreeMap<String, Vec<String>>,
    /// Every Ignition file of any profile, by path, with the profiles that name it.
    pub seeds: BTreeMap<String, Vec<String>>,
}

/// What a node boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlan {
    /// The node's name.
    pub name: String,
    /// Its role, as in the site file.
    pub role: &'static str,
    /// Its profile, if it has one.
    pub profile: Option<BootPlan>,
}

impl NodePlan {
    /// What of the profile matters for the node's way.
    pub fn plan(&self) -> Option<Plan> {
        self.profile.as_ref().map(|profile| profile.plan)
    }
}

/// A profile, filled in for one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootPlan {
    /// The profile's name.
    pub profile: String,
    /// The kernel and then the initial RAM disks, below the root.
    pub files: Vec<String>,
    /// The kernel's arguments.
    pub args: String,
    /// The Ignition file below the root, if there is one for the node's role.
    pub seed: Option<String>,
    /// What of it matters for the node's way.
    pub plan: Plan,
}

impl Config {
    /// Derives our part of `site`.
    ///
    /// # Errors
    /// What cannot be served as it stands.
    pub fn of(site: &Site) -> Result<Self, Vec<Diagnostic>> {
        let mut findings = Vec::new();
        let machines = site.nodes.iter().map(|node| machine(site, node)).collect();
        let nodes = site.nodes.iter().map(|node| NodePlan {
            name: node.name.clone(),
            role: node.role.name(),
            profile: profile_of(site, node).map(|profile| boot_plan(site, node, profile, &mut findings)),
        });
        let nodes: Vec<NodePlan> = nodes.collect();
        let mut boot_files = BTreeMap::<String, Vec<String>>::new();
        let mut seeds = BTreeMap::<String, Vec<String>>::new();
        for profile in site.profiles.values() {
            let mut collect =
                |paths: &mut BTreeMap<String, Vec<String>>, path: &str, key: &str| match relative(path) {
                    Some(path) => paths.entry(path).or_default().push(profile.name.clone()),
                    None => findings.push(finding(
                        format!("profile.{}.{key}", profile.name),
                        format!("{path:?} is no path below the root"),
                        "write it relative to http.root, without `..`",
                    )),
                };
            collect(&mut boot_files, &profile.kernel, "kernel");
            profile.initrd.iter().for_each(|path| collect(&mut boot_files, path, "initrd"));
            profile.ignition.values().for_each(|path| collect(&mut seeds, path, "ignition"));
        }
        for path in boot_files.keys().filter(|path| seeds.contains_key(*path)) {
            findings.push(finding(
                "profile".to_owned(),
                format!("{path} is both a boot file, which anybody may read, and an Ignition file"),
                "name different files",
            ));
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        let to_wan = site.gateway.allow.contains(&Published::Http);
        let mut own = vec![site.bastion(), site.lan.vip.into()];
        own.extend(site.lan.address6.map(|net| IpAddr::V6(net.addr())));
        Ok(Self {
            listen: site.http.listen.clone(),
            root: site.http.root.clone(),
            base_url: site.base_url(),
            tftp: site.tftp_server(),
            prefixes: if to_wan { Vec::new() } else { site.site_prefixes() },
            own,
            dhcpd: site.dhcp.enable,
            roster: Roster { machines },
            nodes,
            boot_files,
            seeds,
        })
    }

    /// What is served but worth a look: files that are not there (yet), arguments that a loader cannot pass.
    pub fn warnings(&self) -> Vec<Diagnostic> {
        let mut warnings = Vec::new();
        let mut warn = |key: String, message: String, help: String| {
            let help = Some(help);
            warnings.push(Diagnostic { severity: Severity::Warning, place: NOWHERE, key, message, help });
        };
        for (path, profiles) in &self.boot_files {
            if let Err(error) = std::fs::metadata(self.root.join(path)) {
                let key = format!("profile.{}", profiles.join(","));
                let help = format!("put it there; until then {RETRIES}");
                warn(key, format!("{}: {error}", self.root.join(path).display()), help);
            }
        }
        for (path, profiles) in &self.seeds {
            let key = format!("profile.{}.ignition", profiles.join(","));
            let file = self.root.join(path);
            if let Err(error) = judge_seed(&file) {
                warn(key, format!("{}: {error}", file.display()), format!("until it is right {RETRIES}"));
            }
        }
        if !self.roster.machines.is_empty() {
            for name in ["undionly.kpxe", "snponly.efi"] {
                if loaders::find(name, &self.root).is_none() {
                    let package = loaders::named(name).map_or("ipxe", |loader| loader.package);
                    let help = format!("install the package {package}, or run `farosctl boot loaders`");
                    warn("http.root".to_owned(), format!("the loader {name} is nowhere to be found"), help);
                }
            }
        }
        for node in &self.nodes {
            let Some(boot) = &node.profile else { continue };
            for found in script::unquotable(Loader::Grub, &boot.args) {
                let help = "GRUB only; iPXE passes it as it stands".to_owned();
                warn(format!("profile.{}.args", boot.profile), found.to_string(), help);
            }
        }
        warnings.dedup();
        warnings
    }
}

/// Whether an Ignition file can be served as it stands.
fn judge_seed(path: &std::path::Path) -> Result<(), String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > CONFIG_BYTES_MAX {
        return Err(format!("larger than {CONFIG_BYTES_MAX} bytes"));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    prepare(&bytes, None).map(drop).map_err(|error| error.to_string())
}

const RETRIES: &str = "machines that ask for it are told to try again";

/// Findings here are about what a table means, not about one place in the text.
const NOWHERE: Option<Place> = None;

fn finding(key: String, message: String, help: &str) -> Diagnostic {
    Diagnostic { severity: Severity::Error, place: NOWHERE, key, message, help: Some(help.to_owned()) }
}

fn profile_of<'a>(site: &'a Site, node: &Node) -> Option<&'a Profile> {
    site.profiles.get(node.profile.as_ref()?)
}

fn machine(site: &Site, node: &Node) -> Machine {
    let addresses = node.address.map(IpAddr::V4).into_iter().chain(node.address6.map(IpAddr::V6));
    Machine {
        name: node.name.clone(),
        macs: site.macs_of(node),
        uuid: node.uuid.as_deref().and_then(Uuid::parse),
        addresses: addresses.collect(),
    }
}

fn boot_plan(site: &Site, node: &Node, profile: &Profile, findings: &mut Vec<Diagnostic>) -> BootPlan {
    let key = || format!("profile.{}.args", profile.name);
    let pieces = placeholders(&profile.args).unwrap_or_default();
    let used = |wanted: &str| pieces.contains(&Piece::Placeholder(wanted));
    for piece in &pieces {
        let Piece::Placeholder(name) = piece else { continue };
        let value = site.placeholder(node, name).unwrap_or_default();
        if value.chars().any(|c| c.is_whitespace() || c.is_control() || "\"'\\`$".contains(c)) {
            let message =
                format!("{{{name}}} of {} is {value:?}, which no kernel argument can carry", node.name);
            findings.push(finding(key(), message, "use a value without spaces, quotes, backslashes and `$`"));
        }
    }
    let seed = profile.ignition_for(node.role).and_then(relative);
    if used("ignition") && seed.is_none() {
        let message =
            format!("{{ignition}} is used, but there is no Ignition file for the role of {}", node.name);
        let role = node.role.name();
        findings.push(finding(key(), message, &format!("add `{role}` or `\"*\"` to its ignition table")));
    }
    let args = site.fill_in(&profile.args, node).unwrap_or_else(|error| {
        findings.push(finding(key(), format!("for {}: {error}", node.name), "set the key, or leave it out"));
        String::new()
    });
    for found in script::unquotable(Loader::Ipxe, &args) {
        findings.push(finding(key(), found.to_string(), "write it in another way"));
    }
    let files: Vec<String> =
        std::iter::once(&profile.kernel).chain(&profile.initrd).filter_map(|path| relative(path)).collect();
    let plan = Plan { files: files.len() as u32, seed: seed.is_some(), report: used("report") };
    BootPlan { profile: profile.name.clone(), files, args, seed, plan }
}

/// A path of the site file as a client would ask for it; None: it cannot be one.
fn relative(path: &str) -> Option<String> {
    let encoded = crate::protocol::target::encode_path(path.trim_start_matches('/'));
    Path::parse(&format!("/{encoded}")).ok().map(|path| path.relative()).filter(|path| !path.is_empty())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A small site with the profile text `profile`, whose root is `root`.
    pub(crate) fn site(root: &std::path::Path, profile: &str) -> Site {
        let root = root.display();
        let text = format!(
            r#"
            version = 1
            [cluster]
            name = "edge"
            domain = "example.com"
            kind = "none"
            [lan]
            interface = "lan0"
            address = "192.168.8.1/24"
            pool = "192.168.8.128-192.168.8.250"
            [http]
            root = "{root}"
            [tftp]
            root = "{root}"
            [profile.p]
            {profile}
            [[node]]
            name = "cp1"
            role = "control-plane"
            mac = "52:54:00:00:08:11"
            address = "192.168.8.11"
            disk = "/dev/vda"
            profile = "p"
            [[node]]
            name = "spare"
            role = "other"
            mac = "52:54:00:00:08:12"
            address = "192.168.8.12"
            "#
        );
        faros_common::site::parse(&text, std::path::Path::new("-"))
            .unwrap_or_else(|report| panic!("{report}"))
            .site
    }

    const RHCOS: &str = r#"
        kernel = "rhcos/kernel"
        initrd = ["rhcos/initramfs.img"]
        args = "coreos.inst.install_dev={disk} coreos.inst.ignition_url={ignition}"
        ignition = { control-plane = "rhcos/master.ign" }
    "#;

    #[test]
    fn a_node_gets_its_profile_filled_in() {
        let config = Config::of(&site("/srv".as_ref(), RHCOS)).unwrap();
        let boot = config.nodes[0].profile.as_ref().unwrap();
        assert_eq!(
            boot.args,
            "coreos.inst.install_dev=/dev/vda coreos.inst.ignition_url=http://192.168.8.1:8080/ignition/cp1"
        );
        assert_eq!(boot.files, ["rhcos/kernel", "rhcos/initramfs.img"]);
        assert_eq!(boot.seed.as_deref(), Some("rhcos/master.ign"));
        assert_eq!(boot.plan, Plan { files: 2, seed: true, report: false });
        assert_eq!(config.nodes[1].profile, None);
        assert_eq!(config.listen, ["192.168.8.1:8080".parse().unwrap()]);
    }

    #[test]
    fn a_report_is_known_by_its_placeholder() {
        let profile = r#"
            kernel = "k"
            args = "a={{report}} b={report}"
        "#;
        let config = Config::of(&site("/srv".as_ref(), profile)).unwrap();
        let boot = config.nodes[0].profile.as_ref().unwrap();
        assert_eq!(boot.args, "a={report} b=http://192.168.8.1:8080/report/cp1");
        assert!(boot.plan.report && !boot.plan.seed);
    }

    #[test]
    fn what_a_loader_cannot_do_is_refused() {
        for profile in [
            "kernel = \"k\"\nargs = \"a=${net0/mac:hexhyp}\"",
            "kernel = \"k\"\nargs = \"a ; b\"",
            "kernel = \"k\"\nargs = \"url={ignition}\"",
        ] {
            let text = site_with_raw_args(profile);
            assert!(text.is_none_or(|site| Config::of(&site).is_err()), "{profile}");
        }
    }

    /// The site, unless the shared checks refuse it already.
    fn site_with_raw_args(profile: &str) -> Option<Site> {
        std::panic::catch_unwind(|| site("/srv".as_ref(), profile)).ok()
    }

    #[test]
    fn missing_files_are_warned_of() {
        let root = tempfile::tempdir().unwrap();
        let config = Config::of(&site(root.path(), RHCOS)).unwrap();
        let messages =
            |config: &Config| config.warnings().iter().map(|w| w.message.clone()).collect::<Vec<_>>();
        let missing = messages(&config);
        for path in ["rhcos/kernel", "rhcos/initramfs.img", "rhcos/master.ign"] {
            assert!(missing.iter().any(|message| message.contains(path)), "{path}: {missing:?}");
        }
        std::fs::create_dir(root.path().join("rhcos")).unwrap();
        std::fs::write(root.path().join("rhcos/kernel"), "k").unwrap();
        std::fs::write(root.path().join("rhcos/master.ign"), "{").unwrap();
        let missing = messages(&config);
        assert!(!missing.iter().any(|message| message.contains("rhcos/kernel")), "{missing:?}");
        assert!(missing.iter().any(|message| message.contains("not valid JSON")), "{missing:?}");
    }
}
