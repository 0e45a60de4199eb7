//! What a good site file names and this host does not have.
//!
//! All of it is a warning: the file may be checked on another machine than the bastion, and files may
//! come later. Nothing is said about a boot root that does not exist.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use faros_common::site::{ClusterKind, Diagnostic, Dns, Severity, Site};
use faros_common::tls::{Facts, Files, TlsError};
use faros_common::{clock, loaders};

use crate::output::time;

/// `openshift-install` writes certificates into the bootstrap machine's Ignition file that end after 24 h;
/// from half of that on it is time to say so.
const IGNITION_AGE_WARNED: Duration = Duration::from_secs(12 * 3600);

/// The loaders that DHCP answers name for machines of the usual firmware.
const USUAL_LOADERS: [&str; 2] = ["undionly.kpxe", "snponly.efi"];

/// Everything that is missing here.
pub(super) fn findings(site: &Site) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    certificates(site, clock::wall(), &mut found);
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

/// Certificates that cannot serve, or not for long. Where there is not even a directory for them nobody has asked
/// for encryption.
fn certificates(site: &Site, now: SystemTime, found: &mut Vec<Diagnostic>) {
    let Dns { enable, tls_listen, https_listen, quic_listen, certificate, key, .. } = &site.dns;
    let wanted = *enable && ![tls_listen, https_listen, quic_listen].into_iter().all(Vec::is_empty);
    let Some(folder) = certificate.parent().filter(|folder| wanted && folder.is_dir()) else { return };
    let files = Files { certificate: certificate.clone(), key: key.clone() };
    let mut say = |path: &Path, message: String, help: &str| {
        found.push(warning(
            "dns.certificate".to_owned(),
            format!("{}: {message}", path.display()),
            help.to_owned(),
        ));
    };
    // Whoever may not see the key can judge the certificate all the same.
    let facts = match files.judge(now) {
        Err(TlsError::Unreadable(path, _)) if path == files.key => Facts::of_file(certificate),
        judged => judged,
    };
    match facts {
        Err(TlsError::Missing(path)) => say(
            &path,
            "it does not exist, so DNS over TLS, HTTPS and QUIC are off".to_owned(),
            "make it: farosctl ca issue dnsd; or set tls-listen, https-listen and quic-listen to []",
        ),
        Err(error) => say(certificate, error.to_string(), "DNS over TLS, HTTPS and QUIC are off"),
        Ok(facts) => ending(certificate, &facts, now, "farosctl ca renew dnsd", &mut say),
    }
    let authority = folder.join("ca.crt");
    if let Ok(facts) = Facts::of_file(&authority).as_ref() {
        ending(
            &authority,
            facts,
            now,
            "make a new authority in time: every client has to learn it",
            &mut say,
        );
    }
}

fn ending(
    path: &Path,
    facts: &Facts,
    now: SystemTime,
    help: &str,
    say: &mut impl FnMut(&Path, String, &str),
) {
    if facts.is_ending(now) {
        let verb = if facts.remaining(now).is_some() { "ends" } else { "ended" };
        say(path, format!("the certificate {verb} {}", time::until(now, facts.not_after)), help);
    }
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
