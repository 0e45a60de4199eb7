//! What a value may look like, as data: the source of the JSON Schema and of the reference page.

/// What a value may look like.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// A string of some form.
    Text { form: &'static str },
    /// A whole number between two bounds, inclusive.
    Integer { min: i64, max: i64 },
    /// `true` or `false`.
    Boolean,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// An array.
    List(Box<Shape>),
    /// A value, or an array of them.
    OneOrMany(Box<Shape>),
    /// A table with fixed keys.
    Table(Table),
    /// A table whose keys are names of that form.
    Named { form: &'static str, of: Box<Shape> },
    /// One of several shapes.
    Either(Vec<Shape>),
}

impl Shape {
    /// The shape in a few words: `list of MAC addresses`.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Text { form } => (*form).to_owned(),
            Self::Integer { min, max } => format!("whole number, {min} to {max}"),
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::Choice(words) => {
                words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ")
            }
            Self::List(of) => format!("list of: {}", of.words()),
            Self::OneOrMany(of) => format!("{}; one, or a list", of.words()),
            Self::Table(table) => format!(
                "table of {}",
                table.keys.iter().map(|key| format!("`{}`", key.name)).collect::<Vec<_>>().join(", ")
            ),
            Self::Named { form, of } => format!("table by {form} of: {}", of.words()),
            Self::Either(shapes) => shapes.iter().map(Self::words).collect::<Vec<_>>().join(", or "),
        }
    }

    /// The tables inside, with whether each repeats (`[[…]]`) and the name part of its path (`*`).
    pub(crate) fn table(&self) -> Option<(&Table, &'static str)> {
        match self {
            Self::Table(table) => Some((table, "")),
            Self::List(of) => of.table().map(|(table, _)| (table, "[]")),
            Self::OneOrMany(of) => of.table(),
            Self::Named { of, .. } => of.table().map(|(table, _)| (table, ".NAME")),
            Self::Either(shapes) => shapes.iter().find_map(Self::table),
            _ => None,
        }
    }
}

/// A table with fixed keys.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// What it is for.
    pub(crate) doc: String,
    /// Its keys, in the order of the reference.
    pub(crate) keys: Vec<Key>,
}

/// A key of a table.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) doc: String,
    pub(crate) required: bool,
    /// What holds where the key is left out, in words or as a value.
    pub(crate) default: Option<&'static str>,
    pub(crate) shape: Shape,
}

/// A doc comment's lines as one paragraph each, without the leading blanks.
pub(crate) fn paragraph(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_owned()
}
