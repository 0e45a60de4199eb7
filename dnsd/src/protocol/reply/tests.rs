//! Replies as clients read them.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use proptest::prelude::*;

use super::*;
use crate::protocol::body::{Body, Builder, Section, Ttl};
use crate::protocol::code::kind;

const NAME: &[u8] = b"\x03www\x07example\x00";

/// A query for `www.example. TXT`; `options`: of its OPT, which is left out where there are none.
fn request(options: Option<&[u8]>) -> Vec<u8> {
    let mut request = vec![0xab, 0xcd, 1, 0x10, 0, 1, 0, 0, 0, 0, 0, 0];
    request.extend_from_slice(NAME);
    request.extend([0, 16, 0, 1]);
    if let Some(options) = options {
        request[11] = 1;
        request.extend([0, 0, 41, 4, 208, 0, 0, 0x80, 0]);
        request.extend((options.len() as u16).to_be_bytes());
        request.extend_from_slice(options);
    }
    request
}

/// A body with so many TXT records in its sections.
fn body(answers: usize, authorities: usize, additionals: usize) -> Body {
    let mut builder = Builder::new(NAME).unwrap();
    let sections =
        [(Section::Answer, answers), (Section::Authority, authorities), (Section::Additional, additionals)];
    for (section, count) in sections {
        for n in 0..count {
            builder
                .record(section, NAME, kind::TXT, 300, &[&[19], format!("{n:019}").as_bytes()].concat())
                .unwrap();
        }
    }
    builder.finish(rcode::NOERROR, true, true)
}

/// Has a reply written, and reads it to its last octet.
fn answer(request: &[u8], body: &Body, opt: Option<&Opt>, max: usize) -> (Message, Vec<u8>) {
    let query = Query::parse(request).unwrap();
    let mut out = vec![0xee; 65535];
    let written = body.write(&mut out[body_at(&query)..], Ttl::Aged(0));
    let len = finish(&query, request, &mut out, written, opt, max, true);
    assert!(len <= max, "{len} octets where {max} are allowed");
    (read(&out[..len]), out[..len].to_vec())
}

fn read(reply: &[u8]) -> Message {
    let mut decoder = BinDecoder::new(reply);
    let message = Message::read(&mut decoder).unwrap();
    assert!(decoder.is_empty(), "{} octets trail the message", decoder.len());
    message
}

/// The options of a reply's OPT, which is its last record: code and content.
fn options(reply: &[u8], opt_at: usize) -> Vec<(u16, Vec<u8>)> {
    let mut rest = &reply[opt_at + 11..];
    let mut options = Vec::new();
    while let [a, b, c, d, tail @ ..] = rest {
        let (content, tail) = tail.split_at(usize::from(u16::from_be_bytes([*c, *d])));
        options.push((u16::from_be_bytes([*a, *b]), content.to_vec()));
        rest = tail;
    }
    options
}

#[test]
fn a_reply_repeats_number_question_and_flags() {
    let (reply, bytes) = answer(&request(None), &body(2, 0, 0), None, 512);
    assert_eq!(bytes[..12], [0xab, 0xcd, 0x85, 0x90, 0, 1, 0, 2, 0, 0, 0, 0]);
    assert_eq!((reply.queries.len(), reply.answers.len()), (1, 2));
    assert_eq!(reply.answers[0].name.to_string(), "www.example.");
    assert!(reply.edns.is_none());
}

#[test]
fn ad_goes_to_those_who_know_it() {
    let plain = request(None);
    let mut asking = plain.clone();
    asking[3] |= 0x20;
    assert!(!answer(&plain, &body(1, 0, 0), None, 512).0.metadata.authentic_data);
    assert!(answer(&asking, &body(1, 0, 0), None, 512).0.metadata.authentic_data);
    assert!(answer(&request(Some(&[])), &body(1, 0, 0), None, 512).0.metadata.authentic_data);
}

#[test]
fn the_additional_section_goes_first() {
    let whole = answer(&request(None), &body(5, 5, 20), None, 65535).1.len();
    let (reply, _) = answer(&request(None), &body(5, 5, 20), None, whole - 1);
    assert_eq!((reply.answers.len(), reply.authorities.len(), reply.additionals.len()), (5, 5, 0));
    assert!(!reply.metadata.truncation);
}

