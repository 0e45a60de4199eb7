use super::*;

#[tokio::test]
async fn equal_questions_share_one_query() {
    let liar =
        Liar::start(|asked| vec![Act::Wait(Duration::from_millis(50)), Act::Reply(asked.truth())]).await;
    let site = Site::new(to(&[&liar]));
    let askers: Vec<_> = (0..100)
        .map(|number| {
            let forwarder = site.forwarder.clone();
            let text = if number % 2 == 0 { "www.example." } else { "WWW.example." };
            tasks::spawn("ask", async move { forwarder.resolve(&ask(text)).await })
        })
        .collect();
    for asker in askers {
        assert_eq!(asker.await.unwrap().unwrap().body.rcode, rcode::NOERROR);
    }
    assert_eq!(liar.seen().len(), 1);
    assert_eq!(site.counters.coalesced.get(), 99);
}

#[tokio::test]
async fn an_answer_comes_to_the_second_client_though_the_first_is_gone() {
    let liar =
        Liar::start(|asked| vec![Act::Wait(Duration::from_millis(80)), Act::Reply(asked.truth())]).await;
    let site = Site::new(to(&[&liar]));
    let forwarder = site.forwarder.clone();
    let first = tasks::spawn("ask", async move { forwarder.resolve(&ask("www.example.")).await });
    until("the query", async || liar.seen().len() == 1).await;
    first.abort();
    assert_truth("www.example.", &site.resolve("www.example.").await);
    assert_eq!(liar.seen().len(), 1);
}

#[tokio::test]
async fn too_many_questions_are_turned_away() {
    let liar =
        Liar::start(|asked| if asked.is_probe() { vec![Act::Reply(asked.truth())] } else { vec![] }).await;
    let site = Site::new(to(&[&liar]));
    let askers: Vec<_> = (0..IN_FLIGHT_MAX + 50)
        .map(|number| {
            let forwarder = site.forwarder.clone();
            tasks::spawn("ask", async move { forwarder.resolve(&ask(&format!("n{number}.example."))).await })
        })
        .collect();
    until("the flood", async || site.counters.overload.get() >= 50).await;
    for asker in askers {
        assert_eq!(asker.await.unwrap().unwrap().body.rcode, rcode::SERVFAIL);
    }
    assert_eq!(site.counters.overload.get(), 50);
    assert!(site.forwarder.flights.is_empty());
}

#[tokio::test]
async fn a_reload_loses_nothing_in_flight_and_keeps_what_is_known() {
    let (old, new) = (
        Liar::start(|asked| vec![Act::Wait(Duration::from_millis(80)), Act::Reply(asked.truth())]).await,
        Liar::honest().await,
    );
    let site = Site::new(to(&[&old]));
    assert_truth("a.example.", &site.resolve("a.example.").await);
    let forwarder = site.forwarder.clone();
    let asked = tasks::spawn("ask", async move { forwarder.resolve(&ask("b.example.")).await });
    until("the query", async || old.seen().len() == 2).await;
    site.forwarder.reload(to(&[&new]));
    assert_truth("b.example.", &asked.await.unwrap().unwrap());
    assert_truth("c.example.", &site.resolve("c.example.").await);
    assert_eq!((old.seen().len(), new.seen().len()), (2, 1));

    site.forwarder.reload(to(&[&new, &old]));
    assert!(site.status(0, "round_trip_ms").is_number());
    // That one was gone meanwhile.
    assert!(site.status(1, "round_trip_ms").is_null());
    assert_eq!(site.status(1, "queries"), 0);
}

#[tokio::test]
async fn asking_ahead_fills_the_cache() {
    let liar = Liar::honest().await;
    let site = Site::new(to(&[&liar]));
    assert!(site.forwarder.prefetch(ask("www.example.")));
    until("the answer", async || site.stored().len() == 1).await;
    assert_eq!(site.counters.prefetched.get(), 1);
}
