//! How long a response may be kept by caches of HTTP (RFC 8484 section 5.1).

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;

/// For how many seconds `reply` may be kept: the smallest TTL of its answers, or what the SOA says of a negative
/// answer (RFC 2308 section 5). `None`: not at all, as with failures and answers cut short.
pub(super) fn seconds(reply: &[u8]) -> Option<u32> {
    let message = Message::from_vec(reply).ok()?;
    if !matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return None;
    }
    if message.metadata.truncation {
        return None;
    }
    let answers = message.answers.iter().map(|record| record.ttl).min();
    let negative = message.authorities.iter().filter_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    });
    // An alias that ends in nothing has both.
    answers.into_iter().chain(negative.min()).min()
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use hickory_proto::op::{MessageType, OpCode, Query};
    use hickory_proto::rr::rdata::{A, SOA};
    use hickory_proto::rr::{Name, Record, RecordType};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_str(text).unwrap()
    }

    fn reply(code: ResponseCode, answers: &[u32], soa: Option<(u32, u32)>) -> Message {
        let mut message = Message::new(0, MessageType::Response, OpCode::Query);
        message.metadata.response_code = code;
        message.add_query(Query::query(name("a.example."), RecordType::A));
        for &ttl in answers {
            message.add_answer(Record::from_rdata(name("a.example."), ttl, RData::A(A::new(192, 0, 2, 1))));
        }
        if let Some((ttl, minimum)) = soa {
            let data = SOA::new(name("ns.example."), name("admin.example."), 1, 2, 3, 4, minimum);
            message.add_authority(Record::from_rdata(name("example."), ttl, RData::SOA(data)));
        }
        message
    }

    fn kept(message: &Message) -> Option<u32> {
        seconds(&message.to_vec().unwrap())
    }

    #[test]
    fn a_response_is_kept_no_longer_than_any_part_of_its_answer() {
        use ResponseCode::{NXDomain, NoError, Refused, ServFail};
        assert_eq!(kept(&reply(NoError, &[300, 77, 400], None)), Some(77));
        assert_eq!(kept(&reply(NoError, &[0], None)), Some(0));
        assert_eq!(kept(&reply(NXDomain, &[], Some((900, 60)))), Some(60));
        assert_eq!(kept(&reply(NoError, &[], Some((30, 60)))), Some(30));
        assert_eq!(kept(&reply(NXDomain, &[20], Some((900, 60)))), Some(20), "an alias to nothing");
        for uncertain in [reply(ServFail, &[], None), reply(Refused, &[], None), reply(NoError, &[], None)] {
            assert_eq!(kept(&uncertain), None);
        }
        let mut cut = reply(NoError, &[300], None);
        cut.metadata.truncation = true;
        assert_eq!(kept(&cut), None);
        assert_eq!(seconds(b"no message"), None);
    }
}
