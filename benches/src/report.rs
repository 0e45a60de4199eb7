//! Tables and targets, on the terminal and in `docs/benchmarks.md`: both show the same text.

use std::fs;
use std::path::Path;

use crate::Error;
use crate::machine::Facts;
use crate::stats;

/// What a benchmark found.
#[derive(Debug, Default)]
pub struct Report {
    facts: Facts,
    tables: Vec<Table>,
    targets: Vec<Target>,
}

/// A table; the first column is text, the others are figures.
#[derive(Debug)]
pub struct Table {
    title: String,
    rows: Vec<Vec<String>>,
    note: String,
}

/// A figure that we want to reach. Whether it is reached changes no exit code.
#[derive(Debug)]
pub struct Target {
    /// What is wanted, such as `DORA/s against the better Kea, ratio`.
    pub what: String,
    /// Which side of the limit is good.
    pub limit: Limit,
    /// What was measured; `None` where a server was left out or did not get that far.
    pub got: Option<f64>,
}

/// Which side of a limit is good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl Table {
    /// A table with these column heads.
    pub fn new(title: &str, heads: &[&str]) -> Self {
        let rows = vec![heads.iter().map(|&head| head.to_owned()).collect()];
        Self { title: title.to_owned(), rows, note: String::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Adds a remark below the table.
    pub fn note(&mut self, text: &str) {
        self.note = text.to_owned();
    }

    fn markdown(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
        let width = |column| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(|column| width(column).max(3)).collect();
        let mut lines = vec![format!("### {}\n", self.title)];
        for (index, row) in self.rows.iter().enumerate() {
            let cells = widths.iter().enumerate().map(|(column, &width)| match column {
                0 => format!("{:<width$}", cell(row, column)),
                _ => format!("{:>width$}", cell(row, column)),
            });
            lines.push(format!("| {} |", cells.collect::<Vec<_>>().join(" | ")));
            if index == 0 {
                let rule = widths.iter().enumerate().map(|(column, &width)| match column {
                    0 => "-".repeat(width),
                    _ => format!("{}:", "-".repeat(width - 1)),
                });
                lines.push(format!("| {} |", rule.collect::<Vec<_>>().join(" | ")));
            }
        }
        if !self.note.is_empty() {
            lines.push(format!("\n{}", self.note));
        }
        lines.join("\n")
    }
}

impl Target {
    /// Whether it was reached; `None` where it was not measured.
    pub fn met(&self) -> Option<bool> {
        self.got.map(|got| match self.limit {
            Limit::AtLeast(least) => got >= least,
            Limit::AtMost(most) => got <= most,
        })
    }

    fn cells(&self) -> Vec<String> {
        let wanted = match self.limit {
            Limit::AtLeast(least) => format!("≥ {}", stats::spoken(least)),
            Limit::AtMost(most) => format!("≤ {}", stats::spoken(most)),
        };
        let verdict = match self.met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not measured",
        };
        let got = self.got.map_or_else(|| "–".to_owned(), stats::spoken);
        vec![self.what.clone(), wanted, got, verdict.to_owned()]
    }
}

impl Report {
    /// An empty report about a run under these circumstances.
    pub fn new(facts: Facts) -> Self {
        Self { facts, ..Self::default() }
    }

    /// Adds a fact about the run.
    pub fn fact(&mut self, name: &str, value: String) {
        self.facts.push((name.to_owned(), value));
    }

    /// Adds a table.
    pub fn table(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// Adds a target.
    pub fn target(&mut self, what: &str, limit: Limit, got: Option<f64>) {
        self.targets.push(Target { what: what.to_owned(), limit, got });
    }

    /// The report as Markdown that also reads well on a terminal.
    pub fn markdown(&self) -> String {
        let facts = self.facts.iter().map(|(name, value)| format!("- {name}: {value}")).collect::<Vec<_>>();
        let mut parts = vec![facts.join("\n")];
        parts.extend(self.tables.iter().map(Table::markdown));
        if !self.targets.is_empty() {
            let mut table = Table::new("Targets", &["Target", "wanted", "measured", ""]);
            for target in &self.targets {
                table.row(target.cells());
            }
            parts.push(table.markdown());
        }
        parts.join("\n\n")
    }

    /// Puts the report between the lines `<!-- NAME: begin -->` and `<!-- NAME: end -->` of `page`; what else stands
    /// there is kept.
    pub fn write(&self, name: &str, page: &Path) -> Result<(), Error> {
        let text = fs::read_to_string(page).map_err(Error::file(page))?;
        let missing = || Error::Unread { what: page.display().to_string(), wanted: begin(name) };
        let text = replaced(&text, name, &self.markdown()).ok_or_else(missing)?;
        let beside = page.with_extension("md.new");
        fs::write(&beside, text).map_err(Error::file(&beside))?;
        fs::rename(&beside, page).map_err(Error::file(page))
    }
}

fn begin(name: &str) -> String {
    format!("<!-- {name}: begin -->")
}

fn replaced(text: &str, name: &str, body: &str) -> Option<String> {
    let (begin, end) = (begin(name), format!("<!-- {name}: end -->"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n\n{body}\n\n{end}{after}"))
}

/// The figures of the first row of a table that begins with this cell.
#[cfg(test)]
pub(crate) fn cells_of(markdown: &str, first: &str) -> Vec<String> {
    let rows = markdown.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = rows.map(|row| row.split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
    cells.into_iter().find(|cells| cells[0] == first).map_or_else(Vec::new, |cells| cells[1..].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_is_said_and_an_unmeasured_one_too() {
        let verdict = |limit, got| Target { what: String::new(), limit, got }.cells()[3].clone();
        assert_eq!(verdict(Limit::AtLeast(1.0), Some(1.0)), "met");
        assert_eq!(verdict(Limit::AtLeast(1.0), Some(0.99)), "**missed**");
        assert_eq!(verdict(Limit::AtMost(0.3), Some(0.4)), "**missed**");
        assert_eq!(verdict(Limit::AtMost(0.3), Some(f64::NAN)), "**missed**");
        assert_eq!(verdict(Limit::AtMost(0.3), None), "not measured");
    }

    #[test]
    fn tables_line_up() {
        let mut table = Table::new("Speed", &["Server", "DORA/s"]);
        table.row(vec!["kea".to_owned(), "9 755".to_owned()]);
        assert_eq!(
            table.markdown(),
            "### Speed\n\n| Server | DORA/s |\n| ------ | -----: |\n| kea    |  9 755 |"
        );
    }

    #[test]
    fn only_the_own_part_of_the_page_changes() {
        let page = "a\n<!-- dhcp: begin -->\nold\n<!-- dhcp: end -->\nb\n<!-- tftp: begin -->\nt\n<!-- tftp: end -->\n";
        let new = replaced(page, "dhcp", "new").unwrap();
        assert_eq!(
            new,
            "a\n<!-- dhcp: begin -->\n\nnew\n\n<!-- dhcp: end -->\nb\n<!-- tftp: begin -->\nt\n<!-- tftp: end -->\n"
        );
        assert_eq!(replaced(&new, "dhcp", "new").unwrap(), new);
        assert_eq!(replaced(page, "dns", "new"), None);
    }
}
