//! Samples, and the tables and targets that they become.

use super::load::{Http, Stream};
use super::servers::Kind;
use crate::machine::Facts;
use crate::report::{Limit, Report, Table};
use crate::stats::{median, spoken, spoken_spread};

/// HTTP in one round.
#[derive(Clone, Copy, Debug)]
pub struct HttpSample {
    /// What the client saw.
    pub http: Http,
    /// Processor time of the balancer per answer; `None`: there is none.
    pub cpu_micros: Option<f64>,
}

/// One stream in one round.
#[derive(Clone, Copy, Debug)]
pub struct StreamSample {
    /// What the client saw.
    pub stream: Stream,
    /// Processor time of the balancer per gigabyte, in seconds; `None`: there is none.
    pub cpu_seconds: Option<f64>,
}

/// All that was measured of one way.
#[derive(Clone, Debug)]
pub struct Samples {
    kind: Kind,
    /// With a connection for each request.
    pub short: Vec<HttpSample>,
    /// Over connections that stay.
    pub kept: Vec<HttpSample>,
    /// One stream.
    pub streams: Vec<StreamSample>,
    /// Resident memory before any load, in MiB.
    pub resident: Vec<f64>,
    /// User memory of an idle connection, in bytes.
    pub idle: Vec<f64>,
}

impl Samples {
    /// No samples yet.
    pub fn new(kind: Kind) -> Self {
        let (short, kept, streams) = (Vec::new(), Vec::new(), Vec::new());
        Self { kind, short, kept, streams, resident: Vec::new(), idle: Vec::new() }
    }
}

type Values = fn(&Samples) -> Vec<f64>;

const SHORT: Values = |samples| samples.short.iter().map(|sample| sample.http.rate).collect();
const SHORT_CPU: Values = |samples| samples.short.iter().filter_map(|sample| sample.cpu_micros).collect();
const SHORT_P99: Values = |samples| samples.short.iter().map(|sample| sample.http.p99_millis).collect();
const KEPT: Values = |samples| samples.kept.iter().map(|sample| sample.http.rate).collect();
const KEPT_CPU: Values = |samples| samples.kept.iter().filter_map(|sample| sample.cpu_micros).collect();
const KEPT_P99: Values = |samples| samples.kept.iter().map(|sample| sample.http.p99_millis).collect();
const STREAM: Values = |samples| samples.streams.iter().map(|sample| sample.stream.gigabits).collect();
const STREAM_CPU: Values = |samples| samples.streams.iter().filter_map(|sample| sample.cpu_seconds).collect();
const RESIDENT: Values = |samples| samples.resident.clone();
const IDLE: Values = |samples| samples.idle.clone();

/// The tables and targets.
pub fn report(facts: Facts, all: &[Samples], idle: usize) -> Report {
    let mut report = Report::new(facts);
    let peer = Kind::Haproxy;
    report.table(table(
        "Short connections (a connection for each request)",
        all,
        peer,
        [("connections/s", SHORT), ("CPU µs each", SHORT_CPU), ("p99 ms", SHORT_P99)],
    ));
    report.table(table(
        "Requests over kept connections",
        all,
        peer,
        [("requests/s", KEPT), ("CPU µs each", KEPT_CPU), ("p99 ms", KEPT_P99)],
    ));
    let mut streams = table(
        "One stream",
        all,
        Kind::HaproxySplice,
        [("Gbit/s", STREAM), ("CPU s/GB", STREAM_CPU), ("", |_| Vec::new())],
    );
    streams.note(
        "CPU is that of the balancer's process, user and system; the kernel plane has none in the data path.",
    );
    report.table(streams);
    let title = format!("Memory, and {idle} idle connections");
    let mut memory = Table::new(&title, &["Way", "RSS MiB at start", "user bytes per idle connection"]);
    for samples in all.iter().filter(|samples| samples.kind.is_process()) {
        let cells = [RESIDENT, IDLE].map(|values| spoken_spread(&values(samples)));
        memory.row([samples.kind.name().to_owned()].into_iter().chain(cells).collect());
    }
    report.table(memory);
    targets(&mut report, all);
    report
}

/// A row per way: each of the values, and how the first compares with the peer's and with the direct way.
fn table(title: &str, all: &[Samples], peer: Kind, columns: [(&str, Values); 3]) -> Table {
    let columns: Vec<_> = columns.into_iter().filter(|(head, _)| !head.is_empty()).collect();
    let (against_peer, against_direct) = (format!("÷ {}", peer.name()), "÷ direct");
    let mut heads = vec!["Way"];
    heads.extend(columns.iter().map(|(head, _)| *head));
    heads.extend([against_peer.as_str(), against_direct]);
    let mut table = Table::new(title, &heads);
    for samples in all {
        let mut cells = vec![samples.kind.name().to_owned()];
        cells.extend(columns.iter().map(|(_, values)| spoken_spread(&values(samples))));
        for other in [peer, Kind::Direct] {
            let ratio = ratio(all, samples.kind, other, columns[0].1);
            cells.push(ratio.map_or_else(|| "–".to_owned(), spoken));
        }
        table.row(cells);
    }
    table
}

