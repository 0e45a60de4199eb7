//! DNS server: authoritative for the site's own zones, and forwarding and caching everything else, also while the WAN
//! is down.
//!
//! ```text
//! site file ─► config
//!                │
//! UDP, TCP ─► server ─► engine ─┬─► zone ◄── site_zones ◄── site file, leases (dhcpd), update (RFC 2136)
//! TLS, HTTPS, QUIC ─┘           ├─► cache ◄─► disk
//!                               └─► forward ──► upstream servers
//! ```
//!
//! | Document | State |
//! |---|---|
//! | RFC 1034, 1035, 2181, 2308 | complete for class IN; other classes are refused |
//! | RFC 4592 (wildcards), 6672 (DNAME) | complete |
//! | RFC 6891 (EDNS) | version 0; replies over UDP of 1232 octets at most, in whole packets (RFC 9715) |
//! | RFC 7766 (TCP), 7828 (keepalive) | complete; answers in any order |
//! | RFC 7858 (TLS), 8484 (HTTPS), 9250 (QUIC) | complete, with padding (RFC 7830, 8467); no early data, no transfers over QUIC |
//! | RFC 7873, 9018 (cookies) | complete; BADCOOKIE only for clients that are being limited |
//! | RFC 8482 (ANY) | complete: HINFO, or one RRset |
//! | RFC 8767 (stale answers), 9520 (failures) | complete |
//! | RFC 8914 (extended errors) | codes 0, 3, 13, 15, 18 to 24, and those of DNSSEC |
//! | RFC 2136 (UPDATE), 8945 (TSIG) | signed updates in the subtree of their key |
//! | RFC 5936 (AXFR), 1995 (IXFR) | out only; IXFR is answered with the whole zone |
//! | RFC 6303, 6761, 8375, 9462 (local and special names) | complete |
//! | RFC 4035 (DNSSEC) | validation of upstream answers, on request; own zones are not signed |
//! | RFC 1996 (NOTIFY) | refused: this server is nobody's secondary |
//! | RFC 7871 (client subnet) | checked for form, and ignored |
//!
//! Deviation from RFC 5358: recursion is for the site's own networks and this host, and cannot be opened further.

pub mod admin;
pub mod cache;
pub mod config;
pub mod engine;
pub mod forward;
pub mod leases;
pub mod metrics;
pub mod platform;
pub mod protocol;
pub mod server;
pub mod site_zones;
pub mod update;
pub mod zone;

pub use server::Dnsd;
