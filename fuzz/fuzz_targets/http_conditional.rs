//! See `faros_fuzz::http_conditional`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::http_conditional::TARGET.feed(data));
