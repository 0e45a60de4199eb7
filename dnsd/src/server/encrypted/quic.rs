//! DNS over QUIC (RFC 9250), over quinn.
//!
//! Each question comes on a stream of its own and is answered there; streams do not wait for one another. Messages
//! pass as they are: padding and signatures stay whole.
//!
//! Deviation: the design names hickory-server for this transport. Its QUIC server shakes hands with one client at a
//! time, so that a single datagram from a forged address holds up everybody for 5 s, keeps 100 MB of datagrams from
//! those who wait, and lets each connection fill 125 MB of windows; none of it can be set.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faros_common::tasks;
use faros_common::tls::Identity;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream, ServerConfig, TransportConfig, VarInt};
use tokio::task::JoinSet;
use tracing::error;

use super::HANDSHAKE_TIME;
use super::tls::Shared;
use crate::engine::{Client, MESSAGE_BYTES_MAX, Transport};
use crate::protocol::message::Query;
use crate::server::stream::{End, IDLE_UNDER_PRESSURE, WRITE_TIME};

/// The protocol's name in the handshake (RFC 9250 section 4.1.1).
pub(super) const ALPN: &[u8] = b"doq";

/// How long a connection may be without a question.
const IDLE: Duration = Duration::from_secs(30);
/// How long a question may take from the opening of its stream to its last octet.
const MESSAGE_TIME: Duration = Duration::from_secs(5);
/// Questions of one connection that are under way at a time. A client cannot open more streams.
const STREAMS_MAX: u32 = 100;
/// Handshakes under way from which on clients have to prove their addresses first (Retry, RFC 9000 section 8.1.2): it
/// costs a round trip, and whoever forges an address never gets further.
const RETRY_FROM: usize = 32;
/// Handshakes that may wait to be taken; one more is ignored.
const INCOMING_MAX: usize = 256;
/// Datagrams kept of those that wait, in octets.
const INCOMING_BYTES_MAX: u64 = 1 << 20;
/// What a client may send on one stream unasked: a message with its length.
const STREAM_WINDOW: u32 = MESSAGE_BYTES_MAX as u32 + 2;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// What of replies a connection holds until the client has taken it.
const SEND_WINDOW: u64 = 256 * 1024;

/// The codes of RFC 9250 section 4.3.
const NO_ERROR: VarInt = VarInt::from_u32(0);
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const REQUEST_CANCELLED: VarInt = VarInt::from_u32(3);
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);

/// How connections are made, with the certificate of `identity`.
pub(super) fn config(identity: &Arc<Identity>) -> Option<ServerConfig> {
    let crypto = match QuicServerConfig::try_from(identity.server_config_tls13(&[ALPN])) {
        Ok(crypto) => crypto,
        Err(error) => {
            error!(event = "quic_off", %error, "DNS over QUIC is off by a defect of ours");
            return None;
        }
    };
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS_MAX.into())
        .max_concurrent_uni_streams(0_u32.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None);
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES_MAX / 16)
        .incoming_buffer_size_total(INCOMING_BYTES_MAX);
    Some(config)
}

