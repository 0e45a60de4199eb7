//! See `faros_fuzz::journal_log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::journal_log::TARGET.feed(data));
