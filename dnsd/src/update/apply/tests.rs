//! Each rule of RFC 2136 section 3 by itself, then any updates at all.

use proptest::prelude::*;

use super::*;
use crate::update::keys::Keys;
use crate::update::tsig::{Algorithm, Key};
use crate::zone::ZoneSource;
use crate::zone::text::rdata;

fn name(text: &str) -> Name {
    let text = if text.ends_with('.') { text.to_owned() } else { format!("{text}.example.com.") };
    Name::parse(&text).unwrap()
}

fn record(owner: &str, kind: u16, value: &str) -> Record {
    let origin = name("example.com.");
    Record { owner: name(owner), kind, ttl: 60, rdata: rdata(kind, value, &origin).unwrap() }
}

fn zone(records: Vec<Record>) -> Zone {
    let mut all = vec![
        record("example.com.", kind::SOA, "ns hostmaster 1 3600 600 86400 60"),
        record("example.com.", kind::NS, "ns"),
        record("ns", kind::A, "192.0.2.53"),
    ];
    all.extend(records);
    Zone::compile(&ZoneSource { origin: name("example.com."), records: all }).unwrap()
}

fn entry(owner: &str, kind: u16, class: u16, value: Option<&str>) -> Entry {
    let rdata = value.map_or_else(Box::default, |value| record(owner, kind, value).rdata);
    Entry { owner: name(owner), kind, class, ttl: 0, rdata }
}

fn adding(owner: &str, kind: u16, value: &str) -> Entry {
    Entry { ttl: 60, ..entry(owner, kind, class::IN, Some(value)) }
}

fn update(prerequisites: Vec<Entry>, changes: Vec<Entry>) -> Update {
    Update { zone: name("example.com."), prerequisites, changes }
}

fn granted() -> std::sync::Arc<Granted> {
    let keys = Keys::for_tests(Key::new(&name("k."), Algorithm::Sha256, vec![1; 32]));
    std::sync::Arc::clone(keys.find(&name("k."), &Algorithm::Sha256.to_name()).unwrap())
}

#[test]
fn each_prerequisite_holds_or_says_why_not() {
    let zone = zone(vec![record("host", kind::A, "192.0.2.1"), record("host", kind::A, "192.0.2.2")]);
    let (a, any) = (kind::A, kind::ANY);
    for (entries, expected) in [
        (vec![entry("host", any, class::ANY, None)], Ok(())),
        (vec![entry("gone", any, class::ANY, None)], Err(rcode::NXDOMAIN)),
        (vec![entry("gone", any, class::NONE, None)], Ok(())),
        (vec![entry("HOST", any, class::NONE, None)], Err(rcode::YXDOMAIN)),
        (vec![entry("host", a, class::ANY, None)], Ok(())),
        (vec![entry("host", kind::TXT, class::ANY, None)], Err(rcode::NXRRSET)),
        (vec![entry("host", kind::TXT, class::NONE, None)], Ok(())),
        (vec![entry("host", a, class::NONE, None)], Err(rcode::YXRRSET)),
        (vec![entry("host", a, class::IN, Some("192.0.2.1"))], Err(rcode::NXRRSET)),
        (
            vec![
                entry("host", a, class::IN, Some("192.0.2.2")),
                entry("host", a, class::IN, Some("192.0.2.1")),
            ],
            Ok(()),
        ),
        (vec![entry("example.net.", any, class::ANY, None)], Err(rcode::NOTZONE)),
        (vec![entry("host", a, class::CH, None)], Err(rcode::FORMERR)),
        (vec![entry("host", a, class::ANY, Some("192.0.2.1"))], Err(rcode::FORMERR)),
        (vec![Entry { ttl: 1, ..entry("host", any, class::ANY, None) }], Err(rcode::FORMERR)),
    ] {
        assert_eq!(prerequisites(&update(entries.clone(), vec![]), &zone), expected, "{entries:?}");
    }
}

