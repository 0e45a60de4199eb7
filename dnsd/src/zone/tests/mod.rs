//! The zone engine against a plain reference, and against what the RFCs say of single cases.

mod cases;
mod limits;
mod random;
mod reference;
mod wire;

use std::sync::Arc;

use proptest::prelude::*;

use super::{Record, Snapshot, Zone, ZoneSource, text};
use crate::protocol::name::Name;
use reference::Reference;

/// A zone out of lines like `www 300 A 192.0.2.1`; `.` at the end makes names absolute.
fn source(origin: &str, lines: &[&str]) -> ZoneSource {
    let origin = Name::parse(origin).unwrap();
    let mut records = random::apex_records(&origin).to_vec();
    for line in lines {
        let mut words = line.splitn(4, ' ');
        let mut next = || words.next().unwrap();
        let (owner, ttl, kind, value) = (next(), next(), next(), next());
        let kind = super::kind_of(kind).unwrap();
        records.push(Record {
            owner: text::name(owner, &origin).unwrap(),
            kind,
            ttl: ttl.parse().unwrap(),
            rdata: text::rdata(kind, value, &origin).unwrap(),
        });
    }
    ZoneSource { origin, records }
}

fn snapshot(sources: &[ZoneSource]) -> Snapshot {
    Snapshot::new(sources.iter().map(|source| Arc::new(Zone::compile(source).unwrap())).collect())
}

fn check(sources: &[ZoneSource], questions: &[(Name, u16)]) -> Result<(), TestCaseError> {
    let (snapshot, reference) = (snapshot(sources), Reference::new(sources));
    for (name, kind) in questions {
        let Some(answer) = wire::ask(&snapshot, name, *kind, 65_535) else {
            prop_assert!(reference.ask(name, *kind).is_none(), "{name} {kind}: not ours");
            continue;
        };
        let (answered, message) = answer.unwrap();
        let Some((expected, chase)) = reference.ask(name, *kind) else {
            prop_assert!(false, "{name} {kind}: whose?");
            continue;
        };
        let reply = wire::parse(&message);
        prop_assert_eq!(reply.rcode, expected.rcode, "{} {}", name, kind);
        prop_assert_eq!(reply.authoritative, expected.authoritative, "{} {}", name, kind);
        prop_assert_eq!(reply.outline(), expected.outline(), "{} {}", name, kind);
        prop_assert_eq!(reply.answers(), expected.answers(), "{} {}", name, kind);
        prop_assert_eq!(reply.answer.len(), expected.answers().len(), "{} {}: repetitions", name, kind);
        prop_assert_eq!(sorted(reply.authority), sorted(expected.authority), "{} {}", name, kind);
        prop_assert_eq!(sorted(reply.additional), sorted(expected.additional), "{} {}", name, kind);
        prop_assert_eq!(answered.chase, chase, "{} {}", name, kind);
    }
    Ok(())
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}

fn apex(number: usize) -> Name {
    random::apexes()[number].clone()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn one_zone_answers_as_the_reference(
        zone in random::zone(apex(0), &[apex(0)]),
        questions in prop::collection::vec(random::question(vec![apex(0)]), 60),
    ) {
        check(&[zone], &questions)?;
    }

    #[test]
    fn zones_that_meet_answer_as_the_reference(
        zones in (
            random::zone(apex(0), &random::apexes()),
            random::zone(apex(1), &random::apexes()),
            random::zone(apex(2), &random::apexes()),
            prop::option::of(random::zone(apex(3), &random::apexes())),
        ),
        questions in prop::collection::vec(random::question(random::apexes()), 60),
    ) {
        let mut sources = vec![zones.0, zones.1, zones.2];
        sources.extend(zones.3);
        check(&sources, &questions)?;
    }

    #[test]
    fn short_buffers_hold_whole_records_or_nothing(
        zone in random::zone(apex(0), &[apex(0)]),
        questions in prop::collection::vec((random::question(vec![apex(0)]), 0..200_usize), 40),
    ) {
        let snapshot = snapshot(&[zone]);
        for ((name, kind), room) in questions {
            if let Some(Ok((answered, message))) = wire::ask(&snapshot, &name, kind, room) {
                prop_assert!(answered.written.len <= room);
                let reply = wire::parse(&message);
                let whole = wire::parse(&wire::ask(&snapshot, &name, kind, 65_535).unwrap().unwrap().1);
                prop_assert_eq!(reply.answers(), whole.answers());
                prop_assert_eq!(reply.authority, whole.authority);
                prop_assert!(!answered.referral || reply.additional == whole.additional, "glue is missing");
            }
        }
    }

    #[test]
    fn any_records_are_a_zone_or_refused(source in random::anything(apex(0))) {
        if let Ok(zone) = Zone::compile(&source) {
            let snapshot = Snapshot::new(vec![Arc::new(zone)]);
            for record in &source.records {
                let answer = wire::ask(&snapshot, &record.owner, record.kind, 65_535).unwrap();
                wire::parse(&answer.unwrap().1);
            }
        }
    }

    #[test]
    fn what_is_rendered_reads_back(zone in random::zone(apex(0), &random::apexes())) {
        let compiled = Zone::compile(&zone).unwrap();
        let records: Vec<Record> = compiled.records().cloned().collect();
        for record in &records {
            let line = record.to_string();
            let words: Vec<&str> = line.splitn(5, ' ').collect();
            let kind = super::kind_of(words[3]).unwrap();
            let rdata = text::rdata(kind, words[4], &Name::root()).unwrap();
            let read = Record { owner: Name::parse(words[0]).unwrap(), kind, ttl: words[1].parse().unwrap(), rdata };
            prop_assert_eq!(&read, record);
        }
        let again = Zone::compile(&ZoneSource { origin: zone.origin.clone(), records: records.clone() }).unwrap();
        prop_assert!(again.records().eq(compiled.records()));
    }
}
