//! See `faros_fuzz::tftp_netascii`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::tftp_netascii::TARGET.feed(data));
