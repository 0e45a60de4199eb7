//! TFTP server for boot loaders.
