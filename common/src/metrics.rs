//! Counters and gauges of one daemon, in the exposition format that Prometheus reads.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::{Metric, Registry};

use crate::tasks;

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of a daemon; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    /// An empty set whose names begin with `faros_<daemon>_`.
    pub fn new(daemon: &str) -> Self {
        let registry = Registry::with_prefix(format!("faros_{}", daemon.replace('-', "_")));
        let metrics = Self { registry: Arc::new(Mutex::new(registry)) };
        metrics.register("panics", "Defects of ours that were contained", tasks::PANICS.clone());
        metrics
    }

    /// Adds `metric` as `faros_<daemon>_<name>`; counters get `_total` appended. Names are given once,
    /// in the daemon's `metrics.rs`.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.lock().register(name, help, metric);
    }

    /// Adds metrics that are read when they are asked for; their names get the same beginning.
    pub fn register_collector(&self, collector: Box<dyn Collector>) {
        self.lock().register_collector(collector);
    }

    /// Everything as text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.lock()).expect("writing to a String cannot fail");
        text
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn names_carry_project_and_daemon() {
        let metrics = Metrics::new("ignition-http");
        let served = Counter::<u64>::default();
        metrics.register("files", "Files served", served.clone());
        served.inc();
        assert!(metrics.render().contains("\nfaros_ignition_http_files_total 1\n"), "{}", metrics.render());
    }
}
