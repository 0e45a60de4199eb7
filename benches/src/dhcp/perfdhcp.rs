//! perfdhcp, the load generator of the Kea project: how it is called and what it prints.
//!
//! Its DHCPv4 traffic looks relayed (giaddr is its own address, unicast to the server). It states its rate over the
//! whole run including the time in which it only waits, so completed exchanges per second are counted here from the
//! ACKs and the time in which it sends.

use std::path::Path;
use std::time::Duration;

use crate::Error;
use crate::netns::{CLIENT_INTERFACE, Link, SERVER_ADDRESS};
use crate::process::run_within;
use crate::programs;

/// What one load run showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// DISCOVERs sent and OFFERs received.
    pub offers: Exchange,
    /// REQUESTs sent and ACKs received.
    pub acks: Exchange,
    /// For how long requests were sent.
    pub period: Duration,
}

/// One half of the four-way exchange.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exchange {
    /// Requests sent.
    pub sent: u64,
    /// Answers received.
    pub received: u64,
    /// Mean time to the answer in milliseconds.
    pub mean_ms: f64,
    /// Time to each answer in milliseconds; empty unless asked for.
    pub each_ms: Vec<f64>,
}

impl Exchange {
    /// The share of requests without an answer, 0 to 1.
    pub fn loss(&self) -> f64 {
        if self.sent == 0 { 1.0 } else { 1.0 - self.received as f64 / self.sent as f64 }
    }
}

impl Load {
    /// Completed four-way exchanges per second.
    pub fn completed_per_sec(&self) -> f64 {
        self.acks.received as f64 / self.period.as_secs_f64()
    }

    /// DISCOVERs sent per second.
    pub fn sent_per_sec(&self) -> f64 {
        self.offers.sent as f64 / self.period.as_secs_f64()
    }

    /// The worse loss of the two halves, 0 to 1.
    pub fn loss(&self) -> f64 {
        self.offers.loss().max(self.acks.loss())
    }
}

/// How many different clients a load run simulates.
pub const CLIENTS: u32 = 30_000;

/// Sends `rate` DISCOVERs per second for `period`. `each`: keep the time of every answer.
pub fn load(link: &Link, dir: &Path, rate: u32, period: Duration, each: bool) -> Result<Load, Error> {
    let mut command = link.at_client(&programs::path("perfdhcp")?);
    command.args(["-4", "-l", CLIENT_INTERFACE, "-r", &rate.to_string(), "-R", &CLIENTS.to_string()]);
    command.args(["-p", &period.as_secs().to_string(), "-W", "500000"]);
    if each {
        command.args(["-x", "t"]);
    }
    command.arg(SERVER_ADDRESS);
    let said = run_within("perfdhcp", &mut command, &dir.join("perfdhcp.log"), period + PATIENCE)?;
    let half = |name: &str| exchange(&said, name).ok_or_else(|| unread(&said, name));
    Ok(Load { offers: half("DISCOVER-OFFER")?, acks: half("REQUEST-ACK")?, period })
}

/// How long it takes until `clients` clients that all start at once have a lease each.
pub fn avalanche(link: &Link, dir: &Path, clients: u32) -> Result<Duration, Error> {
    let mut command = link.at_client(&programs::path("perfdhcp")?);
    command.args(["-4", "-l", CLIENT_INTERFACE, "--scenario", "avalanche", "-R", &clients.to_string()]);
    command.arg(SERVER_ADDRESS);
    let said = run_within("perfdhcp avalanche", &mut command, &dir.join("avalanche.log"), PATIENCE)?;
    provisioned(&said).ok_or_else(|| unread(&said, "It took"))
}

/// Whether the server completes an exchange now.
pub fn answers(link: &Link, dir: &Path) -> Result<bool, Error> {
    let mut command = link.at_client(&programs::path("perfdhcp")?);
    // Told a number of exchanges, it does not wait for the ACK of the last one: the first ones tell.
    command.args(["-4", "-l", CLIENT_INTERFACE, "-r", "20", "-n", "4", "-W", "1000"]);
    command.args(["-b", "mac=02:fb:00:00:00:01", SERVER_ADDRESS]);
    let said = run_within("perfdhcp", &mut command, &dir.join("probe.log"), PATIENCE)?;
    Ok(exchange(&said, "REQUEST-ACK").is_some_and(|half| half.received > 0))
}

