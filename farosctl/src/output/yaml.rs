//! Writing YAML 1.2, block style.
//!
//! Only what answers need: no anchors, no tags. A text that any reader could take for something else
//! (`no`, `1e3`, `12:30`) stands in double quotes, escaped as JSON does, which YAML reads the same way.

use super::ordered::Ordered;

/// `value` as a document with a final newline.
pub(crate) fn document(value: &Ordered) -> String {
    let mut text = String::new();
    write(value, 0, Position::Line, &mut text);
    text
}

/// Where the next character will stand.
#[derive(Clone, Copy, PartialEq)]
enum Position {
    /// At the beginning of a line, not yet indented.
    Line,
    /// After `key:`.
    Key,
    /// After `- `, which counts as indentation.
    Dash,
}

fn write(value: &Ordered, depth: usize, position: Position, text: &mut String) {
    match value {
        Ordered::Map(entries) if !entries.is_empty() => {
            if position == Position::Key {
                text.push('\n');
            }
            for (index, (key, value)) in entries.iter().enumerate() {
                if index > 0 || position != Position::Dash {
                    indent(depth, text);
                }
                text.push_str(&scalar(key));
                text.push(':');
                write(value, depth + 1, Position::Key, text);
            }
        }
        Ordered::List(items) if !items.is_empty() => {
            if position == Position::Key {
                text.push('\n');
            }
            // Lists below a key need no deeper indentation, but are easier to read with it.
            for (index, item) in items.iter().enumerate() {
                if index > 0 || position != Position::Dash {
                    indent(depth, text);
                }
                text.push_str("- ");
                write(item, depth + 1, Position::Dash, text);
            }
        }
        leaf => {
            if position == Position::Key {
                text.push(' ');
            }
            match leaf {
                Ordered::Null => text.push_str("null"),
                Ordered::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
                Ordered::Number(value) => text.push_str(&value.to_string()),
                Ordered::Text(value) => text.push_str(&scalar(value)),
                Ordered::List(_) => text.push_str("[]"),
                Ordered::Map(_) => text.push_str("{}"),
            }
            text.push('\n');
        }
    }
}

fn indent(depth: usize, text: &mut String) {
    for _ in 0..depth {
        text.push_str("  ");
    }
}

/// A text plain where nobody can mistake it, quoted elsewhere.
fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// Whether `text` may stand without quotes in YAML 1.1 and 1.2 alike and means itself.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let consists = text.chars().all(|c| c.is_ascii_alphanumeric() || " _-./,@()+=;".contains(c));
    begins && consists && !text.ends_with(' ') && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// JSON's escapes, and those characters that YAML counts as line breaks or does not allow raw.
fn quoted(text: &str) -> String {
    let mut shown = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => shown.push_str("\\\""),
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            c if c.is_control() || super::is_invisible(c) => {
                shown.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => shown.push(c),
        }
    }
    shown.push('"');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(json: &str) -> String {
        document(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn maps_and_lists_nest() {
        let text = yaml(r#"{"b":[{"x":1,"k":[]},{"x":{"z":null}}],"a":{},"c":[[1,2],"d"]}"#);
        assert_eq!(
            text,
            "b:\n  - x: 1\n    k: []\n  - x:\n      z: null\na: {}\nc:\n  - - 1\n    - 2\n  - d\n"
        );
    }

    #[test]
    fn what_could_be_mistaken_is_quoted() {
        for text in
            ["no", "NULL", "1", "-", "12:30", "52:54:00:00:08:11", "", "a: b", "#", "é", "a ", "0x1f", "~"]
        {
            assert_eq!(scalar(text), format!("\"{text}\""), "{text}");
        }
        for text in ["cp1", "192 to go", "edge.example.com", "/run/faros", "least-connections"] {
            let quoted = text.starts_with(|c: char| c.is_ascii_digit());
            assert_eq!(scalar(text) != text, quoted, "{text}");
        }
        assert_eq!(scalar("a\nb\u{1b}\u{2028}\"\\"), "\"a\\nb\\u001b\\u2028\\\"\\\\\"");
    }

    #[test]
    fn a_bare_value_is_a_document() {
        assert_eq!(yaml("[]"), "[]\n");
        assert_eq!(yaml("18446744073709551615"), "18446744073709551615\n");
    }
}
