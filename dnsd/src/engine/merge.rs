//! An answer in two parts: an alias in a zone of ours, and what it leads to elsewhere.

use crate::forward::record::{Reply, Rr};
use crate::protocol::body::{Body, BodyError, Builder, Section, Written};
use crate::protocol::message::HEADER_BYTES;
use crate::protocol::name::Name;

/// The records of a zone's answer, up to an alias that leads elsewhere: out of the octets that it was written as behind
/// `question`.
pub(super) fn aliases(question: &Name, kind: u16, written: Written, octets: &[u8]) -> Option<Vec<Rr>> {
    let counts = [written.answers, written.authorities, written.additionals];
    let reply = read(question, kind, counts, octets.get(..written.len)?)?;
    Some(reply.answers)
}

/// The answer to `question`: `aliases`, and then what they lead to, which is `rest` behind the question `target`.
pub(super) fn merge(
    question: &Name,
    kind: u16,
    aliases: &[Rr],
    target: &Name,
    rest: &Body,
) -> Option<Result<Body, BodyError>> {
    let counts = [rest.answers, rest.authorities, 0];
    let part = rest.bytes.get(..rest.additional_at as usize)?;
    let reply = read(target, kind, counts, part)?;
    Some(build(question, aliases, rest.rcode, &reply))
}

fn build(question: &Name, aliases: &[Rr], rcode: u16, rest: &Reply) -> Result<Body, BodyError> {
    let mut builder = Builder::new(question.as_wire())?;
    let mut add = |section, record: &Rr| {
        builder.record(section, record.owner.as_wire(), record.kind, record.ttl, &record.rdata)
    };
    for record in aliases.iter().chain(&rest.answers) {
        add(Section::Answer, record)?;
    }
    for record in &rest.authorities {
        add(Section::Authority, record)?;
    }
    // AA speaks of the first owner name (RFC 1034 section 6.2.7), AD of everything.
    Ok(builder.finish(rcode, true, false))
}

/// Reads sections that were written behind a question.
fn read(question: &Name, kind: u16, counts: [u16; 3], sections: &[u8]) -> Option<Reply> {
    let mut message = Vec::with_capacity(HEADER_BYTES + question.as_wire().len() + 4 + sections.len());
    message.extend_from_slice(&[0, 0, 0x80, 0, 0, 1]);
    for count in counts {
        message.extend_from_slice(&count.to_be_bytes());
    }
    message.extend_from_slice(question.as_wire());
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&crate::protocol::code::class::IN.to_be_bytes());
    message.extend_from_slice(sections);
    Reply::read(&message).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::body::Ttl;
    use crate::protocol::code::{kind, rcode};

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn the_parts_read_as_one_answer() {
        let (question, target) = (name("www.edge.example."), name("cdn.elsewhere.test."));
        let mut alias = Builder::new(question.as_wire()).unwrap();
        alias.record(Section::Answer, question.as_wire(), kind::CNAME, 60, target.as_wire()).unwrap();
        let alias = alias.finish(rcode::NOERROR, true, false);
        let mut octets = vec![0; 512];
        let written = alias.write(&mut octets, Ttl::Aged(0)).unwrap();

        let mut rest = Builder::new(target.as_wire()).unwrap();
        rest.record(Section::Answer, target.as_wire(), kind::A, 30, &[192, 0, 2, 1]).unwrap();
        let rest = rest.finish(rcode::NOERROR, false, false);

        let aliases = aliases(&question, kind::A, written, &octets).unwrap();
        let merged = merge(&question, kind::A, &aliases, &target, &rest).unwrap().unwrap();
        assert_eq!((merged.answers, merged.authorities, merged.rcode), (2, 0, rcode::NOERROR));
        assert!(merged.authoritative);
        let reply = read(&question, kind::A, [2, 0, 0], &merged.bytes).unwrap();
        assert_eq!(reply.answers[0].target(), Some(target.clone()));
        assert_eq!((&reply.answers[1].owner, &*reply.answers[1].rdata), (&target, &[192, 0, 2, 1][..]));
    }

    #[test]
    fn what_does_not_exist_behind_an_alias_keeps_its_proof() {
        let (question, target) = (name("www.edge.example."), name("gone.elsewhere.test."));
        let alias = Rr {
            owner: question.clone(),
            kind: kind::CNAME,
            class: 1,
            ttl: 60,
            rdata: target.as_wire().into(),
        };
        let mut rest = Builder::new(target.as_wire()).unwrap();
        let zone = name("elsewhere.test.");
        let soa = [zone.as_wire(), zone.as_wire(), &[0; 20]].concat();
        rest.record(Section::Authority, zone.as_wire(), kind::SOA, 30, &soa).unwrap();
        let rest = rest.finish(rcode::NXDOMAIN, false, false);
        let merged = merge(&question, kind::A, &[alias], &target, &rest).unwrap().unwrap();
        assert_eq!((merged.answers, merged.authorities, merged.rcode), (1, 1, rcode::NXDOMAIN));
    }
}
