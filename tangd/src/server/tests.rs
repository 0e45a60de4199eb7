use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use faros_common::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::protocol::{Outcome, Reason, Reply, TARGET_BYTES_MAX};

/// Answers `POST` with the length of the body, everything else with nothing.
struct Echo;

impl Desk for Echo {
    fn serves(&self, _: Peer) -> bool {
        true
    }

    fn wants_body(&self, method: &str, _: &str) -> bool {
        method == "POST"
    }

    async fn answer(&self, _: Peer, method: &str, target: &str, body: Result<Bytes, BodyTooLarge>) -> Answer {
        if target.len() >= TARGET_BYTES_MAX {
            return Reason::TargetTooLong.into();
        }
        if target == "/slow" {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        match body {
            Err(BodyTooLarge) => Reason::BodyTooLarge.into(),
            Ok(_) if method == "HEAD" => Reason::MethodNotAllowed.into(),
            Ok(body) => Reply {
                status: 200,
                content_type: Some("text/plain"),
                body: format!("{method} {}", body.len()).into(),
                outcome: Outcome::Advertised,
            }
            .into(),
        }
    }
}

struct Server {
    address: SocketAddr,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Option<()>>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (control, stop) = Control::new();
        let counters = Arc::new(Counters::default());
        let doors = vec![Door { listener, tls: None }];
        let task = tasks::spawn("server", run(Arc::new(Echo), doors, limits, Arc::clone(&counters), control));
        Self { address, counters, stop, task }
    }

    async fn usual() -> Self {
        Self::start(Limits { connections: 64, per_address: 64, patience: Duration::from_secs(10) }).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Everything that comes back for these bytes until the server closes.
    async fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        // It may close before it has all.
        let _ = stream.write_all(request).await;
        read_all(&mut stream).await
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
    read.await.expect("the server closes").expect("the server does not reset");
    String::from_utf8(answer).unwrap()
}

fn statuses(answer: &str) -> Vec<&str> {
    answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect()
}

#[tokio::test]
async fn a_connection_carries_many_requests_until_somebody_wants_it_closed() {
    let server = Server::usual().await;
    let request = "POST /rec/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}".repeat(100);
    let last = "GET /adv HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = server.exchange(format!("{request}{last}").as_bytes()).await;
    assert_eq!(statuses(&answer), ["200"; 101]);
    assert_eq!(answer.matches("POST 2").count(), 100);
    assert!(answer.ends_with("GET 0"));
}

#[tokio::test]
async fn bodies_come_in_chunks_after_100_or_not_at_all() {
    let server = Server::usual().await;
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert!(server.exchange(chunked.as_bytes()).await.ends_with("POST 5"));
    let expecting = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    let mut stream = server.connect().await;
    stream.write_all(expecting.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("POST 3"));
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_has_arrived() {
    let server = Server::usual().await;
    let huge = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n";
    let answer = server.exchange(huge.as_bytes()).await;
    assert_eq!(statuses(&answer), ["413"]);
    assert!(answer.contains("content-length: 0") && answer.contains("connection: close"), "{answer}");
    let chunks = format!("{:x}\r\n{}\r\n", 40_000, "a".repeat(40_000)).repeat(2);
    let chunked = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    assert_eq!(statuses(&server.exchange(chunked.as_bytes()).await), ["413"]);
}

#[tokio::test]
async fn large_bodies_are_read_as_far_as_there_is_room_for_them() {
    let server =
        Server::start(Limits { connections: 200, per_address: 200, patience: Duration::from_secs(60) }).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 60000\r\n\r\n";
    let mut halves = Vec::new();
    for _ in 0..limits::LARGE_BODIES_MAX {
        let mut stream = server.connect().await;
        stream.write_all(format!("{head}{}", "a".repeat(59_999)).as_bytes()).await.unwrap();
        halves.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(statuses(&server.exchange(head.as_bytes()).await), ["413"]);
    let usual = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4096\r\n\r\n";
    let answer = server.exchange(format!("{usual}{}", "a".repeat(4096)).as_bytes()).await;
    assert!(answer.ends_with("POST 4096"), "{answer}");
    halves[0].write_all(b"a").await.unwrap();
    assert!(read_all(&mut halves[0]).await.ends_with("POST 60000"));
    let answer = server.exchange(format!("{head}{}", "a".repeat(60_000)).as_bytes()).await;
    assert!(answer.ends_with("POST 60000"), "{answer}");
}

#[tokio::test]
async fn a_target_is_too_long_however_long_it_is() {
    let server = Server::usual().await;
    for length in [TARGET_BYTES_MAX - 1, TARGET_BYTES_MAX, 10_000, 100_000, 500_000] {
        let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "a".repeat(length));
        assert_eq!(statuses(&server.exchange(request.as_bytes()).await), ["414"], "{length}");
    }
    let request = format!("GET /{} HTTP/1.1\r\nConnection: close\r\n\r\n", "a".repeat(TARGET_BYTES_MAX - 2));
    assert_eq!(statuses(&server.exchange(request.as_bytes()).await), ["200"]);
}

#[tokio::test]
async fn malformed_requests_are_answered_and_the_connection_ends() {
    let server = Server::usual().await;
    for request in [
        "GET\r\n\r\n",
        "GET /adv HTTP/3.0\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "\0\0\0\0\r\n\r\n",
    ] {
        assert_eq!(statuses(&server.exchange(request.as_bytes()).await), ["400"], "{request:?}");
    }
    let fields = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(500));
    assert_eq!(statuses(&server.exchange(fields.as_bytes()).await), ["431"]);
    let field = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(100_000));
    assert_eq!(statuses(&server.exchange(field.as_bytes()).await), ["431"]);
}

