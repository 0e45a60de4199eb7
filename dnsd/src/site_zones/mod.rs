//! What stands in the zones that this server is authoritative for.
//!
//! ```text
//! Site ─ plan ─► zones of the site file ─┐
//! dhcpd ─ leases ─► names of leases ─────┼─► holder: changed? ─ serial ─► Zone ─► Snapshot, swapped
//! RFC 2136 ─ update ─► added records ────┘
//! ignition-http ─ lifecycle ─► with or without the bootstrap machine
//! ```
//!
//! | Module | What it holds | Source |
//! |---|---|---|
//! | [`plan`] | which zones there are, and which takes which record | `DESIGN.md`, "Names in the cluster zone" |
//! | `reverse` | reverse zones, cut by the real prefix | RFC 1034 section 5.2.1, RFC 3596 section 2.5 |
//! | `configured` | `[[dns.record]]` | |
//! | [`local`] | zones that every server answers by itself | RFC 6303, 6761, 7686, 7793, 8375, 9462 |
//! | [`discovery`] | how clients find the encrypted listeners | RFC 9461, 9462 |
//! | [`serial`] | serial numbers from content | RFC 1982 |
//! | [`holder`] | the zones as they are served | |
//! | [`lifecycle`] | when the bootstrap machine's names go | |
//! | [`peer`] | following another daemon's admin socket | |
//!
//! A name outside of all zones that has a `[[dns.record]]` is answered here, and nothing else of its domain is: such
//! zones are *transparent*, what they do not hold is left to the forwarders. The more specific zone wins always; of
//! the same apex the site's own wins over a conditional one, and that over a local one.

mod configured;
pub mod discovery;
pub mod holder;
pub mod lifecycle;
pub mod local;
pub mod peer;
pub mod plan;
pub mod record;
mod reverse;
pub mod serial;
pub mod settings;
pub mod source;
#[cfg(test)]
mod tests;

pub use discovery::Listeners;
pub use holder::{ZoneFault, Zones};
pub use plan::ZoneKind;
pub use settings::Settings;
pub use source::Source;
