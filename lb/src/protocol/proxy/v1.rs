//! Version 1: a line of text.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::{Command, Header, Progress, Reason, Tlvs, Version, one_family};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";
/// The longest line that the protocol knows, its end included.
const LINE_MAX: usize = 107;
const END: &[u8] = b"\r\n";

pub(super) fn read(bytes: &[u8]) -> Progress<Header<'_>> {
    let common = bytes.len().min(SIGNATURE.len());
    if bytes[..common] != SIGNATURE[..common] {
        return Progress::Malformed(Reason::Absent);
    }
    if bytes.len() < SIGNATURE.len() {
        return Progress::Incomplete;
    }
    let window = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = window.windows(END.len()).position(|two| two == END) else {
        return unfinished(window);
    };
    let rest = &window[SIGNATURE.len()..end];
    let (source, destination) = match line(rest) {
        Ok(Some((source, destination))) => (Some(source), Some(destination)),
        Ok(None) => (None, None),
        Err(reason) => return Progress::Malformed(reason),
    };
    // Without addresses it says no more than that the connection's own ones count.
    let command = if source.is_some() { Command::Proxy } else { Command::Local };
    let header = Header { version: Version::V1, command, source, destination, tlvs: Tlvs::default() };
    Progress::Complete { header, consumed: end + END.len() }
}

/// A line whose end has not come: may it still?
fn unfinished(window: &[u8]) -> Progress<Header<'_>> {
    let rest = &window[SIGNATURE.len()..];
    let known: [&[u8]; 3] = [b"TCP4 ", b"TCP6 ", b"UNKNOWN"];
    let possible = known.iter().find(|protocol| {
        let common = rest.len().min(protocol.len());
        rest[..common] == protocol[..common]
    });
    match possible {
        None => Progress::Malformed(Reason::Protocol),
        // Whatever follows UNKNOWN has no meaning up to CR LF; in the other lines a lone end is one too early.
        Some(protocol) if *protocol != b"UNKNOWN" && lone_end(rest) => Progress::Malformed(Reason::LineEnd),
        Some(_) if window.len() == LINE_MAX => Progress::Malformed(Reason::LineTooLong),
        Some(_) => Progress::Incomplete,
    }
}

/// A CR or LF that is not the beginning of CR LF.
fn lone_end(rest: &[u8]) -> bool {
    let before_last = rest.strip_suffix(b"\r").unwrap_or(rest);
    before_last.iter().any(|byte| matches!(byte, b'\r' | b'\n'))
}

/// What stands between signature and end: source and destination, or none.
fn line(rest: &[u8]) -> Result<Option<(SocketAddr, SocketAddr)>, Reason> {
    if rest == b"UNKNOWN" || rest.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let (is_v4, fields) = match (rest.strip_prefix(b"TCP4 "), rest.strip_prefix(b"TCP6 ")) {
        (Some(fields), _) => (true, fields),
        (_, Some(fields)) => (false, fields),
        _ => return Err(Reason::Protocol),
    };
    if lone_end(rest) || rest.ends_with(b"\r") {
        return Err(Reason::LineEnd);
    }
    let fields = std::str::from_utf8(fields).map_err(|_| Reason::Address)?;
    let mut fields = fields.split(' ');
    let mut next = || fields.next().filter(|field| !field.is_empty()).ok_or(Reason::Fields);
    let (source, destination, source_port, destination_port) = (next()?, next()?, next()?, next()?);
    if fields.next().is_some() {
        return Err(Reason::Fields);
    }
    let address = |text: &str| {
        let address = IpAddr::from_str(text).ok().filter(|address| address.is_ipv4() == is_v4);
        address.ok_or(Reason::Address)
    };
    Ok(Some((
        SocketAddr::new(address(source)?, port(source_port)?),
        SocketAddr::new(address(destination)?, port(destination_port)?),
    )))
}

/// 0 to 65535 in decimal, without leading zeros.
fn port(text: &str) -> Result<u16, Reason> {
    let plain = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(Reason::Port)
}

/// Writes the header of a connection from `source` to `destination`. Should they be of different families, both are
/// written as IPv6 addresses, mapped where need be.
pub fn write_v1(source: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    let (source, destination) = one_family(source, destination);
    let protocol = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let line = format!(
        "PROXY {protocol} {} {} {} {}\r\n",
        source.ip(),
        destination.ip(),
        source.port(),
        destination.port()
    );
    out.extend_from_slice(line.as_bytes());
}
