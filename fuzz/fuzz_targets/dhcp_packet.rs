//! See `faros_fuzz::dhcp_packet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::dhcp_packet::TARGET.feed(data));
