//! What happened, as a numbered stream that can be read from any point on.
//!
//! Every event is one JSON object in one envelope: `seq`, `time`, `daemon`, `event`, then `node`, `mac` and
//! `address` where they are known, then fields of the event's own. Event ids are stable and listed in
//! `docs/reference/events.md`. Sequence numbers rise across restarts: a daemon starts counting from its
//! start time in microseconds, which no daemon outruns.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::clock;
use crate::site::Mac;

/// Events kept for readers that come late. Older ones are forgotten; a reader that asks for them is told
/// how many it missed by an `events_missed` line.
pub const EVENTS_KEPT: usize = 8192;

/// The longest text a field may carry, in characters; what is beyond is cut and marked with `…`.
pub const FIELD_CHARS_MAX: usize = 512;

/// One thing that happened, while it is being described.
#[derive(Clone, Debug)]
pub struct Event {
    fields: Map<String, Value>,
}

impl Event {
    /// An event with the stable id `event`.
    pub fn new(event: &'static str) -> Self {
        let mut fields = Map::new();
        fields.insert("event".to_owned(), event.into());
        Self { fields }
    }

    /// The node it is about, by name.
    #[must_use]
    pub fn node(self, name: impl Into<String>) -> Self {
        self.with("node", name.into())
    }

    /// The card it is about.
    #[must_use]
    pub fn mac(self, mac: Mac) -> Self {
        self.with("mac", mac.to_string())
    }

    /// The address it is about.
    #[must_use]
    pub fn address(self, address: impl Into<IpAddr>) -> Self {
        self.with("address", address.into().to_string())
    }

    /// A field of its own. The names of the envelope (`seq`, `time`, `daemon`, `event`) stay the envelope's.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        debug_assert!(!matches!(name, "seq" | "time" | "daemon" | "event"), "{name} belongs to the envelope");
        let value = match value.into() {
            Value::String(text) if text.chars().nth(FIELD_CHARS_MAX).is_some() => {
                let mut cut: String = text.chars().take(FIELD_CHARS_MAX).collect();
                cut.push('…');
                Value::String(cut)
            }
            other => other,
        };
        self.fields.insert(name.to_owned(), value);
        self
    }

    /// As [`Event::with`], where there is a value.
    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

/// A recorded event: its number and its JSON text without a newline.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its place in the stream.
    pub seq: u64,
    /// The whole envelope.
    pub json: Arc<str>,
}

/// The event stream of a daemon; cheap to clone.
#[derive(Clone)]
pub struct Events {
    shared: Arc<Shared>,
}

struct Shared {
    daemon: &'static str,
    kept: Mutex<Kept>,
    newest: watch::Sender<u64>,
}

struct Kept {
    /// The number that this process began with; what came before it was another process's to tell.
    first: u64,
    next: u64,
    ring: VecDeque<Recorded>,
}

