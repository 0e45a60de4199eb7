use super::*;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn rr(owner: &str, kind: u16, rdata: &[u8]) -> Rr {
    Rr { owner: name(owner), kind, class: class::IN, ttl: 300, rdata: rdata.into() }
}

fn alias(owner: &str, target: &str) -> Rr {
    rr(owner, kind::CNAME, name(target).as_wire())
}

fn a(owner: &str, address: [u8; 4]) -> Rr {
    rr(owner, kind::A, &address)
}

fn soa(owner: &str) -> Rr {
    rr(owner, kind::SOA, &[&b"\x00\x00"[..], &[0; 20]].concat())
}

fn signature(owner: &str, covered: u16, signer: &str) -> Rr {
    let mut rdata = covered.to_be_bytes().to_vec();
    rdata.extend_from_slice(&[0; 16]);
    rdata.extend_from_slice(name(signer).as_wire());
    rdata.extend_from_slice(&[9; 64]);
    rr(owner, kind::RRSIG, &rdata)
}

fn reply(code: u16, answers: Vec<Rr>, authorities: Vec<Rr>) -> Reply {
    Reply {
        rcode: code,
        authoritative: false,
        authentic: false,
        recursion_available: true,
        answers,
        authorities,
        opt: None,
    }
}

fn ask(text: &str) -> OwnedQuestion {
    OwnedQuestion::new(name(text), kind::A)
}

fn run(question: &OwnedQuestion, reply: &Reply) -> Result<Filtered, Unusable> {
    let ours = name("edge.example.com.");
    let corp = name("corp.example.");
    filter(
        question,
        reply,
        0,
        &Rules { leaves: &|name| name.is_within(&ours), may_be_private: &|name| name.is_within(&corp) },
    )
}

fn owners(records: &[Rr]) -> Vec<String> {
    records.iter().map(|record| record.owner.to_string()).collect()
}

#[test]
fn records_beside_the_chain_are_dropped() {
    let told = reply(
        rcode::NOERROR,
        vec![
            a("api.edge.example.com.", [6, 6, 6, 6]),
            alias("www.example.org.", "cdn.example.net."),
            a("cdn.example.net.", [9, 9, 9, 9]),
            a("bank.example.", [6, 6, 6, 6]),
            rr("cdn.example.net.", kind::AAAA, &[1; 16]),
        ],
        vec![rr("example.org.", kind::NS, name("ns.evil.example.").as_wire()), soa("org.")],
    );
    let kept = run(&ask("www.example.org."), &told).unwrap();
    assert_eq!(owners(&kept.answers), ["www.example.org.", "cdn.example.net."]);
    assert!(kept.authorities.is_empty());
    assert_eq!((kept.dropped, kept.next), (5, None));
}

#[test]
fn a_chain_out_of_order_is_put_in_order() {
    let told = reply(
        rcode::NOERROR,
        vec![
            a("c.example.", [9, 9, 9, 9]),
            alias("b.example.", "c.example."),
            alias("a.example.", "b.example."),
        ],
        vec![],
    );
    let kept = run(&ask("a.example."), &told).unwrap();
    assert_eq!(owners(&kept.answers), ["a.example.", "b.example.", "c.example."]);
}

#[test]
fn a_chain_into_our_zone_is_cut_there() {
    let told = reply(
        rcode::NOERROR,
        vec![alias("www.example.org.", "api.edge.example.com."), a("api.edge.example.com.", [6, 6, 6, 6])],
        vec![],
    );
    let kept = run(&ask("www.example.org."), &told).unwrap();
    assert_eq!(kept.answers.len(), 1);
    assert_eq!(kept.next, Some(name("api.edge.example.com.")));
}

#[test]
fn an_unfinished_chain_tells_where_to_go_on() {
    let told = reply(rcode::NOERROR, vec![alias("www.example.org.", "cdn.example.net.")], vec![]);
    let kept = run(&ask("www.example.org."), &told).unwrap();
    assert_eq!(kept.next, Some(name("cdn.example.net.")));
    let denied = reply(rcode::NOERROR, told.answers, vec![soa("example.net.")]);
    let kept = run(&ask("www.example.org."), &denied).unwrap();
    assert_eq!((kept.next, kept.authorities.len()), (None, 1));
}

#[test]
fn only_an_enclosing_soa_denies() {
    for (owner, kept) in
        [("example.org.", 1), ("org.", 1), (".", 1), ("example.net.", 0), ("x.www.example.org.", 0)]
    {
        let told = reply(rcode::NXDOMAIN, vec![], vec![soa(owner), rr("org.", kind::NS, b"\x00")]);
        let filtered = run(&ask("www.example.org."), &told).unwrap();
        assert_eq!(filtered.authorities.len(), kept, "{owner}");
        assert_eq!(filtered.rcode, rcode::NXDOMAIN);
    }
}

#[test]
fn private_addresses_pass_only_where_they_are_allowed() {
    let told = |owner: &str| {
        reply(
            rcode::NOERROR,
            vec![a(owner, [192, 168, 8, 1]), a(owner, [9, 9, 9, 9]), a(owner, [127, 0, 0, 1])],
            vec![],
        )
    };
    let kept = run(&ask("www.example.org."), &told("www.example.org.")).unwrap();
    assert_eq!((kept.answers.len(), kept.rebinding, kept.dropped), (1, 2, 0));
    let kept = run(&ask("www.corp.example."), &told("www.corp.example.")).unwrap();
    assert_eq!((kept.answers.len(), kept.rebinding), (3, 0));
}

