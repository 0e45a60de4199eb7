//! Who would be locked out if a key were deleted, as far as the log tells.

use std::time::{Duration, SystemTime};

use super::KeyUse;

/// Whoever uses another key this long after its last use of one has started again without it. Within one start a machine
/// may use several keys, one for each of its disks.
pub const LEFT_AFTER: Duration = Duration::from_secs(3600);

/// Whose last start used the key with this S256 thumbprint: as far as the log tells they still need it, rotated or not.
///
/// The log knows nobody who was bound and has never started since, and nobody from before its oldest file.
#[must_use]
pub fn dependants<'u>(uses: &'u [KeyUse], thumbprint: &str) -> Vec<&'u KeyUse> {
    uses.iter().filter(|used| used.thumbprint == thumbprint && !has_left(used, uses)).collect()
}

fn has_left(used: &KeyUse, uses: &[KeyUse]) -> bool {
    let Some(last) = time(used) else { return false };
    uses.iter()
        .filter(|other| other.who == used.who && other.thumbprint != used.thumbprint)
        .filter_map(time)
        .any(|other| other.duration_since(last).is_ok_and(|later| later >= LEFT_AFTER))
}

fn time(used: &KeyUse) -> Option<SystemTime> {
    humantime::parse_rfc3339(&used.last).ok()
}

#[cfg(test)]
mod tests {
    use super::super::KeyAge;
    use super::*;

    fn used(who: &str, thumbprint: &str, last: &str) -> KeyUse {
        KeyUse {
            thumbprint: thumbprint.to_owned(),
            who: who.to_owned(),
            key: KeyAge::Rotated,
            count: 1,
            last: last.to_owned(),
        }
    }

    #[test]
    fn who_has_started_without_a_key_does_not_depend_on_it() {
        let uses = [
            used("bound", "old", "2026-01-31T12:00:00.000000Z"),
            used("left", "old", "2026-01-31T12:00:00.000000Z"),
            used("left", "new", "2026-02-01T12:00:00.000000Z"),
            used("returned", "old", "2026-02-02T12:00:00.000000Z"),
            used("returned", "new", "2026-02-01T12:00:00.000000Z"),
            used("two disks", "old", "2026-01-31T12:00:00.000000Z"),
            used("two disks", "new", "2026-01-31T12:00:09.000000Z"),
            used("odd", "old", "yesterday"),
            used("odd", "new", "2026-02-01T12:00:00.000000Z"),
        ];
        let names: Vec<_> = dependants(&uses, "old").into_iter().map(|used| used.who.as_str()).collect();
        assert_eq!(names, ["bound", "returned", "two disks", "odd"]);
        assert!(dependants(&uses, "other").is_empty());
    }
}
