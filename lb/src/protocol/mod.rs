//! Decisions without sockets, files, clock or randomness of their own: how a server is chosen, whether it is
//! up, who may get connections, and the PROXY header.

pub mod balance;
pub mod health;
pub mod proxy;
pub mod roster;
