//! Texts and their wire forms; most of them are the examples of the RFCs.

use proptest::prelude::*;

use super::super::rdata::{Field, is_shaped, kind_of, shape_of};
use super::super::render;
use super::{TextError, name, rdata};
use crate::protocol::code::kind;
use crate::protocol::name::Name;

fn origin() -> Name {
    Name::parse("example.com.").unwrap()
}

fn read(kind: &str, value: &str) -> Result<Box<[u8]>, TextError> {
    rdata(kind_of(kind).unwrap(), value, &origin())
}

/// Text, its wire form, and how we write it.
const VALUES: &[(&str, &str, &[u8], &str)] = &[
    ("A", "192.0.2.1", b"\xc0\0\x02\x01", "192.0.2.1"),
    ("A", "\\# 4 C0 000201", b"\xc0\0\x02\x01", "192.0.2.1"),
    ("AAAA", "::ffff:1.2.3.4", b"\0\0\0\0\0\0\0\0\0\0\xff\xff\x01\x02\x03\x04", "::ffff:1.2.3.4"),
    ("CNAME", "@", b"\x07example\x03com\0", "example.com."),
    ("CNAME", "API", b"\x03API\x07example\x03com\0", "API.example.com."),
    ("CNAME", "a\\.b.", b"\x03a.b\0", "a\\.b."),
    ("CNAME", "a\\.", b"\x02a.\x07example\x03com\0", "a\\..example.com."),
    ("MX", "0 .", b"\0\0\0", "0 ."),
    (
        "SOA",
        "ns. h. 1 1h30m 2d 1w 0",
        b"\x02ns\0\x01h\0\0\0\0\x01\0\0\x15\x18\0\x02\xa3\0\0\x09\x3a\x80\0\0\0\0",
        "ns. h. 1 5400 172800 604800 0",
    ),
    (
        "TXT",
        "\"a b\" c \"\" \"\\\"\\\\\\009\"",
        b"\x03a b\x01c\0\x03\"\\\x09",
        "\"a b\" \"c\" \"\" \"\\\"\\\\\\009\"",
    ),
    ("TXT", "\u{e4}", b"\x02\xc3\xa4", "\"\\195\\164\""),
    ("SRV", "0 5 5060 sip.x.", b"\0\0\0\x05\x13\xc4\x03sip\x01x\0", "0 5 5060 sip.x."),
    ("CAA", "0 issue \"ca.x; a=b\"", b"\0\x05issueca.x; a=b", "0 issue \"ca.x; a=b\""),
    ("URI", "10 1 \"ftp://x/\"", b"\0\x0a\0\x01ftp://x/", "10 1 \"ftp://x/\""),
    ("SSHFP", "4 2 12 34aB", b"\x04\x02\x12\x34\xab", "4 2 1234ab"),
    ("DS", "60485 ECDSAP256SHA256 2 00FF", b"\xec\x45\x0d\x02\0\xff", "60485 13 2 00ff"),
    ("CERT", "PKIX 1 8 AQ ID", b"\0\x01\0\x01\x08\x01\x02\x03", "1 1 8 AQID"),
    ("EUI48", "00-00-5e-00-53-2a", b"\0\0\x5e\0\x53\x2a", "00-00-5e-00-53-2a"),
    ("NID", "10 14:4fff:ff20:ee64", b"\0\x0a\0\x14\x4f\xff\xff\x20\xee\x64", "10 0014:4fff:ff20:ee64"),
    (
        "NAPTR",
        "100 10 S SIP+D2U \"\" _sip._udp.x.",
        b"\0\x64\0\x0a\x01S\x07SIP+D2U\0\x04_sip\x04_udp\x01x\0",
        "100 10 \"S\" \"SIP+D2U\" \"\" _sip._udp.x.",
    ),
    (
        "LOC",
        "42 21 54 N 71 06 18 W -24m 30m",
        b"\0\x33\x16\x13\x89\x17\x2d\xd0\x70\xbe\x15\xf0\0\x98\x8d\x20",
        "42 21 54.000 N 71 6 18.000 W -24.00m 30.00m 10000.00m 10.00m",
    ),
    ("TYPE65280", "\\# 0", b"", "\\# 0"),
    // RFC 9460 appendix D.
    ("HTTPS", "0 foo.", b"\0\0\x03foo\0", "0 foo."),
    ("SVCB", "1 .", b"\0\x01\0", "1 ."),
    ("SVCB", "16 foo. port=53", b"\0\x10\x03foo\0\0\x03\0\x02\0\x35", "16 foo. port=\"53\""),
    (
        "SVCB",
        "1 foo. key667=\"hello\\210qoo\"",
        b"\0\x01\x03foo\0\x02\x9b\0\x09hello\xd2qoo",
        "1 foo. key667=\"hello\\210qoo\"",
    ),
    (
        "SVCB",
        "16 foo. alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1",
        b"\0\x10\x03foo\0\0\0\0\x04\0\x01\0\x04\0\x01\0\x09\x02h2\x05h3-19\0\x04\0\x04\xc0\0\x02\x01",
        "16 foo. mandatory=\"alpn,ipv4hint\" alpn=\"h2,h3-19\" ipv4hint=\"192.0.2.1\"",
    ),
    (
        "SVCB",
        "16 foo. alpn=\"f\\\\\\\\oo\\\\,bar,h2\"",
        b"\0\x10\x03foo\0\0\x01\0\x0c\x08f\\oo,bar\x02h2",
        "16 foo. alpn=\"f\\\\\\\\oo\\\\,bar,h2\"",
    ),
    (
        "SVCB",
        "16 foo. alpn=f\\\\\\092oo\\092,bar,h2",
        b"\0\x10\x03foo\0\0\x01\0\x0c\x08f\\oo,bar\x02h2",
        "16 foo. alpn=\"f\\\\\\\\oo\\\\,bar,h2\"",
    ),
];

