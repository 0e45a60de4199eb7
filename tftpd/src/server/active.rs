//! One transfer at work: the machine, its socket and the octets that go through it.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::socket::TransferSocket;
use super::table::Slot;
use crate::files::body::{Body, OpenFile};
use crate::metrics::Counters;
use crate::protocol::netascii::{self, Cursor};
use crate::protocol::options::Agreement;
use crate::protocol::packet::DATA_HEADER_BYTES;
use crate::protocol::request::Mode;
use crate::protocol::transfer::{Action, Blocks, Transfer, last_block};

/// How much of a large file is read at once for a client that takes single blocks, in octets.
const AHEAD_BYTES: u64 = 64 * 1024;

/// Everything a transfer needs to begin.
#[derive(Debug)]
pub struct Ready {
    /// Its place.
    pub slot: Slot,
    /// Its socket.
    pub socket: TransferSocket,
    /// What is sent.
    pub body: Body,
    /// How.
    pub agreement: Agreement,
}

/// A transfer under way.
#[derive(Debug)]
pub struct Active {
    /// Its place.
    pub slot: Slot,
    /// Its socket.
    pub socket: TransferSocket,
    /// What decides.
    pub transfer: Transfer,
    /// What was agreed on.
    pub agreement: Agreement,
    body: Body,
    /// In netascii: where each block in flight, and the next, begins in the file.
    cursors: Option<BTreeMap<u64, Cursor>>,
}

/// Buffers that all transfers of a worker use in turn.
#[derive(Debug, Default)]
pub struct Scratch {
    data: Vec<u8>,
    /// Whose octets from which position on the data are, where they are a file's.
    ahead: Option<(u64, Range<u64>)>,
    headers: Vec<[u8; DATA_HEADER_BYTES]>,
    lengths: Vec<usize>,
}

/// Why a transfer cannot go on, on our side.
#[derive(Debug)]
pub enum Broken {
    /// The file became another one or shorter.
    Changed,
    /// The file cannot be read.
    Unreadable(io::Error),
}

impl Active {
    /// Begins; the first action is to be performed.
    pub fn start(ready: Ready, now: Instant) -> (Self, Action) {
        let Ready { slot, mut socket, body, agreement } = ready;
        let netascii = slot.info.request.mode == Mode::Netascii;
        let last = (!netascii).then(|| last_block(body.size(), agreement.blksize));
        if agreement.windowsize > 1 {
            socket.segment(agreement.blksize);
        }
        let (transfer, action) = Transfer::start(&agreement, last, now);
        let cursors = netascii.then(|| BTreeMap::from([(1, Cursor::default())]));
        (Self { slot, socket, transfer, agreement, body, cursors }, action)
    }

    /// Sends the OACK. A failure to send is like a loss on the way.
    pub fn offer(&self) {
        if let Some(packet) = &self.agreement.option_ack {
            let _ = self.socket.send(packet);
        }
    }

    /// Sends blocks. A failure to send is like a loss on the way.
    ///
    /// # Errors
    /// The file is not what it was.
    pub fn send(&mut self, blocks: Blocks, scratch: &mut Scratch, counters: &Counters) -> Result<(), Broken> {
        let Scratch { data, ahead, headers, lengths } = scratch;
        lengths.clear();
        let in_memory = match (&mut self.cursors, &self.body) {
            (Some(_), _) => {
                *ahead = None;
                self.encode(blocks, data, lengths)?;
                None
            }
            (None, Body::Cached(bytes)) => {
                let range = self.octets(blocks, lengths);
                Some(&bytes[range.start as usize..range.end as usize])
            }
            (None, Body::File(file)) => {
                let range = self.octets(blocks, lengths);
                let skip = read_ahead(file, self.slot.info.id, &range, data, ahead).map_err(Broken::of)?;
                // The last octets decide whether the client takes the file for whole.
                if range.end == self.body.size() && !file.is_unchanged() {
                    return Err(Broken::Changed);
                }
                Some(&data[skip..])
            }
        };
        let mut rest = in_memory.unwrap_or(data);
        headers.clear();
        headers.extend((blocks.first..).take(lengths.len()).map(|block| self.transfer.header(block)));
        let mut parts = Vec::with_capacity(lengths.len() * 2);
        for (header, &length) in headers.iter().zip(lengths.iter()) {
            let (block, after) = rest.split_at(length);
            rest = after;
            parts.push(IoSlice::new(header));
            parts.push(IoSlice::new(block));
        }
        counters.sent_bytes.inc_by(lengths.iter().sum::<usize>() as u64);
        let _ = self.socket.send_blocks(&parts);
        Ok(())
    }

