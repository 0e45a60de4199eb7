//! Bodies of answers: a text, or a part of a file in pieces.
//!
//! A piece is read without waiting where the page cache has it (`RWF_NOWAIT`), else by a thread that may
//! wait for the disk. Pieces get smaller the more of [`PIECES_BYTES_MAX`] waits for the network, so that a
//! thousand slow readers cost little memory and a few fast ones get large pieces.

use std::fs::File;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// What all pieces in memory may take together. Beyond it each transfer has one of [`PIECE_BYTES_MIN`].
pub const PIECES_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The smallest piece.
pub const PIECE_BYTES_MIN: usize = 8 * 1024;
/// The largest piece; more makes no transfer faster.
pub const PIECE_BYTES_MAX: usize = 256 * 1024;
/// Buffers kept for the next piece; those beyond are freed.
const SPARE_BUFFERS_MAX: usize = 16;

/// Told once how a body ended: whether all of it was handed to the connection, or why not.
pub type OnEnd = Box<dyn FnOnce(Result<(), &io::Error>) + Send + Sync>;

/// The body of an answer.
pub struct ReplyBody {
    content: Content,
    length: u64,
    left: u64,
    on_end: Option<OnEnd>,
    _busy: Option<Busy>,
}

enum Content {
    Text(Bytes),
    File(FilePart),
}

impl ReplyBody {
    /// A text.
    pub fn text(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        let length = text.len() as u64;
        Self { content: Content::Text(text), length, left: length, on_end: None, _busy: None }
    }

    /// No body.
    pub fn empty() -> Self {
        Self::text(Bytes::new())
    }

    /// `length` bytes of `file` from `offset` on.
    pub fn file(file: File, offset: u64, length: u64, buffers: &Arc<Buffers>) -> Self {
        let part =
            FilePart { file: Arc::new(file), offset, waiting: None, transfer: Transfer::begin(buffers) };
        Self { content: Content::File(part), length, left: length, on_end: None, _busy: None }
    }

    /// Calls `on_end` when the body has ended or is dropped before.
    #[must_use]
    pub fn on_end(mut self, on_end: OnEnd) -> Self {
        self.on_end = Some(on_end);
        self
    }

