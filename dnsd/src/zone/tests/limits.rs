//! What is large, deep or hostile.

use super::wire::{ask, parse, seen};
use super::{snapshot, source};
use crate::protocol::code::{kind, rcode};
use crate::protocol::name::Name;
use crate::zone::{ERRORS_MAX, Record, Zone, ZoneError};

/// A zone whose name `x` has so many records of a type.
fn crowd(kind: u16, count: usize, rdata: impl Fn(usize) -> Vec<u8>) -> crate::zone::ZoneSource {
    let mut zone = source("example.", &[]);
    let owner = Name::parse("x.example.").unwrap();
    zone.records.extend((0..count).map(|number| Record {
        owner: owner.clone(),
        kind,
        ttl: 60,
        rdata: rdata(number).into(),
    }));
    zone
}

/// Two hosts of each domain, which are far from each other in the canonical order.
fn mx(number: usize) -> Vec<u8> {
    let host = Name::parse(&format!("x{}.domain{}.example.net.", number % 2, number / 2)).unwrap();
    [&[0, 10], host.as_wire()].concat()
}

#[test]
fn a_large_rrset_is_whole_or_too_long() {
    let snapshot =
        snapshot(&[crowd(kind::A, 4_000, |number| vec![10, 0, (number >> 8) as u8, number as u8])]);
    let name = Name::parse("X.example.").unwrap();
    let (_, message) = ask(&snapshot, &name, kind::A, 65_535).unwrap().unwrap();
    assert_eq!(parse(&message).answers().len(), 4_000);
    assert!(ask(&snapshot, &name, kind::A, 1_200).unwrap().is_err());
    assert!(ask(&snapshot, &name, kind::A, 0).unwrap().is_err());
}

#[test]
fn names_beyond_the_reach_of_pointers_are_written_out() {
    let zone = crowd(kind::MX, 2_000, mx);
    let hosts: Vec<Record> = zone.records.iter().filter(|record| record.kind == kind::MX).cloned().collect();
    let snapshot = snapshot(&[zone]);
    for text in ["x.example.", "X.eXample."] {
        let (_, message) = ask(&snapshot, &Name::parse(text).unwrap(), kind::MX, 65_535).unwrap().unwrap();
        let answers = parse(&message).answers();
        assert_eq!(answers.len(), hosts.len());
        assert!(hosts.iter().all(|host| answers.contains(&seen(host))));
    }
}

#[test]
fn an_rrset_beyond_a_message_is_refused() {
    let owner = Name::parse("x.example.").unwrap();
    for (kind, count) in [(kind::A, 4_100), (kind::MX, 4_100)] {
        let zone = crowd(kind, count, |number| match kind {
            kind::A => vec![10, 0, (number >> 8) as u8, number as u8],
            _ => mx(number),
        });
        assert_eq!(
            Zone::compile(&zone).unwrap_err(),
            [ZoneError::RrsetTooLong { owner: owner.clone(), kind }]
        );
    }
}

#[test]
fn addresses_that_do_not_fit_beside_the_answer_are_left_out() {
    let mut zone = crowd(kind::MX, 2_000, mx);
    zone.records.push(zone.records[2].clone());
    let host = Name::parse("host.example.").unwrap();
    zone.records[2].rdata = [&[0, 10], host.as_wire()].concat().into();
    zone.records.extend((0..2_500_u32).map(|number| Record {
        owner: host.clone(),
        kind: kind::A,
        ttl: 60,
        rdata: number.to_be_bytes().into(),
    }));
    let snapshot = snapshot(&[zone]);
    let name = Name::parse("x.example.").unwrap();
    let (_, message) = ask(&snapshot, &name, kind::MX, 65_535).unwrap().unwrap();
    assert_eq!((parse(&message).answer.len(), parse(&message).additional.len()), (2_001, 0));
}

#[test]
fn the_deepest_names_are_answered() {
    let deepest = format!("{}example.", "x.".repeat(123));
    let zone = source(
        "example.",
        &["*.a.b 60 A 192.0.2.1", &format!("{deepest} 60 A 192.0.2.1"), "*.c 60 CNAME *.a.b"],
    );
    let snapshot = snapshot(&[zone]);
    let asked = |text: &str| {
        let name = Name::parse(text).unwrap();
        parse(&ask(&snapshot, &name, kind::A, 4_096).unwrap().unwrap().1)
    };
    assert_eq!(asked(&deepest).answer.len(), 1);
    assert_eq!(asked(&deepest[2..]).rcode, rcode::NOERROR, "an empty non-terminal");
    assert_eq!(asked(&format!("y.{}", &deepest[2..])).rcode, rcode::NXDOMAIN);
    assert_eq!(asked(&format!("{}a.b.example.", "z.".repeat(121))).answer.len(), 1);
    assert_eq!(asked(&format!("{}c.example.", "z.".repeat(122))).answer.len(), 2);
    for depth in 1..=123 {
        let name = format!("{}y.{}example.", "q.".repeat(123 - depth), "x.".repeat(depth - 1));
        assert_eq!(asked(&name).rcode, rcode::NXDOMAIN, "{depth}");
    }
}

#[test]
fn chains_of_the_longest_names_keep_their_pointers() {
    // No two names of the chain have more than the apex in common.
    let long =
        |n: usize| (0..4).map(|_| format!("{n:02}{}.", "l".repeat(55))).collect::<String>() + "example.";
    let lines: Vec<String> = (0..16).map(|n| format!("{} 60 CNAME {}", long(n), long(n + 1))).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut zone = source("example.", &lines);
    let end = Name::parse(&long(16)).unwrap();
    let hosts: Vec<Record> = (0..300)
        .map(|n| Record { owner: end.clone(), kind: kind::MX, ttl: 60, rdata: mx(n).into() })
        .collect();
    zone.records.extend_from_slice(&hosts);
    let name = Name::parse(&long(0)).unwrap();
    let (answered, message) = ask(&snapshot(&[zone]), &name, kind::MX, 65_535).unwrap().unwrap();
    let reply = parse(&message);
    assert_eq!(reply.answer.len(), 16 + hosts.len());
    assert!(hosts.iter().all(|host| reply.answers().contains(&seen(host))));
    assert!(answered.written.len < 14_000, "the names of the hosts are compressed");
}

#[test]
fn the_list_of_flaws_has_an_end() {
    let lines: Vec<String> = (0..500).map(|n| format!("x{n}.elsewhere. 60 A 192.0.2.1")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(Zone::compile(&source("example.", &lines)).unwrap_err().len(), ERRORS_MAX);
}
