//! Who is asking: UUID before card before client identifier, so that one machine keeps one address while
//! firmware, iPXE, initramfs and operating system each name themselves differently.
//!
//! Deviation: RFC 2131 section 4.2 makes the client identifier the key where there is one. Firmware sends
//! none, iPXE its card, systems a DUID that changes with every installation; keyed on it, one machine has
//! three addresses. Here it only counts for clients without a hardware address, or to find back an address
//! that nobody uses. Cloned systems with one DUID among them therefore do not share an address either.

use std::collections::HashMap;
use std::time::Duration;

use super::leases::{Client, Lease, Leases, State};
use super::message::Hardware;
use super::request::Request;
use super::time::Time;
use crate::config::{Config, Known};
use crate::uuid::Uuid;

/// A UUID that goes back to a card within this time belongs to two machines.
const UUID_RETURN: Duration = Duration::from_secs(600);

/// UUIDs watched at once; beyond, the one that moved longest ago is forgotten.
const UUIDS_MAX: usize = 1024;

/// A client, and the configured client that it is.
#[derive(Clone, Debug)]
pub struct Who<'c> {
    /// What it said.
    pub client: Client,
    /// Which configured client it is.
    pub known: Option<&'c Known>,
    /// How that was found, for people.
    pub because: String,
}

impl<'c> Who<'c> {
    /// Identifies the sender of `request`.
    pub fn of_request(request: &Request<'_>, config: &'c Config) -> Self {
        let client = Client {
            hardware: request.message.hardware,
            uuid: request.uuid(),
            client_id: request.client_identifier().map(|id| id.into_owned().into_boxed_slice()),
        };
        Self::of_client(client, config)
    }

    /// Identifies a client.
    pub fn of_client(client: Client, config: &'c Config) -> Self {
        if let Some((uuid, known)) = client.uuid.and_then(|uuid| Some((uuid, config.known_by_uuid(uuid)?))) {
            return Self { because: format!("UUID {uuid} is {}", known.name), known: Some(known), client };
        }
        if let Some((mac, known)) =
            client.hardware.mac().and_then(|mac| Some((mac, config.known_by_mac(mac)?)))
        {
            return Self { because: format!("card {mac} is {}", known.name), known: Some(known), client };
        }
        Self { because: format!("{} is not in the site file", client.hardware), known: None, client }
    }

    /// Its name in the site file.
    pub fn name(&self) -> Option<&'c str> {
        self.known.map(|known| known.name.as_str())
    }

    /// Whether `lease` is this client's own, not that of somebody else.
    pub fn owns(&self, lease: &Lease, config: &Config, moves: &UuidMoves, now: Time) -> bool {
        if lease.client.hardware == self.client.hardware && !self.client.hardware.address().is_empty() {
            return true;
        }
        if let Some(known) = self.known {
            return Who::of_client(lease.client.clone(), config).known == Some(known);
        }
        let same_uuid =
            lease.client.uuid.is_some_and(|uuid| self.client.uuid == Some(uuid) && !moves.is_shared(uuid));
        if same_uuid && is_movable(lease, now) {
            return true;
        }
        let same_id = lease.client.client_id.is_some() && lease.client.client_id == self.client.client_id;
        let no_card = self.client.hardware.address().is_empty() && lease.client.hardware.address().is_empty();
        same_id && (no_card || !lease.is_live(now))
    }

    /// The entry that this client has, or had last, and how it was found.
    pub fn lease<'l>(
        &self,
        leases: &'l Leases,
        config: &Config,
        moves: &UuidMoves,
        now: Time,
    ) -> Option<(&'l Lease, &'static str)> {
        let own = |found: Option<&'l Lease>, how| {
            found.filter(|lease| self.owns(lease, config, moves, now)).map(|lease| (lease, how))
        };
        let by_uuid = self.client.uuid.and_then(|uuid| own(leases.of_uuid(uuid), "by UUID"));
        let by_card = || own(leases.of_hardware(self.client.hardware), "by card");
        let by_node = || {
            let cards = self.known.into_iter().flat_map(|known| &known.macs);
            cards
                .filter_map(|&mac| own(leases.of_hardware(Hardware::ethernet(mac)), "by another card"))
                .next()
        };
        let by_id = || {
            own(leases.of_client_id(self.client.client_id.as_deref()?), "by client identifier (option 61)")
        };
        by_uuid.or_else(by_card).or_else(by_node).or_else(by_id)
    }
}

/// Whether a lease may move to another card of the same UUID: nobody uses it, or only firmware does, which
/// tries one card after the other. An operating system may well use two cards at once.
fn is_movable(lease: &Lease, now: Time) -> bool {
    !lease.is_live(now) || lease.state == State::Offered || lease.firmware
}

/// Watches for UUIDs that two machines share, which careless vendors make happen.
#[derive(Debug, Default)]
pub struct UuidMoves {
    moves: HashMap<Uuid, Move>,
}

#[derive(Debug)]
struct Move {
    from: Hardware,
    at: Time,
    shared: bool,
}

impl UuidMoves {
    /// Whether the UUID was seen to belong to two machines; it then counts for nothing.
    pub fn is_shared(&self, uuid: Uuid) -> bool {
        self.moves.get(&uuid).is_some_and(|entry| entry.shared)
    }

    /// Records that an address went from one card to another because both showed `uuid`. True if this
    /// showed that the UUID is shared.
    pub fn record(&mut self, uuid: Uuid, from: Hardware, to: Hardware, now: Time) -> bool {
        if let Some(entry) = self.moves.get_mut(&uuid) {
            let returned = entry.from == to && now.since(entry.at) < UUID_RETURN;
            let newly = returned && !entry.shared;
            (entry.from, entry.at, entry.shared) = (from, now, entry.shared || returned);
            return newly;
        }
        if self.moves.len() >= UUIDS_MAX {
            let oldest = self.moves.iter().min_by_key(|(_, entry)| entry.at).map(|(&uuid, _)| uuid);
            oldest.map(|oldest| self.moves.remove(&oldest));
        }
        self.moves.insert(uuid, Move { from, at: now, shared: false });
        false
    }
}
