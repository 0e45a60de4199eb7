//! What a fuzz target is.

use crate::platform;

/// One thing that is fed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which says what it feeds.
    pub name: &'static str,
    /// Feeds it; panics where a claim is broken.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The most memory one input may take: so many bytes, and so many more for each byte of input.
    pub memory: (usize, usize),
}

impl Target {
    /// Feeds `data`, and holds the target to its memory.
    ///
    /// # Panics
    /// Where a claim is broken: that is the finding.
    pub fn feed(&self, data: &[u8]) {
        let ((), peak) = platform::measured(|| (self.run)(data));
        let most = self.memory.0 + self.memory.1 * data.len();
        assert!(peak <= most, "{} bytes of input took {peak} bytes of memory, {most} at most", data.len());
    }
}
