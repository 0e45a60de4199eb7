//! The loads: wrk, iperf3, and connections over which nothing goes.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::path::Path as FilePath;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::network::Path;
use super::servers::Kind;
use crate::process::run_within;
use crate::{Error, programs};

/// Connections of wrk at once.
pub const CONNECTIONS: u32 = 64;

/// What wrk saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Http {
    /// Answers.
    pub answered: u64,
    /// Answers per second.
    pub rate: f64,
    /// 99 of 100 answers took at most so long.
    pub p99_millis: f64,
}

/// Loads with HTTP for `period`; `kept`: over connections that stay, else with one for each request.
///
/// # Errors
/// Errors of connections and bad answers are errors here: figures of a load that breaks mean nothing.
pub fn http(path: &Path, kind: Kind, kept: bool, period: Duration, dir: &FilePath) -> Result<Http, Error> {
    let mut command = path.at_client(&programs::path("wrk")?);
    command.args(["-t2", "-c", &CONNECTIONS.to_string(), "--latency"]);
    command.args(["-d", &format!("{}s", period.as_secs().max(1))]);
    if !kept {
        command.args(["-H", "Connection: close"]);
    }
    command.arg(format!("http://{}/", kind.http()));
    let said = run_within("wrk", &mut command, &dir.join("wrk.log"), period + PATIENCE)?;
    let broken = said.lines().find(|line| line.contains("Socket errors:") || line.contains("Non-2xx"));
    if broken.is_some() {
        return Err(Error::Failed { what: format!("{}: connections of wrk broke", kind.name()), said });
    }
    read_wrk(&said)
        .ok_or(Error::Unread { what: format!("wrk (which said: {said})"), wanted: "Requests/sec".to_owned() })
}

fn read_wrk(said: &str) -> Option<Http> {
    let answered = said.lines().find_map(|line| line.split_once(" requests in ")?.0.trim().parse().ok())?;
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())?;
    let p99 = said.lines().find_map(|line| line.trim().strip_prefix("99%"))?;
    Some(Http { answered, rate, p99_millis: millis(p99.trim())? })
}

/// `512.00us`, `6.31ms`, `1.02s`.
fn millis(text: &str) -> Option<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3)];
    let (number, factor) =
        units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    number.parse::<f64>().ok().map(|number| number * factor)
}

/// What iperf3 saw of one stream from the client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stream {
    /// Octets that arrived.
    pub gigabytes: f64,
    /// Billions of bits per second.
    pub gigabits: f64,
}

/// Sends one stream for `period`, with the congestion control that LANs have everywhere.
pub fn stream(path: &Path, kind: Kind, period: Duration, dir: &FilePath) -> Result<Stream, Error> {
    let (address, port) = kind.stream();
    let mut command = path.at_client(&programs::path("iperf3")?);
    command.args(["-c", address, "-p", &port.to_string(), "-t", &period.as_secs().max(1).to_string()]);
    // Sender and receiver stay where they are: on one processor together they are three times as fast, by chance.
    command.args(["-f", "m", "-C", "cubic", "-A", "0,1"]);
    let said = run_within("iperf3", &mut command, &dir.join("iperf3-client.log"), period + PATIENCE)?;
    read_iperf3(&said)
        .ok_or(Error::Unread { what: format!("iperf3 (which said: {said})"), wanted: "receiver".to_owned() })
}

/// `[  5]   0.00-3.00   sec  6.01 GBytes  17211 Mbits/sec                  receiver`
fn read_iperf3(said: &str) -> Option<Stream> {
    let line = said.lines().find(|line| line.trim_end().ends_with("receiver"))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let before = |unit: &str| {
        let at = words.iter().position(|word| *word == unit)?;
        words.get(at.checked_sub(1)?)?.parse::<f64>().ok()
    };
    let gigabits = before("Mbits/sec")? / 1000.0;
    let interval = words.iter().find_map(|word| word.split_once('-'))?;
    let seconds = interval.1.parse::<f64>().ok()? - interval.0.parse::<f64>().ok()?;
    Some(Stream { gigabytes: gigabits / 8.0 * seconds, gigabits })
}

/// How long a load may take beyond the time it was told to.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens `count` connections of HTTP over which nothing goes.
pub fn idle(path: &Path, kind: Kind, count: usize) -> Result<Vec<TcpStream>, Error> {
    let address: SocketAddr =
        kind.http().parse().map_err(|_| Error::Unread { what: kind.http(), wanted: "address".to_owned() })?;
    let most = getrlimit(Resource::Nofile).maximum;
    // Where it is refused, opening so many says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
    let namespace = FilePath::new("/run/netns").join(path.client());
    let open = || {
        let file = File::open(&namespace).map_err(Error::file(&namespace))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|source| Error::System { what: "a namespace".to_owned(), source: source.into() })?;
        (0..count)
            .map(|number| {
                TcpStream::connect_timeout(&address, PATIENCE)
                    .map_err(Error::system(format!("idle connection {number} of {count}")))
            })
            .collect()
    };
    std::thread::scope(|scope| {
        scope.spawn(open).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrks_words_are_read() {
        let said = "Running 3s test\n  Latency Distribution\n     50%    1.02ms\n     99%  512.00us\n  \
                    74035 requests in 3.01s, 11.50MB read\nRequests/sec:  24596.10\nTransfer/sec: 3.82MB\n";
        let http = Http { answered: 74_035, rate: 24_596.1, p99_millis: 0.512 };
        assert_eq!(read_wrk(said), Some(http));
        assert_eq!(read_wrk("unable to connect"), None);
        assert_eq!(millis("1.50s"), Some(1500.0));
        assert_eq!(millis("6.31ms"), Some(6.31));
    }

    #[test]
    fn iperf3s_words_are_read() {
        let said = "[  5]   0.00-2.00   sec  3.90 GBytes  16750 Mbits/sec    0             sender\n\
                    [  5]   0.00-2.00   sec  3.90 GBytes  16000 Mbits/sec                  receiver\n";
        assert_eq!(read_iperf3(said), Some(Stream { gigabytes: 4.0, gigabits: 16.0 }));
        assert_eq!(read_iperf3("iperf3: error - unable to connect"), None);
    }
}
