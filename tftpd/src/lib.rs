//! TFTP server for boot loaders.
pub mod admin;
pub mod config;
pub mod files;
pub mod metrics;
pub mod platform;
pub mod protocol;
pub mod server;

pub use server::Tftpd;
