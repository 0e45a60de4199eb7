//! Bodies, with hickory's encoder and decoder as the reference.

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, HTTPS, MX, NS, NULL, OPT, SOA, SRV, SVCB, TXT};
use hickory_proto::rr::{Name as TheirName, RData, Record, RecordType};
use proptest::prelude::*;

use super::*;
use crate::protocol::code::{kind, rcode};
use crate::protocol::name::Name;

const QUESTION: &str = "WWW.shop.example.";

fn name(text: &str) -> TheirName {
    TheirName::from_ascii(text).unwrap()
}

fn message(answers: Vec<Record>, authorities: Vec<Record>, additionals: Vec<Record>) -> Message {
    let mut message = Message::new(7, MessageType::Response, OpCode::Query);
    message.add_query(Query::query(name(QUESTION), RecordType::A));
    message.insert_answers(answers);
    message.insert_authorities(authorities);
    message.insert_additionals(additionals);
    message
}

fn wire(text: &str) -> Vec<u8> {
    Name::parse(text).unwrap().as_wire().to_vec()
}

/// The message that a body makes behind its question.
fn assembled(body: &Body, question: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 7, 0x80, 0, 0, 1];
    for count in [body.answers, body.authorities, body.additionals] {
        bytes.extend(count.to_be_bytes());
    }
    bytes.extend_from_slice(question);
    bytes.extend([0, 1, 0, 1]);
    bytes.extend_from_slice(&body.bytes);
    bytes
}

fn assert_same(message: &Message) -> Body {
    let question = wire(QUESTION);
    let body = Body::of_message(message, &question).unwrap();
    let again = Message::from_vec(&assembled(&body, &question)).unwrap();
    assert_eq!(again.answers, message.answers);
    assert_eq!(again.authorities, message.authorities);
    assert_eq!(again.additionals, message.additionals);
    for (at, record) in body.ttls.iter().zip(again.all_sections()) {
        let at = usize::from(*at);
        assert_eq!(body.bytes[at..at + 4], record.ttl.to_be_bytes());
    }
    assert_eq!(body.ttls.len(), again.all_sections().count());
    body
}

fn a(owner: &str, ttl: u32) -> Record {
    Record::from_rdata(name(owner), ttl, RData::A(A::new(192, 0, 2, 1)))
}

fn soa(owner: &str, ttl: u32, minimum: u32) -> Record {
    let soa = SOA::new(name("ns.shop.example."), name("admin.shop.example."), 1, 2, 3, 4, minimum);
    Record::from_rdata(name(owner), ttl, RData::SOA(soa))
}

#[test]
fn a_body_says_what_the_message_says() {
    let cname = RData::CNAME(CNAME(name("edge.cdn.example.")));
    let srv = RData::SRV(SRV::new(1, 2, 3, name("edge.cdn.example.")));
    let mx = RData::MX(MX::new(10, name("mail.shop.example.")));
    let https = RData::HTTPS(HTTPS(SVCB::new(1, name("edge.cdn.example."), Vec::new())));
    let txt = RData::TXT(TXT::new(vec!["x".repeat(255), String::new()]));
    let body = assert_same(&message(
        vec![
            Record::from_rdata(name(QUESTION), 60, cname),
            a("edge.cdn.example.", 30),
            Record::from_rdata(name(QUESTION), 70, srv),
            Record::from_rdata(name(QUESTION), 80, mx),
            Record::from_rdata(name(QUESTION), 90, https),
            Record::from_rdata(name("other."), 90, txt),
        ],
        vec![Record::from_rdata(name("shop.example."), 20, RData::NS(NS(name("ns.shop.example."))))],
        vec![a("ns.shop.example.", 10), a("mail.shop.example.", 5)],
    ));
    assert_eq!((body.answers, body.authorities, body.additionals), (6, 1, 2));
    assert_eq!(body.min_ttl(), Some(20), "the additional section does not count");
}

#[test]
fn names_become_pointers() {
    let target = RData::CNAME(CNAME(name("EDGE.shop.example.")));
    let body = assert_same(&message(
        vec![Record::from_rdata(name("www.SHOP.example."), 60, target), a("edge.shop.example.", 60)],
        vec![],
        vec![],
    ));
    let pointer_to_question = [0xc0, 12];
    assert_eq!(body.bytes[..2], pointer_to_question);
    let pointer_to_shop = [0xc0, 16];
    assert_eq!(body.bytes[12..19], [&b"\x04EDGE"[..], &pointer_to_shop].concat());
    let pointer_to_target = [0xc0, (12 + wire(QUESTION).len() + 4 + 12) as u8];
    assert_eq!(body.bytes[19..21], pointer_to_target);
}

// RFC 3597 section 4.
#[test]
fn names_in_newer_types_stay_whole() {
    let srv = RData::SRV(SRV::new(1, 2, 3, name(QUESTION)));
    let body = assert_same(&message(vec![Record::from_rdata(name(QUESTION), 60, srv)], vec![], vec![]));
    assert!(body.bytes.ends_with(&wire(QUESTION)));
}

// RFC 2308 section 5.
#[test]
fn a_negative_answer_lives_as_long_as_its_soa_says() {
    let mut message = message(vec![], vec![soa("shop.example.", 3600, 300)], vec![]);
    message.metadata.response_code = ResponseCode::NXDomain;
    message.metadata.authoritative = true;
    let body = Body::of_message(&message, &wire(QUESTION)).unwrap();
    assert_eq!((body.rcode, body.authoritative, body.min_ttl()), (rcode::NXDOMAIN, true, Some(300)));
    // An alias to nowhere is as negative.
    let alias = Record::from_rdata(name(QUESTION), 900, RData::CNAME(CNAME(name("gone.shop.example."))));
    message.answers = vec![alias];
    assert_eq!(Body::of_message(&message, &wire(QUESTION)).unwrap().min_ttl(), Some(300));
    message.answers = vec![a(QUESTION, 900)];
    assert_eq!(Body::of_message(&message, &wire(QUESTION)).unwrap().min_ttl(), Some(900));
}

