//! See `faros_fuzz::dhcp_machine`.
#![no_main]

use faros_fuzz::dhcp_machine::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
