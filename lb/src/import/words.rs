//! Lines and their words: quoting, escapes and comments (configuration manual, section 2.2).

use super::Findings;

/// Words of a line beyond it are an error in HAProxy too.
const WORDS_MAX: usize = 256;

/// A line that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    /// One at least.
    pub(super) words: Vec<String>,
}

impl Line {
    pub(super) fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// The words from `index` on.
    pub(super) fn rest(&self, index: usize) -> &[String] {
        self.words.get(index..).unwrap_or_default()
    }
}

/// Why a line cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    OpenQuote,
    Escape,
    Variable,
    TooMany,
}

/// All lines that say something; those that cannot be read are found and left out.
pub(super) fn lines(text: &str, found: &mut Findings) -> Vec<Line> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        match words(line) {
            Ok(words) if words.is_empty() => {}
            Ok(words) if words[0].starts_with('.') => found.unsupported(
                number,
                format!("the directive {} is decided when HAProxy starts", super::quoted(&words[0])),
                "write out the lines that hold here",
            ),
            Ok(words) => lines.push(Line { number, words }),
            Err(flaw) => {
                let (what, advice) = match flaw {
                    Flaw::OpenQuote => ("a quotation mark is not closed", "close it"),
                    Flaw::Escape => ("a backslash before nothing that it could escape", "double it"),
                    Flaw::Variable => (
                        "an environment variable, whose value is HAProxy's",
                        "write out the value that it has",
                    ),
                    Flaw::TooMany => ("more words than HAProxy reads", "split the line"),
                };
                found.unsupported(number, what, advice);
            }
        }
    }
    lines
}

fn words(line: &str) -> Result<Vec<String>, Flaw> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '#' => break,
            ' ' | '\t' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next().ok_or(Flaw::OpenQuote)? {
                        '\'' => break,
                        character => word.push(character),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next().ok_or(Flaw::OpenQuote)? {
                        '"' => break,
                        '\\' => word.push(escaped(&mut characters)?),
                        '$' => return Err(Flaw::Variable),
                        character => word.push(character),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(escaped(&mut characters)?),
            character => word.get_or_insert_default().push(character),
        }
        if words.len() > WORDS_MAX {
            return Err(Flaw::TooMany);
        }
    }
    words.extend(word);
    Ok(words)
}

fn escaped(characters: &mut impl Iterator<Item = char>) -> Result<char, Flaw> {
    match characters.next().ok_or(Flaw::Escape)? {
        'n' => Ok('\n'),
        'r' => Ok('\r'),
        't' => Ok('\t'),
        'x' => {
            let mut digit = || characters.next().and_then(|digit| digit.to_digit(16)).ok_or(Flaw::Escape);
            let code = digit()? * 16 + digit()?;
            char::from_u32(code).ok_or(Flaw::Escape)
        }
        character => Ok(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_as_the_manual_says() {
        let cut = |line| words(line).unwrap();
        assert_eq!(cut("  server a\t1.2.3.4:80 # check"), ["server", "a", "1.2.3.4:80"]);
        assert_eq!(
            cut(r#"http-check expect string "not ready\" #" x"#),
            ["http-check", "expect", "string", "not ready\" #", "x"]
        );
        assert_eq!(cut(r"a\ b '$HOME \' c\#d \x41 ''"), ["a b", "$HOME \\", "c#d", "A", ""]);
        assert!(cut("# nothing").is_empty() && cut("").is_empty());
        assert_eq!(words("bind \"${ADDRESS}:80\""), Err(Flaw::Variable));
        assert_eq!(words("a \"b"), Err(Flaw::OpenQuote));
        assert_eq!(words("a \\"), Err(Flaw::Escape));
        assert_eq!(words("a \\xg0"), Err(Flaw::Escape));
    }
}
