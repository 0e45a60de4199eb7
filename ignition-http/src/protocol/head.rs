//! Request heads, read more strictly than the HTTP library does (RFC 9112).
//!
//! Whatever two implementations could read in two ways is refused before it reaches the library: bare line
//! feeds, folded lines, repeated or odd lengths, bodies where none belong. A refused head ends the connection,
//! because after it nobody can say for certain where the next one begins.

use std::fmt;

/// Longest head, request line included. Beyond it: 431.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Longest request target. Beyond it: 414.
pub const TARGET_BYTES_MAX: usize = 4096;
/// Longest method. Beyond it: 400.
pub const METHOD_BYTES_MAX: usize = 16;
/// Most header fields. Beyond it: 431.
pub const FIELDS_MAX: usize = 64;
/// Longest body, which only a report may have. Beyond it: 413.
pub const BODY_BYTES_MAX: u64 = 64 * 1024;

/// Why a head is refused; the connection is closed after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Not the syntax of RFC 9112: bare CR or LF, NUL, folded or nameless field, bad request line.
    Malformed,
    /// An HTTP/1.1 request without Host, with two, or with one that is no host.
    Host,
    /// A length that is not one decimal number, or a length beside a transfer coding.
    Framing,
    /// A body on a method that has none here.
    Body,
    /// A body on a method that is not served here at all.
    Method,
    /// A body whose length is not told beforehand.
    LengthMissing,
    /// A body beyond [`BODY_BYTES_MAX`].
    BodyTooLong,
    /// A target beyond [`TARGET_BYTES_MAX`].
    TargetTooLong,
    /// A head beyond [`HEAD_BYTES_MAX`] or with more than [`FIELDS_MAX`] fields.
    HeadTooLong,
    /// An expectation other than 100-continue.
    Expectation,
    /// A version of HTTP that is not spoken here.
    Version,
}

impl Refusal {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed | Self::Host | Self::Framing | Self::Body => 400,
            Self::Method => 405,
            Self::LengthMissing => 411,
            Self::BodyTooLong => 413,
            Self::TargetTooLong => 414,
            Self::HeadTooLong => 431,
            Self::Expectation => 417,
            Self::Version => 505,
        }
    }

    /// The value of the `reason` label.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Host => "host",
            Self::Framing => "framing",
            Self::Body => "unexpected_body",
            Self::Method => "method",
            Self::LengthMissing => "length_missing",
            Self::BodyTooLong => "body_too_long",
            Self::TargetTooLong => "target_too_long",
            Self::HeadTooLong => "head_too_long",
            Self::Expectation => "expectation",
            Self::Version => "version",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the request is not well-formed HTTP/1.1",
            Self::Host => "exactly one valid Host field is needed",
            Self::Framing => "the length of the body is ambiguous",
            Self::Body => "this method takes no body",
            Self::Method => "this method is not served here",
            Self::LengthMissing => "a body needs a Content-Length",
            Self::BodyTooLong => "the body is too long",
            Self::TargetTooLong => "the request target is too long",
            Self::HeadTooLong => "the header fields are too long or too many",
            Self::Expectation => "only 100-continue can be expected",
            Self::Version => "HTTP/1.1 and HTTP/1.0 are spoken here",
        })
    }
}

/// What is known about the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// More bytes are needed.
    Incomplete,
    /// A whole head.
    Complete(Head),
    /// A head that is not taken.
    Refused(Refusal),
}

/// A head that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its bytes, the empty line included.
    pub bytes: usize,
    /// Bytes of body that follow.
    pub body_bytes: u64,
}

/// Looks for the end of a head while its bytes come in, each byte once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scanner {
    seen: usize,
}

impl Scanner {
    /// Looks at `bytes`, which begin with the request line and have grown since the last call.
    ///
    /// Empty lines before the request line are the caller's to remove ([`leading_empty_lines`]).
    pub fn on_bytes(&mut self, bytes: &[u8]) -> Scan {
        for index in self.seen..bytes.len() {
            self.seen = index + 1;
            match bytes[index] {
                b'\n' if index == 0 || bytes[index - 1] != b'\r' => return Scan::Refused(Refusal::Malformed),
                b'\n' if bytes[..index - 1].ends_with(b"\r\n") => {
                    return match check(&bytes[..=index]) {
                        Ok(head) => Scan::Complete(head),
                        Err(refusal) => Scan::Refused(refusal),
                    };
                }
                b'\n' => {}
                0 => return Scan::Refused(Refusal::Malformed),
                _ if index > 0 && bytes[index - 1] == b'\r' => return Scan::Refused(Refusal::Malformed),
                _ => {}
            }
            if index + 1 >= HEAD_BYTES_MAX {
                let in_request_line = !bytes[..=index].contains(&b'\n');
                return Scan::Refused(match in_request_line {
                    true if !bytes[..=METHOD_BYTES_MAX].contains(&b' ') => Refusal::Malformed,
                    true => Refusal::TargetTooLong,
                    false => Refusal::HeadTooLong,
                });
            }
        }
        Scan::Incomplete
    }
}

