//! The bytes of a journal file: header and records, in and out. The layout is drawn in the module's documentation.

use super::Lsn;

/// Length of the file header.
pub(super) const HEADER_BYTES: usize = 64;
/// Length of what precedes a record's payload.
pub(super) const RECORD_HEADER_BYTES: usize = 28;
/// Longest name of a journal.
pub(super) const NAME_BYTES_MAX: usize = 16;
/// Version of the file layout that this program writes, and the newest that it reads.
pub(super) const FORMAT: u16 = 1;

/// The highest sequence number, LSN or generation that a file may have: a million a second reach it in a hundred
/// thousand years. Whatever names a higher one is damaged; so no arithmetic on them can overflow.
const NUMBER_MAX: u64 = 1 << 62;

const MAGIC: &[u8; 8] = b"farosjnl";

/// What the first bytes of a file say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u16,
    pub(super) generation: u64,
    pub(super) salt: u64,
    pub(super) name: [u8; NAME_BYTES_MAX],
}

/// Why the first bytes are no header of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// Other magic bytes.
    Foreign,
    /// A layout from the future.
    Newer(u16),
    /// Ours, but unreadable.
    Damaged,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.generation.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.salt.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.name);
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header, putting right one flipped bit (`true` then).
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, bool), BadHeader> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else { return Err(BadHeader::Damaged) };
        if Self::intact(bytes) {
            return Self::fields(bytes).map(|header| (header, false));
        }
        let mut flipped = *bytes;
        for bit in 0..HEADER_BYTES * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            if Self::intact(&flipped) {
                return Self::fields(&flipped).map(|header| (header, true));
            }
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
        // A later layout may put its checksum elsewhere: the version is looked at before giving up.
        match Self::fields(bytes) {
            Err(error) => Err(error),
            Ok(_) => Err(BadHeader::Damaged),
        }
    }

    fn intact(bytes: &[u8; HEADER_BYTES]) -> bool {
        crc32c::crc32c(&bytes[..60]).to_le_bytes() == bytes[60..]
    }

    fn fields(bytes: &[u8; HEADER_BYTES]) -> Result<Self, BadHeader> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(BadHeader::Damaged);
        }
        if bytes[..8] != *MAGIC {
            return Err(BadHeader::Foreign);
        }
        let format = u16_at(bytes, 8);
        if format > FORMAT {
            return Err(BadHeader::Newer(format));
        }
        let generation = u64_at(bytes, 16);
        if generation > NUMBER_MAX {
            return Err(BadHeader::Damaged);
        }
        let mut name = [0; NAME_BYTES_MAX];
        name.copy_from_slice(&bytes[32..48]);
        Ok(Self { version: u16_at(bytes, 10), generation, salt: u64_at(bytes, 24), name })
    }

    /// What a record's checksum starts from, so that no record of another file passes for one of this,
    /// and no peer can put into its own data something that would look like a record.
    pub(super) fn seed(&self) -> u32 {
        let crc = crc32c::crc32c(&self.salt.to_le_bytes());
        crc32c::crc32c_append(crc, &self.generation.to_le_bytes())
    }
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Kind {
    /// Part of the snapshot; its sequence counts from 0.
    Snapshot = 1,
    /// Ends the snapshot; its sequence is the number of records in it, its payload the base LSN.
    Seal = 2,
    /// Appended since; its sequence is its LSN.
    Appended = 3,
    /// A process begins to append here; its sequence is the last LSN before, its session is new.
    Session = 4,
}

