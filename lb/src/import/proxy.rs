//! What the lines of a section say.

use std::time::Duration;

use super::bind::Bind;
use super::check::CheckLines;
use super::server::{Server, ServerOptions};
use super::words::Line;
use super::{ENTRIES_MAX, Findings, quoted, time};

/// What a proxy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Defaults,
    Frontend,
    Backend,
    Listen,
}

/// A value with the line that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) line: usize,
}

/// What matters of `global`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Global {
    pub(super) max_connections: Option<At<u32>>,
}

impl Global {
    pub(super) fn take(&mut self, line: &Line) {
        if line.word(0) == "maxconn"
            && let Ok(value) = line.word(1).parse()
        {
            self.max_connections = Some(At { value, line: line.number });
        }
    }
}

/// A `frontend`, `backend` or `listen`, or `defaults`.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxy {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) global: Global,
    pub(super) http: Option<At<bool>>,
    pub(super) disabled: bool,
    pub(super) balance: Option<At<String>>,
    pub(super) binds: Vec<Bind>,
    pub(super) default_backend: Option<At<String>>,
    pub(super) servers: Vec<Server>,
    pub(super) default_server: ServerOptions,
    pub(super) check: CheckLines,
    pub(super) max_connections: Option<At<u32>>,
    pub(super) connect: Option<At<Duration>>,
    pub(super) client: Option<At<Duration>>,
    pub(super) server: Option<At<Duration>>,
    pub(super) tunnel: Option<At<Duration>>,
    pub(super) check_timeout: Option<At<Duration>>,
    /// Clients kept with a server by other means than `balance source`.
    pub(super) sticky: Option<usize>,
    pub(super) tcplog: Option<usize>,
}

/// First words that change nothing of what is forwarded, or that are done here anyway.
const NOTHING: [&str; 20] = [
    "description",
    "email-alert",
    "errorfile",
    "errorfiles",
    "errorloc",
    "errorloc302",
    "errorloc303",
    "fullconn",
    "guid",
    "id",
    "load-server-state-from-file",
    "log",
    "log-format",
    "log-format-sd",
    "log-tag",
    "max-keep-alive-queue",
    "retries",
    "retry-on",
    "server-state-file-name",
    "stats",
];
/// Options that change nothing here: done anyway, about logging, or about HTTP alone.
const OPTIONS_NOTHING: [&str; 23] = [
    "clitcpka",
    "dontlog-normal",
    "dontlognull",
    "forwardfor",
    "http-buffer-request",
    "http-keep-alive",
    "http-server-close",
    "httpclose",
    "httplog",
    "log-health-checks",
    "log-separate-errors",
    "logasap",
    "nolinger",
    "originalto",
    "prefer-last-server",
    "redispatch",
    "socket-stats",
    "splice-auto",
    "splice-request",
    "splice-response",
    "srvtcpka",
    "tcp-smart-accept",
    "tcp-smart-connect",
];
/// What decides by content, which stays unread here.
const CONTENT: [&str; 13] = [
    "acl",
    "capture",
    "compression",
    "declare",
    "filter",
    "force-persist",
    "http-after-response",
    "http-error",
    "http-request",
    "http-response",
    "http-reuse",
    "redirect",
    "use-server",
];

