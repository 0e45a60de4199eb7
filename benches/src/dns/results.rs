//! From samples to tables and targets.

use std::collections::BTreeMap;

use crate::machine::Facts;
use crate::report::{Limit, Report, Table};
use crate::stats::{median, spoken, spoken_spread};

use super::generator::Load;
use super::outage::{Outage, PATIENCE, Times};
use super::servers::{Kind, Role};

/// What a server is asked, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// What it is there for.
    pub role: Role,
    /// With EDNS, as dig asks.
    pub edns: bool,
}

/// A server alone on its processor, under load.
#[derive(Clone, Copy, Debug)]
pub struct Alone {
    /// Processor time per answer.
    pub cpu_micros: f64,
    /// What the client saw.
    pub load: Load,
}

impl Alone {
    /// How much of its processor it used, 0 to 1.
    pub fn busy(&self) -> f64 {
        self.cpu_micros * (self.load.answered + self.load.failed) as f64 / (self.load.seconds * 1e6)
    }

    fn lost_percent(&self) -> f64 {
        (self.load.lost + self.load.failed) as f64 * 100.0 / self.load.sent.max(1) as f64
    }
}

/// A server that shares the processors with dnsperf.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    /// Answers per second.
    pub rate: f64,
    /// Questions without an answer.
    pub lost: f64,
}

/// All that was measured of one server.
#[derive(Clone, Debug)]
pub struct Samples {
    kind: Kind,
    alone: BTreeMap<Case, Vec<Alone>>,
    shared: BTreeMap<Role, Vec<Shared>>,
    memory: BTreeMap<Role, Vec<f64>>,
    /// What clients noticed of an outage; of a server that forwards.
    pub outage: Option<Outage>,
}

impl Samples {
    /// No samples yet.
    pub fn new(kind: Kind) -> Self {
        let (alone, shared, memory) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { kind, alone, shared, memory, outage: None }
    }

    /// Adds what was measured while it was alone.
    pub fn add(&mut self, case: Case, alone: Alone) {
        self.alone.entry(case).or_default().push(alone);
    }

    /// Adds what was measured with dnsperf beside it.
    pub fn add_shared(&mut self, role: Role, shared: Shared) {
        self.shared.entry(role).or_default().push(shared);
    }

    /// Adds its memory, in bytes.
    pub fn add_memory(&mut self, role: Role, bytes: u64) {
        self.memory.entry(role).or_default().push(bytes as f64 / 1024.0 / 1024.0);
    }

    fn alone(&self, case: Case, value: impl Fn(&Alone) -> f64) -> Vec<f64> {
        self.alone.get(&case).into_iter().flatten().map(value).collect()
    }

    fn shared(&self, role: Role, value: impl Fn(&Shared) -> f64) -> Vec<f64> {
        self.shared.get(&role).into_iter().flatten().map(value).collect()
    }

    fn cpu(&self, case: Case) -> Option<f64> {
        median(&self.alone(case, |alone| alone.cpu_micros))
    }

    fn rate(&self, role: Role) -> Option<f64> {
        median(&self.shared(role, |shared| shared.rate))
    }
}

/// The tables and targets.
pub fn report(facts: Facts, samples: &[Samples]) -> Report {
    let mut report = Report::new(facts);
    report.table(alone("The site's zones, server alone on one processor", Role::Site, samples));
    report.table(shared("The site's zones, dnsperf on the same processors", Role::Site, samples));
    report.table(alone(
        "1 000 names of the world in the cache, server alone on one processor",
        Role::World,
        samples,
    ));
    report.table(shared(
        "1 000 names of the world in the cache, dnsperf on the same processors",
        Role::World,
        samples,
    ));
    if samples.iter().any(|of| of.outage.is_some()) {
        report.table(outage(samples));
    }
    targets(&mut report, samples);
    report
}

