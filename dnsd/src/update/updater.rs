//! Dynamic updates from the message to the reply: signature, prerequisites, permission, zone, disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use faros_common::events::{Event, Events};
use faros_common::journal::JournalError;
use serde_json::{Value, json};
use tracing::{error, warn};

use super::apply::{self, Added};
use super::keys::Keys;
use super::message::Update;
use super::store::{AddedByZone, NotKept, UpdateStore};
use super::tsig::{self, Verified};
use crate::protocol::code::rcode;
use crate::protocol::message::Query;
use crate::protocol::name::Name;
use crate::protocol::reply;
use crate::protocol::time::Now;
use crate::site_zones::{Source, Zones};
use crate::zone::Record;

/// The most records that updates may have added in all; an update beyond is refused.
pub const RECORDS_ADDED_MAX: usize = 10_000;
/// The most octets of data that updates may have added in all; an update beyond is refused.
pub const BYTES_ADDED_MAX: usize = 4 << 20;
/// Replies that are remembered, so that a repeated update is answered again and not done again. A replay of older
/// ones is bounded by the signature's time.
const REPLIES_KEPT: usize = 1024;

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is done, and on disk.
    Done,
    /// It was done before; the reply is the same.
    Repeated,
    /// It is not signed.
    Unsigned,
    /// Its signature does not hold: the reason's name.
    Signature(&'static str),
    /// It cannot be read.
    Malformed,
    /// The zone is not ours.
    ForeignZone,
    /// A prerequisite does not hold.
    Prerequisite,
    /// It is not for its key to do, or beyond what there is room for.
    Forbidden,
    /// The records it leaves are no zone.
    Invalid,
    /// The disk did not take it.
    Storage,
}

impl Outcome {
    /// Its name, as counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Repeated => "repeated",
            Self::Unsigned => "unsigned",
            Self::Signature(name) => name,
            Self::Malformed => "malformed",
            Self::ForeignZone => "foreign_zone",
            Self::Prerequisite => "prerequisite",
            Self::Forbidden => "forbidden",
            Self::Invalid => "invalid",
            Self::Storage => "storage",
        }
    }
}

/// Takes updates.
pub struct Updater {
    keys: ArcSwap<Keys>,
    zones: Arc<Zones>,
    events: Events,
    state: tokio::sync::Mutex<State>,
    replies: Mutex<VecDeque<(Vec<u8>, Vec<u8>)>>,
}

#[derive(Default)]
struct State {
    /// `None`: the journal did not open, and nothing is taken.
    store: Option<UpdateStore>,
    added: AddedByZone,
    /// Owners by zone of whom the journal may yet write what was undone.
    unsettled: BTreeMap<Name, BTreeSet<Name>>,
}

impl Updater {
    /// Serves what `store` holds through `zones`, and takes updates signed with `keys`. Without a store nothing is
    /// taken.
    pub fn start(
        zones: Arc<Zones>,
        keys: Keys,
        store: Option<(UpdateStore, AddedByZone)>,
        events: Events,
    ) -> Self {
        let (store, added) = store.map_or_else(Default::default, |(store, added)| (Some(store), added));
        let updater = Self {
            keys: ArcSwap::from_pointee(keys),
            zones,
            events,
            state: tokio::sync::Mutex::new(State { store, ..State::default() }),
            replies: Mutex::default(),
        };
        for (zone, owners) in &added {
            updater.show(zone, owners);
        }
        updater.state.try_lock().expect("nobody else has it yet").added = added;
        updater
    }

    /// Takes other keys.
    pub fn set_keys(&self, keys: Keys) {
        self.keys.store(Arc::new(keys));
    }

    /// Verifies the signature of `request`, where it has one.
    ///
    /// # Errors
    /// Why it does not hold.
    pub fn verify(
        &self,
        query: &Query<'_>,
        request: &[u8],
        now: Now,
    ) -> Result<Option<Verified>, tsig::Refused> {
        let Some(at) = query.tsig_at else { return Ok(None) };
        tsig::verify(request, at, &self.keys.load(), now.wall_secs).map(Some)
    }

    /// Serves once more what was added, after the site file has changed: what it hid may be free, and the other way
    /// round.
    pub async fn site_changed(&self) {
        let state = self.state.lock().await;
        for (zone, owners) in &state.added {
            self.show(zone, owners);
        }
    }

