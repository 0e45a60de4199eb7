//! From samples to tables and targets.

use std::time::Duration;

use crate::machine::Facts;
use crate::report::{Limit, Report, Table};
use crate::stats::{median, quantile, spoken, spoken_spread};

use super::perfdhcp::Load;
use super::servers::Kind;
use super::{FIXED_RATE, LOSS_MAX, RUSHES};

/// All that was measured of one server.
#[derive(Clone, Debug)]
pub struct Samples {
    kind: Kind,
    /// One per round.
    pub rushes: Vec<Rush>,
    /// One per round.
    pub fixed: Vec<Fixed>,
    /// At most one per round.
    pub highest: Vec<Highest>,
}

/// Clients that started at once.
#[derive(Clone, Copy, Debug)]
pub struct Rush {
    /// Until each had a lease, in the order of [`RUSHES`].
    pub times: [Duration; RUSHES.len()],
}

/// A run at [`FIXED_RATE`].
#[derive(Clone, Debug)]
pub struct Fixed {
    /// What perfdhcp saw.
    pub load: Load,
    /// Processor time of the server per completed exchange.
    pub cpu_micros: f64,
}

/// The best point of a search.
#[derive(Clone, Copy, Debug)]
pub struct Highest {
    /// The rate that was asked for, exchanges per second.
    pub rate: f64,
    /// Completed exchanges per second.
    pub completed: f64,
    /// Processor time of the server per completed exchange.
    pub cpu_micros: f64,
    /// The most resident memory, in bytes.
    pub memory_most: u64,
    /// The client could not send more.
    pub client_limit: bool,
}

impl Samples {
    /// No samples yet.
    pub fn new(kind: Kind) -> Self {
        Self { kind, rushes: Vec::new(), fixed: Vec::new(), highest: Vec::new() }
    }

    /// The rate that the last search ended with.
    pub fn last_rate(&self) -> Option<f64> {
        self.highest.last().map(|point| point.rate)
    }

    fn highest_of(&self, value: impl Fn(&Highest) -> f64) -> Vec<f64> {
        self.highest.iter().map(value).collect()
    }

    fn fixed_of(&self, value: impl Fn(&Fixed) -> f64) -> Vec<f64> {
        self.fixed.iter().map(value).filter(|value| value.is_finite()).collect()
    }

    fn completed(&self) -> Option<f64> {
        median(&self.highest_of(|point| point.completed))
    }

    /// The median over the rounds of a quantile of the time to the ACK; `None` of a server that was overloaded.
    fn ack_ms(&self, share: f64) -> Option<f64> {
        (!self.overloaded())
            .then(|| median(&self.fixed_of(|fixed| at(&fixed.load.acks.each_ms, share))))
            .flatten()
    }

    fn overloaded(&self) -> bool {
        median(&self.fixed_of(|fixed| fixed.load.loss())).is_none_or(|loss| loss > LOSS_MAX)
    }
}

/// The tables and targets.
pub fn report(facts: Facts, samples: &[Samples]) -> Report {
    let mut report = Report::new(facts);
    let ours = samples.iter().find(|samples| samples.kind == Kind::Faros);
    report.table(highest(samples, ours));
    report.table(fixed(samples));
    report.table(rushes(samples));
    targets(&mut report, samples, ours);
    report
}

fn highest(samples: &[Samples], ours: Option<&Samples>) -> Table {
    let heads =
        ["Server", "when the ACK is sent, the lease is", "DORA/s", "ours ÷ it", "CPU µs/DORA", "RSS MiB"];
    let mut table = Table::new("Highest rate with at most 1 % unanswered", &heads);
    for of in samples {
        let ratio = ours.and_then(Samples::completed).zip(of.completed()).map(|(ours, it)| ours / it);
        let limited = of.highest.iter().any(|point| point.client_limit);
        let completed = spoken_spread(&of.highest_of(|point| point.completed));
        table.row(vec![
            of.kind.name().to_owned(),
            of.kind.promise().to_owned(),
            if limited { format!("{completed}*") } else { completed },
            ratio.map_or_else(|| "–".to_owned(), spoken),
            spoken_spread(&of.highest_of(|point| point.cpu_micros)),
            spoken_spread(&of.highest_of(|point| point.memory_most as f64 / 1024.0 / 1024.0)),
        ]);
    }
    if samples.iter().any(|of| of.highest.iter().any(|point| point.client_limit)) {
        table.note(
            "\\* In at least one round the client could not send more: the server reaches this or more.",
        );
    }
    table
}

