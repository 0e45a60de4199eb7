//! Single cases, with what the RFCs say of them.

use super::wire::{Reply, ask, parse, seen};
use super::{snapshot, source};
use crate::protocol::code::{kind, rcode};
use crate::protocol::name::Name;
use crate::zone::{CHAIN_MAX, Snapshot, Zone, ZoneError, ZoneSource};

fn reply(snapshot: &Snapshot, name: &str, kind: u16) -> Reply {
    let name = Name::parse(name).unwrap();
    parse(&ask(snapshot, &name, kind, 65_535).unwrap().unwrap().1)
}

/// What an answer comes down to: response code, records in the answer, records in the authority section.
fn outcome(snapshot: &Snapshot, name: &str, kind: u16) -> (u16, usize, usize) {
    let reply = reply(snapshot, name, kind);
    (reply.rcode, reply.answer.len(), reply.authority.len())
}

const NODATA: (u16, usize, usize) = (rcode::NOERROR, 0, 1);
const NXDOMAIN: (u16, usize, usize) = (rcode::NXDOMAIN, 0, 1);
const ONE: (u16, usize, usize) = (rcode::NOERROR, 1, 0);

#[test]
fn wildcards_are_as_rfc_4592_section_2_2_1_has_them() {
    let snapshot = snapshot(&[source(
        "example.",
        &[
            "*.example. 3600 TXT \"this is a wildcard\"",
            "*.example. 3600 MX 10 host1.example.",
            "sub.*.example. 3600 TXT \"this is not a wildcard\"",
            "host1.example. 3600 A 192.0.2.1",
            "_ssh._tcp.host1.example. 3600 SRV 0 0 22 host1",
            "_ssh._tcp.host2.example. 3600 SRV 0 0 22 host2",
            "subdel.example. 3600 NS ns.example.com.",
            "subdel.example. 3600 NS ns.example.net.",
        ],
    )]);
    for (name, kind, expected) in [
        ("host3.example.", kind::MX, ONE),
        ("host3.example.", kind::A, NODATA),
        ("foo.bar.example.", kind::TXT, ONE),
        ("host1.example.", kind::MX, NODATA),
        ("sub.*.example.", kind::MX, NODATA),
        ("_telnet._tcp.host1.example.", kind::SRV, NXDOMAIN),
        ("ghost.*.example.", kind::MX, NXDOMAIN),
        ("*.example.", kind::MX, ONE),
        ("_tcp.host2.example.", kind::TXT, NODATA),
        ("host2.example.", kind::TXT, NODATA),
        ("x.host2.example.", kind::TXT, NXDOMAIN),
    ] {
        assert_eq!(outcome(&snapshot, name, kind), expected, "{name} {kind}");
    }
    let referral = reply(&snapshot, "host.subdel.example.", kind::A);
    assert_eq!((referral.rcode, referral.answer.len(), referral.authority.len()), (rcode::NOERROR, 0, 2));
    assert!(!referral.authoritative);
    assert!(referral.authority.iter().all(|record| record.owner == "subdel.example."));
}

#[test]
fn the_applications_wildcard_is_right_for_every_type() {
    let snapshot = snapshot(&[source(
        "edge.example.",
        &["*.apps 60 A 192.0.2.2", "foo.apps 60 TXT x", "a.ent.apps 60 A 192.0.2.3", "api 60 A 192.0.2.2"],
    )]);
    let console = reply(&snapshot, "Console.APPS.edge.example.", kind::A);
    assert_eq!(console.answer[0].owner, "console.apps.edge.example.");
    assert_eq!(console.answer[0].rdata, [192, 0, 2, 2]);
    for (name, kind, expected) in [
        ("console.apps.edge.example.", kind::AAAA, NODATA),
        ("a.b.c.apps.edge.example.", kind::A, ONE),
        ("foo.apps.edge.example.", kind::A, NODATA),
        ("ent.apps.edge.example.", kind::A, NODATA),
        ("zz.ent.apps.edge.example.", kind::A, NXDOMAIN),
        ("apps.edge.example.", kind::A, NODATA),
        ("x.api.edge.example.", kind::A, NXDOMAIN),
        ("nothing.edge.example.", kind::A, NXDOMAIN),
    ] {
        assert_eq!(outcome(&snapshot, name, kind), expected, "{name} {kind}");
    }
}

