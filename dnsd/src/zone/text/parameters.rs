//! The parameters of SVCB and HTTPS records (RFC 9460 section 2.1 and appendix A).

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::BASE64;

use super::super::rdata::parameters;
use super::super::render::write_string;
use super::{TextError, Word, Words, unfit};

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6_HINT: u16 = 6;
const DOHPATH: u16 = 7;
const OHTTP: u16 = 8;

/// IANA "DNS service parameter keys (SvcParamKeys)".
const KEYS: &[(&str, u16)] = &[
    ("mandatory", MANDATORY),
    ("alpn", ALPN),
    ("no-default-alpn", NO_DEFAULT_ALPN),
    ("port", PORT),
    ("ipv4hint", IPV4_HINT),
    ("ech", ECH),
    ("ipv6hint", IPV6_HINT),
    ("dohpath", DOHPATH),
    ("ohttp", OHTTP),
];

/// Reads `key=value` words to the end; in the wire form they stand in the order of their numbers.
pub(super) fn parse(words: &mut Words, data: &mut Vec<u8>) -> Result<(), TextError> {
    let mut values = BTreeMap::new();
    for word in words {
        let split = word.octets.iter().position(|octet| *octet == b'=');
        let (name, text) = match split {
            Some(at) => (&word.octets[..at], Some(&word.octets[at + 1..])),
            None => (&word.octets[..], None),
        };
        let key =
            key(name).ok_or_else(|| unfit(&word, "a service parameter, such as alpn=h2 or key667=x"))?;
        let value = value(key, text, &word)?;
        if values.insert(key, value).is_some() {
            return Err(unfit(&word, "a service parameter that stands there once"));
        }
    }
    check_mandatory(&values)?;
    for (key, value) in values {
        data.extend_from_slice(&key.to_be_bytes());
        data.extend_from_slice(
            &u16::try_from(value.len()).map_err(|_| TextError::DataTooLong)?.to_be_bytes(),
        );
        data.extend_from_slice(&value);
    }
    Ok(())
}

/// Writes parameters in wire form as [`parse`] reads them: known ones by name where their value has the form
/// that they need, all others by number.
pub(in crate::zone) fn write_parameters(octets: &[u8], out: &mut impl Write) -> fmt::Result {
    let mut result = Ok(());
    let walked = parameters(octets, |key, value| {
        if result.is_ok() {
            result = write_parameter(key, value, out);
        }
    });
    debug_assert!(walked.is_ok(), "only proven data are written");
    result
}

fn key(name: &[u8]) -> Option<u16> {
    let name = std::str::from_utf8(name).ok()?;
    if let Some((_, key)) = KEYS.iter().find(|(known, _)| *known == name) {
        return Some(*key);
    }
    let digits = name.strip_prefix("key")?;
    let is_plain =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    // 65535 is reserved (RFC 9460 section 14.3.2).
    digits.parse().ok().filter(|key| is_plain && *key != u16::MAX)
}

fn value(key: u16, text: Option<&[u8]>, word: &Word) -> Result<Vec<u8>, TextError> {
    let needed = |what| text.filter(|text| !text.is_empty()).ok_or_else(|| unfit(word, what));
    let addresses = |what, read: fn(&str) -> Option<Vec<u8>>| {
        let text = std::str::from_utf8(needed(what)?).map_err(|_| unfit(word, what))?;
        let octets: Option<Vec<_>> = text.split(',').map(read).collect();
        octets.map(|octets| octets.concat()).ok_or_else(|| unfit(word, what))
    };
    match key {
        MANDATORY => {
            const WHAT: &str = "a list of other keys, such as mandatory=alpn,port";
            let mut keys = Vec::new();
            for name in needed(WHAT)?.split(|octet| *octet == b',') {
                keys.push(self::key(name).filter(|key| *key != MANDATORY).ok_or_else(|| unfit(word, WHAT))?);
            }
            keys.sort_unstable();
            if keys.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(unfit(word, WHAT));
            }
            Ok(keys.into_iter().flat_map(u16::to_be_bytes).collect())
        }
        ALPN => {
            const WHAT: &str = "a list of protocols, such as alpn=h2,h3";
            protocols(needed(WHAT)?).ok_or_else(|| unfit(word, WHAT))
        }
        NO_DEFAULT_ALPN | OHTTP => match text {
            None | Some([]) => Ok(Vec::new()),
            Some(_) => Err(unfit(word, "a key without a value")),
        },
        PORT => {
            const WHAT: &str = "a port, such as port=8443";
            let text = needed(WHAT)?;
            let port = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            let port: u16 = port.and_then(|port| port.parse().ok()).ok_or_else(|| unfit(word, WHAT))?;
            Ok(port.to_be_bytes().into())
        }
        IPV4_HINT => addresses("IPv4 addresses, such as ipv4hint=192.0.2.1", |text| {
            text.parse::<Ipv4Addr>().ok().map(|address| address.octets().into())
        }),
        IPV6_HINT => addresses("IPv6 addresses, such as ipv6hint=2001:db8::1", |text| {
            text.parse::<Ipv6Addr>().ok().map(|address| address.octets().into())
        }),
        ECH => {
            const WHAT: &str = "Base64 with its padding";
            BASE64.decode(needed(WHAT)?).map_err(|_| unfit(word, WHAT))
        }
        DOHPATH => Ok(needed("a URI template, such as dohpath=/dns-query{?dns}")?.into()),
        _ => Ok(text.unwrap_or_default().into()),
    }
}

