//! What each chore does, step by step. A chore returns the exit code of what it ran last.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::apt;
use crate::packages::{Job, needed};
use crate::steps;
use crate::tidy;

/// `cargo xtask lab`: packages, release build, `farosctl lab`.
pub(crate) fn lab(arguments: &[String]) -> Result<u8, String> {
    let light = arguments.iter().any(|argument| argument == "--light");
    let asks_only = arguments.iter().any(|argument| argument == "--help" || argument == "-h");
    if !asks_only {
        let job = if light { Job::LabLight } else { Job::Lab };
        if let Err(reason) = apt::ensure(Some(job), &target()) {
            // A light lab can do without everything but `ip`: what is missing shows as it runs.
            if !light {
                return Err(format!("{reason}\n(`cargo xtask lab --light` needs no virtual machine)"));
            }
            steps::note(&reason);
        }
    }
    steps::talking_step("build (release)", || {
        let mut build = cargo();
        build.args(["build", "--release", "--bins"]);
        for package in ["faros-dhcpd", "faros-dnsd", "faros-tftpd", "faros-ignition-http", "farosctl"] {
            build.args(["--package", package]);
        }
        succeed(&mut build)
    })?;
    let mut farosctl = Command::new(target().join("release/farosctl"));
    farosctl.arg("lab").env("FAROS_LAB_CACHE", target().join("lab-image"));
    if !arguments.iter().any(|argument| argument == "--site" || argument.starts_with("--site=")) {
        farosctl.arg("--site").arg(root().join("lab/site.toml"));
    }
    let status =
        farosctl.args(arguments).status().map_err(|error| format!("farosctl cannot be run: {error}"))?;
    Ok(exit_code(status))
}

/// Tests drive daemons that can be told to fail (`faros_common::fault`); no other build can.
const FAULTS: [&str; 2] = ["--features", "faros-common/fault"];

/// `cargo xtask test`: packages, build, every test of the workspace, one summary.
pub(crate) fn test(arguments: &[String]) -> Result<u8, String> {
    let (outcome, took) = steps::timed(|| {
        apt::ensure(Some(Job::Test), &target())?;
        let environment = python_environment()?;
        steps::talking_step("build", || {
            succeed(cargo().args(["build", "--workspace", "--bins"]).args(FAULTS))
        })?;
        steps::talking_step("test", || {
            let mut cargo = cargo();
            cargo
                .args(["test", "--workspace", "--no-fail-fast"])
                .args(FAULTS)
                .args(arguments)
                .env("FAROS_BIN_DIR", target().join("debug"))
                .env("FAROS_LAB_CACHE", target().join("lab-image"))
                .env("PATH", path_with_peers());
            if let Some(environment) = environment {
                cargo.env("FAROS_VENV", environment);
            }
            counted(&mut cargo)
        })
    });
    let tally = outcome?;
    println!(
        "{}: {} tests passed, {} failed, {} ignored in {}",
        if tally.good() { "PASSED" } else { "FAILED" },
        tally.passed,
        tally.failed,
        tally.ignored,
        steps::spoken(took)
    );
    Ok(u8::from(!tally.good()))
}

