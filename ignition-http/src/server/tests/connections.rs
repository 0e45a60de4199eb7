//! How a connection is read, limited and ended.

use super::*;

#[tokio::test]
async fn h1_to_h11_malformed_heads_are_answered_and_closed() {
    let lab = Lab::new();
    let long = "a".repeat(100 * 1024);
    for (what, request, expected) in [
        ("H1 no Host", "GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("H1 two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400),
        ("H2 HTTP/0.9", "GET /\r\n\r\n".to_owned(), 400),
        ("H3 HTTP/3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n".to_owned(), 505),
        ("H4 bare LF", "GET / HTTP/1.1\nHost: a\n\n".to_owned(), 400),
        ("H5 obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n".to_owned(), 400),
        ("H6 space before colon", "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n".to_owned(), 400),
        ("H7 empty name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n".to_owned(), 400),
        ("H8 NUL", "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n".to_owned(), 400),
        ("H9 64 KiB field", format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", &long[..65536]), 431),
        ("H10 200 fields", format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(200)), 431),
        ("H11 100 KiB target", format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        ("H35 10 KiB method", format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", &long[..10240]), 400),
    ] {
        let reply = lab.raw(CP1, request.as_bytes()).await;
        assert_eq!(status(&reply), expected, "{what}: {reply}");
        assert_eq!(field(&reply, "connection"), Some("close"), "{what}");
    }
    assert_eq!(lab.get(CP1, "/plain.txt").await.0, 200);
}

#[tokio::test]
async fn h12_to_h17_ambiguous_bodies_are_refused_and_nothing_after_them_is_read() {
    let lab = Lab::new();
    let smuggled = "GET /plain.txt HTTP/1.1\r\nHost: a\r\n\r\n";
    for (what, head, expected) in [
        (
            "H12 CL and TE",
            "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "H13 two CL",
            "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 3\r\n\r\n",
            400,
        ),
        (
            "H13 equal CL",
            "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            400,
        ),
        ("H34 PUT with a body", "PUT /plain.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 405),
        ("H14 +1", "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        ("H14 0x", "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n", 400),
        (
            "H14 19 digits",
            "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000000000\r\n\r\n",
            400,
        ),
        (
            "H15 chunked, identity",
            "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            400,
        ),
        (
            "H16 chunked",
            "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            411,
        ),
        ("H17 GET with a body", "GET /plain.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 400),
        (
            "H17 GET with chunks",
            "GET /plain.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST of a file", "POST /plain.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
    ] {
        let reply = lab.raw(CP1, format!("{head}{smuggled}").as_bytes()).await;
        assert_eq!(status(&reply), expected, "{what}: {reply}");
        assert_eq!(reply.matches("HTTP/1.1 ").count(), 1, "{what}: {reply}");
    }
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_order_up_to_the_refused_one() {
    let lab = Lab::new();
    let good = "GET /plain.txt HTTP/1.1\r\nHost: a\r\n\r\n";
    let reply = lab.raw(CP1, format!("\r\n{good}{good}GET / HTTP/1.1\n\n{good}").as_bytes()).await;
    let statuses: Vec<_> = reply.match_indices("HTTP/1.1 ").map(|(at, _)| &reply[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "200", "400"], "{reply}");
}

#[tokio::test]
async fn the_longest_head_is_answered() {
    let lab = Lab::new();
    let start = "GET /plain.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ";
    let padding = HEAD_BYTES_MAX - start.len() - 4;
    for (more, expected) in [(0, 200), (1, 431)] {
        let reply = lab.raw(CP1, format!("{start}{}\r\n\r\n", "y".repeat(padding + more)).as_bytes()).await;
        assert_eq!(status(&reply), expected, "{more}");
    }
}

#[tokio::test]
async fn a_client_that_has_nothing_more_to_say_still_gets_its_answer() {
    let lab = Lab::new();
    let mut client = lab.connect(CP1).await;
    client.write_all(b"GET /plain.txt HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let mut reply = String::new();
    client.read_to_string(&mut reply).await.unwrap();
    assert_eq!((status(&reply), body(&reply)), (200, "plain"));
}

fn impatient() -> Lab {
    let mut lab = Lab::new();
    let short = Duration::from_millis(150);
    lab.limits.patience =
        Patience { request: short, idle: short * 4, rate_time: short, rate_bytes: 60 * 1024 };
    lab.limits.tick = Duration::from_millis(20);
    lab
}

#[tokio::test]
async fn h18_a_head_that_trickles_is_cut_off() {
    let lab = impatient();
    let mut client = lab.connect(CP1).await;
    let mut sent = 0;
    for byte in b"GET /plain.txt HTTP/1.1\r\nHost: a\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
        .iter()
        .cycle()
        .take(200)
    {
        if client.write_all(&[*byte]).await.is_err() {
            break;
        }
        sent += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(sent < 200, "the connection was still open after {sent} bytes");
    let reason = crate::metrics::Reason { reason: "slow_request" };
    assert_eq!(lab.service.counters.dropped.get_or_create(&reason).get(), 1);
}

#[tokio::test]
async fn h19_a_reader_that_stands_still_is_cut_off() {
    let lab = impatient();
    std::fs::write(lab.root.path().join("big"), vec![1; 64 * 1024 * 1024]).unwrap();
    let mut client = lab.connect(CP1).await;
    client.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let reason = crate::metrics::Reason { reason: "slow_reader" };
    let cut = async {
        while lab.service.counters.dropped.get_or_create(&reason).get() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), cut).await.expect("never cut off");
    assert_eq!(lab.service.buffers.transfers(), 0);
}

#[tokio::test]
async fn h20_an_idle_connection_is_closed_without_a_word() {
    let lab = impatient();
    for request in [&b""[..], b"GET /plain.txt HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut client = lab.connect(CP1).await;
        client.write_all(request).await.unwrap();
        let mut reply = Vec::new();
        let reading = client.read_to_end(&mut reply);
        tokio::time::timeout(Duration::from_secs(10), reading).await.expect("still open").unwrap();
        assert_eq!(reply.is_empty(), request.is_empty());
    }
}

#[tokio::test]
async fn h21_connections_are_limited_per_address_and_strangers_turned_away() {
    let lab = Lab::new();
    let limits = Limits { per_address: 3, ..lab.limits };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (control, switch) = Control::new();
    let running = tasks::spawn("test", run(Arc::clone(&lab.service), vec![listener], limits, control));
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(TcpStream::connect(address).await.unwrap());
    }
    let mut fourth = TcpStream::connect(address).await.unwrap();
    let mut nothing = Vec::new();
    let _ = fourth.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty());
    let reason = crate::metrics::Reason { reason: "connections_per_address" };
    assert_eq!(lab.service.counters.dropped.get_or_create(&reason).get(), 1);
    clients.pop();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut again = TcpStream::connect(address).await.unwrap();
    again.write_all(b"GET /plain.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut reply = String::new();
    again.read_to_string(&mut reply).await.unwrap();
    assert_eq!(status(&reply), 200);
    // Idle connections do not hold up the end.
    switch.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(5), running).await.expect("drained").unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_transfer_under_way_is_finished_before_the_end() {
    let lab = Lab::new();
    let content = vec![9; 8 * 1024 * 1024];
    std::fs::write(lab.root.path().join("big"), &content).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (control, switch) = Control::new();
    let running = tasks::spawn("test", run(Arc::clone(&lab.service), vec![listener], lab.limits, control));
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut first = [0; 100];
    client.read_exact(&mut first).await.unwrap();
    switch.send(true).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(address).await.is_err(), "intake has stopped");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(&content[..content.len() - 100]));
    tokio::time::timeout(Duration::from_secs(5), running).await.expect("ended").unwrap();
}
