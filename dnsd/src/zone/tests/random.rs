//! Random small zones with few labels, so that names meet: wildcards, delegations, aliases, names without
//! records; and questions about them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::protocol::code::kind;
use crate::protocol::name::Name;
use crate::zone::{Record, ZoneSource};

/// A name below an apex: its labels from the left.
fn labels() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "x", "*", "A"]), 0..4)
}

fn below(labels: &[&str], apex: &Name) -> Name {
    labels.iter().rev().fold(apex.clone(), |name, label| name.prepend(label.as_bytes()).unwrap())
}

/// Somewhere in these zones, or outside of them.
fn target(apexes: Vec<Name>) -> impl Strategy<Value = Name> {
    (labels(), prop::sample::select(apexes), 0..12).prop_map(|(labels, apex, dice)| match dice {
        0 => below(&labels, &Name::parse("outside.example.").unwrap()),
        _ => below(&labels, &apex),
    })
}

/// The data of a random type.
fn data(apexes: &[Name]) -> impl Strategy<Value = (u16, Vec<u8>)> + use<> {
    let name = || target(apexes.to_vec()).prop_map(|name| name.as_wire().to_vec());
    let with = |head: &'static [u8], name: Vec<u8>| [head, &name].concat();
    prop_oneof![
        8 => (0..3_u8).prop_map(|n| (kind::A, vec![192, 0, 2, n])),
        3 => (0..3_u8).prop_map(|n| (kind::AAAA, [&[0x20; 15][..], &[n]].concat())),
        3 => (0..2_u8).prop_map(|n| (kind::TXT, vec![1, b'0' + n])),
        2 => name().prop_map(move |name| (kind::MX, with(b"\0\x0a", name))),
        2 => name().prop_map(move |name| (kind::SRV, with(b"\0\x01\0\x02\0\x50", name))),
        3 => name().prop_map(|name| (kind::NS, name)),
        6 => name().prop_map(|name| (kind::CNAME, name)),
        1 => name().prop_map(|name| (kind::DNAME, name)),
        1 => Just((kind::DS, [b"\x12\x34\x08\x02", &[1; 32][..]].concat())),
    ]
}

/// A valid zone with this apex.
pub(super) fn zone(apex: Name, apexes: &[Name]) -> impl Strategy<Value = ZoneSource> + use<> {
    let records = prop::collection::vec((labels(), data(apexes), 1..4_u32), 0..24);
    records.prop_map(move |records| {
        let mut kept: BTreeMap<Name, Vec<Record>> = BTreeMap::new();
        for (labels, (kind, rdata), ttl) in records {
            let owner = below(&labels, &apex);
            let others = kept.entry(owner.clone()).or_default();
            if is_possible(kind, owner == apex, others) {
                others.push(Record { owner, kind, ttl: ttl * 100, rdata: rdata.into() });
            }
        }
        let mut records: Vec<Record> = kept.into_values().flatten().collect();
        let delegated: Vec<Name> = records
            .iter()
            .filter(|record| record.kind == kind::NS)
            .map(|record| record.owner.clone())
            .collect();
        records.retain(|record| record.kind != kind::DS || delegated.contains(&record.owner));
        records.extend(apex_records(&apex));
        ZoneSource { origin: apex.clone(), records }
    })
}

fn is_possible(kind: u16, is_apex: bool, others: &[Record]) -> bool {
    let has = |kind| others.iter().any(|other| other.kind == kind);
    match kind {
        kind::CNAME => others.is_empty() && !is_apex,
        kind::DNAME => !has(kind::CNAME) && !has(kind::DNAME) && !has(kind::NS),
        kind::NS => !has(kind::CNAME) && !has(kind::DNAME) && !is_apex,
        kind::DS => !has(kind::CNAME) && !is_apex,
        _ => !has(kind::CNAME),
    }
}

/// Any records at all with an apex that is right.
pub(super) fn anything(apex: Name) -> impl Strategy<Value = ZoneSource> {
    let kinds = prop_oneof![0..70_u16, any::<u16>()];
    let rdata = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        target(vec![apex.clone()]).prop_map(|name| name.as_wire().to_vec())
    ];
    prop::collection::vec((labels(), kinds, any::<u32>(), rdata), 0..6).prop_map(move |records| {
        let mut source = ZoneSource { origin: apex.clone(), records: apex_records(&apex).to_vec() };
        source.records.extend(records.into_iter().map(|(labels, kind, ttl, rdata)| Record {
            owner: below(&labels, &apex),
            kind,
            ttl: ttl >> 1,
            rdata: rdata.into(),
        }));
        source
    })
}

pub(super) fn apex_records(apex: &Name) -> [Record; 2] {
    let soa =
        [apex.as_wire(), apex.as_wire(), &[0, 0, 0, 7], &[0, 0, 1, 0].repeat(3), &[0, 0, 0, 200]].concat();
    let server = Name::parse("ns.outside.example.").unwrap();
    let record = |kind, rdata: &[u8]| Record { owner: apex.clone(), kind, ttl: 300, rdata: rdata.into() };
    [record(kind::SOA, &soa), record(kind::NS, server.as_wire())]
}

/// A question about a name in or near these zones.
pub(super) fn question(apexes: Vec<Name>) -> impl Strategy<Value = (Name, u16)> {
    let labels = prop::collection::vec(prop::sample::select(vec!["a", "B", "c", "x", "*", "y"]), 0..6);
    let kinds = vec![
        kind::A,
        kind::A,
        kind::A,
        kind::AAAA,
        kind::TXT,
        kind::MX,
        kind::SRV,
        kind::NS,
        kind::CNAME,
        kind::DNAME,
        kind::DS,
        kind::SOA,
    ];
    (labels, prop::sample::select(apexes), prop::sample::select(kinds))
        .prop_map(|(labels, apex, kind)| (below(&labels, &apex), kind))
}

/// The apexes of zones that meet: beside each other, and one below another.
pub(super) fn apexes() -> Vec<Name> {
    ["one.test.", "c.b.one.test.", "two.test.", "test."]
        .iter()
        .map(|name| Name::parse(name).unwrap())
        .collect()
}
