//! See `faros_fuzz::ignition_config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::ignition_config::TARGET.feed(data));
