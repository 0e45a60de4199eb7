//! See `faros_fuzz::dhcp_options`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::dhcp_options::TARGET.feed(data));