    /// Holds `busy` as long as the body exists.
    #[must_use]
    pub fn keeping(mut self, busy: Busy) -> Self {
        self._busy = Some(busy);
        self
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    fn end(&mut self, how: Result<(), &io::Error>) {
        if let Some(on_end) = self.on_end.take() {
            on_end(how);
        }
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        if self.left == 0 {
            self.end(Ok(()));
        } else {
            self.end(Err(&io::Error::new(io::ErrorKind::ConnectionAborted, "the client went away")));
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let left = self.left;
        if left == 0 {
            self.end(Ok(()));
            return Poll::Ready(None);
        }
        let read = match &mut self.content {
            // In pieces too, so that what the connection has taken says how far the client is.
            Content::Text(text) => Ok(text.split_to(text.len().min(PIECE_BYTES_MIN))),
            Content::File(part) => ready!(part.poll_piece(left, context)),
        };
        match read {
            Ok(piece) => {
                self.left -= piece.len() as u64;
                if self.left == 0 {
                    self.end(Ok(()));
                }
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Err(error) => {
                self.end(Err(&error));
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

struct FilePart {
    file: Arc<File>,
    offset: u64,
    waiting: Option<Pin<Box<dyn Future<Output = io::Result<Buffer>> + Send + Sync>>>,
    transfer: Transfer,
}

impl FilePart {
    /// The next piece, of at most `left` bytes. An end of the file before that is an error: it was promised
    /// to be longer, and has been cut short since.
    fn poll_piece(&mut self, left: u64, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let buffer = match &mut self.waiting {
            Some(waiting) => {
                let read = ready!(waiting.as_mut().poll(context));
                self.waiting = None;
                read?
            }
            None => {
                let length = left.min(self.transfer.buffers.piece_bytes() as u64) as usize;
                let mut buffer = self.transfer.buffers.take(length);
                let at_once = {
                    let mut slices = [IoSliceMut::new(buffer.room())];
                    preadv2(&*self.file, &mut slices, self.offset, ReadWriteFlags::NOWAIT)
                };
                match at_once {
                    Ok(bytes) if bytes > 0 => buffer.filled = bytes,
                    // Not in the cache, or a file system that cannot say (and 0: perhaps its end).
                    Ok(_)
                    | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR | Errno::NOSYS | Errno::INVAL) => {
                        self.waiting = Some(read_waiting(Arc::clone(&self.file), self.offset, buffer));
                        return self.poll_piece(left, context);
                    }
                    Err(errno) => return Poll::Ready(Err(errno.into())),
                }
                buffer
            }
        };
        if buffer.filled == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file was cut short")));
        }
        self.offset += buffer.filled as u64;
        Poll::Ready(Ok(Bytes::from_owner(buffer)))
    }
}

fn read_waiting(
    file: Arc<File>,
    offset: u64,
    mut buffer: Buffer,
) -> Pin<Box<dyn Future<Output = io::Result<Buffer>> + Send + Sync>> {
    let reading = tokio::task::spawn_blocking(move || {
        let bytes = loop {
            match file.read_at(buffer.room(), offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        buffer.filled = bytes;
        Ok(buffer)
    });
    Box::pin(async move { reading.await.map_err(io::Error::other)? })
}

/// Buffers for pieces, shared by all transfers.
#[derive(Debug, Default)]
pub struct Buffers {
    /// Of the largest size, all of them.
    spare: Mutex<Vec<Vec<u8>>>,
    transfers: AtomicUsize,
    /// Bytes of all pieces in memory.
    held: AtomicUsize,
}

impl Buffers {
    /// Files being sent at present.
    pub fn transfers(&self) -> usize {
        self.transfers.load(Ordering::Relaxed)
    }

    /// How large the next piece may be: a part of what is left, so that the last ones are small.
    fn piece_bytes(&self) -> usize {
        let left = PIECES_BYTES_MAX.saturating_sub(self.held.load(Ordering::Relaxed));
        (left / 8).clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX)
    }

    fn take(self: &Arc<Self>, length: usize) -> Buffer {
        let spare = match length > PIECE_BYTES_MAX / 2 {
            true => self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop(),
            false => None,
        };
        // Large ones are all of the same size, to fit again.
        let size = if length > PIECE_BYTES_MAX / 2 { PIECE_BYTES_MAX } else { length };
        let bytes = spare.unwrap_or_else(|| vec![0; size]);
        self.held.fetch_add(bytes.len(), Ordering::Relaxed);
        Buffer { bytes, length, filled: 0, home: Arc::clone(self) }
    }
}

/// A buffer that goes back where it came from.
struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    filled: usize,
    home: Arc<Buffers>,
}

impl Buffer {
    fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.held.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        if self.bytes.len() == PIECE_BYTES_MAX {
            let mut spare = self.home.spare.lock().unwrap_or_else(PoisonError::into_inner);
            if spare.len() < SPARE_BUFFERS_MAX {
                spare.push(std::mem::take(&mut self.bytes));
            }
        }
    }
}

/// Counts a transfer while it exists.
struct Transfer {
    buffers: Arc<Buffers>,
}

impl Transfer {
    fn begin(buffers: &Arc<Buffers>) -> Self {
        buffers.transfers.fetch_add(1, Ordering::Relaxed);
        Self { buffers: Arc::clone(buffers) }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.buffers.transfers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Marks a connection as busy while it exists.
#[derive(Debug)]
pub struct Busy(Arc<AtomicUsize>);

impl Busy {
    /// Counts one more in `count`.
    pub fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn file(length: usize) -> (tempfile::NamedTempFile, Vec<u8>) {
        let content: Vec<u8> = (0..length).map(|index| (index / 7) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &content).unwrap();
        (file, content)
    }

    #[tokio::test]
    async fn any_part_of_a_file_is_sent_exactly() {
        let (file, content) = file(3 * PIECE_BYTES_MAX + 17);
        let buffers = Arc::new(Buffers::default());
        for (offset, length) in
            [(0, content.len()), (1, 1), (PIECE_BYTES_MAX - 1, 2), (content.len() - 5, 5), (9, 0)]
        {
            let part = ReplyBody::file(file.reopen().unwrap(), offset as u64, length as u64, &buffers);
            let sent = part.collect().await.unwrap().to_bytes();
            assert!(sent == content[offset..offset + length], "{offset} {length}");
        }
        assert_eq!(buffers.transfers(), 0);
        assert!(buffers.spare.lock().unwrap().len() <= SPARE_BUFFERS_MAX);
    }

    #[tokio::test]
    async fn a_file_that_is_cut_short_is_an_error_and_not_padding() {
        let (file, _) = file(2 * PIECE_BYTES_MAX);
        let buffers = Arc::new(Buffers::default());
        let mut body = ReplyBody::file(file.reopen().unwrap(), 0, 2 * PIECE_BYTES_MAX as u64, &buffers);
        body.frame().await.unwrap().unwrap();
        file.as_file().set_len(10).unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_thousand_transfers_that_stand_still_share_the_memory() {
        let (file, _) = file(PIECE_BYTES_MAX);
        let buffers = Arc::new(Buffers::default());
        let mut waiting = Vec::new();
        for _ in 0..1000 {
            let mut body = ReplyBody::file(file.reopen().unwrap(), 0, PIECE_BYTES_MAX as u64, &buffers);
            let piece = body.frame().await.unwrap().unwrap();
            waiting.push((body, piece));
        }
        let held = buffers.held.load(Ordering::Relaxed);
        assert!(held <= PIECES_BYTES_MAX + 1000 * PIECE_BYTES_MIN, "{held}");
        assert_eq!(waiting[0].1.data_ref().unwrap().len(), PIECE_BYTES_MAX);
        assert_eq!(waiting[999].1.data_ref().unwrap().len(), PIECE_BYTES_MIN);
        drop(waiting);
        assert_eq!(buffers.held.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn the_end_is_told_once() {
        for (frames, expected) in [(0, false), (1, true)] {
            let told = Arc::new(Mutex::new(Vec::new()));
            let listener = Arc::clone(&told);
            let on_end: OnEnd = Box::new(move |how| listener.lock().unwrap().push(how.is_ok()));
            let mut body = ReplyBody::text("text").on_end(on_end);
            for _ in 0..frames {
                body.frame().await.unwrap().unwrap();
            }
            drop(body);
            assert_eq!(*told.lock().unwrap(), [expected]);
        }
    }
}
