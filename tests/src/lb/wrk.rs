//! A load that counts errors: wrk, with a connection per request.

use std::path::PathBuf;
use std::time::Duration;

use faros_lab::{Lab, Namespace, Process, Signal};

use super::program;

/// Longer than any test; the load is ended before.
const FOR_EVER: &str = "3600s";
/// How long its last requests may take.
const LAST_MAX: Duration = Duration::from_secs(20);

/// A running load; ends when dropped.
pub struct Wrk {
    process: Process,
    log: PathBuf,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers.
    pub answered: u64,
    /// Connections that could not be made, broke, or took too long, and answers that are not those of a success.
    pub errors: u64,
}

impl Wrk {
    /// 64 connections at a time to `url`, each for one request.
    pub fn start(lab: &Lab, client: &Namespace, url: &str) -> Self {
        let mut command = client.command(program("wrk"));
        command.args(["-t2", "-c64", "-d", FOR_EVER, "--timeout", "10s", "-H", "Connection: close", url]);
        let log = lab.log_file("wrk");
        let _ = std::fs::remove_file(&log);
        let process = Process::start(&mut command, log.clone()).expect("wrk starts");
        Self { process, log }
    }

    /// Ends it and returns what it counted; what it said is printed.
    pub fn end(mut self) -> Tally {
        self.process.signal(Signal::INT);
        self.process.wait(LAST_MAX).expect("wrk ends");
        let said = std::fs::read_to_string(&self.log).expect("wrk's words");
        println!("{said}");
        read(&said).unwrap_or_else(|| panic!("wrk said something else:\n{said}"))
    }
}

fn read(said: &str) -> Option<Tally> {
    let answered = said.lines().find_map(|line| line.split_once(" requests in ")?.0.trim().parse().ok())?;
    let numbers =
        |line: &str| -> u64 { line.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok()).sum() };
    let bad = said.lines().filter(|line| line.contains("Socket errors:") || line.contains("Non-2xx"));
    Some(Tally { answered, errors: bad.map(numbers).sum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_added_up() {
        let said = "  74035 requests in 3.01s, 11.50MB read\n  \
                    Socket errors: connect 0, read 95, write 2, timeout 1\n  Non-2xx or 3xx responses: 7\n";
        assert_eq!(read(said), Some(Tally { answered: 74_035, errors: 105 }));
        assert_eq!(read("  10 requests in 1.00s, 1KB read\n"), Some(Tally { answered: 10, errors: 0 }));
        assert_eq!(read("unable to connect"), None);
    }
}
