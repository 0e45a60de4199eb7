//! The record types: their mnemonics and what their data consist of.
//!
//! One table serves all that looks into data: reading and writing master files, proving data from outside,
//! the canonical form, and which names in an answer may be compressed.

use crate::protocol::code::kind;
use crate::protocol::name;

/// A part of a record's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// A name of the types of RFC 1035, which may be compressed (RFC 3597 section 4).
    Name,
    /// A name that every server must send uncompressed.
    PlainName,
    /// An unsigned number of one octet.
    U8,
    /// An unsigned number of two octets.
    U16,
    /// An unsigned number of four octets.
    U32,
    /// Seconds in four octets, at most 2^31 - 1 (RFC 2181 section 8).
    Period,
    /// The kind of a CERT record, by mnemonic or number, in two octets.
    CertKind,
    /// A DNSSEC algorithm, by mnemonic or number, in one octet.
    Algorithm,
    /// Four octets of an address.
    Ipv4,
    /// Sixteen octets of an address.
    Ipv6,
    /// A length octet and as many octets.
    Text,
    /// One or more of these, to the end.
    Texts,
    /// The tag of CAA: a length octet, and letters and digits.
    Tag,
    /// Any octets to the end, written as one string.
    LongText,
    /// One or more octets to the end, in hexadecimal.
    Hex,
    /// One or more octets to the end, in Base64.
    Base64,
    /// Six or eight octets in hexadecimal with dashes (RFC 7043).
    Eui(u8),
    /// Four groups of hexadecimal digits (RFC 6742 section 2.1.1).
    Locator,
    /// The parameters of SVCB and HTTPS (RFC 9460 section 2.1).
    Parameters,
    /// Sixteen octets of a place on Earth (RFC 1876).
    Location,
}

/// What is known about a type.
pub(super) struct Shape {
    pub(super) kind: u16,
    pub(super) mnemonic: &'static str,
    pub(super) fields: &'static [Field],
}

const fn shape(kind: u16, mnemonic: &'static str, fields: &'static [Field]) -> Shape {
    Shape { kind, mnemonic, fields }
}

/// In the order of their numbers. Types that exist only in questions or transactions have no place here.
static SHAPES: &[Shape] = {
    use Field::*;
    &[
        shape(kind::A, "A", &[Ipv4]),
        shape(kind::NS, "NS", &[Name]),
        shape(kind::MD, "MD", &[Name]),
        shape(kind::MF, "MF", &[Name]),
        shape(kind::CNAME, "CNAME", &[Name]),
        shape(kind::SOA, "SOA", &[Name, Name, U32, Period, Period, Period, Period]),
        shape(kind::MB, "MB", &[Name]),
        shape(kind::MG, "MG", &[Name]),
        shape(kind::MR, "MR", &[Name]),
        shape(kind::PTR, "PTR", &[Name]),
        shape(kind::HINFO, "HINFO", &[Text, Text]),
        shape(kind::MINFO, "MINFO", &[Name, Name]),
        shape(kind::MX, "MX", &[U16, Name]),
        shape(kind::TXT, "TXT", &[Texts]),
        shape(kind::RP, "RP", &[PlainName, PlainName]),
        shape(AFSDB, "AFSDB", &[U16, PlainName]),
        shape(19, "X25", &[Text]),
        shape(RT, "RT", &[U16, PlainName]),
        shape(kind::AAAA, "AAAA", &[Ipv6]),
        shape(29, "LOC", &[Location]),
        shape(kind::SRV, "SRV", &[U16, U16, U16, PlainName]),
        shape(kind::NAPTR, "NAPTR", &[U16, U16, Text, Text, Text, PlainName]),
        shape(KX, "KX", &[U16, PlainName]),
        shape(37, "CERT", &[CertKind, U16, Algorithm, Base64]),
        shape(kind::DNAME, "DNAME", &[PlainName]),
        shape(kind::DS, "DS", &[U16, Algorithm, U8, Hex]),
        shape(kind::SSHFP, "SSHFP", &[U8, U8, Hex]),
        shape(kind::DNSKEY, "DNSKEY", &[U16, U8, Algorithm, Base64]),
        shape(kind::TLSA, "TLSA", &[U8, U8, U8, Hex]),
        shape(53, "SMIMEA", &[U8, U8, U8, Hex]),
        shape(kind::CDS, "CDS", &[U16, Algorithm, U8, Hex]),
        shape(kind::CDNSKEY, "CDNSKEY", &[U16, U8, Algorithm, Base64]),
        shape(61, "OPENPGPKEY", &[Base64]),
        shape(63, "ZONEMD", &[U32, U8, U8, Hex]),
        shape(kind::SVCB, "SVCB", &[U16, PlainName, Parameters]),
        shape(kind::HTTPS, "HTTPS", &[U16, PlainName, Parameters]),
        shape(99, "SPF", &[Texts]),
        shape(104, "NID", &[U16, Locator]),
        shape(105, "L32", &[U16, Ipv4]),
        shape(106, "L64", &[U16, Locator]),
        shape(107, "LP", &[U16, PlainName]),
        shape(108, "EUI48", &[Eui(6)]),
        shape(109, "EUI64", &[Eui(8)]),
        shape(kind::URI, "URI", &[U16, U16, LongText]),
        shape(kind::CAA, "CAA", &[U8, Tag, LongText]),
    ]
};