    /// Tells the table how far it is.
    pub fn note_progress(&mut self, counters: &Counters) {
        let info = &self.slot.info;
        let base = self.transfer.oldest_unacknowledged();
        let acknowledged = base.saturating_sub(1).saturating_mul(self.agreement.blksize.into());
        info.acknowledged.store(acknowledged.min(self.body.size()), Ordering::Relaxed);
        let retransmits = self.transfer.retransmits();
        let before = info.retransmits.swap(retransmits, Ordering::Relaxed);
        if retransmits > before {
            counters.retransmits.inc_by(retransmits - before);
        }
        if self.transfer.is_answered() && !info.answered.load(Ordering::Relaxed) {
            info.answered.store(true, Ordering::Relaxed);
        }
        if let Some(cursors) = &mut self.cursors
            && cursors.first_key_value().is_some_and(|(block, _)| *block < base)
        {
            *cursors = cursors.split_off(&base);
        }
    }

    /// The octets of the file that `blocks` carry, and the length of each block.
    fn octets(&self, blocks: Blocks, lengths: &mut Vec<usize>) -> Range<u64> {
        let (size, blksize) = (self.body.size(), u64::from(self.agreement.blksize));
        let start = ((blocks.first - 1) * blksize).min(size);
        let mut end = start;
        for _ in 0..blocks.count {
            let length = blksize.min(size - end);
            lengths.push(length as usize);
            end += length;
        }
        start..end
    }

    /// Encodes `blocks` as text; fewer, where the file ends before.
    fn encode(&mut self, blocks: Blocks, data: &mut Vec<u8>, lengths: &mut Vec<usize>) -> Result<(), Broken> {
        let blksize = usize::from(self.agreement.blksize);
        let Some(cursors) = &mut self.cursors else { return Ok(()) };
        // The machine never goes back behind what is acknowledged, and cursors are kept up to there.
        let Some(mut cursor) = cursors.get(&blocks.first).copied() else { return Ok(()) };
        data.resize(usize::from(blocks.count) * blksize, 0);
        let mut source = vec![0; blksize];
        for (index, block) in (blocks.first..).take(blocks.count.into()).enumerate() {
            let wanted = (self.body.size() - cursor.offset).min(blksize as u64) as usize;
            let source = match &self.body {
                Body::Cached(bytes) => &bytes[cursor.offset as usize..][..wanted],
                Body::File(file) => {
                    file.read(&mut source[..wanted], cursor.offset).map_err(Broken::of)?;
                    &source[..wanted]
                }
            };
            let (written, next) = netascii::encode(cursor, source, &mut data[index * blksize..][..blksize]);
            lengths.push(written);
            if written < blksize {
                if let Body::File(file) = &self.body
                    && !file.is_unchanged()
                {
                    return Err(Broken::Changed);
                }
                self.transfer.on_end(block);
                return Ok(());
            }
            cursor = next;
            cursors.insert(block + 1, cursor);
        }
        Ok(())
    }
}

/// Makes `data` hold `range` of `file`; returns where in `data` it begins.
///
/// A transfer that has the buffer to itself, because no other of this worker sent in between, reads more than
/// it needs: a block at a time, each would cost a system call.
fn read_ahead(
    file: &OpenFile,
    transfer: u64,
    range: &Range<u64>,
    data: &mut Vec<u8>,
    ahead: &mut Option<(u64, Range<u64>)>,
) -> io::Result<usize> {
    let alone = ahead.take().filter(|(owner, _)| *owner == transfer);
    let end = match &alone {
        Some((_, held)) if held.start <= range.start && range.end <= held.end => {
            let skip = (range.start - held.start) as usize;
            *ahead = alone;
            return Ok(skip);
        }
        Some(_) => range.end.max(range.start + AHEAD_BYTES).min(file.size()),
        None => range.end,
    };
    let wanted = (end - range.start) as usize;
    if data.len() < wanted {
        data.resize(wanted, 0);
    }
    file.read(&mut data[..wanted], range.start)?;
    *ahead = Some((transfer, range.start..end));
    Ok(0)
}

impl Broken {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Changed,
            _ => Self::Unreadable(error),
        }
    }
}
