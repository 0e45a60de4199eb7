//! DNS record types and whether a value fits its type.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::name::owner_flaw;
use super::{Flaw, text_value};
use crate::site::read::{closest, quoted};

/// The types whose names are known; any other goes as `TYPE123` with a value of RFC 3597.
const KINDS: &[&str] = &[
    "A",
    "AAAA",
    "AFSDB",
    "CAA",
    "CERT",
    "CNAME",
    "DNAME",
    "DS",
    "HINFO",
    "HTTPS",
    "LOC",
    "MX",
    "NAPTR",
    "NS",
    "OPENPGPKEY",
    "PTR",
    "RP",
    "SMIMEA",
    "SPF",
    "SRV",
    "SSHFP",
    "SVCB",
    "TLSA",
    "TXT",
    "URI",
];
/// Types that make no sense as data, or are the zone's own.
const NOT_DATA: &[&str] =
    &["ANY", "AXFR", "IXFR", "OPT", "SOA", "TKEY", "TSIG", "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY"];
/// A value longer than this would not fit into a message with its headers.
const VALUE_MAX: usize = 16 * 1024;

/// The type of a record, as its mnemonic in upper case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordKind(pub(crate) String);

text_value!(RecordKind, "record type, such as A, MX, TXT or TYPE65280", |text| {
    let kind = text.to_ascii_uppercase();
    if KINDS.contains(&kind.as_str())
        || kind.strip_prefix("TYPE").is_some_and(|n| n.parse::<u16>().is_ok_and(|n| n > 0))
    {
        return Ok(RecordKind(kind));
    }
    if NOT_DATA.contains(&kind.as_str()) {
        return Err(Flaw::new(format!("a {kind} record cannot be configured"))
            .help("the name server makes it where it belongs"));
    }
    let flaw = Flaw::new(format!("{} is no record type", quoted(text)));
    let lower: Vec<String> = KINDS.iter().map(|kind| kind.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    Err(match closest(text, &lower) {
        Some(like) => flaw.help(format!("did you mean {}?", like.to_ascii_uppercase())),
        None => flaw.help("any common type, or TYPE123 with a value of RFC 3597"),
    })
});

/// What keeps `value` from being the data of a record of `kind`, in master file form.
pub(crate) fn record_flaw(kind: &str, value: &str) -> Result<(), Flaw> {
    if value.len() > VALUE_MAX || value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Flaw::new("the value is too long, or holds control characters"));
    }
    let flaw = |form: &str| {
        Flaw::new(format!("{} is no value of type {kind}", quoted(value)))
            .help(format!("as in {}", quoted(form)))
    };
    let words: Vec<&str> = value.split_whitespace().collect();
    let number = |index: usize, max: u32| {
        words.get(index).is_some_and(|word| plain_number(word).is_some_and(|n| n <= max))
    };
    let domain = |index: usize| words.get(index).is_some_and(|word| target(word));
    let (fits, form) = match kind {
        "A" => (value.parse::<Ipv4Addr>().is_ok(), "192.168.8.60"),
        "AAAA" => (value.parse::<Ipv6Addr>().is_ok(), "fd08::60"),
        "CNAME" | "DNAME" | "NS" | "PTR" => (words.len() == 1 && domain(0), "registry.example.com."),
        "MX" => (words.len() == 2 && number(0, 65535) && domain(1), "10 mail"),
        "AFSDB" => (words.len() == 2 && number(0, 65535) && domain(1), "1 afs"),
        "SRV" => (words.len() == 4 && (0..3).all(|i| number(i, 65535)) && domain(3), "0 5 5060 sip"),
        "RP" => (words.len() == 2 && domain(0) && domain(1), "admin.example.com. ."),
        "TXT" | "SPF" => (character_strings(value), "\"v=spf1 -all\""),
        "CAA" => (
            words.len() >= 3
                && number(0, 255)
                && words[1].bytes().all(|b| b.is_ascii_alphanumeric())
                && character_strings(value),
            "0 issue \"ca.example.net\"",
        ),
        "SSHFP" => (words.len() >= 3 && number(0, 255) && number(1, 255) && hex(&words[2..]), "4 2 1a2b3c…"),
        "DS" => (
            words.len() >= 4 && number(0, 65535) && number(1, 255) && number(2, 255) && hex(&words[3..]),
            "60485 13 2 1a2b3c…",
        ),
        "TLSA" | "SMIMEA" => {
            (words.len() >= 4 && (0..3).all(|i| number(i, 255)) && hex(&words[3..]), "3 1 1 1a2b3c…")
        }
        "SVCB" | "HTTPS" => (words.len() >= 2 && number(0, 65535) && domain(1), "1 . alpn=h2"),
        "NAPTR" => (
            words.len() >= 6 && number(0, 65535) && number(1, 65535) && character_strings(value),
            "100 10 \"S\" \"SIP+D2U\" \"\" _sip._udp",
        ),
        "URI" => (
            words.len() >= 3 && number(0, 65535) && number(1, 65535) && value.ends_with('"'),
            "10 1 \"https://example.com/\"",
        ),
        kind if kind.starts_with("TYPE") => (generic(&words), "\\# 4 c0a8083c"),
        _ => (!words.is_empty(), "…"),
    };
    if fits || generic(&words) { Ok(()) } else { Err(flaw(form)) }
}