/// `cargo xtask verify`: what has to hold before every commit. Everything is looked at, whatever fails.
pub(crate) fn verify() -> Result<u8, String> {
    let checks = [
        steps::step("format", || succeed(cargo().args(["fmt", "--all", "--", "--check", "-l"]))),
        steps::step("tidy", || tidy::check(&root())),
        steps::talking_step("lints", || {
            succeed(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
        }),
        steps::talking_step("documentation", || {
            let mut cargo = cargo();
            succeed(
                cargo.args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"),
            )
        }),
    ];
    // The lab's own tests start the daemons.
    steps::talking_step("build", || succeed(cargo().args(["build", "--workspace", "--bins"])))?;
    // The black-box suite needs packages and minutes; `cargo xtask test` runs it.
    let tally = steps::talking_step("unit tests", || {
        counted(cargo().args(["test", "--workspace", "--exclude", "faros-tests", "--no-fail-fast"]))
    })?;
    println!("{} unit tests passed, {} failed", tally.passed, tally.failed);
    let reasons: Vec<_> = checks.into_iter().filter_map(Result::err).collect();
    if reasons.is_empty() { Ok(u8::from(!tally.good())) } else { Err(reasons.join("\n")) }
}

/// `cargo xtask bench NAME`: packages, release build of the daemons, the benchmark.
pub(crate) fn bench(name: &str, arguments: &[String]) -> Result<u8, String> {
    apt::ensure(Some(Job::Bench), &target())?;
    steps::talking_step("build (release)", || {
        succeed(cargo().args(["build", "--release", "--workspace", "--bins"]))
    })?;
    let status = cargo()
        .args(["run", "--release", "--quiet", "--package", "faros-benches", "--bin", name, "--"])
        .args(arguments)
        .env("FAROS_BIN_DIR", target().join("release"))
        .env("PATH", path_with_peers())
        .status()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    Ok(exit_code(status))
}

/// `cargo xtask packages`: what is needed, what is missing, and getting it.
pub(crate) fn packages(job: Option<Job>, check: bool) -> Result<u8, String> {
    let missing = apt::missing(job, &target())?;
    for package in needed(job) {
        let here = !missing.iter().any(|other| other.name == package.name);
        println!("{:8} {:22} {}", if here { "here" } else { "missing" }, package.name, package.why);
    }
    if check {
        return Ok(u8::from(!missing.is_empty()));
    }
    apt::ensure(job, &target())?;
    Ok(0)
}

fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = manifest.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    here.parent().expect("xtask lies in the workspace").to_owned()
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name} failed ({status})")),
        Err(error) => Err(format!("{name} cannot be run: {error}")),
    }
}

fn exit_code(status: std::process::ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// The servers to compare with lie in `target/peers`, the usual daemons' directories may be missing in PATH.
fn path_with_peers() -> std::ffi::OsString {
    let peers = apt::peers_dir(&target());
    let mut directories = vec![peers.join("usr/sbin"), peers.join("usr/bin")];
    directories.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    directories.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    std::env::join_paths(directories).expect("no directory of ours holds a colon")
}

/// Clients from the Python index, where the tests list any, in an environment of their own.
fn python_environment() -> Result<Option<PathBuf>, String> {
    let wanted = root().join("tests/requirements.txt");
    if !wanted.exists() {
        return Ok(None);
    }
    let environment = target().join("venv");
    let stamp = environment.join(".requirements");
    let same = |a: &Path, b: &Path| matches!((std::fs::read(a), std::fs::read(b)), (Ok(a), Ok(b)) if a == b);
    if !same(&wanted, &stamp) {
        steps::step("Python clients (target/venv)", || {
            succeed(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
            let mut pip = Command::new(environment.join("bin/pip"));
            succeed(pip.args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&wanted))?;
            std::fs::copy(&wanted, &stamp).map_err(|error| format!("{}: {error}", stamp.display()))
        })?;
    }
    Ok(Some(environment))
}

/// What the test programs counted together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Whether cargo ended badly: a test program that crashed counts nothing.
    broken: bool,
}

impl Tally {
    fn good(&self) -> bool {
        self.failed == 0 && !self.broken && self.passed > 0
    }

    /// Adds up lines such as `test result: ok. 12 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else { return };
        let counts = rest.split_once(". ").map_or("", |(_, counts)| counts);
        for part in counts.split(';') {
            match part.trim().split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                Some((number, "ignored")) => self.ignored += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

fn counted(cargo: &mut Command) -> Result<Tally, String> {
    let mut child =
        cargo.stdout(Stdio::piped()).spawn().map_err(|error| format!("cargo cannot be run: {error}"))?;
    let mut tally = Tally::default();
    let output = child.stdout.take().expect("standard output was asked for");
    for line in BufReader::new(output).lines() {
        let line = line.map_err(|error| format!("cargo's output cannot be read: {error}"))?;
        tally.add(&line);
        println!("{line}");
    }
    let status = child.wait().map_err(|error| format!("cargo was lost: {error}"))?;
    tally.broken = !status.success();
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_programs_add_up() {
        let mut tally = Tally::default();
        tally.add(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s",
        );
        tally.add("running 3 tests");
        tally.add("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out");
        assert_eq!(tally, Tally { passed: 14, failed: 1, ignored: 1, broken: false });
        assert!(!tally.good());
    }

    #[test]
    fn a_crash_or_an_empty_run_is_not_a_pass() {
        assert!(!Tally { passed: 3, broken: true, ..Tally::default() }.good());
        assert!(!Tally::default().good());
        assert!(Tally { passed: 3, ..Tally::default() }.good());
    }
}
