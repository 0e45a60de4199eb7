//! Every metric of this daemon; names are prefixed with `faros_tftpd_`.

use faros_common::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::protocol::packet::ErrorCode;

/// Why something was not answered or sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    reason: &'static str,
}

/// The code of an ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Code {
    code: u16,
}

/// The metrics; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    dropped: Family<Reason, Counter>,
    errors: Family<Code, Counter>,
    failed: Family<Reason, Counter>,
    /// Well-formed read requests.
    pub requests: Counter,
    /// Transfers that ended with the whole file sent.
    pub sent: Counter,
    /// Octets of files sent, repetitions included.
    pub sent_bytes: Counter,
    /// Blocks and OACKs sent more than once.
    pub retransmits: Counter,
    /// Transfers under way.
    pub in_flight: Gauge,
}

impl Counters {
    /// The metrics, known to `metrics`.
    pub fn new(metrics: &Metrics) -> Self {
        let counters = Self::default();
        metrics.register("dropped", "Packets that got no answer, by reason", counters.dropped.clone());
        metrics.register("errors", "ERROR packets sent, by code", counters.errors.clone());
        metrics.register("failed", "Requests and transfers that failed, by reason", counters.failed.clone());
        metrics.register("requests", "Well-formed read requests", counters.requests.clone());
        metrics.register("sent_files", "Files sent whole", counters.sent.clone());
        metrics.register(
            "sent_bytes",
            "Octets of files sent, repetitions included",
            counters.sent_bytes.clone(),
        );
        metrics.register("retransmits", "Blocks and OACKs sent more than once", counters.retransmits.clone());
        metrics.register("transfers", "Transfers under way", counters.in_flight.clone());
        counters
    }

    /// Counts a packet that gets no answer.
    pub fn dropped(&self, reason: &'static str) {
        self.dropped.get_or_create(&Reason { reason }).inc();
    }

    /// Counts an ERROR that is sent.
    pub fn error(&self, code: ErrorCode) {
        self.errors.get_or_create(&Code { code: code as u16 }).inc();
    }

    /// Counts a request or transfer that failed.
    pub fn failed(&self, reason: &'static str) {
        self.failed.get_or_create(&Reason { reason }).inc();
    }
}