#[test]
fn opt_and_signatures_are_left_out() {
    let opt = Record::from_rdata(TheirName::root(), 0, RData::OPT(OPT::new(Vec::new())));
    let body = Body::of_message(&message(vec![a(QUESTION, 1)], vec![], vec![opt]), &wire(QUESTION)).unwrap();
    assert_eq!((body.answers, body.additionals, body.ttls.len()), (1, 0, 1));
}

// RFC 2181 section 8.
#[test]
fn a_ttl_with_the_highest_bit_is_none() {
    let mut builder = Builder::new(&wire(QUESTION)).unwrap();
    builder.record(Section::Answer, &wire(QUESTION), kind::A, 1 << 31, &[1, 2, 3, 4]).unwrap();
    assert_eq!(builder.finish(0, false, false).min_ttl(), Some(0));
}

#[test]
fn ttls_age_to_zero_or_are_all_the_same() {
    let body = assert_same(&message(vec![a(QUESTION, 100), a(QUESTION, 30)], vec![], vec![a("x.", 0)]));
    let ttls = |ttl| {
        let mut out = vec![0; body.bytes.len() + 5];
        let written = body.write(&mut out, ttl).unwrap();
        assert_eq!(written, body.written());
        let read = |at: &u16| u32::from_be_bytes(out[usize::from(*at)..][..4].try_into().unwrap());
        body.ttls.iter().map(read).collect::<Vec<_>>()
    };
    assert_eq!(ttls(Ttl::Aged(0)), [100, 30, 0]);
    assert_eq!(ttls(Ttl::Aged(40)), [60, 0, 0]);
    assert_eq!(ttls(Ttl::Fixed(30)), [30, 30, 30]);
    assert_eq!(body.write(&mut vec![0; body.bytes.len() - 1], Ttl::Aged(0)), Err(TooLong));
}

#[test]
fn malformed_data_is_taken_as_it_is() {
    let question = wire(QUESTION);
    let mut builder = Builder::new(&question).unwrap();
    for data in [&b"\xc0\x0c"[..], b"", b"\x05ab", b"\x00\x00\x01"] {
        for kind in [kind::NS, kind::MX, kind::SOA] {
            builder.record(Section::Answer, &question, kind, 1, data).unwrap();
        }
    }
    let body = builder.finish(0, false, false);
    assert_eq!(body.bytes.len(), 12 * 12 + 3 * (2 + 3 + 3));
}

#[test]
fn questions_that_are_none_are_refused() {
    for question in [&b""[..], b"\x03ww", b"\xc0\x00", b"\x00\x00"] {
        assert_eq!(Body::of_message(&message(vec![], vec![], vec![]), question), Err(BodyError::Question));
    }
}

#[test]
fn what_is_too_long_is_refused() {
    let big = |n: usize| {
        let null = RData::NULL(NULL::with(vec![0; 60_000]));
        message((0..n).map(|_| Record::from_rdata(name(QUESTION), 1, null.clone())).collect(), vec![], vec![])
    };
    assert!(Body::of_message(&big(1), &wire(QUESTION)).is_ok());
    assert_eq!(Body::of_message(&big(2), &wire(QUESTION)), Err(BodyError::TooLong));
}

/// RUSTSEC-2026-0119 was about names like these, whose suffixes all had to be compared with one another.
#[test]
fn hostile_names_are_each_looked_at_once() {
    let question = wire(QUESTION);
    let mut builder = Builder::new(&question).unwrap();
    let mut records = 0u32;
    loop {
        let labels: Vec<u8> = (0..120).flat_map(|at| [1, (records >> (at % 32)) as u8 ^ at]).collect();
        let owner = [&labels[..], &[0]].concat();
        if builder.record(Section::Answer, &owner, kind::NS, 1, &owner).is_err() {
            break;
        }
        records += 1;
    }
    let body = builder.finish(0, false, false);
    assert!(records > 100);
    let again = Message::from_vec(&assembled(&body, &question)).unwrap();
    assert_eq!(again.answers.len(), records as usize);
}

fn owner() -> impl Strategy<Value = String> {
    prop::collection::vec("[a-cA-C]{1,3}", 0..6).prop_map(|labels| format!("{}.", labels.join(".")))
}

fn record() -> impl Strategy<Value = Record> {
    (owner(), owner(), 0u32..100_000, 0..6).prop_map(|(owner, target, ttl, which)| {
        let data = match which {
            0 => RData::A(A::new(10, 0, 0, 1)),
            1 => RData::NS(NS(name(&target))),
            2 => RData::MX(MX::new(1, name(&target))),
            3 => RData::SRV(SRV::new(0, 0, 1, name(&target))),
            4 => RData::SOA(SOA::new(name(&target), name(&owner), 1, 2, 3, 4, 100_000)),
            _ => RData::TXT(TXT::new(vec![target])),
        };
        Record::from_rdata(name(&owner), ttl, data)
    })
}

proptest! {
    #[test]
    fn any_message_survives_the_way_through_a_body(
        answers in prop::collection::vec(record(), 0..20),
        authorities in prop::collection::vec(record(), 0..5),
        additionals in prop::collection::vec(record(), 0..5),
    ) {
        assert_same(&message(answers, authorities, additionals));
    }
}
