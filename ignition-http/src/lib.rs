//! Boot scripts, Ignition and files over HTTP.
