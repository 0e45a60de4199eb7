//! What a good site file names and this host does not have.
//!
//! All of it is a warning: the file may be checked on another machine than the bastion, and files may
//! come later. Nothing is said about a boot root that does not exist.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use faros_common::site::{ClusterKind, Diagnostic, Severity, Site};
use faros_common::{clock, loaders};

/// `openshift-install` writes certificates into the bootstrap machine's Ignition file that end after 24 h;
/// from half of that on it is time to say so.
const IGNITION_AGE_WARNED: Duration = Duration::from_secs(12 * 3600);

/// The loaders that DHCP answers name for machines of the usual firmware.
const USUAL_LOADERS: [&str; 2] = ["undionly.kpxe", "snponly.efi"];

/// Everything that is missing here.
pub(super) fn findings(site: &Site) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let serves_boot = site.http.enable || site.tftp.enable;
    let root = if site.http.enable { &site.http.root } else { &site.tftp.root };
    if !serves_boot || site.profiles.is_empty() || !root.is_dir() {
        return found;
    }
    missing_loaders(site, &mut found);
    missing_boot_files(site, root, &mut found);
    if site.cluster.kind == ClusterKind::Openshift {
        ageing_ignition(site, root, clock::wall(), &mut found);
    }
    found
}

fn warning(key: String, message: String, help: String) -> Diagnostic {
    Diagnostic { severity: Severity::Warning, place: None, key, message, help: Some(help) }
}

fn missing_loaders(site: &Site, found: &mut Vec<Diagnostic>) {
    for name in USUAL_LOADERS {
        for (key, enabled, root) in [
            ("tftp.root", site.tftp.enable, &site.tftp.root),
            ("http.root", site.http.enable, &site.http.root),
        ] {
            // One of two equal roots says it for both; BIOS never asks over HTTP.
            let twice = key == "http.root" && site.tftp.enable && site.tftp.root == site.http.root;
            let bios_over_http = key == "http.root" && name == "undionly.kpxe";
            if !enabled || twice || bios_over_http || loaders::find(name, root).is_some() {
                continue;
            }
            let purpose = loaders::named(name).map_or("", |loader| loader.purpose);
            let package = loaders::named(name).map_or("ipxe", |loader| loader.package);
            found.push(warning(
                key.to_owned(),
                format!("the loader {name} ({purpose}) is neither below {} nor installed", root.display()),
                format!("install the package {package}, or import one: farosctl boot loaders import FILE"),
            ));
        }
    }
}

fn missing_boot_files(site: &Site, root: &Path, found: &mut Vec<Diagnostic>) {
    for (name, profile) in &site.profiles {
        let named = std::iter::once(("kernel".to_owned(), &profile.kernel))
            .chain(profile.initrd.iter().enumerate().map(|(index, file)| (format!("initrd[{index}]"), file)))
            .chain(profile.ignition.iter().map(|(role, file)| (format!("ignition.{role}"), file)));
        let mut seen = BTreeSet::new();
        for (key, file) in named {
            let path = root.join(file.trim_start_matches('/'));
            // http://… in an initrd is somebody else's file.
            if file.contains("://") || file.contains('{') || !seen.insert(file) || path.is_file() {
                continue;
            }
            found.push(warning(
                format!("profile.{name}.{key}"),
                format!("{} does not exist", path.display()),
                "put the file there before a node of this profile boots".to_owned(),
            ));
        }
    }
}

fn ageing_ignition(site: &Site, root: &Path, now: SystemTime, found: &mut Vec<Diagnostic>) {
    for (name, profile) in &site.profiles {
        let Some(file) = profile.ignition.get("bootstrap") else { continue };
        let Some(age) = age_of(&root.join(file), now).filter(|age| *age >= IGNITION_AGE_WARNED) else {
            continue;
        };
        found.push(warning(
            format!("profile.{name}.ignition.bootstrap"),
            format!(
                "{file} is {} h old, and the certificates in it end 24 h after it was made",
                age.as_secs() / 3600
            ),
            "make the Ignition files anew before the next installation".to_owned(),
        ));
    }
}

/// How long ago a file was written.
pub(crate) fn age_of(path: &Path, now: SystemTime) -> Option<Duration> {
    now.duration_since(std::fs::metadata(path).ok()?.modified().ok()?).ok()
}
