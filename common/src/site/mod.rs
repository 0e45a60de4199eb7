//! The site file: one description of a far-edge site, from which every daemon derives its own part.
//!
//! Text is read by [`load`] or [`parse`] into a [`Site`], whose types cannot be wrong: addresses lie in
//! their subnets, names are unique, defaults are filled in. All mistakes are found in one run, each as a
//! [`Diagnostic`] with its place in the file.

mod diagnostic;
mod mac;
mod model;

pub use diagnostic::{Diagnostic, Place, Report, Severity};
pub use mac::Mac;
pub use model::*;

/// A site file that was read: the site, and warnings about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The site.
    pub site: Site,
    /// Warnings only.
    pub report: Report,
}

/// Reads the site file at `path`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &std::path::Path) -> Result<Loaded, Report> {
    Err(Report::new(path))
}
