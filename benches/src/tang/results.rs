//! From samples to tables and targets.

use std::collections::BTreeMap;

use crate::machine::Facts;
use crate::report::{Limit, Report, Table};
use crate::stats::{median, spoken, spoken_spread};

use super::load::{Load, Multiplication};
use super::servers::Kind;

/// What is asked, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// An exchange (`/rec`) instead of the advertisement (`/adv`).
    pub exchange: bool,
    /// Over one connection per client instead of one per request.
    pub kept: bool,
}

impl Case {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self { exchange: false, kept: false },
        Self { exchange: false, kept: true },
        Self { exchange: true, kept: false },
        Self { exchange: true, kept: true },
    ];

    /// Its name in tables.
    pub fn name(self) -> String {
        let what = if self.exchange { "/rec" } else { "/adv" };
        format!("{what}, {}", if self.kept { "kept connections" } else { "fresh connections" })
    }
}

/// One case in one round.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Processor time of the server per answer.
    pub cpu_micros: f64,
    /// What the clients saw.
    pub load: Load,
}

/// All that was measured of one server.
#[derive(Clone, Debug)]
pub struct Samples {
    kind: Kind,
    cases: BTreeMap<Case, Vec<Sample>>,
    resident: Vec<f64>,
    proportional: Vec<f64>,
    resident_after: Vec<f64>,
}

impl Samples {
    /// No samples yet.
    pub fn new(kind: Kind) -> Self {
        let (resident, proportional, resident_after) = (Vec::new(), Vec::new(), Vec::new());
        Self { kind, cases: BTreeMap::new(), resident, proportional, resident_after }
    }

    /// Adds a sample.
    pub fn add(&mut self, case: Case, sample: Sample) {
        self.cases.entry(case).or_default().push(sample);
    }

    /// Adds its memory before any load, in bytes: resident, and without what it shares with others.
    pub fn add_memory(&mut self, resident: u64, proportional: u64) {
        self.resident.push(mib(resident));
        self.proportional.push(mib(proportional));
    }

    /// Adds its resident memory after all load, in bytes.
    pub fn add_memory_after(&mut self, resident: u64) {
        self.resident_after.push(mib(resident));
    }

    fn of(&self, case: Case, value: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.cases.get(&case).into_iter().flatten().map(value).collect()
    }

    fn rate(&self, case: Case) -> Option<f64> {
        median(&self.of(case, |sample| sample.load.rate()))
    }

