//! The site file: one description of a far-edge site, from which every daemon derives its own part.
//!
//! Text is read by [`load`] or [`parse`] into a [`Site`], whose types cannot be wrong: addresses lie in
//! their subnets, names are unique, defaults are filled in. All mistakes are found in one run, each as a
//! [`Diagnostic`] with its place in the file.
//!
//! ```text
//! text ── read ──► raw tables ── check ──► findings
//!                      │                       │ no error
//!                      └──────── build ────────┴──► Site ── derive ──► names, pools, reservations, …
//! ```
//!
//! Each table is defined once, in `raw`: reading it, the keys that are refused, the JSON Schema ([`schema()`])
//! and the reference page ([`reference()`]) all follow from that definition.

mod build;
mod check;
mod derive;
mod diagnostic;
mod document;
mod file;
mod load;
mod mac;
mod model;
mod raw;
mod read;
mod secret;
#[cfg(test)]
mod tests;
mod value;

pub use derive::{
    Owner, OwnerKind, PLACEHOLDERS, Piece, PlaceholderError, Pointer, Reservation, ReverseZone, Side,
    SiteName, placeholders, pointer_owner,
};
pub use diagnostic::{Diagnostic, Place, Report, Severity};
pub use document::{reference, schema};
pub use load::{FILE_MAX, Loaded, load, parse};
pub use mac::{Mac, MacError};
pub use model::*;
pub use secret::{Secret, SecretError};
