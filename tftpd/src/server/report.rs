//! What is told about requests and transfers: events, log lines and counters.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use faros_common::clock;
use faros_common::events::{Event, Events};
use tracing::{debug, info};

use super::table::Info;
use crate::config::Config;
use crate::files::Refusal;
use crate::metrics::Counters;
use crate::protocol::transfer::Outcome;

/// Events about clients that the site file does not name, per second; beyond, only counters move, so that a
/// flood of strangers does not push the events of nodes out of the ring.
pub const STRANGER_EVENTS_PER_SEC: u32 = 50;

/// The one that tells; cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    /// The counters.
    pub counters: Counters,
    events: Events,
    config: Arc<ArcSwap<Config>>,
    strangers: Arc<EventBudget>,
}

impl Reporter {
    /// A reporter that knows machines by `config`.
    pub fn new(counters: Counters, events: Events, config: Arc<ArcSwap<Config>>) -> Self {
        Self { counters, events, config, strangers: Arc::default() }
    }

    /// A transfer ended by itself or by its client.
    pub fn ended(&self, info: &Info, outcome: Outcome) {
        let terms = info.terms.get();
        let acknowledged = info.acknowledged.load(Ordering::Relaxed);
        let size = terms.map_or(0, |terms| terms.size);
        let reason = match outcome {
            Outcome::Sent | Outcome::SentUnconfirmed => {
                let seconds = self.seconds(info);
                let file = file_of(info);
                self.counters.sent.inc();
                let told = self.emit("file_sent", info.peer, &file, |event| {
                    event
                        .with("bytes", size)
                        .with("seconds", seconds)
                        .with_some("blksize", terms.map(|terms| terms.blksize))
                        .with_some("windowsize", terms.map(|terms| terms.windowsize))
                        .with("retransmits", info.retransmits.load(Ordering::Relaxed))
                        .with("confirmed", outcome == Outcome::Sent)
                });
                if told {
                    info!(event = "file_sent", peer = %info.peer, file, bytes = size, seconds, "file sent");
                }
                return;
            }
            // Firmware asks for the size, takes the answer and gives up, to ask again for the file.
            Outcome::Aborted(_) if acknowledged == 0 => {
                self.counters.failed("probe");
                debug!(event = "size_probed", peer = %info.peer, file = file_of(info), "the client wanted the options only");
                return;
            }
            Outcome::Aborted(_) => "client_error",
            Outcome::Silent => "timeout",
            Outcome::Stalled => "stalled",
            Outcome::Unreachable => "port_unreachable",
        };
        let code = match outcome {
            Outcome::Aborted(code) => Some(code),
            _ => None,
        };
        self.failed(info.peer, &file_of(info), reason, |event| {
            self.with_progress(event.with_some("code", code), info)
        });
    }

    /// A transfer was given up by us.
    pub fn gave_up(&self, info: &Info, refusal: &Refusal) {
        self.counters.error(refusal.code);
        self.failed(info.peer, &file_of(info), refusal.reason, |event| {
            let event = event.with("code", refusal.code as u16).with("text", refusal.text.as_str());
            self.with_progress(event, info)
        });
    }

    /// A request was refused.
    pub fn refused(&self, peer: SocketAddr, file: &str, refusal: &Refusal) {
        self.counters.error(refusal.code);
        self.failed(peer, file, refusal.reason, |event| {
            event.with("code", refusal.code as u16).with("text", refusal.text.as_str())
        });
    }

    fn failed(&self, peer: SocketAddr, file: &str, reason: &'static str, with: impl FnOnce(Event) -> Event) {
        self.counters.failed(reason);
        debug!(event = "file_failed", %peer, file, reason, "file not sent");
        self.emit("file_failed", peer, file, |event| with(event.with("reason", reason)));
    }

    /// Tells of a client by what the site file knows of its address; `false`: strangers have had their share.
    fn emit(
        &self,
        event: &'static str,
        peer: SocketAddr,
        file: &str,
        with: impl FnOnce(Event) -> Event,
    ) -> bool {
        let address: IpAddr = peer.ip().to_canonical();
        let config = self.config.load();
        let machine = config.machine_at(address);
        if machine.is_none() && !self.strangers.allows(clock::now()) {
            return false;
        }
        let mut event = Event::new(event).address(address).with("file", file);
        if let Some(node) = machine.and_then(|machine| machine.node.as_deref()) {
            event = event.node(node);
        }
        if let Some(mac) = machine.and_then(|machine| machine.macs.first()) {
            event = event.mac(*mac);
        }
        self.events.emit(with(event));
        true
    }

    /// How far it got.
    fn with_progress(&self, event: Event, info: &Info) -> Event {
        event
            .with("bytes", info.acknowledged.load(Ordering::Relaxed))
            .with_some("size", info.terms.get().map(|terms| terms.size))
            .with("seconds", self.seconds(info))
    }

    fn seconds(&self, info: &Info) -> f64 {
        let seconds = clock::now().saturating_duration_since(info.started).as_secs_f64();
        (seconds * 1e6).round() / 1e6
    }
}

/// The name as the client wrote it.
pub fn file_of(info: &Info) -> String {
    String::from_utf8_lossy(&info.request.name).into_owned()
}

/// Lets [`STRANGER_EVENTS_PER_SEC`] events through each second.
#[derive(Debug, Default)]
struct EventBudget {
    spent: Mutex<Option<(Instant, u32)>>,
}

impl EventBudget {
    fn allows(&self, now: Instant) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = match *spent {
            Some((since, count)) if now.saturating_duration_since(since) < Duration::from_secs(1) => {
                (since, count.saturating_add(1))
            }
            _ => (now, 1),
        };
        *spent = Some((since, count));
        count <= STRANGER_EVENTS_PER_SEC
    }
}

#[cfg(test)]
mod tests {
    use faros_common::metrics::Metrics;

    use super::*;
    use crate::config::{Machine, tests::config};
    use crate::protocol::packet::ErrorCode;

    #[test]
    fn a_flood_of_strangers_leaves_room_for_the_events_of_nodes() {
        let mut config = config(std::path::Path::new("/srv"));
        config
            .machines
            .push(Machine { addresses: vec!["192.0.2.11".parse().unwrap()], ..Machine::default() });
        let events = Events::new("tftpd");
        let reporter = Reporter::new(
            Counters::new(&Metrics::new("tftpd")),
            events.clone(),
            Arc::new(ArcSwap::from_pointee(config)),
        );
        let refusal = Refusal::new(ErrorCode::FileNotFound, "not_found", "file not found");
        reporter.refused("192.0.2.11:1000".parse().unwrap(), "first", &refusal);
        for port in 1..10_000 {
            reporter.refused(SocketAddr::from(([192, 0, 2, 99], port)), "flood", &refusal);
        }
        reporter.refused("192.0.2.11:1001".parse().unwrap(), "last", &refusal);
        let (_, kept) = events.after(0, usize::MAX);
        assert!(kept.len() < 1000, "{}", kept.len());
        assert!(kept[0].json.contains("first") && kept[kept.len() - 1].json.contains("last"));
    }

    #[test]
    fn the_budget_of_strangers_is_there_again_each_second() {
        let (budget, start) = (EventBudget::default(), clock::now());
        let allowed = |at: Instant| (0..1000).filter(|_| budget.allows(at)).count();
        assert_eq!(allowed(start), STRANGER_EVENTS_PER_SEC as usize);
        assert_eq!(allowed(start + Duration::from_millis(999)), 0);
        assert_eq!(allowed(start + Duration::from_secs(1)), STRANGER_EVENTS_PER_SEC as usize);
    }
}
