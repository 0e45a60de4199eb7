//! DHCP: four-way exchanges (DORA) per second, latency, a whole site starting at once, processor time and memory.
//!
//! perfdhcp loads one server at a time, each in namespaces of its own with an empty lease database. In every round
//! each server takes its turn, and another one begins. A round measures per server:
//!
//! 1. how long 3, 200 and 500 clients that start at once need until each has a lease,
//! 2. latency and processor time at a fixed 1 000 exchanges per second,
//! 3. the highest rate with at most 1 % of requests unanswered ([`search`]).

pub mod perfdhcp;
pub mod results;
pub mod search;
pub mod servers;

use std::time::Duration;

use crate::netns::Link;
use crate::options::Options;
use crate::progress::{line, now};
use crate::report::Report;
use crate::stats::{micros, spoken};
use crate::work_dir::WorkDir;
use crate::{Error, machine, programs};

use results::{Fixed, Highest, Rush, Samples};
use search::{Search, Verdict};
use servers::Contender;

/// The share of requests that may stay unanswered at a rate that counts as reached.
pub const LOSS_MAX: f64 = 0.01;
/// Exchanges per second at which latency is measured.
pub const FIXED_RATE: u32 = 1000;
/// The clients that start at once: the nodes of a small site, the most whose answers perfdhcp's socket can hold, and
/// a crowd.
pub const RUSHES: [u32; 3] = [3, 200, 500];

/// Measures the servers that were asked for.
pub fn run(options: &Options, contenders: &[Contender], work: &WorkDir) -> Result<Report, Error> {
    let mut facts = machine::facts();
    for contender in contenders {
        facts.push((contender.kind().name().to_owned(), contender.version()?));
    }
    let version = machine::version(&programs::path("perfdhcp")?, "-v").unwrap_or_default();
    facts.push(("perfdhcp".to_owned(), version));
    facts.extend(machine::disk(work.path())?);

    let pace = if options.quick { QUICK } else { FULL };
    let rounds = options.rounds();
    facts.push((
        "procedure".to_owned(),
        format!(
            "{rounds} rounds, {} s per point, {} clients, at most {} % unanswered, {}; median (lowest–highest)",
            pace.period.as_secs(),
            perfdhcp::CLIENTS,
            LOSS_MAX * 100.0,
            options.processors()
        ),
    ));
    let start = now();
    let mut samples: Vec<Samples> =
        contenders.iter().map(|contender| Samples::new(contender.kind())).collect();
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            // Another server begins in each round: what warms up or wears out hits all alike.
            let index = (turn + round as usize) % contenders.len();
            let (contender, sample) = (&contenders[index], &mut samples[index]);
            let said = Said { round: round + 1, rounds, name: contender.kind().name() };
            let bench = Bench { contender, work, link: Link::create()?, pace, said };
            sample.rushes.push(bench.rush()?);
            sample.fixed.push(bench.fixed()?);
            sample.highest.extend(bench.highest(sample.last_rate())?);
        }
    }
    line(&format!("measured in {} s", start.elapsed().as_secs()));
    Ok(results::report(facts, &samples))
}

/// How much time is spent.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Load per point, in whole seconds.
    period: Duration,
    /// Factor between the steps of the first search.
    first_step: f64,
    /// Factor between the steps of a search that begins where an earlier one ended.
    later_step: f64,
    /// How close the search comes.
    tolerance: f64,
    /// Points of one search.
    points_max: u32,
    /// How often a rate is tried before it counts as lost: something else on the machine may have been the reason.
    attempts: u32,
}

const FULL: Pace = Pace {
    period: Duration::from_secs(4),
    first_step: 1.5,
    later_step: 1.15,
    tolerance: 1.06,
    points_max: 9,
    attempts: 2,
};
const QUICK: Pace = Pace {
    period: Duration::from_secs(2),
    first_step: 1.6,
    later_step: 1.6,
    tolerance: 1.6,
    points_max: 4,
    attempts: 1,
};

/// A client that sends less than this share of what it was told to has reached its own limit.
const CLIENT_SHARE_MIN: f64 = 0.93;

