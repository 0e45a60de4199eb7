//! The counters of forwarding; names are prefixed with `faros_dnsd_`.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use faros_common::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Which upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamLabel {
    upstream: String,
}

/// Why something was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    reason: &'static str,
}

/// All of them; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    queries: Family<UpstreamLabel, Counter>,
    answers: Family<UpstreamLabel, Counter>,
    timeouts: Family<UpstreamLabel, Counter>,
    errors: Family<UpstreamLabel, Counter>,
    refusals: Family<UpstreamLabel, Counter>,
    mismatches: Family<UpstreamLabel, Counter>,
    truncated: Family<UpstreamLabel, Counter>,
    connections: Family<UpstreamLabel, Counter>,
    up: Family<UpstreamLabel, Gauge>,
    round_trip: Family<UpstreamLabel, Gauge<f64, AtomicU64>>,
    dropped: Family<Reason, Counter>,
    /// Questions that were answered from upstream.
    pub resolved: Counter,
    /// Questions that ended without an answer.
    pub failed: Counter,
    /// Questions that another one like it was under way for.
    pub coalesced: Counter,
    /// Questions turned away because too many were under way.
    pub overload: Counter,
    /// Questions turned away at once because every upstream was known to be down.
    pub known_down: Counter,
    /// Second upstreams asked because the first was late.
    pub hedged: Counter,
    /// Records dropped because they did not belong to the answer.
    pub stray_records: Counter,
    /// Records dropped because they lead inside.
    pub rebinding_records: Counter,
    /// Answers whose signatures proved right.
    pub secure: Counter,
    /// Answers of zones that are not signed.
    pub insecure: Counter,
    /// Answers whose signatures are wrong or missing.
    pub bogus: Counter,
    /// Names refreshed ahead of time.
    pub prefetched: Counter,
    /// Questions under way.
    pub in_flight: Gauge,
}

/// The counters of one upstream.
#[derive(Clone, Debug)]
pub struct UpstreamCounters {
    /// Queries sent, repetitions included.
    pub queries: Counter,
    /// Replies.
    pub answers: Counter,
    /// Questions given up.
    pub timeouts: Counter,
    /// Errors of the network and of TLS.
    pub errors: Counter,
    /// Replies that refuse.
    pub refusals: Counter,
    /// Messages that were no replies.
    pub mismatches: Counter,
    /// Replies that were cut short.
    pub truncated: Counter,
    /// Connections made.
    pub connections: Counter,
    /// 1 while it answers.
    pub up: Gauge,
    round_trip: Gauge<f64, AtomicU64>,
    dropped: Family<Reason, Counter>,
}

impl Counters {
    /// The counters, known to `metrics`.
    pub fn new(metrics: &Metrics) -> Self {
        let c = Self::default();
        metrics.register(
            "upstream_queries",
            "Queries sent upstream, repetitions included",
            c.queries.clone(),
        );
        metrics.register("upstream_answers", "Replies from upstream", c.answers.clone());
        metrics.register(
            "upstream_timeouts",
            "Questions that an upstream did not answer in time",
            c.timeouts.clone(),
        );
        metrics.register("upstream_errors", "Network and TLS errors, by upstream", c.errors.clone());
        metrics.register(
            "upstream_refusals",
            "Replies that refuse or only refer, by upstream",
            c.refusals.clone(),
        );
        metrics.register(
            "upstream_mismatches",
            "Messages that were no replies, by upstream",
            c.mismatches.clone(),
        );
        metrics.register(
            "upstream_truncated",
            "Replies that had to be fetched over TCP",
            c.truncated.clone(),
        );
        metrics.register("upstream_connections", "Connections made, by upstream", c.connections.clone());
        metrics.register("upstream_up", "1 while the upstream answers", c.up.clone());
        metrics.register("upstream_round_trip_seconds", "Smoothed round trip time", c.round_trip.clone());
        metrics.register(
            "upstream_dropped",
            "Messages from upstream that were not used, by reason",
            c.dropped.clone(),
        );
        metrics.register("forward_resolved", "Questions answered from upstream", c.resolved.clone());
        metrics.register("forward_failed", "Questions that ended without an answer", c.failed.clone());
        metrics.register(
            "forward_coalesced",
            "Questions that shared the query of another",
            c.coalesced.clone(),
        );
        metrics.register("forward_overload", "Questions turned away: too many under way", c.overload.clone());
        metrics.register(
            "forward_known_down",
            "Questions failed at once: upstreams known down",
            c.known_down.clone(),
        );
        metrics.register(
            "forward_hedged",
            "Second upstreams asked because the first was late",
            c.hedged.clone(),
        );
        metrics.register(
            "forward_stray_records",
            "Records that did not belong to the answer",
            c.stray_records.clone(),
        );
        metrics.register(
            "forward_rebinding_records",
            "Private addresses dropped from public answers",
            c.rebinding_records.clone(),
        );
        metrics.register("dnssec_secure", "Answers that validated", c.secure.clone());
        metrics.register("dnssec_insecure", "Answers of unsigned zones", c.insecure.clone());
        metrics.register("dnssec_bogus", "Answers that failed to validate", c.bogus.clone());
        metrics.register("forward_prefetched", "Names refreshed ahead of time", c.prefetched.clone());
        metrics.register("forward_in_flight", "Questions under way", c.in_flight.clone());
        c
    }

    /// Counts a reply that could not be used.
    pub fn dropped(&self, reason: &'static str) {
        self.dropped.get_or_create(&Reason { reason }).inc();
    }

    /// How many replies could not be used for `reason`.
    pub fn dropped_count(&self, reason: &'static str) -> u64 {
        self.dropped.get_or_create(&Reason { reason }).get()
    }

    /// The counters of `upstream`.
    pub fn upstream(&self, upstream: &str) -> UpstreamCounters {
        let label = UpstreamLabel { upstream: upstream.to_owned() };
        UpstreamCounters {
            queries: self.queries.get_or_create(&label).clone(),
            answers: self.answers.get_or_create(&label).clone(),
            timeouts: self.timeouts.get_or_create(&label).clone(),
            errors: self.errors.get_or_create(&label).clone(),
            refusals: self.refusals.get_or_create(&label).clone(),
            mismatches: self.mismatches.get_or_create(&label).clone(),
            truncated: self.truncated.get_or_create(&label).clone(),
            connections: self.connections.get_or_create(&label).clone(),
            up: {
                let up = self.up.get_or_create(&label).clone();
                up.set(1);
                up
            },
            round_trip: self.round_trip.get_or_create(&label).clone(),
            dropped: self.dropped.clone(),
        }
    }

    /// Forgets the numbers of an upstream that is configured no more.
    pub fn forget(&self, upstream: &str) {
        let label = UpstreamLabel { upstream: upstream.to_owned() };
        for counters in [
            &self.queries,
            &self.answers,
            &self.timeouts,
            &self.errors,
            &self.refusals,
            &self.mismatches,
            &self.truncated,
            &self.connections,
        ] {
            counters.remove(&label);
        }
        self.up.remove(&label);
        self.round_trip.remove(&label);
    }
}

impl UpstreamCounters {
    /// Shows the smoothed round trip time.
    pub fn round_trip(&self, smoothed: Duration) {
        self.round_trip.set(smoothed.as_secs_f64());
    }

    /// Counts a message that was no reply.
    pub fn dropped(&self, reason: &'static str) {
        self.dropped.get_or_create(&Reason { reason }).inc();
    }
}
