//! The table of leases: who has which address until when, and which address is next.
//!
//! An address belongs to the client that had it last, also after its lease has ended, until the pool has
//! nothing else left; then the address whose lease ended longest ago goes first. An offer holds its address
//! for [`OFFER_HOLD`]; nobody else is offered it meanwhile.
//!
//! ```text
//!            offer             ack              until passes
//!   free ───────────► Offered ─────► Active ─────────────────► Ended ──► given to somebody else
//!    ▲                   │              │ release ───────────────▲
//!    └── hold over ──────┘              └ decline ─► Quarantined ──► free
//! ```

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::message::Hardware;
use super::time::Time;
use crate::config::Config;
use crate::uuid::Uuid;

/// How long an offer holds its address (RFC 2131 section 3.1: the client may take its time).
pub const OFFER_HOLD: Duration = Duration::from_secs(60);

/// When the pool has nothing left, offers older than this are taken back.
pub const OFFER_HOLD_MIN: Duration = Duration::from_secs(10);

/// How long an address that is used by somebody else stays out of the pool.
pub const QUARANTINE: Duration = Duration::from_secs(3600);

/// Lease ends handled at one go, so that a crowd of them does not delay a reply.
const EXPIRE_BATCH: usize = 512;

/// Who a client is, by everything it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its card.
    pub hardware: Hardware,
    /// Its UUID, which firmware tells and operating systems do not.
    pub uuid: Option<Uuid>,
    /// Its option 61.
    pub client_id: Option<Box<[u8]>>,
}

/// Where a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Held for a client that has been offered it.
    Offered,
    /// Promised to a client.
    Active,
    /// Given back, or its time has passed; still kept for its last client.
    Ended,
    /// Used by a stranger.
    Quarantined,
}

/// One address and its last client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// Its client.
    pub client: Client,
    /// Where it stands.
    pub state: State,
    /// When the client got it first without a break.
    pub since: Time,
    /// When its client was heard last.
    pub heard: Time,
    /// When it ends, or ended.
    pub until: Time,
    /// The name the client gave itself.
    pub host_name: Option<String>,
    /// The transaction that extended it last.
    pub xid: [u8; 4],
    /// Whether a UUID came with the last message: firmware was speaking, not an operating system.
    pub firmware: bool,
}

impl Lease {
    /// Whether somebody may be using the address by our leave.
    pub fn is_live(&self, now: Time) -> bool {
        match self.state {
            State::Offered | State::Active => self.until > now,
            State::Ended | State::Quarantined => false,
        }
    }
}

/// What is in use, in addresses of the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All that can be leased.
    pub size: usize,
    /// Promised and not over.
    pub active: usize,
    /// Held by offers.
    pub offered: usize,
    /// Used by strangers.
    pub quarantined: usize,
}

impl Usage {
    /// What a new client could get.
    pub fn free(self) -> usize {
        self.size.saturating_sub(self.active + self.offered + self.quarantined)
    }
}

/// Why an address is the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Probed in the background and found unused.
    Probed,
    /// Never leased, or only ever offered.
    Fresh,
    /// Ended longest ago.
    Ended,
    /// Held by an offer that nobody took.
    StaleOffer,
    /// Out of quarantine early, because nothing else is left.
    Quarantine,
}

/// All leases.
#[derive(Debug, Default)]
pub struct Leases {
    by_address: HashMap<Ipv4Addr, Lease>,
    by_hardware: HashMap<Hardware, Ipv4Addr>,
    by_uuid: HashMap<Uuid, Ipv4Addr>,
    by_client_id: HashMap<Box<[u8]>, Ipv4Addr>,
    /// Ends to come, of every state but Ended.
    deadlines: BTreeSet<(Time, Ipv4Addr)>,
    /// Pool addresses that may go to somebody else, by when their lease ended.
    ended: BTreeSet<(Time, Ipv4Addr)>,
    /// Pool addresses that were offered and never taken.
    returned: BTreeSet<Ipv4Addr>,
    /// Found unused in the background, oldest finding first.
    probed: VecDeque<Ipv4Addr>,
    /// The next pool address that was never touched.
    fresh: Option<Ipv4Addr>,
    usage: Usage,
}

