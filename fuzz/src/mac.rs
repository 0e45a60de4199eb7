//! Ethernet addresses as people type them.

use faros_common::site::Mac;

use crate::Target;

/// Feeds [`Mac`].
pub const TARGET: Target = Target { name: "mac", run, seeds, memory: (4096, 16) };

fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(mac) = text.parse::<Mac>() else { return };
    assert_eq!(mac.to_string().parse(), Ok(mac));
    assert_eq!(mac.hyphenated().parse(), Ok(mac));
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    assert_eq!(digits.to_ascii_lowercase(), mac.to_string().replace(':', ""), "a digit was lost or invented");
}

fn seeds() -> Vec<Vec<u8>> {
    ["52:54:00:0a:08:11", "52-54-00-0A-08-11", "5254.000a.0811", "5254000A0811", "5254-000a-0811"]
        .map(|text| text.as_bytes().to_vec())
        .into()
}