#[tokio::test]
async fn head_is_refused_with_a_length() {
    let server = Server::usual().await;
    let answer = server.exchange(b"HEAD /adv HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(statuses(&answer), ["405"]);
    assert!(answer.contains("content-length: 0"), "{answer}");
}

#[tokio::test]
async fn who_keeps_us_waiting_is_closed_and_others_are_served_meanwhile() {
    let patience = Duration::from_secs(1);
    let server = Server::start(Limits { connections: 400, per_address: 400, patience }).await;
    let begun = clock::now();
    let mut waiting = Vec::new();
    for index in 0..300 {
        let mut stream = server.connect().await;
        let part = match index % 3 {
            0 => "",
            1 => "POST /rec/x HTTP/1.1\r\nHo",
            _ => "POST /rec/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{",
        };
        stream.write_all(part.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let served = server.exchange(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert_eq!(statuses(&served), ["200"]);
    for mut stream in waiting {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest));
        let _ = read.await.expect("it is closed");
        assert!(rest.is_empty());
    }
    assert!(clock::now() - begun >= patience);
    let reason = crate::metrics::Reason { reason: "patience".to_owned() };
    assert_eq!(server.counters.dropped.get_or_create(&reason).get(), 300);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.counters.connections.get(), 0);
}

#[tokio::test]
async fn silent_connections_make_room_for_requests() {
    let limits = Limits { connections: 20, per_address: 10, patience: Duration::from_secs(60) };
    let server = Server::start(limits).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(server.connect().await);
    }
    for _ in 0..20 {
        let answer = server.exchange(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await;
        assert_eq!(statuses(&answer), ["200"]);
    }
    assert!(server.counters.connections.get() <= 10);
}

#[tokio::test]
async fn a_stop_lets_answers_finish_and_idle_connections_go() {
    let server = Server::usual().await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut busy = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\n\r\n").await.unwrap();
    let _silent = server.connect().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.send(true).unwrap();
    assert_eq!(statuses(&read_all(&mut busy).await), ["200"]);
    assert_eq!(statuses(&read_all(&mut idle).await), ["200"]);
    tokio::time::timeout(Duration::from_secs(5), server.task).await.expect("it drains").unwrap();
}
