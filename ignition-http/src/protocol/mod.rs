//! Decisions without I/O: what a request means, who asks, what it may have, and what the answer says.

pub mod conditional;
pub mod head;
pub mod identity;
pub mod ignition;
pub mod journey;
pub mod range;
pub mod route;
pub mod script;
pub mod target;