/// AFS cell database (RFC 1183).
pub(super) const AFSDB: u16 = 18;
/// Route through (RFC 1183).
pub(super) const RT: u16 = 21;
/// Key exchanger (RFC 2230).
pub(super) const KX: u16 = 36;

/// Types without a shape here that are known by name all the same.
static OTHERS: &[(u16, &str)] = &[
    (kind::SIG, "SIG"),
    (kind::OPT, "OPT"),
    (kind::RRSIG, "RRSIG"),
    (kind::NSEC, "NSEC"),
    (kind::NSEC3, "NSEC3"),
    (kind::NSEC3PARAM, "NSEC3PARAM"),
    (62, "CSYNC"),
    (kind::TKEY, "TKEY"),
    (kind::TSIG, "TSIG"),
    (kind::IXFR, "IXFR"),
    (kind::AXFR, "AXFR"),
    (kind::MAILB, "MAILB"),
    (kind::MAILA, "MAILA"),
    (kind::ANY, "ANY"),
];

pub(super) fn shape_of(kind: u16) -> Option<&'static Shape> {
    SHAPES.binary_search_by_key(&kind, |shape| shape.kind).ok().map(|at| &SHAPES[at])
}

/// The number of a type: its mnemonic in any case, or `TYPE123` (RFC 3597 section 5). `None` when it is neither.
pub fn kind_of(text: &str) -> Option<u16> {
    let shaped = SHAPES.iter().map(|shape| (shape.kind, shape.mnemonic));
    shaped
        .chain(OTHERS.iter().copied())
        .find(|(_, mnemonic)| mnemonic.eq_ignore_ascii_case(text))
        .map(|(kind, _)| kind)
        .or_else(|| {
            let (prefix, digits) = text.split_at_checked(4)?;
            let is_number = prefix.eq_ignore_ascii_case("TYPE") && digits.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| digits.parse().ok())?
        })
}

/// The mnemonic of a type for logs and answers, where there is one.
pub fn mnemonic_of(kind: u16) -> Option<&'static str> {
    shape_of(kind)
        .map(|shape| shape.mnemonic)
        .or_else(|| OTHERS.iter().find(|(other, _)| *other == kind).map(|(_, mnemonic)| *mnemonic))
}

/// The name of a type as master files write it: its mnemonic, or `TYPE123` (RFC 3597 section 5).
pub fn mnemonic(kind: u16) -> std::borrow::Cow<'static, str> {
    mnemonic_of(kind).map_or_else(|| format!("TYPE{kind}").into(), Into::into)
}

/// Whether records of a type can stand in a zone: not questions, not transactions, not the pseudo-record of
/// EDNS (RFC 6895 section 3.1).
pub fn is_data(kind: u16) -> bool {
    !matches!(kind, 0 | kind::OPT | 128..=255 | 65535)
}

/// The data do not have the form of their type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misshapen;

/// Takes data apart: each part with its octets, in order. Data of types without a shape are one part.
pub(super) fn walk<'a>(
    kind: u16,
    rdata: &'a [u8],
    mut part: impl FnMut(Field, &'a [u8]),
) -> Result<(), Misshapen> {
    let Some(shape) = shape_of(kind) else {
        part(Field::LongText, rdata);
        return Ok(());
    };
    let mut rest = rdata;
    for &field in shape.fields {
        let (octets, tail) = rest.split_at_checked(length(field, rest)?).ok_or(Misshapen)?;
        part(field, octets);
        rest = tail;
    }
    if rest.is_empty() { Ok(()) } else { Err(Misshapen) }
}

/// How many octets of `rest` a part takes.
fn length(field: Field, rest: &[u8]) -> Result<usize, Misshapen> {
    let text = |octets: &[u8]| octets.first().map(|length| usize::from(*length) + 1).ok_or(Misshapen);
    Ok(match field {
        Field::Name | Field::PlainName => name::wire_len(rest).map_err(|_| Misshapen)?,
        Field::U8 | Field::Algorithm => 1,
        Field::U16 | Field::CertKind => 2,
        Field::U32 | Field::Ipv4 => 4,
        Field::Period => match rest.first() {
            Some(0x80..) => return Err(Misshapen),
            _ => 4,
        },
        Field::Locator => 8,
        Field::Ipv6 => 16,
        Field::Location => match rest.first() {
            Some(0) => 16,
            _ => return Err(Misshapen),
        },
        Field::Eui(octets) => octets.into(),
        Field::Text => text(rest)?,
        Field::Tag => match text(rest)? {
            length if length > 1 && rest.iter().take(length).skip(1).all(u8::is_ascii_alphanumeric) => length,
            _ => return Err(Misshapen),
        },
        Field::Texts => {
            let mut tail = rest;
            loop {
                tail = tail.get(text(tail)?..).ok_or(Misshapen)?;
                if tail.is_empty() {
                    break rest.len();
                }
            }
        }
        Field::LongText => rest.len(),
        Field::Hex | Field::Base64 => match rest.len() {
            0 => return Err(Misshapen),
            length => length,
        },
        Field::Parameters => {
            parameters(rest, |_, _| ())?;
            rest.len()
        }
    })
}

