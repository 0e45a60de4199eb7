//! What is told about requests and transfers: events, log lines and counters.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use faros_common::clock;
use faros_common::events::{Event, Events};
use tracing::{debug, info};

use super::table::Info;
use crate::config::Config;
use crate::files::Refusal;
use crate::metrics::Counters;
use crate::protocol::transfer::Outcome;

/// The one that tells; cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    /// The counters.
    pub counters: Counters,
    events: Events,
    config: Arc<ArcSwap<Config>>,
}

impl Reporter {
    /// A reporter that knows machines by `config`.
    pub fn new(counters: Counters, events: Events, config: Arc<ArcSwap<Config>>) -> Self {
        Self { counters, events, config }
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
                info!(event = "file_sent", peer = %info.peer, file, bytes = size, seconds, "file sent");
                let event = self.about(Event::new("file_sent"), info.peer, &file);
                self.events.emit(
                    event
                        .with("bytes", size)
                        .with("seconds", seconds)
                        .with_some("blksize", terms.map(|terms| terms.blksize))
                        .with_some("windowsize", terms.map(|terms| terms.windowsize))
                        .with("retransmits", info.retransmits.load(Ordering::Relaxed))
                        .with("confirmed", outcome == Outcome::Sent),
                );
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
            event
                .with("bytes", acknowledged)
                .with("size", size)
                .with("seconds", self.seconds(info))
                .with_some("code", code)
        });
    }

    /// A request was refused, or a transfer given up by us.
    pub fn refused(&self, peer: SocketAddr, file: &str, refusal: &Refusal) {
        self.counters.error(refusal.code);
        self.failed(peer, file, refusal.reason, |event| {
            event.with("code", refusal.code as u16).with("text", refusal.text.as_str())
        });
    }

    fn failed(&self, peer: SocketAddr, file: &str, reason: &'static str, with: impl FnOnce(Event) -> Event) {
        self.counters.failed(reason);
        debug!(event = "file_failed", %peer, file, reason, "file not sent");
        let event = self.about(Event::new("file_failed"), peer, file).with("reason", reason);
        self.events.emit(with(event));
    }

    /// Who it is, as far as addresses are reserved.
    fn about(&self, event: Event, peer: SocketAddr, file: &str) -> Event {
        let address: IpAddr = peer.ip().to_canonical();
        let event = event.address(address).with("file", file);
        let config = self.config.load();
        let Some(machine) = config.machines.get(&address) else { return event };
        let event = match &machine.node {
            Some(node) => event.node(node.as_str()),
            None => event,
        };
        match machine.mac {
            Some(mac) => event.mac(mac),
            None => event,
        }
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
