//! A file of records, each with a checksum: what is damaged is left out, the rest is found again.
//!
//! ```text
//! header twice, 24 bytes each
//!   0        8         9      12     16       20      24
//!   ├────────┼─────────┼──────┼──────┼────────┼───────┤
//!   │farosdns│ version │ zero │ salt │ CRC32C │ zero  │
//!   └────────┴─────────┴──────┴──────┴────────┴───────┘
//! record
//!   0      4        8        12
//!   ├──────┼────────┼────────┼───────────┤
//!   │ salt │ length │ CRC32C │ payload … │
//!   └──────┴────────┴────────┴───────────┘
//! ```
//!
//! The salt is random and new in each file: nothing that an upstream server put into a payload looks like a
//! record. The CRC continues that of the salt over length and payload. Numbers are little-endian.

use std::io::{self, Read};

/// The version of files and records written here.
pub(super) const VERSION: u8 = 1;
/// The longest payload, in bytes: an answer of 64 KiB with as many TTLs as fit. Longer ones are damage.
pub(super) const PAYLOAD_BYTES_MAX: usize = 96 * 1024;

const MAGIC: &[u8; 8] = b"farosdns";
const HEADER_BYTES: usize = 24;
const FRAME_BYTES: usize = 12;
const BUFFER_BYTES: usize = 4 * (FRAME_BYTES + PAYLOAD_BYTES_MAX);

/// What reading a file came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Records read.
    pub(super) records: u64,
    /// Damaged stretches, each of one record or more.
    pub(super) damaged: u64,
    /// The last record was not written to its end.
    pub(super) torn: bool,
    /// The file is of this version, which is not known here; nothing was read.
    pub(super) foreign_version: Option<u8>,
}

/// The beginning of a file.
pub(super) fn header(salt: u32) -> Vec<u8> {
    let mut header = Vec::with_capacity(2 * HEADER_BYTES);
    header.extend_from_slice(MAGIC);
    header.extend([VERSION, 0, 0, 0]);
    header.extend(salt.to_le_bytes());
    header.extend(crc32c::crc32c(&header).to_le_bytes());
    header.extend([0; 4]);
    header.repeat(2)
}

