//! TFTP without sockets, files or clock: wire formats, option negotiation and the transfer itself.

pub mod name;
pub mod netascii;
pub mod options;
pub mod packet;
pub mod request;
mod rtt;
pub mod transfer;
