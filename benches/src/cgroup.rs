//! A control group (version 2) per server: the kernel counts the processor time of the server with all its
//! processes, to the microsecond, also of those that nobody waits for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A control group. Dropped: removed, with the processes in it.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
}

impl Group {
    /// Makes one; `None` where there is no hierarchy of version 2 that may be written, as in many containers.
    pub fn create() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = hierarchy()?.join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir(&path).ok()?;
        let group = Self { path };
        // Where accounting is not built in there is no such file.
        group.processor_time().map(|_| group)
    }

    /// The same command, which puts itself into the group before it becomes the program.
    pub fn wrap(&self, command: &Command) -> Command {
        let mut wrapped = Command::new("sh");
        wrapped.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.path.join("cgroup.procs"));
        wrapped.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        wrapped
    }

    /// Processor time, user and system, of all that ever ran in the group.
    pub fn processor_time(&self) -> Option<Duration> {
        usage(&fs::read_to_string(self.path.join("cpu.stat")).ok()?)
    }

    /// The processes that are in the group.
    pub fn processes(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes the groups for which `gone` says that the process that made them is over.
pub fn sweep(gone: impl Fn(u32) -> bool) {
    let Some(groups) = hierarchy().and_then(|path| fs::read_dir(path).ok()) else { return };
    for group in groups.flatten() {
        if group.file_name().to_str().and_then(owner).is_some_and(&gone) {
            remove(&group.path());
        }
    }
}

const PREFIX: &str = "faros-bench-";

fn hierarchy() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mount = fields.into_iter().find(|fields| fields.get(2) == Some(&"cgroup2"))?;
    mount.get(1).map(PathBuf::from)
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

fn usage(stat: &str) -> Option<Duration> {
    let micros = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    micros.trim().parse().ok().map(Duration::from_micros)
}

fn remove(path: &Path) {
    // A server may have left processes behind that finish a transfer; the kernel needs a moment to end them.
    let _ = fs::write(path.join("cgroup.kill"), "1");
    for _ in 0..100 {
        if fs::remove_dir(path).is_ok() || !path.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_in_microseconds() {
        let stat = "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n";
        assert_eq!(usage(stat), Some(Duration::from_millis(1500)));
        assert_eq!(usage("nr_periods 0\n"), None);
    }

    #[test]
    fn only_groups_of_benchmarks_have_an_owner() {
        assert_eq!(owner("faros-bench-4711-3"), Some(4711));
        assert_eq!(owner("faros-bench-x-3"), None);
        assert_eq!(owner("system.slice"), None);
    }
}
