//! checks
pub(crate) fn site(_raw: &crate::site::raw::RawSite, _found: &mut crate::site::read::Findings) {}
