//! `server` lines (configuration manual, section 5.2).

use std::net::IpAddr;
use std::time::Duration;

use faros_common::site::ProxyVersion;

use super::words::Line;
use super::{Findings, quoted, time};

/// A server as its line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) line: usize,
    pub(super) name: String,
    /// An address, or a name that is not resolved yet.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) options: ServerOptions,
}

/// What can stand behind a server, and in `default-server`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerOptions {
    pub(super) check: bool,
    pub(super) check_tls: bool,
    pub(super) tls: bool,
    pub(super) backup: bool,
    pub(super) disabled: bool,
    pub(super) weight: Option<u16>,
    pub(super) interval: Option<Duration>,
    pub(super) fast_interval: Option<Duration>,
    pub(super) rise: Option<u32>,
    pub(super) fall: Option<u32>,
    pub(super) check_port: Option<u16>,
    pub(super) slow_start: Option<Duration>,
    pub(super) send_proxy: Option<ProxyVersion>,
    pub(super) close_on_down: bool,
    pub(super) verify_none: bool,
    pub(super) ca: Option<String>,
    pub(super) server_name: Option<String>,
}

/// Options that change nothing here, with how many words follow.
const NOTHING: [(&str, usize); 34] = [
    ("alpn", 1),
    ("check-alpn", 1),
    ("check-proto", 1),
    ("check-via-socks4", 0),
    ("ciphers", 1),
    ("ciphersuites", 1),
    ("downinter", 1),
    ("enabled", 0),
    ("error-limit", 1),
    ("force-tlsv12", 0),
    ("force-tlsv13", 0),
    ("guid", 1),
    ("hash-key", 1),
    ("id", 1),
    ("init-addr", 1),
    ("log-bufsize", 1),
    ("log-proto", 1),
    ("max-reuse", 1),
    ("maxqueue", 1),
    ("minconn", 1),
    ("no-check", 0),
    ("no-ssl-reuse", 0),
    ("no-tls-tickets", 0),
    ("no-verifyhost", 0),
    ("non-stick", 0),
    ("observe", 1),
    ("on-error", 1),
    ("pool-max-conn", 1),
    ("pool-purge-delay", 1),
    ("proto", 1),
    ("resolve-opts", 1),
    ("resolve-prefer", 1),
    ("ssl-max-ver", 1),
    ("ssl-min-ver", 1),
];

impl Server {
    /// The server of a line; its options on top of `defaults`.
    pub(super) fn read(line: &Line, defaults: &ServerOptions, found: &mut Findings) -> Option<Self> {
        let (name, address) = (line.word(1), line.word(2));
        if name.is_empty() || address.is_empty() {
            found.unsupported(line.number, "a server without name or address", "give both");
            return None;
        }
        let mut options = defaults.clone();
        options.take(line.number, line.rest(3), found);
        let Some((host, port)) = place(address) else {
            found.unsupported(
                line.number,
                format!("{} is no address of the network with a port", quoted(address)),
                "give an address and a port, as in 192.168.8.11:6443",
            );
            return None;
        };
        Some(Self { line: line.number, name: name.to_owned(), host, port, options })
    }
}

/// Host and port of `[family@]host[:port]`.
fn place(text: &str) -> Option<(String, Option<u16>)> {
    let rest = match text.split_once('@') {
        Some(("ipv4" | "ipv6" | "tcp" | "tcp4" | "tcp6", rest)) => rest,
        Some(_) => return None,
        None => text,
    };
    if rest.starts_with('/') {
        return None;
    }
    if rest.parse::<IpAddr>().is_ok() && !rest.starts_with('[') && rest.matches(':').count() != 1 {
        return Some((rest.to_owned(), None));
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, Some(self::port(port)?)),
        None => (rest, None),
    };
    // Brackets stand around IPv6 alone.
    let host = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// A port; `+100` and the like stand for one relative to the listener's, which is none here.
fn port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

