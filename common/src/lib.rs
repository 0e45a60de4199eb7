//! Being a service: site file, start and stop, journal, events, admin socket, sandbox.

pub mod admin;
pub mod clock;
pub mod daemon;
pub mod events;
pub mod fault;
pub mod journal;
pub mod loaders;
pub mod metrics;
pub mod netlink;
pub mod sandbox;
pub mod site;
pub mod tasks;
pub mod tls;
