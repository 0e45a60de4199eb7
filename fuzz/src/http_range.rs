//! `Range`: a part lies within the file, and means what it says.

use faros_ignition_http::protocol::range::{Selection, select};

use crate::Target;
use crate::input::Input;

/// Feeds [`select`].
pub const TARGET: Target = Target { name: "http_range", run, seeds, memory: (4096, 16) };

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let length = match input.below(4) {
        0 => input.u64(),
        1 => input.byte().into(),
        2 => u64::MAX - u64::from(input.byte()),
        _ => 100,
    };
    let Ok(header) = std::str::from_utf8(input.rest()) else { return };
    match select(header, length) {
        Selection::Part { first, last } => {
            assert!(first <= last && last < length, "{first}-{last} of {length}");
            // The same part, asked for in the plainest way.
            assert_eq!(select(&format!("bytes={first}-{last}"), length), Selection::Part { first, last });
            assert!(!header.contains(','), "one of several ranges was served");
        }
        Selection::Whole | Selection::Unsatisfiable => {}
    }
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "bytes=0-0",
        "bytes=10-",
        "bytes=-5",
        "bytes=5-2",
        "Bytes = 5-6",
        "bytes=99-99999999999999999999999",
        "bytes=0-0,5-6",
        "lines=0-0",
    ]
    .map(|header| [&[3], header.as_bytes()].concat())
    .into()
}
