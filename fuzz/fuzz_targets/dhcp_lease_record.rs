//! See `faros_fuzz::dhcp_lease_record`.
#![no_main]

use faros_fuzz::dhcp_lease_record::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