fn alone(title: &str, role: Role, samples: &[Samples]) -> Table {
    let heads = [
        "Server",
        "CPU µs, EDNS",
        "ours ÷ it",
        "CPU µs, plain",
        "ours ÷ it",
        "answers/s, EDNS",
        "of its processor, %",
        "lost, %",
        "PSS MiB",
    ];
    let mut table = Table::new(title, &heads);
    for of in samples.iter().filter(|of| of.kind.has(role)) {
        let (with, plain) = (Case { role, edns: true }, Case { role, edns: false });
        let cpu = |case| spoken_spread(&of.alone(case, |alone| alone.cpu_micros));
        let ratio = |case| or_dash(ratio(samples, of.kind, |of| of.cpu(case)));
        let share = |value: fn(&Alone) -> f64| or_dash(median(&of.alone(with, value)));
        table.row(vec![
            of.kind.name().to_owned(),
            cpu(with),
            ratio(with),
            cpu(plain),
            ratio(plain),
            spoken_spread(&of.alone(with, |alone| alone.load.rate())),
            share(|alone| alone.busy() * 100.0),
            share(Alone::lost_percent),
            spoken_spread(of.memory.get(&role).map_or(&[], Vec::as_slice)),
        ]);
    }
    table.note(
        "Where a server used less than its processor, the client was the limit of the answers per second.",
    );
    table
}

fn shared(title: &str, role: Role, samples: &[Samples]) -> Table {
    let mut table = Table::new(title, &["Server", "answers/s", "ours ÷ it", "lost"]);
    for of in samples.iter().filter(|of| of.kind.has(role)) {
        table.row(vec![
            of.kind.name().to_owned(),
            spoken_spread(&of.shared(role, |shared| shared.rate)),
            or_dash(ratio(samples, of.kind, |of| of.rate(role))),
            spoken_spread(&of.shared(role, |shared| shared.lost)),
        ]);
    }
    table
}

fn outage(samples: &[Samples]) -> Table {
    let heads = [
        "Server",
        "expired: answered, %",
        "p50 ms",
        "p99 ms",
        "longest ms",
        "unknown: answered, %",
        "longest ms",
        "again: answered, %",
        "longest ms",
    ];
    let mut table = Table::new("The world falls silent", &heads);
    for of in samples {
        let Some(outage) = &of.outage else { continue };
        let Outage { expired, unknown, unknown_again, .. } = outage;
        let share = |share: f64| spoken(share * 100.0);
        table.row(vec![
            of.kind.name().to_owned(),
            share(expired.with_records()),
            or_dash(expired.at(0.5)),
            or_dash(expired.at(0.99)),
            or_dash(expired.at(1.0)),
            share(unknown.answered()),
            or_dash(unknown.at(1.0)),
            share(unknown_again.answered()),
            or_dash(unknown_again.at(1.0)),
        ]);
    }
    let mut note = format!("The client waits {} s for each answer.", PATIENCE.as_secs());
    let ours = samples.iter().find(|of| of.kind == Kind::Faros).and_then(|of| of.outage.as_ref());
    if let Some((before, during)) = ours.and_then(|outage| outage.site.as_ref()) {
        let at = |times: &Times| format!("{} ms", or_dash(times.at(0.99)));
        note += &format!(
            " p99 of names of the site that faros-dnsd answers meanwhile: {}; before the outage {}.",
            at(during),
            at(before)
        );
    }
    table.note(&note);
    table
}

