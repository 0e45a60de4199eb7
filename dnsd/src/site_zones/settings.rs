//! The zones of a site file, proven.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use faros_common::site::{Diagnostic, Severity, Site};

use super::configured;
use super::discovery::Listeners;
use super::plan::{Plan, RecordFlaw, ZoneKind, ZonePlan};
use super::record::with_serial;
use crate::protocol::code::kind;
use crate::protocol::name::Name;
use crate::zone::{Record, Zone, ZoneSource};

/// What the site file says about our zones, with the bootstrap machine's names and without them. Both compile.
#[derive(Clone, Debug)]
pub struct Settings {
    with_bootstrap: Arc<Plan>,
    without_bootstrap: Arc<Plan>,
    control_plane: Vec<String>,
    bootstrap: Vec<String>,
}

impl Settings {
    /// The zones of `site`; `listeners` are where encrypted questions are taken.
    ///
    /// # Errors
    /// Configured records that cannot be served.
    pub fn of(site: &Site, listeners: &Listeners) -> Result<Self, Vec<Diagnostic>> {
        let prove = |bootstrap| -> Result<Arc<Plan>, Vec<Diagnostic>> {
            let plan = Plan::of(site, listeners, bootstrap)
                .map_err(|flaws| flaws.into_iter().map(diagnostic).collect::<Vec<_>>())?;
            compile_all(&plan, site)?;
            Ok(Arc::new(plan))
        };
        let of_role = |role| {
            let nodes = site.nodes.iter().filter(move |node| node.role == role);
            nodes.map(|node| node.name.clone()).collect()
        };
        Ok(Self {
            with_bootstrap: prove(true)?,
            without_bootstrap: prove(false)?,
            control_plane: of_role(faros_common::site::Role::ControlPlane),
            bootstrap: of_role(faros_common::site::Role::Bootstrap),
        })
    }

    /// The zones while the bootstrap machine is needed, or is not any more.
    pub fn plan(&self, bootstrap: bool) -> &Arc<Plan> {
        if bootstrap { &self.with_bootstrap } else { &self.without_bootstrap }
    }

    /// The zones as they follow from the site file alone, all under one serial: the cluster zone first, then the
    /// reverse zones, those that override single names, and the local ones.
    pub fn zones(&self, serial: u32) -> Vec<(ZoneKind, Zone)> {
        let mut plans: Vec<&ZonePlan> = self.with_bootstrap.zones.values().collect();
        plans.retain(|zone| zone.kind != ZoneKind::Hole);
        plans.sort_by_key(|zone| (zone.kind, &zone.origin));
        let compiled = plans.into_iter().filter_map(|zone| {
            let mut source = source_of(zone);
            if zone.kind != ZoneKind::Local {
                source.records.iter_mut().for_each(|record| *record = with_serial(record, serial));
            }
            // They were compiled before, as proof.
            Some((zone.kind, Zone::compile(&source).ok()?))
        });
        compiled.collect()
    }

    /// The zones that the site's own zones delegate, as far as the addresses of their servers are known: those of
    /// `own` are left out, since this server does not answer for what it delegates.
    pub fn delegations(&self, own: &[IpAddr]) -> Vec<(Name, Vec<IpAddr>)> {
        let zones = &self.with_bootstrap.zones;
        let records = || zones.values().flat_map(|zone| &zone.records);
        let mut delegations = BTreeMap::<Name, Vec<IpAddr>>::new();
        for record in records().filter(|record| record.kind == kind::NS) {
            let Some(server) =
                Name::from_wire(&record.rdata).ok().filter(|_| !zones.contains_key(&record.owner))
            else {
                continue;
            };
            let found = records().filter(|record| record.owner == server).filter_map(address);
            let servers = delegations.entry(record.owner.clone()).or_default();
            servers.extend(found.filter(|address| !own.contains(address)));
        }
        delegations.retain(|_, servers| !servers.is_empty());
        delegations.into_iter().collect()
    }

    /// The nodes of the control plane.
    pub fn control_plane(&self) -> &[String] {
        &self.control_plane
    }

    /// The machines that start a cluster.
    pub fn bootstrap(&self) -> &[String] {
        &self.bootstrap
    }
}

/// The address that a record holds, if it holds one.
fn address(record: &Record) -> Option<IpAddr> {
    match record.kind {
        kind::A => <[u8; 4]>::try_from(&*record.rdata).ok().map(IpAddr::from),
        kind::AAAA => <[u8; 16]>::try_from(&*record.rdata).ok().map(IpAddr::from),
        _ => None,
    }
}

fn compile_all(plan: &Plan, site: &Site) -> Result<(), Vec<Diagnostic>> {
    let mut found = Vec::new();
    for zone in plan.zones.values() {
        let source = source_of(zone);
        for error in Zone::compile(&source).err().unwrap_or_default() {
            found.push(diagnostic(RecordFlaw {
                // A derived record is never at fault alone: a configured one beside it is.
                index: configured::index_of(site, &error).unwrap_or_default(),
                message: error.to_string(),
                help: "mend this record, or the one it clashes with",
            }));
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found) }
}

/// What a zone of a plan is compiled from.
fn source_of(zone: &ZonePlan) -> ZoneSource {
    ZoneSource { origin: zone.origin.clone(), records: zone.records.clone() }
}

fn diagnostic(flaw: RecordFlaw) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        place: None,
        key: format!("dns.record[{}]", flaw.index),
        message: flaw.message,
        help: Some(flaw.help.to_owned()),
    }
}
