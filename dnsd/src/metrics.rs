//! Every metric of this daemon; names are prefixed with `faros_dnsd_`.
//!
//! What every query moves is counted by each serving thread for itself, without locked operations, and summed when
//! somebody reads it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use faros_common::metrics::Metrics;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::cache::Cache;
use crate::engine::{Source, Transport};
use crate::protocol::code::rcode;
use crate::protocol::message::Malformed;

/// Response codes that are counted apart; those beyond count as the last.
const RCODES: usize = 24;

/// Why something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    reason: &'static str,
}

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    outcome: &'static str,
}

/// What one serving thread has counted.
///
/// A thread's own tally is written by that thread alone, with plain loads and stores; a shared one by anybody.
#[repr(align(128))]
#[derive(Debug)]
pub struct Tally {
    shared: bool,
    queries: [AtomicU64; Transport::ALL.len()],
    rcodes: [AtomicU64; RCODES],
    sources: [AtomicU64; Source::ALL.len()],
    turns: AtomicU64,
}

impl Tally {
    /// Nothing counted yet; `shared` where several threads count.
    pub fn new(shared: bool) -> Self {
        let cell = |_| AtomicU64::new(0);
        Self {
            shared,
            queries: std::array::from_fn(cell),
            rcodes: std::array::from_fn(cell),
            sources: std::array::from_fn(cell),
            turns: AtomicU64::new(0),
        }
    }

    /// Counts a message that came in.
    #[inline]
    pub fn received(&self, transport: Transport) {
        self.add(&self.queries[transport as usize]);
    }

    /// Counts an answer.
    #[inline]
    pub fn answered(&self, code: u16, source: Source) {
        self.add(&self.rcodes[usize::from(code).min(RCODES - 1)]);
        self.add(&self.sources[source as usize]);
    }

    /// Counts a round of the thread's loop.
    #[inline]
    pub fn turned(&self) {
        self.add(&self.turns);
    }

    /// Where the answers came from, if all came from one source.
    pub fn source(&self) -> Option<Source> {
        let mut counted =
            Source::ALL.into_iter().zip(&self.sources).filter(|(_, cell)| cell.load(Ordering::Relaxed) > 0);
        counted.next().map(|(source, _)| source).filter(|_| counted.next().is_none())
    }

    /// How often the thread's loop has gone round.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    #[inline]
    fn add(&self, cell: &AtomicU64) {
        if self.shared {
            cell.fetch_add(1, Ordering::Relaxed);
        } else {
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }
}

/// The metrics; cheap to clone.
#[derive(Clone, Debug)]
pub struct Counters {
    tallies: Arc<Mutex<Vec<Arc<Tally>>>>,
    /// Counts what tasks of the runtime do.
    pub shared: Arc<Tally>,
    dropped: Family<Reason, Counter>,
    malformed: Family<Reason, Counter>,
    limited: Family<Reason, Counter>,
    updates: Family<Outcome, Counter>,
    /// Zone transfers begun.
    pub transfers: Counter,
    refused_connections: Family<Reason, Counter>,
    ended_connections: Family<Reason, Counter>,
    /// Replies over UDP that were cut (TC).
    pub truncated: Counter,
    /// Connections open now, over TCP and TLS.
    pub connections: Gauge,
    /// Questions that wait for an upstream server now.
    pub waiting: Gauge,
    /// Questions that failed at once because too many waited already.
    pub overloaded: Counter,
}

impl Counters {
    /// The metrics, known to `metrics`.
    pub fn new(metrics: &Metrics) -> Self {
        let shared = Arc::new(Tally::new(true));
        let counters = Self {
            tallies: Arc::new(Mutex::new(vec![Arc::clone(&shared)])),
            shared,
            dropped: Family::default(),
            malformed: Family::default(),
            limited: Family::default(),
            updates: Family::default(),
            transfers: Counter::default(),
            refused_connections: Family::default(),
            ended_connections: Family::default(),
            truncated: Counter::default(),
            connections: Gauge::default(),
            waiting: Gauge::default(),
            overloaded: Counter::default(),
        };
        let register = |name, help, family: &Family<Reason, Counter>| {
            metrics.register(name, help, family.clone());
        };
        register("dropped", "Messages that got no answer, by reason", &counters.dropped);
        register("malformed", "Messages that could not be read, by reason", &counters.malformed);
        register("limited", "Answers that were limited, by what was sent instead", &counters.limited);
        register(
            "connections_refused",
            "Connections closed at once, by reason",
            &counters.refused_connections,
        );
        register("connections_ended", "Connections that were ended, by reason", &counters.ended_connections);
        metrics.register(
            "updates",
            "Updates and other signed messages, by outcome",
            counters.updates.clone(),
        );
        metrics.register("transfers", "Zone transfers begun", counters.transfers.clone());
        metrics.register("truncated", "Replies over UDP that were cut (TC)", counters.truncated.clone());
        metrics.register("connections", "Connections open now", counters.connections.clone());
        metrics.register(
            "waiting",
            "Questions that wait for an upstream server now",
            counters.waiting.clone(),
        );
        metrics.register(
            "overloaded",
            "Questions that failed at once because too many waited already",
            counters.overloaded.clone(),
        );
        for malformed in Malformed::ALL {
            drop(counters.malformed.get_or_create(&Reason { reason: malformed.name() }));
        }
        counters.register_tallies(metrics);
        counters
    }

