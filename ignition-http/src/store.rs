//! Where every node is, kept in the journal.
//!
//! A record holds one node's whole state, with the cards and the UUID it had: a node that is renamed in the
//! site file is still the same machine and is not armed again. Records are never removed, so a node that
//! leaves the site file and comes back is not new either. Nor does a card lose its past when the site file
//! gives it to another node: a node that was to be installed is held once it has a card with a past under
//! another name, until the operator arms it.
//!
//! A journal that lost records must not arm anybody: then every node that might install is held, and so is
//! every node without a record, until the operator arms it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use faros_common::clock;
use faros_common::daemon::StartError;
use faros_common::journal::{
    Disk, GroupCommit, Journal, JournalError, JournalOptions, JournalStatus, Lsn, OnDamage, Recovered,
};
use faros_common::site::Mac;
use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use crate::config::Config;
use crate::protocol::identity::{Machine, Uuid};
use crate::protocol::journey::{Change, Journey, Stage, Step, UnixMillis, WITHOUT_PROFILE};

/// The journal's name, and the version of its records.
const JOURNAL: (&str, u16) = ("nodes", 1);

/// Why a node without a record is held.
const LOST: &str = "records were lost, so it is not known whether it was installed; arm it to install it";

/// One record of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Record {
    /// The state of a node; the latest one counts.
    Node {
        name: String,
        macs: Vec<Mac>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uuid: Option<String>,
        /// What the site file called this node's before.
        #[serde(default, skip_serializing_if = "Identities::is_empty")]
        former: Identities,
        journey: Box<Journey>,
    },
    /// Whether a node without a record is new, or held because records were lost.
    Strangers { held: bool },
}

/// The state of all nodes.
#[derive(Debug)]
pub struct Store {
    inner: Mutex<Inner>,
    /// None: state in memory only, for tests.
    journal: Option<GroupCommit>,
}

#[derive(Debug, Default)]
struct Inner {
    nodes: BTreeMap<String, Entry>,
    hold_strangers: bool,
}

/// Most cards, and most UUIDs, that are remembered of a node's past; the oldest make room.
const FORMER_MAX: usize = 64;

/// Cards and UUIDs of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Identities {
    macs: Vec<Mac>,
    uuids: Vec<String>,
}

impl Identities {
    fn is_empty(&self) -> bool {
        self.macs.is_empty() && self.uuids.is_empty()
    }

    fn holds(&self, machine: &Machine) -> bool {
        self.macs.iter().any(|mac| machine.macs.contains(mac))
            || self.uuids.iter().any(|uuid| is_uuid_of(uuid, machine))
    }

    fn drop_those_of(&mut self, machine: &Machine) {
        self.macs.retain(|mac| !machine.macs.contains(mac));
        self.uuids.retain(|uuid| !is_uuid_of(uuid, machine));
    }

    fn remember(&mut self, macs: Vec<Mac>, uuid: Option<String>) {
        self.macs.retain(|mac| !macs.contains(mac));
        self.macs.extend(macs);
        self.uuids.retain(|known| Some(known) != uuid.as_ref());
        self.uuids.extend(uuid);
        self.macs.drain(..self.macs.len().saturating_sub(FORMER_MAX));
        self.uuids.drain(..self.uuids.len().saturating_sub(FORMER_MAX));
    }
}

/// In either byte order.
fn is_uuid_of(uuid: &str, machine: &Machine) -> bool {
    machine.uuid.is_some() && Uuid::parse(uuid) == machine.uuid
}

#[derive(Clone, Debug)]
struct Entry {
    macs: Vec<Mac>,
    uuid: Option<String>,
    former: Identities,
    journey: Journey,
    /// The record that holds the present state.
    lsn: Lsn,
    /// The present state could not be written yet.
    unsaved: bool,
}

/// A change that was taken.
#[derive(Clone, Copy, Debug)]
pub struct Applied<T> {
    /// The answer.
    pub answer: T,
    /// Where the node was.
    pub before: Stage,
    /// Where it is.
    pub after: Stage,
    /// The record that must be durable before the answer leaves.
    pub lsn: Lsn,
}

