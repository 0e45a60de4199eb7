use super::*;

#[tokio::test]
async fn the_truth_is_given_and_kept() {
    let liar = Liar::honest().await;
    let site = Site::new(to(&[&liar]));
    assert_truth("www.example.", &site.resolve("WWW.Example.").await);
    let stored = site.stored();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].0.name.as_wire(), name("www.example.").as_wire());
    assert_eq!(site.counters.resolved.get(), 1);
}

#[tokio::test]
async fn forged_replies_are_counted_and_the_true_one_awaited() {
    let forged = |asked: &Asked, change: &dyn Fn(&mut Vec<u8>)| {
        let mut reply = asked.reply(0, &[("www.example.", 1, 300, &[6, 6, 6, 6])], &[]);
        change(&mut reply);
        reply
    };
    let liar = Liar::start(move |asked| {
        vec![
            Act::Reply(forged(asked, &|reply| reply[0] ^= 1)),
            Act::Elsewhere(forged(asked, &|_| {})),
            Act::Reply(forged(asked, &|reply| reply[13] = b'x')),
            Act::Reply(forged(asked, &|reply| reply[2] ^= 0x80)),
            Act::Reply(vec![1, 2, 3]),
            Act::Wait(Duration::from_millis(20)),
            Act::Reply(asked.truth()),
        ]
    })
    .await;
    let site = Site::new(to(&[&liar]));
    assert_truth("www.example.", &site.resolve("www.example.").await);
    // What comes from another port never reaches the connected socket.
    assert_eq!(site.status(0, "mismatches"), 4);
    assert_eq!(site.stored().len(), 1);
    assert!(liar.seen().iter().all(|asked| !asked.tcp));
}

#[tokio::test]
async fn nothing_but_forgeries_leaves_nothing_in_the_cache() {
    let liar = Liar::start(|asked| {
        let mut reply = asked.truth();
        reply[0] ^= 1;
        vec![if asked.is_probe() { Act::Reply(asked.truth()) } else { Act::Reply(reply) }]
    })
    .await;
    let site = Site::new(to(&[&liar]));
    let resolved = site.resolve("www.example.").await;
    assert_eq!((resolved.body.rcode, resolved.source), (rcode::SERVFAIL, Source::Failure));
    assert!(site.stored().is_empty());
    assert!(site.status(0, "mismatches").as_u64() > Some(0));
}

#[tokio::test]
async fn guessing_drives_a_question_to_tcp() {
    let liar = Liar::start(|asked| {
        if asked.tcp {
            return vec![Act::Reply(asked.truth())];
        }
        let guess = |id: u16| {
            let mut reply = asked.truth();
            reply[..2].copy_from_slice(&id.to_be_bytes());
            Act::Reply(reply)
        };
        (0..60).map(|step| guess(asked.id().wrapping_add(1 + step))).collect()
    })
    .await;
    let site = Site::new(to(&[&liar]));
    assert_truth("www.example.", &site.resolve("www.example.").await);
    assert_eq!(site.status(0, "mismatches"), u64::from(udp::MISMATCHES_MAX));
    assert_eq!(liar.seen().iter().filter(|asked| asked.tcp).count(), 1);
}

#[tokio::test]
async fn a_truncated_reply_is_fetched_over_tcp() {
    let liar = Liar::start(|asked| {
        let mut reply = asked.truth();
        if !asked.tcp {
            reply[2] |= 0x02;
        }
        vec![Act::Reply(reply)]
    })
    .await;
    let site = Site::new(to(&[&liar]));
    assert_truth("www.example.", &site.resolve("www.example.").await);
    assert_eq!(site.status(0, "truncated"), 1);
}

#[tokio::test]
async fn an_upstream_without_edns_is_asked_without_and_that_is_remembered() {
    let liar = Liar::start(|asked| {
        if asked.has_edns() {
            let mut refusal = asked.wire[..12].to_vec();
            refusal[2..].copy_from_slice(&[0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]);
            return vec![Act::Reply(refusal)];
        }
        vec![Act::Reply(asked.truth())]
    })
    .await;
    let site = Site::new(to(&[&liar]));
    assert_truth("a.example.", &site.resolve("a.example.").await);
    assert_truth("b.example.", &site.resolve("b.example.").await);
    let edns: Vec<bool> = liar.seen().iter().map(Asked::has_edns).collect();
    assert_eq!(edns, [true, false, false]);
    assert_eq!(site.status(0, "edns"), false);
}

#[tokio::test]
async fn an_upstream_that_refuses_everything_does_not_lose_edns() {
    let liar = Liar::start(|asked| vec![Act::Reply(asked.reply(1, &[], &[]))]).await;
    let site = Site::new(to(&[&liar]));
    let resolved = site.resolve("a.example.").await;
    assert_eq!(resolved.body.rcode, rcode::SERVFAIL);
    assert_eq!(site.status(0, "edns"), true);
}

