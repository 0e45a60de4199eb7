//! What a command shows: tables for people, JSON and YAML for programs.

pub(crate) mod ordered;
pub(crate) mod table;
pub(crate) mod time;
mod yaml;

use clap::ValueEnum;
use serde::Serialize;

use ordered::Ordered;

/// How answers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: aligned columns, times relative to now.
    #[default]
    Table,
    /// One JSON document (event streams: one object per line).
    Json,
    /// One YAML document (event streams: one document per event).
    Yaml,
}

/// Something that people can read.
pub(crate) trait Human {
    /// The text, with its final newline.
    fn human(&self, paint: Paint) -> String;
}

/// `value` in `format`, with a final newline. Keys stand in the order of the type's fields.
pub(crate) fn render<T: Serialize + Human>(value: &T, format: Format, paint: Paint) -> String {
    match format {
        Format::Table => value.human(paint),
        Format::Json => json(value),
        Format::Yaml => yaml(value),
    }
}

/// `value` as an indented JSON document.
pub(crate) fn json(value: &impl Serialize) -> String {
    match serde_json::to_string_pretty(value) {
        Ok(text) => text + "\n",
        Err(error) => unpresentable(&error),
    }
}

/// `value` as a YAML document.
pub(crate) fn yaml(value: &impl Serialize) -> String {
    let ordered = serde_json::to_string(value).and_then(|text| serde_json::from_str::<Ordered>(&text));
    match ordered {
        Ok(ordered) => yaml::document(&ordered),
        Err(error) => unpresentable(&error),
    }
}

/// Only a map with keys that are no text comes here, which none of our types has.
fn unpresentable(error: &serde_json::Error) -> String {
    format!("{}\n", serde_json::json!({ "error": format!("cannot be shown: {error}") }))
}

/// Whether and how text is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paint {
    /// Whether the reader is a terminal that shows colours.
    pub(crate) colour: bool,
}

/// The meaning of a piece of text, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Warning,
    Bad,
    Strong,
    Faint,
}

impl Paint {
    /// `text` in the colour of `tone`.
    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "31",
            Tone::Strong => "1",
            Tone::Faint => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// `text` with everything that could steer a terminal made visible: host names and class identifiers come
/// from machines that nobody vouches for.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_invisible(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Characters that reorder or hide what stands around them.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_only_for_those_who_see_them() {
        assert_eq!(Paint { colour: true }.tone(Tone::Bad, "down"), "\u{1b}[31mdown\u{1b}[0m");
        assert_eq!(Paint { colour: false }.tone(Tone::Bad, "down"), "down");
        assert_eq!(Paint { colour: true }.tone(Tone::Good, ""), "");
    }

    #[test]
    fn a_host_name_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\nc\u{202e}d é"), "a\\u{1b}[2Jb\\nc\\u{202e}d é");
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_shown_is_one_harmless_line(text in "\\PC*|.*|[\\x00-\\x9f\u{2028}\u{202e}]*") {
            let shown = harmless(&text);
            proptest::prop_assert!(!shown.chars().any(|c| c.is_control() || is_invisible(c)));
            let quoted = yaml(&text);
            proptest::prop_assert_eq!(quoted.matches('\n').count(), 1);
        }

        #[test]
        fn json_in_yaml_is_the_same_value(text in ".*") {
            // What needs quotes is written as JSON writes it, so JSON reads it back.
            let written = yaml(&text);
            let line = written.trim_end_matches('\n');
            let read = if line.starts_with('"') { serde_json::from_str(line).unwrap() } else { line.to_owned() };
            proptest::prop_assert_eq!(read, text);
        }
    }

    #[test]
    fn keys_keep_the_order_of_the_fields() {
        #[derive(Serialize)]
        struct Z {
            zebra: u8,
            ant: u8,
        }
        assert_eq!(yaml(&Z { zebra: 1, ant: 2 }), "zebra: 1\nant: 2\n");
        assert_eq!(json(&Z { zebra: 1, ant: 2 }), "{\n  \"zebra\": 1,\n  \"ant\": 2\n}\n");
    }
}
