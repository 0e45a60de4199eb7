//! Whether a server is up: one machine per server, told what checks and data planes saw and what the operator
//! wants.
//!
//! | Condition | Comes from | When |
//! |---|---|---|
//! | `Unknown` | | at the start without memory, and after maintenance |
//! | `Up` | `Unknown` | the first check is good |
//! | | `Down` | `rise` good checks in a row |
//! | | `Held`, `Ejected` | their time is over |
//! | `Down` | `Unknown` | the first check is bad |
//! | | `Up`, `Held`, `Ejected` | `fall` bad checks in a row |
//! | `Held` | `Down` | `rise` good checks in a row, but it flaps |
//! | `Ejected` | `Up`, `Held` | the planes cannot connect |
//! | `Drained`, `Maintenance` | any | the operator says so; enabled again, it is what its checks say |
//!
//! - **Checks** come every `interval`, and every `fast_interval` while the result is not settled. They are
//!   due from the start of the one before and up to a tenth early, by a random number, so that the checks of
//!   many front ends do not march in step.
//! - **Slow start**: a server that comes up gets its share in steps. Shares are relative ([`super::roster`]):
//!   when nobody else is up, a server gets everything at once.
//! - **Damping**: a server that goes down again and again is held down although its checks are good, longer
//!   each time.
//! - **Ejection**: a server that checks call good but to which the planes cannot connect gets no connections
//!   for a while.
//!
//! Held and ejected servers still serve where otherwise nobody would.

mod damping;
mod ejection;
mod machine;
mod ramp;
mod report;
mod rules;

pub use machine::Machine;
pub use report::{Change, Condition, View};
pub use rules::{Mode, Outcome, Remembered, Rules};

#[cfg(test)]
mod tests;