#[tokio::test]
async fn an_upstream_that_folds_case_is_asked_over_tcp_until_that_is_a_habit() {
    let liar = Liar::start(|asked| {
        let mut reply = asked.truth();
        reply[12..][..asked.name_octets().len()].make_ascii_lowercase();
        vec![Act::Reply(reply)]
    })
    .await;
    let site = Site::new(to(&[&liar]));
    for number in 0..5 {
        let text = format!("a-name-with-many-letters-{number}.example.");
        assert_truth(&text, &site.resolve(&text).await);
    }
    let tcp: Vec<bool> = liar.seen().iter().map(|asked| asked.tcp).collect();
    assert_eq!(tcp, [false, true, false, true, false, true, false, false]);
    assert_eq!(site.status(0, "mixed_case"), false);
}

#[tokio::test]
async fn records_beside_the_answer_never_reach_the_cache() {
    let liar = Liar::start(|asked| {
        let evil: &[u8] = &[6, 6, 6, 6];
        let ns = name("ns.evil.example.");
        vec![Act::Reply(asked.reply(
            0,
            &[("www.example.", 1, 300, &[9, 9, 9, 9]), ("api.edge.example.com.", 1, 300, evil)],
            &[("example.", 2, 300, ns.as_wire()), ("ns.evil.example.", 1, 300, evil)],
        ))]
    })
    .await;
    let site = Site::new(to(&[&liar]));
    assert_truth("www.example.", &site.resolve("www.example.").await);
    let body = &site.stored()[0].1;
    assert_eq!((body.answers, body.authorities, body.additionals), (1, 0, 0));
    assert_eq!(site.counters.stray_records.get(), 3);
}

#[tokio::test]
async fn a_thousand_records_are_bounded() {
    let liar = Liar::start(|asked| {
        let owners: Vec<String> = (0..1200).map(|n| format!("h{n}.example.")).collect();
        let flood: Vec<liar::Told<'_>> =
            owners.iter().map(|owner| (owner.as_str(), 1, 300, &[9u8; 4][..])).collect();
        let mut cut = asked.truth();
        cut[2] |= 0x02;
        vec![Act::Reply(if asked.tcp { asked.reply(0, &flood, &[]) } else { cut })]
    })
    .await;
    let site = Site::new(to(&[&liar]));
    let resolved = site.resolve("www.example.").await;
    assert_eq!(resolved.body.rcode, rcode::SERVFAIL);
    assert!(site.stored().is_empty());
}

fn inside(asked: &Asked) -> Vec<Act> {
    let name = asked.name().to_string();
    vec![Act::Reply(asked.reply(
        0,
        &[(&name, 1, 300, &[192, 168, 8, 1]), (&name, 1, 300, &[127, 0, 0, 1])],
        &[],
    ))]
}

#[tokio::test]
async fn private_addresses_from_outside_are_withheld() {
    let liar = Liar::start(inside).await;
    let site = Site::new(ForwardConfig { private: vec![name("corp.example.")], ..to(&[&liar]) });
    let resolved = site.resolve("rebind.example.").await;
    assert_eq!((resolved.body.rcode, resolved.body.answers), (rcode::NOERROR, 0));
    assert_eq!(resolved.ede.map(|(code, _)| code), Some(ede::BLOCKED));
    assert_eq!(resolved.source, Source::Policy);
    assert!(site.stored().is_empty());
    assert_eq!(site.counters.rebinding_records.get(), 2);
    assert_eq!(site.resolve("www.corp.example.").await.body.answers, 2);
}

#[tokio::test]
async fn a_conditional_zone_may_hold_private_addresses() {
    let (public, corp) = (Liar::honest().await, Liar::start(inside).await);
    let conditional = vec![(name("corp.example."), vec![server(&corp)])];
    let site = Site::new(ForwardConfig { conditional, ..to(&[&public]) });
    assert_eq!(site.resolve("www.CORP.example.").await.body.answers, 2);
    assert!(public.seen().is_empty());
    assert_truth("www.example.", &site.resolve("www.example.").await);
}

#[tokio::test]
async fn a_chain_into_our_zone_ends_with_our_answer() {
    let liar = Liar::start(|asked| {
        let target = name("api.edge.example.com.");
        vec![Act::Reply(asked.reply(
            0,
            &[("www.example.", 5, 300, target.as_wire()), ("api.edge.example.com.", 1, 300, &[6, 6, 6, 6])],
            &[],
        ))]
    })
    .await;
    let site = Site::new(to(&[&liar]));
    let vip = rr("api.edge.example.com.", kind::A, &[192, 168, 8, 2]);
    let own = Own { rcode: rcode::NOERROR, answers: vec![vip.clone()], authorities: Vec::new(), next: None };
    site.around.ours.lock().unwrap().insert(vip.owner.clone(), own);
    let resolved = site.resolve("www.example.").await;
    let reply = records(&ask("www.example."), &resolved.body);
    assert_eq!(reply.answers.len(), 2);
    assert_eq!(reply.answers[1].rdata, vip.rdata);
    assert!(reply.answers.iter().all(|record| record.ttl <= 30));
}