#[test]
fn the_question_is_echoed_in_its_own_case() {
    let snapshot = snapshot(&[source("example.", &["www 60 A 192.0.2.1", "*.w 60 A 192.0.2.1"])]);
    for text in ["wWw.eXample.", "Q.w.EXAMPLE."] {
        let name = Name::parse(text).unwrap();
        let (_, message) = ask(&snapshot, &name, kind::A, 100).unwrap().unwrap();
        let owner = &message[12 + name.as_wire().len() + 4..][..2];
        assert_eq!(owner, [0xc0, 12], "the owner points to the question");
    }
}

#[test]
fn negative_answers_live_as_long_as_the_lesser_of_ttl_and_minimum() {
    let mut zone = source("example.", &[]);
    for (ttl, minimum, expected) in [(300, 200, 200), (100, 200, 100)] {
        zone.records[0].ttl = ttl;
        let length = zone.records[0].rdata.len();
        zone.records[0].rdata[length - 4..].copy_from_slice(&u32::to_be_bytes(minimum));
        let snapshot = snapshot(std::slice::from_ref(&zone));
        assert_eq!(reply(&snapshot, "x.example.", kind::A).authority[0].ttl, expected);
        assert_eq!(reply(&snapshot, "example.", kind::A).authority[0].ttl, expected);
        assert_eq!(reply(&snapshot, "example.", kind::SOA).answer[0].ttl, ttl);
    }
}

#[test]
fn ds_is_the_parents() {
    let digest = "60485 13 2 0101010101010101010101010101010101010101010101010101010101010101";
    let parent =
        source("example.", &["sub 60 NS ns.sub", "ns.sub 60 A 192.0.2.1", &format!("sub 60 DS {digest}")]);
    let child = source("sub.example.", &["www 60 A 192.0.2.1"]);
    let alone = snapshot(std::slice::from_ref(&parent));
    assert_eq!(outcome(&alone, "sub.example.", kind::DS), ONE);
    assert!(reply(&alone, "sub.example.", kind::DS).authoritative);
    assert!(!reply(&alone, "sub.example.", kind::NS).authoritative);
    assert_eq!(reply(&alone, "x.sub.example.", kind::DS).authority[0].kind, kind::NS);
    assert_eq!(reply(&alone, "sub.example.", kind::A).additional.len(), 1, "glue");
    let both = snapshot(&[parent, child.clone()]);
    assert_eq!(outcome(&both, "sub.example.", kind::DS), ONE);
    assert_eq!(outcome(&both, "www.sub.example.", kind::A), ONE);
    let child = snapshot(&[child]);
    assert_eq!(outcome(&child, "sub.example.", kind::DS), NODATA, "the parent is not ours");
    let silent = snapshot(&[source("example.", &[]), source("sub.example.", &["www 60 A 192.0.2.1"])]);
    assert_eq!(outcome(&silent, "sub.example.", kind::DS), NODATA, "a parent that knows of no delegation");
}

