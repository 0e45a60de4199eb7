//! Leases on disk: the form of a record, and the journal that holds them.
//!
//! A record is one lease as it is now, or a [`Stamp`] of the clocks; of several records of one address the
//! last one counts. All numbers little-endian:
//!
//! ```text
//! lease:  1 | address 4 | state 1 | flags 1 | since 8 | heard 8 | until 8 | xid 4
//!           | hardware type 1 | length 1 | address … | UUID 16 (flag 1)
//!           | client identifier length 2, bytes (flag 2) | host name length 1, bytes (flag 4)
//! stamp:  2 | time 8 | uptime 8 | wall 8 | boot id length 1, bytes
//! ```

use std::collections::HashMap;
use std::net::Ipv4Addr;

use crate::protocol::clock::{Reading, Stamp};
use crate::protocol::leases::{Client, Lease, State};
use crate::protocol::message::Hardware;
use crate::protocol::time::Time;
use crate::uuid::Uuid;

/// The version of these records.
pub const RECORDS_VERSION: u16 = 1;

const TAG_LEASE: u8 = 1;
const TAG_STAMP: u8 = 2;
const FLAG_UUID: u8 = 1;
const FLAG_CLIENT_ID: u8 = 2;
const FLAG_HOST_NAME: u8 = 4;
const FLAG_FIRMWARE: u8 = 8;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A lease as it is now.
    Lease(Lease),
    /// The clocks at some moment.
    Stamp(Stamp),
}

impl Record {
    /// The bytes for the journal.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Lease(lease) => encode_lease(lease),
            Self::Stamp(stamp) => {
                let mut bytes = vec![TAG_STAMP];
                for number in [stamp.time.0, stamp.reading.uptime_ms, stamp.reading.wall_ms] {
                    bytes.extend(number.to_le_bytes());
                }
                let boot_id = &stamp.reading.boot_id.as_bytes()[..stamp.reading.boot_id.len().min(255)];
                bytes.push(boot_id.len() as u8);
                bytes.extend_from_slice(boot_id);
                bytes
            }
        }
    }

    /// The record in `bytes`; `None` if they are none of this version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let record = match reader.byte()? {
            TAG_LEASE => Self::Lease(decode_lease(&mut reader)?),
            TAG_STAMP => {
                let time = Time(reader.number()?);
                let (uptime_ms, wall_ms) = (reader.number()?, reader.number()?);
                let length = reader.byte()?;
                let boot_id = String::from_utf8(reader.take(length.into())?.to_vec()).ok()?;
                Self::Stamp(Stamp { time, reading: Reading { boot_id, uptime_ms, wall_ms } })
            }
            _ => return None,
        };
        reader.0.is_empty().then_some(record)
    }
}

/// What a journal told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// The leases, one per address.
    pub leases: Vec<Lease>,
    /// The last stamp.
    pub stamp: Option<Stamp>,
    /// Records that were none.
    pub unreadable: usize,
}

impl Replayed {
    /// The state that `records` lead to.
    pub fn of<R: AsRef<[u8]>>(records: impl IntoIterator<Item = R>) -> Self {
        let mut leases = HashMap::new();
        let mut replayed = Self::default();
        for record in records {
            match Record::decode(record.as_ref()) {
                Some(Record::Lease(lease)) => {
                    leases.insert(lease.address, lease);
                }
                Some(Record::Stamp(stamp)) => replayed.stamp = Some(stamp),
                None => replayed.unreadable += 1,
            }
        }
        replayed.leases = leases.into_values().collect();
        // The older a record, the earlier it goes in: where a client had several addresses, the last one counts.
        replayed.leases.sort_by_key(|lease| (lease.heard, lease.address));
        replayed
    }
}

/// The whole state as records, for a snapshot. Offers are nothing that was promised.
pub fn snapshot<'l>(leases: impl Iterator<Item = &'l Lease>, stamp: Stamp) -> Vec<Vec<u8>> {
    let promised = leases.filter(|lease| lease.state != State::Offered).map(encode_lease);
    std::iter::once(Record::Stamp(stamp).encode()).chain(promised).collect()
}

