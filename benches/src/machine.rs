//! What a figure is worth nothing without: date, machine, disk, commit, versions.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::UNIX_EPOCH;

use crate::Error;
use crate::progress::timed;
use crate::stats;
use crate::work_dir::workspace;

/// Facts about this run as pairs of name and value, in the order in which they are shown.
pub type Facts = Vec<(String, String)>;

/// Date, processor, kernel, load and commit.
pub fn facts() -> Facts {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    vec![
        ("date".to_owned(), date()),
        ("commit".to_owned(), commit()),
        ("processor".to_owned(), format!("{}, {cores} cores", model(&read("/proc/cpuinfo")))),
        ("memory".to_owned(), memory(&read("/proc/meminfo"))),
        ("kernel".to_owned(), read("/proc/sys/kernel/osrelease").trim_end().to_owned()),
        ("load before".to_owned(), load()),
    ]
}

/// How many processes wanted to run in the last minute, on average: what else the machine was busy with.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// What the disk below `directory` does: its file system, and how long it takes to append 200 bytes durably.
pub fn disk(directory: &Path) -> Result<Facts, Error> {
    let path = directory.join("probe");
    let mut file = File::create(&path).map_err(Error::file(&path))?;
    let mut times = Vec::new();
    for _ in 0..DISK_PROBES {
        let (outcome, took) = timed(|| file.write_all(&[7; 200]).and_then(|()| file.sync_data()));
        outcome.map_err(Error::file(&path))?;
        times.push(took.as_secs_f64() * 1e3);
    }
    fs::remove_file(&path).map_err(Error::file(&path))?;
    let at = |share| stats::spoken(stats::quantile(&times, share).unwrap_or_default());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let kind = file_system(&mounts, directory).unwrap_or_else(|| "unknown".to_owned());
    Ok(vec![(
        "disk".to_owned(),
        format!("{kind}; append + fdatasync: median {} ms, p99 {} ms", at(0.5), at(0.99)),
    )])
}

/// The first line that a program prints when asked for its version; nothing of a program that is not here.
pub fn version(program: &str, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let first = first.split(" Copyright").next().unwrap_or(first).trim();
    Some(first.trim_start_matches("VERSION: ").to_owned())
}

const DISK_PROBES: u32 = 200;

#[expect(clippy::disallowed_methods, reason = "the date of a measurement is the host's")]
fn date() -> String {
    let seconds = std::time::SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", seconds / 3600 % 24, seconds / 60 % 60)
}

/// Year, month and day of a number of days since 1970, by counting.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(workspace()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit} with changes"),
    }
}

fn model(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name.trim());
    name.to_owned()
}

fn memory(meminfo: &str) -> String {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default();
    format!("{:.1} GiB", kib / 1024.0 / 1024.0)
}

/// The file system of the mount with the longest path that `directory` begins with.
fn file_system(mounts: &str, directory: &Path) -> Option<String> {
    let directory = directory.canonicalize().ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let ours = mounts.filter(|(at, _)| directory.starts_with(at));
    ours.max_by_key(|(at, _)| at.len()).map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(11_017), (2000, 3, 1));
        assert_eq!(civil(20_454), (2026, 1, 1));
        assert_eq!(civil(20_818), (2026, 12, 31));
    }

    #[test]
    fn the_innermost_mount_decides() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let mounts = format!("/dev/a / ext4 rw 0 0\ntmpfs {} tmpfs rw 0 0\n", path.display());
        assert_eq!(file_system(&mounts, &path).as_deref(), Some("tmpfs"));
        assert_eq!(file_system(&mounts, Path::new("/")).as_deref(), Some("ext4"));
    }

    #[test]
    fn facts_name_processor_and_memory() {
        assert_eq!(model("processor : 0\nmodel name\t: Fast CPU\n"), "Fast CPU");
        assert_eq!(memory("MemTotal:       2097152 kB\n"), "2.0 GiB");
    }
}