#[test]
fn chains_end_where_their_last_name_does() {
    let snapshot = snapshot(&[
        source(
            "one.example.",
            &[
                "www 60 CNAME web.two.example.",
                "away 60 CNAME host.elsewhere.",
                "gone 60 CNAME nothing.two.example.",
                "down 60 CNAME x.cut",
                "cut 60 NS ns.cut",
                "ns.cut 60 A 192.0.2.7",
                "loop 60 CNAME loop2",
                "loop2 60 CNAME LOOP",
                "*.wild 60 CNAME www",
            ],
        ),
        source("two.example.", &["web 60 A 192.0.2.1", "web 60 A 192.0.2.2"]),
    ]);
    let www = reply(&snapshot, "www.one.example.", kind::A);
    assert_eq!((www.rcode, www.answer.len(), www.authoritative), (rcode::NOERROR, 3, true));
    assert_eq!(reply(&snapshot, "a.b.wild.one.example.", kind::A).answer.len(), 4);
    assert_eq!(outcome(&snapshot, "www.one.example.", kind::TXT), (rcode::NOERROR, 1, 1));
    assert_eq!(outcome(&snapshot, "www.one.example.", kind::CNAME), ONE);
    assert_eq!(outcome(&snapshot, "gone.one.example.", kind::A), (rcode::NXDOMAIN, 1, 1));
    let down = reply(&snapshot, "down.one.example.", kind::A);
    assert_eq!((down.authoritative, down.authority[0].kind, down.additional.len()), (true, kind::NS, 1));
    assert_eq!(outcome(&snapshot, "loop.one.example.", kind::A), (rcode::SERVFAIL, 0, 0));
    let name = Name::parse("away.one.example.").unwrap();
    let (answered, message) = ask(&snapshot, &name, kind::A, 512).unwrap().unwrap();
    assert_eq!(answered.chase, Name::parse("host.elsewhere.").ok());
    assert_eq!(parse(&message).answer.len(), 1);
}

#[test]
fn a_chain_of_sixteen_is_followed_and_no_longer_one() {
    for (aliases, expected) in [(CHAIN_MAX, rcode::NOERROR), (CHAIN_MAX + 1, rcode::SERVFAIL)] {
        let mut lines: Vec<String> = (0..aliases).map(|n| format!("n{n} 60 CNAME n{}", n + 1)).collect();
        lines.push(format!("n{aliases} 60 A 192.0.2.1"));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let reply = reply(&snapshot(&[source("example.", &lines)]), "n0.example.", kind::A);
        assert_eq!(reply.rcode, expected, "{aliases}");
        assert_eq!(reply.answer.len(), if expected == rcode::NOERROR { aliases + 1 } else { 0 });
    }
}

#[test]
fn dname_redirects_what_is_below_it() {
    let long = format!("{0}.{0}.{0}.", "l".repeat(60));
    let snapshot = snapshot(&[source(
        "example.",
        &[
            "d 77 DNAME other",
            "d 60 A 192.0.2.8",
            "*.other 60 A 192.0.2.9",
            &format!("far 60 DNAME {long}"),
            "up 60 DNAME .",
        ],
    )]);
    let below = reply(&snapshot, "X.y.d.example.", kind::A);
    let kinds: Vec<u16> = below.answer.iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [kind::DNAME, kind::CNAME, kind::A]);
    assert_eq!(below.answer[1].ttl, 77, "the CNAME record lives as long as the DNAME record");
    assert_eq!(below.answer[2].owner, "x.y.other.example.");
    assert_eq!(outcome(&snapshot, "d.example.", kind::A), ONE);
    assert_eq!(outcome(&snapshot, "d.example.", kind::DNAME), ONE);
    assert_eq!(outcome(&snapshot, "x.d.example.", kind::CNAME), (rcode::NOERROR, 2, 0));
    // The target takes 184 octets of 255.
    for (second, expected) in [(9, (rcode::NOERROR, 2, 0)), (10, (rcode::YXDOMAIN, 1, 0))] {
        let name = format!("{}.{}.far.example.", "x".repeat(60), "y".repeat(second));
        assert_eq!(outcome(&snapshot, &name, kind::A), expected);
    }
    let (answered, _) =
        ask(&snapshot, &Name::parse("com.up.example.").unwrap(), kind::A, 512).unwrap().unwrap();
    assert_eq!(answered.chase, Name::parse("com.").ok());
}

