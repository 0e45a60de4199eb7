//! Records of leases on disk: whatever is read is written again the same way, and a server starts with it.

use std::sync::Arc;

use faros_dhcpd::protocol::machine::Machine;
use faros_dhcpd::protocol::time::Time;
use faros_dhcpd::store::{Record, Replayed};

use crate::Target;
use crate::dhcp_site::config;
use crate::input::Input;

/// Feeds [`Record::decode`], [`Replayed::of`] and [`Machine::start`].
pub const TARGET: Target = Target { name: "dhcp_lease_record", run, seeds, memory: (64 * 1024, 512) };

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut records = Vec::new();
    while !input.is_empty() {
        records.push(input.short());
    }
    let mut unreadable = 0;
    for bytes in &records {
        match Record::decode(bytes) {
            Some(record) => assert_eq!(Record::decode(&record.encode()), Some(record)),
            None => unreadable += 1,
        }
    }
    let replayed = Replayed::of(&records);
    assert_eq!(replayed.unreadable, unreadable);
    let count = replayed.leases.len();
    let newest = replayed.leases.iter().map(|lease| lease.until).max().unwrap_or_default();
    let mut machine = Machine::start(Arc::clone(config()), replayed.leases);
    assert_eq!(machine.leases().iter().len(), count);
    for now in [Time(0), Time(newest.0 / 2), newest, Time(u64::MAX)] {
        machine.on_timeout(now, &mut Vec::new());
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let lease = |state: u8, last: u8| {
        let mut bytes = vec![1, 192, 168, 8, last, state, 7];
        for time in [1_000_000u64, 1_000_500, 4_600_000] {
            bytes.extend(time.to_le_bytes());
        }
        bytes.extend([1, 2, 3, 4, 1, 6, 2, 0, 0, 0, 0, last]);
        bytes.extend([0x4e; 16]);
        bytes.extend([3, 0, 9, 9, 9, 4]);
        bytes.extend(b"node");
        [&[bytes.len() as u8], bytes.as_slice()].concat()
    };
    let stamp = [&[29, 2][..], &[7; 24], &[3], b"abc"].concat();
    vec![
        [lease(1, 130), stamp.clone(), lease(2, 131), lease(3, 132)].concat(),
        [lease(0, 11), lease(1, 11), lease(1, 250), stamp].concat(),
        vec![3, 1, 2, 3],
    ]
}
