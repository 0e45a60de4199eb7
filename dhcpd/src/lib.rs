//! DHCP for nodes that boot from the network.

pub mod config;
pub mod metrics;
pub mod platform;
pub mod protocol;
pub mod store;
pub mod unanswered;

mod admin;
mod engine;
mod server;

pub use server::{Bound, Dhcpd};
