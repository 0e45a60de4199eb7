//! See `faros_fuzz::tftp_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::tftp_request::TARGET.feed(data));
