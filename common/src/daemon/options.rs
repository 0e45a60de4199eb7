//! The flags that every daemon takes.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::{Long, Short, ValueExt};

use super::Service;
use super::exit::Exit;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// JSON lines.
    Json,
}

/// What the command line and the environment say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The site file.
    pub site: PathBuf,
    /// The daemon's own state.
    pub state_dir: PathBuf,
    /// All admin sockets.
    pub run_dir: PathBuf,
    /// How logs are written.
    pub log: LogFormat,
    /// Validate and exit.
    pub check: bool,
    /// Whether to confine itself.
    pub sandbox: bool,
}

impl Options {
    /// Reads `arguments` (without the program's name), then `FAROS_SITE`, `FAROS_STATE_DIR` and
    /// `FAROS_RUN_DIR`, then the defaults. Help and version are printed here and end the program.
    pub(crate) fn parse<S: Service>(arguments: impl Iterator<Item = OsString>) -> Result<Self, Exit> {
        let mut options = Self::from_environment(S::NAME);
        match options.read(lexopt::Parser::from_args(arguments)) {
            Ok(None) => Ok(options),
            Ok(Some(Information::Help)) => {
                print_line(&help::<S>());
                Err(Exit::Clean)
            }
            Ok(Some(Information::Version)) => {
                print_line(&format!("faros-{} {}", S::NAME, env!("CARGO_PKG_VERSION")));
                Err(Exit::Clean)
            }
            Err(error) => {
                complain(S::NAME, &format!("{error}; --help shows what is known"));
                Err(Exit::Usage)
            }
        }
    }

    fn from_environment(name: &str) -> Self {
        let path = |variable, default: String| {
            std::env::var_os(variable)
                .filter(|value| !value.is_empty())
                .map_or(PathBuf::from(default), PathBuf::from)
        };
        Self {
            site: path("FAROS_SITE", "/etc/faros/site.toml".to_owned()),
            state_dir: path("FAROS_STATE_DIR", format!("/var/lib/faros/{name}")),
            run_dir: path("FAROS_RUN_DIR", "/run/faros".to_owned()),
            log: LogFormat::Text,
            check: false,
            sandbox: true,
        }
    }

    fn read(&mut self, mut parser: lexopt::Parser) -> Result<Option<Information>, lexopt::Error> {
        while let Some(argument) = parser.next()? {
            match argument {
                Long("site") => self.site = parser.value()?.into(),
                Long("state-dir") => self.state_dir = parser.value()?.into(),
                Long("run-dir") => self.run_dir = parser.value()?.into(),
                Long("log") => {
                    self.log = parser.value()?.parse_with(|text| match text {
                        "text" => Ok(LogFormat::Text),
                        "json" => Ok(LogFormat::Json),
                        _ => Err("it is text or json"),
                    })?;
                }
                Long("check") => self.check = true,
                Long("no-sandbox") => self.sandbox = false,
                Long("help") | Short('h') => return Ok(Some(Information::Help)),
                Long("version") | Short('V') => return Ok(Some(Information::Version)),
                other => return Err(other.unexpected()),
            }
        }
        Ok(None)
    }
}

enum Information {
    Help,
    Version,
}

/// Says on standard error what went wrong before logs exist.
pub(crate) fn complain(name: &str, text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "faros-{name}: {text}");
}

/// Prints for whoever asked; a closed pipe is their choice.
pub(crate) fn print_line(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn help<S: Service>() -> String {
    let Options { site, state_dir, run_dir, .. } = Options::from_environment(S::NAME);
    format!(
        "faros-{name}: {about}

Usage: faros-{name} [options]

  --site FILE         the site file [{site}, FAROS_SITE]
  --state-dir DIR     what must survive a restart [{state}, FAROS_STATE_DIR]
  --run-dir DIR       the admin sockets [{run}, FAROS_RUN_DIR]
  --log text|json     how logs are written; FAROS_LOG chooses what (info, debug, faros_{module}=trace)
  --check             validate the site file and exit
  --no-sandbox        keep all privileges, for debuggers and simulators
  --version, --help

SIGHUP reloads the site file, SIGTERM drains and ends.
Exit codes: 0 clean, 64 usage, 70 a defect of ours, 71 the system refused, 75 drain cut short,
77 a privilege is missing, 78 the site file is refused.",
        name = S::NAME,
        about = S::ABOUT,
        site = site.display(),
        state = state_dir.display(),
        run = run_dir.display(),
        module = S::NAME.replace('-', "_"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Options, lexopt::Error> {
        let mut options = Options::from_environment("test");
        options.read(lexopt::Parser::from_args(arguments))?;
        Ok(options)
    }

    #[test]
    fn flags_are_read() {
        let options = read(&["--site=a.toml", "--run-dir", "/r", "--log", "json", "--check"]).unwrap();
        assert_eq!(options.site, PathBuf::from("a.toml"));
        assert_eq!(options.run_dir, PathBuf::from("/r"));
        assert_eq!((options.log, options.check, options.sandbox), (LogFormat::Json, true, true));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for arguments in [&["--sites", "x"][..], &["--log", "xml"], &["stray"], &["--site"]] {
            assert!(read(arguments).is_err(), "{arguments:?}");
        }
    }
}