/// Serves whoever connects until the daemon stops.
pub(super) async fn serve(endpoint: Endpoint, local: SocketAddr, shared: Shared) {
    let handshakes = Arc::new(AtomicUsize::new(0));
    loop {
        let incoming = tokio::select! {
            // Connections that are there live on until they are done.
            () = shared.control.stopping() => return,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        if !incoming.remote_address_validated() && handshakes.load(Ordering::Relaxed) >= RETRY_FROM {
            // Fails only for validated addresses.
            let _ = incoming.retry();
            continue;
        }
        let peer = incoming.remote_address();
        let of_site = shared.engine.policy().access.is_of_site(peer.ip());
        let Some(place) = shared.admission.admit(peer.ip(), of_site) else {
            incoming.refuse();
            continue;
        };
        let local = incoming.local_ip().unwrap_or(local.ip());
        let client = Client { address: peer, local, transport: Transport::Quic };
        let (shared, handshake) = (shared.clone(), Handshake::begin(&handshakes));
        tasks::spawn("quic connection", async move {
            if let Some(connection) = welcome(incoming, &shared).await {
                drop(handshake);
                let end = attend(&connection, client, &shared).await;
                shared.engine.counters().connection_ended(end.name());
            }
            drop(place);
        });
    }
}

/// A handshake that is under way.
struct Handshake(Arc<AtomicUsize>);

impl Handshake {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn welcome(incoming: Incoming, shared: &Shared) -> Option<Connection> {
    let counters = shared.engine.counters();
    let handshake = tokio::select! {
        () = shared.control.stopping() => return None,
        handshake = tokio::time::timeout(HANDSHAKE_TIME, incoming) => handshake,
    };
    match handshake {
        Ok(Ok(connection)) => return Some(connection),
        Ok(Err(_)) => counters.connection_ended("handshake_failed"),
        Err(_) => counters.connection_ended("slow_handshake"),
    }
    None
}

/// Serves one connection until either side has enough.
async fn attend(connection: &Connection, client: Client, shared: &Shared) -> End {
    let Shared { admission, control, .. } = shared;
    let mut questions: JoinSet<Option<Outcome>> = JoinSet::new();
    let mut stops = false;
    loop {
        if stops && questions.is_empty() {
            connection.close(NO_ERROR, b"");
            return End::Stopped;
        }
        let idle = if admission.is_under_pressure() { IDLE_UNDER_PRESSURE } else { IDLE };
        tokio::select! {
            () = control.stopping(), if !stops => stops = true,
            Some(done) = questions.join_next(), if !questions.is_empty() => match done {
                Ok(Some(Outcome::Misused)) => {
                    connection.close(PROTOCOL_ERROR, b"");
                    return End::Malformed;
                }
                // Where a client is slow, or gone, or a defect is ours, this question alone is lost.
                Ok(Some(Outcome::Answered | Outcome::Lost) | None) | Err(_) => {}
            },
            stream = connection.accept_bi(), if !stops => match stream {
                Ok((send, receive)) => {
                    let shared = shared.clone();
                    questions.spawn(tasks::contain_async("question over quic", async move {
                        answer(send, receive, client, &shared).await
                    }));
                }
                // Closed by the client, or silent for too long.
                Err(_) => return End::Closed,
            },
            () = tokio::time::sleep(idle), if questions.is_empty() => {
                let code = if admission.is_under_pressure() { EXCESSIVE_LOAD } else { NO_ERROR };
                connection.close(code, b"");
                return End::Idle;
            }
        }
    }
}

/// What came of a stream.
enum Outcome {
    /// The reply is on its way.
    Answered,
    /// There was no whole question in time, or nobody to take the reply.
    Lost,
    /// The client does not keep to the protocol, which ends the connection (RFC 9250 section 4.3.3).
    Misused,
}

async fn answer(mut send: SendStream, mut receive: RecvStream, client: Client, shared: &Shared) -> Outcome {
    // One message, and then the end of the stream (RFC 9250 section 4.2).
    let stream = match tokio::time::timeout(MESSAGE_TIME, receive.read_to_end(STREAM_WINDOW as usize)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(quinn::ReadToEndError::TooLong)) => return misused(&mut send),
        Ok(Err(_)) | Err(_) => {
            let _ = send.reset(REQUEST_CANCELLED);
            return Outcome::Lost;
        }
    };
    let whole = stream
        .split_first_chunk()
        .filter(|(length, message)| usize::from(u16::from_be_bytes(**length)) == message.len());
    let Some((_, request)) = whole.filter(|(_, message)| keeps_to_the_protocol(message)) else {
        return misused(&mut send);
    };
    let Some(reply) = shared.engine.answer(request, &client).await else { return misused(&mut send) };
    // Nothing that makes messages makes longer ones.
    let Ok(length) = u16::try_from(reply.len()) else { return Outcome::Lost };
    let sent = tokio::time::timeout(WRITE_TIME, async {
        send.write_all(&length.to_be_bytes()).await?;
        send.write_all(&reply).await
    });
    match sent.await {
        Ok(Ok(())) if send.finish().is_ok() => Outcome::Answered,
        _ => Outcome::Lost,
    }
}

/// Dropped as it is, the stream would end like an answer.
fn misused(send: &mut SendStream) -> Outcome {
    let _ = send.reset(PROTOCOL_ERROR);
    Outcome::Misused
}

/// Whether a message is one that may come over QUIC: its id is 0 (RFC 9250 section 4.2.1), and it does not ask how
/// long the connection may idle, which QUIC settles by itself (section 5.5.2).
fn keeps_to_the_protocol(request: &[u8]) -> bool {
    request.starts_with(&[0, 0])
        && !Query::parse(request).is_ok_and(|query| query.edns.is_some_and(|edns| edns.keepalive))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::query;
    use crate::protocol::code::kind;

    #[test]
    fn ids_and_keepalives_are_misuse() {
        let with = |id: u8, edns| {
            let mut request = query("api.edge.example.com.", kind::A, edns);
            request[..2].copy_from_slice(&[0, id]);
            request
        };
        assert!(keeps_to_the_protocol(&with(0, None)));
        assert!(keeps_to_the_protocol(&with(0, Some(&[0, 12, 0, 0]))));
        assert!(!keeps_to_the_protocol(&with(7, None)));
        assert!(!keeps_to_the_protocol(&with(0, Some(&[0, 11, 0, 0]))));
        assert!(!keeps_to_the_protocol(b""));
    }
}