#[tokio::test]
async fn an_unfinished_chain_is_followed() {
    let liar = Liar::start(|asked| {
        let target = name("cdn.example.net.");
        let alias: liar::Told<'_> = ("www.example.", 5, 300, target.as_wire());
        vec![Act::Reply(if asked.is_about("www.example.") {
            asked.reply(0, &[alias], &[])
        } else {
            asked.truth()
        })]
    })
    .await;
    let site = Site::new(to(&[&liar]));
    let resolved = site.resolve("www.example.").await;
    let reply = records(&ask("www.example."), &resolved.body);
    let owners: Vec<Name> = reply.answers.iter().map(|record| record.owner.clone()).collect();
    assert_eq!(owners, [name("www.example."), name("cdn.example.net.")]);
}

#[tokio::test]
async fn chains_without_end_are_given_up() {
    let liar = Liar::start(|asked| {
        let here = asked.name();
        let target = here.prepend(b"x").unwrap();
        vec![Act::Reply(asked.reply(0, &[(&here.to_string(), 5, 300, target.as_wire())], &[]))]
    })
    .await;
    let site = Site::new(to(&[&liar]));
    let resolved = site.resolve("www.example.").await;
    assert_eq!(resolved.body.rcode, rcode::SERVFAIL);
    assert!(liar.seen().len() <= 16, "{} queries for one question", liar.seen().len());
}

#[tokio::test]
async fn a_denial_is_kept_for_the_time_its_soa_gives() {
    let liar = Liar::start(|asked| {
        let soa = [&b"\x00\x00"[..], &[0; 16], &60u32.to_be_bytes()].concat();
        vec![Act::Reply(asked.reply(3, &[], &[("example.", 6, 900, &soa), ("evil.", 6, 900, &soa)]))]
    })
    .await;
    let site = Site::new(to(&[&liar]));
    let resolved = site.resolve("www.example.").await;
    assert_eq!((resolved.body.rcode, resolved.body.authorities), (rcode::NXDOMAIN, 1));
    assert_eq!(resolved.body.min_ttl(), Some(60));
}

fn with_cookie(reply: &mut Vec<u8>, rcode_high: u8, cookie: &[u8]) {
    reply[11] = 1;
    reply.extend_from_slice(&[
        0,
        0,
        41,
        0x04,
        0xd0,
        rcode_high,
        0,
        0,
        0,
        0,
        cookie.len() as u8 + 4,
        0,
        10,
        0,
    ]);
    reply.push(cookie.len() as u8);
    reply.extend_from_slice(cookie);
}

#[tokio::test]
async fn server_cookies_are_learned_shown_and_then_expected() {
    const SERVER: [u8; 16] = [7; 16];
    let liar = Liar::start(|asked| {
        let mut reply = asked.truth();
        let Some(cookie) = asked.cookie() else { return vec![Act::Reply(reply)] };
        let ours = &cookie[..8];
        if asked.is_about("bare.example.") {
            // A forger that knows everything but the cookie.
            return vec![Act::Reply(asked.reply(0, &[("bare.example.", 1, 300, &[6, 6, 6, 6])], &[]))];
        }
        if cookie[8..] == SERVER {
            with_cookie(&mut reply, 0, &[ours, &SERVER].concat());
        } else {
            reply = asked.reply(7, &[], &[]);
            with_cookie(&mut reply, 1, &[ours, &SERVER].concat());
        }
        vec![Act::Reply(reply)]
    })
    .await;
    let site = Site::new(to(&[&liar]));
    assert_truth("a.example.", &site.resolve("a.example.").await);
    assert_truth("b.example.", &site.resolve("b.example.").await);
    assert_eq!(liar.seen().len(), 3);
    assert_eq!(site.status(0, "cookies"), true);
    assert_truth("bare.example.", &site.resolve("bare.example.").await);
    assert_eq!(liar.seen().iter().filter(|asked| asked.tcp).count(), 1);
}

#[tokio::test]
async fn ten_thousand_queries_spread_over_ports_and_ids() {
    let liar = Liar::honest().await;
    let site = Site::new(to(&[&liar]));
    for batch in 0..100 {
        let questions = (0..100).map(|number| {
            let forwarder = site.forwarder.clone();
            tasks::spawn("ask", async move {
                forwarder.resolve(&ask(&format!("n{batch}x{number}.example."))).await
            })
        });
        for asked in questions.collect::<Vec<_>>() {
            asked.await.unwrap().unwrap();
        }
    }
    let seen = liar.seen();
    assert!(seen.len() >= 10_000, "{}", seen.len());
    // 63 buckets of 1024 ports with about 159 queries each, and 64 of 1024 ids with about 156: seven deviations.
    let even = |numbers: &mut dyn Iterator<Item = u16>, from: u16| {
        let mut buckets = vec![0u32; 64 - usize::from(from / 1024)];
        let mut different = std::collections::HashSet::new();
        for number in numbers {
            buckets[usize::from((number - from) / 1024)] += 1;
            different.insert(number);
        }
        assert!(buckets.iter().all(|&hits| (65..=260).contains(&hits)), "{buckets:?}");
        // Of 10 000 draws out of 64 512, about 9260 are expected to differ.
        assert!(different.len() > 8_900, "{}", different.len());
    };
    even(&mut seen.iter().map(|asked| asked.source.port()), 1024);
    even(&mut seen.iter().map(Asked::id), 0);
}
