//! See `faros_fuzz::http_range`.
#![no_main]

use faros_fuzz::http_range::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
