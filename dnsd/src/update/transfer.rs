//! A zone as a row of messages (RFC 5936), also as the answer to IXFR (RFC 1995 section 4).

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::message::name_at;
use super::tsig::Verified;
use crate::protocol::body::{Builder, Section};
use crate::protocol::code::{class, kind, opcode};
use crate::protocol::message::{HEADER_BYTES, Query};
use crate::zone::{Record, Zone};

/// How large a message of a transfer gets, in octets. Larger ones only delay the first record.
const MESSAGE_BYTES: usize = 16 * 1024;

/// What a message can hold beside its question, the SOA at its end and a signature, in octets.
const ROOM: usize = u16::MAX as usize - 2048;

/// Whether `query` asks for a transfer.
pub fn is_transfer(query: &Query<'_>) -> bool {
    query.opcode == opcode::QUERY
        && query.question.class == class::IN
        && matches!(query.question.kind, kind::AXFR | kind::IXFR)
}

/// Who may have zones: this host, the prefixes of the site file, and whoever signs with a key for it.
#[derive(Clone, Debug, Default)]
pub struct Permission {
    /// Addresses of this host.
    pub own: Vec<IpAddr>,
    /// `[dns] transfer`.
    pub prefixes: Vec<IpNet>,
}

impl Permission {
    /// Whether a client at `address` may, who has signed as `verified` says.
    pub fn grants(&self, address: IpAddr, verified: Option<&Verified>) -> bool {
        let address = address.to_canonical();
        address.is_loopback()
            || self.own.contains(&address)
            || self.prefixes.iter().any(|prefix| prefix.contains(&address))
            || verified.is_some_and(|verified| verified.granted.transfer)
    }
}

/// A transfer under way. It is of the zone as it was when it began.
#[derive(Debug)]
pub struct Transfer {
    zone: Arc<Zone>,
    id: u16,
    question: Vec<u8>,
    /// The next record but for the SOA, which comes first and last.
    next: usize,
    part: Part,
    verified: Option<Verified>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Nothing was sent yet.
    Begin,
    /// Nothing was sent yet, and only the SOA will be.
    SoaOnly,
    /// Records are under way.
    Records,
    /// The last SOA was sent.
    End,
}

impl Transfer {
    /// Answers `query`, whose octets are `request`. To IXFR of a client that has the zone already, or over UDP
    /// (`datagram`), the answer is the SOA alone.
    pub fn new(
        zone: Arc<Zone>,
        query: &Query<'_>,
        request: &[u8],
        datagram: bool,
        verified: Option<Verified>,
    ) -> Self {
        let incremental = query.question.kind == kind::IXFR;
        let current = || {
            let has = serial_of(query, request)?;
            // RFC 1982 section 3.2: what it has is not older.
            Some(has.wrapping_sub(zone.serial()).cast_signed() >= 0)
        };
        let soa_only = incremental && (datagram || current() == Some(true));
        Self {
            id: query.id,
            question: request[HEADER_BYTES..HEADER_BYTES + query.question_len].to_vec(),
            next: 0,
            part: if soa_only { Part::SoaOnly } else { Part::Begin },
            zone,
            verified,
        }
    }

    /// The next message; `None` after the last one.
    pub fn next_message(&mut self, wall_secs: u64) -> Option<Vec<u8>> {
        if self.part == Part::End {
            return None;
        }
        let name = &self.question[..self.question.len() - 4];
        let mut builder = Builder::new(name).ok()?;
        let mut bytes = 0;
        let zone = Arc::clone(&self.zone);
        let soa = zone.records().find(|record| record.kind == kind::SOA)?;
        if self.part != Part::Records {
            bytes += add(&mut builder, soa);
        }
        if self.part == Part::SoaOnly {
            self.part = Part::End;
        } else {
            self.part = Part::Records;
            // A record alone may be longer than a message of ours; it goes by itself then.
            while bytes < MESSAGE_BYTES && self.next < zone.records().len() {
                let record = zone.records().nth(self.next)?;
                if record.kind != kind::SOA {
                    if bytes > 0 && bytes + bytes_of(record) > ROOM {
                        break;
                    }
                    bytes += add(&mut builder, record);
                }
                self.next += 1;
            }
            if self.next == zone.records().len() {
                bytes += add(&mut builder, soa);
                debug_assert!(bytes <= ROOM + bytes_of(soa), "a message holds what was put into it");
                self.part = Part::End;
            }
        }
        let body = builder.finish(0, true, false);
        let mut message = Vec::with_capacity(HEADER_BYTES + self.question.len() + body.bytes.len() + 128);
        // QR and AA.
        for word in [self.id, 0x8400, 1, body.answers, 0, 0] {
            message.extend(word.to_be_bytes());
        }
        message.extend(&self.question);
        message.extend(&body.bytes);
        if let Some(verified) = &mut self.verified {
            verified.sign(&mut message, wall_secs);
        }
        Some(message)
    }
}

