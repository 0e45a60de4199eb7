//! Balancing: connections, requests and octets per second through a balancer, and its processor time and memory for
//! them.
//!
//! The client and the servers are the same for every way between them: wrk, iperf3 and nginx with an answer of two
//! octets. All share the processors, so what they cost is in every figure. In every round each way takes its turn, and
//! another one begins.

pub mod load;
pub mod network;
pub mod results;
pub mod servers;

use std::path::Path as FilePath;
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
        for turn in 0..contenders.len() {
            // Another way begins in each round: what warms up or wears out hits all alike.
            let index = (turn + round as usize) % contenders.len();
            let said = format!("round {}/{rounds}  {:14}", round + 1, contenders[index].kind().name());
            measure(&contenders[index], work, period, idle, &said, &mut all[index])?;
        }
    }
    line(&format!("measured in {} s", start.elapsed().as_secs()));
    Ok(results::report(facts, &all, idle))
}

fn measure(
    contender: &Contender,
    work: &WorkDir,
    period: Duration,
    idle: usize,
    said: &str,
    samples: &mut Samples,
) -> Result<(), Error> {
    let kind = contender.kind();
    let (path, dir) = (Path::create()?, work.fresh("lb")?);
    let [mut nginx, mut iperf3] = servers::start_behind(&path, &dir)?;
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
    nginx.check()?;
    iperf3.check()?;
    let bench = Bench { kind, path: &path, dir: &dir, server: server.as_ref(), period };
    if let Some(server) = &server {
        samples.resident.push(server.memory()?.0 as f64 / 1024.0 / 1024.0);
    }
    let short = bench.http(false)?;
    let kept = bench.http(true)?;
    let stream = bench.stream()?;
    // The kernel plane has no memory for connections in its process.
    let bytes = if kind.is_process() && kind != Kind::Kernel { Some(bench.idle(idle)?) } else { None };
    let spoken_or_dash = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), spoken);
    line(&format!(
        "{said} {} conn/s ({} µs), {} req/s ({} µs), {} Gbit/s ({} s/GB), {} B idle",
        spoken(short.http.rate),
        spoken_or_dash(short.cpu_micros),
        spoken(kept.http.rate),
        spoken_or_dash(kept.cpu_micros),
        spoken(stream.stream.gigabits),
        spoken_or_dash(stream.cpu_seconds),
        spoken_or_dash(bytes)
    ));
    samples.short.push(short);
    samples.kept.push(kept);
    samples.streams.push(stream);
    samples.idle.extend(bytes);
    if let Some(server) = server {
        // It would drain what the servers hold open.
        server.kill();
    }
    Ok(())
}

/// A way and its surroundings while it is measured.
struct Bench<'a> {
    kind: Kind,
    path: &'a Path,
    dir: &'a FilePath,
    server: Option<&'a Server>,
    period: Duration,
}

impl Bench<'_> {
    fn http(&self, kept: bool) -> Result<HttpSample, Error> {
        load::http(self.path, self.kind, kept, WARM_UP, self.dir)?;
        std::thread::sleep(SETTLE);
        let before = self.processor_time()?;
        let http = load::http(self.path, self.kind, kept, self.period, self.dir)?;
        std::thread::sleep(SETTLE);
        let cpu_micros = self.used(before)?.map(|used| micros(used) / http.answered as f64);
        Ok(HttpSample { http, cpu_micros })
    }

    fn stream(&self) -> Result<StreamSample, Error> {
        load::stream(self.path, self.kind, WARM_UP, self.dir)?;
        std::thread::sleep(SETTLE);
        let before = self.processor_time()?;
        let stream = load::stream(self.path, self.kind, self.period, self.dir)?;
        let cpu_seconds = self.used(before)?.map(|used| used.as_secs_f64() / stream.gigabytes);
        Ok(StreamSample { stream, cpu_seconds })
    }

    /// What the process grows by per idle connection, in bytes.
    fn idle(&self, count: usize) -> Result<f64, Error> {
        let Some(server) = self.server else { return Ok(0.0) };
        // It has been loaded before: what it needs in any case is there.
        let before = server.memory()?.0;
        let held = load::idle(self.path, self.kind, count)?;
        std::thread::sleep(SETTLE);
        let after = server.memory()?.0;
        drop(held);
        Ok(after.saturating_sub(before) as f64 / count as f64)
    }

    fn processor_time(&self) -> Result<Option<Duration>, Error> {
        self.server.map(Server::processor_time).transpose()
    }

    fn used(&self, before: Option<Duration>) -> Result<Option<Duration>, Error> {
        Ok(self.processor_time()?.zip(before).map(|(after, before)| after.saturating_sub(before)))
    }
}
