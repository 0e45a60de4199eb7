//! Aligned columns.

use super::{Paint, Tone, harmless};

/// One cell: text and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell in the colour of `tone`.
    pub(crate) fn new(tone: Tone, text: impl AsRef<str>) -> Self {
        Self { text: harmless(text.as_ref()), tone }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(Tone::Plain, text)
    }
}

/// A table under construction.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these column titles.
    pub(crate) fn new<const N: usize>(head: [&'static str; N]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row of as many cells as there are titles.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.head.len());
        self.rows.push(Vec::from(cells));
    }

    /// The table as text. An empty cell shows a dash; columns in which nothing stands are left out.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let shown: Vec<usize> = (0..self.head.len())
            .filter(|&column| {
                self.rows.is_empty() || self.rows.iter().any(|row| !row[column].text.is_empty())
            })
            .collect();
        let width = |column: usize| {
            let widest = self.rows.iter().map(|row| row[column].text.chars().count().max(1)).max();
            widest.unwrap_or(0).max(self.head[column].len())
        };
        let mut text = String::new();
        let mut line = |cells: &mut dyn Iterator<Item = (usize, &str, Tone)>| {
            let mut pending = 0;
            for (column, cell, tone) in cells {
                let cell = if cell.is_empty() { "-" } else { cell };
                text.extend(std::iter::repeat_n(' ', pending));
                text.push_str(&paint.tone(tone, cell));
                pending = width(column) - cell.chars().count() + 2;
            }
            text.push('\n');
        };
        line(&mut shown.iter().map(|&column| (column, self.head[column], Tone::Strong)));
        for row in &self.rows {
            line(&mut shown.iter().map(|&column| (column, row[column].text.as_str(), row[column].tone)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_lines_have_no_trailing_blanks() {
        let mut table = Table::new(["NODE", "STATE", "NEVER", "AGE"]);
        table.row(["cp1".into(), Cell::new(Tone::Good, "disk"), "".into(), "3 min".into()]);
        table.row(["bootstrap".into(), "".into(), "".into(), "".into()]);
        assert_eq!(
            table.render(Paint::default()),
            "NODE       STATE  AGE\ncp1        disk   3 min\nbootstrap  -      -\n"
        );
    }

    #[test]
    fn colour_does_not_disturb_the_alignment() {
        let mut table = Table::new(["A", "B"]);
        table.row([Cell::new(Tone::Bad, "xx"), "y".into()]);
        let bare = table.render(Paint::default());
        let coloured = table.render(Paint { colour: true });
        assert_eq!(
            coloured.replace("\u{1b}[31m", "").replace("\u{1b}[1m", "").replace("\u{1b}[0m", ""),
            bare
        );
    }
}