// RFC 9471.
#[test]
fn a_referral_without_addresses_is_truncated() {
    let referral = Body { authoritative: false, ..body(0, 2, 20) };
    let (reply, _) = answer(&request(None), &referral, None, 512);
    assert!(reply.metadata.truncation);
    assert_eq!((reply.authorities.len(), reply.additionals.len()), (2, 0));
}

#[test]
fn a_truncated_reply_has_no_records_but_opt() {
    for options in [None, Some(&[][..])] {
        let (reply, _) = answer(&request(options), &body(60, 1, 1), None, 1232);
        assert!(reply.metadata.truncation && reply.metadata.authoritative);
        assert!(reply.answers.is_empty() && reply.authorities.is_empty() && reply.additionals.is_empty());
        assert_eq!(reply.edns.is_some(), options.is_some());
    }
}

#[test]
fn a_body_that_did_not_fit_is_truncated() {
    let request = request(Some(&[]));
    let query = Query::parse(&request).unwrap();
    let mut out = [0; 200];
    assert_eq!(body(60, 0, 0).write(&mut out[body_at(&query)..], Ttl::Aged(0)), Err(TooLong));
    let len = finish(&query, &request, &mut out, Err(TooLong), None, 1232, false);
    let reply = read(&out[..len]);
    assert!(reply.metadata.truncation && !reply.metadata.recursion_available && reply.edns.is_some());
    let len = truncated(&query, &request, &mut out, None, 1232, false);
    assert!(read(&out[..len]).metadata.truncation);
}

#[test]
fn opt_says_what_is_asked_and_no_more() {
    let opt = Opt {
        ede: Some((3, "stale")),
        cookie: Some([7; 24]),
        nsid: Some(b"bastion"),
        pad_to: Some(468),
        keepalive: Some(100),
    };
    let (reply, bytes) = answer(&request(Some(&[])), &body(0, 0, 0), Some(&opt), 1232);
    let edns = reply.edns.unwrap();
    assert!(edns.flags().dnssec_ok);
    assert_eq!((edns.max_payload(), edns.version(), edns.rcode_high()), (1232, 0, 0));
    let at = 12 + NAME.len() + 4;
    let expected = vec![(10, vec![7; 24]), (11, vec![0, 100]), (15, b"\x00\x03stale".to_vec())];
    assert_eq!(options(&bytes, at), expected);

    let asking = [0, 3, 0, 0, 0, 12, 0, 0];
    let (_, bytes) = answer(&request(Some(&asking)), &body(0, 0, 0), Some(&opt), 1232);
    assert_eq!(bytes.len(), 468);
    let codes: Vec<u16> = options(&bytes, at).into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, [10, 3, 11, 15, 12]);
}

