//! DHCP for nodes that boot from the network: an address, a name and a loader, by one exchange that waits for
//! nothing.
//!
//! # What it serves
//!
//! | Document | State |
//! |---|---|
//! | RFC 2131 DHCP | done; the client identifier is not the first key (*Deviation* in [`protocol::identity`]) |
//! | RFC 2132 options | done; any option by number, site-wide and per node, replaces what is said by itself |
//! | RFC 3046 relay agent option 82 | echoed byte for byte, last |
//! | RFC 3396 long options | done, at most 4 KiB per option |
//! | RFC 3397 domain search (119), RFC 4702 client FQDN (81) | done; names go to the site's DNS by `GET /leases` |
//! | RFC 3527 link selection, RFC 3011 subnet selection | within the site's one subnet |
//! | RFC 4039 rapid commit | where this server is the authority (`dhcp.authoritative`) |
//! | RFC 4390 clients without a hardware address | done, replies are broadcast |
//! | RFC 4578, RFC 5970 architectures (93) | BIOS, UEFI x64 and arm64, over TFTP and HTTP |
//! | RFC 5107 server identifier override, RFC 8357 relay port | done |
//! | RFC 6842 client identifier in replies | done |
//! | RFC 5227 ARP probes | in the background, two questions instead of three |
//! | RFC 4861 router advertisements, RFC 8106 resolver and search list | done; answered without delay (*Deviation* in [`protocol::advertise`]) |
//! | BOOTP (RFC 951), lease queries (RFC 4388), ProxyDHCP on port 4011, DHCPv6 | missing; dropped with a reason |
//!
//! # How it is built
//!
//! ```text
//!            UDP 67          ARP          ICMPv6        1 s        journal thread
//!               │             │             │            │        (fdatasync in groups)
//!               ▼             ▼             ▼            ▼               │ durable up to N
//!        ┌───────────────── one serving task (server) ───────────────────▼──┐
//!        │ engine: actions become datagrams, frames, records, events        │◄── admin socket
//!        │   machine: packet + time ─► actions   (protocol, pure)           │
//!        └───────────────────────────────────────────────────────────────────┘
//! ```
//!
//! An ACK leaves when its lease is on disk; meanwhile the task goes on. What a client at an unknown address is
//! told goes out as a frame made by hand ([`protocol::frame`]). All sockets are opened while privileged; the
//! running daemon keeps no capability.
//!
//! Options are framed by a walker of ours ([`protocol::options`]) and each is interpreted when it is asked
//! for. `dhcproto` lends the message types; as a decoder it drops what it cannot read together with everything
//! behind it, so it only serves as a second opinion in the tests.

pub mod code;
pub mod config;
pub mod icmp6;
pub mod metrics;
pub mod platform;
pub mod protocol;
pub mod store;
pub mod unanswered;
pub mod uuid;

mod admin;
mod engine;
mod server;

pub use server::{Bound, Dhcpd};