fn targets(report: &mut Report, samples: &[Samples]) {
    for (edns, how) in [(true, "with EDNS"), (false, "plain")] {
        let site = |of: &Samples| of.cpu(Case { role: Role::Site, edns });
        let world = |of: &Samples| of.cpu(Case { role: Role::World, edns });
        let against = |kind, value: &dyn Fn(&Samples) -> Option<f64>| ratio(samples, kind, value);
        report.target(&format!("site, CPU ÷ nsd, {how}"), Limit::AtMost(0.80), against(Kind::Nsd, &site));
        report.target(
            &format!("stretch: site, CPU ÷ echo, {how}"),
            Limit::AtMost(1.10),
            against(Kind::Echo, &site),
        );
        report.target(
            &format!("cached, CPU ÷ unbound, {how}"),
            Limit::AtMost(0.55),
            against(Kind::Unbound, &world),
        );
        let log = of_kind(samples, Kind::FarosLog);
        let plain = of_kind(samples, Kind::Faros);
        let cost = |value: &dyn Fn(&Samples) -> Option<f64>| {
            let (log, plain) = (log.and_then(value)?, plain.and_then(value)?);
            Some(log / plain)
        };
        report.target(
            &format!("site, CPU with query log ÷ without, {how}"),
            Limit::AtMost(1.10),
            cost(&site),
        );
        report.target(
            &format!("cached, CPU with query log ÷ without, {how}"),
            Limit::AtMost(1.10),
            cost(&world),
        );
    }
    let rate = |kind, role| ratio(samples, kind, |of: &Samples| of.rate(role));
    report.target("site, dnsperf answers/s ÷ nsd", Limit::AtLeast(1.0), rate(Kind::Nsd, Role::Site));
    report.target(
        "cached, dnsperf answers/s ÷ unbound",
        Limit::AtLeast(1.15),
        rate(Kind::Unbound, Role::World),
    );
    let ours = of_kind(samples, Kind::Faros);
    let lost = [Role::Site, Role::World]
        .into_iter()
        .filter_map(|role| ours?.shared(role, |shared| shared.lost).into_iter().max_by(f64::total_cmp));
    report.target(
        "dnsperf, questions lost in the worst round",
        Limit::AtMost(0.0),
        lost.max_by(f64::total_cmp),
    );
    let outage = ours.and_then(|of| of.outage.as_ref());
    let of = |value: &dyn Fn(&Outage) -> Option<f64>| outage.and_then(value);
    report.target(
        "outage, ms for an expired name, p99",
        Limit::AtMost(5.0),
        of(&|outage| outage.expired.at(0.99)),
    );
    report.target(
        "outage, ms for an unknown name",
        Limit::AtMost(1000.0),
        of(&|outage| outage.unknown.at(1.0)),
    );
    report.target("outage, ms for it again", Limit::AtMost(2.0), of(&|outage| outage.unknown_again.at(1.0)));
}

/// Our value divided by that of another server.
fn ratio(samples: &[Samples], kind: Kind, value: impl Fn(&Samples) -> Option<f64>) -> Option<f64> {
    let ours = of_kind(samples, Kind::Faros).and_then(&value)?;
    let its = of_kind(samples, kind).and_then(&value)?;
    Some(ours / its)
}

fn of_kind(samples: &[Samples], kind: Kind) -> Option<&Samples> {
    samples.iter().find(|of| of.kind == kind)
}

fn or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), spoken)
}

#[cfg(test)]
mod tests {
    use crate::report::cells_of;

    use super::*;

    fn sampled(kind: Kind, site_micros: f64, world_micros: f64, rate: f64) -> Samples {
        let mut samples = Samples::new(kind);
        let load = Load { sent: 1000, answered: 990, failed: 0, lost: 10, seconds: 0.01 };
        for edns in [false, true] {
            for (role, cpu_micros) in [(Role::Site, site_micros), (Role::World, world_micros)] {
                samples.add(Case { role, edns }, Alone { cpu_micros, load });
            }
        }
        for role in [Role::Site, Role::World] {
            samples.add_shared(role, Shared { rate, lost: 0.0 });
            samples.add_memory(role, 3 << 20);
        }
        samples
    }

    #[test]
    fn ours_is_divided_by_the_others() {
        let samples = [
            sampled(Kind::Faros, 2.0, 2.4, 110_000.0),
            sampled(Kind::FarosLog, 2.3, 2.5, 110_000.0),
            sampled(Kind::Nsd, 2.4, 9.0, 100_000.0),
            sampled(Kind::Unbound, 3.0, 4.8, 100_000.0),
        ];
        let text = report(Vec::new(), &samples).markdown();
        let row = |first: &str| cells_of(&text, first);
        assert_eq!(row("site, CPU ÷ nsd, with EDNS"), ["≤ 0.800", "0.833", "**missed**"]);
        assert_eq!(row("cached, CPU ÷ unbound, plain"), ["≤ 0.550", "0.500", "met"]);
        assert_eq!(row("site, CPU with query log ÷ without, plain"), ["≤ 1.10", "1.15", "**missed**"]);
        assert_eq!(row("site, dnsperf answers/s ÷ nsd"), ["≥ 1.00", "1.10", "met"]);
        assert_eq!(row("cached, dnsperf answers/s ÷ unbound"), ["≥ 1.15", "1.10", "**missed**"]);
        assert_eq!(row("stretch: site, CPU ÷ echo, plain"), ["≤ 1.10", "–", "not measured"]);
        assert_eq!(row("outage, ms for it again"), ["≤ 2.00", "–", "not measured"]);
        assert_eq!(row("nsd")[..4], ["2.40", "0.833", "2.40", "0.833"]);
        assert_eq!(row("nsd")[5..], ["23.8", "1.00", "3.00"]);
    }
}
