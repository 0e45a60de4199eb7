//! Connections, over a pipe and in virtual time.

use std::sync::Arc;
use std::time::Duration;

use faros_common::daemon::Control;
use faros_common::metrics::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use super::*;
use crate::engine::Transport;
use crate::engine::tests::{engine as new_engine, query};
use crate::metrics::Counters;
use crate::protocol::code::kind;

struct Peer {
    stream: DuplexStream,
    end: tokio::task::JoinHandle<Option<End>>,
    engine: Arc<Engine>,
    admission: Arc<Admission>,
    stop: tokio::sync::watch::Sender<bool>,
}

/// A client at the other end of a pipe that holds `bytes`.
fn connect(bytes: usize) -> Peer {
    let (engine, _) = new_engine();
    let admission = Admission::new(Counters::new(&Metrics::new("dnsd")));
    let (stream, served) = tokio::io::duplex(bytes);
    let (control, stop) = Control::new();
    let address = "127.0.0.1:4242".parse().unwrap();
    let client = Client { address, local: address.ip(), transport: Transport::Tcp };
    let (serving, admitting) = (Arc::clone(&engine), Arc::clone(&admission));
    let end =
        tasks::spawn(
            "connection",
            async move { serve(served, client, &serving, &admitting, &control).await },
        );
    Peer { stream, end, engine, admission, stop }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

fn own() -> Vec<u8> {
    framed(&query("api.edge.example.com.", kind::A, None))
}

impl Peer {
    async fn read_reply(&mut self) -> Vec<u8> {
        let length = self.stream.read_u16().await.unwrap();
        let mut reply = vec![0; usize::from(length)];
        self.stream.read_exact(&mut reply).await.unwrap();
        reply
    }

    async fn end(self) -> End {
        self.end.await.unwrap().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_questions_in_one_segment_are_answered() {
    let mut peer = connect(256 * 1024);
    peer.stream.write_all(&own().repeat(1000)).await.unwrap();
    for _ in 0..1000 {
        assert_eq!(peer.read_reply().await[7], 1);
    }
    drop(peer.stream);
    assert_eq!(peer.end.await.unwrap(), Some(End::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_question_in_pieces_is_answered() {
    let mut peer = connect(4096);
    for byte in own() {
        peer.stream.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(peer.read_reply().await[7], 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_ended() {
    let mut peer = connect(4096);
    peer.stream.write_all(&own()).await.unwrap();
    peer.read_reply().await;
    let since = Instant::now();
    assert_eq!(peer.end().await, End::Idle);
    assert_eq!(since.elapsed().as_secs(), IDLE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_ended_sooner_under_pressure() {
    let peer = connect(4096);
    let admission = Arc::clone(&peer.admission);
    let others: Vec<_> = (0..super::super::admission::PRESSURE as u32)
        .filter_map(|host| admission.admit(std::net::Ipv4Addr::from(host).into(), true))
        .collect();
    let since = Instant::now();
    assert_eq!(peer.end().await, End::Idle);
    assert_eq!(since.elapsed().as_secs(), IDLE_UNDER_PRESSURE.as_secs());
    drop(others);
}

#[tokio::test(start_paused = true)]
async fn one_octet_a_second_is_not_enough() {
    let mut peer = connect(4096);
    let since = Instant::now();
    peer.stream.write_all(&[0xff, 0xff]).await.unwrap();
    for _ in 0..60 {
        if peer.stream.write_all(&[0]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(since.elapsed() < MESSAGE_TIME + Duration::from_secs(3));
    assert_eq!(peer.end().await, End::SlowMessage);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_ended_and_costs_little() {
    let mut peer = connect(1024);
    let flood = own().repeat(20_000);
    let writing = tokio::time::timeout(Duration::from_secs(60), peer.stream.write_all(&flood)).await;
    assert!(matches!(writing, Ok(Err(_))), "it was cut off while it wrote");
    let answered = peer.engine.counters().answered_from(engine::Source::Zone);
    assert!(answered < 3000, "{answered} answers were made that nobody read");
    assert_eq!(peer.end().await, End::SlowReader);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_ends_the_connection() {
    for nonsense in [vec![0, 0], framed(&[1, 2, 3]), {
        let mut reply = query("api.edge.example.com.", kind::A, None);
        reply[2] |= 0x80;
        framed(&reply)
    }] {
        let mut peer = connect(4096);
        peer.stream.write_all(&nonsense).await.unwrap();
        assert_eq!(peer.end().await, End::Malformed, "{nonsense:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_ends_early_gets_no_answer() {
    let mut peer = connect(4096);
    peer.stream.write_all(&own()).await.unwrap();
    peer.stream.write_all(&[1, 0, 7, 7]).await.unwrap();
    peer.stream.shutdown().await.unwrap();
    let mut all = Vec::new();
    peer.stream.read_to_end(&mut all).await.unwrap();
    assert_eq!(usize::from(u16::from_be_bytes([all[0], all[1]])), all.len() - 2);
    assert_eq!(peer.end().await, End::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_zone_is_transferred_between_other_answers() {
    let mut peer = connect(4096);
    let transfer = framed(&query("edge.example.com.", kind::AXFR, None));
    peer.stream.write_all(&[transfer, own()].concat()).await.unwrap();
    let replies = [peer.read_reply().await, peer.read_reply().await];
    let answers = replies.map(|reply| u16::from_be_bytes([reply[6], reply[7]]));
    assert!(answers[0] > 5 && answers[1] == 1, "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stopping_server_gives_the_answers_that_it_owes() {
    let mut peer = connect(4096);
    peer.stream.write_all(&own()).await.unwrap();
    peer.read_reply().await;
    peer.stop.send_replace(true);
    assert_eq!(peer.end().await, End::Stopped);
}
