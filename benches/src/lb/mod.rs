//! Balancing: connections, requests and octets per second through a balancer, and its processor time and memory for
//! them.
//!
//! The client and the servers are the same for every way between them: wrk, iperf3 and nginx with an answer of two
//! octets. All share the processors, so what they cost is in every figure. In every round all ways stand, and take turns
//! for each case; another one begins each time.

pub mod load;
pub mod network;
pub mod results;
pub mod servers;

use std::path::PathBuf;
use std::time::Duration;

use crate::options::Options;
use crate::process::Server;
use crate::progress::{line, now};
use crate::report::Report;
use crate::stats::{micros, spoken};
use crate::work_dir::WorkDir;
use crate::{Error, machine, programs};

use network::Path;
use results::{HttpSample, Samples, StreamSample};
use servers::{Contender, Kind};

/// How much time is spent per case.
const PERIOD: Duration = Duration::from_secs(3);
const PERIOD_QUICK: Duration = Duration::from_secs(1);
/// Before anything is measured: caches warm up, and clocks speed up.
const WARM_UP: Duration = Duration::from_secs(1);
/// Idle connections. Each costs a balancer two descriptors.
const IDLE: usize = 5000;
const IDLE_QUICK: usize = 500;
/// Between loads: what the last one left behind is cleared away.
const SETTLE: Duration = Duration::from_millis(500);

/// Measures the ways that were asked for.
pub fn run(options: &Options, contenders: &[Contender], work: &WorkDir) -> Result<Report, Error> {
    let mut facts = machine::facts();
    for contender in contenders {
        if let Some(version) = contender.version()? {
            facts.push((contender.kind().name().to_owned(), version));
        }
    }
    for (program, flag) in [("nginx", "-v"), ("wrk", "-v"), ("iperf3", "--version")] {
        let version =
            machine::version(&programs::path(program)?, flag).unwrap_or_else(|| "unknown".to_owned());
        facts.push((program.to_owned(), version));
    }
    let congestion = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
    facts.push(("congestion control of the system".to_owned(), congestion.trim().to_owned()));
    let (period, idle) = if options.quick { (PERIOD_QUICK, IDLE_QUICK) } else { (PERIOD, IDLE) };
    let rounds = options.rounds();
    let procedure = format!(
        "{rounds} rounds, {} s per case, wrk with {} connections at once, HAProxy with {} threads; {}; median \
         (lowest–highest)",
        spoken(period.as_secs_f64()),
        load::CONNECTIONS,
        servers::THREADS,
        options.processors()
    );
    facts.push(("procedure".to_owned(), procedure));
    let start = now();
    let mut all: Vec<Samples> = contenders.iter().map(|contender| Samples::new(contender.kind())).collect();
    for round in 0..rounds {
        let said = format!("round {}/{rounds}", round + 1);
        measure(contenders, round as usize, work, (period, idle), &said, &mut all)?;
    }
    line(&format!("measured in {} s", start.elapsed().as_secs()));
    Ok(results::report(facts, &all, idle))
}

/// One round: all ways stand, and for each case each takes its turn, so that what is compared was measured within
/// seconds.
fn measure(
    contenders: &[Contender],
    round: usize,
    work: &WorkDir,
    (period, idle): (Duration, usize),
    said: &str,
    all: &mut [Samples],
) -> Result<(), Error> {
    let mut benches = Vec::new();
    for (contender, samples) in contenders.iter().zip(&mut *all) {
        let bench = Bench::start(contender, work, period)?;
        if let Some(server) = &bench.server {
            samples.resident.push(server.memory()?.0 as f64 / 1024.0 / 1024.0);
        }
        benches.push(bench);
    }
    let dash = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), spoken);
    // Another way begins in each round: what warms up or wears out hits all alike.
    let turns: Vec<usize> = (0..benches.len()).map(|turn| (turn + round) % benches.len()).collect();
    for kept in [false, true] {
        for &index in &turns {
            let sample = benches[index].http(kept)?;
            let (name, what) = (benches[index].kind.name(), if kept { "req/s" } else { "conn/s" });
            let (rate, cpu) = (spoken(sample.http.rate), dash(sample.cpu_micros));
            line(&format!("{said}  {name:14} {rate} {what} ({cpu} µs each)"));
            let samples = &mut all[index];
            if kept { samples.kept.push(sample) } else { samples.short.push(sample) }
        }
    }
    for &index in &turns {
        let sample = benches[index].stream()?;
        let (rate, cpu) = (spoken(sample.stream.gigabits), dash(sample.cpu_seconds));
        line(&format!("{said}  {:14} {rate} Gbit/s ({cpu} s/GB)", benches[index].kind.name()));
        all[index].streams.push(sample);
    }
    for &index in &turns {
        if let Some(bytes) = benches[index].idle(idle)? {
            line(&format!(
                "{said}  {:14} {} B per idle connection",
                benches[index].kind.name(),
                spoken(bytes)
            ));
            all[index].idle.push(bytes);
        }
    }
    Ok(())
}

