//! What the name server answers to queries at and beyond the edge of the protocol: RFC 8906, RFC 6891, RFC 7873.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::time::Duration;

use faros_lab::{Lab, Namespace};
use faros_tests::counter;
use faros_tests::dns::site::{self, BIG_RECORDS, SERVER};
use faros_tests::dns::{Message, PATIENCE, Query, ask_tcp, ask_udp, kind, lookup, rcode};

/// What a probe has to bring.
enum Expect {
    /// An answer with this code, for which the condition holds.
    Answer(u16, fn(&Message) -> bool),
    /// One of these codes.
    Either(&'static [u16]),
    /// Nothing.
    Silence,
}

use Expect::{Answer, Either, Silence};

struct Probe {
    what: &'static str,
    request: Vec<u8>,
    expect: Expect,
}

const API: &str = "api.edge.example.com.";
/// An option number from the range for local use.
const UNKNOWN_OPTION: u16 = 65_001;
const NSID: u16 = 3;
const CLIENT_SUBNET: u16 = 8;
const EXPIRE: u16 = 9;
const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;

fn api() -> Query {
    Query::new(API, kind::A)
}

fn found(message: &Message) -> bool {
    message.is_authoritative() && message.values(kind::A) == ["192.168.8.2"]
}

fn with_plain_opt(message: &Message) -> bool {
    found(message)
        && message.opt.as_ref().is_some_and(|opt| opt.version == 0 && opt.flags == 0 && opt.udp_size == 1232)
}

fn nothing_with_soa(message: &Message) -> bool {
    message.is_authoritative()
        && message.answers.is_empty()
        && message.authorities.len() == 1
        && message.authorities[0].kind == kind::SOA
}

/// `request` with the 16 bits at `at` replaced.
fn altered(mut request: Vec<u8>, at: usize, word: u16) -> Vec<u8> {
    request[at..at + 2].copy_from_slice(&word.to_be_bytes());
    request
}

/// A query whose question is `name`, byte for byte.
fn raw_name(name: &[u8]) -> Vec<u8> {
    let head = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    [&head[..], name, &[0, 1, 0, 1]].concat()
}

/// The head of a query in `opcode` and nothing else.
fn bare(opcode: u16) -> Vec<u8> {
    api().flags(opcode << 11).bytes()
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn probes() -> Vec<Probe> {
    let probe = |what, request: Vec<u8>, expect| Probe { what, request, expect };
    let opt_bytes = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    let two_opt = altered([api().edns(1232).bytes(), opt_bytes.to_vec()].concat(), 10, 2);
    let owned_opt = altered([api().bytes(), vec![1, b'a'], opt_bytes.to_vec()].concat(), 10, 1);
    let opt_in_answer = altered([api().bytes(), opt_bytes.to_vec()].concat(), 6, 1);
    let overlong_opt = {
        let mut bytes = api().edns(1232).bytes();
        let at = bytes.len() - 2;
        bytes[at..].copy_from_slice(&[0, 9]);
        bytes
    };
    let many_options = (0..10_000).fold(api(), |query, _| query.option(UNKNOWN_OPTION, b""));
    let long_name = [[63].as_slice(), &[b'a'; 63]].concat().repeat(4);
    let name_of_255 = [&long_name[..192], &[61], &[b'a'; 61], &[0]].concat();
    let mut list = vec![
        // RFC 8906 section 8.1: without EDNS.
        probe("plain", api().bytes(), Answer(0, |m| found(m) && m.opt.is_none())),
        probe(
            "start of authority",
            Query::new(site::ZONE, kind::SOA).bytes(),
            Answer(0, |m| m.answers.len() == 1),
        ),
        probe("unknown type", Query::new(API, 1000).bytes(), Answer(0, nothing_with_soa)),
        probe("without recursion", api().flags(0).bytes(), Answer(0, |m| found(m) && m.flags & 0x0100 == 0)),
        probe("with CD", api().flags(0x0110).bytes(), Answer(0, found)),
        probe("with AD", api().flags(0x0120).bytes(), Answer(0, found)),
        probe("with Z", api().flags(0x0140).bytes(), Answer(0, |m| found(m) && m.flags & 0x0040 == 0)),
        probe("with AA", api().flags(0x0500).bytes(), Answer(0, found)),
        probe("with TC", api().flags(0x0300).bytes(), Either(&[0, 1])),
        probe("with a code", api().flags(0x0103).bytes(), Either(&[0, 1])),
        probe(
            "mixed case",
            Query::new("aPi.EDGE.example.COM.", kind::A).bytes(),
            Answer(0, |m| found(m) && m.questions[0].0 == "aPi.EDGE.example.COM."),
        ),
        probe("opcode 1", bare(1), Answer(rcode::NOTIMP, |m| m.answers.is_empty())),
        probe("opcode 3", bare(3), Answer(rcode::NOTIMP, |m| m.answers.is_empty())),
        probe("opcode 15", bare(15), Answer(rcode::NOTIMP, |m| m.answers.is_empty())),
        probe("an answer", api().flags(0x8180).bytes(), Silence),
        probe("an answer with opcode 15", api().flags(0xf800).bytes(), Silence),
        // RFC 8906 section 8.2: with EDNS.
        probe("EDNS", api().edns(1232).bytes(), Answer(0, with_plain_opt)),
        probe("EDNS 0 octets", api().edns(0).bytes(), Answer(0, with_plain_opt)),
        probe("EDNS 511 octets", api().edns(511).bytes(), Answer(0, with_plain_opt)),
        probe("EDNS 65535 octets", api().edns(65_535).bytes(), Answer(0, with_plain_opt)),
        probe(
            "EDNS version 1",
            api().opt_ttl(0x0001_0000).bytes(),
            Answer(rcode::BADVERS, |m| {
                m.answers.is_empty() && m.opt.as_ref().is_some_and(|opt| opt.version == 0)
            }),
        ),
        probe(
            "EDNS version 255",
            api().opt_ttl(0x00ff_0000).bytes(),
            Answer(rcode::BADVERS, |m| m.opt.is_some()),
        ),
        probe(
            "EDNS version 1 with an option",
            api().opt_ttl(0x0001_0000).option(UNKNOWN_OPTION, b"x").bytes(),
            Answer(rcode::BADVERS, |m| m.opt.as_ref().is_some_and(|opt| opt.options.is_empty())),
        ),
        probe(
            "unknown option",
            api().option(UNKNOWN_OPTION, b"data").bytes(),
            Answer(0, |m| with_plain_opt(m) && m.opt.as_ref().is_some_and(|opt| opt.options.is_empty())),
        ),
        probe("unknown flags", api().opt_ttl(0x0080).bytes(), Answer(0, with_plain_opt)),
        probe(
            "DO",
            api().dnssec().bytes(),
            Answer(0, |m| found(m) && m.opt.as_ref().is_some_and(|o| o.flags == 0x8000)),
        ),
        probe("DO and an unknown type", Query::new(API, 1000).dnssec().bytes(), Answer(0, nothing_with_soa)),
        probe("a name server's id", api().option(NSID, b"").bytes(), Answer(0, found)),
        probe("a subnet", api().option(CLIENT_SUBNET, &[0, 1, 24, 0, 192, 0, 2]).bytes(), Answer(0, found)),
        probe(
            "a subnet of 33 bits",
            api().option(CLIENT_SUBNET, &[0, 1, 33, 0, 192, 0, 2, 0, 0]).bytes(),
            Answer(rcode::FORMERR, |m| m.answers.is_empty()),
        ),
        probe("expire", api().option(EXPIRE, b"").bytes(), Answer(0, found)),
        probe(
            "keepalive over UDP",
            api().option(KEEPALIVE, b"").bytes(),
            Answer(0, |m| {
                found(m)
                    && m.opt.as_ref().is_some_and(|o| o.options.iter().all(|(code, _)| *code != KEEPALIVE))
            }),
        ),
        probe(
            "padding over UDP",
            api().option(PADDING, &[0; 20]).bytes(),
            Answer(0, |m| found(m) && m.len < 128),
        ),
        probe("10 000 options", many_options.bytes(), Either(&[0, 1])),
        probe("two OPT", two_opt, Answer(rcode::FORMERR, |m| m.answers.is_empty())),
        probe("OPT with an owner", owned_opt, Answer(rcode::FORMERR, |m| m.answers.is_empty())),
        probe("OPT among the answers", opt_in_answer, Answer(rcode::FORMERR, |m| m.answers.is_empty())),
        probe("OPT longer than the message", overlong_opt, Answer(rcode::FORMERR, |m| m.answers.is_empty())),
        // RFC 7873 section 5.2.
        probe(
            "a client's cookie",
            api().option(COOKIE, b"12345678").bytes(),
            Answer(0, |m| {
                found(m)
                    && m.opt.as_ref().is_some_and(|o| {
                        o.options.iter().any(|(code, data)| {
                            *code == COOKIE && data.len() == 24 && data.starts_with(b"12345678")
                        })
                    })
            }),
        ),
        probe(
            "a foreign server cookie",
            api().option(COOKIE, &[7; 24]).bytes(),
            Either(&[0, rcode::BADCOOKIE]),
        ),
        // Questions (RFC 1035 section 4.1.2, RFC 9619).
        probe(
            "no question",
            altered(api().bytes()[..12].to_vec(), 4, 0),
            Answer(rcode::FORMERR, |m| m.answers.is_empty()),
        ),
        probe(
            "two questions",
            altered([api().bytes(), api().bytes()[12..].to_vec()].concat(), 4, 2),
            Answer(rcode::FORMERR, |m| m.answers.is_empty()),
        ),
        probe("65535 questions", altered(api().bytes(), 4, 65_535), Either(&[rcode::FORMERR])),
        probe("more answers than there are", altered(api().bytes(), 6, 9), Either(&[rcode::FORMERR])),
        probe(
            "something after the message",
            [api().bytes(), vec![1, 2, 3]].concat(),
            Either(&[rcode::FORMERR]),
        ),
        probe(
            "class CHAOS",
            Query::new("version.bind.", kind::TXT).class(3).bytes(),
            Either(&[rcode::REFUSED]),
        ),
        probe("class HESIOD", api().class(4).bytes(), Either(&[rcode::REFUSED, rcode::NOTIMP])),
        probe("class 0", api().class(0).bytes(), Either(&[rcode::FORMERR, rcode::REFUSED, rcode::NOTIMP])),
        probe("type 0", Query::new(API, 0).bytes(), Either(&[rcode::NOERROR, rcode::FORMERR])),
        probe(
            "type OPT",
            Query::new(API, kind::OPT).bytes(),
            Either(&[rcode::NOERROR, rcode::FORMERR, rcode::REFUSED]),
        ),
        probe("type 65535", Query::new(API, 65_535).bytes(), Answer(0, nothing_with_soa)),
        probe(
            "any type",
            Query::new("registry.edge.example.com.", kind::ANY).bytes(),
            Answer(0, |m| m.answers.len() == 1),
        ),
        probe(
            "a transfer over UDP",
            Query::new(site::ZONE, kind::AXFR).bytes(),
            Either(&[rcode::FORMERR, rcode::REFUSED, rcode::NOTIMP]),
        ),
        // Names (RFC 1035 sections 2.3.4 and 4.1.4).
        probe("N9 a pointer to itself", raw_name(&[0xc0, 12]), Either(&[rcode::FORMERR])),
        probe("N11 a pointer forward", raw_name(&[0xc0, 16]), Either(&[rcode::FORMERR])),
        probe("N12 a pointer into the head", raw_name(&[0xc0, 0]), Either(&[rcode::FORMERR])),
        probe("N13 a pointer past the end", raw_name(&[0xff, 0xff]), Either(&[rcode::FORMERR])),
        probe("N14 label type 01", raw_name(&[0x41, b'a', 0]), Either(&[rcode::FORMERR])),
        probe("N14 label type 10", raw_name(&[0x80, b'a', 0]), Either(&[rcode::FORMERR])),
        probe("N16 a name of 255 octets", raw_name(&name_of_255), Either(&[0, 2, 3])),
        probe(
            "N16 a name of 256 octets",
            raw_name(&[&long_name[..], &[0]].concat()),
            Either(&[rcode::FORMERR]),
        ),
        probe("N17 127 labels", raw_name(&[[1, b'a'].repeat(127), vec![0]].concat()), Either(&[0, 2, 3])),
        probe(
            "N17 128 labels",
            raw_name(&[[1, b'a'].repeat(128), vec![0]].concat()),
            Either(&[rcode::FORMERR]),
        ),
        probe(
            "N18 odd octets in a label",
            raw_name(b"\x04\0. \xff\x04edge\x07example\x03com\0"),
            Answer(rcode::NXDOMAIN, |m| m.authorities.len() == 1),
        ),
        // Signed and changing ones from strangers (RFC 2136, RFC 1996, RFC 8945).
        probe(
            "an unsigned update",
            Query::new(site::ZONE, kind::SOA).flags(5 << 11).bytes(),
            Either(&[rcode::REFUSED]),
        ),
        probe(
            "an update of a foreign zone",
            Query::new("example.net.", kind::SOA).flags(5 << 11).bytes(),
            Either(&[rcode::NOTAUTH, rcode::REFUSED]),
        ),
        probe(
            "a notification",
            Query::new(site::ZONE, kind::SOA).flags(4 << 11).bytes(),
            Either(&[rcode::REFUSED, rcode::NOTIMP, rcode::NOTAUTH]),
        ),
    ];
    for length in [1, 7, 9, 15, 41] {
        let request = api().option(COOKIE, &vec![7; length]).bytes();
        list.push(probe(
            "a cookie of a wrong length",
            request,
            Answer(rcode::FORMERR, |m| m.answers.is_empty()),
        ));
    }
    for length in 0..12 {
        list.push(probe("less than a head", api().bytes()[..length].to_vec(), Silence));
    }
    list
}

fn check(client: &Namespace, probe: &Probe) -> Result<(), String> {
    let silent = matches!(probe.expect, Silence);
    let patience = if silent { Duration::from_millis(150) } else { PATIENCE };
    let Some(reply) = ask_udp(client, SERVER, &probe.request, patience) else {
        return if silent { Ok(()) } else { Err("no answer".to_owned()) };
    };
    let message = Message::read(&reply).map_err(|flaw| flaw.to_string())?;
    let repeated = probe.request.starts_with(&message.id.to_be_bytes()) && message.is_response();
    let holds = match &probe.expect {
        Answer(code, condition) => message.rcode == *code && condition(&message),
        Either(codes) => codes.contains(&message.rcode),
        Silence => false,
    };
    if repeated && holds { Ok(()) } else { Err(format!("{message:?}")) }
}

#[test]
fn every_probe_gets_what_the_standards_say() {
    let (lab, client) = site::running(&site::text());
    let probes = probes();
    assert!(probes.len() >= 35);
    let failed: Vec<String> = probes
        .iter()
        .filter_map(|probe| check(&client, probe).err().map(|why| format!("{}: {why}", probe.what)))
        .collect();
    assert!(failed.is_empty(), "{} of {} fail:\n{}", failed.len(), probes.len(), failed.join("\n"));
    assert!(counter(&lab, "dnsd", "faros_dnsd_dropped_total") >= 14, "what gets no answer is counted");
    assert_eq!(lab.admin_get("dnsd", "/status").unwrap()["panics"], 0);
}

#[test]
fn no_datagram_exceeds_1232_octets_and_every_truncated_one_is_whole() {
    let (_lab, client) = site::running(&site::text());
    let big = "big.edge.example.com.";
    for (size, limit) in [
        (None, 512),
        (Some(512), 512),
        (Some(700), 700),
        (Some(1232), 1232),
        (Some(4096), 1232),
        (Some(65_535), 1232),
    ] {
        let query = Query::new(big, kind::TXT);
        let request = size.map_or(query.clone(), |size| query.edns(size)).bytes();
        let message = Message::read(&ask_udp(&client, SERVER, &request, PATIENCE).unwrap()).unwrap();
        assert!(message.len <= limit, "{size:?}: {} octets", message.len);
        assert!(message.is_truncated(), "{size:?}");
        assert_eq!(message.opt.is_some(), size.is_some());
    }
    let whole = ask_tcp(&client, SERVER, &Query::new(big, kind::TXT).bytes(), PATIENCE).unwrap();
    let message = Message::read(&whole).unwrap();
    assert!(!message.is_truncated());
    assert_eq!(message.answers.len(), BIG_RECORDS);
}

#[test]
fn a_cookie_once_given_is_taken_back() {
    let (_lab, client) = site::running(&site::text());
    let cookie = |data: &[u8]| {
        let request = api().option(COOKIE, data).bytes();
        let message = Message::read(&ask_udp(&client, SERVER, &request, PATIENCE).unwrap()).unwrap();
        let options = message.opt.clone().unwrap().options;
        (message.rcode, options.into_iter().find(|(code, _)| *code == COOKIE).unwrap().1)
    };
    let (_, given) = cookie(b"client 1");
    let (code, again) = cookie(&given);
    assert_eq!((code, again.len()), (0, 24));
    assert_eq!(again[..8], *b"client 1");
    let (_, other) = cookie(b"client 2");
    assert_ne!(other[8..], given[8..], "each client has its own");
}

/// RFC 1034 section 3.6.2: aliases may be followed, but not for ever.
#[test]
fn n40_aliases_that_lead_to_themselves_fail() {
    let (_lab, client) = site::running(&site::text());
    for name in ["loop-a.edge.example.com.", "loop-b.edge.example.com."] {
        assert_eq!(lookup(&client, SERVER, name, kind::A).rcode, rcode::SERVFAIL);
        assert_eq!(lookup(&client, SERVER, name, kind::CNAME).values(kind::CNAME).len(), 1);
    }
    let chain = lookup(&client, SERVER, "chain.edge.example.com.", kind::A);
    assert_eq!((chain.answers.len(), chain.values(kind::A)), (3, vec!["192.168.8.60".to_owned()]));
}

/// RFC 7873 section 5.4: a cookie may be asked for without a question.
#[test]
fn a_cookie_is_given_without_a_question() {
    let (_lab, client): (Lab, Namespace) = site::running(&site::text());
    let with = api().option(COOKIE, b"12345678").bytes();
    let question = api().bytes().len();
    let request = altered([&with[..12], &with[question..]].concat(), 4, 0);
    let message = Message::read(&ask_udp(&client, SERVER, &request, PATIENCE).unwrap()).unwrap();
    assert_eq!(message.rcode, rcode::NOERROR);
    assert!(message.opt.unwrap().options.iter().any(|(code, data)| *code == COOKIE && data.len() == 24));
}
