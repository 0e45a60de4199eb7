//! Tang: answers per second and processor time per answer, for advertisements and exchanges, over fresh and over kept
//! connections.
//!
//! Every server has the same keys: a pair in use and eight that are rotated out. The client is at the other end of a link,
//! on the same processors; `clients` connections at once, each asks when its last answer is there. In every round each
//! server takes its turn, and another one begins. Before anything is measured, every server has to give the right answer.

pub mod load;
pub mod results;
pub mod servers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::netns::Link;
use crate::options::Options;
use crate::process::{Server, run_within};
use crate::progress::{line, now};
use crate::report::Report;
use crate::stats::{micros, spoken};
use crate::work_dir::WorkDir;
use crate::{Error, machine};

use load::{Load, Multiplication};
use results::{Case, Sample, Samples};
use servers::Contender;

/// Connections at once.
pub const CLIENTS: usize = 8;

/// How much time is spent per case.
const PERIOD: Duration = Duration::from_secs(3);
const PERIOD_QUICK: Duration = Duration::from_millis(700);
/// Before anything is measured: caches warm up, and clocks speed up.
const WARM_UP: Duration = Duration::from_millis(300);

/// Measures the servers that were asked for.
pub fn run(options: &Options, contenders: &[Contender], work: &WorkDir) -> Result<Report, Error> {
    let mut facts = machine::facts();
    for contender in contenders {
        facts.push((contender.kind().name().to_owned(), contender.version()?));
    }
    let period = if options.quick { PERIOD_QUICK } else { PERIOD };
    let rounds = options.rounds();
    let procedure = format!(
        "{rounds} rounds, {} s per case, {CLIENTS} connections at once, {} keys rotated out; {}; median (lowest–highest)",
        spoken(period.as_secs_f64()),
        2 * servers::ROTATIONS,
        options.processors()
    );
    facts.push(("procedure".to_owned(), procedure));
    let keys = servers::make_keys(work)?;
    let start = now();
    let mut samples: Vec<Samples> =
        contenders.iter().map(|contender| Samples::new(contender.kind())).collect();
    let mut multiplications = Vec::new();
    for round in 0..rounds {
        multiplications.push(Multiplication::measure());
        for turn in 0..contenders.len() {
            // Another server begins in each round: what warms up or wears out hits all alike.
            let index = (turn + round as usize) % contenders.len();
            let said = format!("round {}/{rounds}  {:12}", round + 1, contenders[index].kind().name());
            measure(&contenders[index], work, &keys, period, &said, &mut samples[index])?;
        }
    }
    line(&format!("measured in {} s", start.elapsed().as_secs()));
    Ok(results::report(facts, &samples, &multiplications))
}

fn measure(
    contender: &Contender,
    work: &WorkDir,
    keys: &Path,
    period: Duration,
    said: &str,
    samples: &mut Samples,
) -> Result<(), Error> {
    let (link, dir) = (Link::create()?, work.fresh("tang")?);
    let bench = Bench { contender, exchange: servers::exchange_thumbprint(keys)?, link, dir };
    let server = contender.start(&bench.link, &bench.dir, keys, || {
        Ok(bench.load(Case::ALL[0], Duration::from_millis(20))?.answered > 0)
    })?;
    let (resident, proportional) = (server.memory()?.0, server.proportional_memory()?);
    samples.add_memory(resident, proportional);
    for case in Case::ALL {
        let sample = bench.sample(case, period, &server)?;
        line(&format!(
            "{said} {:24} {}/s, {} µs CPU each, p50 {} ms, p99 {} ms",
            case.name(),
            spoken(sample.load.rate()),
            spoken(sample.cpu_micros),
            spoken(sample.load.p50_millis),
            spoken(sample.load.p99_millis)
        ));
        samples.add(case, sample);
    }
    samples.add_memory_after(server.memory()?.0);
    server.stop();
    Ok(())
}

/// A server's surroundings while it is measured.
struct Bench<'a> {
    contender: &'a Contender,
    /// The thumbprint of the key to exchange with.
    exchange: String,
    link: Link,
    dir: PathBuf,
}

impl Bench<'_> {
    fn sample(&self, case: Case, period: Duration, server: &Server) -> Result<Sample, Error> {
        self.load(case, WARM_UP)?;
        let before = server.processor_time()?;
        let load = self.load(case, period)?;
        // A process per connection is collected after the client has left.
        std::thread::sleep(SETTLE);
        let used = server.processor_time()?.saturating_sub(before);
        if load.answered == 0 || load.failed > 0 {
            return Err(server.failure(&format!("{}: {load}", case.name())));
        }
        Ok(Sample { cpu_micros: micros(used) / load.answered as f64, load })
    }

    fn load(&self, case: Case, period: Duration) -> Result<Load, Error> {
        let path = if case.exchange { format!("/rec/{}", self.exchange) } else { "/adv".to_owned() };
        let mut command = self.link.at_client(&self.contender.load_program()?);
        command.args([&servers::listen(), &path]);
        command.args(["--millis", &period.as_millis().to_string(), "--clients", &CLIENTS.to_string()]);
        if case.kept {
            command.arg("--keep");
        }
        let said = run_within("tang-load", &mut command, &self.dir.join("load.log"), period + PATIENCE)?;
        let unread =
            || Error::Unread { what: format!("tang-load (which said: {said})"), wanted: "load:".to_owned() };
        said.parse().map_err(|()| unread())
    }
}

const SETTLE: Duration = Duration::from_millis(200);
/// How long the client may take beyond the time it was told to.
const PATIENCE: Duration = Duration::from_secs(20);
