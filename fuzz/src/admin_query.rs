//! Paths and queries at the admin sockets.

use faros_common::admin::{parse_query, percent_decode};

use crate::Target;

/// Feeds [`parse_query`] and [`percent_decode`].
pub const TARGET: Target = Target { name: "admin_query", run, seeds, memory: (4096, 256) };

fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let query = parse_query(text);
    assert!(query.len() <= text.split('&').count());
    if !text.contains(['%', '+']) {
        assert_eq!(percent_decode(text), text, "what is not encoded stays");
        for (key, value) in &query {
            assert!(text.contains(key.as_str()) && text.contains(value.as_str()));
        }
    }
    let other = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    assert_eq!(percent_decode(text), other, "two decoders disagree");
}

fn seeds() -> Vec<Vec<u8>> {
    ["mac=52%3A54%3a00&name=a+b&flag&odd=%zz%4", "/nodes/cp1/install", "since=7&follow=1", "a=%ff&%C3%A4=%c3"]
        .map(|text| text.as_bytes().to_vec())
        .into()
}