/// How long a run may take beyond the time it was told to.
const PATIENCE: Duration = Duration::from_secs(60);

fn unread(said: &str, wanted: &str) -> Error {
    let lines: Vec<&str> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(10)..].join("\n");
    Error::Unread { what: format!("perfdhcp (which said: {last})"), wanted: wanted.to_owned() }
}

/// Reads the statistics and, where there are any, the times of one half.
fn exchange(said: &str, name: &str) -> Option<Exchange> {
    let section = |title: &str| {
        let (_, rest) = said.split_once(&format!("***{title}: {name}***\n"))?;
        Some(rest.split("***").next().unwrap_or(rest))
    };
    let statistics = section("Statistics for")?;
    let field = |label: &str| {
        let value = statistics.lines().find_map(|line| line.strip_prefix(label))?;
        value.split_whitespace().next()
    };
    let each_ms = section("Timestamps for packets")
        .map_or_else(Vec::new, |lines| lines.lines().filter_map(took).collect());
    Some(Exchange {
        sent: field("sent packets:")?.parse().ok()?,
        received: field("received packets:")?.parse().ok()?,
        // Without a single answer it prints no times.
        mean_ms: field("avg delay:").and_then(|text| text.parse().ok()).unwrap_or(f64::NAN),
        each_ms,
    })
}

/// The milliseconds between the times of a line like `sent / received: 000000.000102 / 000000.001088`.
fn took(line: &str) -> Option<f64> {
    let (sent, received) = line.strip_prefix("sent / received: ")?.split_once(" / ")?;
    let sent: f64 = sent.parse().ok()?;
    let received: f64 = received.trim().parse().ok()?;
    Some((received - sent) * 1e3)
}

/// Reads `It took 00:00:02.003601 to provision 500 clients.`
fn provisioned(said: &str) -> Option<Duration> {
    let (_, rest) = said.split_once("It took ")?;
    let (time, _) = rest.split_once(" to provision")?;
    let seconds = time.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))?;
    Some(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running: perfdhcp -4 -r 1000\n***Rate statistics***\nRate: 799.416 4-way exchanges/second\n\n\
        ***Statistics for: DISCOVER-OFFER***\nsent packets: 2000\nreceived packets: 1990\ndrops: 10\n\
        drops ratio: 0.5 %\n\nmin delay: 0.048 ms\navg delay: 0.118 ms\nmax delay: 1.615 ms\n\n\
        ***Statistics for: REQUEST-ACK***\nsent packets: 1990\nreceived packets: 1970\navg delay: 0.134 ms\n\n\
        ***Timestamps for packets: DISCOVER-OFFER***\nsent / received: 000000.000102 / 000000.001088\n\
        sent / received: 000001.999272 / 000001.999390\n\n\
        ***Timestamps for packets: REQUEST-ACK***\nsent / received: 000002.000000 / 000002.000500\n";

    #[test]
    fn both_halves_are_read() {
        let offers = exchange(SAID, "DISCOVER-OFFER").unwrap();
        let acks = exchange(SAID, "REQUEST-ACK").unwrap();
        assert_eq!((offers.sent, offers.received, offers.mean_ms), (2000, 1990, 0.118));
        assert_eq!(offers.each_ms.len(), 2);
        assert!((offers.each_ms[0] - 0.986).abs() < 1e-6);
        assert_eq!(acks.each_ms.len(), 1);
        let load = Load { offers, acks, period: Duration::from_secs(2) };
        assert_eq!(load.completed_per_sec(), 985.0);
        assert_eq!(load.sent_per_sec(), 1000.0);
        assert!((load.loss() - 20.0 / 1990.0).abs() < 1e-9);
    }

    #[test]
    fn a_silent_server_loses_everything() {
        let silent =
            "***Statistics for: REQUEST-ACK***\nsent packets: 0\nreceived packets: 0\nmin delay: inf\n";
        assert_eq!(exchange(silent, "REQUEST-ACK").unwrap().loss(), 1.0);
        assert_eq!(exchange(silent, "DISCOVER-OFFER"), None);
    }

    #[test]
    fn the_time_of_an_avalanche_is_read() {
        let said = "It took 00:01:02.003601 to provision 500 clients. \nRequests sent + resent: 1334\n";
        assert_eq!(provisioned(said), Some(Duration::from_micros(62_003_601)));
        assert_eq!(provisioned("It took"), None);
    }
}
