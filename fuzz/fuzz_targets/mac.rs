//! See `faros_fuzz::mac`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::mac::TARGET.feed(data));
