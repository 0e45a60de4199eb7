//! Servers of the outside world: for names and for time.

use std::net::{IpAddr, SocketAddr};

use super::name::domain_flaw;
use super::path::host_flaw;
use super::{Flaw, text_value};
use crate::site::read::quoted;
use crate::site::{DnsUpstream, NtpSource, NtpSourceKind};

const DNS_PORT: u16 = 53;
/// RFC 7858 section 3.1.
const DNS_TLS_PORT: u16 = 853;

text_value!(DnsUpstream, "server: ADDRESS, ADDRESS:PORT, or tls://ADDRESS#NAME for DNS over TLS", |text| {
    const FORM: &str = "server: ADDRESS, ADDRESS:PORT, or tls://ADDRESS#NAME for DNS over TLS";
    let flaw = || Flaw::not(text, FORM);
    if let Some(rest) = text.strip_prefix("tls://") {
        let (address, name) = match rest.split_once('#') {
            Some((address, name)) => (address, Some(name)),
            None => (rest, None),
        };
        let address = socket(address, DNS_TLS_PORT).ok_or_else(|| server_flaw(address, flaw()))?;
        let name = match name {
            Some(name) => {
                host_flaw(&name.to_ascii_lowercase())?;
                name.to_ascii_lowercase()
            }
            // Public resolvers carry their address in their certificate.
            None => address.ip().to_string(),
        };
        return Ok(DnsUpstream { address, tls_name: Some(name) });
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(Flaw::new(format!("{} is no way to ask a name server", quoted(scheme)))
            .help("UDP and TCP by default, or tls://"));
    }
    if text.contains('#') {
        return Err(flaw().help("a name after # goes with tls:// only"));
    }
    let address = socket(text, DNS_PORT).ok_or_else(|| server_flaw(text, flaw()))?;
    Ok(DnsUpstream { address, tls_name: None })
});

fn server_flaw(text: &str, flaw: Flaw) -> Flaw {
    if domain_flaw(&text.to_ascii_lowercase()).is_ok() && text.contains(|c: char| c.is_ascii_alphabetic()) {
        flaw.help("give the server's address: a name would have to be resolved by itself")
    } else {
        flaw
    }
}

/// An address with a port, or alone with the usual one; the address may be bracketed. Never the unspecified one.
fn socket(text: &str, usual_port: u16) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let socket = match bare.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, usual_port),
        Err(_) => text.parse().ok()?,
    };
    (socket.port() != 0 && !socket.ip().is_unspecified() && !socket.ip().is_multicast()).then_some(socket)
}

text_value!(
    NtpSource,
    "source: ntp://HOST, nts://HOST, pool://HOST, sock:/PATH, shm:UNIT or pps:/dev/DEVICE",
    |text| {
        const FORM: &str =
            "source: ntp://HOST, nts://HOST, pool://HOST, sock:/PATH, shm:UNIT or pps:/dev/DEVICE";
        let (kind, rest) = match text.split_once("://") {
            Some(("ntp", rest)) => (NtpSourceKind::Ntp, rest),
            Some(("nts", rest)) => (NtpSourceKind::Nts, rest),
            Some(("pool", rest)) => (NtpSourceKind::Pool, rest),
            Some(_) => return Err(Flaw::not(text, FORM)),
            None => match text.split_once(':') {
                Some(("sock", path)) => return clock(NtpSourceKind::Sock, path, text),
                Some(("pps", path)) => return clock(NtpSourceKind::Pps, path, text),
                Some(("shm", unit)) => {
                    let unit: u8 =
                        unit.parse().map_err(|_| Flaw::not(text, FORM).help("shm:0 to shm:255"))?;
                    return Ok(NtpSource { kind: NtpSourceKind::Shm, host: unit.to_string(), port: None });
                }
                Some((word, _)) if ["ntp", "nts", "pool"].contains(&word) => {
                    return Err(Flaw::not(text, FORM).help(format!("write {word}://…")));
                }
                _ => (NtpSourceKind::Ntp, text),
            },
        };
        let (host, port) = host_and_port(rest).ok_or_else(|| Flaw::not(text, FORM))?;
        host_flaw(&host.to_ascii_lowercase())?;
        if kind == NtpSourceKind::Nts && host.parse::<IpAddr>().is_ok() {
            return Err(Flaw::new(format!(
                "{} names an address, but NTS checks a certificate's name",
                quoted(text)
            ))
            .help("give the server's host name"));
        }
        Ok(NtpSource { kind, host: host.to_owned(), port })
    }
);

fn clock(kind: NtpSourceKind, path: &str, text: &str) -> Result<NtpSource, Flaw> {
    if path.starts_with('/')
        && !path.split('/').any(|part| part == "..")
        && !path.chars().any(char::is_control)
    {
        Ok(NtpSource { kind, host: path.to_owned(), port: None })
    } else {
        Err(Flaw::new(format!("{} has no absolute path", quoted(text)))
            .help("as in sock:/run/chrony.ttyS0.sock"))
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port` or bare IPv6.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    if text.parse::<IpAddr>().is_ok() {
        return Some((text, None));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            if port.is_empty() { (host, None) } else { (host, Some(port.strip_prefix(':')?)) }
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    match port {
        None => Some((host, None)),
        Some(port) => port.parse().ok().filter(|&port| port != 0).map(|port| (host, Some(port))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_come_apart() {
        assert_eq!(host_and_port("time.example.com"), Some(("time.example.com", None)));
        assert_eq!(host_and_port("192.0.2.1:1123"), Some(("192.0.2.1", Some(1123))));
        assert_eq!(host_and_port("2001:db8::1"), Some(("2001:db8::1", None)));
        assert_eq!(host_and_port("[2001:db8::1]:123"), Some(("2001:db8::1", Some(123))));
        assert_eq!(host_and_port("host:0"), None);
        assert_eq!(host_and_port("[2001:db8::1"), None);
    }
}
