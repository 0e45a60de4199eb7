//! The zones as they are served: the site file's, with the names of leases and what updates have added.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use arc_swap::{ArcSwap, Guard};
use faros_common::clock;
use faros_common::site::pointer_owner;
use serde_json::{Value, json};
use tracing::warn;

use super::plan::{Plan, ZoneKind, first_labels};
use super::record::{self, LEASE_TTL_SECS};
use super::serial::{Content, Serials};
use super::settings::Settings;
use super::source::Source;
use crate::leases::label::{self, Lease, Reserved};
use crate::protocol::code::kind;
use crate::protocol::name::Name;
use crate::zone::{Record, Snapshot, Zone, ZoneError, ZoneSource, render};

/// All zones of this server. Readers take the present [`Snapshot`] and never wait; writers take turns, compile only
/// the zones that a change touches, and swap.
pub struct Zones {
    snapshot: ArcSwap<Snapshot>,
    state: Mutex<State>,
}

struct State {
    settings: Settings,
    /// Whether the bootstrap machine has names.
    bootstrap: bool,
    plan: Arc<Plan>,
    leases: Vec<Lease>,
    /// What leases are called.
    names: BTreeMap<Ipv4Addr, String>,
    updates: BTreeMap<Name, Vec<Record>>,
    compiled: BTreeMap<Name, Compiled>,
    serials: Serials,
}

#[derive(Clone)]
struct Compiled {
    content: Content,
    zone: Arc<Zone>,
}

/// A zone that cannot be compiled; nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneFault {
    /// The zone.
    pub origin: Name,
    /// What is wrong with it.
    pub errors: Vec<ZoneError>,
}

