//! See `faros_fuzz::http_identity`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::http_identity::TARGET.feed(data));
