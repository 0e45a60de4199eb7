//! See `faros_fuzz::http_range`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::http_range::TARGET.feed(data));
