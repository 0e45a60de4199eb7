//! See `faros_fuzz::admin_query`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::admin_query::TARGET.feed(data));
