//! Wire formats and decisions: no sockets, files, clock or randomness of its own.

pub mod advertise;
pub mod answer;
pub mod arp;
pub mod boot;
pub mod chain;
pub mod clock;
pub mod frame;
pub mod identity;
pub mod leases;
pub mod machine;
pub mod message;
pub mod options;
pub mod outcome;
pub mod probe;
pub mod reply;
pub mod request;
pub mod time;
pub mod verdict;
