//! The leases in force, from what dhcpd tells and when.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant, UNIX_EPOCH};

use faros_common::site::Mac;
use serde_json::Value;

use super::label::{Lease, sanitised};

/// Most leases with names: as many as the largest pool has addresses. Those beyond stay without.
pub const LEASES_MAX: usize = 65_536;

/// The leases in force. Told what dhcpd says and what time it is.
#[derive(Clone, Debug, Default)]
pub struct Table {
    held: BTreeMap<Ipv4Addr, Held>,
    /// Whether a name or an address has changed since [`Table::take_changed`].
    changed: bool,
    /// Leases left out because of [`LEASES_MAX`].
    left_out: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    /// None: the machine has no name that a host may have.
    lease: Option<Lease>,
    mac: Option<Mac>,
    since: u64,
    until: Instant,
}

impl Table {
    /// Takes over the answer to `GET /leases`, in place of everything known.
    ///
    /// # Errors
    /// The answer has no list of leases.
    pub fn on_list(&mut self, answer: &Value, now: Instant) -> Result<(), String> {
        let list =
            answer.get("leases").and_then(Value::as_array).ok_or("the answer has no list of leases")?;
        let mut held = BTreeMap::new();
        self.left_out = 0;
        for lease in list.iter().filter(|lease| text(lease, "state") == Some("active")) {
            let Some((address, mac)) = whose(lease) else { continue };
            let Some(secs) = lease.get("secs_left").and_then(Value::as_u64).filter(|secs| *secs > 0) else {
                continue;
            };
            if held.len() >= LEASES_MAX {
                self.left_out += 1;
                continue;
            }
            let since = text(lease, "since").map_or(0, moment);
            let lease = named(lease, "name", address, mac, since);
            held.insert(address, Held { lease, mac, since, until: later(now, secs) });
        }
        let names = |table: &BTreeMap<Ipv4Addr, Held>| {
            table.values().filter_map(|held| held.lease.clone()).collect::<Vec<Lease>>()
        };
        self.changed |= names(&held) != names(&self.held);
        self.held = held;
        Ok(())
    }

    /// Takes an event of dhcpd's stream.
    pub fn on_event(&mut self, event: &Value, now: Instant) {
        let Some((address, mac)) = whose(event) else { return };
        match text(event, "event") {
            Some(id @ ("lease_granted" | "lease_renewed")) => {
                let Some(secs) = event.get("lease_secs").and_then(Value::as_u64) else { return };
                let before = self.held.get(&address);
                if before.is_none() && self.held.len() >= LEASES_MAX {
                    self.left_out += 1;
                    return;
                }
                let kept = before.filter(|before| id == "lease_renewed" && before.mac == mac);
                let since = kept.map_or_else(|| text(event, "time").map_or(0, moment), |before| before.since);
                let lease = named(event, "node", address, mac, since);
                self.changed |= before.is_none_or(|before| before.lease != lease);
                self.held.insert(address, Held { lease, mac, since, until: later(now, secs) });
            }
            Some("lease_released" | "lease_expired" | "lease_declined") => {
                // Somebody else may have the address by now.
                if self.held.get(&address).is_some_and(|held| mac.is_none() || held.mac == mac)
                    && let Some(held) = self.held.remove(&address)
                {
                    self.changed |= held.lease.is_some();
                }
            }
            _ => {}
        }
    }

    /// When the next lease ends.
    pub fn deadline(&self) -> Option<Instant> {
        self.held.values().map(|held| held.until).min()
    }

    /// Ends what has come to its end.
    pub fn on_timeout(&mut self, now: Instant) {
        let changed = &mut self.changed;
        self.held.retain(|_, held| {
            let lives = now < held.until;
            *changed |= !lives && held.lease.is_some();
            lives
        });
    }

    /// Leases in force that have a name, if that has changed.
    pub fn take_changed(&mut self) -> Option<Vec<Lease>> {
        std::mem::take(&mut self.changed)
            .then(|| self.held.values().filter_map(|held| held.lease.clone()).collect())
    }

    /// How many leases are in force.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many were left out because there are more than [`LEASES_MAX`].
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

fn whose(value: &Value) -> Option<(Ipv4Addr, Option<Mac>)> {
    Some((text(value, "address")?.parse().ok()?, text(value, "mac").and_then(|mac| mac.parse().ok())))
}

/// The lease under its name: what the site file calls the machine (`key`), else what it calls itself.
fn named(value: &Value, key: &str, address: Ipv4Addr, mac: Option<Mac>, since: u64) -> Option<Lease> {
    let known = text(value, key).and_then(sanitised);
    let wanted = known.clone().or_else(|| text(value, "host_name").and_then(sanitised))?;
    Some(Lease { address, mac, wanted, known: known.is_some(), since })
}

/// Microseconds since 1970 of a time in RFC 3339; 0 for anything else.
fn moment(text: &str) -> u64 {
    let time = humantime::parse_rfc3339(text).ok();
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_micros() as u64)
}

/// A time that far ahead as a lease can last; a longer one is not a time.
fn later(now: Instant, secs: u64) -> Instant {
    now + Duration::from_secs(secs.min(u32::MAX.into()))
}

#[cfg(test)]
mod tests {
    use faros_common::clock;
    use serde_json::json;

    use super::*;

    const TIME: &str = "2026-01-31T12:00:00.000000Z";

    fn listed(last: u8, name: Option<&str>, host_name: Option<&str>, secs_left: u64) -> Value {
        json!({
            "address": format!("192.0.2.{last}"), "state": "active", "mac": format!("02:00:00:00:00:{last:02x}"),
            "name": name, "host_name": host_name, "since": TIME, "secs_left": secs_left,
        })
    }