impl std::fmt::Display for ZoneFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "zone {} cannot be served", self.origin)?;
        for (index, error) in self.errors.iter().enumerate() {
            write!(f, "{} {error}", if index == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ZoneFault {}

impl Zones {
    /// The zones of `settings`; serial numbers are kept in `state_dir`. The bootstrap machine has names until
    /// [`Zones::set_bootstrap`] says otherwise.
    ///
    /// # Errors
    /// A zone that cannot be compiled: never one of proven settings.
    pub fn open(settings: Settings, state_dir: &Path, bootstrap: bool) -> Result<Self, ZoneFault> {
        Self::with_serials(settings, Serials::open(state_dir), bootstrap)
    }

    /// The same without any state on disk.
    ///
    /// # Errors
    /// As [`Zones::open`].
    pub fn in_memory(settings: Settings) -> Result<Self, ZoneFault> {
        Self::with_serials(settings, Serials::in_memory(), true)
    }

    fn with_serials(settings: Settings, serials: Serials, bootstrap: bool) -> Result<Self, ZoneFault> {
        let plan = Arc::clone(settings.plan(bootstrap));
        let state = State {
            settings,
            bootstrap,
            plan,
            leases: Vec::new(),
            names: BTreeMap::new(),
            updates: BTreeMap::new(),
            compiled: BTreeMap::new(),
            serials,
        };
        let zones = Self { snapshot: ArcSwap::from_pointee(Snapshot::default()), state: Mutex::new(state) };
        zones.apply(&Scope::All, |_| {})?;
        Ok(zones)
    }

    /// The zones as they are now.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// Takes another site file over.
    ///
    /// # Errors
    /// A zone in which updates do not go together with the new site file, though those that clash with one of its
    /// names are left out; the old zones stay.
    pub fn set_site(&self, settings: Settings) -> Result<(), ZoneFault> {
        self.apply(&Scope::All, |state| {
            state.plan = Arc::clone(settings.plan(state.bootstrap));
            state.settings = settings;
        })
    }

    /// Gives the bootstrap machine its names, or takes them away.
    ///
    /// # Errors
    /// As [`Zones::set_site`].
    pub fn set_bootstrap(&self, needed: bool) -> Result<(), ZoneFault> {
        self.apply(&Scope::All, |state| {
            state.bootstrap = needed;
            state.plan = Arc::clone(state.settings.plan(needed));
        })
    }

    /// Replaces all leases.
    ///
    /// # Errors
    /// Never, as leases only get names that nothing else has.
    pub fn set_leases(&self, leases: Vec<Lease>) -> Result<(), ZoneFault> {
        self.apply(&Scope::Leases, |state| state.leases = leases)
    }

    /// Replaces what dynamic updates have added to the zone `origin`.
    ///
    /// # Errors
    /// The records do not go together with the site's; nothing has changed then.
    pub fn set_updates(&self, origin: &Name, records: Vec<Record>) -> Result<(), ZoneFault> {
        // A name that an update takes may be a lease's, which then gets another one.
        self.apply(&Scope::Updates(origin.clone()), |state| {
            if records.is_empty() {
                state.updates.remove(origin);
            } else {
                state.updates.insert(origin.clone(), records);
            }
        })
    }

    /// Where the records of `owner` come from; `None` where it has none of its own (it may still be matched by a
    /// wildcard of the site's, or be denied by it: then the answer is the zone's).
    pub fn source_of(&self, owner: &Name) -> Option<Source> {
        let state = self.lock();
        let zone = state.plan.zone_of(owner)?;
        let has = |records: &[Record]| records.iter().any(|record| record.owner == *owner);
        if has(&zone.records) {
            return Some(Source::Zone);
        }
        if state.updates.get(&zone.origin).is_some_and(|records| has(records)) {
            return Some(Source::Update);
        }
        state.lease_records(&zone.origin).is_ok_and(|records| has(&records)).then_some(Source::Lease)
    }

    /// The names of leases, by address.
    pub fn lease_names(&self) -> BTreeMap<Ipv4Addr, String> {
        self.lock().names.clone()
    }

    /// Whether the bootstrap machine has names.
    pub fn bootstrap(&self) -> bool {
        self.lock().bootstrap
    }

    /// The present settings.
    pub fn settings(&self) -> Settings {
        self.lock().settings.clone()
    }

    /// The apex of the cluster zone.
    pub fn cluster(&self) -> Name {
        self.lock().plan.cluster.clone()
    }

    /// What `GET /zones` answers: every zone with its kind, serial and number of records. Local zones, which every
    /// server has, come last.
    pub fn list(&self) -> Value {
        let state = self.lock();
        let snapshot = self.snapshot.load();
        let mut zones: Vec<_> =
            state.plan.zones.values().filter(|zone| zone.kind != ZoneKind::Hole).collect();
        zones.sort_by_key(|zone| (zone.kind, &zone.origin));
        let zones = zones.into_iter().filter_map(|zone| {
            let served = snapshot.zone(&zone.origin)?;
            let updates = state.updates.get(&zone.origin).map_or(0, Vec::len);
            Some(json!({
                "zone": zone.origin.to_string(),
                "kind": zone.kind.name(),
                "serial": served.serial(),
                "records": served.records().len(),
                "leases": state.lease_records(&zone.origin).map_or(0, |records| records.len()),
                "updates": updates,
            }))
        });
        json!({ "zones": zones.collect::<Vec<Value>>() })
    }

    /// The zone `origin` as a master file, as it is served.
    pub fn master_file(&self, origin: &Name) -> Option<String> {
        Some(render::master_file(self.snapshot.load().zone(origin)?))
    }

    /// Our part of `GET /status`.
    pub fn status(&self) -> Value {
        let state = self.lock();
        let snapshot = self.snapshot.load();
        let cluster = snapshot.zone(&state.plan.cluster);
        json!({
            "cluster": state.plan.cluster.to_string(),
            "serial": cluster.map(|zone| zone.serial()),
            "zones": snapshot.zones().len(),
            "records": snapshot.zones().map(|zone| zone.records().len()).sum::<usize>(),
            "lease_names": state.names.len(),
            "updates": state.updates.values().map(Vec::len).sum::<usize>(),
            "bootstrap": state.bootstrap,
        })
    }

    /// Makes a change, compiles what it touches, and swaps; or leaves everything as it was.
    fn apply(&self, scope: &Scope, change: impl FnOnce(&mut State)) -> Result<(), ZoneFault> {
        let mut state = self.lock();
        let undo = state.memento();
        let names_before = state.names.clone();
        change(&mut state);
        state.name_leases();
        let touched = state.touched(scope, &names_before);
        let now = clock::wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let site_first = !matches!(scope, Scope::Updates(_));
        let compiled = match state.compile(&touched, site_first, now) {
            Ok(compiled) => compiled,
            Err(fault) => {
                state.restore(undo);
                return Err(fault);
            }
        };
        if compiled.is_empty() && *scope != Scope::All {
            return Ok(());
        }
        state.compiled.extend(compiled);
        let plan = Arc::clone(&state.plan);
        state.compiled.retain(|origin, _| plan.zones.contains_key(origin));
        self.snapshot.store(Arc::new(Snapshot::new(
            state.compiled.values().map(|compiled| Arc::clone(&compiled.zone)).collect(),
        )));
        state.save();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic half way leaves the state as it was before the swap, or complete: see `apply`.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a change touches.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    /// Possibly everything.
    All,
    /// Zones with leases.
    Leases,
    /// One zone, and those with leases.
    Updates(Name),
}

/// What [`Zones::apply`] goes back to.
struct Memento {
    settings: Settings,
    bootstrap: bool,
    plan: Arc<Plan>,
    leases: Vec<Lease>,
    names: BTreeMap<Ipv4Addr, String>,
    updates: BTreeMap<Name, Vec<Record>>,
}

impl State {
    fn memento(&self) -> Memento {
        Memento {
            settings: self.settings.clone(),
            bootstrap: self.bootstrap,
            plan: Arc::clone(&self.plan),
            leases: self.leases.clone(),
            names: self.names.clone(),
            updates: self.updates.clone(),
        }
    }

    fn restore(&mut self, before: Memento) {
        self.settings = before.settings;
        self.bootstrap = before.bootstrap;
        self.plan = before.plan;
        self.leases = before.leases;
        self.names = before.names;
        self.updates = before.updates;
    }

    fn name_leases(&mut self) {
        let plan = &self.plan;
        let updated = self.updates.get(&plan.cluster).map(|records| first_labels(&plan.cluster, records));
        let reserved = Reserved {
            labels: &plan.labels,
            updated: &updated.unwrap_or_default(),
            machines: &plan.machines,
        };
        let eligible = self.leases.iter().filter(|lease| !plan.fixed.contains(&IpAddr::V4(lease.address)));
        let eligible: Vec<Lease> = eligible.cloned().collect();
        self.names = label::assign(&eligible, reserved, &self.names);
    }

    /// The zones to look at after a change.
    fn touched(&self, scope: &Scope, names_before: &BTreeMap<Ipv4Addr, String>) -> BTreeSet<Name> {
        let mut touched = BTreeSet::new();
        match scope {
            Scope::All => return self.plan.zones.keys().cloned().collect(),
            Scope::Updates(origin) => {
                touched.insert(origin.clone());
            }
            Scope::Leases => {}
        }
        let addresses = names_before.keys().chain(self.names.keys());
        let changed: BTreeSet<Ipv4Addr> = addresses
            .filter(|address| names_before.get(*address) != self.names.get(*address))
            .copied()
            .collect();
        if !changed.is_empty() {
            touched.insert(self.plan.cluster.clone());
        }
        for address in changed {
            touched.extend(self.reverse_zone(address).cloned());
        }
        touched.retain(|origin| self.plan.zones.contains_key(origin));
        touched
    }

    fn reverse_zone(&self, address: Ipv4Addr) -> Option<&Name> {
        let owner = Name::parse(&pointer_owner(address.into())).ok()?;
        let zone = self.plan.zone_of(&owner).filter(|zone| zone.kind == ZoneKind::Reverse)?;
        // A PTR that stands in the site file is the address's one name.
        let by_hand = zone.records.iter().any(|record| record.kind == kind::PTR && record.owner == owner);
        (!by_hand).then_some(&zone.origin)
    }

    /// The records of leases in the zone `origin`.
    fn lease_records(&self, origin: &Name) -> Result<Vec<Record>, crate::protocol::name::NameError> {
        let cluster = &self.plan.cluster;
        let Some(zone) = self.plan.zones.get(origin) else { return Ok(Vec::new()) };
        let mut records = Vec::new();
        match zone.kind {
            ZoneKind::Cluster => {
                for (&address, label) in &self.names {
                    let owner = cluster.prepend(label.as_bytes())?;
                    records.push(record::address(&owner, address.into(), LEASE_TTL_SECS));
                }
            }
            ZoneKind::Reverse => {
                let by_hand: BTreeSet<&Name> = zone
                    .records
                    .iter()
                    .filter(|record| record.kind == kind::PTR)
                    .map(|record| &record.owner)
                    .collect();
                for (&address, label) in &self.names {
                    let owner = Name::parse(&pointer_owner(address.into()))?;
                    if !owner.is_within(origin) || by_hand.contains(&owner) {
                        continue;
                    }
                    let target = cluster.prepend(label.as_bytes())?;
                    records.push(record::pointer(&owner, &target, LEASE_TTL_SECS));
                }
            }
            _ => {}
        }
        Ok(records)
    }

    /// Compiles those of `touched` whose content has changed. With `site_first` an update that clashes with the
    /// site file is left out instead of being a fault: no update keeps a site file from being taken over.
    fn compile(
        &mut self,
        touched: &BTreeSet<Name>,
        site_first: bool,
        now: u64,
    ) -> Result<BTreeMap<Name, Compiled>, ZoneFault> {
        let mut sources = Vec::new();
        for origin in touched {
            let Some(zone) = self.plan.zones.get(origin) else { continue };
            let mut records = zone.records.clone();
            let leases = self.lease_records(origin);
            // Labels were proven to be labels, and the zone's name leaves room for one.
            records.extend(leases.unwrap_or_else(|error| {
                warn!(event = "lease_names_left_out", zone = %origin, %error, "leases cannot be named");
                Vec::new()
            }));
            let updates = self.updates.get(origin).into_iter().flatten();
            if site_first {
                records.extend(updates.filter(|update| !clashes(update, &zone.records)).cloned());
            } else {
                records.extend(updates.cloned());
            }
            let content = Content::of(&records);
            let unchanged = self.compiled.get(origin).is_some_and(|compiled| compiled.content == content);
            if !unchanged {
                sources.push((zone.kind, content, ZoneSource { origin: origin.clone(), records }));
            }
        }
        let mut compiled = BTreeMap::new();
        let mut given = Vec::new();
        for (kind, content, mut source) in sources {
            if kind != ZoneKind::Local {
                let serial = self.serials.next(&source.origin, content, now);
                if let Some(soa) = source.records.iter_mut().find(|record| record.kind == kind::SOA) {
                    *soa = record::with_serial(soa, serial);
                }
                given.push((source.origin.clone(), content, serial));
            }
            let zone = Zone::compile(&source)
                .map_err(|errors| ZoneFault { origin: source.origin.clone(), errors })?;
            let zone = if kind.is_transparent() { zone.into_transparent() } else { zone };
            compiled.insert(source.origin, Compiled { content, zone: Arc::new(zone) });
        }
        // A change that is refused takes no serial.
        for (origin, content, serial) in given {
            self.serials.give(&origin, content, serial, now);
        }
        Ok(compiled)
    }

    fn save(&mut self) {
        let current: BTreeSet<String> =
            self.plan.zones.keys().map(|origin| origin.lower().to_string()).collect();
        let saved: io::Result<()> = self.serials.save(|origin| current.contains(origin));
        if let Err(error) = saved {
            warn!(
                event = "serials_not_saved", %error,
                "serial numbers cannot be written; they are right until a restart; make room on the disk"
            );
        }
    }
}

/// Whether an update cannot stand beside `records` (RFC 1034 section 3.6.2).
fn clashes(update: &Record, records: &[Record]) -> bool {
    let alias = |record: &Record| record.kind == kind::CNAME;
    records.iter().any(|record| record.owner == update.owner && (alias(record) || alias(update)))
}
