//! See `faros_fuzz::lan_neighbours`.
#![no_main]

use faros_fuzz::lan_neighbours::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
