//! From the conditions of all servers to those that get connections.

use std::sync::Arc;

use serde::Serialize;

use crate::pool::{Server, Slot};
use crate::protocol::health::{Condition, Machine};

/// A server of a front end, as it stands now.
#[derive(Clone, Debug)]
pub struct Member {
    /// The server.
    pub server: Arc<Server>,
    /// Its configured weight, at most 256; 0: no new connections.
    pub weight: u16,
    /// Whether it serves only while no other does.
    pub backup: bool,
    /// Whether it is out for good ([`super::Retirement`]).
    pub retired: bool,
    /// How it stands.
    pub condition: Condition,
    /// Its share while it is up, in 256ths.
    pub share: u32,
}

/// Which servers serve: the first tier that has any. Servers of different tiers never serve together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Those that are up.
    Primary,
    /// Backups that are up.
    Backup,
    /// Those whose checks are good but that flap or refuse connections: better than nobody.
    WaveringPrimary,
    /// The same among backups.
    WaveringBackup,
    /// Those that are not checked yet: only in the first moments.
    UnknownPrimary,
    /// The same among backups.
    UnknownBackup,
}

impl Tier {
    /// Whether its servers have passed their checks.
    pub fn is_healthy(self) -> bool {
        self < Self::UnknownPrimary
    }

    /// A statement for status and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "servers that are up",
            Self::Backup => "backups, because no other server is up",
            Self::WaveringPrimary => "servers that flap or refuse connections, because no other is up",
            Self::WaveringBackup => "backups that flap or refuse connections, because no other is up",
            Self::UnknownPrimary => "servers that are not checked yet, because none is known to be up",
            Self::UnknownBackup => "backups that are not checked yet, because no server is known to be up",
        }
    }
}

/// Who serves.
#[derive(Clone, Debug, PartialEq)]
pub struct Composition {
    /// Which servers; `None`: nobody is left, and clients are told so at once by a reset.
    pub tier: Option<Tier>,
    /// They, with their shares.
    pub slots: Vec<Slot>,
}

/// Who serves of these members.
///
/// Drained ones, ones in maintenance, retired ones and ones of weight 0 never do, nor do ones that are down:
/// there is no last resort, since a client that is reset at once can go elsewhere or try again, while one
/// that is sent to a dead server waits.
///
/// Shares of slow start are relative: they are scaled so that the largest is full. A server that comes up
/// alone gets everything at once, and after a site-wide outage nobody is spared for the sake of servers that
/// are just as cold.
pub fn compose(members: &[Member]) -> Composition {
    let tier = members.iter().filter_map(tier).min();
    let chosen = || members.iter().filter(|member| tier.is_some() && self::tier(member) == tier);
    let largest = chosen().map(share).max().unwrap_or(Machine::SHARE_FULL);
    let slots = chosen().map(|member| {
        let share = (share(member) * Machine::SHARE_FULL / largest).max(1);
        let weight = (u32::from(member.weight) * share).min(Slot::WEIGHT_MAX);
        Slot { server: Arc::clone(&member.server), weight }
    });
    Composition { tier, slots: slots.collect() }
}

fn tier(member: &Member) -> Option<Tier> {
    if member.retired || member.weight == 0 {
        return None;
    }
    let tiers = match member.condition {
        Condition::Up => [Tier::Primary, Tier::Backup],
        Condition::Held | Condition::Ejected => [Tier::WaveringPrimary, Tier::WaveringBackup],
        Condition::Unknown => [Tier::UnknownPrimary, Tier::UnknownBackup],
        Condition::Down | Condition::Drained | Condition::Maintenance => return None,
    };
    Some(tiers[usize::from(member.backup)])
}

/// From 1 to the full share.
fn share(member: &Member) -> u32 {
    match member.condition {
        Condition::Up => member.share.clamp(1, Machine::SHARE_FULL),
        _ => Machine::SHARE_FULL,
    }
}