/// How many bytes of empty lines come before the request line (RFC 9112 section 2.2 asks to ignore them).
pub fn leading_empty_lines(bytes: &[u8]) -> usize {
    bytes.chunks_exact(2).take_while(|pair| *pair == b"\r\n").count() * 2
}

/// Judges a whole head that ends with an empty line and holds no bare CR or LF.
fn check(head: &[u8]) -> Result<Head, Refusal> {
    let text = &head[..head.len() - 4];
    let mut lines = Lines { rest: Some(text) };
    let request_line = lines.next().ok_or(Refusal::Malformed)?;
    let (verb, is_1_1) = check_request_line(request_line)?;

    let (mut hosts, mut lengths, mut length, mut codings, mut chunked) = (0, 0, 0, 0, false);
    for (count, line) in lines.enumerate() {
        if count >= FIELDS_MAX {
            return Err(Refusal::HeadTooLong);
        }
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
            if !is_host(value) {
                return Err(Refusal::Host);
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            length = decimal(value).ok_or(Refusal::Framing)?;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            codings += 1;
            chunked = value.eq_ignore_ascii_case(b"chunked");
        } else if name.eq_ignore_ascii_case(b"expect") && !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Refusal::Expectation);
        }
    }
    match hosts {
        1 => {}
        0 if !is_1_1 => {}
        _ => return Err(Refusal::Host),
    }
    if lengths > 1 || codings > 1 || (lengths > 0 && codings > 0) || (codings > 0 && !(chunked && is_1_1)) {
        return Err(Refusal::Framing);
    }
    let has_body = codings > 0 || length > 0;
    match verb {
        Verb::Post if codings > 0 => Err(Refusal::LengthMissing),
        Verb::Post if length > BODY_BYTES_MAX => Err(Refusal::BodyTooLong),
        Verb::Read if has_body => Err(Refusal::Body),
        Verb::Other if has_body => Err(Refusal::Method),
        _ => Ok(Head { bytes: head.len(), body_bytes: length }),
    }
}

struct Lines<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        match rest.windows(2).position(|pair| pair == b"\r\n") {
            Some(end) => {
                self.rest = Some(&rest[end + 2..]);
                Some(&rest[..end])
            }
            None => self.rest.take(),
        }
    }
}

/// What a method means for the body.
enum Verb {
    /// GET and HEAD.
    Read,
    Post,
    Other,
}

/// What the method is, and whether the version is 1.1.
fn check_request_line(line: &[u8]) -> Result<(Verb, bool), Refusal> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::Malformed);
    };
    if method.is_empty() || method.len() > METHOD_BYTES_MAX || !method.iter().all(|byte| is_token_byte(*byte))
    {
        return Err(Refusal::Malformed);
    }
    if target.len() > TARGET_BYTES_MAX {
        return Err(Refusal::TargetTooLong);
    }
    // A fragment never leaves a client (RFC 9112 section 3.2); one that does is a target of unclear meaning.
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) || target.contains(&b'#') {
        return Err(Refusal::Malformed);
    }
    let is_1_1 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Refusal::Version);
        }
        _ => return Err(Refusal::Malformed),
    };
    let verb = match method {
        b"GET" | b"HEAD" => Verb::Read,
        b"POST" => Verb::Post,
        _ => Verb::Other,
    };
    Ok((verb, is_1_1))
}

/// Name and trimmed value of a field line (RFC 9112 section 5).
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Refusal::Malformed)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|byte| is_token_byte(*byte)) {
        return Err(Refusal::Malformed);
    }
    if value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
        return Err(Refusal::Malformed);
    }
    Ok((name, value.trim_ascii()))
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A host and perhaps a port (RFC 3986 section 3.2), without user information. An empty one is allowed where
/// the target has no authority (RFC 9112 section 3.2).
fn is_host(value: &[u8]) -> bool {
    let (host, rest) = match value.strip_prefix(b"[") {
        Some(literal) => match literal.iter().position(|byte| *byte == b']') {
            Some(end) => (&literal[..end], &literal[end + 1..]),
            None => return false,
        },
        None => value.split_at(value.iter().position(|byte| *byte == b':').unwrap_or(value.len())),
    };
    let is_literal = value.starts_with(b"[");
    let of_host = |byte: &u8| {
        byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte) || (is_literal && *byte == b':')
    };
    let port = rest.strip_prefix(b":");
    host.iter().all(of_host)
        && (rest.is_empty() || port.is_some_and(|port| port.iter().all(u8::is_ascii_digit)))
}

