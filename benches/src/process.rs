//! A server under measurement: its processor time, its memory, its end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::Error;
use crate::cgroup::Group;
use crate::progress::now;

/// A server under measurement. Dropped: ended.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Child,
    log: PathBuf,
    group: Option<Group>,
}

/// How long a server may take to end when it is asked to, before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

impl Server {
    /// Starts `command`; what it prints goes to the file `log`. The process that starts has to be the server itself
    /// (`ip netns exec` becomes the program that it runs).
    pub fn start(name: &str, command: Command, log: PathBuf) -> Result<Self, Error> {
        let file = File::create(&log).map_err(Error::file(&log))?;
        let copy = file.try_clone().map_err(Error::file(&log))?;
        let group = Group::create();
        let wrapped = group.as_ref().map(|group| group.wrap(&command));
        let mut command = wrapped.unwrap_or(command);
        command.stdin(Stdio::null()).stdout(file).stderr(copy);
        let child = command.spawn().map_err(Error::system(name))?;
        Ok(Self { name: name.to_owned(), child, log, group })
    }

    /// Whether it still runs; the error shows the end of its log.
    pub fn check(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.failure(&format!("ended by itself ({status})"))),
            Err(source) => Err(Error::System { what: self.name.clone(), source }),
        }
    }

    /// An error about this server with the end of its log.
    pub fn failure(&self, what: &str) -> Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
        Error::Failed { what: format!("{} {what}", self.name), said: last }
    }

    /// Processor time used so far, user and system, by the server and all its processes.
    ///
    /// Where there is no control group to count it, it is what the main process and those of its children that it has
    /// waited for used, in ticks of 10 ms. What the kernel does for a packet in interrupt context is charged to whichever
    /// process it interrupts; on a link within one machine that is mostly the sender.
    pub fn processor_time(&self) -> Result<Duration, Error> {
        if let Some(time) = self.group.as_ref().and_then(Group::processor_time) {
            return Ok(time);
        }
        let path = format!("/proc/{}/stat", self.child.id());
        let text = fs::read_to_string(&path).map_err(Error::file(Path::new(&path)))?;
        let ticks = ticks_of(&text).ok_or(Error::Unread { what: path, wanted: "four times".to_owned() })?;
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
    }

    /// Resident memory, in bytes: now, and the most it ever was.
    pub fn memory(&self) -> Result<(u64, u64), Error> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(&path).map_err(Error::file(Path::new(&path)))?;
        let field = |name: &str| kib(&text, name);
        let missing = || Error::Unread { what: path.clone(), wanted: "VmRSS, VmHWM".to_owned() };
        Ok((field("VmRSS:").ok_or_else(missing)?, field("VmHWM:").ok_or_else(missing)?))
    }

    /// Memory of all its processes (where there is no control group, of the main one), in bytes: what is theirs alone,
    /// and their share of what they share with others.
    pub fn proportional_memory(&self) -> Result<u64, Error> {
        let grouped = self.group.as_ref().map(Group::processes).filter(|processes| !processes.is_empty());
        let mut sum = 0;
        for process in grouped.unwrap_or_else(|| vec![self.child.id()]) {
            let path = format!("/proc/{process}/smaps_rollup");
            let text = fs::read_to_string(&path).map_err(Error::file(Path::new(&path)))?;
            sum += kib(&text, "Pss:").ok_or(Error::Unread { what: path, wanted: "Pss".to_owned() })?;
        }
        Ok(sum)
    }

    /// Stops it in its tracks, for good: what is sent to it is taken by the kernel, and nobody answers.
    pub fn freeze(&self) -> Result<(), Error> {
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let Some(process) = process else { return Ok(()) };
        kill_process(process, Signal::STOP).map_err(|source| Error::System {
            what: format!("{} cannot be stopped", self.name),
            source: source.into(),
        })
    }

    /// Ends it without asking.
    pub fn kill(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it: asked first, killed when it does not listen.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        if let Some(process) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(process, Signal::TERM);
        }
        let start = now();
        while start.elapsed() < STOP_TIMEOUT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a command to its end within `limit`; returns what it printed. Longer: killed, an error.
pub fn run_within(what: &str, command: &mut Command, log: &Path, limit: Duration) -> Result<String, Error> {
    let file = File::create(log).map_err(Error::file(log))?;
    let copy = file.try_clone().map_err(Error::file(log))?;
    let mut child =
        command.stdin(Stdio::null()).stdout(file).stderr(copy).spawn().map_err(Error::system(what))?;
    let start = now();
    let status = loop {
        match child.try_wait().map_err(Error::system(what))? {
            Some(status) => break Some(status),
            None if start.elapsed() > limit => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let said = fs::read_to_string(log).map_err(Error::file(log))?;
    match status {
        Some(_) => Ok(said),
        None => Err(Error::Failed { what: format!("{what} took longer than {} s", limit.as_secs()), said }),
    }
}

/// A value in KiB behind its name, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

const LOG_LINES_SHOWN: usize = 12;

/// User and system time of a process and of its children that were waited for (proc(5), fields 14 to 17).
fn ticks_of(stat: &str) -> Option<u64> {
    // The name stands in brackets and may itself hold brackets and spaces.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let times: Vec<u64> = fields.take(4).filter_map(|field| field.parse().ok()).collect();
    (times.len() == 4).then(|| times.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_process_name() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 1523 0 0 0 24 10 3 4 20 0 5 0 175736";
        assert_eq!(ticks_of(stat), Some(41));
        assert_eq!(ticks_of("7 (a) S 1 7"), None);
        assert_eq!(ticks_of(""), None);
    }

    #[test]
    fn a_server_that_ends_is_noticed_with_its_last_words() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such interface; exit 3"]);
        let mut server = Server::start("peer", command, directory.path().join("log")).unwrap();
        server.child.wait().unwrap();
        let error = server.check().unwrap_err().to_string();
        assert!(error.contains("no such interface") && error.contains('3'), "{error}");
    }

    #[test]
    fn processor_time_includes_children() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        // The child burns, the parent waits.
        command.args(["-c", "sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'; exec sleep 60"]);
        let server = Server::start("burner", command, directory.path().join("log")).unwrap();
        let mut used = Duration::ZERO;
        for _ in 0..2000 {
            used = server.processor_time().unwrap();
            if used > Duration::ZERO {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(used > Duration::ZERO);
        assert!(server.memory().unwrap().1 > 0);
        assert!(server.proportional_memory().unwrap() > 0);
    }

    #[test]
    fn a_program_without_end_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let limit = Duration::from_millis(50);
        assert!(run_within("sleep", Command::new("sleep").arg("60"), &log, limit).is_err());
        let said = run_within("echo", Command::new("echo").arg("hi"), &log, Duration::from_secs(60)).unwrap();
        assert_eq!(said, "hi\n");
    }
}
