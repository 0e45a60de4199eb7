//! A value of the file with its place, and how typed values are read from it.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::{Findings, Shape, Spot, quoted};

/// A list longer than this is refused; no site has so many of anything.
const LIST_MAX: usize = 4096;

/// A value of the file, with its place.
#[derive(Clone, Debug)]
pub(crate) struct Input<'a> {
    pub(crate) value: &'a DeValue<'a>,
    pub(crate) spot: Spot,
}

impl<'a> Input<'a> {
    /// The text, or an error that `form` was expected.
    pub(crate) fn text(&self, form: &str, found: &mut Findings) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.expected(form, found);
        }
        text
    }

    /// The error that `form` was expected here.
    pub(crate) fn expected(&self, form: &str, found: &mut Findings) {
        let help = match (self.value, form.starts_with("a list") || form.starts_with("a table")) {
            (DeValue::String(_), false) => "write it without quotation marks",
            (DeValue::Table(_), _) if form.contains("[[") => "double the brackets around its name",
            (DeValue::Array(_), false) => "write it without brackets",
            (DeValue::Table(_), false) => "write a single value",
            (_, true) if form.starts_with("a table") => "open it as [table], or write { key = value }",
            (_, true) => "put it in brackets",
            (_, false) => "put it in quotation marks",
        };
        found.error(&self.spot, format!("{} where {form} is expected", self.description())).help(help);
    }

    /// The value in a few words: `the number 5`, `a list`.
    pub(crate) fn description(&self) -> String {
        match self.value {
            DeValue::String(text) => format!("the text {}", quoted(text)),
            DeValue::Integer(number) => format!("the number {}", cut(number.as_str())),
            DeValue::Float(number) => format!("the number {}", cut(number.as_str())),
            DeValue::Boolean(truth) => truth.to_string(),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }
}

fn cut(number: &str) -> &str {
    number.get(..24).unwrap_or(number)
}

/// Something that can be read from the file, and described.
pub(crate) trait Value: Sized {
    /// Reads it; reports what is wrong and then gives none.
    fn read(input: Input<'_>, found: &mut Findings) -> Option<Self>;
    /// What it may look like.
    fn shape() -> Shape;
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) spot: Spot,
}

impl<T: Value> At<T> {
    pub(crate) fn read(input: Input<'_>, found: &mut Findings) -> Option<Self> {
        let spot = input.spot.clone();
        T::read(input, found).map(|value| Self { value, spot })
    }
}

impl<T> std::ops::Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A list, each entry with its place.
#[derive(Clone, Debug)]
pub(crate) struct List<T>(pub(crate) Vec<At<T>>);

impl<T> std::ops::Deref for List<T> {
    type Target = [At<T>];

    fn deref(&self) -> &[At<T>] {
        &self.0
    }
}

impl<T: Value> Value for List<T> {
    fn read(input: Input<'_>, found: &mut Findings) -> Option<Self> {
        let Some(array) = input.value.as_array() else {
            let form = match T::shape() {
                Shape::Table(_) => format!("a list of tables, [[{}]],", input.spot.key),
                _ => "a list, [ … ],".to_owned(),
            };
            input.expected(&form, found);
            return None;
        };
        if array.len() > LIST_MAX {
            found.error(&input.spot, format!("{} entries, more than the {LIST_MAX} allowed", array.len()));
            return None;
        }
        let entries = array.iter().enumerate().filter_map(|(index, entry)| {
            let spot = Spot { offset: Some(entry.span().start), key: format!("{}[{index}]", input.spot.key) };
            At::read(Input { value: entry.get_ref(), spot }, found)
        });
        Some(Self(entries.collect()))
    }

    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<At<T>>);

impl<T> std::ops::Deref for OneOrMany<T> {
    type Target = [At<T>];

    fn deref(&self) -> &[At<T>] {
        &self.0
    }
}

impl<T: Value> Value for OneOrMany<T> {
    fn read(input: Input<'_>, found: &mut Findings) -> Option<Self> {
        if input.value.is_array() {
            List::read(input, found).map(|list| Self(list.0))
        } else {
            At::read(input, found).map(|one| Self(vec![one]))
        }
    }

    fn shape() -> Shape {
        Shape::OneOrMany(Box::new(T::shape()))
    }
}

/// A table whose keys are names that the user chooses.
#[derive(Clone, Debug)]
pub(crate) struct Named<T>(pub(crate) BTreeMap<String, At<T>>);

impl<T: Value> Value for Named<T> {
    fn read(input: Input<'_>, found: &mut Findings) -> Option<Self> {
        let Some(table) = input.value.as_table() else {
            input.expected("a table", found);
            return None;
        };
        let entries = table.iter().filter_map(|(name, entry)| {
            // A table's own span is its header, which says more than the name inside it.
            let offset = if entry.get_ref().is_table() { entry.span() } else { name.span() }.start;
            let spot = Spot { offset: Some(offset), key: input.spot.path_of(name.get_ref()) };
            let value = At::read(Input { value: entry.get_ref(), spot }, found)?;
            Some((name.get_ref().to_string(), value))
        });
        Some(Self(entries.collect()))
    }

    fn shape() -> Shape {
        Shape::Named { form: "name", of: Box::new(T::shape()) }
    }
}

impl Value for bool {
    fn read(input: Input<'_>, found: &mut Findings) -> Option<Self> {
        let truth = input.value.as_bool();
        if truth.is_none() {
            input.expected("true or false", found);
        }
        truth
    }

    fn shape() -> Shape {
        Shape::Boolean
    }
}
