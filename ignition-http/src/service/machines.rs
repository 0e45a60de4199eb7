//! Machines that asked for a script and are in no site file.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use faros_common::events::rfc3339;
use faros_common::site::Mac;
use serde_json::{Value, json};

/// Most machines that are remembered; the one seen longest ago makes room.
pub(super) const UNKNOWN_MAX: usize = 256;

#[derive(Clone, Debug)]
struct Seen {
    mac: Option<Mac>,
    address: IpAddr,
    first: SystemTime,
    last: SystemTime,
    count: u64,
}

/// The machines, most recent last.
#[derive(Debug, Default)]
pub(super) struct UnknownMachines {
    seen: Mutex<Vec<Seen>>,
}

impl UnknownMachines {
    /// Remembers a machine; true: it was not remembered yet.
    pub(super) fn add(&self, mac: Option<Mac>, address: IpAddr, now: SystemTime) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &Seen| if mac.is_some() { known.mac == mac } else { known.address == address };
        let known = seen.iter().position(same).map(|index| seen.remove(index));
        let is_new = known.is_none();
        let (first, count) = known.map_or((now, 0), |known| (known.first, known.count));
        if seen.len() >= UNKNOWN_MAX {
            seen.remove(0);
        }
        seen.push(Seen { mac, address, first, last: now, count: count + 1 });
        is_new
    }

    /// The machines for the operator, most recent first.
    pub(super) fn list(&self) -> Value {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let machines = seen.iter().rev().map(|known| {
            json!({
                "mac": known.mac,
                "address": known.address,
                "first": rfc3339(known.first),
                "last": rfc3339(known.last),
                "count": known.count,
            })
        });
        machines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_listed_once_and_the_list_is_bounded() {
        let unknown = UnknownMachines::default();
        let now = SystemTime::UNIX_EPOCH;
        let address = |index: usize| IpAddr::from([192, 0, (index / 256) as u8, (index % 256) as u8]);
        let mac = Some(Mac([2, 0, 0, 0, 0, 1]));
        assert!(unknown.add(mac, address(0), now));
        assert!(!unknown.add(mac, address(1), now));
        assert_eq!(unknown.list()[0]["count"], 2);
        for index in 0..2 * UNKNOWN_MAX {
            unknown.add(None, address(index), now);
        }
        assert_eq!(unknown.list().as_array().unwrap().len(), UNKNOWN_MAX);
    }
}
