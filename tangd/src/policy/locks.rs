//! What operators have locked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// One lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Since when, RFC 3339.
    pub since: String,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Lock {
    /// A lock from `now` on.
    #[must_use]
    pub fn new(now: SystemTime, reason: Option<String>) -> Self {
        Self { since: faros_common::events::rfc3339(now), reason }
    }
}

/// All locks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Locks {
    /// The lock on everything.
    pub all: Option<Lock>,
    /// Locks on single nodes, by name; on strangers, by address.
    pub single: BTreeMap<String, Lock>,
}

/// A change of the locks, as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change {
    /// Locks a node, or everything.
    Lock {
        /// The node's name, or an address; none: everything.
        subject: Option<String>,
        /// The lock.
        #[serde(flatten)]
        lock: Lock,
    },
    /// Unlocks a node, or takes the lock on everything away; locks on single nodes stay.
    Unlock {
        /// As above.
        subject: Option<String>,
    },
}

impl Locks {
    /// Makes a change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Lock { subject: None, lock } => self.all = Some(lock),
            Change::Lock { subject: Some(subject), lock } => drop(self.single.insert(subject, lock)),
            Change::Unlock { subject: None } => self.all = None,
            Change::Unlock { subject: Some(subject) } => drop(self.single.remove(&subject)),
        }
    }

    /// Whether there is the lock that [`Change::Unlock`] would take away.
    #[must_use]
    pub fn holds(&self, subject: Option<&str>) -> bool {
        match subject {
            None => self.all.is_some(),
            Some(subject) => self.single.contains_key(subject),
        }
    }

    /// The changes that lead from nothing to these locks.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let all = self.all.clone().map(|lock| Change::Lock { subject: None, lock });
        let single = self.single.iter();
        let single =
            single.map(|(subject, lock)| Change::Lock { subject: Some(subject.clone()), lock: lock.clone() });
        all.into_iter().chain(single).collect()
    }

    /// Why a client that may be any of `nodes`, at `address`, is locked, if it is.
    #[must_use]
    pub fn reason(&self, nodes: &[String], address: IpAddr) -> Option<String> {
        let (what, lock) = match &self.all {
            Some(lock) => ("everything".to_owned(), lock),
            None if self.single.is_empty() => return None,
            None => {
                let address = address.to_string();
                let locked = nodes.iter().chain([&address]);
                locked.filter_map(|name| Some((name.clone(), self.single.get(name)?))).next()?
            }
        };
        let because = lock.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        Some(format!("an operator has locked {what} at {}{because}", lock.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_lead_to_the_same_locks_again() {
        let lock = |reason: &str| Lock::new(SystemTime::UNIX_EPOCH, Some(reason.to_owned()));
        let mut locks = Locks::default();
        locks.apply(Change::Lock { subject: Some("cp1".into()), lock: lock("stolen") });
        locks.apply(Change::Lock { subject: None, lock: lock("moving") });
        locks.apply(Change::Lock { subject: Some("cp2".into()), lock: lock("sold") });
        locks.apply(Change::Unlock { subject: Some("cp2".into()) });
        let mut again = Locks::default();
        for change in locks.changes() {
            let text = serde_json::to_vec(&change).unwrap();
            again.apply(serde_json::from_slice(&text).unwrap());
        }
        assert_eq!(again, locks);
        locks.apply(Change::Unlock { subject: None });
        assert!(
            locks.holds(Some("cp1")) && !locks.holds(None),
            "single locks outlive the lock on everything"
        );
        let reason = locks.reason(&["cp1".to_owned()], IpAddr::from([192, 0, 2, 1])).unwrap();
        assert!(reason.contains("cp1") && reason.contains("stolen"), "{reason}");
        assert_eq!(locks.reason(&[], IpAddr::from([192, 0, 2, 1])), None);
    }
}
