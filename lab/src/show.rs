//! What a rehearsal shows while it runs, on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use faros_common::clock;

use crate::journey::{Journey, Stage, table};

/// A live table on a terminal, a line per stage elsewhere, nothing if quiet.
pub(crate) struct Show {
    way: Way,
}

enum Way {
    Nothing,
    Lines,
    Terminal { drawn_lines: usize, drawn_at: Option<Instant> },
}

/// How often the live table is drawn anew.
const REDRAW: Duration = Duration::from_millis(200);

impl Show {
    pub(crate) fn new(quiet: bool) -> Self {
        let way = if quiet {
            Way::Nothing
        } else if std::io::stderr().is_terminal() {
            Way::Terminal { drawn_lines: 0, drawn_at: None }
        } else {
            Way::Lines
        };
        Self { way }
    }

    /// A remark before the nodes start.
    pub(crate) fn say(&mut self, text: &str) {
        if !matches!(self.way, Way::Nothing) {
            print(&format!("{text}\n"));
        }
    }

    /// A node has reached a stage.
    pub(crate) fn stage(&mut self, journey: &Journey, stage: Stage) {
        if let (Way::Lines, Some(reached)) = (&self.way, journey.stages.get(&stage)) {
            let address = reached.address.map(|address| format!(" {address}")).unwrap_or_default();
            let name = &journey.node;
            print(&format!("{:8.2} s  {name:<16} {:<10}{address}\n", reached.secs, stage.name()));
        }
    }

    /// A node goes no further.
    pub(crate) fn stall(&mut self, journey: &Journey) {
        if let (Way::Lines, Some(stall)) = (&self.way, &journey.stall) {
            print(&format!(
                "    stalled  {:<16} before {}: {}\n",
                journey.node,
                stall.stage.name(),
                stall.why
            ));
        }
    }

    /// Draws the live table anew if it is time.
    pub(crate) fn refresh(&mut self, journeys: &[Journey]) {
        let Way::Terminal { drawn_lines, drawn_at } = &mut self.way else { return };
        let now = clock::now();
        if drawn_at.is_some_and(|at| now.saturating_duration_since(at) < REDRAW) {
            return;
        }
        let text = table(journeys);
        // Up to where the last table began, and away with it.
        let up = if *drawn_lines > 0 { format!("\x1b[{drawn_lines}A\x1b[J") } else { String::new() };
        print(&format!("{up}{text}"));
        *drawn_lines = text.lines().count();
        *drawn_at = Some(now);
    }

    /// Takes the live table away: the final one follows.
    pub(crate) fn end(&mut self) {
        if let Way::Terminal { drawn_lines, drawn_at } = &mut self.way
            && *drawn_lines > 0
        {
            print(&format!("\x1b[{drawn_lines}A\x1b[J"));
            (*drawn_lines, *drawn_at) = (0, None);
        }
    }
}

fn print(text: &str) {
    // Whoever closed the stream does not want to see it.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
