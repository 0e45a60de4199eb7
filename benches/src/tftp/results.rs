//! From samples to tables and targets.

use std::collections::BTreeMap;

use crate::machine::Facts;
use crate::report::{Limit, Report, Table};
use crate::stats::{median, spoken, spoken_spread};

use super::clients::{BLOCK_OVMF, Case};
use super::servers::Kind;

/// One transfer, or one of several clients at once.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// All clients together, from the start of the first to the end of the last.
    pub mbit_per_sec: f64,
    /// Processor time of the server per GiB sent.
    pub cpu_secs_per_gib: f64,
}

/// All that was measured of one server.
#[derive(Clone, Debug)]
pub struct Samples {
    kind: Kind,
    cases: BTreeMap<Case, Vec<Sample>>,
    /// The most resident memory per round, in bytes.
    pub memory_most: Vec<u64>,
}

impl Samples {
    /// No samples yet.
    pub fn new(kind: Kind) -> Self {
        Self { kind, cases: BTreeMap::new(), memory_most: Vec::new() }
    }

    /// Adds a sample.
    pub fn add(&mut self, case: Case, sample: Sample) {
        self.cases.entry(case).or_default().push(sample);
    }

    fn of(&self, case: Case, value: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.cases.get(&case).into_iter().flatten().map(value).collect()
    }

    fn speed(&self, case: Case) -> Option<f64> {
        median(&self.of(case, |sample| sample.mbit_per_sec))
    }
}

/// The tables and targets.
pub fn report(facts: Facts, samples: &[Samples]) -> Report {
    let mut report = Report::new(facts);
    let speed = |case| ours(samples, case).zip(best_peer(samples, case)).map(|(ours, it)| ours / it);
    let thrift = |case| {
        let of = |wanted: bool| {
            let chosen = samples.iter().filter(|of| (of.kind == Kind::Faros) == wanted);
            let medians = chosen.filter_map(|of| median(&of.of(case, |sample| sample.cpu_secs_per_gib)));
            medians.min_by(f64::total_cmp)
        };
        of(false).zip(of(true)).map(|(it, ours)| it / ours)
    };
    let mut rates = table("Mbit/s", samples, |sample| sample.mbit_per_sec, ("ours ÷ best peer", &speed));
    rates.note("A dash: the server grants no windows (RFC 7440), its clients stay at window 1.");
    report.table(rates);
    let title = "Processor seconds of the server per GiB";
    report.table(table(title, samples, |sample| sample.cpu_secs_per_gib, ("best peer ÷ ours", &thrift)));
    report.table(memory(samples));
    targets(&mut report, samples);
    report
}

type Ratio<'a> = (&'a str, &'a dyn Fn(Case) -> Option<f64>);

fn table(
    title: &str,
    samples: &[Samples],
    value: impl Fn(&Sample) -> f64,
    (head, ratio): Ratio<'_>,
) -> Table {
    let mut heads = vec!["Client, block, window"];
    heads.extend(samples.iter().map(|of| of.kind.name()));
    heads.push(head);
    let mut table = Table::new(title, &heads);
    for case in Case::all() {
        let mut cells = vec![case.name()];
        cells.extend(samples.iter().map(|of| spoken_spread(&of.of(case, &value))));
        cells.push(ratio(case).map_or_else(|| "–".to_owned(), spoken));
        table.row(cells);
    }
    table
}

fn memory(samples: &[Samples]) -> Table {
    let mut table = Table::new("Most resident memory of the server's main process", &["Server", "MiB"]);
    for of in samples {
        let mib: Vec<f64> = of.memory_most.iter().map(|&bytes| bytes as f64 / 1024.0 / 1024.0).collect();
        table.row(vec![of.kind.name().to_owned(), spoken_spread(&mib)]);
    }
    table
}

fn targets(report: &mut Report, samples: &[Samples]) {
    let atftp = |window| Case::Atftp { window, block: BLOCK_OVMF };
    let crowd = Case::Crowd { block: BLOCK_OVMF };
    let against_best = |case| ours(samples, case).zip(best_peer(samples, case)).map(|(ours, it)| ours / it);
    let dnsmasq = samples.iter().find(|of| of.kind == Kind::Dnsmasq);
    let lock_step = dnsmasq.and_then(|of| of.speed(atftp(1)));
    let windows = ours(samples, atftp(64)).zip(lock_step).map(|(ours, it)| ours / it);
    report.target("first mark: window 64 ÷ dnsmasq, which has none", Limit::AtLeast(5.0), windows);
    report.target("first mark: window 1 ÷ the best peer", Limit::AtLeast(1.0), against_best(atftp(1)));
    report.target("goal: window 64 ÷ dnsmasq, which has none", Limit::AtLeast(13.0), windows);
    report.target("goal: window 64 ÷ the best peer", Limit::AtLeast(1.2), against_best(atftp(64)));
    report.target("goal: window 1 ÷ the best peer", Limit::AtLeast(1.2), against_best(atftp(1)));
    report.target("goal: eight clients ÷ the best peer", Limit::AtLeast(1.3), against_best(crowd));
}

fn ours(samples: &[Samples], case: Case) -> Option<f64> {
    samples.iter().find(|of| of.kind == Kind::Faros)?.speed(case)
}

fn best_peer(samples: &[Samples], case: Case) -> Option<f64> {
    let peers = samples.iter().filter(|of| of.kind != Kind::Faros);
    peers.filter_map(|of| of.speed(case)).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use crate::report::cells_of;

    use super::*;

    fn sampled(kind: Kind, speeds: &[(u16, f64)]) -> Samples {
        let mut samples = Samples::new(kind);
        for &(window, mbit_per_sec) in speeds {
            let case = Case::Atftp { window, block: BLOCK_OVMF };
            samples.add(case, Sample { mbit_per_sec, cpu_secs_per_gib: 1.0 });
        }
        samples
    }

    #[test]
    fn windows_are_compared_with_lock_step_where_a_peer_has_none() {
        let samples = [
            sampled(Kind::Faros, &[(1, 200.0), (64, 3000.0)]),
            sampled(Kind::Dnsmasq, &[(1, 250.0)]),
            sampled(Kind::Atftpd, &[(1, 180.0), (64, 1500.0)]),
        ];
        let text = report(Vec::new(), &samples).markdown();
        let row = |first: &str| cells_of(&text, first);
        assert_eq!(row("first mark: window 64 ÷ dnsmasq, which has none"), ["≥ 5.00", "12.0", "met"]);
        assert_eq!(row("first mark: window 1 ÷ the best peer"), ["≥ 1.00", "0.800", "**missed**"]);
        assert_eq!(row("goal: window 64 ÷ the best peer"), ["≥ 1.20", "2.00", "met"]);
        assert_eq!(row("goal: eight clients ÷ the best peer"), ["≥ 1.30", "–", "not measured"]);
        assert_eq!(row("atftp 1468 window 64"), ["3 000", "–", "1 500", "2.00"]);
    }
}