/// Who is being measured when, for the lines of progress.
#[derive(Clone, Copy, Debug)]
struct Said {
    round: u32,
    rounds: u32,
    name: &'static str,
}

impl Said {
    fn line(self, text: &str) {
        line(&format!("round {}/{}  {:14} {text}", self.round, self.rounds, self.name));
    }
}

/// One server in one round.
struct Bench<'a> {
    contender: &'a Contender,
    work: &'a WorkDir,
    link: Link,
    pace: Pace,
    said: Said,
}

impl Bench<'_> {
    fn rush(&self) -> Result<Rush, Error> {
        let dir = self.work.fresh("dhcp")?;
        let server = self.contender.start(&self.link, &dir)?;
        let mut times = [Duration::ZERO; RUSHES.len()];
        for (time, clients) in times.iter_mut().zip(RUSHES) {
            *time = perfdhcp::avalanche(&self.link, &dir, clients)?;
            self.said.line(&format!("{clients} clients at once: {} s", spoken(time.as_secs_f64())));
        }
        server.stop();
        Ok(Rush { times })
    }

    fn fixed(&self) -> Result<Fixed, Error> {
        let dir = self.work.fresh("dhcp")?;
        let server = self.contender.start(&self.link, &dir)?;
        let before = server.processor_time()?;
        let load = perfdhcp::load(&self.link, &dir, FIXED_RATE, self.pace.period, true)?;
        let used = server.processor_time()?.saturating_sub(before);
        server.stop();
        let fixed = Fixed { cpu_micros: micros(used) / load.acks.received as f64, load };
        self.said.line(&format!(
            "{FIXED_RATE}/s: mean {} ms to the OFFER, {} ms to the ACK, {} % lost, {} µs CPU each",
            spoken(fixed.load.offers.mean_ms),
            spoken(fixed.load.acks.mean_ms),
            spoken(fixed.load.loss() * 100.0),
            spoken(fixed.cpu_micros)
        ));
        Ok(fixed)
    }

    /// The best point of a search; `None` where the server kept up with nothing.
    fn highest(&self, last: Option<f64>) -> Result<Option<Highest>, Error> {
        let first = last.unwrap_or(self.contender.kind().first_rate());
        let step = if last.is_some() { self.pace.later_step } else { self.pace.first_step };
        let mut search = Search::new(first, step, self.pace.tolerance, self.pace.points_max);
        let mut best: Option<Highest> = None;
        while let Some(rate) = search.next() {
            let (mut point, mut verdict) = self.point(rate)?;
            for _ in 1..self.pace.attempts {
                if verdict == Verdict::Lost {
                    (point, verdict) = self.point(rate)?;
                }
            }
            if verdict != Verdict::Lost && best.as_ref().is_none_or(|best| point.completed > best.completed) {
                best = Some(point);
            }
            search.on_point(verdict);
        }
        Ok(best)
    }

    fn point(&self, rate: u32) -> Result<(Highest, Verdict), Error> {
        let dir = self.work.fresh("dhcp")?;
        let server = self.contender.start(&self.link, &dir)?;
        let before = server.processor_time()?;
        let load = perfdhcp::load(&self.link, &dir, rate, self.pace.period, false)?;
        let used = server.processor_time()?.saturating_sub(before);
        let (_, memory_most) = server.memory()?;
        server.stop();
        let verdict = if load.loss() > LOSS_MAX {
            Verdict::Lost
        } else if load.sent_per_sec() < f64::from(rate) * CLIENT_SHARE_MIN {
            Verdict::ClientLimit
        } else {
            Verdict::Kept
        };
        let point = Highest {
            rate: f64::from(rate),
            completed: load.completed_per_sec(),
            cpu_micros: micros(used) / load.acks.received as f64,
            memory_most,
            client_limit: verdict == Verdict::ClientLimit,
        };
        self.said.line(&format!(
            "{rate}/s: sent {}/s, completed {}/s, {} % lost: {}",
            spoken(load.sent_per_sec()),
            spoken(point.completed),
            spoken(load.loss() * 100.0),
            match verdict {
                Verdict::Kept => "kept up",
                Verdict::Lost => "too much",
                Verdict::ClientLimit => "the client's limit",
            }
        ));
        Ok((point, verdict))
    }
}
