//! Every metric of `tangd`; each name begins with `faros_tangd_`.

use std::sync::Arc;

use faros_common::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Labels of answered requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    /// `adv`, `rec` or `none`.
    pub route: &'static str,
    /// The status.
    pub status: u16,
}

/// A reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// Why.
    pub reason: String,
}

/// Who has used which kind of key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Use {
    /// The node; empty for whoever is none.
    pub node: String,
    /// `current` or `rotated`.
    pub key: &'static str,
}

/// All metrics; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// `requests_total{route,status}`.
    pub requests: Family<Answered, Counter>,
    /// `dropped_total{reason}`: connections that got no answer.
    pub dropped: Family<Reason, Counter>,
    /// `refused_total{reason}`: requests answered with a refusal.
    pub refused: Family<Reason, Counter>,
    /// `recoveries_total{node,key}`.
    pub recoveries: Family<Use, Counter>,
    /// `connections`: open at present.
    pub connections: Gauge,
    /// `connections_total`: accepted so far.
    pub accepted: Counter,
    /// `audit_late_total`: answers that left before their entry was in the log.
    pub audit_late: Counter,
    /// `suppressed_total`: requests that left neither event nor entry, for there were too many of their kind.
    pub suppressed: Counter,
}

impl Counters {
    /// Registers all of them.
    #[must_use]
    pub fn register(metrics: &Metrics) -> Arc<Self> {
        let counters = Arc::new(Self::default());
        let c = &*counters;
        metrics.register("requests", "Requests answered, by route and status", c.requests.clone());
        metrics.register("dropped", "Connections without an answer, by reason", c.dropped.clone());
        metrics.register("refused", "Requests answered with a refusal, by reason", c.refused.clone());
        metrics.register("recoveries", "Exchanges, by node and age of the key", c.recoveries.clone());
        metrics.register("connections_open", "Connections open at present", c.connections.clone());
        metrics.register("connections", "Connections accepted", c.accepted.clone());
        metrics.register("audit_late", "Answers that left before their audit entry", c.audit_late.clone());
        metrics.register("suppressed", "Requests too many to be told of each", c.suppressed.clone());
        counters
    }

    /// Counts a connection without an answer.
    pub fn turn_away(&self, reason: &'static str) {
        self.turn_away_many(reason, 1);
    }

    /// Counts several.
    pub fn turn_away_many(&self, reason: &'static str, count: usize) {
        if count > 0 {
            self.dropped.get_or_create(&Reason { reason: reason.to_owned() }).inc_by(count as u64);
        }
    }

    /// Counts a refusal.
    pub fn refuse(&self, reason: &str) {
        self.refused.get_or_create(&Reason { reason: reason.to_owned() }).inc();
    }

    /// Counts an exchange. Node names come from the site file, so there are not many.
    pub fn recovered(&self, node: Option<&str>, key: &'static str) {
        self.recoveries.get_or_create(&Use { node: node.unwrap_or_default().to_owned(), key }).inc();
    }

    /// A connection is open until what is returned is dropped.
    pub fn open(self: &Arc<Self>) -> Open {
        self.connections.inc();
        Open(Arc::clone(self))
    }
}

/// See [`Counters::open`].
pub struct Open(Arc<Counters>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}
