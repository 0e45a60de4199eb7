//! Changes to zones and copies of them: dynamic updates, transfers, and the signatures that allow them.
//!
//! | Module | What it holds | Source |
//! |---|---|---|
//! | [`tsig`] | signatures of transactions | RFC 8945 |
//! | [`keys`] | the keys of the site file, and what each is good for | |
//! | [`message`] | the sections of an UPDATE | RFC 2136 section 2 |
//! | [`apply`] | prerequisites, and what an update makes of a zone | RFC 2136 section 3 |
//! | [`store`] | what updates have added, on disk | |
//! | [`updater`] | the whole of it: a message in, a reply out | |
//! | [`transfer`] | a zone as a row of messages | RFC 5936, RFC 1995 |
//!
//! Deviations: an update never touches names that have records of the site file, nor SOA and NS records; it is
//! refused as a whole then (RFC 2136 section 3.3 leaves that to the server). A transfer is always of the whole zone,
//! also as the answer to IXFR (RFC 1995 section 4).

pub mod apply;
pub mod keys;
pub mod message;
pub mod store;
pub mod transfer;
pub mod tsig;
pub mod updater;

pub use keys::{KeyError, Keys};
pub use store::{StoreError, UpdateStore};
pub use updater::{Outcome, Updater};
