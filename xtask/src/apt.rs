//! Debian packages: what is missing, and getting it here without starting any service.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::packages::{Job, Package, Way, needed};
use crate::steps;

/// Where packages are unpacked that must not be installed.
pub(crate) fn peers_dir(target: &Path) -> PathBuf {
    target.join("peers")
}

/// The packages of `job` that are not here yet.
pub(crate) fn missing(job: Option<Job>, target: &Path) -> Result<Vec<&'static Package>, String> {
    let installed = installed(needed(job).map(|package| package.name))?;
    Ok(needed(job)
        .filter(|package| !installed.contains(package.name))
        .filter(|package| package.way == Way::Install || !unpacked_marker(target, package).exists())
        .collect())
}

/// Gets what `job` is missing, saying what and why.
pub(crate) fn ensure(job: Option<Job>, target: &Path) -> Result<(), String> {
    StartPolicy::recover();
    let missing = missing(job, target)?;
    if missing.is_empty() {
        return Ok(());
    }
    for package in &missing {
        steps::note(&format!("{} is missing: {}", package.name, package.why));
    }
    let (install, unpack): (Vec<_>, Vec<_>) = missing.into_iter().partition(|p| p.way == Way::Install);
    if !install.is_empty() && !is_root()? {
        let names: Vec<_> = install.iter().map(|package| package.name).collect();
        return Err(format!(
            "packages are missing and only root can install them; run: sudo apt-get install \
             --no-install-recommends {}",
            names.join(" ")
        ));
    }
    if is_root()? {
        steps::step("apt-get update", || run("apt-get", ["-q", "-o", LOCK_WAIT, "update"], None))?;
    }
    if !install.is_empty() {
        let names: Vec<_> = install.iter().map(|package| package.name).collect();
        steps::step(&format!("install {}", names.join(" ")), || install_all(&names))?;
    }
    for package in unpack {
        steps::step(&format!("unpack {} (not installed)", package.name), || unpack_one(package, target))?;
    }
    Ok(())
}

/// Another package manager may be at work: wait for it, in seconds.
const LOCK_WAIT: &str = "DPkg::Lock::Timeout=600";

fn installed<'a>(names: impl Iterator<Item = &'a str>) -> Result<BTreeSet<String>, String> {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status} ${Package}\n"])
        .args(names)
        .stderr(Stdio::null())
        .output()
        .map_err(|error| {
            format!("dpkg-query cannot be run ({error}): this chore knows only Debian and its relatives")
        })?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .map(str::to_owned)
        .collect())
}

fn install_all(names: &[&str]) -> Result<(), String> {
    let _policy = StartPolicy::forbid()?;
    let mut arguments =
        vec!["-q", "-y", "-o", LOCK_WAIT, "-o", "Dpkg::Use-Pty=0", "install", "--no-install-recommends"];
    arguments.extend(names);
    run("apt-get", arguments, None)
}

fn unpacked_marker(target: &Path, package: &Package) -> PathBuf {
    peers_dir(target).join(format!(".unpacked-{}", package.name))
}

fn unpack_one(package: &Package, target: &Path) -> Result<(), String> {
    let peers = peers_dir(target);
    let download = peers.join("download").join(package.name);
    let io = |error: std::io::Error| format!("{} cannot be written: {error}", download.display());
    fs::create_dir_all(&download).map_err(io)?;
    run("apt-get", ["-q", "download", package.name], Some(&download))?;
    let archive = fs::read_dir(&download)
        .map_err(io)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension() == Some(OsStr::new("deb")))
        .ok_or_else(|| format!("apt-get download {} left no .deb file", package.name))?;
    let place = if package.way == Way::UnpackApart { peers.join(package.name) } else { peers };
    run("dpkg", [OsStr::new("-x"), archive.as_os_str(), place.as_os_str()], None)?;
    fs::remove_dir_all(&download).map_err(io)?;
    fs::write(unpacked_marker(target, package), "").map_err(io)
}

fn is_root() -> Result<bool, String> {
    let output =
        Command::new("id").arg("-u").output().map_err(|error| format!("id cannot be run: {error}"))?;
    Ok(output.stdout.trim_ascii() == b"0")
}

/// Runs a program quietly; its output is shown only when it fails.
fn run<A: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = A>,
    directory: Option<&Path>,
) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    let output = command.output().map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(format!("{program} failed ({}):\n{}", output.status, said.trim_end()))
}

/// While it lives, packages that are installed start no service (`policy-rc.d`, exit code 101).
struct StartPolicy {
    placed: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_BEFORE: &str = "/usr/sbin/policy-rc.d.before-xtask";
const POLICY_TEXT: &str = "#!/bin/sh\n# Placed by cargo xtask while it installs packages.\nexit 101\n";

impl StartPolicy {
    fn forbid() -> Result<Self, String> {
        let says_no = Command::new(POLICY).status().is_ok_and(|status| status.code() == Some(101));
        if says_no {
            return Ok(Self { placed: false });
        }
        let io = |error: std::io::Error| format!("{POLICY} cannot be placed: {error}");
        if Path::new(POLICY).exists() {
            fs::rename(POLICY, POLICY_BEFORE).map_err(io)?;
        }
        fs::write(POLICY, POLICY_TEXT).map_err(io)?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)).map_err(io)?;
        Ok(Self { placed: true })
    }

    /// Puts right what an interrupted run left behind.
    fn recover() {
        if fs::read_to_string(POLICY).is_ok_and(|text| text == POLICY_TEXT) {
            Self::restore();
        }
    }

    fn restore() {
        // Without the right to change it there is nothing that could have been placed either.
        let _ = fs::remove_file(POLICY);
        if Path::new(POLICY_BEFORE).exists() {
            let _ = fs::rename(POLICY_BEFORE, POLICY);
        }
    }
}

impl Drop for StartPolicy {
    fn drop(&mut self) {
        if self.placed {
            Self::restore();
        }
    }
}