impl ServerOptions {
    /// Takes the words behind a server's address, or those of `default-server`.
    pub(super) fn take(&mut self, line: usize, words: &[String], found: &mut Findings) {
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let mut next = || words.next().unwrap_or_default();
            match word {
                "check" => self.check = true,
                "check-ssl" => self.check_tls = true,
                "no-check-ssl" => self.check_tls = false,
                "backup" => self.backup = true,
                "no-backup" => self.backup = false,
                "disabled" => self.disabled = true,
                "weight" => self.weight = number(line, word, next(), 256, found),
                "rise" => self.rise = number(line, word, next(), 100, found),
                "fall" => self.fall = number(line, word, next(), 100, found),
                "port" => self.check_port = number(line, word, next(), 65535, found).filter(|port| *port > 0),
                "inter" => self.interval = length(line, word, next(), found),
                "fastinter" => self.fast_interval = length(line, word, next(), found),
                "slowstart" => self.slow_start = length(line, word, next(), found),
                "send-proxy" => self.send_proxy = Some(ProxyVersion::V1),
                "send-proxy-v2" | "send-proxy-v2-ssl" | "send-proxy-v2-ssl-cn" => {
                    self.send_proxy = Some(ProxyVersion::V2);
                    if word != "send-proxy-v2" {
                        found.note(
                            line,
                            "nothing is known of TLS here, so the PROXY header does not tell it",
                            "nothing",
                        );
                    }
                }
                "no-send-proxy" | "no-send-proxy-v2" => self.send_proxy = None,
                "check-send-proxy" => {}
                "on-marked-down" => self.close_on_down = next() == "shutdown-sessions",
                "on-marked-up" => {
                    next();
                    found.note(line, "connections to backups are kept until they end", "nothing");
                }
                "verify" => self.verify_none = next() == "none",
                "ca-file" => self.ca = Some(next().to_owned()),
                "check-sni" | "verifyhost" => self.server_name = Some(next().to_owned()),
                "ssl" => {
                    self.tls = true;
                    found.unsupported(
                        line,
                        "TLS towards the server is not made here: connections are passed through",
                        "let clients speak TLS with the server, or keep HAProxy for this one",
                    );
                }
                "maxconn" => {
                    next();
                    found.unsupported(
                        line,
                        "maxconn of a server is not taken over",
                        "max-connections bounds the front end",
                    );
                }
                "resolvers" => {
                    next();
                }
                "source" => {
                    next();
                    found.unsupported(
                        line,
                        "the address towards the server is not chosen here",
                        "see proxy lines of this name",
                    );
                }
                "cookie" | "redir" | "sni" | "track" | "addr" | "crt" | "socks4" | "namespace"
                | "agent-addr" | "agent-inter" | "agent-port" | "agent-send" | "proxy-v2-options" | "ws"
                | "shard" | "crl-file" => {
                    let value = next();
                    found.unsupported(
                        line,
                        format!("{word} {} of a server is not taken over", quoted(value)),
                        "see whether it is needed",
                    );
                }
                _ => match NOTHING.iter().find(|(known, _)| *known == word) {
                    Some((_, follow)) => (0..*follow).for_each(|_| {
                        next();
                    }),
                    None => found.unsupported(
                        line,
                        format!("the option {} of a server is not taken over", quoted(word)),
                        "see whether it is needed",
                    ),
                },
            }
        }
    }
}

fn number<T: TryFrom<u32>>(line: usize, key: &str, text: &str, max: u32, found: &mut Findings) -> Option<T> {
    let number = text.parse::<u32>().ok().filter(|number| *number <= max);
    let number = number.and_then(|number| T::try_from(number).ok());
    if number.is_none() {
        found.unsupported(line, format!("{} of {key} is no number up to {max}", quoted(text)), "give one");
    }
    number
}

fn length(line: usize, key: &str, text: &str, found: &mut Findings) -> Option<Duration> {
    let length = time::parse(text);
    if length.is_none() {
        found.unsupported(
            line,
            format!("{} of {key} is no length of time", quoted(text)),
            "a number with us, ms, s, m, h or d",
        );
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        let host = |text: &str| place(text).map(|(host, port)| format!("{host} {}", port.unwrap_or(0)));
        for (text, expected) in [
            ("192.168.8.11:6443", "192.168.8.11 6443"),
            ("192.168.8.11", "192.168.8.11 0"),
            ("[fd08::1]:80", "fd08::1 80"),
            ("fd08::1", "fd08::1 0"),
            ("master0.example.com:6443", "master0.example.com 6443"),
            ("ipv4@10.0.0.1:1", "10.0.0.1 1"),
        ] {
            assert_eq!(host(text).as_deref(), Some(expected), "{text}");
        }
        for wrong in ["/run/x", "unix@/x", "host:+100", "host:0", ":80", "host:x"] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}