    fn event(id: &str, last: u8, more: &Value) -> Value {
        let mut event = json!({
            "event": id, "time": TIME, "address": format!("192.0.2.{last}"), "mac": format!("02:00:00:00:00:{last:02x}"),
        });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    }

    fn wanted(table: &mut Table) -> Option<Vec<(u8, String)>> {
        let leases = table.take_changed()?;
        Some(leases.into_iter().map(|lease| (lease.address.octets()[3], lease.wanted)).collect())
    }

    fn names<const N: usize>(names: [(u8, &str); N]) -> Option<Vec<(u8, String)>> {
        Some(names.map(|(last, name)| (last, name.to_owned())).to_vec())
    }

    #[test]
    fn a_list_replaces_what_was_known() {
        let now = clock::now();
        let mut table = Table::default();
        let ended = json!({ "address": "192.0.2.9", "state": "ended", "host_name": "gone", "secs_left": 0 });
        let list = [
            listed(1, Some("w1"), Some("other"), 60),
            listed(2, None, Some("Laptop.example"), 60),
            listed(3, None, None, 60),
            listed(4, None, Some("../x"), 60),
            ended,
        ];
        table.on_list(&json!({ "leases": list }), now).unwrap();
        assert_eq!(wanted(&mut table), names([(1, "w1"), (2, "laptop")]));
        assert_eq!(table.len(), 4);
        table
            .on_list(
                &json!({ "leases": [listed(2, None, Some("laptop"), 3600), listed(1, Some("w1"), None, 9)] }),
                now,
            )
            .unwrap();
        assert_eq!(wanted(&mut table), None, "only times have changed");
        table.on_list(&json!({ "leases": [] }), now).unwrap();
        assert_eq!(wanted(&mut table), names([]));
        assert!(table.on_list(&json!({ "error": "x" }), now).is_err());
    }

    #[test]
    fn a_lease_is_there_from_its_grant_to_its_end() {
        let now = clock::now();
        let mut table = Table::default();
        table.on_event(&event("lease_granted", 5, &json!({ "lease_secs": 60, "host_name": "pi" })), now);
        assert_eq!(wanted(&mut table), names([(5, "pi")]));
        let renewed = now + Duration::from_secs(30);
        table.on_event(&event("lease_renewed", 5, &json!({ "lease_secs": 60, "host_name": "pi" })), renewed);
        assert_eq!(wanted(&mut table), None);
        table.on_timeout(now + Duration::from_secs(89));
        assert_eq!((table.len(), table.deadline()), (1, Some(now + Duration::from_secs(90))));
        table.on_timeout(now + Duration::from_secs(90));
        assert_eq!(wanted(&mut table), names([]));
        assert_eq!((table.len(), table.deadline()), (0, None));
    }

    #[test]
    fn whatever_ends_a_lease_takes_its_name() {
        let now = clock::now();
        for id in ["lease_released", "lease_expired", "lease_declined"] {
            let mut table = Table::default();
            table.on_event(&event("lease_granted", 5, &json!({ "lease_secs": 60, "node": "w1" })), now);
            assert_eq!(wanted(&mut table), names([(5, "w1")]));
            // The end of an earlier holder's lease is not this one's.
            table.on_event(&event(id, 5, &json!({ "mac": "02:00:00:00:00:99" })), now);
            assert_eq!(wanted(&mut table), None);
            table.on_event(&event(id, 5, &json!({})), now);
            assert_eq!(wanted(&mut table), names([]), "{id}");
        }
    }

    #[test]
    fn a_machine_may_change_its_name() {
        let now = clock::now();
        let mut table = Table::default();
        table.on_event(&event("lease_granted", 5, &json!({ "lease_secs": 60, "host_name": "a" })), now);
        table.take_changed();
        table.on_event(&event("lease_renewed", 5, &json!({ "lease_secs": 60, "host_name": "b" })), now);
        assert_eq!(wanted(&mut table), names([(5, "b")]));
    }

    #[test]
    fn events_that_say_nothing_of_use_change_nothing() {
        let now = clock::now();
        let mut table = Table::default();
        for odd in [
            json!(7),
            json!({}),
            json!({ "event": "lease_granted" }),
            json!({ "event": "lease_granted", "address": "fd08::1", "lease_secs": 1 }),
            event("lease_granted", 5, &json!({ "lease_secs": "x" })),
            event("dhcp_offered", 5, &json!({ "lease_secs": 60, "host_name": "a" })),
            event("lease_released", 5, &json!({})),
        ] {
            table.on_event(&odd, now);
            assert_eq!((table.len(), wanted(&mut table)), (0, None), "{odd}");
        }
        table.on_event(&event("lease_granted", 5, &json!({ "lease_secs": u64::MAX, "host_name": "a" })), now);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn leases_beyond_the_limit_are_left_out() {
        let now = clock::now();
        let lease = |index: u32| {
            let address = Ipv4Addr::from(0x0a00_0000 + index);
            json!({ "address": address, "state": "active", "secs_left": 9, "host_name": "x" })
        };
        let list: Vec<Value> = (0..LEASES_MAX as u32 + 3).map(lease).collect();
        let mut table = Table::default();
        table.on_list(&json!({ "leases": list }), now).unwrap();
        table.on_event(&event("lease_granted", 5, &json!({ "lease_secs": 9, "host_name": "a" })), now);
        assert_eq!((table.len(), table.left_out()), (LEASES_MAX, 4));
    }
}
