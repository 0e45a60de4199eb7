//! `{placeholders}` in a profile's kernel arguments.

use std::collections::BTreeMap;

/// The values that a node's placeholders stand for; a key without a value is known but not set here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<&'static str, Option<String>>);

impl Values {
    /// Gives `key` its value.
    pub fn set(&mut self, key: &'static str, value: Option<impl Into<String>>) {
        self.0.insert(key, value.map(Into::into));
    }

    /// The value of `key`, if it has one.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_deref()
    }

    fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }
}

/// Why a template cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// No placeholder has this name.
    Unknown {
        /// The name in the braces.
        name: String,
        /// All names that there are.
        known: Vec<&'static str>,
    },
    /// The node lacks what the placeholder stands for.
    Unset {
        /// The name in the braces.
        name: String,
    },
    /// A brace without its partner; a literal brace is written twice.
    Unbalanced,
    /// A value that no kernel argument can carry: spaces, quotes, control characters.
    Unfit {
        /// The name in the braces.
        name: String,
    },
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown { name, known } => {
                write!(f, "there is no placeholder {{{name}}}: known are {{{}}}", known.join("} {"))
            }
            Self::Unset { name } => write!(f, "{{{name}}} is used, but the node has none"),
            Self::Unbalanced => f.write_str("a brace has no partner; a literal one is written twice: {{ or }}"),
            Self::Unfit { name } => {
                write!(f, "the value of {{{name}}} has a space, quote, backslash or control character in it")
            }
        }
    }
}

impl std::error::Error for TemplateError {}

/// One piece of a template.
enum Piece<'a> {
    Text(&'a str),
    Placeholder(&'a str),
}

/// The names of the placeholders in `template`, as far as it is well-formed.
pub fn placeholders(template: &str) -> Vec<&str> {
    let pieces = pieces(template).filter_map(Result::ok);
    pieces
        .filter_map(|piece| match piece {
            Piece::Placeholder(name) => Some(name),
            Piece::Text(_) => None,
        })
        .collect()
}

/// `template` with each `{key}` replaced by its value, and `{{`, `}}` by single braces. Values are not
/// looked at for placeholders again.
///
/// # Errors
/// The first thing that is wrong, see [`TemplateError`].
pub fn expand(template: &str, values: &Values) -> Result<String, TemplateError> {
    let mut text = String::with_capacity(template.len() + 128);
    for piece in pieces(template) {
        match piece? {
            Piece::Text(literal) => text.push_str(literal),
            Piece::Placeholder(name) => {
                let value = values.0.get(name).ok_or_else(|| TemplateError::Unknown {
                    name: name.to_owned(),
                    known: values.keys().collect(),
                })?;
                let value = value.as_deref().ok_or_else(|| TemplateError::Unset { name: name.to_owned() })?;
                if value.chars().any(|c| c.is_whitespace() || c.is_control() || "\"'\\`$".contains(c)) {
                    return Err(TemplateError::Unfit { name: name.to_owned() });
                }
                text.push_str(value);
            }
        }
    }
    Ok(text)
}

fn pieces(template: &str) -> impl Iterator<Item = Result<Piece<'_>, TemplateError>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, end) = match rest.find(['{', '}']) {
            None => (Ok(Piece::Text(rest)), rest.len()),
            Some(0) if rest.starts_with("{{") || rest.starts_with("}}") => (Ok(Piece::Text(&rest[..1])), 2),
            Some(0) => match rest[1..].find(['{', '}']) {
                Some(length) if rest.starts_with('{') && rest[1 + length..].starts_with('}') => {
                    (Ok(Piece::Placeholder(&rest[1..=length])), length + 2)
                }
                _ => (Err(TemplateError::Unbalanced), rest.len()),
            },
            Some(start) => (Ok(Piece::Text(&rest[..start])), start),
        };
        rest = &rest[end..];
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> Values {
        let mut values = Values::default();
        values.set("name", Some("cp1"));
        values.set("disk", None::<String>);
        values.set("odd", Some("{name}"));
        values.set("unfit", Some("a b"));
        values
    }

    #[test]
    fn placeholders_are_replaced_once() {
        for (template, expected) in [
            ("a={name} b={name}", "a=cp1 b=cp1"),
            ("", ""),
            ("{{name}}", "{name}"),
            ("{{{name}}}", "{cp1}"),
            ("{odd}", "{name}"),
            ("ds=nocloud;s=http://{name}/", "ds=nocloud;s=http://cp1/"),
        ] {
            assert_eq!(expand(template, &values()).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn what_cannot_be_filled_in_is_named() {
        let error = |template| expand(template, &values()).unwrap_err();
        assert!(matches!(error("{nmae}"), TemplateError::Unknown { name, .. } if name == "nmae"));
        assert!(matches!(error("{disk}"), TemplateError::Unset { name } if name == "disk"));
        assert!(matches!(error("{unfit}"), TemplateError::Unfit { .. }));
        for template in ["{", "}", "a{name", "a}b", "{na{me}", "}}}"] {
            assert_eq!(error(template), TemplateError::Unbalanced, "{template}");
        }
        assert_eq!(placeholders("{name} {{x}} {disk}"), ["name", "disk"]);
    }

    proptest! {
        #[test]
        fn doubled_braces_are_the_text_itself(text in "[a-z{}= ]{0,30}") {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(expand(&doubled, &values()), Ok(text));
        }
    }
}
