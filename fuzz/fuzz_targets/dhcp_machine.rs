//! See `faros_fuzz::dhcp_machine`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::dhcp_machine::TARGET.feed(data));
