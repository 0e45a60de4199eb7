//! See `faros_fuzz::tftp_transfer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::tftp_transfer::TARGET.feed(data));
