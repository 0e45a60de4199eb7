//! See `faros_fuzz::http_conditional`.
#![no_main]

use faros_fuzz::http_conditional::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
