//! See `faros_fuzz::boot_script`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::boot_script::TARGET.feed(data));
