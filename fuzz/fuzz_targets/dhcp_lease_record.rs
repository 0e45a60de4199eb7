//! See `faros_fuzz::dhcp_lease_record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::dhcp_lease_record::TARGET.feed(data));
