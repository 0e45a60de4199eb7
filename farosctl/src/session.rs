//! What a command works with: the global flags, the streams, the site.

use std::path::{Path, PathBuf};

use faros_common::site::{self, Site};
use serde::Serialize;

use crate::check::render;
use crate::cli::Global;
use crate::daemons::Daemons;
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, Human, Paint};
use crate::terminal::Terminal;

/// One run of `farosctl`.
pub(crate) struct Session {
    pub(crate) site_path: PathBuf,
    pub(crate) daemons: Daemons,
    pub(crate) format: Format,
    pub(crate) paint: Paint,
    pub(crate) terminal: Terminal,
}

impl Session {
    pub(crate) fn new(global: &Global, terminal: Terminal) -> Self {
        let set = |variable| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = terminal.out_is_terminal && !global.no_color && !set("NO_COLOR") && !dumb;
        Self {
            site_path: global.site.clone(),
            daemons: Daemons::new(&global.run_dir),
            format: global.output,
            paint: Paint { colour },
            terminal,
        }
    }

    /// Shows an answer in the format that was asked for.
    pub(crate) fn show<T: Serialize + Human>(&mut self, value: &T) -> Result<(), Failure> {
        let text = output::render(value, self.format, self.paint);
        self.print(&text)
    }

    pub(crate) fn print(&mut self, text: &str) -> Result<(), Failure> {
        Ok(self.terminal.print(text)?)
    }

    /// Says something on standard error.
    pub(crate) fn note(&mut self, text: &str) {
        self.terminal.note(text);
    }

    /// The site; without it the command makes no sense.
    pub(crate) fn site(&mut self) -> Result<Site, Failure> {
        match site::load(&self.site_path) {
            Ok(loaded) => Ok(loaded.site),
            Err(report) => {
                let text = render::lines(&report);
                self.note(&format!(
                    "the site file {} is refused; mend it:\n{}",
                    shown(&self.site_path),
                    text.trim_end()
                ));
                Err(Failure::Said(Exit::SiteRefused))
            }
        }
    }

    /// The site, where it can be had: a running site must be answerable while somebody edits the file.
    pub(crate) fn site_if_good(&mut self) -> Option<Site> {
        match site::load(&self.site_path) {
            Ok(loaded) => Some(loaded.site),
            Err(report) => {
                let errors = report.errors().count();
                self.note(&format!(
                    "going on without the site file {}: {}; see: farosctl check",
                    shown(&self.site_path),
                    match (errors, report.errors().next()) {
                        (1, Some(only)) => only.message.clone(),
                        _ => format!("it has {errors} errors"),
                    }
                ));
                None
            }
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
