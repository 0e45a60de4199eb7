//! See `faros_fuzz::journey`.
#![no_main]

use faros_fuzz::journey::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