#[test]
fn any_gets_one_rrset() {
    let snapshot = snapshot(&[source(
        "example.",
        &[
            "x 60 TXT \"a long text that nobody needs\"",
            "x 60 A 192.0.2.1",
            "y.ent 60 A 192.0.2.1",
            "c 60 CNAME x",
        ],
    )]);
    let any = reply(&snapshot, "x.example.", kind::ANY);
    assert_eq!(any.outline(), [("x.example.".to_owned(), kind::A)]);
    assert_eq!(outcome(&snapshot, "ent.example.", kind::ANY), NODATA);
    assert_eq!(reply(&snapshot, "c.example.", kind::ANY).outline(), [("c.example.".to_owned(), kind::CNAME)]);
}

#[test]
fn hosts_that_records_name_come_with_their_addresses() {
    let snapshot = snapshot(&[source(
        "example.",
        &[
            "_s._tcp 60 SRV 1 2 80 a",
            "_s._tcp 60 SRV 1 2 80 b",
            "a 60 A 192.0.2.1",
            "a 60 AAAA 2001:db8::1",
            "b 60 A 192.0.2.2",
        ],
    )]);
    let name = Name::parse("_s._tcp.example.").unwrap();
    let (whole, message) = ask(&snapshot, &name, kind::SRV, 512).unwrap().unwrap();
    assert_eq!(parse(&message).additional.len(), 3);
    let (part, message) = ask(&snapshot, &name, kind::SRV, whole.written.len - 1).unwrap().unwrap();
    assert_eq!(part.written.len, whole.written.additional_at);
    assert_eq!((parse(&message).answer.len(), parse(&message).additional.len()), (2, 0));
    assert!(ask(&snapshot, &name, kind::SRV, part.written.len - 1).unwrap().is_err());
}

#[test]
fn addresses_take_turns() {
    let snapshot = snapshot(&[source(
        "example.",
        &["m 60 A 192.0.2.1", "m 60 A 192.0.2.2", "m 60 A 192.0.2.3", "a 60 CNAME m"],
    )]);
    for name in ["m.example.", "a.example."] {
        let mut firsts = [0; 4];
        for _ in 0..300 {
            let reply = reply(&snapshot, name, kind::A);
            assert_eq!(reply.answers().len(), reply.answer.len());
            let first = reply.answer.iter().find(|record| record.kind == kind::A).unwrap();
            firsts[usize::from(first.rdata[3])] += 1;
        }
        assert!(firsts[1..].iter().all(|count| (80..120).contains(count)), "{firsts:?}");
    }
}

#[test]
fn names_outside_of_all_zones_are_not_ours() {
    let snapshot = snapshot(&[source("one.example.", &[]), source("two.example.", &[])]);
    for name in ["example.", ".", "three.example.", "xone.example.", "one.example.com."] {
        assert!(ask(&snapshot, &Name::parse(name).unwrap(), kind::A, 512).is_none(), "{name}");
    }
    assert!(ask(&Snapshot::default(), &Name::root(), kind::A, 512).is_none());
}

#[test]
fn the_root_can_be_a_zone() {
    let snapshot = snapshot(&[source(".", &["* 60 A 192.0.2.1", "com. 60 NS a.gtld."])]);
    assert_eq!(outcome(&snapshot, "x.y.", kind::A), ONE);
    assert_eq!(outcome(&snapshot, ".", kind::SOA), ONE);
    assert!(!reply(&snapshot, "example.com.", kind::A).authoritative);
}

#[test]
fn a_later_zone_replaces_one_of_the_same_apex() {
    let [old, new] =
        ["192.0.2.1", "192.0.2.2"].map(|address| source("example.", &[&format!("x 60 A {address}")]));
    let snapshot = snapshot(&[old, new]);
    assert_eq!(reply(&snapshot, "x.example.", kind::A).answer[0].rdata, [192, 0, 2, 2]);
    assert_eq!(snapshot.zones().len(), 1);
}

#[test]
fn equal_records_are_merged_and_the_smallest_ttl_goes() {
    let zone = source("example.", &["x 60 MX 10 Mail", "X 50 MX 10 mail", "x 40 MX 20 mail"]);
    let zone = Zone::compile(&zone).unwrap();
    let mx: Vec<_> = zone.records().filter(|record| record.kind == kind::MX).collect();
    assert_eq!(mx.len(), 2);
    assert!(mx.iter().all(|record| record.ttl == 40));
    assert_eq!(seen(mx[0]).owner, "x.example.");
}

