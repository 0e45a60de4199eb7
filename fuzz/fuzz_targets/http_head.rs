//! See `faros_fuzz::http_head`.
#![no_main]

use faros_fuzz::http_head::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
