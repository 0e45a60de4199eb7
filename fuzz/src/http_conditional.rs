//! Validators and preconditions of any file at any time.

use std::time::{Duration, SystemTime};

use faros_ignition_http::protocol::conditional::{Preconditions, Validators, Verdict, Version};

use crate::Target;
use crate::input::Input;

/// Feeds [`Validators`] and [`Preconditions`].
pub const TARGET: Target = Target { name: "http_conditional", run, seeds, memory: (16 * 1024, 64) };

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let nanos = |input: &mut Input<'_>| {
        // What stat can say: 64 bits of seconds, either sign, and nanoseconds.
        i128::from(input.u64() as i64) * 1_000_000_000 + i128::from(input.u32() % 1_000_000_000)
    };
    let version = Version {
        inode: input.u64(),
        length: input.u64(),
        modified_nanos: nanos(&mut input),
        changed_nanos: nanos(&mut input),
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(input.u32()) << 4);
    let current = Validators::of(version, now);
    assert_eq!(current.strong, !current.etag.starts_with("W/"));
    // As `Last-Modified` goes out.
    assert!(httpdate::fmt_http_date(current.modified).ends_with("GMT"));

    let mut header = || {
        let text = input.short();
        match text {
            [] => None,
            b"=" => Some(current.etag.clone()),
            text => std::str::from_utf8(text).ok().map(str::to_owned),
        }
    };
    let [if_match, if_none_match, if_modified_since, if_unmodified_since, if_range] =
        [header(), header(), header(), header(), header()];
    let asked = Preconditions {
        if_match: if_match.as_deref(),
        if_none_match: if_none_match.as_deref(),
        if_modified_since: if_modified_since.as_deref(),
        if_unmodified_since: if_unmodified_since.as_deref(),
        if_range: if_range.as_deref(),
    };
    let verdict = asked.evaluate(&current);
    if let Some(list) = asked.if_none_match
        && (list == "*" || list == current.etag)
    {
        assert!(!matches!(verdict, Verdict::Send { .. }), "the client has it");
    }
    if asked.if_match == Some(&current.etag) && !current.strong {
        assert_eq!(verdict, Verdict::Failed, "a weak tag matches nothing strongly");
    }
    if let Verdict::Send { range } = verdict {
        assert!(!range || asked.if_range.is_none() || current.strong, "an unsettled file was continued");
    }
    let own = Preconditions { if_none_match: Some(&current.etag), ..Preconditions::default() };
    assert_eq!(own.evaluate(&current), Verdict::NotModified);
}

fn seeds() -> Vec<Vec<u8>> {
    let settled = [&[0; 7][..], &[7], &[0; 6], &[1, 0], &[0; 4], &[0x65, 0, 0, 0], &[0; 4], &[0; 4]].concat();
    let changed = [&[0; 4][..], &[0x65, 0, 0, 0], &[0; 4], &[0x0f, 0, 0, 0]].concat();
    let version = [settled, changed].concat();
    let date = b"\x1dThu, 01 Jan 2026 00:00:00 GMT";
    [
        &b"\0\x01=\0\0\0"[..],
        b"\x01=\0\0\0\x01=",
        b"\0\x01*\0\0\0",
        b"\x01*\x05W/\"a\"\0\0\x03\"b\"",
        &[b"\0\0", &date[..], &date[..], &date[..]].concat(),
    ]
    .map(|headers| [&version, headers].concat())
    .into()
}
