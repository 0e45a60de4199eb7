//! Every metric of `ignition-http`; each name begins with `faros_ignition_http_`.

use std::sync::Arc;

use faros_common::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Labels of answered requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    /// `script`, `loader`, `ignition`, `report`, `file` or `none`.
    pub route: &'static str,
    /// The status.
    pub status: u16,
}

/// A reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// Why.
    pub reason: &'static str,
}

/// What a script does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Action {
    /// `install`, `disk`, `wait` or `unknown`.
    pub action: &'static str,
}

/// All metrics; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// `requests_total{route,status}`.
    pub requests: Family<Answered, Counter>,
    /// `dropped_total{reason}`: connections and requests that got no answer.
    pub dropped: Family<Reason, Counter>,
    /// `refused_total{reason}`: requests answered with a refusal that says so.
    pub refused: Family<Reason, Counter>,
    /// `scripts_total{action}`.
    pub scripts: Family<Action, Counter>,
    /// `sent_bytes_total`: bytes of file and Ignition bodies handed to the network.
    pub sent_bytes: Counter,
    /// `transfers_failed_total{reason}`: bodies that did not end as promised.
    pub transfers_failed: Family<Reason, Counter>,
    /// `connections`: open at present.
    pub connections: Gauge,
    /// `connections_total`: accepted so far.
    pub accepted: Counter,
}

impl Counters {
    /// Registers all of them.
    pub fn register(metrics: &Metrics) -> Arc<Self> {
        let counters = Arc::new(Self::default());
        let c = &*counters;
        metrics.register("requests", "Requests answered, by route and status", c.requests.clone());
        metrics.register(
            "dropped",
            "Connections and requests without an answer, by reason",
            c.dropped.clone(),
        );
        metrics.register("refused", "Requests answered with a refusal, by reason", c.refused.clone());
        metrics.register("scripts", "Boot scripts served, by what they do", c.scripts.clone());
        metrics.register("sent_bytes", "Bytes of bodies handed to the network", c.sent_bytes.clone());
        metrics.register(
            "transfers_failed",
            "Bodies not sent as a whole, by reason",
            c.transfers_failed.clone(),
        );
        metrics.register("connections_open", "Connections open at present", c.connections.clone());
        metrics.register("connections", "Connections accepted", c.accepted.clone());
        counters
    }

    /// Counts a connection or request without an answer.
    pub fn turn_away(&self, reason: &'static str) {
        self.dropped.get_or_create(&Reason { reason }).inc();
    }

    /// Counts a refusal.
    pub fn refuse(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }
}
