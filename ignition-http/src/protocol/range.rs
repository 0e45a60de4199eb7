//! Parts of a file (RFC 9110 section 14).
//!
//! One range is served. Several in one request get the whole file, which section 14.2 allows: no loader,
//! installer or downloader of boot files asks for more than one, and joining parts is a known way to make
//! a server work hard for a short request.

/// Which bytes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    Whole,
    /// `first..=last`, within the file.
    Part {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte.
        last: u64,
    },
    /// Bytes that the file does not have: 416.
    Unsatisfiable,
}

/// What `Range: header` selects of a file of `length` bytes. What is malformed counts as no header at all.
pub fn select(header: &str, length: u64) -> Selection {
    parse(header, length).unwrap_or(Selection::Whole)
}

fn parse(header: &str, length: u64) -> Option<Selection> {
    let (unit, set) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    match (first, last) {
        ("", suffix) => {
            let bytes = number(suffix)?;
            if bytes == 0 || length == 0 {
                return Some(Selection::Unsatisfiable);
            }
            Some(Selection::Part { first: length.saturating_sub(bytes), last: length - 1 })
        }
        (first, last) => {
            let first = number(first)?;
            let last = if last.is_empty() { u64::MAX } else { number(last)? };
            if last < first {
                return None;
            }
            if first >= length {
                return Some(Selection::Unsatisfiable);
            }
            Some(Selection::Part { first, last: last.min(length - 1) })
        }
    }
}

/// A decimal number; one too large to be counted is as good as the largest.
fn number(text: &str) -> Option<u64> {
    let proper = !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_digit());
    proper.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_select_what_the_standard_says() {
        let part = |first, last| Selection::Part { first, last };
        for (header, expected) in [
            ("bytes=0-0", part(0, 0)),
            ("bytes=0-", part(0, 99)),
            ("bytes=10-19", part(10, 19)),
            ("bytes=90-1000", part(90, 99)),
            ("bytes=-1", part(99, 99)),
            ("bytes=-1000", part(0, 99)),
            ("bytes=99-99999999999999999999999", part(99, 99)),
            ("Bytes = 5-6", part(5, 6)),
            ("bytes=100-", Selection::Unsatisfiable),
            ("bytes=99999999999999999999999-", Selection::Unsatisfiable),
            ("bytes=-0", Selection::Unsatisfiable),
            ("bytes=5-2", Selection::Whole),
            ("bytes=-", Selection::Whole),
            ("bytes=a-b", Selection::Whole),
            ("bytes=+1-2", Selection::Whole),
            ("bytes=0-0,5-6", Selection::Whole),
            ("lines=0-0", Selection::Whole),
            ("", Selection::Whole),
        ] {
            assert_eq!(select(header, 100), expected, "{header}");
        }
        assert_eq!(select("bytes=0-", 0), Selection::Unsatisfiable);
        assert_eq!(select("bytes=-5", 0), Selection::Unsatisfiable);
        let thousand = format!("bytes={}", vec!["0-0"; 1000].join(","));
        assert_eq!(select(&thousand, 100), Selection::Whole);
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(header in "bytes=[0-9]{0,21}-[0-9]{0,21}", length in any::<u64>()) {
            if let Selection::Part { first, last } = select(&header, length) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}