    fn register_tallies(&self, metrics: &Metrics) {
        let summed = |label, of: fn(&Tally) -> Vec<(&'static str, u64)>| {
            let tallies = Arc::clone(&self.tallies);
            Observed::counters(label, move || {
                let tallies = tallies.lock().unwrap_or_else(PoisonError::into_inner);
                let mut sums: Vec<(&'static str, u64)> = Vec::new();
                for (name, value) in tallies.iter().flat_map(|tally| of(tally)) {
                    match sums.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, sum)) => *sum += value,
                        None => sums.push((name, value)),
                    }
                }
                sums.into_iter().map(|(name, sum)| (name.to_owned(), sum)).collect()
            })
        };
        metrics.register(
            "queries",
            "Messages that came in, by transport",
            summed("transport", |tally| {
                let cells = Transport::ALL.iter().zip(&tally.queries);
                cells.map(|(transport, cell)| (transport.name(), cell.load(Ordering::Relaxed))).collect()
            }),
        );
        metrics.register(
            "answers",
            "Answers, by response code",
            summed("rcode", |tally| {
                let codes = (0..).zip(&tally.rcodes);
                codes.map(|(code, cell)| (rcode::mnemonic(code), cell.load(Ordering::Relaxed))).collect()
            }),
        );
        metrics.register(
            "answers_by_source",
            "Answers, by where they came from",
            summed("source", |tally| {
                let cells = Source::ALL.iter().zip(&tally.sources);
                cells.map(|(source, cell)| (source.name(), cell.load(Ordering::Relaxed))).collect()
            }),
        );
    }

    /// A tally for one thread alone.
    pub fn own_tally(&self) -> Arc<Tally> {
        let tally = Arc::new(Tally::new(false));
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&tally));
        tally
    }

    /// How many messages came in, over all transports.
    pub fn received(&self) -> u64 {
        self.sum(|tally| &tally.queries)
    }

    /// How many answers there were, from `source`.
    pub fn answered_from(&self, source: Source) -> u64 {
        self.sum(|tally| std::slice::from_ref(&tally.sources[source as usize]))
    }

    fn sum(&self, of: impl Fn(&Tally) -> &[AtomicU64]) -> u64 {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.iter().flat_map(|tally| of(tally)).map(|cell| cell.load(Ordering::Relaxed)).sum()
    }

    /// Counts a message that gets no answer.
    pub fn dropped(&self, reason: &'static str) {
        self.dropped.get_or_create(&Reason { reason }).inc();
    }

    /// Counts a message that could not be read.
    pub fn malformed(&self, reason: &'static str) {
        self.malformed.get_or_create(&Reason { reason }).inc();
    }

    /// Counts an answer that was limited; `reason` says what was sent instead.
    pub fn limited(&self, reason: &'static str) {
        self.limited.get_or_create(&Reason { reason }).inc();
    }

    /// Counts an update, or a signature that does not hold.
    pub fn updated(&self, outcome: &'static str) {
        self.updates.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a connection that was closed at once.
    pub fn connection_refused(&self, reason: &'static str) {
        self.refused_connections.get_or_create(&Reason { reason }).inc();
    }

    /// Counts a connection that was ended.
    pub fn connection_ended(&self, reason: &'static str) {
        self.ended_connections.get_or_create(&Reason { reason }).inc();
    }
}

