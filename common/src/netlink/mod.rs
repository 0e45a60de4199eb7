//! The kernel's own protocol, netlink: packet filter, connection tracking, interfaces, addresses, routes, neighbours.
//!
//! ```text
//! nftables  conntrack  link  address  route  neighbours      what is asked and told
//!     └─────────┴───────┬──────┴───────┴──────────┘
//!          message, attribute                                octets, strictly read (RFC 3549)
//!                    Socket                                  questions, answers, events
//! ```
//!
//! All of it is synchronous: the kernel answers while the question is being sent. From tokio, call it in
//! `spawn_blocking`; events can be awaited ([`Events`]). Nothing that the kernel or whoever else sends
//! makes it panic: what cannot be read is [`Error::Malformed`].

mod acknowledgement;
pub mod address;
pub mod attribute;
pub mod conntrack;
mod error;
mod events;
pub mod link;
mod message;
pub mod neighbours;
pub mod nftables;
mod platform;
pub mod route;
mod socket;
#[cfg(test)]
mod testing;

pub use error::{Error, Refusal};
pub use events::Events;
pub use message::{Message, Messages, Request};
pub use neighbours::Neighbours;
pub use socket::{Group, Protocol, Socket};
