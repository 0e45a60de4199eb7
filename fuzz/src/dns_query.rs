//! What a client sends, from the octets to the refusal: nothing is answered that may not be, and every reply is whole.

use faros_dnsd::protocol::edns::{Opt, UDP_SIZE_MAX, UDP_SIZE_PLAIN};
use faros_dnsd::protocol::message::{HEADER_BYTES, Query};
use faros_dnsd::protocol::name::{LowerName, Name};
use faros_dnsd::protocol::{code::rcode, reply};
use faros_dnsd::update::message::Update;
use hickory_proto::op::Message;

use crate::Target;

/// Feeds [`Query::parse`], [`reply::error`], [`reply::refuse`] and [`Update::read`].
pub const TARGET: Target = Target { name: "dns_query", run, seeds, memory: (256 * 1024, 256) };

fn run(data: &[u8]) {
    let mut out = [0; 4096];
    match Query::parse(data) {
        Ok(query) => {
            assert_eq!(data[2] & 0x80, 0, "a response is no request");
            assert!((UDP_SIZE_PLAIN..=UDP_SIZE_MAX).contains(&query.udp_size()));
            if query.question_len > 0 {
                let name = Name::from_wire(query.question.name).expect("the question's name is one");
                let lower = LowerName::of(name.as_wire());
                assert!(lower.as_wire().eq_ignore_ascii_case(name.as_wire()));
                assert_eq!(lower.label_count(), name.label_count());
            }
            let opt = Opt { ede: Some((18, "no")), cookie: Some([7; 24]), ..Opt::default() };
            let max = query.udp_size();
            let length = reply::error(&query, data, &mut out, rcode::REFUSED, Some(&opt), max, true);
            check(data, &out[..length]);
            assert!(length >= HEADER_BYTES && length <= max);
            let _ = Update::read(&query, data);
        }
        Err(malformed) => {
            if let Some(length) = reply::refuse(data, malformed, &mut out) {
                check(data, &out[..length]);
                assert!(length <= data.len() + 11, "a refusal is hardly longer than the request");
            }
        }
    }
}

/// A reply repeats the request's number, is one, and parses to its last octet.
fn check(request: &[u8], reply: &[u8]) {
    assert_eq!(reply[..2], request[..2]);
    assert_eq!(reply[2] & 0x80, 0x80);
    let read = Message::from_vec(reply).unwrap_or_else(|error| panic!("{error}: {reply:02x?}"));
    assert!(read.answers.is_empty());
}

fn seeds() -> Vec<Vec<u8>> {
    let head = |flags: u8, counts: [u8; 4]| {
        let counts = counts.into_iter().flat_map(|count| [0, count]);
        [0x12, 0x34, flags, 0].into_iter().chain(counts).collect::<Vec<u8>>()
    };
    let question = b"\x03api\x04edge\x07example\x03com\0\0\x01\0\x01";
    let opt = b"\0\0\x29\x04\xd0\0\0\x80\0\0\x17\0\x0a\0\x0812345678\0\x08\0\x07\0\x01\x18\0\xc0\0\x02";
    let record = b"\x03new\xc0\x10\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";
    let signature = b"\x01k\0\0\xfa\0\xff\0\0\0\0\0\x22\x0bhmac-sha256\0\0\0\x66\0\0\0\x01\x2c\0\x02__\0\x07\0\0\0\0";
    vec![
        [&head(1, [1, 0, 0, 0])[..], question].concat(),
        [&head(1, [1, 0, 0, 1])[..], question, opt].concat(),
        [&head(0x29, [1, 0, 1, 1])[..], b"\x04edge\x07example\x03com\0\0\x06\0\x01", record, signature].concat(),
        [&head(0x21, [1, 1, 0, 0])[..], question, record].concat(),
        [&head(1, [0, 0, 0, 1])[..], opt].concat(),
        [&head(0x81, [1, 0, 0, 0])[..], question].concat(),
    ]
}
