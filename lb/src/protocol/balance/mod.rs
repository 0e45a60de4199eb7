//! How a server is chosen for a connection. Nothing here allocates once it is made.
//!
//! | `balance` | Way |
//! |---|---|
//! | `least-connections` | [`least_loaded`]: fewest connections for its share |
//! | `random-two` | [`better_of_two`]: two drawn by share, the less loaded of them |
//! | `round-robin` | [`Schedule`]: each in turn, as often as its share and as evenly spread as can be |
//! | `source` | [`SourceTable`]: the same source goes to the same server while that one serves |
//!
//! Fairness comes from a *ticket*, a random number that the caller draws for each connection.

mod draw;
mod least;
mod schedule;
mod source;
mod two;

pub(in crate::protocol) use draw::mix;
pub use draw::weighted;
pub use least::least_loaded;
pub use schedule::Schedule;
pub use source::{Rank, SourceTable};
pub use two::better_of_two;

/// A server's share and how much it has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Its share of new connections, from 1 to [`Load::WEIGHT_MAX`].
    pub weight: u32,
    /// Its connections now.
    pub active: u32,
}

impl Load {
    /// The largest share; with it, comparisons of loads stay within 64 bits.
    pub const WEIGHT_MAX: u32 = 1 << 16;
}

#[cfg(test)]
mod tests;
