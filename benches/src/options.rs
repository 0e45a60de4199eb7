//! The command line that all benchmarks share.

use std::path::PathBuf;

use clap::Parser;

/// Measures our daemon and its peers side by side, in one run, and prints medians and ratios.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// One short round: shows that everything works, the figures mean little
    #[arg(long)]
    pub quick: bool,
    /// Rounds; every server is measured once in each [default: 5, with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Only these servers, by the names in the tables, separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Keep the processors from sleeping, with a loop of the lowest priority on each
    #[arg(long)]
    pub awake: bool,
    /// Write the results to docs/benchmarks.md
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    pub write: bool,
    /// Where the faros-* programs lie [default: where this program lies]
    #[arg(long, env = "FAROS_BIN_DIR")]
    bin_dir: Option<PathBuf>,
}

impl Options {
    /// Rounds of a full run.
    pub const ROUNDS: u32 = 5;

    /// How many rounds are to be measured.
    pub fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 1 } else { Self::ROUNDS })
    }

    /// How the processors were treated, for the facts about a run.
    pub fn processors(&self) -> &'static str {
        if self.awake { "processors kept awake (--awake)" } else { "processors as they are" }
    }

    /// Keeps the servers that were asked for; the error names one that does not exist.
    pub fn select<S>(&self, all: Vec<S>, name: impl Fn(&S) -> &str) -> Result<Vec<S>, String> {
        if let Some(unknown) =
            self.only.iter().find(|wanted| !all.iter().any(|server| name(server) == *wanted))
        {
            let names: Vec<&str> = all.iter().map(&name).collect();
            return Err(format!("there is no server {unknown:?}; there are {}", names.join(", ")));
        }
        let wanted = |server: &S| self.only.is_empty() || self.only.iter().any(|other| other == name(server));
        Ok(all.into_iter().filter(wanted).collect())
    }

    /// One of our programs, such as `faros-dhcpd`.
    pub fn our_program(&self, name: &str) -> PathBuf {
        let own = || std::env::current_exe().ok()?.parent().map(PathBuf::from);
        self.bin_dir.clone().or_else(own).unwrap_or_default().join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Options {
        Options::try_parse_from([&["bench"], arguments].concat()).unwrap()
    }

    #[test]
    fn quick_is_one_round_unless_told_otherwise() {
        assert_eq!(options(&[]).rounds(), Options::ROUNDS);
        assert_eq!(options(&["--quick"]).rounds(), 1);
        assert_eq!(options(&["--quick", "--rounds", "3"]).rounds(), 3);
    }

    #[test]
    fn a_part_of_the_figures_is_never_written() {
        assert!(Options::try_parse_from(["bench", "--quick", "--write"]).is_err());
        assert!(Options::try_parse_from(["bench", "--only", "kea", "--write"]).is_err());
        assert!(Options::try_parse_from(["bench", "--rounds", "0"]).is_err());
    }

    #[test]
    fn a_server_that_does_not_exist_is_named() {
        let all = || vec!["kea", "dnsmasq"];
        let select = |wanted: &[&str]| options(wanted).select(all(), |name| name);
        assert_eq!(select(&["--only", "kea"]).unwrap(), ["kea"]);
        assert_eq!(select(&[]).unwrap(), all());
        assert!(select(&["--only", "kae"]).unwrap_err().contains("kae"));
    }
}
