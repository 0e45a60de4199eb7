use super::*;

#[tokio::test]
async fn a_closed_port_fails_over_at_once_and_is_told_of_once() {
    let (dead, good) = (Liar::honest().await, Liar::honest().await);
    let config = to(&[&dead, &good]);
    dead.stop().await;
    let site = Site::new(config);
    for number in 0..3 {
        let text = format!("n{number}.example.");
        assert_truth(&text, &site.resolve(&text).await);
    }
    assert_eq!(site.told("upstream_down"), 1);
    assert_eq!(site.status(0, "cause"), "network");
    assert_eq!(site.status(1, "state"), "up");
    assert!(!site.forwarder.is_down());
}

#[tokio::test]
async fn with_every_port_closed_the_second_failure_costs_no_query() {
    let dead = Liar::honest().await;
    let config = to(&[&dead]);
    let address = dead.stop().await;
    let site = Site::new(config);
    let resolved = site.resolve("www.example.").await;
    assert_eq!(resolved.body.rcode, rcode::SERVFAIL);
    assert_eq!(resolved.ede.map(|(code, _)| code), Some(ede::NETWORK_ERROR));
    assert!(site.forwarder.is_down());
    let again = site.resolve("www.example.").await;
    assert_eq!(again.ede.map(|(code, _)| code), Some(ede::NETWORK_ERROR));
    assert_eq!(site.counters.known_down.get(), 1);
    // That is no property of the name.
    assert!(site.around.failures.lock().unwrap().is_empty());

    let udp = tokio::net::UdpSocket::bind(address).await.unwrap();
    tasks::spawn("revived", async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, source) = udp.recv_from(&mut buffer).await.unwrap();
            let asked = Asked { wire: buffer[..length].to_vec(), source, tcp: false };
            udp.send_to(&asked.truth(), source).await.unwrap();
        }
    });
    until("recovery", async || site.resolve("www.example.").await.body.rcode == rcode::NOERROR).await;
    assert_eq!(site.told("upstream_up"), 1);
    assert_eq!(*site.around.forgotten.lock().unwrap(), 1);
}

#[tokio::test]
async fn silence_is_found_out_before_the_budget_is_spent_and_so_is_its_end() {
    let (first, second) = (Liar::honest().await, Liar::honest().await);
    first.set_silent(true);
    second.set_silent(true);
    let site = Site::new(to(&[&first, &second]));
    let resolved = site.resolve("www.example.").await;
    assert_eq!(resolved.ede.map(|(code, _)| code), Some(ede::NO_REACHABLE_AUTHORITY));
    // Not because time was up: both were found dead.
    assert!(site.forwarder.is_down());
    assert_eq!(site.told("upstream_down"), 2);
    site.resolve("other.example.").await;
    assert_eq!(site.counters.known_down.get(), 1);
    second.set_silent(false);
    until("recovery", async || !site.forwarder.is_down()).await;
    assert_truth("www.example.", &site.resolve("www.example.").await);
}

#[tokio::test]
async fn a_name_that_takes_long_does_not_make_its_upstream_dead() {
    let liar = Liar::start(|asked| {
        if asked.is_about("slow.example.") {
            vec![Act::Wait(Duration::from_millis(1200)), Act::Reply(asked.truth())]
        } else {
            vec![Act::Reply(asked.truth())]
        }
    })
    .await;
    let site = Site::new(to(&[&liar]));
    assert_truth("slow.example.", &site.resolve("slow.example.").await);
    assert_eq!(site.told("upstream_down"), 0);
}

#[tokio::test]
async fn a_name_that_takes_forever_fails_by_itself() {
    let liar =
        Liar::start(
            |asked| if asked.is_about("hole.example.") { vec![] } else { vec![Act::Reply(asked.truth())] },
        )
        .await;
    let site = Site::new(to(&[&liar]));
    let resolved = site.resolve("hole.example.").await;
    assert_eq!(resolved.body.rcode, rcode::SERVFAIL);
    // On a machine that is busy with something else the time for a client may be over before the upstream's.
    until("the failure is remembered", async || {
        if site.around.failures.lock().unwrap().is_empty() {
            site.resolve("hole.example.").await;
        }
        !site.around.failures.lock().unwrap().is_empty()
    })
    .await;
    assert_eq!(site.told("upstream_down"), 0);
    assert_truth("www.example.", &site.resolve("www.example.").await);
}

