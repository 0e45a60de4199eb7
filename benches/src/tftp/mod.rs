//! TFTP: one large file, by block size, window size and number of clients.
//!
//! All servers run at the same time, each in namespaces of its own and idle unless it is its turn, so that for every
//! case the servers follow each other within seconds. What is received is compared with what was sent, byte by
//! byte, outside of the time that is measured.

pub mod clients;
pub mod results;
pub mod servers;

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::netns::Link;
use crate::options::Options;
use crate::process::Server;
use crate::progress::{line, now, timed};
use crate::report::Report;
use crate::stats::spoken;
use crate::work_dir::WorkDir;
use crate::{Error, machine, programs};

use clients::Case;
use results::{Sample, Samples};
use servers::Contender;

/// Size of the file in a full run.
pub const FILE_BYTES: usize = 64 << 20;
/// Size of the file with `--quick`.
pub const FILE_BYTES_QUICK: usize = 16 << 20;
/// Its name below the servers' root.
pub const FILE_NAME: &str = "image";
/// A file of one block beside it, to see whether a server answers.
pub const SMALL_NAME: &str = "small";

/// Measures the servers that were asked for.
pub fn run(options: &Options, contenders: &[Contender], work: &WorkDir) -> Result<Report, Error> {
    let mut facts = machine::facts();
    for contender in contenders {
        facts.push((contender.kind().name().to_owned(), contender.version()?));
    }
    for client in ["atftp", "curl"] {
        let version = machine::version(&programs::path(client)?, "--version").unwrap_or_default();
        let short = version.split(" (").next().unwrap_or_default().to_owned();
        facts.push((format!("client {client}"), short));
    }
    let bytes = if options.quick { FILE_BYTES_QUICK } else { FILE_BYTES };
    let rounds = options.rounds();
    facts.push((
        "procedure".to_owned(),
        format!(
            "{rounds} rounds, one file of {} MiB, {}; median (lowest–highest)",
            bytes >> 20,
            options.processors()
        ),
    ));

    let boot = work.fresh("boot")?;
    let content = content(bytes);
    for (name, part) in [(FILE_NAME, &content[..]), (SMALL_NAME, &content[..100])] {
        let path = boot.join(name);
        fs::write(&path, part).map_err(Error::file(&path))?;
    }
    let start = now();
    let mut samples: Vec<Samples> =
        contenders.iter().map(|contender| Samples::new(contender.kind())).collect();
    for round in 0..rounds {
        let benches = benches(contenders, work, &boot)?;
        for case in Case::all() {
            for turn in 0..benches.len() {
                // Another server begins in each round: what warms up or wears out hits all alike.
                let index = (turn + round as usize) % benches.len();
                let bench = &benches[index];
                if case.window() > 1 && !bench.windows {
                    continue;
                }
                let sample = bench.transfer(case, &content)?;
                line(&format!(
                    "round {}/{rounds}  {:22} {:12} {} Mbit/s, {} CPU s/GiB",
                    round + 1,
                    case.name(),
                    contenders[index].kind().name(),
                    spoken(sample.mbit_per_sec),
                    spoken(sample.cpu_secs_per_gib)
                ));
                samples[index].add(case, sample);
            }
        }
        for (bench, of) in benches.iter().zip(&mut samples) {
            of.memory_most.push(bench.server.memory()?.1);
        }
    }
    line(&format!("measured in {} s", start.elapsed().as_secs()));
    Ok(results::report(facts, &samples))
}

/// A server that runs, ready to be measured.
struct Bench {
    // Ended before its namespaces go.
    server: Server,
    link: Link,
    dir: std::path::PathBuf,
    /// Whether it grants windows (RFC 7440).
    windows: bool,
}

fn benches(contenders: &[Contender], work: &WorkDir, boot: &Path) -> Result<Vec<Bench>, Error> {
    let bench = |contender: &Contender| {
        let name = contender.kind().name();
        let (link, dir) = (Link::create()?, work.fresh(name)?);
        let server = contender.start(&link, &dir, boot)?;
        let windows = clients::grants_windows(&link, &dir)?;
        if !windows {
            line(&format!("{name} grants no windows: only lock-step cases are measured"));
        }
        Ok(Bench { server, link, dir, windows })
    };
    contenders.iter().map(bench).collect()
}

impl Bench {
    fn transfer(&self, case: Case, content: &[u8]) -> Result<Sample, Error> {
        let before = self.server.processor_time()?;
        let (received, took) = timed(|| clients::run(case, &self.link, &self.dir));
        let received = received?;
        // A server that starts a process per transfer collects it after the client has left.
        std::thread::sleep(SETTLE);
        let used = self.server.processor_time()?.saturating_sub(before);
        for path in &received {
            let got = fs::read(path).map_err(Error::file(path))?;
            if got != content {
                let said = format!(
                    "{} bytes were received, {} were to be, or they differ",
                    got.len(),
                    content.len()
                );
                return Err(self.server.failure(&format!("{}: {said}", case.name())));
            }
            fs::remove_file(path).map_err(Error::file(path))?;
        }
        let bytes = (content.len() * received.len()) as f64;
        Ok(Sample {
            mbit_per_sec: bytes * 8.0 / 1e6 / took.as_secs_f64(),
            cpu_secs_per_gib: used.as_secs_f64() / (bytes / f64::from(1 << 30)),
        })
    }
}

const SETTLE: Duration = Duration::from_millis(150);

/// Bytes without a period that a block could hide in, the same in every run (xorshift64*).
fn content(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    });
    let mut content: Vec<u8> = words.take(bytes.div_ceil(8)).flatten().collect();
    content.truncate(bytes);
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_blocks_of_the_file_are_alike() {
        let content = content(1 << 20);
        assert_eq!(content.len(), 1 << 20);
        let blocks: std::collections::HashSet<&[u8]> = content.chunks(512).collect();
        assert_eq!(blocks.len(), (1 << 20) / 512);
    }
}