#[test]
fn values_become_what_the_types_define() {
    for (kind, value, wire, written) in VALUES {
        assert_eq!(read(kind, value).as_deref(), Ok(*wire), "{kind} {value}");
        assert_eq!(render::rdata(kind_of(kind).unwrap(), wire), *written, "{kind} {value}");
        assert_eq!(read(kind, written).as_deref(), Ok(*wire), "{kind} {written}");
    }
}

#[test]
fn unfit_values_are_refused_with_the_reason() {
    use TextError as E;
    let unfit = |word: &str| matches!(read("A", word), Err(E::Unfit(_, _)));
    assert!(["192.0.2", "192.0.2.256", "::1", "x", "01.2.3.4"].into_iter().all(unfit));
    for (kind, value, check) in [
        ("A", "", (|e| matches!(e, E::Missing(_))) as fn(&E) -> bool),
        ("A", "1.2.3.4 5", |e| matches!(e, E::Extra(_))),
        ("A", "\\# 3 c00002", |e| matches!(e, E::Misshapen)),
        ("A", "\\# 4 c00002", |e| matches!(e, E::Generic)),
        ("A", "\\# 4 c000020", |e| matches!(e, E::Generic)),
        ("MX", "10", |e| matches!(e, E::Missing(_))),
        ("MX", "65536 mail", |e| matches!(e, E::Unfit(_, _))),
        ("MX", "+1 mail", |e| matches!(e, E::Unfit(_, _))),
        ("NS", "a..b", |e| matches!(e, E::Name(_, _))),
        ("TXT", "", |e| matches!(e, E::Missing(_))),
        ("TXT", "\"open", |e| matches!(e, E::Quote)),
        ("TXT", "open\\", |e| matches!(e, E::Escape)),
        ("TXT", "\\256", |e| matches!(e, E::Escape)),
        ("TXT", "\\12x", |e| matches!(e, E::Escape)),
        ("TXT", "v=DKIM1; p=", |e| matches!(e, E::Comment)),
        ("TXT", "(a)", |e| matches!(e, E::Parenthesis)),
        ("CAA", "0 is-sue x", |e| matches!(e, E::Unfit(_, _))),
        ("SSHFP", "4 2 abc", |e| matches!(e, E::Unfit(_, _))),
        ("SSHFP", "4 2", |e| matches!(e, E::Missing(_))),
        ("OPENPGPKEY", "A===", |e| matches!(e, E::Unfit(_, _))),
        ("LOC", "91 N 0 E 0m", |e| matches!(e, E::Unfit(_, _))),
        ("LOC", "90 1 N 0 E 0m", |e| matches!(e, E::Unfit(_, _))),
        ("LOC", "1 2 3 4", |e| matches!(e, E::Missing(_) | E::Unfit(_, _))),
        ("SVCB", "1 foo. alpn=", |e| matches!(e, E::Unfit(_, _))),
        ("SVCB", "1 foo. key123=a key123=b", |e| matches!(e, E::Unfit(_, _))),
        ("SVCB", "1 foo. mandatory=port", |e| matches!(e, E::Missing(_))),
        ("SVCB", "1 foo. mandatory=mandatory", |e| matches!(e, E::Unfit(_, _))),
        ("SVCB", "1 foo. no-default-alpn=x alpn=h2", |e| matches!(e, E::Unfit(_, _))),
        ("SVCB", "1 foo. port=+53", |e| matches!(e, E::Unfit(_, _))),
        ("SVCB", "1 foo. port=65536", |e| matches!(e, E::Unfit(_, _))),
        ("SVCB", "1 foo. nokey=1", |e| matches!(e, E::Unfit(_, _))),
        ("SVCB", "1 foo. key65535", |e| matches!(e, E::Unfit(_, _))),
        ("SOA", "a. b. 1 2x 3 4 5", |e| matches!(e, E::Unfit(_, _))),
        ("SOA", "a. b. 1 2147483648 3 4 5", |e| matches!(e, E::Unfit(_, _))),
        ("SOA", "a. b. 1 99999999999999999999w 3 4 5", |e| matches!(e, E::Unfit(_, _))),
        ("TYPE65280", "c0a8083c", |e| matches!(e, E::UnknownKind)),
    ] {
        let error = read(kind, value).expect_err(value);
        assert!(check(&error), "{kind} {value}: {error:?}");
        assert!(!error.to_string().is_empty());
    }
    let long = "x".repeat(256);
    assert_eq!(read("TXT", &long), Err(E::StringTooLong));
    assert_eq!(read("TXT", &format!("{} ", "x".repeat(255)).repeat(257)), Err(E::DataTooLong));
}

