//! Requests as nobody should send them, and as everybody does.

use hickory_proto::op::{Edns as TheirEdns, Message, MessageType, OpCode, Query as TheirQuery};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name as TheirName, RecordType};
use proptest::prelude::*;

use super::*;
use crate::protocol::code::{class, rcode};
use crate::protocol::reply;

/// A message with this opcode, these counts, and what follows the header.
fn message(opcode: u8, counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, opcode << 3 | 1, 0];
    message.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    message.extend_from_slice(rest);
    message
}

/// `a.example. A IN`
const QUESTION: &[u8] = b"\x01a\x07example\x00\x00\x01\x00\x01";

/// A query for `a.example. A`, with these records behind it.
fn query(counts: [u16; 3], records: &[u8]) -> Vec<u8> {
    let [answers, authorities, additionals] = counts;
    message(0, [1, answers, authorities, additionals], &[QUESTION, records].concat())
}

fn question(name: &[u8]) -> Vec<u8> {
    message(0, [1, 0, 0, 0], &[name, &[0, 1, 0, 1]].concat())
}

fn record(owner: &[u8], kind: u16, class: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut record = owner.to_vec();
    record.extend(kind.to_be_bytes());
    record.extend(class.to_be_bytes());
    record.extend(ttl.to_be_bytes());
    record.extend((data.len() as u16).to_be_bytes());
    record.extend_from_slice(data);
    record
}

fn opt(size: u16, ttl: u32, options: &[u8]) -> Vec<u8> {
    record(&[0], kind::OPT, size, ttl, options)
}

fn option(code: u16, content: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), &(content.len() as u16).to_be_bytes(), content].concat()
}

fn with_options(options: &[u8]) -> Vec<u8> {
    query([0, 0, 1], &opt(1232, 0, options))
}

fn refusal(message: &[u8]) -> Malformed {
    Query::parse(message).expect_err("the message is malformed")
}

#[test]
fn a_plain_query_is_read() {
    let bytes = query([0; 3], &[]);
    let query = Query::parse(&bytes).unwrap();
    assert_eq!((query.id, query.opcode, query.recursion_desired), (0x1234, 0, true));
    assert_eq!(query.question, Question { name: b"\x01a\x07example\x00", kind: kind::A, class: class::IN });
    assert_eq!(query.question_len, QUESTION.len());
    assert!(query.edns.is_none() && query.tsig_at.is_none());
    assert_eq!(query.udp_size(), 512);
}

#[test]
fn less_than_a_header_is_dropped() {
    for len in 0..HEADER_BYTES {
        let bytes = &query([0; 3], &[])[..len];
        assert_eq!(refusal(bytes), Malformed::Short);
        assert_eq!(reply::refuse(bytes, Malformed::Short, &mut [0; 512]), None);
    }
}

#[test]
fn a_reply_is_never_answered() {
    let mut bytes = query([0; 3], &[]);
    bytes[2] |= 0x80;
    assert_eq!(refusal(&bytes), Malformed::Response);
    assert_eq!(refusal(&bytes[..12]).reaction(), Reaction::Drop);
    assert_eq!(reply::refuse(&bytes, Malformed::Response, &mut [0; 512]), None);
}