/// Protocol identifiers, each with its length. A comma inside of one is escaped once more (appendix A.1).
fn protocols(list: &[u8]) -> Option<Vec<u8>> {
    let mut wire = vec![0];
    let mut length_at = 0;
    let mut octets = list.iter();
    while let Some(octet) = octets.next() {
        match octet {
            b',' => {
                length_at = close(&mut wire, length_at)?;
                wire.push(0);
            }
            b'\\' => wire.push(*octets.next()?),
            octet => wire.push(*octet),
        }
    }
    close(&mut wire, length_at)?;
    Some(wire)
}

/// Sets the length of the identifier that ends here; the next one's place.
fn close(wire: &mut [u8], length_at: usize) -> Option<usize> {
    let length = u8::try_from(wire.len() - length_at - 1).ok().filter(|length| *length > 0)?;
    wire[length_at] = length;
    Some(wire.len())
}

/// What is mandatory must be there (RFC 9460 section 8), and `no-default-alpn` needs `alpn` (section 7.1.1).
fn check_mandatory(values: &BTreeMap<u16, Vec<u8>>) -> Result<(), TextError> {
    let keys = values.get(&MANDATORY).map(Vec::as_slice).unwrap_or_default();
    let is_there = |pair: &[u8]| values.contains_key(&u16::from_be_bytes([pair[0], pair[1]]));
    if !keys.chunks_exact(2).all(is_there) {
        return Err(TextError::Missing("each service parameter that is named as mandatory"));
    }
    if values.contains_key(&NO_DEFAULT_ALPN) && !values.contains_key(&ALPN) {
        return Err(TextError::Missing("alpn, because of no-default-alpn,"));
    }
    Ok(())
}

fn write_parameter(key: u16, value: &[u8], out: &mut impl Write) -> fmt::Result {
    out.write_char(' ')?;
    if let Some(name) = widely_known(key)
        && let Some(text) = value_text(key, value)
    {
        out.write_str(name)?;
        if text.is_empty() {
            return Ok(());
        }
        out.write_char('=')?;
        return write_string(&text, out);
    }
    write!(out, "key{key}")?;
    if value.is_empty() {
        return Ok(());
    }
    out.write_char('=')?;
    write_string(value, out)
}

/// The value of a known key, before its escapes as a string; `None` when it does not have the form that it should.
fn value_text(key: u16, value: &[u8]) -> Option<Vec<u8>> {
    let list = |width: usize, item: &dyn Fn(&[u8]) -> Option<String>| {
        let is_list = !value.is_empty() && value.len().is_multiple_of(width);
        let items: Option<Vec<String>> = is_list.then(|| value.chunks_exact(width).map(item).collect())?;
        items.map(|items| items.join(",").into_bytes())
    };
    match key {
        MANDATORY => list(2, &|pair| {
            let key = u16::from_be_bytes(pair.try_into().ok()?);
            Some(widely_known(key).map_or_else(|| format!("key{key}"), str::to_owned))
        }),
        ALPN => protocols_text(value),
        NO_DEFAULT_ALPN => value.is_empty().then(Vec::new),
        PORT => Some(u16::from_be_bytes(value.try_into().ok()?).to_string().into()),
        IPV4_HINT => list(4, &|octets| Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).to_string())),
        IPV6_HINT => list(16, &|octets| Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).to_string())),
        ECH => (!value.is_empty()).then(|| BASE64.encode(value).into()),
        _ => None,
    }
}

/// The name of a key of RFC 9460 itself; Knot 3.2 reads no others.
fn widely_known(key: u16) -> Option<&'static str> {
    KEYS.iter().find(|(_, known)| *known == key && key <= IPV6_HINT).map(|(name, _)| *name)
}

/// The reverse of [`protocols`].
fn protocols_text(value: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut rest = value;
    while let Some((&length, tail)) = rest.split_first() {
        let (item, tail) = tail.split_at_checked(length.into()).filter(|(item, _)| !item.is_empty())?;
        if !text.is_empty() {
            text.push(b',');
        }
        for &octet in item {
            if matches!(octet, b',' | b'\\') {
                text.push(b'\\');
            }
            text.push(octet);
        }
        rest = tail;
    }
    Some(text).filter(|text| !text.is_empty())
}