    fn cpu(&self, case: Case) -> Option<f64> {
        median(&self.of(case, |sample| sample.cpu_micros))
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

/// The tables and targets.
pub fn report(facts: Facts, samples: &[Samples], multiplications: &[Multiplication]) -> Report {
    let costs: Vec<f64> = multiplications.iter().map(|one| one.micros).collect();
    let mut report = Report::new(facts);
    report.fact("one multiplication on P-521", format!("{} µs", spoken_spread(&costs)));
    report.table(table(
        "Answers per second",
        samples,
        |sample| sample.load.rate(),
        "ours ÷ tangd",
        Samples::rate,
    ));
    let title = "Processor time of the server per answer, µs";
    report.table(table(title, samples, |sample| sample.cpu_micros, "ours ÷ tangd", Samples::cpu));
    let mut heads = vec!["Case"];
    heads.extend(samples.iter().map(|of| of.kind.name()));
    let mut times = Table::new("Time to the answer, p50 / p99, ms", &heads);
    for case in Case::ALL {
        let cell = |of: &Samples| {
            let at = |value: fn(&Sample) -> f64| median(&of.of(case, value)).map_or("–".to_owned(), spoken);
            format!("{} / {}", at(|sample| sample.load.p50_millis), at(|sample| sample.load.p99_millis))
        };
        times.row([case.name()].into_iter().chain(samples.iter().map(cell)).collect());
    }
    report.table(times);
    let heads = ["Server", "RSS MiB, idle", "PSS MiB, idle", "RSS MiB, after all"];
    let mut memory = Table::new("Memory", &heads);
    for of in samples {
        let cells = [&of.resident, &of.proportional, &of.resident_after].map(|values| spoken_spread(values));
        memory.row([of.kind.name().to_owned()].into_iter().chain(cells).collect());
    }
    memory.note("RSS is that of the main process: of tangd, socat's. PSS is that of all its processes.");
    report.table(memory);
    targets(&mut report, samples, &costs);
    report
}

fn table(
    title: &str,
    samples: &[Samples],
    value: impl Fn(&Sample) -> f64,
    head: &str,
    middle: impl Fn(&Samples, Case) -> Option<f64>,
) -> Table {
    let mut heads = vec!["Case"];
    heads.extend(samples.iter().map(|of| of.kind.name()));
    heads.push(head);
    let mut table = Table::new(title, &heads);
    for case in Case::ALL {
        let mut cells = vec![case.name()];
        cells.extend(samples.iter().map(|of| spoken_spread(&of.of(case, &value))));
        let ratio = ratio(samples, |of| middle(of, case));
        cells.push(ratio.map_or_else(|| "–".to_owned(), spoken));
        table.row(cells);
    }
    table
}

fn targets(report: &mut Report, samples: &[Samples], costs: &[f64]) {
    let [adv_fresh, adv_kept, rec_fresh, rec_kept] = Case::ALL;
    for (case, least) in [(adv_fresh, 8.0), (rec_fresh, 3.0), (adv_kept, 25.0), (rec_kept, 25.0)] {
        let what = format!("{}, answers/s ÷ tangd", case.name());
        report.target(&what, Limit::AtLeast(least), ratio(samples, |of| of.rate(case)));
    }
    let ours = samples.iter().find(|of| of.kind == Kind::Faros);
    let per_multiplication =
        ours.and_then(|of| of.cpu(rec_kept)).zip(median(costs)).map(|(cpu, cost)| cpu / cost);
    // 0.35 ms where a multiplication costs 0.24.
    let what = "CPU per /rec, kept connections ÷ one multiplication";
    report.target(what, Limit::AtMost(0.35 / 0.24), per_multiplication);
    report.target("RSS, idle, MiB", Limit::AtMost(12.0), ours.and_then(|of| median(&of.resident)));
}

/// Our value divided by that of Debian's server.
fn ratio(samples: &[Samples], value: impl Fn(&Samples) -> Option<f64>) -> Option<f64> {
    let of = |kind| samples.iter().find(|of| of.kind == kind).and_then(&value);
    Some(of(Kind::Faros)? / of(Kind::Tangd)?)
}

#[cfg(test)]
mod tests {
    use crate::report::cells_of;

    use super::*;

    fn sampled(kind: Kind, answered: u64, cpu_micros: f64) -> Samples {
        let mut samples = Samples::new(kind);
        let load = Load { answered, failed: 0, seconds: 1.0, p50_millis: 1.0, p99_millis: 2.0 };
        Case::ALL.into_iter().for_each(|case| samples.add(case, Sample { cpu_micros, load }));
        samples.add_memory(10 << 20, 8 << 20);
        samples
    }

    #[test]
    fn ours_is_divided_by_upstreams() {
        let samples = [sampled(Kind::Faros, 4000, 300.0), sampled(Kind::Tangd, 400, 1500.0)];
        let text = report(Vec::new(), &samples, &[Multiplication { micros: 240.0 }]).markdown();
        assert_eq!(cells_of(&text, "/adv, fresh connections, answers/s ÷ tangd"), ["≥ 8.00", "10.0", "met"]);
        assert_eq!(
            cells_of(&text, "/rec, kept connections, answers/s ÷ tangd"),
            ["≥ 25.0", "10.0", "**missed**"]
        );
        let cpu = cells_of(&text, "CPU per /rec, kept connections ÷ one multiplication");
        assert_eq!(cpu, ["≤ 1.46", "1.25", "met"]);
        assert_eq!(cells_of(&text, "RSS, idle, MiB"), ["≤ 12.0", "10.0", "met"]);
    }

    #[test]
    fn without_upstream_nothing_is_compared() {
        let text = report(Vec::new(), &[sampled(Kind::Faros, 1, 1.0)], &[]).markdown();
        let cells = cells_of(&text, "/rec, fresh connections, answers/s ÷ tangd");
        assert_eq!(cells, ["≥ 3.00", "–", "not measured"]);
    }
}
