//! What an upstream server answers, from datagram to body: matching, reading, filtering, encoding. Nothing but the
//! chain of the question survives, whatever else is said.

use faros_dnsd::forward::OwnedQuestion;
use faros_dnsd::forward::address::leads_inside;
use faros_dnsd::forward::filter::{CHAIN_MAX, Filtered, Rules, TTL_SECS_MAX, filter};
use faros_dnsd::forward::query::{Extension, Form, Match, Query};
use faros_dnsd::forward::record::{RECORDS_MAX, Reply, Rr};
use faros_dnsd::protocol::body::{Body, Builder, Section};
use faros_dnsd::protocol::code::{class, kind, rcode};
use faros_dnsd::protocol::name::Name;

use crate::Target;
use crate::input::Input;

/// Feeds [`Query::matches`] and [`filter`].
pub const TARGET: Target = Target { name: "dns_upstream_reply", run, seeds, memory: (256 * 1024, 512) };

const KINDS: [u16; 8] =
    [kind::A, kind::AAAA, kind::CNAME, kind::TXT, kind::HTTPS, kind::ANY, kind::RRSIG, kind::SOA];
const COOKIE: [u8; 8] = *b"ourcooky";

/// An input is what is asked for, then flags and counts of the header, then everything behind the question.
fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let question = OwnedQuestion {
        dnssec_ok: input.flag(),
        ..OwnedQuestion::new(name("www.example.test."), KINDS[usize::from(input.below(KINDS.len() as u8))])
    };
    let extension = match input.below(3) {
        0 => Extension::None,
        1 => Extension::Plain,
        _ => Extension::Cookie { client: COOKIE, server: Vec::new() },
    };
    let query = Query::new(&question, Form { extension, mixed_case: true });
    let message = if input.flag() {
        // As it came, but for the id.
        [&query.wire()[..2], input.rest()].concat()
    } else {
        let end = 12 + question.name.as_wire().len() + 4;
        let mut message = query.wire()[..2].to_vec();
        message.extend_from_slice(&[0x80 | input.byte(), input.byte(), 0, 1]);
        message.extend_from_slice(&[0, input.byte(), 0, input.byte(), 0, input.byte()]);
        message.extend_from_slice(&query.wire()[12..end]);
        message.extend_from_slice(input.rest());
        message
    };
    let Match::Reply(reply, wire) = query.matches(message) else { return };
    assert_eq!(&wire[12..12 + question.name.as_wire().len()], question.name.as_wire(), "letters are restored");
    assert!(reply.answers.len() + reply.authorities.len() <= RECORDS_MAX);

    let rules = Rules { leaves: &|name| name.is_within(&ours()), may_be_private: &|name| name.is_within(&corp()) };
    let Ok(filtered) = filter(&question, &reply, 0, &rules) else { return };
    check(&question, &filtered);
    let again = Reply {
        rcode: filtered.rcode,
        answers: filtered.answers.clone(),
        authorities: filtered.authorities.clone(),
        ..*reply
    };
    let twice = filter(&question, &again, 0, &rules).expect("what passed once passes twice");
    assert_eq!(twice.answers, filtered.answers);
    encode(&question, &filtered);
}

fn check(question: &OwnedQuestion, filtered: &Filtered) {
    assert!(filtered.links <= CHAIN_MAX);
    let mut reached = vec![question.name.clone()];
    for record in &filtered.answers {
        let covers = record.kind == kind::DNAME || record.covered() == Some(kind::DNAME);
        let below = reached.iter().any(|name| *name != record.owner && name.is_within(&record.owner));
        assert!(reached.contains(&record.owner) || (covers && below), "{record:?} is beside the chain");
        assert!(!record.owner.is_within(&ours()), "{record:?} is ours to say");
        let asked = record.kind == question.kind || question.kind == kind::ANY;
        let link = matches!(record.kind, kind::CNAME | kind::DNAME);
        assert!(asked || link || (question.dnssec_ok && record.kind == kind::RRSIG), "{record:?} was not asked for");
        let inside = leads_inside(record.kind, &record.rdata);
        assert!(!inside || record.owner.is_within(&corp()), "{record:?} leads inside");
        sane(record);
        if record.kind == kind::CNAME {
            reached.extend(record.target());
        }
    }
    for record in &filtered.authorities {
        sane(record);
        let proof = matches!(record.kind, kind::RRSIG | kind::NSEC | kind::NSEC3);
        assert!(record.kind == kind::SOA || (question.dnssec_ok && proof), "{record:?} proves nothing");
        assert!(
            record.kind != kind::SOA || reached.iter().any(|name| name.is_within(&record.owner)),
            "{record:?} encloses nothing that was asked for"
        );
    }
    assert!(matches!(filtered.next, None) || reached.contains(filtered.next.as_ref().expect("there is one")));
}

