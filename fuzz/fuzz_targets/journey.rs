//! See `faros_fuzz::journey`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::journey::TARGET.feed(data));