impl Proxy {
    /// Takes a line of the section.
    pub(super) fn take(&mut self, line: &Line, found: &mut Findings) {
        let number = line.number;
        match line.word(0) {
            "mode" => match line.word(1) {
                mode @ ("tcp" | "http") => self.http = Some(At { value: mode == "http", line: number }),
                mode => found.unsupported(
                    number,
                    format!("mode {} is not taken over", quoted(mode)),
                    "only TCP is",
                ),
            },
            "disabled" => self.disabled = true,
            "enabled" => self.disabled = false,
            "balance" => self.balance = Some(At { value: line.word(1).to_owned(), line: number }),
            "hash-type" if line.word(1) == "consistent" => {}
            "hash-type" => found.note(number, "the hash is always consistent here", "nothing"),
            "bind" => {
                self.binds.extend(Bind::read(line, found));
                if self.binds.len() > ENTRIES_MAX {
                    self.binds.truncate(ENTRIES_MAX);
                    found.unsupported(
                        number,
                        format!("more than {ENTRIES_MAX} listeners"),
                        "split the front end",
                    );
                }
            }
            "default_backend" => {
                self.default_backend = Some(At { value: line.word(1).to_owned(), line: number });
            }
            "use_backend" if line.words.len() == 2 => {
                self.default_backend = Some(At { value: line.word(1).to_owned(), line: number });
            }
            "use_backend" => found.unsupported(
                number,
                "a back end chosen by condition: connections are forwarded unread here",
                "make a front end of its own, on another address or port, for each back end",
            ),
            "server" => {
                if self.servers.len() >= ENTRIES_MAX {
                    found.unsupported(number, format!("more than {ENTRIES_MAX} servers"), "leave some out");
                } else if let Some(server) = Server::read(line, &self.default_server, found) {
                    self.servers.push(server);
                }
            }
            "server-template" => {
                found.unsupported(number, "servers made from a template", "write one server line for each");
            }
            "default-server" => self.default_server.take(number, line.rest(1), found),
            "maxconn" => match line.word(1).parse() {
                Ok(value) => self.max_connections = Some(At { value, line: number }),
                Err(_) => {
                    found.unsupported(number, format!("{} is no number", quoted(line.word(1))), "give one");
                }
            },
            "timeout" => self.timeout(line, found),
            "option" => self.option(line, found),
            "no" if line.word(1) == "option" => {}
            "http-check" | "tcp-check" | "external-check" => self.check.take(line, found),
            "cookie" | "appsession" | "persist" | "stick" | "stick-table" | "rate-limit" => {
                if line.word(0) != "rate-limit" {
                    self.sticky = Some(number);
                }
                found.unsupported(
                    number,
                    format!("{} is not taken over", line.word(0)),
                    "balance = \"source\" keeps clients with a server; max-per-source bounds them",
                );
            }
            "tcp-request" | "tcp-response" => found.unsupported(
                number,
                format!("rules on connections ({}) are not taken over", line.word(0)),
                "allow names who may connect; max-per-source and first-byte-timeout bound them",
            ),
            "source" | "usesrc" => found.unsupported(
                number,
                "the address towards servers is not chosen here",
                "with plane = \"kernel\" servers see the clients' own; send-proxy tells it too",
            ),
            word if CONTENT.contains(&word) => found.unsupported(
                number,
                format!("{word} decides by content: connections are forwarded unread here"),
                "leave it to the cluster's ingress, or keep HAProxy for this one",
            ),
            word if NOTHING.contains(&word) => {}
            word => found.unsupported(
                number,
                format!("{} is not taken over", quoted(word)),
                "see whether it is needed",
            ),
        }
    }

    fn timeout(&mut self, line: &Line, found: &mut Findings) {
        let Some(value) = time::parse(line.word(2)) else {
            found.unsupported(
                line.number,
                format!("{} is no length of time", quoted(line.word(2))),
                "a number with us, ms, s, m, h or d",
            );
            return;
        };
        let value = Some(At { value, line: line.number });
        match line.word(1) {
            "connect" => self.connect = value,
            "client" => self.client = value,
            "server" => self.server = value,
            "tunnel" => self.tunnel = value,
            "check" => self.check_timeout = value,
            "client-fin" | "server-fin" => {
                found.note(
                    line.number,
                    "connections that are half closed are bounded by idle-timeout",
                    "nothing",
                );
            }
            "queue" => {}
            "client-hs" | "http-keep-alive" | "http-request" | "tarpit" => {}
            other => found.unsupported(
                line.number,
                format!("timeout {} is not taken over", quoted(other)),
                "nothing",
            ),
        }
    }

    fn option(&mut self, line: &Line, found: &mut Findings) {
        match line.word(1) {
            "httpchk" | "ssl-hello-chk" | "tcp-check" | "external-check" | "ldap-check" | "mysql-check"
            | "pgsql-check" | "redis-check" | "smtpchk" | "spop-check" => self.check.option(line, found),
            "tcplog" => self.tcplog = Some(line.number),
            "transparent" => {
                found.unsupported(line.number, "option transparent is not taken over", "name the servers");
            }
            "abortonclose" | "allbackups" | "independent-streams" | "persist" | "tcpka" | "contstats" => {}
            option
                if OPTIONS_NOTHING.contains(&option)
                    || option.starts_with("http-")
                    || option.starts_with("h1-") => {}
            option => found.note(
                line.number,
                format!("option {} is not taken over", quoted(option)),
                "nothing, most likely",
            ),
        }
    }
}
