//! `farosctl lb import`: a haproxy.cfg as front ends of the site file.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;

use faros_common::site::{ClusterKind, Site};
use faros_lb::import::{self, Finding, Import, Options, Severity};
use serde::Serialize;

use super::arguments::ImportArguments;
use crate::exit::{Exit, Failure};
use crate::output::{Human, Paint, Tone, harmless};
use crate::session::Session;

#[derive(Serialize)]
#[serde(transparent)]
struct Imported(Import);

pub(super) fn run(session: &mut Session, arguments: &ImportArguments) -> Result<Exit, Failure> {
    let text = read(&arguments.file)?;
    // Also for a site that is about to be: without a file nothing is derived and no node is known.
    let site = session.site_path.exists().then(|| session.site_if_good()).flatten();
    let derived = match &site {
        Some(site) if !arguments.all => derived(site),
        _ => Vec::new(),
    };
    let address = |host: &str| {
        let known = site.as_ref().and_then(|site| of_site(site, host));
        known.or_else(|| if arguments.resolve { of_system(host) } else { None })
    };
    let import = import::import(&text, &Options { address: &address, derived: &derived });
    let lost = import.findings.iter().any(|finding| finding.severity == Severity::Unsupported);
    let findings: Vec<String> =
        import.findings.iter().map(|finding| line(finding, &arguments.file)).collect();
    let for_people = session.format == crate::Format::Table;
    session.show(&Imported(import))?;
    if for_people {
        // Beside the tables, so that those can go into a file.
        findings.iter().for_each(|finding| session.note(finding));
    }
    Ok(if lost { Exit::Degraded } else { Exit::Done })
}

fn read(file: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let limit = import::FILE_MAX as u64 + 1;
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        Failure::failed(format!("{} cannot be read: {error}; name a haproxy.cfg", file.display()))
    })?;
    // What is not UTF-8 stands in comments and log formats, if anywhere.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Ports of the front ends that the site has anyway.
fn derived(site: &Site) -> Vec<u16> {
    if site.cluster.kind == ClusterKind::None {
        return Vec::new();
    }
    let fronts = site.lb.frontends.iter().filter(|front| front.derived);
    fronts.flat_map(|front| front.listen.iter().map(SocketAddr::port)).collect()
}

/// The address of a machine of the site, by its whole name or its first label.
fn of_site(site: &Site, host: &str) -> Option<IpAddr> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let names = site.names();
    let is = |wanted: &str| {
        names.iter().find(|name| name.name.trim_end_matches('.') == wanted).map(|name| name.address)
    };
    is(&host).or_else(|| is(&format!("{host}.{}", site.cluster.zone())))
}

/// What the system's resolver says; IPv4 before IPv6, which not every server has.
fn of_system(host: &str) -> Option<IpAddr> {
    let addresses: Vec<IpAddr> = (host, 0).to_socket_addrs().ok()?.map(|socket| socket.ip()).collect();
    addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied()
}

fn line(finding: &Finding, file: &Path) -> String {
    let place = match finding.line {
        Some(line) => format!("{}:{line}", file.display()),
        None => file.display().to_string(),
    };
    let severity = match finding.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Unsupported => "not taken over",
    };
    format!("{place}: {severity}: {}; {}", harmless(&finding.what), harmless(&finding.advice))
}

impl Human for Imported {
    fn human(&self, paint: Paint) -> String {
        // Control characters cannot be in it: the writer escapes them.
        if self.0.toml.is_empty() {
            return format!("{}\n", paint.tone(Tone::Faint, "# nothing to take over"));
        }
        self.0.toml.clone()
    }
}
