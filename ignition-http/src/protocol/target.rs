//! Request targets: a path that means one file and nothing else, and a query of plain values.

use std::fmt;

/// Most pairs of a query that are looked at; those beyond are ignored.
pub const PAIRS_MAX: usize = 32;
/// Longest value of a query; a longer one counts as absent.
pub const VALUE_BYTES_MAX: usize = 256;

/// A decoded path: its segments, none of them empty, `.` or `..`, and none with a slash, backslash or control
/// character in it. `//a///b/` and `/a/b` are the same path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    segments: Vec<String>,
}

/// A path that cannot mean a file: climbing, control characters, broken escapes, no UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPath;

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the path is not one that can name a file")
    }
}

impl std::error::Error for BadPath {}

impl Path {
    /// Decodes the path of a request target.
    ///
    /// # Errors
    /// [`BadPath`], to be answered with 400.
    pub fn parse(raw: &str) -> Result<Self, BadPath> {
        let rest = raw.strip_prefix('/').ok_or(BadPath)?;
        let mut segments = Vec::new();
        for raw_segment in rest.split('/').filter(|segment| !segment.is_empty()) {
            let segment = decode(raw_segment).ok_or(BadPath)?;
            match segment.as_str() {
                "." => {}
                ".." => return Err(BadPath),
                text if text.chars().any(|c| c.is_control() || matches!(c, '/' | '\\')) => {
                    return Err(BadPath);
                }
                _ => segments.push(segment),
            }
        }
        Ok(Self { segments })
    }

    /// The segments in order.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map(String::as_str)
    }

    /// The path without a leading slash: `rhcos/kernel`.
    pub fn relative(&self) -> String {
        self.segments.join("/")
    }
}

/// The query of a request target, decoded. Of a repeated key the first value counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Decodes `a=1&b=2`. What is no valid escape or too long is left out.
    pub fn parse(raw: Option<&str>) -> Self {
        let pairs = raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).take(PAIRS_MAX);
        let pairs = pairs.filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(&value.replace('+', " "))?;
            (value.len() <= VALUE_BYTES_MAX).then_some((decode(key)?, value))
        });
        Self { pairs: pairs.collect() }
    }

    /// The value of `key`; an empty one counts as absent, as loaders send variables that they do not know.
    pub fn value(&self, key: &str) -> Option<&str> {
        let pair = self.pairs.iter().find(|(found, _)| found == key)?;
        Some(pair.1.as_str()).filter(|value| !value.is_empty())
    }
}

/// Undoes percent-encoding. None: a broken escape, or no UTF-8.
fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        decoded.push((digit()? * 16 + digit()?) as u8);
    }
    String::from_utf8(decoded).ok()
}

/// Encodes a relative path for a URL; slashes stay.
pub fn encode_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slashes_are_tolerated_and_nothing_else_is_tidied() {
        for raw in ["/rhcos/kernel", "//rhcos//kernel", "/rhcos/kernel/", "/./rhcos/%6bernel"] {
            assert_eq!(Path::parse(raw).unwrap().relative(), "rhcos/kernel", "{raw}");
        }
        assert_eq!(Path::parse("/").unwrap().relative(), "");
        assert_eq!(Path::parse("/a/..;/b").unwrap().relative(), "a/..;/b");
    }

    #[test]
    fn paths_that_climb_or_deceive_are_refused() {
        for raw in [
            "/../etc/passwd",
            "/a/../b",
            "/%2e%2e/a",
            "/.%2e/a",
            "/a%00b",
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/a%0ab",
            "/%zz",
            "/%4",
            "/%",
            "/%ff",
            "/%c0%ae%c0%ae/a",
            "a",
            "*",
            "",
        ] {
            assert_eq!(Path::parse(raw), Err(BadPath), "{raw}");
        }
    }

    #[test]
    fn the_first_value_counts_and_an_empty_one_is_none() {
        let query = Query::parse(Some("mac=52-54&mac=evil&uuid=&x=%zz&name=a+b%26"));
        assert_eq!(query.value("mac"), Some("52-54"));
        assert_eq!(query.value("uuid"), None);
        assert_eq!(query.value("x"), None);
        assert_eq!(query.value("name"), Some("a b&"));
    }

    proptest! {
        #[test]
        fn no_path_ever_leaves_the_root(raw in "/(\\.\\.|%2[eEfF]|\\.|/|%5c|[a-z]|%00){0,20}") {
            if let Ok(path) = Path::parse(&raw) {
                for segment in path.segments() {
                    prop_assert!(segment != ".." && !segment.contains(['/', '\\', '\0']), "{segment:?}");
                }
            }
        }

        #[test]
        fn what_is_encoded_decodes_to_itself(path in "[ -~äß]{1,20}") {
            prop_assume!(!path.contains(['/', '\\']) && path != "." && path != "..");
            let parsed = Path::parse(&format!("/{}", encode_path(&path))).unwrap();
            prop_assert_eq!(parsed.relative(), path);
        }
    }
}