fn targets(report: &mut Report, all: &[Samples]) {
    use Kind::{Direct, Haproxy, HaproxySplice, Kernel, User};
    let mut target = |what: &str, ours: Kind, other: Kind, values: Values, limit: Limit| {
        report.target(what, limit, ratio(all, ours, other, values));
    };
    target("user plane, connections/s ÷ HAProxy", User, Haproxy, SHORT, Limit::AtLeast(1.15));
    target("user plane, CPU per connection ÷ HAProxy", User, Haproxy, SHORT_CPU, Limit::AtMost(0.75));
    target("user plane, requests/s ÷ HAProxy", User, Haproxy, KEPT, Limit::AtLeast(1.25));
    target("user plane, p99 of requests ÷ HAProxy", User, Haproxy, KEPT_P99, Limit::AtMost(0.5));
    target("user plane, one stream ÷ HAProxy with splice", User, HaproxySplice, STREAM, Limit::AtLeast(1.2));
    target(
        "user plane, CPU per GB ÷ HAProxy with splice",
        User,
        HaproxySplice,
        STREAM_CPU,
        Limit::AtMost(0.75),
    );
    target("kernel plane, connections/s ÷ HAProxy", Kernel, Haproxy, SHORT, Limit::AtLeast(1.45));
    target("kernel plane, requests/s ÷ HAProxy", Kernel, Haproxy, KEPT, Limit::AtLeast(1.45));
    target("kernel plane, one stream ÷ direct", Kernel, Direct, STREAM, Limit::AtLeast(0.95));
    let of_user = |values: Values| median(&values(all.iter().find(|samples| samples.kind == User)?));
    report.target("user plane, bytes per idle connection", Limit::AtMost(512.0), of_user(IDLE));
    report.target("user plane, RSS at start, MiB", Limit::AtMost(8.0), of_user(RESIDENT));
}

/// One way divided by another: the median of the rounds, of which each has compared what it has measured within seconds.
fn ratio(all: &[Samples], ours: Kind, other: Kind, values: Values) -> Option<f64> {
    let of = |kind| Some(values(all.iter().find(|samples| samples.kind == kind)?));
    let (ours, others) = (of(ours)?, of(other)?);
    let ratios: Vec<f64> = ours.iter().zip(&others).map(|(ours, other)| ours / other).collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::cells_of;

    fn sampled(kind: Kind, rate: f64, cpu: f64) -> Samples {
        let mut samples = Samples::new(kind);
        let http = Http { answered: 1, rate, p99_millis: 2.0 };
        let cpu_micros = kind.is_process().then_some(cpu);
        samples.short.push(HttpSample { http, cpu_micros });
        samples.kept.push(HttpSample { http, cpu_micros });
        let stream = Stream { gigabytes: 1.0, gigabits: rate };
        samples.streams.push(StreamSample { stream, cpu_seconds: cpu_micros });
        samples.idle.push(300.0);
        samples
    }

    #[test]
    fn each_target_is_a_ratio() {
        let all = [
            sampled(Kind::Direct, 200.0, 0.0),
            sampled(Kind::Haproxy, 100.0, 40.0),
            sampled(Kind::User, 130.0, 20.0),
            sampled(Kind::Kernel, 140.0, 0.0),
        ];
        let text = report(Vec::new(), &all, 9000).markdown();
        assert_eq!(cells_of(&text, "user plane, connections/s ÷ HAProxy"), ["≥ 1.15", "1.30", "met"]);
        assert_eq!(cells_of(&text, "user plane, CPU per connection ÷ HAProxy"), ["≤ 0.750", "0.500", "met"]);
        assert_eq!(cells_of(&text, "kernel plane, one stream ÷ direct"), ["≥ 0.950", "0.700", "**missed**"]);
        let splice = cells_of(&text, "user plane, one stream ÷ HAProxy with splice");
        assert_eq!(splice, ["≥ 1.20", "–", "not measured"]);
        assert_eq!(cells_of(&text, "user plane, bytes per idle connection"), ["≤ 512", "300", "met"]);
    }

    #[test]
    fn a_round_is_compared_with_itself() {
        let mut all = [sampled(Kind::Haproxy, 100.0, 40.0), sampled(Kind::User, 130.0, 20.0)];
        for (rate, samples) in [10.0, 13.0].into_iter().zip(&mut all) {
            // The machine was busy: everybody was slow.
            let slow = sampled(samples.kind, rate, 40.0).short[0];
            samples.short.extend([slow, slow]);
        }
        assert_eq!(ratio(&all, Kind::User, Kind::Haproxy, SHORT), Some(1.3));
    }

    #[test]
    fn a_way_without_a_process_has_no_processor_time() {
        let text = report(Vec::new(), &[sampled(Kind::Direct, 200.0, 0.0)], 1).markdown();
        assert_eq!(cells_of(&text, "direct"), ["200", "–", "2.00", "–", "1.00"]);
    }
}