#[tokio::test]
async fn a_late_upstream_is_helped_by_the_next() {
    let slow = Liar::start(|asked| vec![Act::Wait(Duration::from_secs(3)), Act::Reply(asked.truth())]).await;
    let good = Liar::honest().await;
    let site = Site::new(to(&[&slow, &good]));
    assert_truth("www.example.", &site.resolve("www.example.").await);
    assert_eq!(site.counters.hedged.get(), 1);
    assert_eq!(good.seen().len(), 1);
}

#[tokio::test]
async fn failures_of_one_upstream_are_asked_of_the_next() {
    for code in [2, 4, 5] {
        let bad = Liar::start(move |asked| vec![Act::Reply(asked.reply(code, &[], &[]))]).await;
        let good = Liar::honest().await;
        let site = Site::new(to(&[&bad, &good]));
        assert_truth("www.example.", &site.resolve("www.example.").await);
        assert_eq!(site.told("upstream_down"), 0, "{code}");
    }
}

#[tokio::test]
async fn a_referral_is_no_answer() {
    let ns = name("ns.example.");
    let lame = Liar::start(move |asked| {
        let mut reply = asked.reply(0, &[], &[("example.", 2, 300, ns.as_wire())]);
        reply[3] &= 0x7f;
        vec![Act::Reply(reply)]
    })
    .await;
    let good = Liar::honest().await;
    let site = Site::new(to(&[&lame, &good]));
    assert_truth("www.example.", &site.resolve("www.example.").await);
}

#[tokio::test]
async fn a_conditional_zone_with_dead_servers_is_not_asked_of_the_public_ones() {
    let (public, corp) = (Liar::honest().await, Liar::honest().await);
    let conditional = vec![(name("corp.example."), vec![server(&corp)])];
    let config = ForwardConfig { conditional, ..to(&[&public]) };
    corp.stop().await;
    let site = Site::new(config);
    for _ in 0..2 {
        assert_eq!(site.resolve("www.corp.example.").await.body.rcode, rcode::SERVFAIL);
    }
    assert!(public.seen().is_empty());
    assert!(site.forwarder.is_down_for(&name("www.corp.example.")) && !site.forwarder.is_down());
}

#[tokio::test]
async fn without_upstreams_everything_fails_at_once() {
    let site = Site::new(ForwardConfig::default());
    assert_eq!(site.resolve("www.example.").await.body.rcode, rcode::SERVFAIL);
    assert_eq!(site.counters.known_down.get(), 1);
}

#[tokio::test]
async fn pins_are_asked_for_and_again_when_upstream_is_back() {
    let liar = Liar::honest().await;
    liar.set_silent(true);
    let pins = vec![name("quay.io."), name("fresh.example.")];
    let site = Site::new(ForwardConfig { pins: pins.clone(), ..to(&[&liar]) });
    assert_eq!(*site.around.pins.lock().unwrap(), pins);
    until("silence", async || site.forwarder.is_down()).await;
    assert!(site.stored().is_empty());
    liar.set_silent(false);
    until("the pins", async || site.stored().len() == 2).await;
    let mut kinds: Vec<u16> = site.stored().iter().map(|(question, _)| question.kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [kind::A, kind::AAAA]);
    // What is fresh in the cache can wait.
    assert!(liar.seen().iter().all(|asked| asked.is_about("quay.io.")));
}

#[tokio::test]
async fn an_upstream_comes_back_whoever_noticed_that_it_was_gone() {
    let liar = Liar::honest().await;
    let site = Site::new(to(&[&liar]));
    assert_truth("a.example.", &site.resolve("a.example.").await);
    // It goes down by word of somebody else, while nobody looks after it.
    let upstream = site.forwarder.state.load().routes.of(&Name::root()).pool.upstreams()[0].clone();
    upstream.vitals().failed(Cause::Network, Instant::now());
    assert!(site.forwarder.is_down());
    until("recovery", async || site.resolve("b.example.").await.body.rcode == rcode::NOERROR).await;
}

#[tokio::test]
async fn many_silent_upstreams_are_found_out_together() {
    let mut liars = Vec::new();
    for _ in 0..pool::ASKED_MAX {
        let liar = Liar::honest().await;
        liar.set_silent(true);
        liars.push(liar);
    }
    let site = Site::new(to(&liars.iter().collect::<Vec<_>>()));
    // Once is enough, where the machine is not busy with something else.
    until("all are down", async || {
        site.resolve("www.example.").await;
        site.forwarder.is_down()
    })
    .await;
    assert_eq!(site.told("upstream_down"), pool::ASKED_MAX);
}
