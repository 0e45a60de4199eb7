//! DNS: processor time per answer, answers per second, memory, and what clients notice when the world is gone.
//!
//! Client and server are in one namespace and talk over its loopback interface; the world behind a forwarder is at the
//! other end of a link. Before anything is measured, every server has to give the right answer to every question.
//! In every round each server takes its turn, and another one begins. A round measures per server and role:
//!
//! 1. alone on a processor, with one thread for questions, loaded by a client that costs little ([`generator`]) on the
//!    other processor: processor time per answer, and answers per second;
//! 2. with a thread per processor, which all are shared with dnsperf: answers per second, and losses.
//!
//! Once, in the first round, the world is taken away from those that forward ([`outage`]).

pub mod asker;
pub mod dnsperf;
pub mod generator;
pub mod message;
pub mod outage;
pub mod peers;
pub mod platform;
pub mod responders;
pub mod results;
pub mod servers;
pub mod zone;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::netns::Link;
use crate::options::Options;
use crate::process::Server;
use crate::progress::{line, now};
use crate::report::Report;
use crate::stats::{micros, spoken};
use crate::work_dir::WorkDir;
use crate::{Error, machine};

use results::{Alone, Case, Samples, Shared};
use servers::{Contender, Role};

/// Measures the servers that were asked for.
pub fn run(options: &Options, contenders: &[Contender], work: &WorkDir) -> Result<Report, Error> {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        let remedy = "client and server need a processor each".to_owned();
        return Err(Error::Missing { program: "a second processor".to_owned(), remedy });
    }
    let mut facts = machine::facts();
    for contender in contenders {
        if let Some(version) = contender.version()? {
            facts.push((
                contender.kind().name().to_owned(),
                version.trim_start_matches("Version ").trim_end_matches(" <id:>").to_owned(),
            ));
        }
    }
    facts.push(("dnsperf".to_owned(), dnsperf::version()?));
    let pace = if options.quick { QUICK } else { FULL };
    let rounds = options.rounds();
    facts.push((
        "procedure".to_owned(),
        format!(
            "{rounds} rounds, {} s per point; alone: {} sockets with {} questions under way each; shared: dnsperf \
             with {} threads, {} clients, {} questions under way; {}; median (lowest–highest)",
            spoken(pace.alone.as_secs_f64()),
            generator::SOCKETS,
            generator::WINDOW,
            dnsperf::THREADS,
            dnsperf::CLIENTS,
            dnsperf::WINDOW,
            options.processors()
        ),
    ));
    let start = now();
    let mut samples: Vec<Samples> =
        contenders.iter().map(|contender| Samples::new(contender.kind())).collect();
    for round in 0..rounds {
        for role in [Role::Site, Role::World] {
            for turn in 0..contenders.len() {
                // Another server begins in each round: what warms up or wears out hits all alike.
                let index = (turn + round as usize) % contenders.len();
                let (contender, sample) = (&contenders[index], &mut samples[index]);
                if contender.kind().has(role) {
                    let said = format!("round {}/{rounds}  {:14}", round + 1, contender.kind().name());
                    Bench { contender, work, role, pace, said }.measure(sample)?;
                }
            }
        }
        if round == 0 {
            for (contender, sample) in contenders.iter().zip(&mut samples) {
                if contender.kind().has(Role::Outage) {
                    sample.outage = Some(outage::run(contender, work)?);
                    line(&format!("outage     {:14} done", contender.kind().name()));
                }
            }
        }
    }
    line(&format!("measured in {} s", start.elapsed().as_secs()));
    Ok(results::report(facts, &samples))
}

/// How much time is spent.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Load on a server that is alone on its processor.
    alone: Duration,
    /// Load by dnsperf, in whole seconds.
    shared: Duration,
}

const FULL: Pace = Pace { alone: Duration::from_millis(1500), shared: Duration::from_secs(3) };
const QUICK: Pace = Pace { alone: Duration::from_millis(500), shared: Duration::from_secs(1) };
/// Load before anything is measured: caches warm up, and clocks speed up.
const WARM_UP: Duration = Duration::from_millis(200);

/// One server in one role in one round.
struct Bench<'a> {
    contender: &'a Contender,
    work: &'a WorkDir,
    role: Role,
    pace: Pace,
    /// Who and when, for the lines of progress.
    said: String,
}

/// A server that runs, with its questions.
struct Running {
    // Ended before its namespaces go.
    server: Server,
    _world: Option<Server>,
    link: Link,
    dir: PathBuf,
    questions: PathBuf,
}

impl Bench<'_> {
    fn measure(&self, sample: &mut Samples) -> Result<(), Error> {
        let running = self.start(true)?;
        self.load(&running, true, WARM_UP)?;
        for edns in [true, false] {
            let before = running.server.processor_time()?;
            let load = self.load(&running, edns, self.pace.alone)?;
            let used = running.server.processor_time()?.saturating_sub(before);
            if load.answered == 0 {
                return Err(running.server.failure(&format!("answered nothing: {load}")));
            }
            let alone = Alone { cpu_micros: micros(used) / (load.answered + load.failed) as f64, load };
            self.line(&format!(
                "{} µs CPU each, {}/s, {} % of its processor, {} lost, {} failed{}",
                spoken(alone.cpu_micros),
                spoken(load.rate()),
                spoken(alone.busy() * 100.0),
                load.lost,
                load.failed,
                if edns { ", with EDNS" } else { "" }
            ));
            sample.add(Case { role: self.role, edns }, alone);
        }
        sample.add_memory(self.role, running.server.proportional_memory()?);
        running.server.stop();

        let running = self.start(false)?;
        let outcome = dnsperf::run(&running.link, &running.dir, &running.questions, self.pace.shared)?;
        self.line(&format!("dnsperf: {}/s, {} lost", spoken(outcome.rate), outcome.lost));
        sample.add_shared(self.role, Shared { rate: outcome.rate, lost: outcome.lost });
        running.server.stop();
        Ok(())
    }

    fn start(&self, alone: bool) -> Result<Running, Error> {
        let (link, dir) = (Link::create()?, self.work.fresh("dns")?);
        let questions = dir.join("questions");
        fs::write(&questions, zone::listed(&self.role.questions())).map_err(Error::file(&questions))?;
        let world = match self.role {
            Role::Site => None,
            Role::World | Role::Outage => Some(self.contender.traffic().world(&link, &dir)?),
        };
        let server = self.contender.start(&link, &dir, self.role, alone)?;
        Ok(Running { server, _world: world, link, dir, questions })
    }

    fn load(&self, running: &Running, edns: bool, period: Duration) -> Result<generator::Load, Error> {
        let Running { link, dir, questions, .. } = running;
        self.contender.traffic().load(link, dir, questions, edns, period)
    }

    fn line(&self, text: &str) {
        let role = if self.role == Role::Site { "site " } else { "world" };
        line(&format!("{} {role} {text}", self.said));
    }
}
