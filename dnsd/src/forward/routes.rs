//! Which upstreams know a name: those of the longest conditional zone that it lies in, else the public ones.

use std::collections::HashMap;
use std::sync::Arc;

use crate::protocol::name::Name;

use super::pool::Pool;

/// The pools by zone.
pub struct Routes {
    public: Arc<Pool>,
    conditional: HashMap<Name, Arc<Pool>>,
    /// That of the root: the public one, unless the root is a conditional zone.
    root: Arc<Pool>,
}

/// Who is responsible for a name.
#[derive(Clone, Copy)]
pub struct Route<'a> {
    /// Whom to ask.
    pub pool: &'a Arc<Pool>,
    /// The conditional zone, if the name lies in one: its servers are trusted with private addresses, and nobody
    /// else is asked when they are dead.
    pub zone: Option<&'a Name>,
}

impl Route<'_> {
    /// Whether both are the same.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.pool, other.pool) && self.zone == other.zone
    }
}

impl Routes {
    /// Routes from public and conditional pools.
    pub fn new(public: Pool, conditional: impl IntoIterator<Item = (Name, Pool)>) -> Self {
        let conditional: HashMap<_, _> =
            conditional.into_iter().map(|(zone, pool)| (zone, Arc::new(pool))).collect();
        let public = Arc::new(public);
        let root = Arc::clone(conditional.get(&Name::root()).unwrap_or(&public));
        Self { public, conditional, root }
    }

    /// Who is responsible for the root, and for whatever no other zone has.
    pub fn root(&self) -> &Pool {
        &self.root
    }

    /// Who is responsible for `name`.
    pub fn of(&self, name: &Name) -> Route<'_> {
        if !self.conditional.is_empty() {
            let mut suffix = Some(name.clone());
            while let Some(candidate) = suffix {
                if let Some((zone, pool)) = self.conditional.get_key_value(&candidate) {
                    return Route { pool, zone: Some(zone) };
                }
                suffix = candidate.parent();
            }
        }
        Route { pool: &self.public, zone: None }
    }

    /// All pools, the public one first.
    pub fn pools(&self) -> impl Iterator<Item = (Option<&Name>, &Arc<Pool>)> {
        std::iter::once((None, &self.public))
            .chain(self.conditional.iter().map(|(zone, pool)| (Some(zone), pool)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::counters::Counters;

    #[test]
    fn the_longest_zone_wins_and_case_does_not_count() {
        let name = |text: &str| Name::parse(text).unwrap();
        let pool = || Pool::new(Vec::new(), Counters::default());
        let zones =
            ["corp.example.", "lab.corp.example.", "10.in-addr.arpa."].map(|zone| (name(zone), pool()));
        let routes = Routes::new(pool(), zones);
        for (asked, zone) in [
            ("www.CORP.example.", Some("corp.example.")),
            ("corp.example.", Some("corp.example.")),
            ("a.b.Lab.corp.example.", Some("lab.corp.example.")),
            ("xcorp.example.", None),
            ("example.", None),
            (".", None),
            ("1.2.3.10.in-addr.arpa.", Some("10.in-addr.arpa.")),
        ] {
            assert_eq!(routes.of(&name(asked)).zone, zone.map(name).as_ref(), "{asked}");
        }
    }

    #[test]
    fn the_root_is_public_unless_it_is_a_zone_of_its_own() {
        let pool = || Pool::new(Vec::new(), Counters::default());
        for zone in ["corp.example.", "."] {
            let routes = Routes::new(pool(), [(Name::parse(zone).unwrap(), pool())]);
            assert!(std::ptr::eq(routes.root(), &**routes.of(&Name::root()).pool), "{zone}");
        }
    }
}