#[test]
fn flawed_zones_are_refused_with_their_flaws() {
    let name = |text: &str| Name::parse(text).unwrap();
    let errors = |lines: &[&str]| Zone::compile(&source("example.", lines)).unwrap_err();
    assert_eq!(
        errors(&["x 60 CNAME y", "x 60 A 192.0.2.1"]),
        [ZoneError::CnameAndOther { owner: name("x.example."), kind: kind::A }]
    );
    assert_eq!(
        errors(&["x 60 CNAME y", "x 60 CNAME z"]),
        [ZoneError::SeveralAliases { owner: name("x.example."), kind: kind::CNAME }]
    );
    assert_eq!(errors(&["x 60 DNAME y", "x 60 NS z"]), [ZoneError::DnameAtCut(name("x.example."))]);
    assert_eq!(errors(&["x 60 SOA a. b. 1 2 3 4 5"]), [ZoneError::SoaBelowApex(name("x.example."))]);
    assert_eq!(errors(&["@ 60 SOA a. b. 1 2 3 4 5"]), [ZoneError::SeveralSoa(name("example."))]);
    assert_eq!(errors(&["x 60 DS 1 8 2 00"]), [ZoneError::DsWithoutCut(name("x.example."))]);
    assert_eq!(
        errors(&["x.elsewhere. 60 A 192.0.2.1", "x 4294967295 A 192.0.2.1"]),
        [
            ZoneError::OutOfZone { owner: name("x.elsewhere."), origin: name("example.") },
            ZoneError::Ttl { owner: name("x.example."), kind: kind::A }
        ]
    );
    let empty = ZoneSource { origin: name("example."), records: vec![] };
    assert_eq!(
        Zone::compile(&empty).unwrap_err(),
        [ZoneError::NoSoa(name("example.")), ZoneError::NoNs(name("example."))]
    );
    let mut misshapen = source("example.", &["x 60 A 192.0.2.1", "y 60 A 192.0.2.1"]);
    misshapen.records[2].rdata = Box::new([1, 2, 3]);
    misshapen.records[3].kind = kind::OPT;
    assert_eq!(
        Zone::compile(&misshapen).unwrap_err(),
        [
            ZoneError::Misshapen { owner: name("x.example."), kind: kind::A },
            ZoneError::NotData { owner: name("y.example."), kind: kind::OPT }
        ]
    );
}

#[test]
fn records_come_in_the_order_of_a_transfer() {
    let zone = source(
        "example.",
        &["b 60 A 192.0.2.1", "a.b 60 A 192.0.2.1", "B 60 AAAA ::1", "a 60 NS x.a", "x.a 60 A 192.0.2.1"],
    );
    let zone = Zone::compile(&zone).unwrap();
    let order: Vec<String> =
        zone.records().map(|record| format!("{} {}", record.owner, record.kind)).collect();
    assert_eq!(
        order,
        [
            "example. 6",
            "example. 2",
            "a.example. 2",
            "x.a.example. 1",
            "b.example. 1",
            "B.example. 28",
            "a.b.example. 1"
        ]
    );
    assert_eq!(zone.serial(), 7);
}

#[test]
fn octets_that_are_no_letters_sort_as_well() {
    let names = [
        "\\000",
        "\\000\\000",
        "\\000a",
        "\\001",
        "\\001\\000",
        "\\002",
        "a.\\000",
        "\\000.a",
        "a\\000",
        "a\\001",
        "a",
        "\\255",
    ];
    let lines: Vec<String> = names.iter().map(|name| format!("{name} 60 A 192.0.2.1")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let zone = Zone::compile(&source("example.", &lines)).unwrap();
    let owners: Vec<&Name> = zone.records().skip(2).map(|record| &record.owner).collect();
    assert_eq!(owners.len(), names.len());
    assert!(owners.is_sorted(), "{owners:?}");
}
