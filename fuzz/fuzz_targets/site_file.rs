//! See `faros_fuzz::site_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::site_file::TARGET.feed(data));