fn sane(record: &Rr) {
    assert_eq!(record.class, class::IN);
    assert!(record.ttl <= TTL_SECS_MAX);
}

/// As a body, and read again, it is the same.
fn encode(question: &OwnedQuestion, filtered: &Filtered) {
    let Some(body) = body(question, filtered) else { return };
    let mut message = vec![0, 0, 0x80, 0, 0, 1];
    for count in [body.answers, body.authorities, 0] {
        message.extend_from_slice(&count.to_be_bytes());
    }
    message.extend_from_slice(question.name.as_wire());
    message.extend_from_slice(&question.kind.to_be_bytes());
    message.extend_from_slice(&class::IN.to_be_bytes());
    message.extend_from_slice(&body.bytes);
    let read = Reply::read(&message).expect("what we encode can be read");
    assert_eq!(folded(&read.answers), folded(&filtered.answers));
    assert_eq!(folded(&read.authorities), folded(&filtered.authorities));
}

/// A name in the data may come back in the letter case of the one that it is compressed against: to DNS they are the same.
fn folded(records: &[Rr]) -> Vec<Rr> {
    let fold = |record: &Rr| match record.kind {
        kind::CNAME | kind::NS | kind::SOA | kind::PTR | kind::MX => {
            Rr { rdata: record.rdata.to_ascii_lowercase().into(), ..record.clone() }
        }
        _ => record.clone(),
    };
    records.iter().map(fold).collect()
}

/// `None` where it is too long for a message.
fn body(question: &OwnedQuestion, filtered: &Filtered) -> Option<Body> {
    let mut builder = Builder::new(question.name.as_wire()).expect("a name");
    let sections = [(Section::Answer, &filtered.answers), (Section::Authority, &filtered.authorities)];
    for (section, records) in sections {
        for record in records {
            builder.record(section, record.owner.as_wire(), record.kind, record.ttl, &record.rdata).ok()?;
        }
    }
    Some(builder.finish(rcode::NOERROR, false, false))
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn ours() -> Name {
    name("edge.example.test.")
}

fn corp() -> Name {
    name("corp.test.")
}

fn seeds() -> Vec<Vec<u8>> {
    let head = [1, 0, 2, 0, 0x01, 0x80];
    let alias = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x01\x2c\x00\x02\xc0\x10";
    let address = b"\xc0\x10\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\x09\x09\x09\x09";
    let private = b"\xc0\x0c\x00\x01\x00\x01\x80\x00\x00\x00\x00\x04\x0a\x00\x00\x01";
    let dname = b"\xc0\x10\x00\x27\x00\x01\x00\x00\x01\x2c\x00\x0b\x04edge\x04corp\x00";
    let soa = [&b"\xc0\x10\x00\x06\x00\x01\x00\x00\x03\x84\x00\x18\xc0\x10\xc0\x10"[..], &[0; 20]].concat();
    let opt = b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x0c\x00\x0a\x00\x08ourcooky";
    vec![
        [&head[..], &[2, 0, 1], alias, address, opt].concat(),
        [&head[..], &[1, 0, 0], private].concat(),
        [&head[..], &[2, 0, 0], dname, alias].concat(),
        [&head[..], &[1, 1, 0], alias, &soa].concat(),
        [&head[..5], &[0x83], &[0, 1, 1], &soa, opt].concat(),
        [&[0, 0, 0, 1][..], &[0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]].concat(),
    ]
}