fn encode_lease(lease: &Lease) -> Vec<u8> {
    let Client { hardware, uuid, client_id } = &lease.client;
    let client_id = client_id.as_deref().filter(|id| id.len() <= usize::from(u16::MAX));
    let host_name = lease.host_name.as_deref().filter(|name| name.len() <= 255);
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let flags = flag(uuid.is_some(), FLAG_UUID)
        | flag(client_id.is_some(), FLAG_CLIENT_ID)
        | flag(host_name.is_some(), FLAG_HOST_NAME)
        | flag(lease.firmware, FLAG_FIRMWARE);
    let state = match lease.state {
        State::Offered => 0,
        State::Active => 1,
        State::Ended => 2,
        State::Quarantined => 3,
    };
    let mut bytes = Vec::with_capacity(96);
    bytes.push(TAG_LEASE);
    bytes.extend(lease.address.octets());
    bytes.extend([state, flags]);
    for time in [lease.since, lease.heard, lease.until] {
        bytes.extend(time.0.to_le_bytes());
    }
    bytes.extend(lease.xid);
    bytes.extend([hardware.kind, hardware.address().len() as u8]);
    bytes.extend_from_slice(hardware.address());
    if let Some(uuid) = uuid {
        bytes.extend(uuid.0);
    }
    if let Some(id) = client_id {
        bytes.extend((id.len() as u16).to_le_bytes());
        bytes.extend_from_slice(id);
    }
    if let Some(name) = host_name {
        bytes.push(name.len() as u8);
        bytes.extend(name.bytes());
    }
    bytes
}

fn decode_lease(reader: &mut Reader<'_>) -> Option<Lease> {
    let address = Ipv4Addr::from(reader.array::<4>()?);
    let state = match reader.byte()? {
        0 => State::Offered,
        1 => State::Active,
        2 => State::Ended,
        3 => State::Quarantined,
        _ => return None,
    };
    let flags = reader.byte()?;
    let [since, heard, until] = [Time(reader.number()?), Time(reader.number()?), Time(reader.number()?)];
    let xid = reader.array::<4>()?;
    let (kind, length) = (reader.byte()?, reader.byte()?);
    let hardware = Hardware::new(kind, reader.take(usize::from(length).min(16))?);
    let uuid = if flags & FLAG_UUID != 0 { Some(Uuid(reader.array()?)) } else { None };
    let client_id = if flags & FLAG_CLIENT_ID != 0 {
        let length = u16::from_le_bytes(reader.array()?);
        Some(reader.take(length.into())?.into())
    } else {
        None
    };
    let host_name = if flags & FLAG_HOST_NAME != 0 {
        let length = reader.byte()?;
        Some(String::from_utf8(reader.take(length.into())?.to_vec()).ok()?)
    } else {
        None
    };
    let client = Client { hardware, uuid, client_id };
    Some(Lease {
        address,
        client,
        state,
        since,
        heard,
        until,
        host_name,
        xid,
        firmware: flags & FLAG_FIRMWARE != 0,
    })
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(uuid: bool, id: Option<Vec<u8>>, name: Option<&str>, state: State) -> Lease {
        Lease {
            address: Ipv4Addr::new(192, 168, 8, 130),
            client: Client {
                hardware: Hardware::new(1, &[2, 0, 0, 0, 0, 1]),
                uuid: uuid.then_some(Uuid([7; 16])),
                client_id: id.map(Vec::into_boxed_slice),
            },
            state,
            since: Time(1),
            heard: Time(2),
            until: Time(u64::MAX),
            host_name: name.map(str::to_owned),
            xid: [1, 2, 3, 4],
            firmware: uuid,
        }
    }

    #[test]
    fn every_record_reads_back() {
        for state in [State::Offered, State::Active, State::Ended, State::Quarantined] {
            for (uuid, id, name) in [
                (false, None, None),
                (true, Some(vec![1; 255]), Some("node")),
                (true, Some(Vec::new()), None),
            ] {
                let record = Record::Lease(lease(uuid, id, name, state));
                assert_eq!(Record::decode(&record.encode()), Some(record));
            }
        }
        let reading = Reading { boot_id: "x".repeat(36), uptime_ms: 1, wall_ms: 2 };
        let record = Record::Stamp(Stamp { time: Time(3), reading });
        assert_eq!(Record::decode(&record.encode()), Some(record));
    }

    #[test]
    fn cut_and_lengthened_records_are_none() {
        let bytes = Record::Lease(lease(true, Some(vec![1; 7]), Some("node"), State::Active)).encode();
        for length in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes[..length]), None, "{length}");
        }
        assert_eq!(Record::decode(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn the_last_record_of_an_address_counts() {
        let first = lease(false, None, None, State::Active);
        let last = Lease { state: State::Ended, ..first.clone() };
        let records = [Record::Lease(first).encode(), vec![9], Record::Lease(last.clone()).encode()];
        let replayed = Replayed::of(records);
        assert_eq!((replayed.leases, replayed.unreadable), (vec![last], 1));
    }

    proptest::proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = Record::decode(&bytes);
        }
    }
}
