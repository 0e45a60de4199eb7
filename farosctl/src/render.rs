//! `farosctl render`: files for other programs, made from the site file alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use faros_common::clock;
use faros_common::site::Site;
use faros_common::tls::Files;
use faros_dnsd::protocol::code::kind;
use faros_dnsd::protocol::name::Name;
use faros_dnsd::site_zones::{Listeners, Settings, ZoneKind};
use faros_dnsd::zone::{Zone, render};
use serde::Serialize;

use crate::cli::{RenderArguments, RenderCommand};
use crate::exit::{Exit, Failure};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone, harmless};
use crate::session::Session;

pub(crate) fn run(session: &mut Session, arguments: &RenderArguments) -> Result<Exit, Failure> {
    match &arguments.what {
        None => {
            session.show(&Offer {
                render: vec![Kind { what: "zone", purpose: "a DNS zone as a master file" }],
            })?;
            Ok(Exit::Done)
        }
        Some(RenderCommand::Zone { name }) => zone(session, name.as_deref(), arguments.out.as_deref()),
    }
}

fn zone(session: &mut Session, name: Option<&str>, out: Option<&Path>) -> Result<Exit, Failure> {
    let site = session.site()?;
    let all = zones(&site, &session.site_path)?;
    let wanted: Vec<&(ZoneKind, Zone)> = match name {
        Some(name) => vec![named(&all, name)?],
        None if out.is_some() => all.iter().filter(|(kind, zone)| is_worth_a_file(*kind, zone)).collect(),
        None => all.iter().take(1).collect(),
    };
    let mut rendered = Vec::new();
    for (kind, zone) in wanted {
        let text = render::master_file(zone);
        let file = match out {
            Some(folder) => Some(write(folder, zone.origin(), &text)?),
            None => None,
        };
        rendered.push(Rendered {
            zone: zone.origin().to_string(),
            kind: kind.name(),
            serial: zone.serial(),
            records: zone.records().len(),
            text: file.is_none().then_some(text),
            file,
        });
    }
    session.show(&Zones { zones: rendered })?;
    Ok(Exit::Done)
}

/// All zones of the site. Their serial is the time at which the site file was last changed: the same file gives the
/// same zones, and a later one a larger number.
fn zones(site: &Site, path: &Path) -> Result<Vec<(ZoneKind, Zone)>, Failure> {
    let files = Files { certificate: site.dns.certificate.clone(), key: site.dns.key.clone() };
    let encrypted = files.judge(clock::wall()).is_ok();
    let listeners = if encrypted { Listeners::of_site(site) } else { Listeners::default() };
    let settings = Settings::of(site, &listeners).map_err(|found| {
        let first =
            found.first().map(|found| format!("{}: {}", found.key, found.message)).unwrap_or_default();
        Failure::Because(Exit::SiteRefused, format!("{first}; mend it: farosctl check"))
    })?;
    let changed = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(settings.zones(changed.map_or(1, |since| since.as_secs() as u32).max(1)))
}

fn named<'z>(all: &'z [(ZoneKind, Zone)], name: &str) -> Result<&'z (ZoneKind, Zone), Failure> {
    let wanted = Name::parse(name)
        .map_err(|error| Failure::usage(format!("{} is no zone: {error}", harmless(name))))?;
    all.iter().find(|(_, zone)| *zone.origin() == wanted).ok_or_else(|| {
        let own = all.iter().filter(|(kind, zone)| is_worth_a_file(*kind, zone));
        let own: Vec<String> = own.map(|(_, zone)| zone.origin().to_string()).collect();
        Failure::failed(format!("the site has no zone {}; it has {}", harmless(name), own.join(" ")))
    })
}

/// What another server would be given: not what every server has by itself, nor zones that only answer for single
/// names of somebody else's domain, nor the single addresses of a small prefix that have no name.
fn is_worth_a_file(kind: ZoneKind, zone: &Zone) -> bool {
    /// Labels of the reverse name of one IPv4 address.
    const ADDRESS_LABELS: usize = 6;
    match kind {
        ZoneKind::Cluster => true,
        ZoneKind::Reverse => {
            zone.origin().label_count() != ADDRESS_LABELS
                || zone.records().any(|record| record.kind == kind::PTR)
        }
        _ => false,
    }
}

/// Writes beside and renames, so that a server that reads meanwhile gets a whole file.
fn write(folder: &Path, origin: &Name, text: &str) -> Result<PathBuf, Failure> {
    let file = folder.join(format!("{}.zone", origin.to_string().trim_end_matches('.')));
    let beside = file.with_extension("zone.new");
    let written = fs::create_dir_all(folder)
        .and_then(|()| fs::write(&beside, text))
        .and_then(|()| fs::rename(&beside, &file));
    written.map_err(|error| {
        Failure::failed(format!("cannot write {}: {error}; choose another --out", file.display()))
    })?;
    Ok(file)
}

#[derive(Serialize)]
struct Offer {
    render: Vec<Kind>,
}

#[derive(Serialize)]
struct Kind {
    what: &'static str,
    purpose: &'static str,
}

impl Human for Offer {
    fn human(&self, paint: Paint) -> String {
        let mut table = Table::new(["WHAT", "IS"]);
        for kind in &self.render {
            table.row([Cell::new(Tone::Strong, kind.what), kind.purpose.into()]);
        }
        table.render(paint)
    }
}

#[derive(Serialize)]
struct Zones {
    zones: Vec<Rendered>,
}

#[derive(Serialize)]
struct Rendered {
    zone: String,
    kind: &'static str,
    serial: u32,
    records: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl Human for Zones {
    /// The master file itself; where files were written, their list.
    fn human(&self, paint: Paint) -> String {
        if let [Rendered { text: Some(text), .. }] = self.zones.as_slice() {
            return text.clone();
        }
        let mut table = Table::new(["ZONE", "SERIAL", "RECORDS", "FILE"]);
        for zone in &self.zones {
            table.row([
                Cell::new(Tone::Strong, &zone.zone),
                zone.serial.to_string().into(),
                zone.records.to_string().into(),
                zone.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default().into(),
            ]);
        }
        table.render(paint)
    }
}