#[test]
fn relative_names_are_below_the_origin() {
    for (word, expected) in [
        ("@", "example.com."),
        ("\\@", "\\@.example.com."),
        ("www", "www.example.com."),
        ("www.", "www."),
        (".", "."),
        ("www\\.", "www\\..example.com."),
        ("www\\\\.", "www\\\\."),
    ] {
        assert_eq!(name(word, &origin()).unwrap().to_string(), expected, "{word}");
    }
    assert!(name(&format!("{}x", "l.".repeat(123)), &origin()).is_err(), "too long below the origin");
}

/// Random data in the form of a type.
fn shaped(kind: u16) -> impl Strategy<Value = Vec<u8>> {
    let names = || prop::collection::vec(prop::collection::vec(any::<u8>(), 1..5), 0..4);
    let fields: Vec<_> = shape_of(kind)
        .unwrap()
        .fields
        .iter()
        .map(|field| {
            let octets = |count: usize| prop::collection::vec(any::<u8>(), count);
            let string = || prop::collection::vec(any::<u8>(), 0..20).prop_map(|text| with_length(&text));
            match field {
                Field::Name | Field::PlainName => names()
                    .prop_map(|labels| {
                        labels
                            .iter()
                            .map(|label| with_length(label))
                            .chain([vec![0]])
                            .collect::<Vec<_>>()
                            .concat()
                    })
                    .boxed(),
                Field::U8 | Field::Algorithm => octets(1).boxed(),
                Field::U16 | Field::CertKind => octets(2).boxed(),
                Field::U32 | Field::Ipv4 => octets(4).boxed(),
                Field::Period => (0..=i32::MAX as u32).prop_map(|n| n.to_be_bytes().to_vec()).boxed(),
                Field::Locator => octets(8).boxed(),
                Field::Ipv6 => octets(16).boxed(),
                Field::Eui(count) => octets((*count).into()).boxed(),
                Field::Text => string().boxed(),
                Field::Texts => {
                    prop::collection::vec(string(), 1..4).prop_map(|texts| texts.concat()).boxed()
                }
                Field::Tag => "[a-z0-9]{1,9}".prop_map(|tag| with_length(tag.as_bytes())).boxed(),
                Field::LongText => prop::collection::vec(any::<u8>(), 0..30).boxed(),
                Field::Hex | Field::Base64 => prop::collection::vec(any::<u8>(), 1..40).boxed(),
                Field::Parameters => prop::collection::btree_map(9..65535_u16, octets(5), 0..4)
                    .prop_map(|parameters| {
                        let wire =
                            |(key, value): (u16, Vec<u8>)| [&key.to_be_bytes()[..], &[0, 5], &value].concat();
                        parameters.into_iter().flat_map(wire).collect()
                    })
                    .boxed(),
                Field::Location => {
                    ((0..10_u8, 0..10_u8), 0..=324_000_000_u32, 0..=648_000_000_u32, any::<u32>())
                        .prop_map(|((mantissa, exponent), latitude, longitude, altitude)| {
                            // Zero has one form only.
                            let size = if mantissa == 0 { 0 } else { mantissa << 4 | exponent };
                            let sizes = [0, size, size, size];
                            let degrees =
                                |value: u32, max: u32| ((1_u32 << 31) - max + 2 * (value / 2)).to_be_bytes();
                            [
                                sizes,
                                degrees(latitude, 162_000_000),
                                degrees(longitude, 324_000_000),
                                altitude.to_be_bytes(),
                            ]
                            .concat()
                        })
                        .boxed()
                }
            }
        })
        .collect();
    fields.prop_map(|parts: Vec<Vec<u8>>| parts.concat())
}

fn with_length(text: &[u8]) -> Vec<u8> {
    [&[text.len() as u8], text].concat()
}

fn kinds() -> Vec<u16> {
    (0..=kind::CAA).filter(|kind| shape_of(*kind).is_some()).collect()
}

proptest! {
    #[test]
    fn data_of_every_type_read_back(
        (kind, data) in prop::sample::select(kinds()).prop_flat_map(|kind| (Just(kind), shaped(kind)))
    ) {
        prop_assert!(is_shaped(kind, &data));
        let text = render::rdata(kind, &data);
        prop_assert_eq!(rdata(kind, &text, &origin()), Ok(data.into()), "{} {}", kind, text);
    }

    #[test]
    fn any_octets_are_shaped_or_refused(kind in prop::sample::select(kinds()), data in prop::collection::vec(any::<u8>(), 0..60)) {
        let text = render::rdata(kind, &data);
        prop_assert_eq!(rdata(kind, &text, &origin()).is_ok(), is_shaped(kind, &data), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(kind in prop::sample::select(kinds()), text in "[ -~\\PC]{0,60}") {
        if let Ok(data) = rdata(kind, &text, &origin()) {
            prop_assert!(is_shaped(kind, &data), "{} gave {:?}", text, data);
        }
    }
}
