//! What time it is, as told to everything that has no clock of its own.

/// Two readings of the clock, taken together once for a batch of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds on a clock that never jumps; its zero is arbitrary. For ages, limits and timers.
    pub mono_millis: u64,
    /// Seconds since 1970-01-01 00:00 UTC. For cookies, signatures and what is written to disk.
    pub wall_secs: u64,
}

impl Now {
    /// Whole seconds of the clock that never jumps.
    pub fn mono_secs(self) -> u64 {
        self.mono_millis / 1000
    }
}