#[test]
fn flags_of_opt_other_than_dnssec_ok_are_cleared() {
    let mut bytes = request(Some(&[]));
    let flags_at = bytes.len() - 4;
    bytes[flags_at..flags_at + 2].copy_from_slice(&[0x7f, 0xff]);
    let (_, reply) = answer(&bytes, &body(0, 0, 0), None, 512);
    assert_eq!(reply[reply.len() - 11..], [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn padding_fills_blocks_but_not_beyond_the_limit() {
    let padded = request(Some(&[0, 12, 0, 0]));
    let opt = Opt { pad_to: Some(468), ..Opt::default() };
    for records in 0..40 {
        let (_, bytes) = answer(&padded, &body(records, 0, 0), Some(&opt), 65535);
        assert_eq!(bytes.len() % 468, 0, "{records} records");
        let (reply, bytes) = answer(&padded, &body(records, 0, 0), Some(&opt), 600);
        assert!(bytes.len() == 468 || bytes.len() == 600 || reply.metadata.truncation);
    }
    let exact = answer(&request(Some(&[])), &body(3, 0, 0), Some(&opt), 65535).1.len();
    let (_, bytes) = answer(&padded, &body(3, 0, 0), Some(&opt), exact + 2);
    assert_eq!(bytes.len(), exact, "there is no room for an empty option");
}

#[test]
fn extended_codes_need_opt() {
    let with = request(Some(&[]));
    let query = Query::parse(&with).unwrap();
    let mut out = [0; 512];
    let len = error(&query, &with, &mut out, rcode::BADCOOKIE, None, 512, true);
    let reply = read(&out[..len]);
    assert_eq!(reply.metadata.response_code, ResponseCode::BADCOOKIE);
    let without = request(None);
    let query = Query::parse(&without).unwrap();
    let len = error(&query, &without, &mut out, rcode::BADCOOKIE, None, 512, true);
    assert_eq!(read(&out[..len]).metadata.response_code, ResponseCode::ServFail);
}

#[test]
fn a_reply_to_a_cookie_has_no_question() {
    let mut bytes =
        vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 12, 0, 10, 0, 8];
    bytes.extend([5; 8]);
    let query = Query::parse(&bytes).unwrap();
    let opt = Opt { cookie: Some([5; 24]), ..Opt::default() };
    let mut out = [0; 512];
    let len = error(&query, &bytes, &mut out, rcode::NOERROR, Some(&opt), 512, true);
    let reply = read(&out[..len]);
    assert!(reply.queries.is_empty() && reply.edns.is_some());
    assert_eq!(len, 12 + 11 + 28);
}

#[test]
fn options_give_way_when_space_is_short() {
    let opt = Opt { ede: Some((3, "a long explanation")), cookie: Some([7; 24]), ..Opt::default() };
    let bytes = request(Some(&[]));
    let at = 12 + NAME.len() + 4;
    for (max, expected) in [
        (at + 11 + 28 + 24, vec![10, 15]),
        (at + 11 + 28 + 23, vec![10, 15]),
        (at + 11 + 28 + 5, vec![10]),
        (at + 11 + 27, vec![]),
    ] {
        let (reply, bytes) = answer(&bytes, &body(0, 0, 0), Some(&opt), max);
        let codes: Vec<u16> = options(&bytes, at).into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, expected);
        assert!(!reply.metadata.truncation, "no record is missing");
    }
}

#[test]
fn a_buffer_without_room_for_the_question_stays_empty() {
    let request = request(Some(&[]));
    let query = Query::parse(&request).unwrap();
    let least = 12 + NAME.len() + 4 + 11;
    for len in 0..least {
        assert_eq!(error(&query, &request, &mut vec![0; len], rcode::REFUSED, None, 1232, true), 0);
    }
    assert_eq!(error(&query, &request, &mut vec![0; least], rcode::REFUSED, None, 1232, true), least);
}

proptest! {
    #[test]
    fn every_reply_reads_to_its_last_octet(
        (answers, authorities, additionals) in (0usize..40, 0usize..10, 0usize..10),
        max in 271usize..3000,
        asked in prop::option::of(any::<[bool; 2]>()),
        (ede, cookie, nsid, pad, keepalive) in any::<(bool, bool, bool, bool, bool)>(),
        rcode in 0u16..4096,
    ) {
        let mut options = Vec::new();
        if let Some([nsid, padding]) = asked {
            options.extend([0, 3, 0, 0].repeat(usize::from(nsid)));
            options.extend([0, 12, 0, 2, 0, 0].repeat(usize::from(padding)));
        }
        let request = request(asked.map(|_| &options[..]));
        let opt = Opt {
            ede: ede.then_some((22, "no upstream server can be reached")),
            cookie: cookie.then_some([3; 24]),
            nsid: nsid.then_some(b"bastion-1.site.example"),
            pad_to: pad.then_some(468),
            keepalive: keepalive.then_some(20),
        };
        let body = Body { rcode, ..body(answers, authorities, additionals) };
        let (reply, bytes) = answer(&request, &body, Some(&opt), max);
        prop_assert_eq!(reply.edns.is_some(), asked.is_some());
        prop_assert!(reply.answers.len() == answers || (reply.metadata.truncation && reply.answers.is_empty()));
        prop_assert!(bytes.len() <= max);
        if asked.is_some() {
            let edns = reply.edns.unwrap();
            prop_assert_eq!(u16::from(edns.rcode_high()) << 4 | u16::from(bytes[3] & 0x0f), rcode);
        }
    }
}

#[test]
fn a_refusal_has_an_opt_record_only_where_the_request_has_one() {
    for (options, expected) in [(None, 0), (Some(&[][..]), 1)] {
        let mut request = request(options);
        let kind_at = HEADER_BYTES + NAME.len();
        request[kind_at..kind_at + 2].copy_from_slice(&kind::MAILB.to_be_bytes());
        let malformed = Query::parse(&request).unwrap_err();
        let mut out = [0xee; 512];
        let len = refuse(&request, malformed, &mut out).unwrap();
        let reply = read(&out[..len]);
        assert_eq!((reply.metadata.response_code, out[11]), (ResponseCode::NotImp, expected));
    }
}
