//! `farosctl site …`: what a site file may say, and what ours comes to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use faros_common::site::{self, Site, pointer_owner};
use serde::Serialize;

use crate::cli::SiteCommand;
use crate::exit::{Exit, Failure};
use crate::output::table::{Cell, Table};
use crate::output::{Format, Human, Paint, Tone, json, yaml};
use crate::session::Session;

pub(crate) fn run(session: &mut Session, command: &SiteCommand) -> Result<Exit, Failure> {
    match command {
        SiteCommand::Schema => {
            let schema = site::schema();
            // A schema is JSON; a table of it would be the reference.
            let text = if session.format == Format::Yaml { yaml(&schema) } else { json(&schema) };
            session.print(&text)?;
        }
        SiteCommand::Reference => session.print(&site::reference())?,
        SiteCommand::Show => {
            let site = session.site()?;
            session.show(&Resolved(site))?;
        }
        SiteCommand::Names => {
            let site = session.site()?;
            session.show(&Names::of(&site))?;
        }
    }
    Ok(Exit::Done)
}

/// The whole site; people get the essence.
#[derive(Serialize)]
#[serde(transparent)]
struct Resolved(Site);

impl Human for Resolved {
    fn human(&self, paint: Paint) -> String {
        let Self(site) = self;
        let strong = |text: &str| paint.tone(Tone::Strong, text);
        let mut text = format!("{}  {}\n", strong("cluster"), site.cluster.zone());
        text += &format!("{}      {} on {}", strong("lan"), site.lan.address, site.lan.interface);
        text += &site.lan.address6.map(|address| format!(", {address}")).unwrap_or_default();
        text.push('\n');
        text += &format!("{}      {}\n", strong("vip"), site.lan.vip);
        let pool = site.lan.pool.map_or_else(
            || "none".to_owned(),
            |pool| format!("{}-{} ({} addresses)", pool.first, pool.last, pool.len()),
        );
        text += &format!("{}     {pool}\n", strong("pool"));
        if let Some(wan) = &site.wan {
            text += &format!("{}      {}\n", strong("wan"), wan.interface);
        }
        text.push('\n');
        text += &services(site).render(paint);
        if !site.nodes.is_empty() {
            text.push('\n');
            text += &nodes(site).render(paint);
        }
        text
    }
}

fn services(site: &Site) -> Table {
    let mut table = Table::new(["SERVICE", "HERE", "LISTENS", "DETAIL"]);
    let listens = |listen: &[std::net::SocketAddr]| {
        listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let here = |enable: bool, external: Option<IpAddr>| match (enable, external) {
        (true, _) => Cell::new(Tone::Good, "yes"),
        (false, Some(address)) => Cell::new(Tone::Warning, format!("at {address}")),
        (false, None) => Cell::new(Tone::Faint, "no"),
    };
    let lease = humantime::format_duration(site.dhcp.lease);
    let root = |root: &std::path::Path| root.display().to_string();
    let rows = [
        (
            "dhcp",
            here(site.dhcp.enable, site.dhcp.external),
            listens(&site.dhcp.listen),
            format!("leases of {lease}"),
        ),
        (
            "tftp",
            here(site.tftp.enable, site.tftp.external),
            listens(&site.tftp.listen),
            root(&site.tftp.root),
        ),
        (
            "http",
            here(site.http.enable, site.http.external),
            listens(&site.http.listen),
            root(&site.http.root),
        ),
        ("dns", here(site.dns.enable, site.dns.external), listens(&site.dns.listen), String::new()),
        ("ntp", here(site.ntp.enable, site.ntp.external), listens(&site.ntp.listen), String::new()),
        (
            "tang",
            here(site.tang.enable, site.tang.external),
            listens(&site.tang.listen),
            root(&site.tang.keys),
        ),
        (
            "lb",
            here(site.lb.enable, site.lb.external),
            String::new(),
            format!("{} front ends", site.lb.frontends.len()),
        ),
        ("console", here(site.console.enable, None), listens(&site.console.listen), String::new()),
    ];
    for (name, here, listen, detail) in rows {
        table.row([Cell::new(Tone::Strong, name), here, listen.into(), detail.into()]);
    }
    table
}

fn nodes(site: &Site) -> Table {
    let mut table = Table::new(["NODE", "ROLE", "ADDRESS", "MAC", "PROFILE", "DISK", "BMC"]);
    for node in &site.nodes {
        let macs: Vec<String> = site.macs_of(node).iter().map(ToString::to_string).collect();
        table.row([
            Cell::new(Tone::Strong, &node.name),
            node.role.name().into(),
            node.address.map(|address| address.to_string()).unwrap_or_default().into(),
            macs.join(" ").into(),
            node.profile.as_deref().unwrap_or_default().into(),
            node.disk.as_deref().unwrap_or_default().into(),
            node.bmc.as_ref().map(|bmc| bmc.url.clone()).unwrap_or_default().into(),
        ]);
    }
    table
}

/// Every name with its addresses, and which of them the reverse zone gives back.
#[derive(Serialize)]
struct Names {
    zone: String,
    names: Vec<Name>,
    pointers: Vec<PointerRecord>,
}

#[derive(Serialize)]
struct Name {
    name: String,
    addresses: Vec<IpAddr>,
}

#[derive(Serialize)]
struct PointerRecord {
    owner: String,
    address: IpAddr,
    name: String,
}

impl Names {
    fn of(site: &Site) -> Self {
        let mut addresses: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        for name in site.names() {
            addresses.entry(name.name).or_default().push(name.address);
        }
        let pointers = site.pointers().into_iter().map(|pointer| PointerRecord {
            owner: pointer_owner(pointer.address),
            address: pointer.address,
            name: pointer.name,
        });
        Self {
            zone: site.cluster.zone(),
            names: addresses.into_iter().map(|(name, addresses)| Name { name, addresses }).collect(),
            pointers: pointers.collect(),
        }
    }
}

impl Human for Names {
    fn human(&self, paint: Paint) -> String {
        let mut table = Table::new(["NAME", "ADDRESS", "PTR"]);
        for name in &self.names {
            for address in &name.addresses {
                let back = self.pointers.iter().any(|ptr| ptr.address == *address && ptr.name == name.name);
                table.row([
                    name.name.as_str().into(),
                    address.to_string().into(),
                    if back { pointer_owner(*address).into() } else { "".into() },
                ]);
            }
        }
        table.render(paint)
    }
}