/// A decimal number of at most 18 digits, which no arithmetic here can overflow.
fn decimal(digits: &[u8]) -> Option<u64> {
    let proper = !digits.is_empty() && digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit);
    proper.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(text: &str) -> Scan {
        Scanner::default().on_bytes(text.as_bytes())
    }

    fn refusal(text: &str) -> Option<Refusal> {
        match scan(text) {
            Scan::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    #[test]
    fn what_real_clients_send_is_taken() {
        for text in [
            "GET /loaders/snponly.efi HTTP/1.1\r\nHost: 10.77.0.1\r\nUser-Agent: UefiHttpBoot/1.0\r\n\r\n",
            "HEAD //a HTTP/1.1\r\nHost: 10.77.0.1:8080\r\nAccept: */*\r\n\r\n",
            "GET /a HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\r\nhost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [fd08::1]:8080\r\nContent-Length: 0\r\n\r\n",
        ] {
            assert_eq!(scan(text), Scan::Complete(Head { bytes: text.len(), body_bytes: 0 }), "{text}");
        }
        let post = "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(scan(post), Scan::Complete(Head { bytes: post.len(), body_bytes: 12 }));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        use Refusal::*;
        for (text, expected) in [
            ("GET / HTTP/1.1\nHost: a\n\n", Malformed),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", Malformed),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", Malformed),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Malformed),
            ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", Malformed),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", Malformed),
            ("GET /\r\n\r\n", Malformed),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Malformed),
            ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", Malformed),
            ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", Version),
            ("GET / http/1.1\r\nHost: a\r\n\r\n", Malformed),
            ("GET / HTTP/1.1\r\n\r\n", Host),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Host),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Host),
            ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Host),
            ("GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", Host),
            ("GET / HTTP/1.1\r\nHost: [fd08::1\r\n\r\n", Host),
            ("GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", Host),
            ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Malformed),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", Body),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Body),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", LengthMissing),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", Framing),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Framing),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                Framing,
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", Framing),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", Framing),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", Framing),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1234567890123456789\r\n\r\n", Framing),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", Framing),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", Framing),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", BodyTooLong),
            ("GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", Expectation),
        ] {
            assert_eq!(refusal(text), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn sizes_have_their_own_answers() {
        let long = |n| "a".repeat(n);
        let host = "Host: a\r\n";
        let target = format!("GET /{} HTTP/1.1\r\n{host}\r\n", long(TARGET_BYTES_MAX));
        assert_eq!(refusal(&target), Some(Refusal::TargetTooLong));
        assert_eq!(refusal(&format!("GET /{}", long(100_000))), Some(Refusal::TargetTooLong));
        assert_eq!(refusal(&long(10 * 1024 + HEAD_BYTES_MAX)), Some(Refusal::Malformed));
        let method = format!("{} / HTTP/1.1\r\n{host}\r\n", long(10 * 1024));
        assert_eq!(refusal(&method), Some(Refusal::Malformed));
        let fields = format!("GET / HTTP/1.1\r\n{host}{}\r\n", "X: y\r\n".repeat(200));
        assert_eq!(refusal(&fields), Some(Refusal::HeadTooLong));
        let field = format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", long(64 * 1024));
        assert_eq!(refusal(&field), Some(Refusal::HeadTooLong));
    }

    #[test]
    fn bytes_that_come_singly_are_the_same_head() {
        let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET";
        let mut scanner = Scanner::default();
        for end in 1..text.len() - 3 {
            assert_eq!(scanner.on_bytes(&text[..end]), Scan::Incomplete, "{end}");
        }
        assert_eq!(scanner.on_bytes(text), Scan::Complete(Head { bytes: text.len() - 3, body_bytes: 0 }));
    }

    #[test]
    fn empty_lines_before_a_request_are_counted() {
        assert_eq!(leading_empty_lines(b"\r\n\r\nGET"), 4);
        assert_eq!(leading_empty_lines(b"\rGET"), 0);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_verdict(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0usize..400) {
            let whole = Scanner::default().on_bytes(&bytes);
            let mut scanner = Scanner::default();
            let first = scanner.on_bytes(&bytes[..cut.min(bytes.len())]);
            let second = if first == Scan::Incomplete { scanner.on_bytes(&bytes) } else { first };
            prop_assert_eq!(whole, second);
        }

        #[test]
        fn a_taken_head_never_holds_a_bare_line_end(text in "[GETPOS]{3,4} /[a-z]{0,5} HTTP/1\\.1\r\n(Host: a\r\n|[ -~\r\n]{0,20})*\r\n") {
            if let Scan::Complete(head) = Scanner::default().on_bytes(text.as_bytes()) {
                let head = &text[..head.bytes];
                prop_assert!(!head.replace("\r\n", "").contains(['\r', '\n']));
                prop_assert!(head.ends_with("\r\n\r\n"));
            }
        }
    }
}
