//! How many commits and records per second a directory's disk gives a journal.
//!
//! ```text
//! cargo run --release -p faros-common --example journal_rate -- DIRECTORY [SECONDS per line]
//! ```

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use faros_common::clock;
use faros_common::journal::{GroupCommit, Journal, JournalOptions, PREALLOCATE_BYTES};

const RECORD_BYTES: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: journal_rate DIRECTORY [SECONDS]")?;
    let length = Duration::from_secs(arguments.next().map_or(Ok(3), |text| text.parse())?);
    let directory = Path::new(&directory).join(format!("journal-rate-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let measured = measure(&directory, length);
    std::fs::remove_dir_all(&directory)?;
    measured
}

fn measure(directory: &Path, length: Duration) -> Result<(), Box<dyn Error>> {
    println!("{RECORD_BYTES}-byte records; commit times in milliseconds");
    println!(
        "{:>7} {:>8} {:>10} {:>10} {:>7} {:>7}",
        "records", "zeroes", "commits/s", "records/s", "p50", "p99"
    );
    for preallocate_bytes in [0, PREALLOCATE_BYTES] {
        for per_commit in [1, 8, 64] {
            // Names begin anew with each line, so that no line inherits another's file.
            let directory = directory.join(format!("{preallocate_bytes}-{per_commit}"));
            std::fs::create_dir(&directory)?;
            let options = JournalOptions { preallocate_bytes, ..JournalOptions::new("rate", 1) };
            let (mut journal, _) = Journal::open(&directory, options)?;
            let mut times = Vec::new();
            let start = clock::now();
            while start.elapsed() < length {
                for _ in 0..per_commit {
                    journal.append(&[b'x'; RECORD_BYTES])?;
                }
                let before = clock::now();
                journal.commit()?;
                times.push(before.elapsed());
            }
            let rate = times.len() as f64 / start.elapsed().as_secs_f64();
            times.sort();
            println!(
                "{per_commit:>7} {preallocate_bytes:>8} {rate:>10.0} {:>10.0} {:>7.3} {:>7.3}",
                rate * f64::from(per_commit),
                times[times.len() / 2].as_secs_f64() * 1e3,
                times[times.len() * 99 / 100].as_secs_f64() * 1e3,
            );
        }
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(shared(directory, length))
}

/// Many tasks that each wait for their own record, as a daemon's requests do.
async fn shared(directory: &Path, length: Duration) -> Result<(), Box<dyn Error>> {
    println!("tasks that append and wait, through GroupCommit");
    for tasks in [1, 8, 64, 512] {
        let directory = directory.join(format!("tasks-{tasks}"));
        std::fs::create_dir(&directory)?;
        let group = GroupCommit::start(Journal::open(&directory, JournalOptions::new("rate", 1))?.0)?;
        let start = clock::now();
        let handles: Vec<_> = (0..tasks)
            .map(|_| {
                let group = group.clone();
                faros_common::tasks::spawn("client", async move {
                    let mut count = 0u64;
                    while start.elapsed() < length {
                        let lsn = group.append([b'x'; RECORD_BYTES])?;
                        group.durable(lsn).await?;
                        count += 1;
                    }
                    Ok::<_, faros_common::journal::JournalError>(count)
                })
            })
            .collect();
        let mut records = 0;
        for handle in handles {
            records += handle.await?.ok_or("a task panicked")??;
        }
        let seconds = start.elapsed().as_secs_f64();
        let commits = group.status().commits;
        println!(
            "{tasks:>7} tasks {:>10.0} commits/s {:>10.0} records/s",
            commits as f64 / seconds,
            records as f64 / seconds
        );
        group.shutdown().await?;
    }
    Ok(())
}
