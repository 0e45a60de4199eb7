//! Validators and preconditions (RFC 9110 sections 8.8 and 13).
//!
//! A file's entity tag is made of its inode number, length, modification and change time. The change time
//! cannot be set by tools that restore modification times, so the tag is strong; a content hash would say
//! no more and would read gigabytes of root file system at each change. A file changed within the last
//! [`SETTLING`] gets a weak tag: another change may then hide within the clock's granularity.

use std::time::{Duration, SystemTime};

/// How long after a change a file's times may not tell a further change apart.
pub const SETTLING: Duration = Duration::from_secs(2);

/// The last moment that a date of HTTP can name, in seconds since 1970: its years have four digits (RFC 9110
/// section 5.6.7). A file that claims to be younger counts as modified then.
pub const DATE_SECS_MAX: u64 = 253_402_300_799;

/// What identifies one version of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validators {
    /// The entity tag with its quotes, and `W/` where it is weak.
    pub etag: String,
    /// The modification time, to the second.
    pub modified: SystemTime,
    /// Whether the version is settled: tag and time are strong validators.
    pub strong: bool,
}

/// The times and numbers of a file that its validators are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Inode number.
    pub inode: u64,
    /// Length in bytes.
    pub length: u64,
    /// Modification time in nanoseconds since 1970.
    pub modified_nanos: i128,
    /// Change time in nanoseconds since 1970.
    pub changed_nanos: i128,
}

impl Validators {
    /// The validators of a version of a file at the time `now`.
    pub fn of(version: Version, now: SystemTime) -> Self {
        let Version { inode, length, modified_nanos, changed_nanos } = version;
        let seconds = u64::try_from(modified_nanos.max(0) / 1_000_000_000).unwrap_or(DATE_SECS_MAX);
        let now_nanos =
            now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128);
        let newest = modified_nanos.max(changed_nanos);
        let strong = newest + (SETTLING.as_nanos() as i128) < now_nanos;
        let weak = if strong { "" } else { "W/" };
        Self {
            etag: format!("{weak}\"{inode:x}-{length:x}-{modified_nanos:x}-{changed_nanos:x}\""),
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(DATE_SECS_MAX)),
            strong,
        }
    }
}

/// The precondition fields of a request, where present.
#[derive(Clone, Copy, Debug, Default)]
pub struct Preconditions<'a> {
    /// `If-Match`.
    pub if_match: Option<&'a str>,
    /// `If-None-Match`.
    pub if_none_match: Option<&'a str>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<&'a str>,
    /// `If-Unmodified-Since`.
    pub if_unmodified_since: Option<&'a str>,
    /// `If-Range`.
    pub if_range: Option<&'a str>,
}

/// What the preconditions ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The file; a part of it only if `range` says so.
    Send {
        /// Whether a `Range` may be honoured.
        range: bool,
    },
    /// 304: the client has it.
    NotModified,
    /// 412: it is not the version that the client wants.
    Failed,
}

impl Preconditions<'_> {
    /// Evaluates in the order of RFC 9110 section 13.2.2, for GET and HEAD.
    pub fn evaluate(&self, current: &Validators) -> Verdict {
        match (self.if_match, self.if_unmodified_since.and_then(date)) {
            (Some(list), _) if !matches(list, &current.etag, true) => return Verdict::Failed,
            (None, Some(since)) if current.modified > since => return Verdict::Failed,
            _ => {}
        }
        match (self.if_none_match, self.if_modified_since.and_then(date)) {
            (Some(list), _) if matches(list, &current.etag, false) => return Verdict::NotModified,
            (None, Some(since)) if current.modified <= since => return Verdict::NotModified,
            _ => {}
        }
        let range = self.if_range.is_none_or(|validator| {
            let same = validator == current.etag || date(validator) == Some(current.modified);
            current.strong && same
        });
        Verdict::Send { range }
    }
}

/// Whether an entity tag is in a list (`*` matches any); compared strongly or weakly (section 8.8.3.2).
fn matches(list: &str, etag: &str, strongly: bool) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    list.trim() == "*"
        || list.split(',').map(str::trim).any(|tag| match strongly {
            true => tag == etag && !etag.starts_with("W/"),
            false => opaque(tag) == opaque(etag),
        })
}

