//! Where a proxy listens (configuration manual, section 5.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::words::Line;
use super::{ENTRIES_MAX, Findings, quoted};

/// One listening address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bind {
    pub(super) socket: SocketAddr,
    pub(super) line: usize,
    pub(super) accept_proxy: bool,
}

/// Options that change nothing here, with how many words follow.
const NOTHING: [(&str, usize); 22] = [
    ("backlog", 1),
    ("cc", 1),
    ("defer-accept", 0),
    ("expose-fd", 1),
    ("group", 1),
    ("guid-prefix", 1),
    ("id", 1),
    ("level", 1),
    ("mss", 1),
    ("name", 1),
    ("nice", 1),
    ("process", 1),
    ("proto", 1),
    ("shards", 1),
    ("tcp-ut", 1),
    ("tfo", 0),
    ("thread", 1),
    ("transparent", 0),
    ("user", 1),
    ("v4v6", 0),
    ("v6only", 0),
    ("namespace", 1),
];

impl Bind {
    /// All addresses of a `bind` line.
    pub(super) fn read(line: &Line, found: &mut Findings) -> Vec<Self> {
        let mut accept_proxy = false;
        let mut words = line.rest(2).iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "accept-proxy" => accept_proxy = true,
                "ssl" => found.unsupported(
                    line.number,
                    "TLS is not ended here: connections are passed through",
                    "let the servers speak TLS, or keep HAProxy for this one",
                ),
                "interface" => {
                    let name = words.next().unwrap_or_default();
                    found.warning(
                        line.number,
                        format!("bound to the interface {}", quoted(name)),
                        "listen on an address of that interface; lan-only keeps the WAN out",
                    );
                }
                "maxconn" => {
                    words.next();
                    found.note(line.number, "maxconn of a listener", "max-connections bounds the front end");
                }
                _ => match NOTHING.iter().find(|(known, _)| *known == word) {
                    Some((_, follow)) => (0..*follow).for_each(|_| {
                        words.next();
                    }),
                    None => found.unsupported(
                        line.number,
                        format!("the option {} of a listener is not taken over", quoted(word)),
                        "see whether it is needed",
                    ),
                },
            }
        }
        let mut binds = Vec::new();
        for address in line.word(1).split(',').filter(|address| !address.is_empty()) {
            match sockets(address) {
                Ok(sockets) => {
                    binds.extend(sockets.into_iter().map(|socket| Self {
                        socket,
                        line: line.number,
                        accept_proxy,
                    }));
                }
                Err(why) => found.unsupported(
                    line.number,
                    format!("{} {why}", quoted(address)),
                    "give an address of this bastion and a port, as in 192.168.8.2:6443",
                ),
            }
        }
        if line.word(1).is_empty() {
            found.unsupported(line.number, "bind without an address", "give one with its port");
        }
        binds
    }
}

/// The sockets that `[family@][address]:port[-port]` stands for.
fn sockets(text: &str) -> Result<Vec<SocketAddr>, &'static str> {
    let (family, rest) = text.split_once('@').unwrap_or(("", text));
    let usual: IpAddr = match family {
        "" | "ipv4" | "tcp" | "tcp4" => Ipv4Addr::UNSPECIFIED.into(),
        "ipv6" | "tcp6" => Ipv6Addr::UNSPECIFIED.into(),
        "udp" | "udp4" | "udp6" | "quic4" | "quic6" => return Err("speaks UDP, and TCP alone is balanced"),
        _ => return Err("is no address of the network"),
    };
    if rest.starts_with('/') {
        return Err("is a Unix socket");
    }
    let (address, ports) = rest.rsplit_once(':').ok_or("has no port")?;
    let bare = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(address);
    let ip = match bare {
        "" | "*" => usual,
        bare => bare.parse().map_err(|_| "is a name, not an address")?,
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or("has no valid port");
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        return Err("has ports that run backwards");
    }
    if usize::from(last - first) >= ENTRIES_MAX {
        return Err("has too many ports for one front end");
    }
    Ok((first..=last).map(|port| SocketAddr::new(ip, port)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_every_form() {
        let shown = |text| {
            sockets(text).map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        for (text, expected) in [
            ("*:6443", "0.0.0.0:6443"),
            (":80", "0.0.0.0:80"),
            ("192.168.8.2:80", "192.168.8.2:80"),
            ("[::]:443", "[::]:443"),
            (":::443", "[::]:443"),
            ("ipv6@:443", "[::]:443"),
            ("ipv4@192.0.2.1:443", "192.0.2.1:443"),
            ("*:8000-8002", "0.0.0.0:8000 0.0.0.0:8001 0.0.0.0:8002"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
        for wrong in [
            "6443",
            "*:0",
            "*:70000",
            "*:2-1",
            "*:1-65535",
            "/run/x.sock",
            "unix@/x",
            "fd@3",
            "host:80",
            "quic4@:443",
        ] {
            assert!(sockets(wrong).is_err(), "{wrong}");
        }
    }
}