impl Store {
    /// Opens the journal in `directory`.
    ///
    /// # Errors
    /// The journal is gone, of another program or not ours to open: starting empty would arm every node.
    pub fn open(directory: &Path) -> Result<Self, StartError> {
        Self::open_by(|options| Journal::open(directory, options))
            .map_err(|error| StartError::System(error.to_string()))
    }

    /// As [`Store::open`], on a disk of any kind.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(disk: &Arc<dyn Disk>) -> Result<Self, JournalError> {
        Self::open_by(|options| Journal::open_on(Arc::clone(disk), options))
    }

    fn open_by(
        open: impl Fn(JournalOptions) -> Result<(Journal, Recovered), JournalError>,
    ) -> Result<Self, JournalError> {
        let options = JournalOptions::new(JOURNAL.0, JOURNAL.1);
        let (journal, recovered) = match open(options.clone()) {
            // What is readable is taken, because nothing is installed on the strength of it.
            Err(JournalError::Damaged { .. }) => {
                open(JournalOptions { on_damage: OnDamage::Salvage, ..options })?
            }
            other => other?,
        };
        Self::start(journal, &recovered)
    }

    /// A store without a journal.
    pub fn in_memory() -> Self {
        Self { inner: Mutex::default(), journal: None }
    }

    fn start(mut journal: Journal, recovered: &Recovered) -> Result<Self, JournalError> {
        let now = unix_millis(clock::wall());
        let report = &recovered.report;
        let mut inner = replay(&recovered.records);
        if report.first_start {
            journal.append(&bytes(&Record::Strangers { held: false }))?;
            journal.commit()?;
        }
        let knows_strangers = recovered
            .records
            .iter()
            .any(|record| matches!(serde_json::from_slice::<Record>(record), Ok(Record::Strangers { .. })));
        if report.records_lost > 0 || (!report.first_start && !knows_strangers) {
            error!(
                event = "node_state_lost",
                lost = report.records_lost,
                "records of nodes are lost: nothing is installed until nodes are armed again"
            );
            inner.hold_all(now);
            // Before anything is served: the next start finds an undamaged journal, which must say this too.
            journal.snapshot(inner.records())?;
        }
        if report.tmpfs {
            warn!(event = "state_on_tmpfs", "the state of nodes will not survive a restart of this machine");
        }
        let group = GroupCommit::start(journal).map_err(|error| JournalError::Disk {
            action: "start the journal's thread for",
            path: JOURNAL.0.into(),
            source: Arc::new(error),
        })?;
        Ok(Self { inner: Mutex::new(inner), journal: Some(group) })
    }

    /// Takes up the nodes of the site file. Returns those that are seen for the first time, and those that are
    /// held from now on.
    pub fn take_up(&self, config: &Config, now: SystemTime) -> Vec<(String, Stage)> {
        let now = unix_millis(now);
        let mut inner = self.lock();
        let mut new = Vec::new();
        // Judged by how things were before this site file: nodes may have swapped their cards in it.
        let pasts: Vec<_> =
            config.roster.machines.iter().map(|machine| inner.past_of(machine).map(str::to_owned)).collect();
        for ((machine, plan), past) in config.roster.machines.iter().zip(&config.nodes).zip(pasts) {
            if let Some(entry) = inner.nodes.get_mut(&machine.name) {
                entry.identify(machine);
                if let Some(past) = past.filter(|_| entry.journey.stage().installs()) {
                    (entry.journey, entry.unsaved) = (Journey::held(&was_called(&past), now), true);
                    new.push((machine.name.clone(), Stage::Held));
                }
            } else if plan.profile.is_some() {
                let journey = match past {
                    Some(past) => Journey::held(&was_called(&past), now),
                    None if inner.hold_strangers => Journey::held(LOST, now),
                    None => Journey::first_sight(now),
                };
                new.push((machine.name.clone(), journey.stage()));
                inner.nodes.insert(machine.name.clone(), Entry::new(machine, journey));
            }
        }
        self.save_unsaved(&mut inner);
        new
    }

    /// The cards and the UUID of `machine` have no past under other names any more: the operator is about to
    /// arm it, knowing what the site file calls it. What is written for this precedes any later record.
    pub fn claim(&self, machine: &Machine) {
        let mut inner = self.lock();
        let others = inner.nodes.iter_mut().filter(|(name, _)| **name != machine.name);
        for (_, entry) in others.filter(|(_, entry)| entry.was(machine)) {
            entry.macs.retain(|mac| !machine.macs.contains(mac));
            entry.uuid = entry.uuid.take().filter(|uuid| !is_uuid_of(uuid, machine));
            entry.former.drop_those_of(machine);
            entry.unsaved = true;
        }
        self.save_unsaved(&mut inner);
    }

    /// A copy of a node's state. A node without a profile has none until it first asks.
    pub fn journey(&self, name: &str) -> Option<Journey> {
        self.lock().nodes.get(name).map(|entry| entry.journey.clone())
    }

    /// Lets `change` work on the state of `machine`.
    ///
    /// # Errors
    /// The journal did not take what had to be written before the answer: nothing is changed then.
    pub fn apply<T>(
        &self,
        machine: &Machine,
        now: SystemTime,
        change: impl FnOnce(&mut Journey, UnixMillis) -> Step<T>,
    ) -> Result<Applied<T>, JournalError> {
        let now = unix_millis(now);
        let mut inner = self.lock();
        let mut entry = match inner.nodes.get(&machine.name) {
            Some(entry) => entry.clone(),
            // It has no profile, or it would have been taken up: if it gets one later, that is no first sight.
            None => Entry::new(machine, Journey::held(WITHOUT_PROFILE, now)),
        };
        let (before, record_before) = (entry.journey.stage(), entry.record(&machine.name));
        let step = change(&mut entry.journey, now);
        let record = entry.record(&machine.name);
        if entry.unsaved || record != record_before {
            match self.append(record) {
                Ok(lsn) => (entry.lsn, entry.unsaved) = (lsn, false),
                Err(error) if step.change == Change::BeforeAnswer => return Err(error),
                Err(_) => entry.unsaved = true,
            }
        }
        let applied = Applied { answer: step.answer, before, after: entry.journey.stage(), lsn: entry.lsn };
        inner.nodes.insert(machine.name.clone(), entry);
        self.save_unsaved(&mut inner);
        if let Some(journal) = self.journal.as_ref().filter(|journal| journal.snapshot_due())
            && let Err(error) = journal.snapshot(inner.records())
        {
            warn!(event = "snapshot_failed", %error, "the journal of nodes was not compacted");
        }
        Ok(applied)
    }

    /// Waits until `lsn` is on disk.
    ///
    /// # Errors
    /// The disk failed: nothing may be promised.
    pub async fn durable(&self, lsn: Lsn) -> Result<(), JournalError> {
        match &self.journal {
            Some(journal) => journal.durable(lsn).await,
            None => Ok(()),
        }
    }

    /// Why nothing can be promised at present, if so.
    pub fn failure(&self) -> Option<String> {
        let progress = self.journal.as_ref()?.progress();
        let failed = progress.borrow().failed.clone();
        failed.map(|error| error.to_string())
    }

    /// The journal's part of the status.
    pub fn journal_status(&self) -> Option<JournalStatus> {
        self.journal.as_ref().map(GroupCommit::status)
    }

    /// Writes what is still to be written, and ends.
    ///
    /// # Errors
    /// Not everything could be written.
    pub async fn shutdown(&self) -> Result<(), JournalError> {
        match &self.journal {
            Some(journal) => journal.shutdown().await,
            None => Ok(()),
        }
    }

    fn append(&self, record: Vec<u8>) -> Result<Lsn, JournalError> {
        self.journal.as_ref().map_or(Ok(Lsn::default()), |journal| journal.append(record))
    }

    /// Tries to write what could not be written when it changed; what fails again stays marked.
    fn save_unsaved(&self, inner: &mut Inner) {
        for (name, entry) in inner.nodes.iter_mut().filter(|(_, entry)| entry.unsaved) {
            match self.append(entry.record(name)) {
                Ok(lsn) => (entry.lsn, entry.unsaved) = (lsn, false),
                Err(_) => return,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn new(machine: &Machine, journey: Journey) -> Self {
        let uuid = machine.uuid.map(|uuid| uuid.to_string());
        let (macs, former) = (machine.macs.clone(), Identities::default());
        Self { macs, uuid, former, journey, lsn: Lsn::default(), unsaved: true }
    }

    /// Whether the site file has ever called `machine` by this entry's name.
    fn was(&self, machine: &Machine) -> bool {
        let own_uuid = self.uuid.as_ref().is_some_and(|uuid| is_uuid_of(uuid, machine));
        own_uuid || self.macs.iter().any(|mac| machine.macs.contains(mac)) || self.former.holds(machine)
    }

    /// Takes over what the site file says that `machine` is recognised by.
    fn identify(&mut self, machine: &Machine) {
        let uuid = machine.uuid.map(|uuid| uuid.to_string());
        if self.macs == machine.macs && self.uuid == uuid {
            return;
        }
        let macs = std::mem::replace(&mut self.macs, machine.macs.clone());
        let uuid = std::mem::replace(&mut self.uuid, uuid);
        self.former.remember(macs, uuid);
        self.former.drop_those_of(machine);
        self.unsaved = true;
    }

    fn record(&self, name: &str) -> Vec<u8> {
        let Self { macs, uuid, former, journey, .. } = self.clone();
        bytes(&Record::Node { name: name.to_owned(), macs, uuid, former, journey: Box::new(journey) })
    }
}

impl Inner {
    /// Another name under which `machine` may have been installed.
    fn past_of(&self, machine: &Machine) -> Option<&str> {
        let others = self.nodes.iter().filter(|(name, _)| **name != machine.name);
        // Renamed before it ever booted: still new.
        let mut pasts = others.filter(|(_, entry)| !entry.journey.is_untouched() && entry.was(machine));
        pasts.next().map(|(name, _)| name.as_str())
    }

    fn hold_all(&mut self, now: UnixMillis) {
        self.hold_strangers = true;
        for entry in self.nodes.values_mut().filter(|entry| entry.journey.stage().installs()) {
            entry.journey = Journey::held(LOST, now);
        }
    }

    fn records(&self) -> Vec<Vec<u8>> {
        let strangers = bytes(&Record::Strangers { held: self.hold_strangers });
        std::iter::once(strangers).chain(self.nodes.iter().map(|(name, entry)| entry.record(name))).collect()
    }
}

/// The state that a sequence of records leads to. A record that cannot be read holds its node, if it can
/// still be named, by counting as lost.
fn replay(records: &[Vec<u8>]) -> Inner {
    let mut inner = Inner::default();
    for record in records {
        match serde_json::from_slice(record) {
            Ok(Record::Node { name, macs, uuid, former, journey }) => {
                let lsn = Lsn::default();
                inner
                    .nodes
                    .insert(name, Entry { macs, uuid, former, journey: *journey, lsn, unsaved: false });
            }
            Ok(Record::Strangers { held }) => inner.hold_strangers = held,
            Err(error) => {
                error!(event = "node_record_unreadable", %error, "a record of a node is unreadable");
                inner.hold_all(unix_millis(clock::wall()));
            }
        }
    }
    inner
}

fn was_called(name: &str) -> String {
    format!("the same machine was called {name}; arm it to install it")
}

fn bytes(record: &Record) -> Vec<u8> {
    serde_json::to_vec(record).expect("records hold nothing that JSON cannot")
}

/// A time as it stands in records; one before 1970 is 1970.
pub fn unix_millis(time: SystemTime) -> UnixMillis {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as UnixMillis)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
