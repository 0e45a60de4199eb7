//! Boot scripts, Ignition and files over HTTP.
pub mod protocol;
