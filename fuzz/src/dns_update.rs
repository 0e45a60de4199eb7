//! Updates to a zone, one after the other: what is left is a zone, and nothing fixed has changed.

use std::sync::Arc;

use faros_dnsd::protocol::code::{class, kind};
use faros_dnsd::protocol::message::Query;
use faros_dnsd::protocol::name::Name;
use faros_dnsd::update::apply::{Added, apply, permitted, prerequisites};
use faros_dnsd::update::keys::Granted;
use faros_dnsd::update::message::Update;
use faros_dnsd::update::tsig::{Algorithm, Key, TsigRecord};
use faros_dnsd::zone::{Record, Zone, ZoneSource, text};

use crate::Target;
use crate::input::Input;

/// Feeds [`Update::read`], [`prerequisites`], [`permitted`], [`apply`] and [`TsigRecord::read`].
pub const TARGET: Target = Target { name: "dns_update", run, seeds, memory: (8 << 20, 8192) };

/// An input is a row of messages without their heads, each with its length before it.
fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let origin = Name::parse("z.").expect("a name");
    let fixed = [
        record(&origin, "z.", kind::SOA, "ns hostmaster 1 3600 600 86400 60"),
        record(&origin, "z.", kind::NS, "ns"),
        record(&origin, "ns.z.", kind::A, "192.0.2.53"),
        record(&origin, "api.z.", kind::A, "192.0.2.2"),
    ];
    let granted = Arc::new(Granted {
        key: Key::new(&Name::parse("k.").expect("a name"), Algorithm::Sha256, vec![7; 32]),
        subtrees: vec![origin.clone()],
        kinds: vec![kind::A, kind::AAAA, kind::CNAME, kind::TXT, kind::SRV],
        transfer: false,
    });
    let is_fixed = |owner: &Name| fixed.iter().any(|record| record.owner == *owner);
    let mut added = Added::new();
    for _ in 0..8 {
        let counts = [input.byte() % 8, input.byte() % 8];
        let mut message = vec![0, 1, 0x28, 0, 0, 1, 0, counts[0], 0, counts[1], 0, 0, 1, b'z', 0, 0, 6, 0, 1];
        message.extend(input.short());
        let _ = TsigRecord::read(&message, 19.min(message.len()));
        let Ok(query) = Query::parse(&message) else { continue };
        let Some(update) = Update::read(&query, &message) else { continue };
        let zone = compiled(&origin, &fixed, &added).expect("what updates leave is a zone");
        if prerequisites(&update, &zone).is_err() || permitted(&update, &granted, is_fixed).is_err() {
            continue;
        }
        let mut after = added.clone();
        apply(&update, &granted, &mut after);
        for (owner, records) in &after {
            assert!(!records.is_empty() && !is_fixed(owner) && owner.is_within(&origin));
            assert!(records.iter().all(|record| record.owner == *owner && granted.may_change(owner, record.kind)));
        }
        // Data that are none of their type make no zone; the update is refused then.
        if compiled(&origin, &fixed, &after).is_some() {
            added = after;
        }
    }
}

fn compiled(origin: &Name, fixed: &[Record], added: &Added) -> Option<Zone> {
    let records = fixed.iter().chain(added.values().flatten()).cloned().collect();
    Zone::compile(&ZoneSource { origin: origin.clone(), records }).ok()
}

fn record(origin: &Name, owner: &str, kind: u16, value: &str) -> Record {
    Record {
        owner: Name::parse(owner).expect("a name"),
        kind,
        ttl: 60,
        rdata: text::rdata(kind, value, origin).expect("data"),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let message = |prerequisites: &[Vec<u8>], changes: &[Vec<u8>]| {
        let body = [prerequisites.concat(), changes.concat()].concat();
        [vec![prerequisites.len() as u8, changes.len() as u8, body.len() as u8], body].concat()
    };
    let entry = |owner: &[u8], kind: u16, class: u16, ttl: u32, data: &[u8]| {
        let numbers = [kind.to_be_bytes(), class.to_be_bytes()].concat();
        [owner, b"\xc0\x0c", &numbers, &ttl.to_be_bytes(), &(data.len() as u16).to_be_bytes(), data].concat()
    };
    let add = entry(b"\x01x", kind::A, class::IN, 60, &[192, 0, 2, 9]);
    let alias = entry(b"\x01y", kind::CNAME, class::IN, 60, b"\x02ns\xc0\x0c");
    let unused = entry(b"\x01x", kind::ANY, class::NONE, 0, &[]);
    let delete = entry(b"\x01x", kind::ANY, class::ANY, 0, &[]);
    let one = entry(b"\x01x", kind::A, class::NONE, 0, &[192, 0, 2, 9]);
    vec![
        message(&[unused], &[add.clone(), alias.clone()]),
        [message(&[], std::slice::from_ref(&add)), message(&[], &[delete]), message(&[], &[alias])].concat(),
        [message(&[], &[add]), message(&[], &[one])].concat(),
    ]
}