/// Adds a record and says how long it is. It fits, as [`ROOM`] was looked after.
fn add(builder: &mut Builder, record: &Record) -> usize {
    let Record { owner, kind, ttl, rdata } = record;
    let added = builder.record(Section::Answer, owner.as_wire(), *kind, *ttl, rdata);
    debug_assert!(added.is_ok(), "{owner} is left out");
    bytes_of(record)
}

fn bytes_of(record: &Record) -> usize {
    record.owner.as_wire().len() + 10 + record.rdata.len()
}

/// The serial number in the SOA that the client of IXFR has (RFC 1995 section 3).
fn serial_of(query: &Query<'_>, request: &[u8]) -> Option<u32> {
    let (_, at) = name_at(request, HEADER_BYTES + query.question_len)?;
    let head = request.get(at..at + 10)?;
    if head[..4] != [0, kind::SOA as u8, 0, class::IN as u8] || request[8..10] == [0, 0] {
        return None;
    }
    let (_, at) = name_at(request, at + 10)?;
    let (_, at) = name_at(request, at)?;
    Some(u32::from_be_bytes(*request.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Message;
    use hickory_proto::rr::RecordType;

    use super::*;
    use crate::protocol::name::Name;
    use crate::zone::ZoneSource;
    use crate::zone::text::rdata;

    fn zone(hosts: usize) -> Arc<Zone> {
        let origin = Name::parse("example.com.").unwrap();
        let record = |owner: &str, kind, value: &str| Record {
            owner: Name::parse(owner).unwrap(),
            kind,
            ttl: 60,
            rdata: rdata(kind, value, &origin).unwrap(),
        };
        let mut records = vec![
            record("example.com.", kind::SOA, "ns hostmaster 7 3600 600 86400 60"),
            record("example.com.", kind::NS, "ns"),
        ];
        records.extend((0..hosts).map(|n| record(&format!("host{n}.example.com."), kind::A, "192.0.2.1")));
        Arc::new(Zone::compile(&ZoneSource { origin, records }).unwrap())
    }

    fn request(kind: u16, serial: Option<u32>) -> Vec<u8> {
        let mut request = vec![0, 9, 0, 0, 0, 1, 0, 0, 0, u8::from(serial.is_some()), 0, 0];
        request.extend(b"\x07example\x03com\0");
        request.extend([0, kind as u8, 0, 1]);
        if let Some(serial) = serial {
            request.extend(b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x16\0\0");
            for word in [serial, 1, 1, 1, 1] {
                request.extend(word.to_be_bytes());
            }
        }
        request
    }

    fn all(hosts: usize, request: &[u8], datagram: bool) -> Vec<Message> {
        let query = Query::parse(request).unwrap();
        assert!(is_transfer(&query));
        let mut transfer = Transfer::new(zone(hosts), &query, request, datagram, None);
        std::iter::from_fn(|| transfer.next_message(0))
            .map(|bytes| Message::from_vec(&bytes).unwrap())
            .collect()
    }

    #[test]
    fn a_zone_goes_over_between_two_soa_in_as_many_messages_as_it_takes() {
        for (hosts, messages) in [(0, 1), (10, 1), (5000, 11)] {
            let messages_sent = all(hosts, &request(kind::AXFR, None), false);
            assert_eq!(messages_sent.len(), messages, "{hosts} hosts");
            let records: Vec<_> = messages_sent.iter().flat_map(|message| &message.answers).collect();
            assert_eq!(records.len(), hosts + 3);
            let soas: Vec<usize> =
                (0..records.len()).filter(|&at| records[at].record_type() == RecordType::SOA).collect();
            assert_eq!(soas, [0, records.len() - 1]);
        }
    }

    #[test]
    fn whoever_is_current_gets_the_soa_alone() {
        for (serial, records) in [(Some(7), 1), (Some(8), 1), (Some(6), 13), (None, 13)] {
            let messages = all(10, &request(kind::IXFR, serial), false);
            assert_eq!(messages.len(), 1);
            assert_eq!(messages[0].answers.len(), records, "{serial:?}");
        }
        assert_eq!(
            all(10, &request(kind::IXFR, Some(1)), true)[0].answers.len(),
            1,
            "a datagram holds no zone"
        );
    }

    #[test]
    fn only_this_host_and_the_named_may_have_zones() {
        let permission = Permission {
            own: vec!["192.168.8.1".parse().unwrap()],
            prefixes: vec!["192.168.8.0/28".parse().unwrap()],
        };
        for (address, granted) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("192.168.8.1", true),
            ("::ffff:192.168.8.14", true),
            ("192.168.8.16", false),
            ("203.0.113.1", false),
        ] {
            assert_eq!(permission.grants(address.parse().unwrap(), None), granted, "{address}");
        }
    }
}