fn fixed(samples: &[Samples]) -> Table {
    let heads = [
        "Server",
        "OFFER mean ms",
        "OFFER p50 ms",
        "ACK mean ms",
        "ACK p50 ms",
        "ACK p99 ms",
        "lost %",
        "CPU µs/DORA",
    ];
    let mut table = Table::new(&format!("At {FIXED_RATE} DORA/s"), &heads);
    for of in samples {
        let shown =
            |values: Vec<f64>| if of.overloaded() { "overloaded".to_owned() } else { spoken_spread(&values) };
        table.row(vec![
            of.kind.name().to_owned(),
            shown(of.fixed_of(|fixed| fixed.load.offers.mean_ms)),
            shown(of.fixed_of(|fixed| at(&fixed.load.offers.each_ms, 0.5))),
            shown(of.fixed_of(|fixed| fixed.load.acks.mean_ms)),
            shown(of.fixed_of(|fixed| at(&fixed.load.acks.each_ms, 0.5))),
            shown(of.fixed_of(|fixed| at(&fixed.load.acks.each_ms, 0.99))),
            spoken_spread(&of.fixed_of(|fixed| fixed.load.loss() * 100.0)),
            spoken_spread(&of.fixed_of(|fixed| fixed.cpu_micros)),
        ]);
    }
    table
}

fn rushes(samples: &[Samples]) -> Table {
    let heads = RUSHES.map(|clients| format!("{clients} clients, s"));
    let heads: Vec<&str> = ["Server"].into_iter().chain(heads.iter().map(String::as_str)).collect();
    let mut table = Table::new("All at once, until each client has a lease", &heads);
    for of in samples {
        let times = (0..RUSHES.len()).map(|index| {
            let seconds: Vec<f64> = of.rushes.iter().map(|rush| rush.times[index].as_secs_f64()).collect();
            spoken_spread(&seconds)
        });
        table.row([of.kind.name().to_owned()].into_iter().chain(times).collect());
    }
    table.note(
        "perfdhcp looks at what is outstanding every 0.2 s, and its socket holds about 270 answers: with more \
         clients it loses some itself, and repeats them after a second or more.",
    );
    table
}

fn targets(report: &mut Report, samples: &[Samples], ours: Option<&Samples>) {
    let best = |kinds: &[Kind]| {
        let of = samples.iter().filter(|samples| kinds.contains(&samples.kind));
        of.filter_map(Samples::completed).max_by(f64::total_cmp)
    };
    let ours_completed = ours.and_then(Samples::completed);
    let against = |kinds: &[Kind]| ours_completed.zip(best(kinds)).map(|(ours, it)| ours / it);
    let kea = against(&[Kind::Kea, Kind::KeaTwo]);
    report.target("first mark: durable DORA/s ÷ the better Kea's", Limit::AtLeast(1.0), kea);
    report.target("goal: durable DORA/s ÷ the better Kea's", Limit::AtLeast(1.2), kea);
    report.target("goal: durable DORA/s ÷ dnsmasq's", Limit::AtLeast(40.0), against(&[Kind::Dnsmasq]));
    report.target("goal: durable DORA/s on two shared cores", Limit::AtLeast(12_000.0), ours_completed);
    let median_ack = ours.and_then(|ours| ours.ack_ms(0.5));
    report.target(
        &format!("goal: median ms to a durable ACK at {FIXED_RATE}/s"),
        Limit::AtMost(0.3),
        median_ack,
    );
}

fn at(values: &[f64], share: f64) -> f64 {
    quantile(values, share).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use crate::report::cells_of;

    use super::super::perfdhcp::Exchange;
    use super::*;

    fn sampled(kind: Kind, completed: &[f64], received: u64) -> Samples {
        let half = Exchange { sent: 100, received, mean_ms: 0.2, each_ms: vec![0.1, 0.2, 0.4] };
        let load = Load { offers: half.clone(), acks: half, period: Duration::from_secs(1) };
        let point = |&completed| Highest {
            rate: completed,
            completed,
            cpu_micros: 50.0,
            memory_most: 10 << 20,
            client_limit: false,
        };
        Samples {
            kind,
            rushes: vec![Rush { times: [Duration::from_millis(200); RUSHES.len()] }],
            fixed: vec![Fixed { load, cpu_micros: 60.0 }],
            highest: completed.iter().map(point).collect(),
        }
    }

    #[test]
    fn ratios_are_taken_from_medians_and_against_the_better_peer() {
        let samples = [
            sampled(Kind::Faros, &[9000.0, 12_000.0, 13_000.0], 100),
            sampled(Kind::Kea, &[8000.0], 100),
            sampled(Kind::KeaTwo, &[10_000.0], 100),
            sampled(Kind::Dnsmasq, &[], 40),
        ];
        let text = report(Vec::new(), &samples).markdown();
        let row = |first: &str| cells_of(&text, first);
        assert_eq!(row("first mark: durable DORA/s ÷ the better Kea's"), ["≥ 1.00", "1.20", "met"]);
        assert_eq!(row("goal: durable DORA/s ÷ dnsmasq's"), ["≥ 40.0", "–", "not measured"]);
        assert_eq!(row("goal: median ms to a durable ACK at 1000/s"), ["≤ 0.300", "0.200", "met"]);
        assert_eq!(row("faros-dhcpd")[1..3], ["12 000 (9 000–13 000)", "1.00"]);
        assert!(text.contains("overloaded"), "{text}");
    }

    #[test]
    fn a_limited_client_is_marked() {
        let mut samples = sampled(Kind::Faros, &[9000.0], 100);
        samples.highest[0].client_limit = true;
        let text = report(Vec::new(), &[samples]).markdown();
        assert!(text.contains("9 000*") && text.contains("this or more"), "{text}");
    }
}
