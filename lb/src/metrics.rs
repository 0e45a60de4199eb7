//! Every metric of `lb`; each name begins with `faros_lb_`.
//!
//! What is counted by the planes is read when it is asked for; what the checks find is counted here.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use faros_common::metrics::Metrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::director::{CUTS, Director, ServerReading, cut_name};
use crate::pool::{Cut, Front, ServerCounters};

/// Bounds of the histogram of checks, in seconds.
const CHECK_SECONDS: [f64; 9] = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0];

/// A front end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfFront {
    /// Its name.
    pub frontend: String,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfServer {
    /// Its front end.
    pub frontend: String,
    /// Its name.
    pub server: String,
}

/// What checks of a server found.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Checked {
    /// Its front end.
    pub frontend: String,
    /// Its name.
    pub server: String,
    /// `good`, or what is wrong ([`crate::checks::Failure::name`]).
    pub result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCut {
    frontend: String,
    cut: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDrop {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOctets {
    frontend: String,
    server: String,
    direction: &'static str,
}

/// What is counted here; cheap to clone.
#[derive(Debug)]
pub struct Counters {
    /// `checks_total{frontend,server,result}`.
    checks: Family<Checked, Counter>,
    /// `check_seconds{frontend}`.
    check_seconds: Family<OfFront, Histogram>,
    /// `log_lost_total`: connections' ends that came too fast to be told.
    pub log_lost: Counter,
}

impl Counters {
    /// Registers all of them.
    pub fn register(metrics: &Metrics) -> Arc<Self> {
        let histogram = || Histogram::new(CHECK_SECONDS);
        let counters = Self {
            checks: Family::default(),
            check_seconds: Family::new_with_constructor(histogram),
            log_lost: Counter::default(),
        };
        metrics.register("checks", "Health checks, by what they found", counters.checks.clone());
        metrics.register("check_seconds", "How long health checks took", counters.check_seconds.clone());
        metrics.register("log_lost", "Ends of connections too many to be told", counters.log_lost.clone());
        Arc::new(counters)
    }

    /// Counts a check.
    pub fn checked(&self, frontend: &str, server: &str, result: &'static str, took: Duration) {
        let (frontend, server) = (frontend.to_owned(), server.to_owned());
        self.check_seconds.get_or_create(&OfFront { frontend: frontend.clone() }).observe(took.as_secs_f64());
        self.checks.get_or_create(&Checked { frontend, server, result }).inc();
    }
}

/// What the planes count and where servers stand, read when asked for.
pub struct Planes(Weak<Director>);

impl Planes {
    /// Registers what `director` knows.
    pub fn register(metrics: &Metrics, director: &Arc<Director>) {
        metrics.register_collector(Box::new(Self(Arc::downgrade(director))));
    }
}

impl fmt::Debug for Planes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Planes")
    }
}

/// A number of a front end.
type FrontNumber = fn(&Front, bool) -> u64;
/// Octets of a server, one way.
type Octets = fn(&ServerCounters) -> u64;
/// A number of a server.
type ServerNumber = fn(&ServerReading) -> u64;

const FRONT_COUNTERS: [(&str, &str, FrontNumber); 3] = [
    ("connections", "Connections accepted.", |front, _| front.counters.accepted.load(Ordering::Relaxed)),
    ("retries", "Attempts that went on to another server.", |front, _| {
        front.counters.retries.load(Ordering::Relaxed)
    }),
    ("hedges", "Attempts that a second one joined.", |front, _| {
        front.counters.hedges.load(Ordering::Relaxed)
    }),
];
const FRONT_GAUGES: [(&str, &str, FrontNumber); 2] = [
    ("connections_open", "Connections now, of the user plane.", |front, _| {
        front.counters.active.load(Ordering::Relaxed).into()
    }),
    ("kernel_plane", "Whether the kernel forwards.", |_, kernel| kernel.into()),
];
const SERVER_COUNTERS: [(&str, &str, ServerNumber); 3] = [
    ("server_connections", "Connections given to a server.", |reading| {
        reading.server.counters.total.load(Ordering::Relaxed)
    }),
    ("server_connects_failed", "Connections that a server did not take.", |reading| {
        reading.server.counters.failed.load(Ordering::Relaxed)
    }),
    ("server_resets", "Connections that a server reset.", |reading| {
        reading.server.counters.resets.load(Ordering::Relaxed)
    }),
];
const SERVER_GAUGES: [(&str, &str, ServerNumber); 3] = [
    ("server_connections_open", "Connections of a server now, of the user plane.", |reading| {
        reading.server.counters.active.load(Ordering::Relaxed).into()
    }),
    ("server_up", "Whether the checks of a server are good.", |reading| reading.up.into()),
    ("server_serving", "Whether a server gets connections.", |reading| reading.serving.into()),
];
/// Connections that got no server, as every daemon tells what it dropped.
const DROPPED: [Cut; 5] = [Cut::NoServer, Cut::Limit, Cut::ProxyHeader, Cut::Source, Cut::Internal];