fn plain_number(word: &str) -> Option<u32> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok())?
}

/// Whether `name` can be the target of a record: relative or absolute, or the root. An address where a name
/// belongs is the usual slip.
fn target(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let relative = lower.strip_suffix('.').unwrap_or(&lower);
    matches!(name, "." | "@")
        || (!lower.starts_with('*') && relative.parse::<Ipv4Addr>().is_err() && owner_flaw(relative).is_ok())
}

/// Whether quotation marks pair up and each string is at most 255 bytes (RFC 1035 section 3.3.14).
fn character_strings(value: &str) -> bool {
    let (mut quoted, mut escaped, mut length) = (false, false, 0_usize);
    for c in value.chars() {
        match c {
            _ if escaped => {
                escaped = false;
                length += c.len_utf8();
            }
            '\\' => escaped = true,
            '"' => {
                quoted = !quoted;
                length = 0;
            }
            c if c.is_whitespace() && !quoted => length = 0,
            c => length += c.len_utf8(),
        }
        if length > 255 {
            return false;
        }
    }
    !quoted && !escaped && !value.trim().is_empty()
}

fn hex(words: &[&str]) -> bool {
    let digits: usize = words.iter().map(|word| word.len()).sum();
    digits > 0
        && digits.is_multiple_of(2)
        && words.iter().all(|word| word.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The form for data of unknown types, RFC 3597 section 5: `\# LENGTH HEX`.
fn generic(words: &[&str]) -> bool {
    let [mark, length, data @ ..] = words else { return false };
    let digits: usize = data.iter().map(|word| word.len()).sum();
    *mark == "\\#"
        && length.parse::<usize>().is_ok_and(|length| length * 2 == digits)
        && (digits == 0 || hex(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fit_their_types_or_are_refused() {
        for (kind, value) in [
            ("A", "192.0.2.1"),
            ("AAAA", "2001:db8::1"),
            ("CNAME", "api"),
            ("CNAME", "a.b."),
            ("MX", "10 mail"),
            ("MX", "0 ."),
            ("TXT", "\"one\" \"two; three\""),
            ("TXT", "bare words"),
            ("SRV", "0 5 5060 sip.example.com."),
            ("CAA", "0 issue \";\""),
            ("PTR", "host.example."),
            ("SSHFP", "4 2 00ff"),
            ("TYPE65280", "\\# 2 00ff"),
            ("A", "\\# 4 c0000201"),
            ("HTTPS", "1 . alpn=h2"),
            ("NS", "ns_1.example."),
        ] {
            assert_eq!(record_flaw(kind, value), Ok(()), "{kind} {value}");
        }
        for (kind, value) in [
            ("A", "192.0.2.300"),
            ("A", "2001:db8::1"),
            ("AAAA", "192.0.2.1"),
            ("CNAME", "192.0.2.1"),
            ("CNAME", "a b"),
            ("MX", "mail"),
            ("MX", "70000 mail"),
            ("MX", "10 mail extra"),
            ("TXT", "\"open"),
            ("TXT", ""),
            ("SRV", "0 5 sip"),
            ("CAA", "0 issue"),
            ("SSHFP", "4 2 xyz"),
            ("TYPE65280", "00ff"),
            ("TYPE1", "\\# 3 00ff"),
            ("CNAME", "*.example.com."),
            ("CNAME", "a..b"),
        ] {
            assert!(record_flaw(kind, value).is_err(), "{kind} {value}");
        }
    }
}