#[test]
fn opcodes_that_nobody_serves_are_not_implemented() {
    for opcode in [1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] {
        let bytes = message(opcode, [1, 0, 0, 0], QUESTION);
        assert_eq!(refusal(&bytes), Malformed::Opcode);
        let mut out = [0; 512];
        let len = reply::refuse(&bytes, Malformed::Opcode, &mut out).unwrap();
        assert_eq!(out[..len], [0x12, 0x34, 0x80 | opcode << 3 | 1, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    for opcode in [opcode::NOTIFY, opcode::UPDATE] {
        assert_eq!(Query::parse(&message(opcode, [1, 0, 0, 0], QUESTION)).unwrap().opcode, opcode);
    }
}

#[test]
fn there_is_exactly_one_question() {
    for count in [0, 2, 3, 65535] {
        let bytes = message(0, [count, 0, 0, 0], &QUESTION.repeat(2));
        assert!(matches!(refusal(&bytes), Malformed::QuestionCount | Malformed::Trailing), "{count}");
    }
    assert_eq!(refusal(&message(0, [0, 0, 0, 0], &[])), Malformed::QuestionCount);
    assert_eq!(refusal(&message(0, [1, 0, 0, 0], &[])), Malformed::QuestionTruncated);
    for opcode in [opcode::NOTIFY, opcode::UPDATE] {
        assert_eq!(refusal(&message(opcode, [0, 0, 0, 0], &[])), Malformed::QuestionCount);
    }
}

// RFC 7873 section 5.4.
#[test]
fn a_cookie_alone_is_a_request() {
    let bytes = message(0, [0, 0, 0, 1], &opt(1232, 0, &option(10, &[7; 8])));
    let query = Query::parse(&bytes).unwrap();
    assert!(query.is_cookie_only());
    assert_eq!((query.question.name, query.question_len), (&[][..], 0));
    assert_eq!(refusal(&message(0, [0, 0, 0, 1], &opt(1232, 0, &[]))), Malformed::QuestionCount);
}

#[test]
fn counts_beyond_the_data_are_truncated_records() {
    for counts in [[1, 0, 0], [0, 1, 0], [0, 0, 1], [65535, 65535, 65535]] {
        assert_eq!(refusal(&query(counts, &[])), Malformed::RecordTruncated);
    }
    let one = record(&[0], kind::A, class::IN, 0, &[1, 2, 3, 4]);
    assert_eq!(refusal(&query([0, 2, 0], &one)), Malformed::RecordTruncated);
    for cut in 1..one.len() {
        assert_eq!(refusal(&query([0, 0, 1], &one[..cut])), Malformed::RecordTruncated, "{cut}");
    }
}

#[test]
fn octets_after_the_last_record_are_refused() {
    assert_eq!(refusal(&query([0; 3], &[0])), Malformed::Trailing);
    assert_eq!(refusal(&query([0, 0, 1], &[opt(1232, 0, &[]), vec![0; 3]].concat())), Malformed::Trailing);
}

#[test]
fn pointers_in_the_question_are_refused() {
    // To itself, into the header, forward, beyond the end, after a label, and half of one.
    for name in [&[0xc0, 12][..], &[0xc0, 0], &[0xc0, 14], &[0xff, 0xff], b"\x01a\xc0\x0c", &[0xc0]] {
        let bytes = question(name);
        assert_eq!(refusal(&bytes), Malformed::QuestionPointer);
        let mut out = [0; 512];
        assert_eq!(reply::refuse(&bytes, Malformed::QuestionPointer, &mut out), Some(HEADER_BYTES));
        assert_eq!(out[3] & 0x0f, 1);
    }
}

#[test]
fn unknown_label_types_are_refused() {
    for length in [64, 0x40, 0x41, 0x7f, 0x80, 0xbf] {
        let name = [&[length][..], &[b'a'; 191], &[0]].concat();
        assert_eq!(refusal(&question(&name)), Malformed::QuestionLabelType);
    }
    let name = [&[63][..], &[b'a'; 63], &[0]].concat();
    assert_eq!(Query::parse(&question(&name)).unwrap().question.name, name);
}

#[test]
fn a_name_has_255_octets_at_most() {
    let labels = [&[63][..], &[b'a'; 63]].concat().repeat(3);
    let longest = [&labels[..], &[61], &[b'b'; 61], &[0]].concat();
    assert_eq!(longest.len(), 255);
    assert_eq!(Query::parse(&question(&longest)).unwrap().question.name, longest);
    let longer = [&labels[..], &[62], &[b'b'; 62], &[0]].concat();
    assert_eq!(refusal(&question(&longer)), Malformed::QuestionNameTooLong);
    let many = [&b"\x01x".repeat(127)[..], &[0]].concat();
    assert_eq!(Query::parse(&question(&many)).unwrap().question.name.len(), 255);
    let more = [&b"\x01x".repeat(128)[..], &[0]].concat();
    assert_eq!(refusal(&question(&more)), Malformed::QuestionNameTooLong);
}

// RFC 2181 section 11: a label may hold anything.
#[test]
fn any_octet_may_be_in_a_label() {
    let name = b"\x05\x00. \xffA\x00";
    assert_eq!(Query::parse(&question(name)).unwrap().question.name, name);
}

#[test]
fn types_and_classes_out_of_the_ordinary() {
    let ask = |kind: u16, class: u16| {
        message(0, [1, 0, 0, 0], &[&[0][..], &kind.to_be_bytes(), &class.to_be_bytes()].concat())
    };
    for kind in [0, kind::OPT, kind::TSIG] {
        assert_eq!(refusal(&ask(kind, class::IN)), Malformed::QuestionKind);
    }
    for kind in [kind::TKEY, kind::MAILA, kind::MAILB] {
        let bytes = ask(kind, class::IN);
        let Reaction::Answer { rcode, .. } = refusal(&bytes).reaction() else { panic!("not dropped") };
        assert_eq!(rcode, rcode::NOTIMP);
    }
    for (kind, class) in
        [(65535, 1), (kind::ANY, 255), (kind::TXT, class::CH), (kind::A, class::HS), (kind::A, 0)]
    {
        let bytes = ask(kind, class);
        let question = Query::parse(&bytes).unwrap().question;
        assert_eq!((question.kind, question.class), (kind, class));
    }
}

#[test]
fn owners_point_back_or_not_at_all() {
    let at = (HEADER_BYTES + QUESTION.len()) as u8;
    let with_owner = |owner: &[u8]| query([0, 1, 0], &record(owner, kind::A, class::IN, 0, &[0; 4]));
    assert!(Query::parse(&with_owner(&[0xc0, 12])).is_ok());
    assert!(Query::parse(&with_owner(&[1, b'x', 0xc0, 12])).is_ok());
    // To itself, into its own name, forward, into the header, beyond the end; a label type; too long.
    for owner in
        [&[0xc0, at][..], &[1, b'x', 0xc0, at], &[0xc0, at + 4], &[0xc0, 3], &[0xff, 0xff], &[0x40, 1, 0]]
    {
        assert_eq!(refusal(&with_owner(owner)), Malformed::RecordName);
    }
    let long = [&b"\x01x".repeat(128)[..], &[0]].concat();
    assert_eq!(refusal(&with_owner(&long)), Malformed::RecordName);
}

#[test]
fn two_names_that_point_to_each_other_are_refused() {
    let first = (HEADER_BYTES + QUESTION.len()) as u8;
    let a = record(&[0xc0, first + 12], kind::A, class::IN, 0, &[]);
    let b = record(&[0xc0, first], kind::A, class::IN, 0, &[]);
    assert_eq!(refusal(&query([0, 2, 0], &[a, b].concat())), Malformed::RecordName);
}

#[test]
fn there_is_one_opt_at_the_root_in_the_additional_section() {
    let twice = [opt(1232, 0, &[]), opt(1232, 0, &[])].concat();
    assert_eq!(refusal(&query([0, 0, 2], &twice)), Malformed::OptTwice);
    let owned = record(b"\x01a\x00", kind::OPT, 1232, 0, &[]);
    assert_eq!(refusal(&query([0, 0, 1], &owned)), Malformed::OptOwner);
    let pointed = record(&[0xc0, 12], kind::OPT, 1232, 0, &[]);
    assert_eq!(refusal(&query([0, 0, 1], &pointed)), Malformed::OptOwner);
    assert_eq!(refusal(&query([1, 0, 0], &opt(1232, 0, &[]))), Malformed::OptSection);
    assert_eq!(refusal(&query([0, 1, 0], &opt(1232, 0, &[]))), Malformed::OptSection);
    let behind = [record(&[0], kind::A, class::IN, 0, &[0; 4]), opt(1232, 0, &[])].concat();
    assert!(Query::parse(&query([0, 0, 2], &behind)).unwrap().edns.is_some());
}

#[test]
fn other_versions_of_edns_are_told_ours() {
    for version in [1, 100, 255] {
        // The options of another version may have another form.
        let bytes = query([0, 0, 1], &opt(4096, version << 16 | 0x8000, &[1, 2, 3]));
        assert_eq!(refusal(&bytes), Malformed::Version);
        let mut out = [0; 512];
        let len = reply::refuse(&bytes, Malformed::Version, &mut out).unwrap();
        let reply = Message::from_vec(&out[..len]).unwrap();
        let edns = reply.edns.unwrap();
        assert_eq!((edns.version(), edns.rcode_high(), out[3] & 0x0f), (0, 1, 0));
        assert_eq!(reply.queries.len(), 1);
    }
}

#[test]
fn udp_sizes_are_kept_within_bounds() {
    for (sent, meant) in
        [(0, 512), (511, 512), (512, 512), (800, 800), (1232, 1232), (4096, 1232), (65535, 1232)]
    {
        let bytes = query([0, 0, 1], &opt(sent, 0, &[]));
        let query = Query::parse(&bytes).unwrap();
        assert_eq!((query.edns.unwrap().udp_size, query.udp_size()), (sent, meant));
    }
}

#[test]
fn flags_other_than_dnssec_ok_mean_nothing() {
    let read = |flags| {
        let bytes = query([0, 0, 1], &opt(1232, flags, &[]));
        Query::parse(&bytes).unwrap().dnssec_ok()
    };
    assert!(read(0x8000) && read(0xffff));
    assert!(!read(0x7fff) && !read(0));
    // The extended response code of a request is ignored too.
    assert!(!read(0xff00_0000));
}

#[test]
fn ten_thousand_options_are_passed_over() {
    let many = [option(65001, &[]).repeat(10_000), option(3, &[])].concat();
    let bytes = with_options(&many);
    let edns = Query::parse(&bytes).unwrap().edns.unwrap();
    assert!(edns.nsid && !edns.padding && edns.cookie.is_none());
    assert_eq!(edns.options().count(), 10_001);
}

#[test]
fn an_option_ends_where_its_record_does() {
    for broken in [&[0][..], &[0, 3], &[0, 3, 0], &[0, 3, 0, 1], &[0, 10, 255, 255, 1]] {
        assert_eq!(refusal(&with_options(broken)), Malformed::OptionLength);
    }
}

#[test]
fn cookies_have_8_or_16_to_40_octets() {
    for len in 0..60 {
        let bytes = with_options(&option(10, &vec![9; len]));
        let parsed = Query::parse(&bytes);
        if len == 8 || (16..=40).contains(&len) {
            let cookie = parsed.unwrap().edns.unwrap().cookie.unwrap();
            assert_eq!((cookie.client, cookie.server().len()), ([9; 8], len - 8));
        } else {
            assert_eq!(parsed.unwrap_err(), Malformed::Cookie, "{len}");
        }
    }
}

#[test]
fn the_first_cookie_counts() {
    let bytes = with_options(&[option(10, &[1; 8]), option(10, &[2; 3])].concat());
    assert_eq!(Query::parse(&bytes).unwrap().edns.unwrap().cookie.unwrap().client, [1; 8]);
}

#[test]
fn client_subnets_are_checked() {
    let check = |content: &[u8]| {
        let bytes = with_options(&option(8, content));
        Query::parse(&bytes).map(|_| ())
    };
    for fine in [
        &[0, 1, 24, 0, 192, 0, 2][..],
        &[0, 1, 0, 0],
        &[0, 1, 32, 0, 1, 2, 3, 4],
        &[0, 1, 20, 0, 10, 1, 0x10],
        &[0, 2, 48, 0, 0x20, 1, 13, 0xb8, 0, 0],
        &[0, 0, 0, 0],
        &[0, 99, 200, 7, 1],
    ] {
        assert_eq!(check(fine), Ok(()), "{fine:?}");
    }
    for bad in [
        &[][..],
        &[0, 1, 24],
        &[0, 1, 33, 0, 1, 2, 3, 4, 5],
        &[0, 1, 24, 0, 192, 0],
        &[0, 1, 24, 0, 192, 0, 2, 1],
        &[0, 1, 24, 24, 192, 0, 2],
        &[0, 1, 20, 0, 10, 1, 0x1f],
        &[0, 2, 129, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17],
        &[0, 0, 8, 0, 1],
    ] {
        assert_eq!(check(bad), Err(Malformed::ClientSubnet), "{bad:?}");
    }
}

#[test]
fn a_signature_comes_last() {
    let tsig = record(b"\x03key\x00", kind::TSIG, class::ANY, 0, &[0; 16]);
    let bytes = query([0, 0, 2], &[opt(1232, 0, &[]), tsig.clone()].concat());
    let query_len = bytes.len() - tsig.len();
    assert_eq!(Query::parse(&bytes).unwrap().tsig_at, Some(query_len));
    assert_eq!(refusal(&query([0, 0, 2], &[tsig.clone(), opt(1232, 0, &[])].concat())), Malformed::TsigPlace);
    assert_eq!(refusal(&query([0, 0, 2], &tsig.repeat(2))), Malformed::TsigPlace);
    assert_eq!(refusal(&query([1, 0, 0], &tsig)), Malformed::TsigPlace);
}

#[test]
fn an_update_has_its_own_sections() {
    let zone = b"\x07example\x00\x00\x06\x00\x01";
    let gone = record(b"\x01a\xc0\x0c", kind::ANY, class::ANY, 0, &[]);
    let bytes = message(opcode::UPDATE, [1, 1, 1, 0], &[&zone[..], &gone, &gone].concat());
    let update = Query::parse(&bytes).unwrap();
    assert_eq!((update.opcode, update.question.kind), (opcode::UPDATE, kind::SOA));
}

#[test]
fn every_refusal_has_a_name_of_its_own() {
    let names: std::collections::HashSet<_> =
        Malformed::ALL.iter().map(|malformed| malformed.name()).collect();
    assert_eq!(names.len(), Malformed::ALL.len());
}

/// Names of up to 8 labels.
fn labels() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..8)
}

proptest! {
    #[test]
    fn what_hickory_encodes_is_read_as_meant(
        (id, kind, flags) in (any::<u16>(), 256u16..60000, any::<[bool; 4]>()),
        labels in labels(),
        (size, cookie, unknown) in (any::<u16>(), prop::option::of(any::<[u8; 24]>()), any::<[u8; 5]>()),
    ) {
        let name = TheirName::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
        let mut theirs = Message::new(id, MessageType::Query, OpCode::Query);
        theirs.metadata.recursion_desired = flags[0];
        theirs.metadata.checking_disabled = flags[1];
        theirs.metadata.authentic_data = flags[2];
        theirs.add_query(TheirQuery::query(name, RecordType::from(kind)));
        let mut edns = TheirEdns::new();
        edns.set_max_payload(size).set_dnssec_ok(flags[3]);
        edns.options_mut().insert(EdnsOption::Unknown(65001, unknown.to_vec()));
        if let Some(cookie) = cookie {
            edns.options_mut().insert(EdnsOption::Unknown(10, cookie.to_vec()));
        }
        theirs.set_edns(edns);
        let bytes = theirs.to_vec().unwrap();
        let ours = Query::parse(&bytes).unwrap();
        prop_assert_eq!((ours.id, ours.question.kind, ours.question.class), (id, kind, class::IN));
        prop_assert_eq!([ours.recursion_desired, ours.checking_disabled, ours.authentic_data], [flags[0], flags[1], flags[2]]);
        let wire: Vec<u8> = labels.iter().flat_map(|label| [&[label.len() as u8], &label[..]].concat()).chain([0]).collect();
        prop_assert_eq!(ours.question.name, &wire[..]);
        let edns = ours.edns.unwrap();
        // Hickory raises sizes below 512 when it encodes.
        prop_assert_eq!((edns.udp_size.max(512), edns.dnssec_ok), (size.max(512), flags[3]));
        let read = edns.cookie.map(|cookie| [&cookie.client, cookie.server()].concat());
        prop_assert_eq!(read, cookie.map(|cookie| cookie.to_vec()));
    }

    #[test]
    fn random_octets_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..600), tame in any::<bool>()) {
        if tame && bytes.len() >= 12 {
            bytes[2] &= 0x01;
            for count in [4, 6, 8, 10] {
                bytes[count] = 0;
                bytes[count + 1] &= 3;
            }
        }
        let mut out = [0; 1232];
        match Query::parse(&bytes) {
            Ok(query) => {
                let len = reply::error(&query, &bytes, &mut out, rcode::REFUSED, None, 1232, false);
                prop_assert!(len >= 12);
            }
            Err(malformed) => {
                let len = reply::refuse(&bytes, malformed, &mut out);
                prop_assert_eq!(len.is_none(), malformed.reaction() == Reaction::Drop);
                prop_assert!(len.unwrap_or(0) <= bytes.len() + crate::protocol::edns::OPT_BYTES);
            }
        }
    }

    #[test]
    fn changed_octets_are_read_or_refused(changes in prop::collection::vec((0usize..80, any::<u8>()), 0..6), cut in 0usize..80) {
        let options = [option(10, &[9; 16]), option(8, &[0, 1, 24, 0, 192, 0, 2]), option(3, &[])].concat();
        let mut bytes = query([1, 0, 1], &[record(&[0xc0, 12], 1, 1, 5, &[0; 4]), opt(1232, 0, &options)].concat());
        for (at, octet) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = octet;
            }
        }
        bytes.truncate(bytes.len().saturating_sub(cut.saturating_sub(40)));
        let mut out = [0; 600];
        match Query::parse(&bytes) {
            Ok(query) => {
                let len = reply::error(&query, &bytes, &mut out, rcode::NOERROR, None, 512, true);
                prop_assert!((12..=512).contains(&len));
            }
            Err(malformed) => {
                let _ = reply::refuse(&bytes, malformed, &mut out);
            }
        }
    }
}