impl Collector for Planes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(director) = self.0.upgrade() else { return Ok(()) };
        let readings = director.readings();
        for (name, help, number) in FRONT_COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (front, kernel, _) in &readings {
                let labels = OfFront { frontend: front.name.to_string() };
                ConstCounter::new(number(front, *kernel)).encode(metric.encode_family(&labels)?)?;
            }
        }
        for (name, help, number) in FRONT_GAUGES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (front, kernel, _) in &readings {
                let labels = OfFront { frontend: front.name.to_string() };
                ConstGauge::new(gauge(number(front, *kernel))).encode(metric.encode_family(&labels)?)?;
            }
        }
        for (kind, numbers) in [(MetricType::Counter, SERVER_COUNTERS), (MetricType::Gauge, SERVER_GAUGES)] {
            for (name, help, number) in numbers {
                let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
                for (front, _, servers) in &readings {
                    for reading in servers {
                        let labels = of_server(front, reading);
                        let family = metric.encode_family(&labels)?;
                        match kind {
                            MetricType::Counter => ConstCounter::new(number(reading)).encode(family)?,
                            _ => ConstGauge::new(gauge(number(reading))).encode(family)?,
                        }
                    }
                }
            }
        }
        octets(&mut encoder, &readings)?;
        ends(&mut encoder, &readings)
    }
}

type Readings = [(Arc<Front>, bool, Vec<ServerReading>)];

fn octets(encoder: &mut DescriptorEncoder<'_>, readings: &Readings) -> fmt::Result {
    let help = "Octets to and from servers.";
    let mut metric = encoder.encode_descriptor("server_bytes", help, None, MetricType::Counter)?;
    let directions: [(&str, Octets); 2] = [
        ("to_server", |counters| counters.sent.load(Ordering::Relaxed)),
        ("from_server", |counters| counters.received.load(Ordering::Relaxed)),
    ];
    for (front, _, servers) in readings {
        for reading in servers {
            for (direction, number) in directions {
                let OfServer { frontend, server } = of_server(front, reading);
                let labels = OfOctets { frontend, server, direction };
                let value = number(&reading.server.counters);
                ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}

fn ends(encoder: &mut DescriptorEncoder<'_>, readings: &Readings) -> fmt::Result {
    let count = |front: &Front, cut: Cut| front.counters.ended[cut as usize].load(Ordering::Relaxed);
    let help = "Connections that ended, by who ended them.";
    let mut metric = encoder.encode_descriptor("ended", help, None, MetricType::Counter)?;
    for (front, ..) in readings {
        for cut in CUTS {
            let labels = OfCut { frontend: front.name.to_string(), cut: cut_name(cut) };
            ConstCounter::new(count(front, cut)).encode(metric.encode_family(&labels)?)?;
        }
    }
    let help = "Connections that got no server, by reason.";
    let mut metric = encoder.encode_descriptor("dropped", help, None, MetricType::Counter)?;
    for cut in DROPPED {
        let sum: u64 = readings.iter().map(|(front, ..)| count(front, cut)).sum();
        let labels = OfDrop { reason: cut_name(cut) };
        ConstCounter::new(sum).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn of_server(front: &Front, reading: &ServerReading) -> OfServer {
    OfServer { frontend: front.name.to_string(), server: reading.server.name.to_string() }
}

fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