/// Makes what `cache` counts known to `metrics`.
pub fn register_cache(metrics: &Metrics, cache: &Arc<Cache>) {
    let gauge = |name, help, read: fn(&Cache) -> u64| {
        let cache = Arc::clone(cache);
        metrics.register(name, help, Observed::gauge(move || read(&cache)));
    };
    gauge("cache_entries", "Answers in the cache", |cache| cache.stats().entries);
    gauge("cache_bytes", "Memory of the cache", |cache| cache.stats().bytes);
    gauge("cache_pinned", "Pinned answers in the cache", |cache| cache.stats().pinned);
    let counted = Arc::clone(cache);
    let lookups = Observed::counters("result", move || {
        let stats = counted.stats();
        let results =
            [("hit", stats.hits), ("stale", stats.stale), ("failed", stats.failed), ("miss", stats.misses)];
        results.map(|(result, count)| (result.to_owned(), count)).into()
    });
    metrics.register("cache_lookups", "Questions put to the cache, by result", lookups);
    let counted = Arc::clone(cache);
    let evicted = Observed::counters("reason", move || {
        let reasons = counted.stats().evicted.by_reason();
        reasons.map(|(reason, count)| (reason.to_owned(), count)).into()
    });
    metrics.register("cache_evicted", "Answers taken out of the cache, by reason", evicted);
}

/// Values that are read where they lie when somebody asks, one for each value of a label.
pub struct Observed {
    kind: MetricType,
    label: &'static str,
    read: Box<dyn Fn() -> Vec<(String, u64)> + Send + Sync>,
}

impl Observed {
    /// Values that only grow.
    pub fn counters(
        label: &'static str,
        read: impl Fn() -> Vec<(String, u64)> + Send + Sync + 'static,
    ) -> Self {
        Self { kind: MetricType::Counter, label, read: Box::new(read) }
    }

    /// Values that rise and fall.
    pub fn gauges(
        label: &'static str,
        read: impl Fn() -> Vec<(String, u64)> + Send + Sync + 'static,
    ) -> Self {
        Self { kind: MetricType::Gauge, label, read: Box::new(read) }
    }

    /// One value that only grows, without a label.
    pub fn counter(read: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self::counters("", move || vec![(String::new(), read())])
    }

    /// One value that rises and falls, without a label.
    pub fn gauge(read: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self::gauges("", move || vec![(String::new(), read())])
    }

    fn encode_value(&self, mut encoder: MetricEncoder<'_>, value: u64) -> fmt::Result {
        match self.kind {
            MetricType::Counter => encoder.encode_counter::<NoLabelSet, u64, u64>(&value, None),
            _ => encoder.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX)),
        }
    }
}

impl EncodeMetric for Observed {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (name, value) in (self.read)() {
            if self.label.is_empty() {
                self.encode_value(encoder, value)?;
                break;
            }
            self.encode_value(encoder.encode_family(&[(self.label, name)])?, value)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.kind
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("label", &self.label).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_all_threads_are_summed() {
        let metrics = Metrics::new("dnsd");
        let counters = Counters::new(&metrics);
        let own = counters.own_tally();
        for tally in [&own, &own, &counters.shared] {
            tally.received(Transport::Udp);
            tally.answered(rcode::NXDOMAIN, Source::Cache);
        }
        let text = metrics.render();
        for line in [
            "faros_dnsd_queries_total{transport=\"udp\"} 3",
            "faros_dnsd_queries_total{transport=\"tcp\"} 0",
            "faros_dnsd_answers_total{rcode=\"NXDOMAIN\"} 3",
            "faros_dnsd_answers_by_source_total{source=\"cache\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert_eq!((counters.received(), counters.answered_from(Source::Cache)), (3, 3));
    }
}
