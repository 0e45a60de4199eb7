//! See `faros_fuzz::dhcp_packet`.
#![no_main]

use faros_fuzz::dhcp_packet::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