/// A way and its surroundings while it is measured.
struct Bench {
    // In the order in which they have to go.
    server: Option<Server>,
    behind: [Server; 2],
    kind: Kind,
    path: Path,
    dir: PathBuf,
    period: Duration,
}

impl Bench {
    fn start(contender: &Contender, work: &WorkDir, period: Duration) -> Result<Self, Error> {
        let kind = contender.kind();
        let (path, dir) = (Path::create()?, work.fresh(kind.name())?);
        let behind = servers::start_behind(&path, &dir)?;
        let answers = || {
            let mut curl = path.at_client("curl");
            let (address, port) = kind.stream();
            let url = format!("http://{}/", kind.http());
            let http = curl.args(["-s", "-o", "/dev/null", "--max-time", "1", &url]).status();
            let mut probe = path.at_client("bash");
            let stream = probe.args(["-c", &format!("exec 3<>/dev/tcp/{address}/{port}")]).output();
            let well = http.map_err(Error::system("curl"))?.success();
            Ok(well && stream.map_err(Error::system("bash"))?.status.success())
        };
        let server = contender.start(&path, &dir, answers)?;
        let mut bench = Self { server, behind, kind, path, dir, period };
        for server in &mut bench.behind {
            server.check()?;
        }
        Ok(bench)
    }

    fn http(&self, kept: bool) -> Result<HttpSample, Error> {
        load::http(&self.path, self.kind, kept, WARM_UP, &self.dir)?;
        std::thread::sleep(SETTLE);
        let before = self.processor_time()?;
        let http = load::http(&self.path, self.kind, kept, self.period, &self.dir)?;
        std::thread::sleep(SETTLE);
        let cpu_micros = self.used(before)?.map(|used| micros(used) / http.answered as f64);
        Ok(HttpSample { http, cpu_micros })
    }

    fn stream(&self) -> Result<StreamSample, Error> {
        load::stream(&self.path, self.kind, WARM_UP, &self.dir)?;
        std::thread::sleep(SETTLE);
        let before = self.processor_time()?;
        let stream = load::stream(&self.path, self.kind, self.period, &self.dir)?;
        let cpu_seconds = self.used(before)?.map(|used| used.as_secs_f64() / stream.gigabytes);
        Ok(StreamSample { stream, cpu_seconds })
    }

    /// What the process grows by per idle connection, in bytes; `None` where none knows of them: also the process of the
    /// kernel plane does not.
    fn idle(&self, count: usize) -> Result<Option<f64>, Error> {
        let Some(server) = self.server.as_ref().filter(|_| self.kind != Kind::Kernel) else {
            return Ok(None);
        };
        // It has been loaded before: what it needs in any case is there.
        let before = server.memory()?.0;
        let held = load::idle(&self.path, self.kind, count)?;
        std::thread::sleep(SETTLE);
        let after = server.memory()?.0;
        drop(held);
        Ok(Some(after.saturating_sub(before) as f64 / count as f64))
    }

    fn processor_time(&self) -> Result<Option<Duration>, Error> {
        self.server.as_ref().map(Server::processor_time).transpose()
    }

    fn used(&self, before: Option<Duration>) -> Result<Option<Duration>, Error> {
        Ok(self.processor_time()?.zip(before).map(|(after, before)| after.saturating_sub(before)))
    }
}
