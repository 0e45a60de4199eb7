//! dnsperf, the load generator of DNS-OARC: how it is called and what it prints.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Error;
use crate::netns::{Link, SERVER_ADDRESS};
use crate::process::run_within;
use crate::programs;

/// Clients, each with a port of its own.
pub const CLIENTS: u32 = 16;
/// Threads.
pub const THREADS: u32 = 2;
/// Questions under way, over all clients.
pub const WINDOW: u32 = 800;

/// What it saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Answers per second.
    pub rate: f64,
    /// Questions without an answer within a second.
    pub lost: f64,
}

/// Its version, which it prints with its help.
pub fn version() -> Result<String, Error> {
    let program = programs::path("dnsperf")?;
    let output = Command::new(&program).arg("-h").output().map_err(Error::system("dnsperf"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = said.lines().find_map(|line| line.strip_prefix("Version "));
    version.map(str::to_owned).ok_or(Error::Unread { what: program, wanted: "Version".to_owned() })
}

/// Asks the server the questions of a file, on the server's side of the link, for `period`.
pub fn run(link: &Link, dir: &Path, questions: &Path, period: Duration) -> Result<Outcome, Error> {
    let mut command = link.at_server(&programs::path("dnsperf")?);
    command.args(["-s", SERVER_ADDRESS, "-t", "1", "-l", &period.as_secs_f64().ceil().to_string()]);
    command.args(["-c", &CLIENTS.to_string(), "-T", &THREADS.to_string(), "-q", &WINDOW.to_string()]);
    command.arg("-d").arg(questions);
    let said = run_within("dnsperf", &mut command, &dir.join("dnsperf.log"), period + PATIENCE)?;
    read(&said).ok_or_else(|| {
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(10)..].join("\n");
        Error::Unread {
            what: format!("dnsperf (which said: {last})"),
            wanted: "Queries per second".to_owned(),
        }
    })
}

/// How long it may take beyond the time it was told to.
const PATIENCE: Duration = Duration::from_secs(20);

fn read(said: &str) -> Option<Outcome> {
    let field = |label: &str| {
        let value = said.lines().find_map(|line| line.trim_start().strip_prefix(label))?;
        value.split_whitespace().next()?.parse::<f64>().ok()
    };
    Some(Outcome { rate: field("Queries per second:")?, lost: field("Queries lost:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_loss_are_read() {
        let said = "Statistics:\n\n  Queries sent:         303250\n  Queries completed:    303200 (99.98%)\n  \
                    Queries lost:         50 (0.02%)\n\n  Run time (s):         2.000393\n  \
                    Queries per second:   151570.216453\n";
        assert_eq!(read(said), Some(Outcome { rate: 151_570.216_453, lost: 50.0 }));
        assert_eq!(read("Warning: no address"), None);
    }
}
