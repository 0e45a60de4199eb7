//! Where a connection waits until its first request has arrived.
//!
//! The library that serves HTTP takes some 20 kB for each connection from its first byte on. A peer that sends half a
//! request and no more gets what it has sent and little else; everything that is not plainly half a request goes to the
//! library at once, which knows what to answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::connection::FIELDS_MAX;

/// What is waited for in the lobby at most, head and body: several times what clevis sends.
const REQUEST_BYTES_MAX: usize = 4096;
/// Room for what clevis sends.
const PIECE_BYTES: usize = 1024;

/// Waits until a whole request has arrived, or something that is none, or more than [`REQUEST_BYTES_MAX`]. None: the peer
/// has left without a byte, or has sent none until `stopping`.
pub(super) async fn arrive<S: AsyncRead + Unpin>(
    mut stream: S,
    stopping: impl Future<Output = ()>,
) -> io::Result<Option<Arrived<S>>> {
    let mut stopping = std::pin::pin!(stopping);
    let mut bytes = BytesMut::with_capacity(PIECE_BYTES);
    while lacks(&bytes) {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(PIECE_BYTES);
        }
        let is_silent = bytes.is_empty();
        let read = tokio::select! {
            biased;
            read = stream.read_buf(&mut bytes) => read?,
            () = &mut stopping, if is_silent => return Ok(None),
        };
        if read == 0 {
            break;
        }
    }
    Ok((!bytes.is_empty()).then_some(Arrived { bytes, stream }))
}

/// Whether this is the beginning of a request whose rest is worth waiting for here.
fn lacks(bytes: &[u8]) -> bool {
    if bytes.len() >= REQUEST_BYTES_MAX {
        return false;
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Err(_) => false,
        Ok(httparse::Status::Partial) => true,
        Ok(httparse::Status::Complete(head)) => {
            let named = |name: &'static str| {
                request.headers.iter().find(move |field| field.name.eq_ignore_ascii_case(name))
            };
            // Chunks, and peers that want to be told to go on, are the library's.
            if named("transfer-encoding").is_some() || named("expect").is_some() {
                return false;
            }
            let length = named("content-length").and_then(|field| std::str::from_utf8(field.value).ok());
            let body = length.and_then(|length| length.parse::<usize>().ok()).unwrap_or(0);
            let whole = head.saturating_add(body);
            bytes.len() < whole && whole <= REQUEST_BYTES_MAX
        }
    }
}

/// A stream with what was read of it already.
#[derive(Debug)]
pub(super) struct Arrived<S> {
    bytes: BytesMut,
    stream: S,
}

impl<S> Arrived<S> {
    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Arrived<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let now = self.bytes.len().min(buffer.remaining());
        buffer.put_slice(&self.bytes[..now]);
        self.bytes.advance(now);
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Arrived<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    const WHOLE: &str = "POST /rec/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";

    #[test]
    fn half_a_request_waits_and_a_whole_one_does_not() {
        assert!((0..WHOLE.len()).all(|end| lacks(&WHOLE.as_bytes()[..end])));
        assert!(!lacks(WHOLE.as_bytes()));
        assert!(!lacks(format!("{WHOLE}GET /adv HT").as_bytes()), "what follows is not waited for");
        assert!(lacks(b"GET /adv HTTP/1.1\r\nHost: a\r\n") && !lacks(b"GET /adv HTTP/1.1\nHost: a\n\n"));
    }

    #[test]
    fn what_the_library_has_to_answer_goes_to_it_at_once() {
        let long = format!("GET /{}", "a".repeat(REQUEST_BYTES_MAX));
        let fields = format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(FIELDS_MAX + 1));
        for bytes in [
            "GET\r\n",
            "\0\0",
            "GET /a b HTTP/1.1\r\n",
            "GET /adv HTTP/3.0\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n",
            &long,
            &fields,
        ] {
            assert!(!lacks(bytes.as_bytes()), "{bytes:.80?}");
        }
    }

    #[tokio::test]
    async fn who_leaves_without_a_byte_has_not_arrived() {
        let (mut peer, stream) = tokio::io::duplex(64);
        drop(peer.shutdown().await);
        assert!(arrive(stream, std::future::pending()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_stop_ends_the_silent_and_waits_for_who_has_begun() {
        let (_silent, stream) = tokio::io::duplex(64);
        assert!(arrive(stream, std::future::ready(())).await.unwrap().is_none());
        let (mut peer, stream) = tokio::io::duplex(64);
        peer.write_all(b"GET /adv").await.unwrap();
        let (arrived, ()) = tokio::join!(arrive(stream, std::future::ready(())), async {
            tokio::task::yield_now().await;
            peer.write_all(b" HTTP/1.1\r\n\r\n").await.unwrap();
        });
        assert!(arrived.unwrap().is_some());
    }

    proptest! {
        /// However it is cut, nothing of what was sent is lost or comes twice.
        #[test]
        fn what_arrived_is_read_again(bytes in prop::collection::vec(any::<u8>(), 1..6000), piece in 1_usize..3000) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let read = runtime.block_on(async {
                let (mut peer, stream) = tokio::io::duplex(piece);
                let send = async {
                    peer.write_all(&bytes).await.unwrap();
                    peer.shutdown().await.unwrap();
                };
                let receive = async {
                    let mut arrived = arrive(stream, std::future::pending()).await.unwrap().expect("bytes were sent");
                    let mut read = Vec::new();
                    arrived.read_to_end(&mut read).await.unwrap();
                    read
                };
                tokio::join!(send, receive).1
            });
            prop_assert_eq!(read, bytes);
        }
    }
}