/// Takes the parameters of SVCB apart: keys strictly ascending, each with its value (RFC 9460 section 2.2).
pub(super) fn parameters<'a>(
    octets: &'a [u8],
    mut parameter: impl FnMut(u16, &'a [u8]),
) -> Result<(), Misshapen> {
    let mut rest = octets;
    let mut last = None;
    while !rest.is_empty() {
        let (&[k0, k1, l0, l1], tail) = rest.split_first_chunk().ok_or(Misshapen)?;
        let key = u16::from_be_bytes([k0, k1]);
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let (value, tail) = tail.split_at_checked(length).ok_or(Misshapen)?;
        if last.is_some_and(|last| last >= key) {
            return Err(Misshapen);
        }
        parameter(key, value);
        last = Some(key);
        rest = tail;
    }
    Ok(())
}

/// Whether data have the form of their type.
pub(super) fn is_shaped(kind: u16, rdata: &[u8]) -> bool {
    walk(kind, rdata, |_, _| ()).is_ok()
}

/// The data with their names in lower case: equal for equal records (RFC 4034 section 6.2). `None` when they
/// are so already.
pub(super) fn canonical(kind: u16, rdata: &[u8]) -> Option<Box<[u8]>> {
    let fields = shape_of(kind)?.fields;
    if !fields.iter().any(|field| matches!(field, Field::Name | Field::PlainName)) {
        return None;
    }
    let mut lower = Vec::with_capacity(rdata.len());
    walk(kind, rdata, |field, octets| {
        let at = lower.len();
        lower.extend_from_slice(octets);
        if matches!(field, Field::Name | Field::PlainName) {
            lower[at..].make_ascii_lowercase();
        }
    })
    .ok()?;
    (lower != rdata).then(|| lower.into())
}

/// The host whose addresses a client will want next, for the types that name one.
pub(super) fn host(kind: u16, rdata: &[u8]) -> Option<&[u8]> {
    let at = match kind {
        kind::NS => 0,
        kind::MX | AFSDB | RT | KX | kind::SVCB | kind::HTTPS => 2,
        kind::SRV => 6,
        _ => return None,
    };
    Some(name_at(rdata, at)).filter(|name| name.len() > 1)
}

/// The name that stands in proven data from `at` on; empty where there is none.
pub(super) fn name_at(rdata: &[u8], at: usize) -> &[u8] {
    let rest = rdata.get(at..).unwrap_or_default();
    &rest[..name::wire_len(rest).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_by_number_and_by_mnemonic() {
        assert!(SHAPES.is_sorted_by_key(|shape| shape.kind));
        for shape in SHAPES {
            assert_eq!(kind_of(shape.mnemonic), Some(shape.kind));
            assert_eq!(mnemonic(shape.kind), shape.mnemonic);
            assert!(is_data(shape.kind));
        }
        for (kind, mnemonic) in OTHERS {
            assert_eq!(kind_of(&mnemonic.to_ascii_lowercase()), Some(*kind));
        }
        assert_eq!(kind_of("type65280"), Some(65280));
        assert_eq!(mnemonic(65280), "TYPE65280");
        for text in ["", "TYPE", "TYPE65536", "TYPE+1", "AA", "ТYPE1"] {
            assert_eq!(kind_of(text), None, "{text}");
        }
    }

    #[test]
    fn misshapen_data_are_seen() {
        for (kind, rdata) in [
            (kind::A, &b"\x01\x02\x03"[..]),
            (kind::A, b"\x01\x02\x03\x04\x05"),
            (kind::AAAA, b"\x01"),
            (kind::NS, b"\x03abc"),
            (kind::NS, b"\xc0\x0c"),
            (kind::NS, b"\0\0"),
            (kind::MX, b"\0"),
            (kind::TXT, b""),
            (kind::TXT, b"\x05abc"),
            (kind::TXT, b"\x01a\x02b"),
            (kind::CAA, b"\0\0x"),
            (kind::DS, b"\0\x01\x08\x02"),
            (kind::HTTPS, b"\0\x01\0\0\x03\0\x02\0\x50\0\x01\0\0"),
            (kind::HTTPS, b"\0\x01\0\0\x03\0\x03\0\x50"),
            (kind::SOA, b"\0\0\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01\x80\0\0\0"),
        ] {
            assert!(!is_shaped(kind, rdata), "{kind} {rdata:?}");
        }
        assert!(is_shaped(kind::TXT, b"\0"));
        assert!(is_shaped(65280, b""));
    }

    #[test]
    fn the_canonical_form_lowers_names_only() {
        assert_eq!(canonical(kind::MX, b"\x41\x42\x01A\0").as_deref(), Some(&b"\x41\x42\x01a\0"[..]));
        assert_eq!(canonical(kind::MX, b"\x41\x42\x01a\0"), None);
        assert_eq!(canonical(kind::TXT, b"\x01A"), None);
    }
}
