//! See `faros_fuzz::http_target`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::http_target::TARGET.feed(data));
