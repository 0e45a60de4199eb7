//! Master file text cut into words (RFC 1035 section 5.1).

use super::TextError;

/// A word or a quoted string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// As it was written, without its quotation marks.
    pub(super) raw: String,
    /// With its escapes resolved.
    pub(super) octets: Vec<u8>,
    is_quoted: bool,
}

impl Word {
    /// A decimal number without a sign.
    pub(super) fn number(&self) -> Option<u32> {
        let is_plain = !self.raw.is_empty() && self.raw.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| self.raw.parse().ok())?
    }

    /// Whether it announces data in the form of RFC 3597.
    pub(super) fn is_generic_mark(&self) -> bool {
        !self.is_quoted && self.raw == "\\#"
    }

    /// For messages; not longer than a line.
    pub(super) fn text(&self) -> String {
        self.raw.chars().take(60).collect()
    }
}

/// Reads words off a text.
pub(super) struct Scan<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
}

impl<'t> Scan<'t> {
    /// All words of a text.
    pub(super) fn words(text: &'t str) -> Result<Vec<Word>, TextError> {
        let mut scan = Self { rest: text.chars().peekable() };
        let mut words = Vec::new();
        loop {
            while scan.rest.next_if(char::is_ascii_whitespace).is_some() {}
            match scan.rest.peek() {
                None => return Ok(words),
                Some(_) => words.push(scan.word()?),
            }
        }
    }

    /// The next word. A quoted part may also stand inside of one, as in `alpn="h2,h3"`.
    fn word(&mut self) -> Result<Word, TextError> {
        let mut word =
            Word { raw: String::new(), octets: Vec::new(), is_quoted: self.rest.peek() == Some(&'"') };
        let mut in_quotes = false;
        while let Some(&c) = self.rest.peek() {
            if !in_quotes && c.is_ascii_whitespace() {
                break;
            }
            self.rest.next();
            match c {
                '"' => {
                    in_quotes = !in_quotes;
                    if !in_quotes && word.is_quoted {
                        return Ok(word);
                    }
                }
                '\\' => self.escape(&mut word)?,
                ';' if !in_quotes => return Err(TextError::Comment),
                '(' | ')' if !in_quotes => return Err(TextError::Parenthesis),
                c => {
                    word.raw.push(c);
                    word.octets.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
        if in_quotes { Err(TextError::Quote) } else { Ok(word) }
    }

    fn escape(&mut self, word: &mut Word) -> Result<(), TextError> {
        let first = self.rest.next().ok_or(TextError::Escape)?;
        word.raw.extend(['\\', first]);
        let Some(mut number) = first.to_digit(10) else {
            word.octets.extend_from_slice(first.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        };
        for _ in 0..2 {
            let digit = self.rest.next().ok_or(TextError::Escape)?;
            word.raw.push(digit);
            number = number * 10 + digit.to_digit(10).ok_or(TextError::Escape)?;
        }
        word.octets.push(u8::try_from(number).map_err(|_| TextError::Escape)?);
        Ok(())
    }
}
