//! One simulated file: what programs see, what is on the medium, and the writes in between.

use super::Random;

/// The unit that reaches the medium wholly or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Inode {
    /// What programs see.
    pub(super) live: Vec<u8>,
    /// What is on the medium.
    durable: Vec<u8>,
    /// Not yet synchronised, in order.
    pending: Vec<Pending>,
}

#[derive(Debug)]
enum Pending {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl Inode {
    pub(super) fn durable(content: Vec<u8>) -> Self {
        Self { live: content.clone(), durable: content, pending: Vec::new() }
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        place(&mut self.live, offset, bytes);
        // The page cache writes whole sectors, as they are at the time.
        let start = offset / SECTOR_BYTES * SECTOR_BYTES;
        let end = (offset + bytes.len()).next_multiple_of(SECTOR_BYTES).min(self.live.len());
        self.pending.push(Pending::Write { offset: start, bytes: self.live[start..end].to_vec() });
    }

    pub(super) fn truncate(&mut self, size: usize) {
        self.live.resize(size, 0);
        self.pending.push(Pending::Truncate(size));
    }

    pub(super) fn sync(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            match pending {
                Pending::Write { offset, bytes } => place(&mut self.durable, offset, &bytes),
                Pending::Truncate(size) => self.durable.resize(size, 0),
            }
        }
    }

    /// A failed `fdatasync`: some of it reached the medium, all of it counts as clean, and reads back as written.
    pub(super) fn lose(&mut self, random: &mut Random) {
        for pending in std::mem::take(&mut self.pending) {
            match pending {
                Pending::Truncate(size) if random.chance(2) => self.durable.resize(size, 0),
                Pending::Truncate(_) => {}
                Pending::Write { offset, bytes } => self.keep_some(offset, &bytes, random),
            }
        }
    }

    pub(super) fn power_cut(&mut self, random: &mut Random) {
        self.lose(random);
        self.live = self.durable.clone();
    }

    /// An arbitrary selection of the sectors reaches the medium: in one cut in four all, in one none, else by lot.
    fn keep_some(&mut self, offset: usize, bytes: &[u8], random: &mut Random) {
        let mode = random.below(4);
        let end = offset + bytes.len();
        let mut start = offset;
        while start < end {
            let stop = ((start / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
            if mode == 0 || (mode > 1 && random.chance(2)) {
                place(&mut self.durable, start, &bytes[start - offset..stop - offset]);
            }
            start = stop;
        }
    }
}

fn place(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}
