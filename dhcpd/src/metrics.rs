//! Every metric name, and what moves it.

use faros_common::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::protocol::leases::Usage;
use crate::protocol::outcome::DropReason;

/// A reason as a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    reason: &'static str,
}

/// A kind as a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    kind: &'static str,
}

/// A state as a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabel {
    state: &'static str,
}

/// All metrics of this daemon.
#[derive(Clone, Debug, Default)]
pub struct DhcpMetrics {
    received: Counter,
    replies: Family<Kind, Counter>,
    dropped: Family<Reason, Counter>,
    send_failed: Family<Kind, Counter>,
    pool: Family<StateLabel, Gauge>,
    leases: Gauge,
    held: Gauge,
    storage_failed: Gauge,
    advertisements: Counter,
    probes: Counter,
}

impl DhcpMetrics {
    /// Registers them all.
    pub fn register(metrics: &Metrics) -> Self {
        let own = Self::default();
        metrics.register("received", "DHCP packets received", own.received.clone());
        metrics.register("replies", "DHCP replies sent, by kind", own.replies.clone());
        metrics.register("dropped", "DHCP packets that got no answer, by reason", own.dropped.clone());
        metrics.register(
            "send_failed",
            "Replies that the system did not take, by way",
            own.send_failed.clone(),
        );
        metrics.register("pool_addresses", "Addresses of the pool, by state", own.pool.clone());
        metrics.register("leases", "Leases in memory, ended ones included", own.leases.clone());
        metrics.register("replies_held", "Replies that wait for the disk", own.held.clone());
        metrics.register(
            "storage_failed",
            "1 while leases cannot be written down",
            own.storage_failed.clone(),
        );
        metrics.register(
            "router_advertisements",
            "IPv6 router advertisements sent",
            own.advertisements.clone(),
        );
        metrics.register("probes", "Pool addresses asked for by ARP", own.probes.clone());
        own
    }

    /// `count` packets came in.
    pub fn received(&self, count: usize) {
        self.received.inc_by(count as u64);
    }

    /// A reply went out; `bytes` is its payload.
    pub fn replied(&self, bytes: &[u8]) {
        let kind = match bytes.get(240..243) {
            Some([53, 1, 2]) => "offer",
            Some([53, 1, 5]) => "ack",
            Some([53, 1, 6]) => "nak",
            _ => "other",
        };
        self.replies.get_or_create(&Kind { kind }).inc();
    }

    /// A packet got no answer.
    pub fn dropped(&self, reason: DropReason) {
        self.dropped.get_or_create(&Reason { reason: reason.name() }).inc();
    }

    /// A defect of ours lost a packet.
    pub fn lost_to_a_defect(&self) {
        self.dropped.get_or_create(&Reason { reason: "defect" }).inc();
    }

    /// The system did not take a message on this way (`udp`, `frame`, `arp`, `icmp6`).
    pub fn send_failed(&self, way: &'static str) {
        self.send_failed.get_or_create(&Kind { kind: way }).inc();
    }

    /// A router advertisement went out.
    pub fn advertised(&self) {
        self.advertisements.inc();
    }

    /// An address was asked for.
    pub fn probed(&self) {
        self.probes.inc();
    }

    /// The state of things, after every batch.
    pub fn observe(&self, usage: Usage, leases: usize, held: usize, storage_failed: bool) {
        let states = [
            ("active", usage.active),
            ("offered", usage.offered),
            ("quarantined", usage.quarantined),
            ("free", usage.free()),
        ];
        for (state, count) in states {
            self.pool.get_or_create(&StateLabel { state }).set(count as i64);
        }
        self.leases.set(leases as i64);
        self.held.set(held as i64);
        self.storage_failed.set(storage_failed.into());
    }
}
