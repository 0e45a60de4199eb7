//! See `faros_fuzz::lan_neighbours`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::lan_neighbours::TARGET.feed(data));
