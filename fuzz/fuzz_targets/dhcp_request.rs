//! See `faros_fuzz::dhcp_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::dhcp_request::TARGET.feed(data));