/// Appends a record whose payload `write` appends. Too long a payload is left out.
pub(super) fn frame(salt: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(salt.to_le_bytes());
    out.extend([0; 8]);
    write(out);
    let length = out.len() - start - FRAME_BYTES;
    if length > PAYLOAD_BYTES_MAX {
        out.truncate(start);
        return;
    }
    out[start + 4..start + 8].copy_from_slice(&(length as u32).to_le_bytes());
    let crc = checksum(salt, &out[start + 4..start + 8], &out[start + FRAME_BYTES..]);
    out[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
}

/// Hands every undamaged record's payload to `each`, in order.
///
/// # Errors
/// Those of reading.
pub(super) fn read(source: impl Read, mut each: impl FnMut(&[u8])) -> io::Result<Scan> {
    let mut window = Window { source, bytes: Vec::new(), start: 0, ended: false };
    let mut scan = Scan::default();
    window.fill()?;
    let salt = match salt(window.bytes()) {
        Ok(salt) => salt,
        Err(foreign_version) => {
            let damaged = u64::from(foreign_version.is_none() && !window.bytes().is_empty());
            return Ok(Scan { damaged, foreign_version, ..scan });
        }
    };
    window.skip(2 * HEADER_BYTES);
    // The stretch that is being passed over: whether a record that ends too late is all there is.
    let mut stretch = None;
    loop {
        window.fill()?;
        let bytes = window.bytes();
        match next(bytes, salt) {
            Next::Record(length) => {
                each(&bytes[FRAME_BYTES..FRAME_BYTES + length]);
                scan.records += 1;
                scan.damaged += u64::from(stretch.take().is_some());
                window.skip(FRAME_BYTES + length);
            }
            Next::Cut if bytes.is_empty() => {
                scan.torn = stretch == Some(Next::Cut);
                scan.damaged += u64::from(stretch == Some(Next::Damage));
                return Ok(scan);
            }
            // A damaged length looks like a cut: there may be more behind it.
            unreadable => {
                let first = stretch.is_none();
                let cut = unreadable == Next::Cut && (first || stretch == Some(Next::Cut));
                stretch = Some(if cut { Next::Cut } else { Next::Damage });
                window.skip(1);
                window.seek(salt)?;
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Record(usize),
    /// The bytes end within the record.
    Cut,
    Damage,
}

fn next(bytes: &[u8], salt: u32) -> Next {
    let Some((frame, rest)) = bytes.split_first_chunk::<FRAME_BYTES>() else { return Next::Cut };
    let [a, b, c, d, l0, l1, l2, l3, c0, c1, c2, c3] = *frame;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if u32::from_le_bytes([a, b, c, d]) != salt || length > PAYLOAD_BYTES_MAX {
        return Next::Damage;
    }
    match rest.get(..length) {
        Some(payload) if checksum(salt, &frame[4..8], payload) == u32::from_le_bytes([c0, c1, c2, c3]) => {
            Next::Record(length)
        }
        Some(_) => Next::Damage,
        None => Next::Cut,
    }
}

/// The salt in either header, or the unknown version that the file has.
fn salt(bytes: &[u8]) -> Result<u32, Option<u8>> {
    let mut foreign = None;
    for header in bytes.chunks_exact(HEADER_BYTES).take(2) {
        let crc = crc32c::crc32c(&header[..16]).to_le_bytes();
        if !header.starts_with(MAGIC) || header[16..20] != crc {
            continue;
        }
        if header[8] == VERSION {
            return Ok(u32::from_le_bytes([header[12], header[13], header[14], header[15]]));
        }
        foreign = Some(header[8]);
    }
    Err(foreign)
}

fn checksum(salt: u32, length: &[u8], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&salt.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, length), payload)
}

/// A stretch of the source, long enough for the longest record.
struct Window<R> {
    source: R,
    bytes: Vec<u8>,
    start: usize,
    ended: bool,
}

impl<R: Read> Window<R> {
    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn skip(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
    }

    /// Goes on to where a record may begin.
    fn seek(&mut self, salt: u32) -> io::Result<()> {
        loop {
            self.fill()?;
            let found = self.bytes().windows(4).position(|bytes| bytes == salt.to_le_bytes());
            match found {
                Some(at) => {
                    self.skip(at);
                    return Ok(());
                }
                // The beginning of a record may be at the end of the window.
                None if self.ended => {
                    self.skip(usize::MAX - self.start);
                    return Ok(());
                }
                None => self.skip(self.bytes().len().saturating_sub(3)),
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.ended || self.bytes().len() >= FRAME_BYTES + PAYLOAD_BYTES_MAX {
            return Ok(());
        }
        self.bytes.drain(..self.start);
        self.start = 0;
        while !self.ended && self.bytes.len() < BUFFER_BYTES {
            let wanted = (BUFFER_BYTES - self.bytes.len()) as u64;
            self.ended = self.source.by_ref().take(wanted).read_to_end(&mut self.bytes)? < wanted as usize;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with a record, a stretch of zeroes that makes the next record begin at `at`, and that one.
    fn damaged(at: usize) -> Vec<u8> {
        let salt = 0x0102_0304;
        let mut file = header(salt);
        frame(salt, &mut file, |out| out.extend_from_slice(b"first"));
        file.resize(at, 0);
        frame(salt, &mut file, |out| out.extend_from_slice(b"second"));
        file
    }

    #[test]
    fn the_next_record_is_found_wherever_the_damage_ends() {
        let near = |at: usize| at - 6..=at + 6;
        for at in near(200).chain(near(BUFFER_BYTES)).chain(near(2 * BUFFER_BYTES - 3)) {
            let mut seen = Vec::new();
            let scan = read(&*damaged(at), |payload| seen.push(payload.to_vec())).unwrap();
            assert_eq!(seen, [&b"first"[..], b"second"], "{at}");
            assert_eq!(scan, Scan { records: 2, damaged: 1, ..Scan::default() }, "{at}");
        }
    }

    #[test]
    fn what_looks_like_a_record_inside_of_one_is_none() {
        let salt = 7;
        let mut inner = Vec::new();
        frame(salt ^ 1, &mut inner, |out| out.extend_from_slice(b"planted"));
        let mut file = header(salt);
        frame(salt, &mut file, |out| out.extend_from_slice(&inner));
        let length = file.len();
        file[length - 1] ^= 1;
        let scan = read(&*file, |payload| panic!("{payload:?}")).unwrap();
        assert_eq!(scan, Scan { damaged: 1, ..Scan::default() });
    }

    #[test]
    fn a_payload_that_is_too_long_is_left_out() {
        let mut file = header(7);
        frame(7, &mut file, |out| out.resize(out.len() + PAYLOAD_BYTES_MAX + 1, 0));
        assert_eq!(file, header(7));
        frame(7, &mut file, |out| out.resize(out.len() + PAYLOAD_BYTES_MAX, 0));
        assert_eq!(read(&*file, |_| ()).unwrap().records, 1);
    }
}