    /// Does what the update `request` says, and returns the reply.
    pub async fn handle(
        &self,
        query: &Query<'_>,
        request: &[u8],
        client: SocketAddr,
        now: Now,
    ) -> (Vec<u8>, Outcome) {
        let mut verified = match self.verify(query, request, now) {
            Ok(Some(verified)) => verified,
            Ok(None) => return (answer(query, request, rcode::REFUSED), Outcome::Unsigned),
            Err(refused) => {
                let mut reply = answer(query, request, refused.rcode());
                refused.sign(&mut reply, now.wall_secs);
                return (reply, Outcome::Signature(refused.name()));
            }
        };
        let signature = verified.mac().to_vec();
        if let Some(reply) = self.reply_to(&signature) {
            return (reply, Outcome::Repeated);
        }
        let (rcode, outcome) = match Update::read(query, request) {
            Some(update) => self.make(&update, &verified, client).await,
            None => (rcode::FORMERR, Outcome::Malformed),
        };
        let mut reply = answer(query, request, rcode);
        verified.sign(&mut reply, now.wall_secs);
        if outcome == Outcome::Done {
            let mut replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
            replies.truncate(REPLIES_KEPT - 1);
            replies.push_front((signature, reply.clone()));
        }
        (reply, outcome)
    }

    /// Our part of `GET /status`; nothing but `busy` while an update is being written.
    pub fn status(&self) -> Value {
        let Ok(state) = self.state.try_lock() else { return json!({ "busy": true }) };
        json!({
            "storage": state.store.as_ref().map(UpdateStore::status),
            "records": state.added.values().flat_map(|owners| owners.values()).map(Vec::len).sum::<usize>(),
        })
    }

    /// Ends the journal; no update is taken any more.
    pub async fn shutdown(&self) {
        let mut state = self.state.lock().await;
        if let Err(NotKept { error, .. }) = state.settle().await {
            error!(event = "dns_update_storage", %error, "an update that was undone may come back");
        }
        if let Some(store) = state.store.take() {
            store.shutdown().await;
        }
    }

    fn reply_to(&self, signature: &[u8]) -> Option<Vec<u8>> {
        let replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        replies.iter().find(|(known, _)| known == signature).map(|(_, reply)| reply.clone())
    }

    async fn make(&self, update: &Update, verified: &Verified, client: SocketAddr) -> (u16, Outcome) {
        // Updates take turns: each sees what the one before has made.
        let mut state = self.state.lock().await;
        let Some(zone) = self.zones.load().zone(&update.zone).cloned() else {
            return (rcode::NOTAUTH, Outcome::ForeignZone);
        };
        if let Err(rcode) = apply::prerequisites(update, &zone) {
            return (rcode, Outcome::Prerequisite);
        }
        let granted = &verified.granted;
        let is_fixed = |owner: &Name| self.zones.source_of(owner) == Some(Source::Zone);
        if let Err(rcode) = apply::permitted(update, granted, is_fixed) {
            let outcome = if rcode == rcode::REFUSED { Outcome::Forbidden } else { Outcome::Malformed };
            return (rcode, outcome);
        }
        let before = state.added.get(&update.zone).cloned().unwrap_or_default();
        let mut owners = before.clone();
        let changed = apply::apply(update, granted, &mut owners);
        if changed.is_empty() {
            return (rcode::NOERROR, Outcome::Done);
        }
        if !state.has_room(&update.zone, &owners) {
            return (rcode::REFUSED, Outcome::Forbidden);
        }
        // Served a moment before it is on disk, but told to nobody: only compiling shows whether it is a zone.
        if self.zones.set_updates(&update.zone, self.visible(&owners)).is_err() {
            return (rcode::FORMERR, Outcome::Invalid);
        }
        let records = |owner| owners.get(owner).map_or(&[][..], Vec::as_slice);
        let settled = state.settle().await;
        let kept = match (&state.store, settled) {
            (Some(store), Ok(())) => {
                store.keep(&update.zone, changed.iter().map(|owner| (owner, records(owner)))).await
            }
            (None, _) => Err(NotKept { error: JournalError::Closed, is_pending: false }),
            (_, Err(failed)) => Err(NotKept { is_pending: false, ..failed }),
        };
        if let Err(NotKept { error, is_pending }) = kept {
            if is_pending {
                state.unsettled.entry(update.zone.clone()).or_default().extend(changed);
            }
            error!(event = "dns_update_storage", %error, "an update could not be written, and is undone");
            self.show(&update.zone, &before);
            return (rcode::SERVFAIL, Outcome::Storage);
        }
        state.added.insert(update.zone.clone(), owners);
        if let Some(store) = &state.store {
            store.tidy(&state.added);
        }
        let names: Vec<String> = changed.iter().map(ToString::to_string).collect();
        self.events.emit(
            Event::new("dns_updated")
                .address(client.ip())
                .with("zone", update.zone.to_string())
                .with("key", granted.key.name().to_string())
                .with("names", names.join(" ")),
        );
        (rcode::NOERROR, Outcome::Done)
    }