/// One record, its payload borrowed from the file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) kind: Kind,
    pub(super) sequence: u64,
    /// Records before it in the batch of one `fdatasync`.
    pub(super) place: u32,
    /// Which process wrote it, counted within the file. What an earlier process failed to write, and to cut off, may
    /// turn up again behind what a later one wrote: it is known by its lower number.
    pub(super) session: u32,
    pub(super) payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// Whether an earlier record must have been durable when this one was written: it stands before this one's batch.
    pub(super) fn proves(&self, earlier: u64) -> bool {
        // A session's own record is written together with what its process had found.
        self.kind == Kind::Appended && self.sequence.saturating_sub(u64::from(self.place)) > earlier
    }

    /// The base LSN that a seal carries.
    pub(super) fn base(&self) -> Option<Lsn> {
        let number = u64::from_le_bytes(self.payload.try_into().ok()?);
        (number <= NUMBER_MAX).then_some(Lsn(number))
    }

    /// Its length in the file.
    pub(super) fn size(&self) -> usize {
        RECORD_HEADER_BYTES + self.payload.len()
    }

    pub(super) fn encode(&self, seed: u32, into: &mut Vec<u8>) {
        // The caller has refused anything longer than `record_bytes_max`, a 32 bit number.
        let length = self.payload.len() as u32;
        let mut head = [0; RECORD_HEADER_BYTES];
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        head[16..20].copy_from_slice(&self.place.to_le_bytes());
        head[20..24].copy_from_slice(&self.session.to_le_bytes());
        head[24] = self.kind as u8;
        let crc = checksum(seed, &head, self.payload);
        head[4..8].copy_from_slice(&crc.to_le_bytes());
        into.extend_from_slice(&head);
        into.extend_from_slice(self.payload);
    }

    /// The record at the beginning of `bytes`, if there is a whole and intact one.
    pub(super) fn decode(bytes: &'a [u8], seed: u32, payload_bytes_max: usize) -> Option<Self> {
        let head = bytes.first_chunk::<RECORD_HEADER_BYTES>()?;
        let length = u32_at(head, 0) as usize;
        if length > payload_bytes_max || head[25..] != [0; 3] {
            return None;
        }
        let kind = match head[24] {
            1 => Kind::Snapshot,
            2 => Kind::Seal,
            3 => Kind::Appended,
            4 => Kind::Session,
            _ => return None,
        };
        let payload = bytes[RECORD_HEADER_BYTES..].get(..length)?;
        let sequence = u64_at(head, 8);
        if sequence > NUMBER_MAX || checksum(seed, head, payload) != u32_at(head, 4) {
            return None;
        }
        let record = Self { kind, sequence, place: u32_at(head, 16), session: u32_at(head, 20), payload };
        // A seal without a base seals nothing.
        (kind != Kind::Seal || record.base().is_some()).then_some(record)
    }
}

fn checksum(seed: u32, head: &[u8; RECORD_HEADER_BYTES], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(seed, &head[..4]);
    let crc = crc32c::crc32c_append(crc, &head[8..]);
    crc32c::crc32c_append(crc, payload)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header =
        Header { version: 7, generation: 3, salt: 99, name: *b"leases\0\0\0\0\0\0\0\0\0\0" };

    #[test]
    fn a_header_survives_any_single_flipped_bit() {
        let bytes = HEADER.encode();
        assert_eq!(Header::decode(&bytes), Ok((HEADER, false)));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bytes), Ok((HEADER, true)), "bit {bit}");
        }
    }

    #[test]
    fn a_future_layout_is_told_apart_from_damage() {
        let mut bytes = HEADER.encode();
        bytes[8..10].copy_from_slice(&900u16.to_le_bytes());
        bytes[40..].fill(0xa5);
        assert_eq!(Header::decode(&bytes), Err(BadHeader::Newer(900)));
        assert_eq!(Header::decode(&bytes[..63]), Err(BadHeader::Damaged));
        assert_eq!(Header::decode(&[0; 64]), Err(BadHeader::Damaged));
        assert_eq!(Header::decode(&[b'#'; 64]), Err(BadHeader::Foreign));
    }

    #[test]
    fn a_record_is_read_back_only_with_its_own_seed_and_whole() {
        let record = Record { kind: Kind::Appended, sequence: 17, place: 2, session: 4, payload: b"lease" };
        let mut bytes = Vec::new();
        record.encode(HEADER.seed(), &mut bytes);
        assert_eq!(Record::decode(&bytes, HEADER.seed(), 5), Some(record));
        assert_eq!(Record::decode(&bytes, HEADER.seed(), 4), None, "longer than allowed");
        assert_eq!(Record::decode(&bytes, Header { generation: 4, ..HEADER }.seed(), 5), None);
        assert_eq!(Record::decode(&bytes, Header { salt: 4, ..HEADER }.seed(), 5), None);
        for short in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes[..short], HEADER.seed(), 5), None);
        }
    }

    #[test]
    fn numbers_that_no_journal_reaches_are_damage() {
        let mut bytes = Vec::new();
        Record { kind: Kind::Appended, sequence: NUMBER_MAX + 1, place: 0, session: 0, payload: b"" }
            .encode(1, &mut bytes);
        assert_eq!(Record::decode(&bytes, 1, 5), None);
        for payload in [&[0xff; 8][..], &[0; 7], &[]] {
            let mut bytes = Vec::new();
            Record { kind: Kind::Seal, sequence: 0, place: 0, session: 0, payload }.encode(1, &mut bytes);
            assert_eq!(Record::decode(&bytes, 1, 8), None, "{payload:?}");
        }
        let header = Header { generation: NUMBER_MAX + 1, ..HEADER };
        assert_eq!(Header::decode(&header.encode()), Err(BadHeader::Damaged));
    }
}
