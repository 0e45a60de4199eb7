//! TFTP server for boot loaders.
pub mod protocol;
