//! Inputs that are almost right.

/// A small generator of repeatable randomness (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends, so it is no iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Values that length and count fields like least.
const AWKWARD: [u8; 8] = [0, 1, 0x7f, 0x80, 0xfe, 0xff, b'\r', b'\n'];

/// `seed` with one to six small wounds: mostly bits flipped and bytes replaced, now and then a piece cut, repeated or
/// moved.
pub fn mutated(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(6) {
        if bytes.is_empty() {
            bytes.push(random.next() as u8);
        }
        let at = random.below(bytes.len());
        let length = 1 + random.below((bytes.len() - at).min(24));
        match random.below(40) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..at + length)),
            2..12 => bytes[at] ^= 1 << random.below(8),
            12..24 => bytes[at] = AWKWARD[random.below(AWKWARD.len())],
            24..36 => bytes[at] = random.next() as u8,
            36 | 37 => {
                let piece = bytes[at..at + length].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => bytes.extend((0..length).map(|_| random.next() as u8).collect::<Vec<_>>()),
        }
    }
    bytes
}
