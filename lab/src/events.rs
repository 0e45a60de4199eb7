//! What the daemons tell, as one stream.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use faros_common::site::Mac;
use faros_common::{clock, tasks};
use serde_json::Value;

use crate::error::LabError;
use crate::http;

/// One event of one daemon.
#[derive(Clone, Debug)]
pub struct Event {
    /// When the lab got it.
    pub at: Instant,
    /// Who told it.
    pub daemon: String,
    /// Its stable id.
    pub event: String,
    /// The node it is about.
    pub node: Option<String>,
    /// The card it is about.
    pub mac: Option<Mac>,
    /// The address it is about.
    pub address: Option<IpAddr>,
    /// The whole envelope.
    pub fields: Value,
}

impl Event {
    /// Reads one line of an event stream; `None` if it is no event.
    pub fn parse(line: &str, at: Instant) -> Option<Self> {
        let fields: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            at,
            daemon: text("daemon")?,
            event: text("event")?,
            node: text("node"),
            mac: text("mac").and_then(|mac| mac.parse().ok()),
            address: text("address").and_then(|address| address.parse().ok()),
            fields,
        })
    }

    /// A field of the event's own, as text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.fields.get(key).and_then(Value::as_str)
    }
}

/// The merged events of all daemons that ran when it was opened, from the oldest they keep. A daemon that
/// restarts is picked up again. Ends when dropped.
#[derive(Debug)]
pub struct Events {
    receiver: Receiver<Event>,
    ended: Arc<AtomicBool>,
}

impl Events {
    /// Follows the daemons behind `sockets` (name, path).
    pub(crate) fn follow(sockets: BTreeMap<String, PathBuf>) -> Result<Self, LabError> {
        let (sender, receiver) = channel();
        let ended = Arc::new(AtomicBool::new(false));
        for socket in sockets.into_values() {
            let (sender, ended) = (sender.clone(), Arc::clone(&ended));
            tasks::spawn_thread("lab events", move || follow_one(&socket, &sender, &ended))
                .map_err(LabError::doing("start a thread"))?;
        }
        Ok(Self { receiver, ended })
    }

    /// The next event within `limit`; `None` when there was none.
    pub fn next(&self, limit: Duration) -> Option<Event> {
        self.receiver.recv_timeout(limit).ok()
    }

    /// The first event within `limit` that `is_it`; those before it are dropped. `what` names it in the error.
    ///
    /// # Errors
    /// There was none in time.
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        mut is_it: impl FnMut(&Event) -> bool,
    ) -> Result<Event, LabError> {
        let deadline = clock::now() + limit;
        let mut last = None;
        while let Some(event) = self.next(deadline.saturating_duration_since(clock::now())) {
            if is_it(&event) {
                return Ok(event);
            }
            last = Some(event);
        }
        let last = last.map_or_else(|| "there was none at all".to_owned(), |event| event.fields.to_string());
        Err(LabError::TimedOut(format!("no {what} within {} s; the last event: {last}", limit.as_secs_f32())))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Until a restarting daemon listens again.
const RECONNECT: Duration = Duration::from_millis(100);

fn follow_one(socket: &std::path::Path, sender: &Sender<Event>, ended: &AtomicBool) {
    let mut since = 0;
    while !ended.load(Ordering::Relaxed) {
        let target = format!("/events?follow=1&since={since}");
        if let Ok(answer) = http::unix(socket, "GET", &target, None)
            && answer.status == 200
        {
            for line in BufReader::new(answer).lines().map_while(Result::ok) {
                let Some(event) = Event::parse(&line, clock::now()) else { continue };
                since = event.fields.get("seq").and_then(Value::as_u64).unwrap_or(since);
                if sender.send(event).is_err() {
                    return;
                }
            }
        }
        std::thread::sleep(RECONNECT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_taken_apart() {
        let line = r#"{"seq":7,"time":"…","daemon":"dhcpd","event":"dhcp_acked","node":"cp1",
            "mac":"52:54:00:00:08:11","address":"192.168.8.11","lease_secs":3600}"#;
        let event = Event::parse(line, clock::now()).unwrap();
        assert_eq!((event.daemon.as_str(), event.event.as_str()), ("dhcpd", "dhcp_acked"));
        assert_eq!(event.node.as_deref(), Some("cp1"));
        assert_eq!(event.address, Some("192.168.8.11".parse().unwrap()));
        assert!(Event::parse("no json", clock::now()).is_none());
    }
}