#[test]
fn a_chain_of_eleven_passes_and_of_twelve_does_not() {
    let chain = |links: usize| {
        let mut records: Vec<Rr> =
            (0..links).map(|n| alias(&format!("n{n}.example."), &format!("n{}.example.", n + 1))).collect();
        records.push(a(&format!("n{links}.example."), [9, 9, 9, 9]));
        reply(rcode::NOERROR, records, vec![])
    };
    assert_eq!(run(&ask("n0.example."), &chain(11)).unwrap().answers.len(), 12);
    assert_eq!(run(&ask("n0.example."), &chain(12)), Err(Unusable::ChainTooLong));
}

#[test]
fn circles_are_refused() {
    let told = reply(
        rcode::NOERROR,
        vec![alias("a.example.", "b.example."), alias("b.example.", "A.example.")],
        vec![],
    );
    assert_eq!(run(&ask("a.example."), &told), Err(Unusable::Loop));
    let told = reply(rcode::NOERROR, vec![alias("a.example.", "a.example.")], vec![]);
    assert_eq!(run(&ask("a.example."), &told), Err(Unusable::Loop));
}

#[test]
fn a_dname_makes_its_own_cname() {
    let dname = rr("old.example.", kind::DNAME, name("new.example.").as_wire());
    let told = reply(
        rcode::NOERROR,
        vec![dname, alias("www.old.example.", "evil.example."), a("www.new.example.", [9, 9, 9, 9])],
        vec![],
    );
    let kept = run(&ask("www.old.example."), &told).unwrap();
    assert_eq!(owners(&kept.answers), ["old.example.", "www.old.example.", "www.new.example."]);
    assert_eq!(kept.answers[1].target(), Some(name("www.new.example.")));
}

#[test]
fn a_question_for_a_cname_ends_at_the_one_that_a_dname_makes() {
    let dname = rr("old.example.", kind::DNAME, name("new.example.").as_wire());
    let beside = [alias("www.old.example.", "www.new.example."), alias("www.new.example.", "x.example.")];
    for answers in [vec![dname.clone()], [&[dname][..], &beside].concat()] {
        let question = OwnedQuestion::new(name("www.old.example."), kind::CNAME);
        let kept = run(&question, &reply(rcode::NOERROR, answers, vec![])).unwrap();
        assert_eq!(owners(&kept.answers), ["old.example.", "www.old.example."]);
        assert_eq!((kept.next, kept.links), (None, 1));
    }
}

#[test]
fn a_dname_that_overflows_is_refused() {
    let long = format!("{0}.{0}.{0}.{1}.", "x".repeat(63), "y".repeat(40));
    let told = reply(rcode::NOERROR, vec![rr("old.example.", kind::DNAME, name(&long).as_wire())], vec![]);
    let question = ask(&format!("{}.old.example.", "w".repeat(40)));
    assert_eq!(run(&question, &told), Err(Unusable::NameTooLong));
}

#[test]
fn signatures_come_only_with_dnssec_ok() {
    let told = reply(
        rcode::NOERROR,
        vec![
            a("www.example.org.", [9, 9, 9, 9]),
            signature("www.example.org.", kind::A, "example.org."),
            signature("www.example.org.", kind::TXT, "example.org."),
        ],
        vec![
            rr("v.example.org.", kind::NSEC, b"\x00"),
            signature("v.example.org.", kind::NSEC, "example.org."),
            rr("v.other.example.", kind::NSEC, b"\x00"),
        ],
    );
    let mut question = ask("www.example.org.");
    let plain = run(&question, &told).unwrap();
    assert_eq!((plain.answers.len(), plain.authorities.len()), (1, 0));
    question.dnssec_ok = true;
    let signed = run(&question, &told).unwrap();
    assert_eq!((signed.answers.len(), signed.authorities.len()), (2, 2));
}

#[test]
fn times_to_live_are_bounded() {
    for (told, believed) in
        [(0, 0), (300, 300), (604_801, TTL_SECS_MAX), (0x7fff_ffff, TTL_SECS_MAX), (0x8000_0000, 0)]
    {
        let mut record = a("www.example.org.", [9, 9, 9, 9]);
        record.ttl = told;
        let kept = run(&ask("www.example.org."), &reply(rcode::NOERROR, vec![record], vec![])).unwrap();
        assert_eq!(kept.answers[0].ttl, believed);
    }
}

#[test]
fn other_classes_are_dropped() {
    let mut record = a("www.example.org.", [9, 9, 9, 9]);
    record.class = class::CH;
    let kept = run(&ask("www.example.org."), &reply(rcode::NOERROR, vec![record], vec![])).unwrap();
    assert_eq!((kept.answers.len(), kept.dropped), (0, 1));
}

#[test]
fn referrals_are_lame_and_denials_are_not() {
    let ns = rr("example.org.", kind::NS, b"\x00");
    assert!(is_lame(&reply(rcode::NOERROR, vec![], vec![ns])));
    assert!(!is_lame(&reply(rcode::NOERROR, vec![], vec![soa("org.")])));
    assert!(!is_lame(&reply(rcode::NOERROR, vec![], vec![])));
    assert!(!is_lame(&reply(rcode::NXDOMAIN, vec![], vec![])));
}
