//! See `faros_fuzz::tftp_packet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::tftp_packet::TARGET.feed(data));
