//! See `faros_fuzz::dhcp_options`.
#![no_main]

use faros_fuzz::dhcp_options::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
