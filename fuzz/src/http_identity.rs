//! Who asks: whatever a loader says of itself, secrets go to the node's own address and card only.

use std::net::IpAddr;

use faros_common::site::Mac;
use faros_ignition_http::protocol::identity::{
    By, Claim, Identity, Lease, Machine, Roster, Uuid, may_have_seed,
};

use crate::Target;
use crate::input::Input;

/// Feeds [`Roster`], [`may_have_seed`] and [`Uuid`].
pub const TARGET: Target = Target { name: "http_identity", run, seeds, memory: (64 * 1024, 64) };

const UUIDS: [&str; 2] = ["4e420000-0000-4000-8000-000000000011", "00112233445566778899aabbccddeeff"];

fn mac(last: u8) -> Mac {
    Mac([0x52, 0x54, 0, 0, 8, last])
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 168, 8, last])
}

/// Two nodes with cards and addresses, one with a UUID alone, one with a card alone.
fn roster() -> Roster {
    let machine = |name: &str, macs: &[u8], uuid: Option<&str>, addresses: &[u8]| Machine {
        name: name.to_owned(),
        macs: macs.iter().copied().map(mac).collect(),
        uuid: uuid.and_then(Uuid::parse),
        addresses: addresses.iter().copied().map(address).collect(),
    };
    Roster {
        machines: vec![
            machine("cp1", &[1, 2], Some(UUIDS[0]), &[11]),
            machine("cp2", &[3], None, &[12]),
            machine("blade", &[], Some(UUIDS[1]), &[13]),
            machine("worker", &[4], None, &[]),
        ],
    }
}

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let roster = roster();
    let some_mac = |input: &mut Input<'_>| Some(input.below(7)).filter(|&last| last > 0).map(mac);
    let claim = Claim {
        mac: some_mac(&mut input),
        neighbour: some_mac(&mut input),
        peer: address(10 + input.below(6)),
        local: input.below(8) == 0,
        uuid: match input.below(4) {
            0 => None,
            known @ 1..=2 => Uuid::parse(UUIDS[usize::from(known) - 1]),
            _ => std::str::from_utf8(input.short()).ok().and_then(Uuid::parse),
        },
    };
    if let Some(uuid) = claim.uuid {
        assert_eq!(Uuid::parse(&uuid.to_string()), Some(uuid));
    }
    let identity = roster.identify(claim);
    if let Identity::Node { index, by, preview } = identity {
        let machine = &roster.machines[index];
        assert_eq!(preview, claim.local);
        let own = |mac: Option<Mac>| mac.is_some_and(|mac| machine.macs.contains(&mac));
        match by {
            By::Uuid => assert_eq!(machine.uuid, claim.uuid),
            By::Mac => assert!(own(claim.mac)),
            By::Neighbour => assert!(own(claim.neighbour) && claim.mac.is_none()),
            By::Address => assert!(machine.addresses.contains(&claim.peer) && claim.mac.is_none()),
        }
        let other = roster.machines.iter().enumerate().filter(|(place, _)| *place != index);
        for (_, other) in other.filter(|_| !claim.local) {
            let foreign = claim.neighbour.is_some_and(|card| other.macs.contains(&card));
            assert!(!foreign, "{} was taken for {}", other.name, machine.name);
        }
    }

    let lease = match input.below(4) {
        0 => Lease::NotAsked,
        1 => Lease::Unavailable,
        2 => Lease::None,
        _ => Lease::Of {
            mac: some_mac(&mut input),
            node: roster.machines.get(usize::from(input.below(5))).map(|machine| machine.name.clone()),
        },
    };
    for machine in &roster.machines {
        if may_have_seed(machine, claim.peer, claim.neighbour, &lease).is_err() {
            continue;
        }
        let at_home = machine.addresses.contains(&claim.peer);
        let leased = match &lease {
            Lease::Of { node: Some(node), .. } => *node == machine.name,
            Lease::Of { node: None, mac } => mac.is_some_and(|mac| machine.macs.contains(&mac)),
            _ => false,
        };
        assert!(at_home || (machine.addresses.is_empty() && leased), "{} is not there", machine.name);
        let foreign = claim.neighbour.filter(|card| !machine.macs.is_empty() && !machine.macs.contains(card));
        assert_eq!(foreign, None, "the secrets of {} went to another card", machine.name);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![1, 1, 1, 1, 1, 0],
        vec![3, 1, 2, 1, 0, 3, 4],
        vec![0, 0, 3, 1, 2, 2],
        vec![4, 4, 5, 1, 0, 3, 4],
        [&[0, 0, 1, 0, 3, 36][..], UUIDS[0].as_bytes(), &[0]].concat(),
    ]
}
