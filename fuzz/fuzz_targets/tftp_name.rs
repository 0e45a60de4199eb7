//! See `faros_fuzz::tftp_name`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::tftp_name::TARGET.feed(data));
