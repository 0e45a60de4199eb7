//! Who waits for an operator.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use faros_common::site::Mac;
use serde::{Serialize, Serializer};

use super::identity::Client;
use super::verdict::Rule;

/// Most who are listed; the one that asked longest ago makes room. Whoever is not listed is approved all the same.
pub(super) const WAITING_MAX: usize = 256;
/// Whoever has not asked for so long has given up: clevis asks every few seconds.
const GIVEN_UP: Duration = Duration::from_secs(10 * 60);

/// One who waits.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Waiting {
    /// The node's name, else the address: what `approve` takes.
    pub(super) subject: String,
    pub(super) node: Option<String>,
    pub(super) address: IpAddr,
    pub(super) mac: Option<Mac>,
    pub(super) lease: Option<String>,
    /// The key that it asks for.
    pub(super) thumbprint: String,
    /// Since when.
    #[serde(serialize_with = "rfc3339")]
    pub(super) since: SystemTime,
    /// When it asked last.
    #[serde(serialize_with = "rfc3339")]
    pub(super) last: SystemTime,
    /// How often it has asked.
    pub(super) count: u64,
    pub(super) rule: Rule,
    pub(super) reason: String,
    #[serde(skip)]
    asked: Instant,
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&faros_common::events::rfc3339(*time))
}

/// All who wait.
#[derive(Debug, Default)]
pub(super) struct WaitingRoom {
    seats: BTreeMap<String, Waiting>,
}

impl WaitingRoom {
    /// `client` asked, and is held. True: it was not waiting before.
    pub(super) fn enter(
        &mut self,
        client: &Client,
        thumbprint: &str,
        (rule, reason): (Rule, &str),
        (now, wall): (Instant, SystemTime),
    ) -> bool {
        self.leave_given_up(now);
        let subject = client.subject();
        let known = self.seats.get(&subject).map(|seat| (seat.since, seat.count));
        if known.is_none() && self.seats.len() >= WAITING_MAX {
            let oldest = self.seats.values().min_by_key(|seat| seat.asked).map(|seat| seat.subject.clone());
            oldest.and_then(|subject| self.seats.remove(&subject));
        }
        let (since, count) = known.unwrap_or((wall, 0));
        let seat = Waiting {
            subject: subject.clone(),
            node: client.node.clone(),
            address: client.address,
            mac: client.mac,
            lease: client.lease.clone(),
            thumbprint: thumbprint.to_owned(),
            since,
            last: wall,
            count: count + 1,
            rule,
            reason: reason.to_owned(),
            asked: now,
        };
        self.seats.insert(subject, seat);
        known.is_none()
    }

    /// It waits no longer.
    pub(super) fn leave(&mut self, subject: &str) {
        self.seats.remove(subject);
    }

    /// Whether it waits.
    pub(super) fn holds(&mut self, subject: &str, now: Instant) -> bool {
        self.leave_given_up(now);
        self.seats.contains_key(subject)
    }

    /// Those who wait, the longest first.
    pub(super) fn list(&mut self, now: Instant) -> Vec<Waiting> {
        self.leave_given_up(now);
        let mut list: Vec<Waiting> = self.seats.values().cloned().collect();
        list.sort_by_key(|seat| seat.since);
        list
    }

    fn leave_given_up(&mut self, now: Instant) {
        self.seats.retain(|_, seat| now.saturating_duration_since(seat.asked) < GIVEN_UP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_gives_up_leaves_and_the_room_is_bounded() {
        let (start, wall) = (faros_common::clock::now(), SystemTime::UNIX_EPOCH);
        let mut room = WaitingRoom::default();
        let client = |index: u16| Client::stranger(IpAddr::from([10, 0, (index >> 8) as u8, index as u8]));
        assert!(room.enter(&client(0), "t", (Rule::Hold, "held"), (start, wall)));
        assert!(!room.enter(&client(0), "t", (Rule::Hold, "held"), (start, wall)));
        assert_eq!(room.list(start)[0].count, 2);
        for index in 1..1000 {
            room.enter(
                &client(index),
                "t",
                (Rule::Hold, "held"),
                (start + Duration::from_millis(index.into()), wall),
            );
        }
        assert_eq!(room.seats.len(), WAITING_MAX);
        assert!(!room.holds("10.0.0.0", start) && room.holds("10.0.3.231", start));
        assert!(room.list(start + GIVEN_UP * 2).is_empty());
    }
}