    /// Hands the zone what was added to it, but for names that the site file has taken since.
    fn show(&self, zone: &Name, owners: &Added) {
        let visible = self.visible(owners);
        let hidden = owners.values().map(Vec::len).sum::<usize>() - visible.len();
        let shown = self.zones.set_updates(zone, visible);
        if hidden == 0 && shown.is_ok() {
            return;
        }
        let reason = match &shown {
            Ok(()) => "the site file has these names itself".to_owned(),
            Err(fault) => fault.to_string(),
        };
        warn!(event = "dns_update_hidden", %zone, hidden, reason, "records of updates are not served");
        self.events.emit(
            Event::new("dns_update_hidden")
                .with("zone", zone.to_string())
                .with("records", hidden as u64)
                .with("reason", reason),
        );
    }

    fn visible(&self, owners: &Added) -> Vec<Record> {
        let free = owners.iter().filter(|(owner, _)| self.zones.source_of(owner) != Some(Source::Zone));
        free.flat_map(|(_, records)| records).cloned().collect()
    }
}

impl State {
    /// Writes what the owners have of whom the journal may have written what was undone: the last entry counts.
    async fn settle(&mut self) -> Result<(), NotKept> {
        let Some(store) = &self.store else { return Ok(()) };
        for (zone, owners) in &self.unsettled {
            let added = self.added.get(zone);
            let records = |owner| added.and_then(|added| added.get(owner)).map_or(&[][..], Vec::as_slice);
            store.keep(zone, owners.iter().map(|owner| (owner, records(owner)))).await?;
        }
        self.unsettled.clear();
        Ok(())
    }

    /// Whether there is room for `owners` in `zone` beside what the other zones have.
    fn has_room(&self, zone: &Name, owners: &Added) -> bool {
        let others = self.added.iter().filter(|(other, _)| *other != zone).flat_map(|(_, owners)| owners);
        let records = || others.clone().chain(owners).flat_map(|(_, records)| records);
        records().count() <= RECORDS_ADDED_MAX
            && records().map(|record| record.rdata.len()).sum::<usize>() <= BYTES_ADDED_MAX
    }
}

/// A reply without data.
fn answer(query: &Query<'_>, request: &[u8], rcode: u16) -> Vec<u8> {
    let mut reply = vec![0; 512];
    let length = reply::error(query, request, &mut reply, rcode, None, 512, false);
    reply.truncate(length);
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::code::kind;

    #[tokio::test]
    async fn what_was_undone_does_not_come_back_when_the_journal_writes_it_late() {
        let directory = tempfile::tempdir().unwrap();
        let name = |text: &str| Name::parse(text).unwrap();
        let (zone, kept, undone) = (name("example."), name("kept.example."), name("undone.example."));
        let records = |owner: &Name, last| {
            vec![Record { owner: owner.clone(), kind: kind::A, ttl: 60, rdata: Box::new([192, 0, 2, last]) }]
        };
        let (store, _) = UpdateStore::open(directory.path()).unwrap();
        // As after a failure of the disk that is over.
        for (owner, last) in [(&kept, 2), (&undone, 2)] {
            store.keep(&zone, [(owner, &records(owner, last)[..])]).await.unwrap();
        }
        let before = AddedByZone::from([(zone.clone(), Added::from([(kept.clone(), records(&kept, 1))]))]);
        let unsettled = BTreeMap::from([(zone, BTreeSet::from([kept, undone]))]);
        let mut state = State { store: Some(store), added: before.clone(), unsettled };
        state.settle().await.unwrap();
        assert!(state.unsettled.is_empty());
        state.store.take().unwrap().shutdown().await;
        assert_eq!(UpdateStore::open(directory.path()).unwrap().1, before);
    }
}