#[test]
fn what_is_fixed_or_not_granted_is_refused_as_a_whole() {
    let granted = granted();
    let is_fixed = |owner: &Name| *owner == name("api");
    let good = adding("new", kind::A, "192.0.2.9");
    for (change, expected) in [
        (good.clone(), Ok(())),
        (adding("API", kind::A, "192.0.2.9"), Err(rcode::REFUSED)),
        (entry("api", kind::ANY, class::ANY, None), Err(rcode::REFUSED)),
        (adding("new", kind::NS, "ns"), Err(rcode::REFUSED)),
        (adding("example.net.", kind::A, "192.0.2.9"), Err(rcode::NOTZONE)),
        (entry("new", kind::A, class::IN, None), Err(rcode::FORMERR)),
        (Entry { kind: kind::ANY, ..good.clone() }, Err(rcode::FORMERR)),
        (Entry { kind: kind::AXFR, ..good.clone() }, Err(rcode::FORMERR)),
        (entry("new", kind::A, class::ANY, Some("192.0.2.9")), Err(rcode::FORMERR)),
        (Entry { ttl: 5, ..entry("new", kind::A, class::NONE, Some("192.0.2.9")) }, Err(rcode::FORMERR)),
        (Entry { ttl: 1 << 31, ..good.clone() }, Err(rcode::FORMERR)),
    ] {
        let update = update(vec![], vec![good.clone(), change.clone()]);
        assert_eq!(permitted(&update, &granted, is_fixed), expected, "{change:?}");
    }
}

#[test]
fn records_are_added_replaced_and_taken_away() {
    let mut added = Added::new();
    let mut make = |changes: Vec<Entry>| {
        let changed = apply(&update(vec![], changes), &granted(), &mut added);
        let owned = added.get(&name("x")).cloned().unwrap_or_default();
        let said: Vec<(u16, u32)> = owned.iter().map(|record| (record.kind, record.ttl)).collect();
        (changed.len(), said)
    };
    assert_eq!(make(vec![adding("x", kind::A, "192.0.2.1")]), (1, vec![(kind::A, 60)]));
    assert_eq!(make(vec![adding("X", kind::A, "192.0.2.1")]), (0, vec![(kind::A, 60)]), "the same once more");
    let second = Entry { ttl: 90, ..adding("x", kind::A, "192.0.2.2") };
    assert_eq!(make(vec![second]), (1, vec![(kind::A, 90), (kind::A, 90)]));
    assert_eq!(make(vec![adding("x", kind::CNAME, "ns")]).1.len(), 2, "no alias beside data");
    assert_eq!(make(vec![entry("x", kind::A, class::NONE, Some("192.0.2.1"))]), (1, vec![(kind::A, 90)]));
    assert_eq!(make(vec![entry("x", kind::TXT, class::ANY, None)]), (0, vec![(kind::A, 90)]));
    assert_eq!(make(vec![entry("x", kind::ANY, class::ANY, None)]), (1, vec![]));
    assert_eq!(make(vec![adding("x", kind::CNAME, "ns")]), (1, vec![(kind::CNAME, 60)]));
    assert_eq!(
        make(vec![adding("x", kind::CNAME, "other")]),
        (1, vec![(kind::CNAME, 60)]),
        "the alias is another"
    );
    assert_eq!(
        make(vec![adding("x", kind::A, "192.0.2.1")]),
        (0, vec![(kind::CNAME, 60)]),
        "no data beside an alias"
    );
}

proptest! {
    /// Whatever is done, what was added makes a zone.
    #[test]
    fn what_updates_leave_is_always_a_zone(steps in proptest::collection::vec((0..4_usize, 0..4_usize, 0..4_usize), 1..40)) {
        let mut added = Added::new();
        for (owner, kind, what) in steps {
            let owner = ["a", "b", "*.a", "c.b"][owner];
            let (kind, value) = [(kind::A, "192.0.2.1"), (kind::CNAME, "ns"), (kind::TXT, "text"), (kind::MX, "10 ns")][kind];
            let change = match what {
                0 | 1 => adding(owner, kind, value),
                2 => entry(owner, kind, class::ANY, None),
                _ => entry(owner, kind, class::NONE, Some(value)),
            };
            apply(&update(vec![], vec![change]), &granted(), &mut added);
        }
        zone(added.into_values().flatten().collect());
    }
}
