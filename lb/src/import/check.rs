//! How servers are checked, as the lines of a proxy say.

use std::ops::RangeInclusive;

use super::words::Line;
use super::{Findings, quoted};

/// No server is asked how it is under a longer path.
const PATH_MAX: usize = 1024;

/// What a check speaks beside TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Speaks {
    #[default]
    Tcp,
    /// `option httpchk`; TLS where the server line says so.
    Http,
}

/// What the lines on checks say.
#[derive(Clone, Debug, Default)]
pub(super) struct CheckLines {
    pub(super) speaks: Speaks,
    pub(super) line: Option<usize>,
    pub(super) path: Option<String>,
    pub(super) host: Option<String>,
    pub(super) status: Vec<RangeInclusive<u16>>,
    pub(super) body: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) tls: bool,
    /// A handshake of TLS alone was asked for.
    pub(super) handshake: bool,
}

impl CheckLines {
    /// Takes an `option` line that names a check.
    pub(super) fn option(&mut self, line: &Line, found: &mut Findings) {
        self.line = Some(line.number);
        self.handshake = false;
        match line.word(1) {
            "httpchk" => {
                self.speaks = Speaks::Http;
                // [METHOD] URI [VERSION…]: a lone word is the URI.
                let (method, uri) = match line.rest(2) {
                    [] => ("", ""),
                    [uri] => ("", uri.as_str()),
                    [method, uri, ..] => (method.as_str(), uri.as_str()),
                };
                self.ask(line.number, method, uri, found);
                // Before version 2.2 headers were smuggled in behind the version.
                let version = line.rest(4).join(" ");
                if let Some(host) =
                    version.split("Host:").nth(1).and_then(|rest| rest.split_whitespace().next())
                {
                    self.host = Some(host.to_owned());
                }
            }
            "ssl-hello-chk" => {
                self.handshake = true;
                self.speaks = Speaks::Tcp;
                found.warning(
                    line.number,
                    "a handshake of TLS alone is no check here, so a TCP connection is made",
                    "ask the server how it is: check = { kind = \"https\", path = \"…\" }",
                );
            }
            "tcp-check" => self.speaks = Speaks::Tcp,
            kind => {
                self.speaks = Speaks::Tcp;
                found.unsupported(
                    line.number,
                    format!("option {kind} is not taken over: a TCP connection is made"),
                    "check over HTTP where the server can say how it is",
                );
            }
        }
    }

    /// Takes an `http-check` or `tcp-check` line.
    pub(super) fn take(&mut self, line: &Line, found: &mut Findings) {
        match (line.word(0), line.word(1)) {
            ("http-check", "send") => {
                let mut words = line.rest(2).iter().map(String::as_str);
                while let Some(word) = words.next() {
                    match word {
                        "meth" => self.ask(line.number, words.next().unwrap_or_default(), "", found),
                        "uri" => self.ask(line.number, "", words.next().unwrap_or_default(), found),
                        "ver" => {
                            words.next();
                        }
                        "hdr" => match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
                            (name, value) if name.eq_ignore_ascii_case("host") => {
                                self.host = Some(value.to_owned());
                            }
                            (name, _) => found.unsupported(
                                line.number,
                                format!("the header {} of a check", quoted(name)),
                                "see whether the server needs it",
                            ),
                        },
                        "body" | "uri-lf" | "body-lf" => {
                            words.next();
                            found.unsupported(
                                line.number,
                                format!("{word} of a check"),
                                "see whether the server needs it",
                            );
                        }
                        _ => {}
                    }
                }
            }
            ("http-check", "expect") => self.expect(line, found),
            (_, "connect") => self.connect(line, found),
            (_, "comment" | "set-var" | "unset-var") => {}
            ("http-check", "disable-on-404" | "send-state") => found.note(
                line.number,
                format!("http-check {} is not taken over", line.word(1)),
                "drain servers with: farosctl lb drain",
            ),
            (word, step) => found.unsupported(
                line.number,
                format!("{word} {} is not taken over: conversations are not checked", quoted(step)),
                "check over HTTP where the server can say how it is",
            ),
        }
    }

    fn ask(&mut self, line: usize, method: &str, uri: &str, found: &mut Findings) {
        if !method.is_empty() && method != "GET" {
            found.note(
                line,
                format!("checks ask with GET, not with {}", quoted(method)),
                "nothing, most likely",
            );
        }
        if uri.is_empty() {
            return;
        }
        if uri.starts_with('/')
            && uri.len() <= PATH_MAX
            && uri.is_ascii()
            && !uri.contains(char::is_whitespace)
            && !uri.contains(char::is_control)
        {
            self.path = Some(uri.to_owned());
        } else {
            found.unsupported(
                line,
                format!("{} is no path to ask for", quoted(uri)),
                "give one that begins with a slash",
            );
        }
    }

    fn connect(&mut self, line: &Line, found: &mut Findings) {
        let mut words = line.rest(2).iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "port" => {
                    self.port = words.next().and_then(|port| port.parse().ok()).filter(|port| *port > 0);
                }
                "ssl" => self.tls = true,
                "sni" => self.host = words.next().map(str::to_owned),
                "default" | "linger" => {}
                other => {
                    words.next();
                    found.unsupported(
                        line.number,
                        format!("{} of a check's connection", quoted(other)),
                        "see whether it is needed",
                    );
                }
            }
        }
    }

    /// `http-check expect [options] [!] status|string VALUE`.
    fn expect(&mut self, line: &Line, found: &mut Findings) {
        let mut words = line.rest(2).iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "min-recv" | "comment" | "ok-status" | "error-status" | "tout-status" | "on-success"
                | "on-error" | "status-code" => {
                    words.next();
                }
                "status" => {
                    let list = words.next().unwrap_or_default();
                    let statuses: Option<Vec<_>> = list.split(',').map(statuses).collect();
                    match statuses {
                        Some(statuses) => self.status = statuses,
                        None => found.unsupported(
                            line.number,
                            format!("{} names no statuses", quoted(list)),
                            "as in 200 or 200-399",
                        ),
                    }
                }
                "string" => {
                    self.body = words.next().map(str::to_owned).filter(|text| !text.trim().is_empty());
                }
                other => {
                    found.unsupported(
                        line.number,
                        format!("http-check expect {} is not taken over", quoted(other)),
                        "check = { status = …, body = \"…\" } says what a good answer is",
                    );
                    return;
                }
            }
        }
    }
}

fn statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.parse::<u16>().ok().filter(|status| (100..=599).contains(status));
    let (first, last) = (status(first)?, status(last)?);
    (first <= last).then_some(first..=last)
}
