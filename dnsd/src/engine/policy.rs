//! Who may have what.

use super::client::Access;
use crate::update::transfer::Permission;

/// The rules in force.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who is of the site.
    pub access: Access,
    /// Who may have whole zones.
    pub transfer: Permission,
    /// Whether the query log is on.
    pub query_log: bool,
}
