//! One event as a daemon wrote it.

use std::net::IpAddr;
use std::time::SystemTime;

use faros_common::site::Mac;
use serde_json::{Map, Value};

use crate::output::{Paint, Tone, harmless, time};

/// An event: what every event has, and the line it came as.
#[derive(Clone, Debug, Default)]
pub(crate) struct Event {
    /// Its number in the daemon's stream; 0 for lines that only say what is missing.
    pub(crate) seq: u64,
    pub(crate) time: Option<SystemTime>,
    pub(crate) daemon: String,
    pub(crate) id: String,
    pub(crate) node: Option<String>,
    pub(crate) mac: Option<Mac>,
    pub(crate) address: Option<IpAddr>,
    /// All fields, those above too.
    pub(crate) fields: Map<String, Value>,
    /// The JSON text.
    pub(crate) line: String,
}

impl Event {
    /// Reads a line of a daemon's stream; `None` for what is no event.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let Ok(Value::Object(fields)) = serde_json::from_str(line) else { return None };
        let text = |key: &str| fields.get(key).and_then(Value::as_str);
        Some(Self {
            seq: fields.get("seq").and_then(Value::as_u64).unwrap_or(0),
            time: text("time").and_then(time::parse),
            daemon: text("daemon")?.to_owned(),
            id: text("event")?.to_owned(),
            node: text("node").map(str::to_owned),
            mac: text("mac").and_then(|mac| mac.parse().ok()),
            address: text("address").and_then(|address| address.parse().ok()),
            line: line.to_owned(),
            fields,
        })
    }

    /// A field that is a text.
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(Value::as_str)
    }

    /// The event as a line for people, with the time in UTC.
    pub(crate) fn human(&self, paint: Paint) -> String {
        let time = self.fields.get("time").and_then(Value::as_str).map_or_else(
            || " ".repeat(23),
            |time| time.get(..23).map_or_else(|| harmless(time), |time| harmless(&time.replace('T', " "))),
        );
        let subject = self.subject();
        let mut line = format!(
            "{}  {:<13}  {}  {}",
            paint.tone(Tone::Faint, &time),
            harmless(&self.daemon),
            paint.tone(self.tone(), &format!("{:<16}", harmless(&self.id))),
            paint.tone(Tone::Strong, &subject),
        );
        // Sorted whatever order the map keeps, so that lines of one kind look alike.
        let fields: std::collections::BTreeMap<_, _> = self.fields.iter().collect();
        for (key, value) in fields {
            if matches!(key.as_str(), "seq" | "time" | "daemon" | "event" | "node" | "mac" | "address") {
                continue;
            }
            line += &format!(" {}={}", harmless(key), value_text(value));
        }
        line.trim_end().to_owned()
    }

    fn subject(&self) -> String {
        let parts =
            [self.node.clone(), self.mac.map(|mac| mac.to_string()), self.address.map(|ip| ip.to_string())];
        let parts: Vec<String> = parts.into_iter().flatten().map(|part| harmless(&part)).collect();
        if parts.is_empty() { String::new() } else { format!("{} ", parts.join(" ")).trim_end().to_owned() }
    }

    fn tone(&self) -> Tone {
        const BAD: [&str; 5] = ["refused", "failed", "unanswered", "declined", "missed"];
        const GOOD: [&str; 4] = ["lease_granted", "node_installed", "node_disk", "reloaded"];
        if BAD.iter().any(|part| self.id.contains(part)) || self.id == "dhcp_nak" {
            Tone::Bad
        } else if GOOD.contains(&self.id.as_str()) {
            Tone::Good
        } else {
            Tone::Plain
        }
    }
}

/// A value in `key=value`: bare where it is one word, quoted elsewhere.
pub(crate) fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let plain =
                !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
            if plain { harmless(text) } else { format!("\"{}\"", harmless(&text.replace('"', "\\\""))) }
        }
        Value::Array(_) | Value::Object(_) => harmless(&value.to_string()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_people_shows_subject_and_fields() {
        let line = r#"{"seq":7,"time":"2026-01-31T12:00:00.123456Z","daemon":"dhcpd","event":"lease_granted","node":"cp1","mac":"52:54:00:00:08:11","address":"192.168.8.11","lease_secs":3600,"hostname":"a b\u001b[2J"}"#;
        let event = Event::parse(line).unwrap();
        assert_eq!(event.seq, 7);
        assert_eq!(
            event.human(Paint::default()),
            "2026-01-31 12:00:00.123  dhcpd          lease_granted     cp1 52:54:00:00:08:11 192.168.8.11 \
             hostname=\"a b\\u{1b}[2J\" lease_secs=3600"
        );
    }

    #[test]
    fn what_is_no_event_is_none() {
        for line in ["", "{}", "[1]", "{\"daemon\":1,\"event\":\"x\"}", "not json"] {
            assert!(Event::parse(line).is_none(), "{line}");
        }
    }
}