impl Events {
    /// An empty stream of `daemon`.
    pub fn new(daemon: &'static str) -> Self {
        let first = clock::wall().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_micros() as u64);
        let kept = Kept { first, next: first, ring: VecDeque::new() };
        Self {
            shared: Arc::new(Shared {
                daemon,
                kept: Mutex::new(kept),
                newest: watch::Sender::new(first - 1),
            }),
        }
    }

    /// Records `event` with the present time and wakes whoever follows. Returns its number.
    pub fn emit(&self, event: Event) -> u64 {
        let mut kept = self.lock();
        let seq = kept.next;
        kept.next += 1;
        let mut envelope = Map::new();
        envelope.insert("seq".to_owned(), seq.into());
        envelope.insert("time".to_owned(), rfc3339(clock::wall()).into());
        envelope.insert("daemon".to_owned(), self.shared.daemon.into());
        envelope.extend(event.fields);
        if kept.ring.len() == EVENTS_KEPT {
            kept.ring.pop_front();
        }
        kept.ring.push_back(Recorded { seq, json: Value::Object(envelope).to_string().into() });
        drop(kept);
        self.shared.newest.send_replace(seq);
        seq
    }

    /// Up to `limit` events after number `since` (0: from the oldest kept), oldest first, and how many
    /// in between are already forgotten. A number that this process has not given yet comes from an earlier
    /// one whose clock was ahead: that reader has none of what is here, and gets it all.
    pub fn after(&self, since: u64, limit: usize) -> (u64, Vec<Recorded>) {
        let kept = self.lock();
        let since = if since < kept.next { since } else { 0 };
        let oldest = kept.ring.front().map_or(kept.next, |event| event.seq);
        let missed =
            if since == 0 { 0 } else { oldest.saturating_sub(kept.first.max(since.saturating_add(1))) };
        let start = kept.ring.partition_point(|event| event.seq <= since);
        (missed, kept.ring.range(start..).take(limit).cloned().collect())
    }

    /// The line that tells a reader what it can no longer have.
    pub fn missed_line(&self, missed: u64) -> String {
        let daemon = self.shared.daemon;
        serde_json::json!({ "daemon": daemon, "event": "events_missed", "count": missed }).to_string()
    }

    /// Changes to the number of the newest event, for those who follow.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.shared.newest.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `time` in UTC with microseconds: `2026-01-31T12:00:00.000000Z`.
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_resumes_where_it_stopped() {
        let events = Events::new("test");
        let first = events.emit(Event::new("one").node("cp1").with("answer", 42));
        let second = events.emit(Event::new("two"));
        assert_eq!(second, first + 1);
        let (missed, rest) = events.after(first, 10);
        assert_eq!((missed, rest.len(), rest[0].seq), (0, 1, second));
        let (_, all) = events.after(0, 10);
        let value: Value = serde_json::from_str(&all[0].json).unwrap();
        assert_eq!(
            (&value["daemon"], &value["event"], &value["answer"]),
            (&"test".into(), &"one".into(), &42.into())
        );
    }

    #[test]
    fn a_late_reader_is_told_what_it_missed() {
        let events = Events::new("test");
        let first = events.emit(Event::new("one"));
        for _ in 0..EVENTS_KEPT + 9 {
            events.emit(Event::new("more"));
        }
        let (missed, rest) = events.after(first, usize::MAX);
        assert_eq!((missed, rest.len()), (9, EVENTS_KEPT));
    }

    #[test]
    fn numbers_of_an_earlier_process_are_not_counted_as_missed() {
        let events = Events::new("test");
        let first = events.emit(Event::new("one"));
        let (missed, rest) = events.after(first - 1_000_000, 10);
        assert_eq!((missed, rest.len()), (0, 1));
    }

    #[test]
    fn a_number_from_a_process_whose_clock_was_ahead_hides_nothing() {
        let events = Events::new("test");
        let first = events.emit(Event::new("one"));
        assert_eq!(events.after(first, 10).1.len(), 0);
        let (missed, rest) = events.after(first + 3_600_000_000, 10);
        assert_eq!((missed, rest.len()), (0, 1));
        assert_eq!(events.after(u64::MAX, 10).1.len(), 1);
    }

    #[test]
    fn whatever_a_field_holds_an_event_is_one_line_of_json() {
        let events = Events::new("test");
        let hostile = "a\"b\\c\nd\r\0\u{1b}[2J\u{7f}\u{2028}\u{202e}\u{10ffff}{}";
        events.emit(Event::new("odd").node(hostile).with("nested", serde_json::json!({ "x": [hostile] })));
        let json = &events.after(0, 1).1[0].json;
        assert!(!json.contains(['\n', '\r']));
        let value: Value = serde_json::from_str(json).unwrap();
        assert_eq!(
            (value["node"].as_str(), value["nested"]["x"][0].as_str()),
            (Some(hostile), Some(hostile))
        );
    }

    #[test]
    fn a_long_text_is_cut() {
        let events = Events::new("test");
        events.emit(Event::new("long").with("text", "ä".repeat(100_000)));
        assert!(events.after(0, 1).1[0].json.len() < 2000);
    }
}