impl Leases {
    /// An empty table over the pool of `config`.
    pub fn new(config: &Config) -> Self {
        let mut leases = Self::default();
        leases.adopt(config);
        leases
    }

    /// Takes over a changed pool: leases stay, what can be leased next is found anew.
    pub fn adopt(&mut self, config: &Config) {
        let leases: Vec<Lease> = std::mem::take(self).by_address.into_values().collect();
        self.usage.size = config.pool.map_or(0, |pool| {
            let excluded = config.excluded.iter().filter(|&&address| pool.contains(address)).count();
            pool.len() - excluded
        });
        self.fresh = config.pool.map(|pool| pool.first);
        for lease in leases {
            self.put(lease, config);
        }
        self.advance(config);
    }

    /// How much of the pool is in use.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// All entries, in no particular order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Lease> {
        self.by_address.values()
    }

    /// The entry of `address`.
    pub fn at(&self, address: Ipv4Addr) -> Option<&Lease> {
        self.by_address.get(&address)
    }

    /// The entry that `hardware` had last.
    pub fn of_hardware(&self, hardware: Hardware) -> Option<&Lease> {
        self.at(*self.by_hardware.get(&hardware)?)
    }

    /// The entry that a machine with this UUID had last.
    pub fn of_uuid(&self, uuid: Uuid) -> Option<&Lease> {
        self.at(*self.by_uuid.get(&uuid)?)
    }

    /// The entry that a client with this option 61 had last.
    pub fn of_client_id(&self, client_id: &[u8]) -> Option<&Lease> {
        self.at(*self.by_client_id.get(client_id)?)
    }

    /// When something ends next.
    pub fn deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|&(time, _)| time)
    }

    /// The address for a client that has none, and where it comes from. Nothing is changed.
    pub fn next(&self, now: Time) -> Option<(Ipv4Addr, Source)> {
        let scarce = self.usage.free() == 0;
        let stale = || {
            self.deadlines
                .iter()
                .map(|&(_, address)| &self.by_address[&address])
                .find(|lease| lease.state == State::Offered && now.since(lease.heard) >= OFFER_HOLD_MIN)
        };
        let quarantined = || {
            self.deadlines
                .iter()
                .map(|&(_, address)| &self.by_address[&address])
                .find(|lease| lease.state == State::Quarantined)
        };
        self.probed
            .front()
            .map(|&address| (address, Source::Probed))
            .or(self.unprobed())
            .or_else(|| scarce.then(stale)?.map(|lease| (lease.address, Source::StaleOffer)))
            .or_else(|| scarce.then(quarantined)?.map(|lease| (lease.address, Source::Quarantine)))
    }

    fn unprobed(&self) -> Option<(Ipv4Addr, Source)> {
        self.returned
            .first()
            .copied()
            .or(self.fresh)
            .map(|address| (address, Source::Fresh))
            .or_else(|| self.ended.first().map(|&(_, address)| (address, Source::Ended)))
    }

    /// Pool addresses that nobody holds and nobody has probed, the next ones first, for probing.
    pub fn unprobed_candidates<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = Ipv4Addr> + 'a {
        let fresh = self.fresh.into_iter().chain(self.fresh.into_iter().flat_map(move |first| {
            let last = config.pool.map_or(first, |pool| pool.last);
            (u32::from(first) + 1..=u32::from(last))
                .map(Ipv4Addr::from)
                .filter(|&address| config.in_pool(address) && !self.by_address.contains_key(&address))
        }));
        let unprobed =
            move |address: &Ipv4Addr| !self.probed.contains(address) && !self.returned.contains(address);
        let returned = self.returned.iter().copied().filter(|address| !self.probed.contains(address));
        let ended =
            self.ended.iter().map(|&(_, address)| address).filter(|address| !self.probed.contains(address));
        returned.chain(fresh.filter(unprobed)).chain(ended)
    }

    /// How many probed addresses are in stock.
    pub fn probed_count(&self) -> usize {
        self.probed.len()
    }

    /// Puts `address` into stock, if it is still nobody's.
    pub fn add_probed(&mut self, address: Ipv4Addr, config: &Config) {
        let takeable = self.at(address).is_none_or(|lease| lease.state == State::Ended);
        if takeable && config.in_pool(address) && !self.probed.contains(&address) {
            self.probed.push_back(address);
        }
    }

    /// Takes `address` out of stock, because the finding is too old or wrong.
    pub fn remove_probed(&mut self, address: Ipv4Addr) {
        self.probed.retain(|&probed| probed != address);
    }

    /// Enters `lease`, in place of whatever its address had.
    pub fn put(&mut self, lease: Lease, config: &Config) {
        let address = lease.address;
        self.take(address, config);
        self.remove_probed(address);
        self.returned.remove(&address);
        let pooled = config.in_pool(address);
        match lease.state {
            State::Ended if pooled => {
                self.ended.insert((lease.until, address));
            }
            State::Ended => {}
            State::Offered | State::Active | State::Quarantined => {
                self.deadlines.insert((lease.until, address));
            }
        }
        if let Some(count) = self.counter(pooled, lease.state) {
            *count += 1;
        }
        if lease.state != State::Quarantined {
            self.by_hardware.insert(lease.client.hardware, address);
            if let Some(uuid) = lease.client.uuid {
                self.by_uuid.insert(uuid, address);
            }
            if let Some(id) = &lease.client.client_id {
                self.by_client_id.insert(id.clone(), address);
            }
        }
        self.by_address.insert(address, lease);
        self.advance(config);
    }

    /// Removes the entry of `address`; the address becomes free if the pool has it.
    pub fn remove(&mut self, address: Ipv4Addr, config: &Config) -> Option<Lease> {
        let lease = self.take(address, config)?;
        let behind = self.fresh.is_none_or(|fresh| address < fresh);
        if config.in_pool(address) && behind {
            self.returned.insert(address);
        }
        Some(lease)
    }

    fn take(&mut self, address: Ipv4Addr, config: &Config) -> Option<Lease> {
        let lease = self.by_address.remove(&address)?;
        self.deadlines.remove(&(lease.until, address));
        self.ended.remove(&(lease.until, address));
        if let Some(count) = self.counter(config.in_pool(address), lease.state) {
            *count -= 1;
        }
        if self.by_hardware.get(&lease.client.hardware) == Some(&address) {
            self.by_hardware.remove(&lease.client.hardware);
        }
        if let Some(uuid) = lease.client.uuid.filter(|uuid| self.by_uuid.get(uuid) == Some(&address)) {
            self.by_uuid.remove(&uuid);
        }
        if let Some(id) =
            lease.client.client_id.as_ref().filter(|id| self.by_client_id.get(*id) == Some(&address))
        {
            self.by_client_id.remove(id);
        }
        Some(lease)
    }

    fn counter(&mut self, pooled: bool, state: State) -> Option<&mut usize> {
        match state {
            _ if !pooled => None,
            State::Offered => Some(&mut self.usage.offered),
            State::Active => Some(&mut self.usage.active),
            State::Quarantined => Some(&mut self.usage.quarantined),
            State::Ended => None,
        }
    }

    /// Ends what is over, a batch at a time; returns leases that ended now.
    pub fn expire(&mut self, now: Time, config: &Config) -> Vec<Lease> {
        let mut over = Vec::new();
        for _ in 0..EXPIRE_BATCH {
            let Some(&(until, address)) = self.deadlines.first() else { break };
            if until > now {
                break;
            }
            let Some(mut lease) = self.remove(address, config) else { break };
            if lease.state == State::Active {
                lease.state = State::Ended;
                over.push(lease.clone());
                let keep = config.in_pool(address) || config.reserved_for(address).is_some();
                if keep {
                    self.put(lease, config);
                }
            }
        }
        over
    }

    /// Moves on to the next address that was never touched.
    fn advance(&mut self, config: &Config) {
        let Some(pool) = config.pool else { return };
        while let Some(address) = self.fresh {
            if config.in_pool(address)
                && !self.by_address.contains_key(&address)
                && !self.returned.contains(&address)
            {
                return;
            }
            self.fresh = (address < pool.last).then(|| Ipv4Addr::from(u32::from(address) + 1));
        }
    }
}
