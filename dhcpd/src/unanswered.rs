//! Who got no answer lately, and why: the record that answers "why does this machine not boot".

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::protocol::message::Hardware;
use crate::protocol::outcome::{DropReason, Dropped};
use crate::protocol::time::Time;

/// Clients remembered; beyond, the one heard of longest ago is forgotten.
pub const CLIENTS_MAX: usize = 256;

/// Between two events about one client and reason; in between only counters move.
const EVENT_GAP: Duration = Duration::from_secs(30);

/// Events about clients that the site file does not name, per second; beyond, only counters move, so that a
/// flood of strangers does not push the events of nodes out of the ring.
pub const STRANGER_EVENTS_PER_SEC: u32 = 10;

/// A client that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose packet it was, as far as that can be told.
    pub hardware: Option<Hardware>,
    /// Why it got no answer.
    pub reason: DropReason,
    /// How often in a row.
    pub count: u64,
    /// When it was heard last.
    pub last: Time,
    told: Time,
}

/// The latest clients that got no answer.
#[derive(Debug, Default)]
pub struct Unanswered {
    entries: HashMap<Option<Hardware>, Entry>,
    order: VecDeque<Option<Hardware>>,
    second: u64,
    strangers: u32,
}

impl Unanswered {
    /// Records a dropped packet; returns the entry if it is time for an event about it. `named`: the site
    /// file names the client.
    pub fn record(&mut self, dropped: &Dropped, named: bool, now: Time) -> Option<Entry> {
        if dropped.reason.is_due() {
            return None;
        }
        let due = self.remember(dropped, now)?;
        if now.0 / 1000 != self.second {
            (self.second, self.strangers) = (now.0 / 1000, 0);
        }
        self.strangers += u32::from(!named);
        (named || self.strangers <= STRANGER_EVENTS_PER_SEC).then_some(due)
    }

    fn remember(&mut self, dropped: &Dropped, now: Time) -> Option<Entry> {
        let key = dropped.hardware;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.last = now;
            entry.count += 1;
            let changed = entry.reason != dropped.reason;
            if changed {
                (entry.reason, entry.count) = (dropped.reason, 1);
            }
            // A client that alternates between two reasons must not get an event each time either.
            let gap = if changed { EVENT_GAP / 10 } else { EVENT_GAP };
            if now.since(entry.told) < gap {
                return None;
            }
            entry.told = now;
            return Some(*entry);
        }
        if self.entries.len() >= CLIENTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        let entry = Entry { hardware: key, reason: dropped.reason, count: 1, last: now, told: now };
        self.entries.insert(key, entry);
        self.order.push_back(key);
        Some(entry)
    }

    /// Forgets a client that got an answer after all.
    pub fn answered(&mut self, hardware: Hardware) {
        if !self.entries.is_empty() && self.entries.remove(&Some(hardware)).is_some() {
            self.order.retain(|&key| key != Some(hardware));
        }
    }

    /// All of them, the latest first.
    pub fn latest(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.entries.values().copied().collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.last));
        entries
    }

    /// The entry of a card.
    pub fn of(&self, hardware: Hardware) -> Option<&Entry> {
        self.entries.get(&Some(hardware))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(number: u16, reason: DropReason) -> Dropped {
        let [high, low] = number.to_be_bytes();
        Dropped { reason, hardware: Some(Hardware::new(1, &[2, 0, 0, 0, high, low])) }
    }

    #[test]
    fn one_client_gives_one_event_per_gap_and_reason() {
        let mut unanswered = Unanswered::default();
        let told = |at, reason, unanswered: &mut Unanswered| {
            unanswered.record(&dropped(1, reason), true, Time(at)).map(|entry| entry.count)
        };
        assert_eq!(told(0, DropReason::Ignored, &mut unanswered), Some(1));
        assert_eq!(told(1000, DropReason::Ignored, &mut unanswered), None);
        assert_eq!(told(4000, DropReason::OtherServer, &mut unanswered), Some(1));
        assert_eq!(told(5000, DropReason::Ignored, &mut unanswered), None);
        assert_eq!(told(40_000, DropReason::Ignored, &mut unanswered), Some(2));
        assert_eq!(told(41_000, DropReason::Released, &mut unanswered), None);
    }

    #[test]
    fn a_flood_of_clients_grows_neither_the_record_nor_the_event_stream() {
        let mut unanswered = Unanswered::default();
        let mut events = 0;
        for number in 0..5000 {
            let told =
                unanswered.record(&dropped(number, DropReason::PoolExhausted), false, Time(number.into()));
            events += u32::from(told.is_some());
        }
        assert_eq!(events, 5 * STRANGER_EVENTS_PER_SEC, "in five seconds");
        assert_eq!((unanswered.entries.len(), unanswered.order.len()), (CLIENTS_MAX, CLIENTS_MAX));
        assert_eq!(unanswered.latest()[0].last, Time(4999));
    }
}
