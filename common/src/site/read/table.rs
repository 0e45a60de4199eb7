//! The one definition of a table, and reading by it.

use toml::de::DeTable;

use super::{At, Findings, Input, Spot, Value, quoted};

/// Two words are taken for one another from this likeness on (Jaro-Winkler, 0 to 1).
const LIKENESS_MIN: f64 = 0.72;

/// Defines a table of the site file once: its keys with their documentation, whether they are required,
/// their types, and what holds without them.
///
/// Makes the raw struct, whose fields are all `Option<At<…>>` so that one mistake hides no other, and its
/// [`Value`](super::Value), from which reading, unknown keys, the JSON Schema and the reference page follow.
macro_rules! table {
    (
        $(#[doc = $doc:literal])*
        $name:ident {
            $(
                $(#[doc = $key_doc:literal])*
                $key:literal $field:ident: $need:ident $kind:ty $(= $default:literal)?;
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name {
            /// Where the table stands.
            #[allow(dead_code, reason = "not every table has findings of its own")]
            pub(crate) spot: $crate::site::read::Spot,
            $(
                $(#[doc = $key_doc])*
                pub(crate) $field: Option<$crate::site::read::At<$kind>>,
            )*
        }

        impl $crate::site::read::Value for $name {
            fn read(
                input: $crate::site::read::Input<'_>,
                found: &mut $crate::site::read::Findings,
            ) -> Option<Self> {
                let table = $crate::site::read::TableReader::open(&input, &[$($key),*], found)?;
                Some(Self {
                    spot: input.spot.clone(),
                    $($field: table.$need($key, found),)*
                })
            }

            fn shape() -> $crate::site::read::Shape {
                $crate::site::read::Shape::Table($crate::site::read::Table {
                    doc: $crate::site::read::paragraph(&[$($doc),*]),
                    keys: vec![$(
                        $crate::site::read::Key {
                            name: $key,
                            doc: $crate::site::read::paragraph(&[$($key_doc),*]),
                            required: stringify!($need) == "required",
                            default: None$(.or(Some($default)))?,
                            shape: <$kind as $crate::site::read::Value>::shape(),
                        }
                    ),*],
                })
            }
        }
    };
}
pub(crate) use table;

/// A table while its keys are taken out.
#[derive(Debug)]
pub(crate) struct TableReader<'a> {
    table: &'a DeTable<'a>,
    spot: &'a Spot,
}

impl<'a> TableReader<'a> {
    /// Opens a table that may have `keys`, and reports all others in it.
    pub(crate) fn open(input: &'a Input<'a>, keys: &[&str], found: &mut Findings) -> Option<Self> {
        let Some(table) = input.value.as_table() else {
            input.expected("a table", found);
            return None;
        };
        let unknown = table.keys().filter(|key| !keys.contains(&key.get_ref().as_ref()));
        for key in unknown {
            let spot = Spot { offset: Some(key.span().start), key: input.spot.path_of(key.get_ref()) };
            let full = found.is_full();
            let finding = found.error(&spot, format!("unknown key {}", quoted(key.get_ref())));
            if !full {
                finding.help(match closest(key.get_ref(), keys) {
                    Some(like) => format!("did you mean `{like}`? accepted here: {}", keys.join(", ")),
                    None => format!("accepted here: {}", keys.join(", ")),
                });
            }
        }
        Some(Self { table, spot: &input.spot })
    }

    /// The value of a key that must be there.
    pub(crate) fn required<T: Value>(&self, key: &str, found: &mut Findings) -> Option<At<T>> {
        if !self.table.contains_key(key) {
            let what = if self.spot.key.is_empty() { "this file" } else { "this table" };
            let form = T::shape().words();
            found
                .missing(&self.spot.missing(key), format!("{what} needs the key `{key}`"))
                .help(format!("add {key} = …: {form}"));
            return None;
        }
        self.optional(key, found)
    }

    /// The value of a key that may be left out.
    pub(crate) fn optional<T: Value>(&self, key: &str, found: &mut Findings) -> Option<At<T>> {
        let value = self.table.get(key)?;
        let spot = Spot { offset: Some(value.span().start), key: self.spot.path_of(key) };
        At::read(Input { value: value.get_ref(), spot }, found)
    }
}

/// The one of `known` that `word` was probably meant to be.
pub(crate) fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word: String = word.chars().take(64).flat_map(char::to_lowercase).collect();
    let likeness = |known: &str| {
        // Distance decides short words, where Jaro-Winkler sees likeness everywhere.
        let distance = strsim::osa_distance(&word, known);
        let winkler = strsim::jaro_winkler(&word, known);
        if distance <= 1.max(known.len() / 3) {
            // Among equally near words the one with the same letters is meant, and then the one as long.
            let foreign = known.chars().any(|letter| !word.contains(letter));
            let stretch = word.chars().count().abs_diff(known.len());
            10.0 - distance as f64 - f64::from(u8::from(foreign)) / 4.0 - stretch as f64 / 10.0
        } else {
            winkler
        }
    };
    known
        .iter()
        .map(|&known| (likeness(known), known))
        .filter(|&(likeness, _)| likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        let keys = ["interface", "members", "address", "address6", "vip", "pool", "manage"];
        for (slip, meant) in [
            ("adress", "address"),
            ("Address", "address"),
            ("memebrs", "members"),
            ("vpi", "vip"),
            ("interfce", "interface"),
        ] {
            assert_eq!(closest(slip, &keys), Some(meant), "{slip}");
        }
        assert_eq!(closest("zzz", &keys), None);
    }
}