fn date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODIFIED: &str = "Thu, 01 Jan 2026 00:00:00 GMT";
    const EARLIER: &str = "Wed, 31 Dec 2025 23:59:59 GMT";
    const LATER: &str = "Thu, 01 Jan 2026 00:00:01 GMT";

    fn at(age_secs: u64) -> Validators {
        let modified = httpdate::parse_http_date(MODIFIED).unwrap();
        let nanos = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as i128;
        let version = Version { inode: 7, length: 100, modified_nanos: nanos, changed_nanos: nanos };
        Validators::of(version, modified + Duration::from_secs(age_secs))
    }

    #[test]
    fn a_fresh_file_has_a_weak_tag() {
        assert!(at(1).etag.starts_with("W/\""));
        assert!(at(3).etag.starts_with('"'));
        assert_eq!(at(1).etag[2..], at(3).etag);
    }

    #[test]
    fn any_change_changes_the_tag() {
        let now = SystemTime::UNIX_EPOCH;
        let version = Version { inode: 1, length: 2, modified_nanos: 3, changed_nanos: 4 };
        let tag = |version| Validators::of(version, now).etag;
        let variants = [
            Version { inode: 9, ..version },
            Version { length: 9, ..version },
            Version { modified_nanos: 9, ..version },
            Version { changed_nanos: 9, ..version },
        ];
        assert!(variants.into_iter().all(|variant| tag(variant) != tag(version)));
    }

    #[test]
    fn a_file_from_beyond_the_calendar_has_a_date() {
        let dated = |secs: i128| {
            let nanos = secs * 1_000_000_000;
            let version = Version { inode: 1, length: 2, modified_nanos: nanos, changed_nanos: 4 };
            httpdate::fmt_http_date(Validators::of(version, SystemTime::UNIX_EPOCH).modified)
        };
        assert_eq!(dated(i64::MAX.into()), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(dated(i64::MIN.into()), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn preconditions_follow_the_standard() {
        let current = at(10);
        let (etag, other) = (current.etag.as_str(), "\"other\"");
        let weak = format!("W/{etag}");
        let list = format!("{other}, {etag}");
        let send = |range| Verdict::Send { range };
        let none = Preconditions::default();
        let cases = [
            (none, send(true)),
            (Preconditions { if_none_match: Some(etag), ..none }, Verdict::NotModified),
            (Preconditions { if_none_match: Some(&weak), ..none }, Verdict::NotModified),
            (Preconditions { if_none_match: Some(&list), ..none }, Verdict::NotModified),
            (Preconditions { if_none_match: Some("*"), ..none }, Verdict::NotModified),
            (
                Preconditions { if_none_match: Some(other), if_modified_since: Some(MODIFIED), ..none },
                send(true),
            ),
            (Preconditions { if_modified_since: Some(MODIFIED), ..none }, Verdict::NotModified),
            (Preconditions { if_modified_since: Some(LATER), ..none }, Verdict::NotModified),
            (Preconditions { if_modified_since: Some(EARLIER), ..none }, send(true)),
            (Preconditions { if_modified_since: Some("yesterday"), ..none }, send(true)),
            (Preconditions { if_match: Some(etag), ..none }, send(true)),
            (Preconditions { if_match: Some(&weak), ..none }, Verdict::Failed),
            (Preconditions { if_match: Some(other), ..none }, Verdict::Failed),
            (Preconditions { if_unmodified_since: Some(EARLIER), ..none }, Verdict::Failed),
            (Preconditions { if_unmodified_since: Some(MODIFIED), ..none }, send(true)),
            (Preconditions { if_range: Some(etag), ..none }, send(true)),
            (Preconditions { if_range: Some(other), ..none }, send(false)),
            (Preconditions { if_range: Some(&weak), ..none }, send(false)),
            (Preconditions { if_range: Some(MODIFIED), ..none }, send(true)),
            (Preconditions { if_range: Some(LATER), ..none }, send(false)),
            (Preconditions { if_range: Some(EARLIER), ..none }, send(false)),
        ];
        for (conditions, expected) in cases {
            assert_eq!(conditions.evaluate(&current), expected, "{conditions:?}");
        }
    }

    #[test]
    fn an_unsettled_file_is_never_continued() {
        let current = at(1);
        let etag = current.etag.clone();
        for validator in [etag.as_str(), MODIFIED] {
            let conditions = Preconditions { if_range: Some(validator), ..Preconditions::default() };
            assert_eq!(conditions.evaluate(&current), Verdict::Send { range: false });
        }
    }
}
